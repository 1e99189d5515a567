package model

import "fairgate/internal/wire"

// orders is the simple model of the log `orders`: what is on sale, who holds what, what was sold.
type orders struct {
	limits   Limits
	events   map[int64]*event
	bookings map[wire.ID]*booking
	due      line[moment]        // deadlines
	ended    line[moment]        // bookings to be forgotten
	passes   map[passKey]wire.ID // passes that bought, and for whom
	expiring line[usedPass]
	ordered  []*event // in the order of definition

	// Of the turn.
	clock  *logClock
	seq    uint64
	offset int64
	out    []expected
}

// event is one event on sale.
type event struct {
	id        int64
	def       wire.DefineEvent
	selling   bool
	cancelled bool
	changed   uint64     // number of the outcome of its last operator's change
	owed      bool       // the waitlist has not been served since stock came back
	sweep     []*booking // still to be ended because the event was cancelled
	prices    int        // how many there were so far
	types     []*ticketType
	bookings  []*booking             // in log order
	waiting   []*booking             // in log order
	users     map[wire.ID][]*booking // in log order
	perMethod uint16                 // bookings that one payment method may pay for; 0 for no limit
	paidBy    map[wire.ID]int        // how many each method paid for while there was a limit
}

type ticketType struct {
	def        wire.DefineType
	target     int64
	held, sold int64
}

// capacity is how many tickets there are: the target, or what is in use while that is more.
func (t *ticketType) capacity() int64 { return max(t.target, t.held+t.sold) }
func (t *ticketType) free() int64     { return t.capacity() - t.held - t.sold }

func (t *ticketType) numbers() wire.Stock {
	return wire.Stock{Type: t.def.Type, Capacity: uint32(t.capacity()), Target: uint32(t.target),
		Held: uint32(t.held), Sold: uint32(t.sold), Free: uint32(t.free())}
}

func newOrders(l Limits) *orders {
	return &orders{limits: l.filled(), events: map[int64]*event{}, bookings: map[wire.ID]*booking{}, passes: map[passKey]wire.ID{},
		due: line[moment]{less: sooner}, ended: line[moment]{less: sooner}, expiring: line[usedPass]{less: usedPass.before}}
}

func (o *orders) judge(t *turn) {
	o.clock, o.seq, o.offset, o.out = t.clock, t.seq, t.offset, nil
	if t.tick {
		o.tick()
	} else {
		o.checkUser(t)
		understood := o.command(t.record)
		if e := o.events[t.record.Object]; e != nil && understood {
			budget := o.limits.Batch
			o.serve(e, &budget)
		}
	}
	for i := range max(len(o.out), len(t.got)) {
		switch {
		case i >= len(t.got):
			t.fail(3, "%s about %s is missing", Text(o.out[i].Body), wire.Hex(o.out[i].Ref))
		case i >= len(o.out):
			t.fail(3, "outcome number %d (%s) should not be there", t.got[i].Seq, Text(t.got[i].Decoded))
		default:
			if d := differ(o.out[i], t.got[i]); d != "" {
				t.fail(2, "%s", d)
			}
		}
		if len(t.out) > 0 {
			return
		}
	}
	o.check(t)
}

// check holds the model's own state against invariant 1, so that a mistake here cannot hide one there.
func (o *orders) check(t *turn) {
	e := o.events[t.record.Object]
	if e == nil {
		return
	}
	for _, k := range e.types {
		if k.held < 0 || k.sold < 0 || k.free() < 0 {
			t.fail(1, "event %d, ticket type %d: held %d, sold %d, target %d", e.id, k.def.Type, k.held, k.sold, k.target)
		}
	}
}

// checkUser holds a user key against its subject. The machine does not: whoever could append the one to the log could
// append the other, and its time is dear.
func (o *orders) checkUser(t *turn) {
	var h wire.Hold
	if t.record.Kind != wire.KindHold || t.record.DecodeInto(&h) != nil || !validHold(t.record, &h) {
		return
	}
	if h.UserKey != userKey(h.Subject) {
		t.fail(2, "the hold for booking %s by %q carries a user key that does not belong to the subject: %s", wire.Hex(t.record.Ref),
			h.Subject, wire.Hex(h.UserKey))
	}
}

