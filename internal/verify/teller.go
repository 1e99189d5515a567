package verify

import (
	"fmt"

	"fairgate/internal/wire"
)

// teller writes records and outcomes as sentences. It learns the currencies of events and who booked, which later
// outcomes do not repeat. It belongs to one goroutine.
type teller struct {
	log        string // wire.TopicOrders or wire.TopicQueue
	currencies map[int64]string
	fans       map[wire.ID]string // of bookings
}

// maxTold bounds what a teller remembers of bookings; beyond it names are missing from sentences, and nothing else.
const maxTold = 1 << 20

func newTeller(log string) *teller {
	return &teller{log: log, currencies: map[int64]string{}, fans: map[wire.ID]string{}}
}

func (t *teller) newRecord(k wire.Kind) wire.Body {
	if t.log == wire.TopicQueue {
		return wire.NewQueueRecord(k)
	}
	return wire.NewOrder(k)
}

func (t *teller) newOutcome(k wire.Kind) wire.Body {
	if t.log == wire.TopicQueue {
		return wire.NewQueueOutcome(k)
	}
	return wire.NewOrderOutcome(k)
}

// learn takes from an outcome what later ones do not repeat.
func (t *teller) learn(o wire.Outcome, body wire.Body) {
	if len(t.fans) > maxTold {
		clear(t.fans)
	}
	switch b := body.(type) {
	case *wire.EventDefined:
		t.currencies[o.Object] = currencyName(b.Event.Currency)
	case *wire.Held:
		t.fans[o.Ref], t.currencies[o.Object] = subjectName(b.Subject), currencyName(b.Currency)
	case *wire.Offered:
		t.fans[o.Ref] = subjectName(b.Subject)
	case *wire.Waitlisted:
		t.fans[o.Ref] = subjectName(b.Subject)
	}
}

// learnAll is learn for all outcomes of a record.
func (t *teller) learnAll(outcomes [][]byte) {
	if t.log != wire.TopicOrders {
		return
	}
	for _, raw := range outcomes {
		o, err := wire.ParseOutcome(raw)
		if err != nil {
			continue
		}
		switch o.Kind {
		case wire.KindEventDefined, wire.KindHeld, wire.KindOffered, wire.KindWaitlisted:
			if body := wire.NewOrderOutcome(o.Kind); o.DecodeInto(body) == nil {
				t.learn(o, body)
			}
		}
	}
}

// record writes a record as a sentence.
func (t *teller) record(value []byte) string {
	r, err := wire.ParseRecord(value)
	if err != nil {
		return fmt.Sprintf("%d bytes that are not a record (%v)", len(value), err)
	}
	body := t.newRecord(r.Kind)
	if body == nil {
		return fmt.Sprintf("a record of unknown kind %d", r.Kind)
	}
	if err := r.DecodeInto(body); err != nil {
		return fmt.Sprintf("a damaged %s (%v)", kindName(body), err)
	}
	switch b := body.(type) {
	case *wire.Epoch:
		return fmt.Sprintf("process %s wants to lead term %d", wire.Hex(b.Leader)[:8], b.Epoch)
	case *wire.Tick:
		return fmt.Sprintf("a tick of term %d: it is %s", b.Epoch, hour(b.Now))
	}
	if t.log == wire.TopicQueue {
		return queueRecordWords(r, body)
	}
	return t.orderWords(r, body)
}

