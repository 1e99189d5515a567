package processor

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"fairgate/internal/answer"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// errOutcome: the bytes of an outcome are not what its kind says, or say what cannot be written down.
var errOutcome = errors.New("outcome cannot be projected")

// writer turns outcomes into rows of one transaction.
type writer struct {
	rows   Rows
	outage int64 // µs, as of the outcome being written
	stock  []stockRow
	open   bool // a booking was made since the newest chain head
	broken int  // outcomes in which held + sold + free is not the capacity
	turned int  // authorisations that the card limit turned away
}

type stockRow struct {
	event int64
	stock wire.Stock
}

// outcome queues the rows of one outcome.
func (w *writer) outcome(o *wire.Outcome) error {
	body := wire.NewOrderOutcome(o.Kind)
	if body == nil {
		return fmt.Errorf("%w: %d is of unknown kind %d", errOutcome, o.Seq, o.Kind)
	}
	if err := o.DecodeInto(body); err != nil {
		return fmt.Errorf("%w: %d: %w", errOutcome, o.Seq, err)
	}
	f := store.Fact{Event: o.Object, Booking: o.Ref, Offset: o.Offset, Seq: o.Seq, At: time.UnixMicro(o.At).UTC()}
	if o.Index == 0 && o.Command != (wire.ID{}) && answer.Binding(o) {
		if err := w.answer(f, o.Command, body); err != nil {
			return err
		}
	}
	switch b := body.(type) {
	case *wire.Ticked:
		w.outage = b.Outage
		if w.open {
			w.rows.ChainHead(f, b.Chain)
			w.open = false
		}
	case *wire.Extended:
		w.extended(f, b)
	case *wire.EventDefined, *wire.TypeDefined, *wire.CapacitySet, *wire.PriceSet, *wire.SellingSet, *wire.MethodLimitSet,
		*wire.EventCancelled:
		w.changed(f, body)
	case *wire.Held, *wire.Waitlisted, *wire.Offered, *wire.Lapsed, *wire.Closed, *wire.Cancelled:
		return w.held(f, body)
	case *wire.Confirmed, *wire.AuthorisationRefused, *wire.Frozen, *wire.TicketsRefunded, *wire.Revoked:
		return w.sold(f, body)
	}
	return nil
}

// numbers remembers the newest numbers of types; flush writes each once.
func (w *writer) numbers(event int64, all ...wire.Stock) {
next:
	for _, s := range all {
		if uint64(s.Held)+uint64(s.Sold)+uint64(s.Free) != uint64(s.Capacity) {
			w.broken++
		}
		for i := range w.stock {
			if w.stock[i].event == event && w.stock[i].stock.Type == s.Type {
				w.stock[i].stock = s
				continue next
			}
		}
		w.stock = append(w.stock, stockRow{event, s})
	}
}

func (w *writer) flush() {
	for _, s := range w.stock {
		w.rows.Stock(s.event, s.stock)
	}
	w.stock = w.stock[:0]
}

// extended moves deadlines: the partition's after an outage (before the tick that says so), an event's, one booking's.
func (w *writer) extended(f store.Fact, x *wire.Extended) {
	switch {
	case x.Scope == 0:
		w.rows.Deadline(f, x.Until-w.outage, x.Until)
	case f.Event == 0:
		w.rows.Outage(x.By)
	default:
		w.rows.DeadlinesOfEvent(f, x.By)
	}
}

// changed writes what an operator did.
func (w *writer) changed(f store.Fact, body wire.Body) {
	yes, no := true, false
	switch b := body.(type) {
	case *wire.EventDefined:
		w.rows.EventChanged(f, &yes, nil)
	case *wire.SellingSet:
		w.rows.EventChanged(f, &b.Selling, nil)
	case *wire.MethodLimitSet:
		w.rows.EventChanged(f, nil, nil)
		w.rows.CardLimit(f, b.PerMethod)
	case *wire.EventCancelled:
		w.rows.EventChanged(f, &no, &yes)
	case *wire.TypeDefined:
		w.rows.EventChanged(f, nil, nil)
		w.rows.TypeChanged(f, b.Type.Type)
		w.rows.Price(f.Event, b.Type.Type, b.Type.Price)
		w.numbers(f.Event, b.Stock)
	case *wire.CapacitySet:
		w.rows.EventChanged(f, nil, nil)
		w.rows.TypeChanged(f, b.Stock.Type)
		w.numbers(f.Event, b.Stock)
	case *wire.PriceSet:
		w.rows.EventChanged(f, nil, nil)
		w.rows.TypeChanged(f, b.Type)
		w.rows.Price(f.Event, b.Type, b.Price)
	}
}

// held writes the life of a booking before its payment.
func (w *writer) held(f store.Fact, body wire.Body) error {
	switch b := body.(type) {
	case *wire.Held:
		w.open = true
		w.rows.Held(f, &b.Reserved, b.Pass)
		w.numbers(f.Event, b.Stock...)
		return w.rows.Notify(f, "held", priced(&b.Reserved))
	case *wire.Waitlisted:
		w.open = true
		w.rows.Waitlisted(f, b)
		return w.rows.Notify(f, "waitlisted", map[string]any{"ahead": b.Ahead})
	case *wire.Offered:
		w.rows.Offered(f, &b.Reserved)
		w.numbers(f.Event, b.Stock...)
		return w.rows.Notify(f, "offered", priced(&b.Reserved))
	case *wire.Lapsed:
		w.rows.Status(f, "lapsed", "")
		w.numbers(f.Event, b.Stock...)
		return w.rows.Notify(f, "lapsed", struct{}{})
	case *wire.Closed:
		w.rows.Status(f, "closed", "")
		w.rows.VoidBooking(f)
	case *wire.Cancelled:
		w.rows.Status(f, "cancelled", b.Reason.String())
		w.numbers(f.Event, b.Stock...)
		w.rows.VoidBooking(f)
		return w.rows.Notify(f, "cancelled", map[string]any{"reason": b.Reason.String()})
	}
	return nil
}