func (o *orders) say(object int64, ref wire.ID, b wire.Body) {
	o.out = append(o.out, expected{object, ref, b})
}

// methodsSince is the version of the machine that brought limits per payment method: before a leader of that version the
// log knows no such records.
const methodsSince = 3

// command decides a record. Bodies that cannot be decoded and unknown kinds are rejected, and move nothing at all.
func (o *orders) command(r wire.Record) (understood bool) {
	body := wire.NewOrder(r.Kind)
	newer := r.Kind == wire.KindSetMethodLimit || r.Kind == wire.KindAuthorisedBy
	if body == nil || newer && o.clock.Code < methodsSince {
		o.say(r.Object, r.Ref, &wire.Rejected{Reason: wire.ReasonUnknownKind})
		return false
	}
	if r.DecodeInto(body) != nil {
		o.say(r.Object, r.Ref, &wire.Rejected{Reason: wire.ReasonUndecodable})
		return false
	}
	switch b := body.(type) {
	case *wire.DefineEvent:
		o.defineEvent(r, b)
	case *wire.DefineType:
		o.defineType(r, b)
	case *wire.SetCapacity:
		o.setCapacity(r, b)
	case *wire.SetPrice:
		o.setPrice(r, b)
	case *wire.SetSelling:
		o.setSelling(r, b)
	case *wire.SetMethodLimit:
		o.setMethodLimit(r, b)
	case *wire.CancelEvent:
		o.cancelEvent(r)
	case *wire.Hold:
		o.hold(r, b)
	case *wire.Cancel:
		o.cancel(r, b)
	case *wire.PaymentStarted:
		o.paymentStarted(r, b)
	case *wire.Extend:
		o.extend(r, b)
	case *wire.Authorised:
		o.authorised(r, b, wire.ID{})
	case *wire.AuthorisedBy:
		o.authorised(r, &b.Authorised, b.Method)
	case *wire.CaptureFailed:
		o.captureFailed(r, b)
	case *wire.Refunded:
		o.refunded(r, b)
	case *wire.Revoke:
		o.revoke(r, b)
	default:
		o.reject(r, wire.ReasonUnknownKind)
		return false
	}
	return true
}

func (o *orders) refuse(r wire.Record, why wire.Reason) {
	o.say(r.Object, r.Ref, &wire.Refused{Reason: why, Command: r.Kind})
}

func (o *orders) reject(r wire.Record, why wire.Reason) {
	o.say(r.Object, r.Ref, &wire.Rejected{Reason: why})
}

// again answers a command whose effect is there already.
func (o *orders) again(r wire.Record, first wire.Kind, ref wire.ID) {
	o.say(r.Object, r.Ref, &wire.Repeated{FirstKind: first, FirstRef: ref})
}

// Limits are those that the stock machine was made with; zero means its default. They decide outcomes.
type Limits struct {
	Events   int // known at once [10,000]
	Bookings int // known at once [4,000,000]
	Waiting  int // per event [20,000]
	Passes   int // used and not expired [2,000,000]
	Batch    int // deadlines, offers and endings, each, that one record may cause [1,000]
}

func (l Limits) filled() Limits {
	usual := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	usual(&l.Events, 10_000)
	usual(&l.Bookings, 4_000_000)
	usual(&l.Waiting, 20_000)
	usual(&l.Passes, 2_000_000)
	usual(&l.Batch, 1_000)
	return l
}

// Limits of what may be defined.
const (
	maxTypes    = 64
	maxPrices   = 4096
	maxLength   = 7 * 24 * 3600 * second
	maxPassLife = 24 * 3600 * second
	maxRefusals = 16
	maxCapacity = 10_000_000
	maxPrice    = 10_000_000_000
	maxTaxRate  = 1_000_000
	maxQuantity = 100
)

// moment is when something happens to a booking. The heap may hold moments that have since been moved.
type moment struct {
	at int64 // elapsed
	b  *booking
}

func sooner(a, b moment) bool { return a.at < b.at || a.at == b.at && a.b.order < b.b.order }

func (o *orders) setDeadline(b *booking, at int64) {
	b.deadline = at
	o.due.add(moment{at, b})
}