// orderWords is the sentence of a record of `orders`.
func (t *teller) orderWords(r wire.Record, body wire.Body) string {
	currency, booking := t.currencies[r.Object], bookingName(r.Ref)
	if fan := t.fans[r.Ref]; fan != "" {
		booking += " of " + fan
	}
	switch b := body.(type) {
	case *wire.DefineEvent:
		return fmt.Sprintf("event %d is to be defined, in %s", r.Object, currencyName(b.Currency))
	case *wire.DefineType:
		return fmt.Sprintf("event %d: ticket type %d is to be defined, %d tickets at %s", r.Object, b.Type, b.Capacity, priceWords(b.Price, currency))
	case *wire.SetCapacity:
		return fmt.Sprintf("event %d: type %d is to have %d tickets", r.Object, b.Type, b.Capacity)
	case *wire.SetPrice:
		return fmt.Sprintf("event %d: type %d is to cost %s", r.Object, b.Type, priceWords(b.Price, currency))
	case *wire.SetSelling:
		return fmt.Sprintf("event %d: selling is to be %s", r.Object, onOff(b.Selling))
	case *wire.SetMethodLimit:
		return fmt.Sprintf("event %d: one payment method is to pay for %s", r.Object, limitWords(b.PerMethod))
	case *wire.CancelEvent:
		return fmt.Sprintf("event %d is to be cancelled", r.Object)
	case *wire.Hold:
		return fmt.Sprintf("%s asks for %s at event %d (%s)%s", subjectName(b.Subject), linesWords(b.Lines), r.Object, bookingName(r.Ref), ifWaits(b.Waitlist))
	case *wire.Cancel:
		if b.Reason == wire.ReasonCancelledByUser {
			return booking + " is given back by the fan"
		}
		return fmt.Sprintf("%s is to be taken back: %s", booking, reasonWords(b.Reason))
	case *wire.PaymentStarted:
		return fmt.Sprintf("%s: a payment begins", booking)
	case *wire.Extend:
		if b.Scope == 0 {
			return fmt.Sprintf("%s is to get %s more: %s", booking, span(b.By), causeWords(b.Cause))
		}
		return fmt.Sprintf("event %d: every hold is to get %s more: %s", r.Object, span(b.By), causeWords(b.Cause))
	case *wire.Authorised:
		return fmt.Sprintf("%s: %s are authorised (%s)", booking, money(b.Amount, currencyName(b.Currency)), subjectName(b.Intent))
	case *wire.AuthorisedBy:
		return fmt.Sprintf("%s: %s are authorised (%s) by %s", booking, money(b.Amount, currencyName(b.Currency)), subjectName(b.Intent), methodName(b.Method))
	case *wire.CaptureFailed:
		return fmt.Sprintf("%s: the money could not be taken", booking)
	case *wire.Refunded:
		return fmt.Sprintf("%s: %s to be refunded", booking, many(len(b.Tickets), "of its tickets is", "of its tickets are"))
	case *wire.Revoke:
		return fmt.Sprintf("%s is to be revoked: %s", booking, reasonWords(b.Reason))
	}
	return otherWords(body)
}

// limitWords says how many bookings one payment method may pay for.
func limitWords(most uint16) string {
	if most == 0 {
		return "any number of bookings"
	}
	return "at most " + many(int(most), "booking", "bookings")
}

