package verify

import (
	"fmt"

	"fairgate/internal/wire"
)

// fold is what Postgres must hold of one partition of `orders`: its outcomes up to one number, folded.
type fold struct {
	partition int32
	next      uint64 // the first outcome that is not in it
	seq       uint64 // of the newest outcome taken
	hash      uint64 // the running hash after it
	outage    int64
	now       int64

	bookings map[wire.ID]*booking
	events   map[int64]*event
	commands map[wire.ID]answer
	causes   map[obligation]int64 // obligations that must have a row, and their event
	heads    heads
}

type event struct {
	defined   bool
	selling   bool
	cancelled bool
	perMethod uint16
	changed   uint64
	types     map[uint32]*ticketType
	bookings  []*booking
}

type ticketType struct {
	stock   wire.Stock
	price   wire.Price
	changed uint64
}

type booking struct {
	event    int64
	user     string
	key      wire.ID
	status   string
	total    int64
	deadline int64 // elapsed; 0 for none
	base     wire.ID
	made     string // the status that it began with
	offset   int64
	first    uint64
	lines    []wire.HeldLine
	tickets  []ticket
	seen     bool
}

type ticket struct {
	kind   uint32
	amount int64
	status string
}

// answer is a command's first outcome.
type answer struct {
	seq   uint64
	at    int64
	event int64
	hold  bool // the answer to a Hold, whose caller may ask for it
}

// obligation is a row of the outbox.
type obligation struct{ kind, cause string }

func newFold(partition int32, next uint64) *fold {
	return &fold{partition: partition, next: next, bookings: map[wire.ID]*booking{}, events: map[int64]*event{}, commands: map[wire.ID]answer{},
		causes: map[obligation]int64{}}
}

// take folds one outcome in, unless Postgres has not come to it yet.
func (f *fold) take(o wire.Outcome, body wire.Body) {
	if o.Seq >= f.next {
		return
	}
	f.seq, f.hash, f.now = o.Seq, o.Hash, o.At
	if o.Index == 0 && o.Command != (wire.ID{}) && !passing(body) {
		if _, again := f.commands[o.Command]; !again {
			f.commands[o.Command] = answer{o.Seq, o.At, o.Object, answersHold(body)}
		}
	}
	f.numbers(o, body)
	f.heads.take(o, body)
	switch b := body.(type) {
	case *wire.Extended:
		f.extended(o, b)
	case *wire.EventDefined, *wire.TypeDefined, *wire.CapacitySet, *wire.PriceSet, *wire.SellingSet, *wire.MethodLimitSet,
		*wire.EventCancelled:
		f.operated(o, body)
	case *wire.Held:
		f.reserved(o, &b.Reserved, "held")
	case *wire.Offered:
		f.reserved(o, &b.Reserved, "offered")
	case *wire.Waitlisted:
		lines := make([]wire.HeldLine, len(b.Lines))
		for i, l := range b.Lines {
			lines[i] = wire.HeldLine{Type: l.Type, Quantity: l.Quantity, Seat: l.Seat}
		}
		f.begin(o, &booking{user: string(b.Subject), key: b.UserKey, status: "waitlisted", base: b.TicketBase, lines: lines})
	case *wire.AuthorisationRefused:
		if len(b.Intent) > 0 {
			f.oblige(o, "payment:void")
		}
	default:
		if k := f.bookings[o.Ref]; k != nil {
			f.moved(o, k, body)
		}
	}
}

// passing says that a command came to nothing, this time: too late, or too many at once. Sent again it may be decided.
func passing(b wire.Body) bool {
	r, ok := b.(*wire.Rejected)
	return ok && (r.Reason == wire.ReasonExpired || r.Reason == wire.ReasonFull)
}

func answersHold(b wire.Body) bool {
	switch b := b.(type) {
	case *wire.Held, *wire.Waitlisted, *wire.AlreadyHeld:
		return true
	case *wire.Refused:
		return b.Command == wire.KindHold
	}
	return false
}

func (f *fold) oblige(o wire.Outcome, kind string) {
	f.causes[obligation{kind, fmt.Sprintf("orders/%d/%d", f.partition, o.Seq)}] = o.Object
}

func (f *fold) event(id int64) *event {
	if f.events[id] == nil {
		f.events[id] = &event{types: map[uint32]*ticketType{}}
	}
	return f.events[id]
}

func (e *event) kind(id uint32) *ticketType {
	if e.types[id] == nil {
		e.types[id] = &ticketType{}
	}
	return e.types[id]
}