func priced(r *wire.Reserved) map[string]any {
	currency := string(r.Currency[:])
	return map[string]any{
		"total": sale.Money{Minor: r.Total, Currency: currency}.String(), "currency": currency,
		"expiresAt": rfc3339(r.Expires),
	}
}

func rfc3339(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

// plain is text from the log as Postgres can keep it: what is not printable ASCII is written
// quoted. Nobody honest sends such a thing, and it must not stop the projection.
func plain(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return strconv.QuoteToASCII(string(b))
		}
	}
	return string(b)
}

// task is the payload of the payment obligations.
type task struct {
	Event    int64     `json:"eventId"`
	Booking  sale.UUID `json:"bookingId"`
	Attempt  sale.UUID `json:"attemptId"`
	Intent   string    `json:"intent"`
	Amount   int64     `json:"amount"`
	Currency string    `json:"currency,omitzero"`
}

// sold writes what money does to a booking.
func (w *writer) sold(f store.Fact, body wire.Body) error {
	switch b := body.(type) {
	case *wire.Confirmed:
		w.numbers(f.Event, b.Stock...)
		return w.confirmed(f, b)
	case *wire.AuthorisationRefused:
		if len(b.Intent) == 0 {
			return nil // nothing was reserved
		}
		if b.Reason == wire.ReasonMethodLimit {
			w.turned++
		}
		w.rows.AttemptRefused(f, b.Attempt, b.Reason.String())
		return w.rows.Oblige(f, "payment:void", task{
			Event: f.Event, Booking: f.Booking, Attempt: b.Attempt, Intent: plain(b.Intent), Amount: b.Amount,
			Currency: plain(b.Currency[:]),
		})
	case *wire.Frozen:
		w.rows.Frozen(f, b.Attempt, b.Deadline, b.Expires)
		return w.rows.Notify(f, "frozen", map[string]any{"expiresAt": rfc3339(b.Expires)})
	case *wire.TicketsRefunded:
		w.rows.TicketsRefunded(f, b)
		w.numbers(f.Event, b.Stock...)
		return w.rows.Notify(f, "refunded", map[string]any{"tickets": b.Tickets, "whole": b.Whole})
	case *wire.Revoked:
		w.rows.Revoked(f, b.Reason.String())
		w.numbers(f.Event, b.Stock...)
		return w.rows.Notify(f, "revoked", map[string]any{"reason": b.Reason.String()})
	}
	return nil
}

func (w *writer) confirmed(f store.Fact, c *wire.Confirmed) error {
	w.rows.Confirmed(f, c)
	if c.Amount > 0 {
		w.rows.Capture(f, c, plain(c.Intent))
	}
	return w.rows.Notify(f, "confirmed", map[string]any{"late": c.Late})
}

// answer remembers what the log made of a command: of a repetition, and of a second hold, the first booking.
func (w *writer) answer(f store.Fact, command wire.ID, body wire.Body) error {
	detail := map[string]any{}
	switch b := body.(type) {
	case *wire.AlreadyHeld:
		f.Booking = b.Booking
	case *wire.Repeated:
		f.Booking = b.FirstRef
		detail["first"] = outcomeName(b.FirstKind)
	case *wire.Rejected:
		detail["reason"] = b.Reason.String()
	case *wire.Refused:
		detail["reason"] = b.Reason.String()
		lines := make([]map[string]any, len(b.Lines))
		for i, l := range b.Lines {
			lines[i] = map[string]any{"ticketType": l.Type, "asked": l.Asked, "left": l.Left}
		}
		detail["lines"] = lines
	case *wire.AuthorisationRefused:
		detail["reason"] = b.Reason.String()
	}
	return w.rows.Answer(f, command, outcomeName(body.Kind()), detail)
}

// outcomeName is how commands name an outcome.
func outcomeName(k wire.Kind) string {
	switch k {
	case wire.KindRejected:
		return "rejected"
	case wire.KindRepeated:
		return "repeated"
	case wire.KindExtended:
		return "extended"
	case wire.KindEventDefined:
		return "eventDefined"
	case wire.KindTypeDefined:
		return "typeDefined"
	case wire.KindCapacitySet:
		return "capacitySet"
	case wire.KindPriceSet:
		return "priceSet"
	case wire.KindSellingSet:
		return "sellingSet"
	case wire.KindMethodLimitSet:
		return "methodLimitSet"
	case wire.KindEventCancelled:
		return "eventCancelled"
	case wire.KindHeld:
		return "held"
	case wire.KindRefused:
		return "refused"
	case wire.KindAlreadyHeld:
		return "alreadyHeld"
	case wire.KindWaitlisted:
		return "waitlisted"
	case wire.KindOffered:
		return "offered"
	case wire.KindCancelled:
		return "cancelled"
	case wire.KindLapsed:
		return "lapsed"
	case wire.KindClosed:
		return "closed"
	case wire.KindPaymentBegun:
		return "paymentBegun"
	case wire.KindConfirmed:
		return "confirmed"
	case wire.KindAuthorisationRefused:
		return "authorisationRefused"
	case wire.KindFrozen:
		return "frozen"
	case wire.KindTicketsRefunded:
		return "ticketsRefunded"
	case wire.KindRevoked:
		return "revoked"
	}
	return "unknown"
}