// methodName is enough of a method's hash to tell it from the others of its event.
func methodName(method wire.ID) string {
	if method == (wire.ID{}) {
		return "a method that nobody knows"
	}
	return "method " + wire.Hex(method)[:8]
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func ifWaits(waits bool) string {
	if waits {
		return ", and would wait"
	}
	return ""
}

// outcome writes an outcome as a sentence.
func (t *teller) outcome(o wire.Outcome) string {
	body := t.newOutcome(o.Kind)
	if body == nil {
		return fmt.Sprintf("an outcome of unknown kind %d", o.Kind)
	}
	if err := o.DecodeInto(body); err != nil {
		return fmt.Sprintf("a damaged %s (%v)", kindName(body), err)
	}
	t.learn(o, body)
	switch b := body.(type) {
	case *wire.Ticked:
		return fmt.Sprintf("log time is %s; chain %x…", when(b.Now), b.Chain[:8])
	case *wire.EpochStarted:
		return fmt.Sprintf("term %d begins, led by %s, code %d", b.Epoch, wire.Hex(b.Leader)[:8], b.Code)
	case *wire.Rejected:
		return "rejected: " + reasonWords(b.Reason)
	case *wire.Repeated:
		if b.FirstSeq == 0 { // known by the state it led to, not by its id
			return fmt.Sprintf("sent before (%s): nothing changes", kindWords(t.newOutcome, b.FirstKind))
		}
		return fmt.Sprintf("sent before: the answer stays outcome %d (%s) of record %d", b.FirstSeq, kindWords(t.newOutcome, b.FirstKind), b.FirstOffset)
	case *wire.Extended:
		return extendedWords(o, b)
	}
	if t.log == wire.TopicQueue {
		return queueOutcomeWords(o, body)
	}
	return t.orderOutcomeWords(o, body)
}

func extendedWords(o wire.Outcome, b *wire.Extended) string {
	switch {
	case b.Scope == 0:
		return fmt.Sprintf("%s has until %s: %s", bookingName(o.Ref), hour(b.Until), causeWords(b.Cause))
	case o.Object != 0:
		return fmt.Sprintf("every deadline of event %d moves by %s: %s", o.Object, span(b.By), causeWords(b.Cause))
	}
	return fmt.Sprintf("every deadline moves by %s: %s", span(b.By), causeWords(b.Cause))
}

// orderOutcomeWords is the sentence of an outcome of `orders`.
func (t *teller) orderOutcomeWords(o wire.Outcome, body wire.Body) string {
	currency, booking := t.currencies[o.Object], bookingName(o.Ref)
	if fan := t.fans[o.Ref]; fan != "" {
		booking += " of " + fan
	}
	switch b := body.(type) {
	case *wire.EventDefined:
		return fmt.Sprintf("event %d is defined: holds of %s, in %s", o.Object, span(b.Event.Hold), currencyName(b.Event.Currency))
	case *wire.TypeDefined:
		return fmt.Sprintf("event %d sells type %d at %s%s", o.Object, b.Type.Type, priceWords(b.Type.Price, currency), stockWords([]wire.Stock{b.Stock}))
	case *wire.CapacitySet:
		return fmt.Sprintf("event %d has another capacity%s", o.Object, stockWords([]wire.Stock{b.Stock}))
	case *wire.PriceSet:
		return fmt.Sprintf("event %d: type %d costs %s", o.Object, b.Type, priceWords(b.Price, currency))
	case *wire.SellingSet:
		return fmt.Sprintf("event %d: selling is %s", o.Object, onOff(b.Selling))
	case *wire.MethodLimitSet:
		return fmt.Sprintf("event %d: one payment method pays for %s", o.Object, limitWords(b.PerMethod))
	case *wire.EventCancelled:
		return fmt.Sprintf("event %d is cancelled", o.Object)
	case *wire.Held:
		return fmt.Sprintf("held for %s until %s: %s for %s%s", subjectName(b.Subject), hour(b.Expires), heldWords(b.Lines),
			money(b.Total, currencyName(b.Currency)), stockWords(b.Stock))
	case *wire.Refused:
		return fmt.Sprintf("refused: %s%s", reasonWords(b.Reason), shortageWords(b.Lines))
	case *wire.AlreadyHeld:
		return fmt.Sprintf("nothing new: the fan has %s already", bookingName(b.Booking))
	case *wire.Waitlisted:
		return fmt.Sprintf("%s waits for %s, behind %s", subjectName(b.Subject), linesWords(b.Lines), many(b.Ahead, "other", "others"))
	case *wire.Offered:
		return fmt.Sprintf("came back and is offered to %s until %s: %s for %s (%s)%s", subjectName(b.Subject), hour(b.Expires), heldWords(b.Lines),
			money(b.Total, currencyName(b.Currency)), bookingName(o.Ref), stockWords(b.Stock))
	case *wire.AuthorisationRefused:
		return fmt.Sprintf("%s: the authorisation of %s is refused and must be released: %s", booking, money(b.Amount, currencyName(b.Currency)), reasonWords(b.Reason))
	}
	return t.bookingWords(booking, currency, body)
}

func shortageWords(lines []wire.Shortage) string {
	text := ""
	for _, l := range lines {
		text += fmt.Sprintf("; of type %d %d asked, %d left", l.Type, l.Asked, l.Left)
	}
	return text
}

// bookingWords is the sentence of an outcome in the later life of a booking.
func (t *teller) bookingWords(booking, currency string, body wire.Body) string {
	switch b := body.(type) {
	case *wire.Cancelled:
		return fmt.Sprintf("%s is cancelled: %s%s", booking, reasonWords(b.Reason), stockWords(b.Stock))
	case *wire.Lapsed:
		return fmt.Sprintf("%s lapsed: the time to pay ran out%s", booking, stockWords(b.Stock))
	case *wire.Closed:
		return fmt.Sprintf("%s is closed: no payment is granted any more", booking)
	case *wire.PaymentBegun:
		return fmt.Sprintf("%s has until %s to pay", booking, hour(b.Expires))
	case *wire.Confirmed:
		late := ""
		if b.Late {
			late = ", though late"
		}
		return fmt.Sprintf("%s is sold for %s%s%s", booking, money(b.Amount, currency), late, stockWords(b.Stock))
	case *wire.Frozen:
		return fmt.Sprintf("%s is frozen and may be paid again until %s", booking, hour(b.Expires))
	case *wire.TicketsRefunded:
		whole := ""
		if b.Whole {
			whole = ", and none is left"
		}
		return fmt.Sprintf("%s: %s refunded, %s%s%s", booking, many(len(b.Tickets), "of its tickets is", "of its tickets are"), money(b.Amount, currency), whole, stockWords(b.Stock))
	case *wire.Revoked:
		return fmt.Sprintf("%s is revoked: %s%s", booking, reasonWords(b.Reason), stockWords(b.Stock))
	}
	return otherWords(body)
}
