package simulation

import (
	"context"
	"time"

	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// rows is store.Projection over the simulated database: the same effects, of which only what the fold checks is kept.
type rows struct{ pg *postgres }

// booking is a row of bookings.
type booking struct {
	event    int64
	status   string
	total    int64
	deadline int64 // elapsed log time
	expires  int64 // instant; 0 for none
	first    uint64
	last     uint64
}

func (b *booking) live() bool {
	return b.status == "held" || b.status == "offered" || b.status == "frozen"
}

// eventRow and typeRow are rows of events and ticket_types.
type eventRow struct {
	selling, cancelled bool
	changed            uint64
	perCard            uint16
}

type typeRow struct {
	stock wire.Stock
	price wire.Price
}

// commandRow is a row of commands.
type commandRow struct {
	seq     uint64
	outcome string
	booking wire.ID
}

// obligation is what a row of the outbox is known by, beside its cause.
var (
	obligeCapture = wire.ID{'c'}
	obligeVoid    = wire.ID{'v'}
	obligeOther   = wire.ID{'o'}
)

func (r rows) booking(id wire.ID, change func(b *booking)) {
	k := key{table: tableBooking, id: id}
	old, ok := r.pg.rows[k].(*booking)
	if !ok {
		return
	}
	b := *old
	change(&b)
	r.pg.set(k, &b)
}

// EventChanged and those below do what their namesakes of store.Projection do.
func (r rows) EventChanged(f store.Fact, selling, cancelled *bool) {
	k := key{table: tableEvent, n: f.Event}
	e, _ := r.pg.rows[k].(eventRow)
	if selling != nil {
		e.selling = *selling
	}
	if cancelled != nil {
		e.cancelled = *cancelled
	}
	e.changed = f.Seq
	r.pg.set(k, e)
}

// CardLimit sets an event's limit.
func (r rows) CardLimit(f store.Fact, most uint16) {
	k := key{table: tableEvent, n: f.Event}
	e, _ := r.pg.rows[k].(eventRow)
	e.perCard = most
	r.pg.set(k, e)
}

// TypeChanged keeps nothing here.
func (rows) TypeChanged(store.Fact, uint32) {}

func typeKey(event int64, kind uint32) key {
	return key{table: tableType, n: event, id: wire.ID{byte(kind), byte(kind >> 8)}}
}

// Price sets a type's price.
func (r rows) Price(event int64, kind uint32, price wire.Price) {
	t, _ := r.pg.rows[typeKey(event, kind)].(typeRow)
	t.price = price
	r.pg.set(typeKey(event, kind), t)
}

// Stock sets a type's numbers.
func (r rows) Stock(event int64, s wire.Stock) {
	t, _ := r.pg.rows[typeKey(event, s.Type)].(typeRow)
	t.stock = s
	r.pg.set(typeKey(event, s.Type), t)
}

func (r rows) begin(f store.Fact, status string, total, deadline, expires int64) {
	r.pg.set(key{table: tableBooking, id: f.Booking}, &booking{f.Event, status, total, deadline, expires, f.Seq, f.Seq})
}

// Held makes a booking.
func (r rows) Held(f store.Fact, x *wire.Reserved, _ wire.ID) {
	r.begin(f, "held", x.Total, x.Deadline, x.Expires)
}

// Waitlisted makes a booking that waits.
func (r rows) Waitlisted(f store.Fact, _ *wire.Waitlisted) { r.begin(f, "waitlisted", 0, 0, 0) }

// Offered turns it into a hold.
func (r rows) Offered(f store.Fact, x *wire.Reserved) {
	r.booking(f.Booking, func(b *booking) {
		b.status, b.total, b.deadline, b.expires, b.last = "offered", x.Total, x.Deadline, x.Expires, f.Seq
	})
}

// Status moves a booking to a status without a deadline.
func (r rows) Status(f store.Fact, status, _ string) {
	r.booking(f.Booking, func(b *booking) { b.status, b.deadline, b.expires, b.last = status, 0, 0, f.Seq })
}

// Deadline moves one live booking's deadline.
func (r rows) Deadline(f store.Fact, deadline, expires int64) {
	r.booking(f.Booking, func(b *booking) {
		if b.live() {
			b.deadline, b.expires, b.last = deadline, expires, f.Seq
		}
	})
}

// DeadlinesOfEvent moves those of an event.
func (r rows) DeadlinesOfEvent(f store.Fact, by int64) {
	for id := range r.pg.live {
		r.booking(id, func(b *booking) {
			if b.event == f.Event {
				b.deadline += by
				b.expires += by
			}
		})
	}
}

// Outage moves the instants of all.
func (r rows) Outage(by int64) {
	for id := range r.pg.live {
		r.booking(id, func(b *booking) { b.expires += by })
	}
}

// Frozen freezes a sold booking.
func (r rows) Frozen(f store.Fact, _ wire.ID, deadline, expires int64) {
	r.booking(f.Booking, func(b *booking) { b.status, b.deadline, b.expires, b.last = "frozen", deadline, expires, f.Seq })
}

// Confirmed sells a booking.
func (r rows) Confirmed(f store.Fact, _ *wire.Confirmed) { r.Status(f, "confirmed", "") }

func (r rows) oblige(f store.Fact, kind wire.ID) {
	r.pg.set(key{table: tableOutbox, n: int64(f.Seq), id: kind}, true)
}

// Capture obliges to take the money.
func (r rows) Capture(f store.Fact, _ *wire.Confirmed, _ string) { r.oblige(f, obligeCapture) }

// AttemptRefused keeps nothing here.
func (rows) AttemptRefused(store.Fact, wire.ID, string) {}

// TicketsRefunded ends tickets, and with the last of them the booking.
func (r rows) TicketsRefunded(f store.Fact, t *wire.TicketsRefunded) {
	if t.Whole {
		r.Status(f, "refunded", "")
		return
	}
	r.booking(f.Booking, func(b *booking) { b.last = f.Seq })
}

// Revoked ends a booking.
func (r rows) Revoked(f store.Fact, reason string) { r.Status(f, "revoked", reason) }

// Oblige adds an obligation.
func (r rows) Oblige(f store.Fact, kind string, _ any) error {
	if kind == "payment:void" {
		r.oblige(f, obligeVoid)
	} else {
		r.oblige(f, obligeOther)
	}
	return nil
}

// VoidBooking and Notify keep nothing here.
func (rows) VoidBooking(store.Fact) {}

// Notify keeps nothing here.
func (rows) Notify(store.Fact, string, any) error { return nil }

// ChainHead stores the head of the chain at a tick.
func (r rows) ChainHead(f store.Fact, chain wire.Hash) {
	r.pg.set(key{table: tableHead, n: f.Offset}, chain)
}

// Answer remembers the first outcome of a command.
func (r rows) Answer(f store.Fact, command wire.ID, outcome string, _ any) error {
	k := key{table: tableCommand, id: command}
	if r.pg.rows[k] == nil {
		r.pg.set(k, commandRow{f.Seq, outcome, f.Booking})
	}
	return nil
}

// ForgetAnswers would forget those of yesterday; no world is that old.
func (rows) ForgetAnswers(time.Time, int) {}

// KnownEvents knows every event: its row is the operator's, not the projection's.
func (rows) KnownEvents(_ context.Context, ids []int64) (map[int64]bool, error) {
	known := make(map[int64]bool, len(ids))
	for _, id := range ids {
		known[id] = true
	}
	return known, nil
}