// numbers keeps the newest numbers of every type.
func (f *fold) numbers(o wire.Outcome, body wire.Body) {
	for _, s := range stocks(body) {
		f.event(o.Object).kind(s.Type).stock = s
	}
}

func (f *fold) operated(o wire.Outcome, body wire.Body) {
	e := f.event(o.Object)
	e.changed = o.Seq
	switch b := body.(type) {
	case *wire.EventDefined:
		e.defined, e.selling = true, true
	case *wire.TypeDefined:
		k := e.kind(b.Type.Type)
		k.price, k.changed = b.Type.Price, o.Seq
	case *wire.CapacitySet:
		e.kind(b.Stock.Type).changed = o.Seq
	case *wire.PriceSet:
		k := e.kind(b.Type)
		k.price, k.changed = b.Price, o.Seq
	case *wire.SellingSet:
		e.selling = b.Selling
	case *wire.MethodLimitSet:
		e.perMethod = b.PerMethod
	case *wire.EventCancelled:
		e.selling, e.cancelled = false, true
	}
}

// begin makes a booking. An id whose booking was forgotten unpaid may come again.
func (f *fold) begin(o wire.Outcome, b *booking) {
	b.event, b.offset, b.first, b.made = o.Object, o.Offset, o.Seq, b.status
	f.bookings[o.Ref] = b
	e := f.event(o.Object)
	e.bookings = append(e.bookings, b)
}

func (f *fold) reserved(o wire.Outcome, r *wire.Reserved, status string) {
	b := f.bookings[o.Ref]
	if status == "held" || b == nil {
		b = &booking{user: string(r.Subject), key: r.UserKey, base: r.TicketBase, status: status}
		f.begin(o, b)
	}
	b.status, b.total, b.deadline, b.lines = status, r.Total, r.Deadline, append([]wire.HeldLine(nil), r.Lines...)
}

func (b *booking) live() bool {
	return b.status == "held" || b.status == "offered" || b.status == "frozen"
}

func (f *fold) extended(o wire.Outcome, x *wire.Extended) {
	switch {
	case x.Scope == 1 && o.Object == 0:
		f.outage += x.By
	case x.Scope == 1:
		for _, b := range f.event(o.Object).bookings {
			if b.live() {
				b.deadline += x.By
			}
		}
	default:
		if b := f.bookings[o.Ref]; b != nil && b.live() {
			b.deadline = x.Until - f.outage
		}
	}
}

// moved takes a booking on in its life.
func (f *fold) moved(o wire.Outcome, b *booking, body wire.Body) {
	switch x := body.(type) {
	case *wire.Lapsed:
		b.ended("lapsed")
	case *wire.Closed:
		b.ended("closed")
	case *wire.Cancelled:
		b.ended("cancelled")
	case *wire.Confirmed:
		b.ended("confirmed")
		b.sell()
		if x.Amount > 0 {
			f.oblige(o, "payment:capture")
		}
	case *wire.Frozen:
		b.status, b.deadline = "frozen", x.Deadline
		b.mark("confirmed", "frozen")
	case *wire.TicketsRefunded:
		for _, n := range x.Tickets {
			if int(n) < len(b.tickets) {
				b.tickets[n].status = "refunded"
			}
		}
		if x.Whole {
			b.ended("refunded")
		}
	case *wire.Revoked:
		b.ended("revoked")
		b.mark("confirmed", "revoked")
		b.mark("frozen", "revoked")
	}
}

func (b *booking) ended(status string) { b.status, b.deadline = status, 0 }

func (b *booking) mark(from, to string) {
	for i := range b.tickets {
		if b.tickets[i].status == from {
			b.tickets[i].status = to
		}
	}
}

// sell makes the tickets, or lets those count again that were frozen. A line's total is split evenly; the minor units
// that do not divide are on its first tickets.
func (b *booking) sell() {
	if len(b.tickets) > 0 {
		b.mark("frozen", "confirmed")
		return
	}
	for _, l := range b.lines {
		n := int64(l.Quantity)
		for i := range n {
			t := ticket{l.Type, l.Total / n, "confirmed"}
			if i < l.Total%n {
				t.amount++
			}
			b.tickets = append(b.tickets, t)
		}
	}
}

// ticketID is the id of a booking's n-th ticket: the base counted up in its last three bytes.
func ticketID(base wire.ID, n int) wire.ID {
	low := (int(base[13])<<16 | int(base[14])<<8 | int(base[15])) + n
	base[13], base[14], base[15] = byte(low>>16), byte(low>>8), byte(low)
	return base
}
