package stock

import (
	"fairgate/internal/sale"
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

type status uint8

const (
	waitlisted status = iota + 1
	held
	offered
	lapsed // a payment may still be granted
	confirmed
	frozen // sold, but its money could not be taken
	refundedWhole
	cancelled
	closed
	revoked
	lastStatus = revoked
)

// live bookings keep their user from another hold for the event.
func (s status) live() bool { return s == waitlisted || s == held || s == offered }

// reserves says that the booking's tickets count as held.
func (s status) reserves() bool { return s == held || s == offered }

// sells says that the booking's tickets count as sold.
func (s status) sells() bool { return s == confirmed || s == frozen }

// counts says that the booking belongs to its user's chain.
func (s status) counts() bool { return s >= waitlisted && s <= frozen }

// timed bookings have a deadline.
func (s status) timed() bool { return s.reserves() || s == lapsed || s == frozen }

// booking is one booking, in as few bytes as its story needs. Indexes are none where there is nothing. What most
// commands look at fills the first of its two cache lines.
type booking struct {
	id       wire.ID
	user     wire.ID
	deadline int64 // elapsed, µs, by status
	order    int64 // offset of the record that made it
	event    int32
	older    int32   // the user's booking for the event before this one
	line     [1]line // if it has one
	count    uint8   // of lines
	status   status
	reason   wire.Reason // of the end
	waited   bool        // its first outcome was Waitlisted

	attempt  wire.ID // that confirmed it; zero before
	extended int64   // by payment causes so far, µs
	prev     int32   // in the event's list, which is in log order
	next     int32
	place    int32 // on the agenda's day: of deadlines while it is timed, of the ended ones afterwards
	lines    int32 // if it has several
	waiter   int32
	refusals int32 // the newest
	refund   int32
	payer    int32 // whom it counts for
	refused  uint8 // attempts remembered
}

// refusal is a payment attempt that was refused for good.
type refusal struct {
	attempt wire.ID
	older   int32
	reason  wire.Reason
}

// refund is what a booking gave back. A refund names at least one new ticket, so ids are bounded by MaxTickets.
type refund struct {
	tickets [(wire.MaxTickets + 63) / 64]uint64
	ids     []wire.ID
}

func (f *refund) has(ticket uint16) bool { return f.tickets[ticket/64]>>(ticket%64)&1 == 1 }

func (m *Machine) booking(at int32) *booking { return m.bookings.At(at) }

// find returns the booking that the record names, none if it is unknown or of another event.
func (m *Machine) find() (int32, *booking) {
	at, ok := m.bookingAt(m.rec.Ref)
	if !ok {
		return none, nil
	}
	b := m.booking(at)
	if b.event != m.event {
		return none, nil
	}
	return at, b
}

// add makes a booking and links it to its event and user, whose newest one it has as older. Counting its stock is the
// caller's.
func (m *Machine) add(b booking, lines []line) int32 {
	at := m.keep(b, lines)
	m.enter(at)
	return at
}

// keep puts a booking at the end of its event's list, where it is not found by its id or user yet.
func (m *Machine) keep(b booking, lines []line) int32 {
	m.keepLines(&b, lines)
	b.waiter, b.refusals, b.refund, b.payer, b.next, b.place = none, none, none, none, none, none
	e := &m.events[b.event]
	b.prev = e.last
	at := m.bookings.Put(b)
	if e.last == none {
		e.first = at
	} else {
		m.booking(e.last).next = at
	}
	e.last = at
	return at
}

// enter lets a booking be found; it has its user's newest one as older.
func (m *Machine) enter(at int32) {
	b := m.booking(at)
	if b.status.counts() {
		m.own(at)
	}
	m.ids.Put(table.KeyOf(b.id), at)
}

// own makes a booking the newest of its user's chain.
func (m *Machine) own(at int32) {
	b := m.booking(at)
	if b.older == none {
		m.owners.Put(owner(b.event, b.user), at)
		return
	}
	m.owners.Move(owner(b.event, b.user), b.older, at)
}

// disown takes a booking out of its user's chain. The chain is newest first and what ends is mostly the newest.
func (m *Machine) disown(at int32) {
	b := m.booking(at)
	key := owner(b.event, b.user)
	head := m.newest(b.event, b.user)
	if head == at {
		if b.older == none {
			m.owners.Remove(key, at)
		} else {
			m.owners.Move(key, at, b.older)
		}
		return
	}
	for i := head; i != none; i = m.booking(i).older {
		if o := m.booking(i); o.older == at {
			o.older = b.older
			return
		}
	}
}

// setDeadline moves the booking on the agenda.
func (m *Machine) setDeadline(at int32, elapsed int64) {
	m.strike(&m.deadlines, at)
	m.booking(at).deadline = elapsed
	m.note(&m.deadlines, at)
}

// finish gives a booking its last status. One that was never paid is forgotten after a while; a paid one stays.
func (m *Machine) finish(at int32, s status, reason wire.Reason) {
	b := m.booking(at)
	m.strike(&m.deadlines, at)
	if b.waiter != none {
		m.unwait(at)
	}
	m.disown(at)
	b.status, b.reason, b.deadline = s, reason, 0
	if b.attempt == (wire.ID{}) {
		b.deadline = m.clock.Elapsed() + Remember
		m.note(&m.ended, at)
	}
}

// forget drops bookings whose end is long enough ago.
func (m *Machine) forget() {
	for range m.limits.Batch {
		at, ok := m.due(&m.ended, m.clock.Elapsed())
		if !ok {
			return
		}
		m.drop(at)
	}
}

func (m *Machine) drop(at int32) {
	b := m.booking(at)
	e := &m.events[b.event]
	if e.sweep == at {
		e.sweep = b.next
	}
	if b.prev == none {
		e.first = b.next
	} else {
		m.booking(b.prev).next = b.next
	}
	if b.next == none {
		e.last = b.prev
	} else {
		m.booking(b.next).prev = b.prev
	}
	for i := b.refusals; i != none; {
		older := m.refusals.At(i).older
		m.refusals.Drop(i)
		i = older
	}
	if b.lines != none {
		m.lines.Drop(b.lines)
	}
	m.ids.Remove(table.KeyOf(b.id), at)
	m.bookings.Drop(at)
}

// expire does what a booking's deadline means for its status.
func (m *Machine) expire(at int32) {
	b := m.booking(at)
	e := &m.events[b.event]
	switch b.status {
	case held, offered:
		m.giveBack(at)
		b.status = lapsed
		m.setDeadline(at, m.clock.Elapsed()+e.def.Grace)
		m.lapsed = wire.Lapsed{UserKey: b.user, Stock: m.stockOf(b)}
		m.out.AddFor(e.id, b.id, &m.lapsed)
	case lapsed:
		user := b.user
		m.finish(at, closed, wire.ReasonLapsed)
		m.closed.UserKey = user
		m.out.AddFor(e.id, b.id, &m.closed)
	case frozen:
		m.end(at, revoked, wire.ReasonCaptureFailed, true)
	}
}

// end finishes a booking for good, with the outcome that says so. returns says whether sold stock becomes free; held
// stock always does.
func (m *Machine) end(at int32, s status, reason wire.Reason, returns bool) {
	b := m.booking(at)
	var stock []wire.Stock
	switch {
	case b.status.reserves():
		m.giveBack(at)
		stock = m.stockOf(b)
	case b.status.sells():
		m.takeBack(at, returns)
		stock = m.stockOf(b)
	}
	m.finish(at, s, reason)
	event := m.events[b.event].id
	if s == revoked {
		m.revoked = wire.Revoked{UserKey: b.user, Reason: reason, Stock: stock}
		m.out.AddFor(event, b.id, &m.revoked)
		return
	}
	m.cancelled = wire.Cancelled{UserKey: b.user, Reason: reason, Stock: stock}
	m.out.AddFor(event, b.id, &m.cancelled)
}

// cancel gives a hold, an offer or a place on the waitlist back.
func (m *Machine) cancel(x *wire.Cancel) {
	at, b := m.find()
	shop := x.UserKey == (wire.ID{})
	switch {
	case b == nil:
		m.refuse(wire.ReasonUnknownRef)
	case !shop && x.UserKey != b.user:
		m.refuse(wire.ReasonNotYours)
	case b.status == cancelled:
		m.repeat(wire.KindCancelled, b.id)
	case !b.status.live():
		m.refuse(wire.ReasonWrongState)
	default:
		m.end(at, cancelled, reasonOr(x.Reason, shop), true)
	}
}

func reasonOr(r wire.Reason, shop bool) wire.Reason {
	switch {
	case r != wire.ReasonNone:
		return r
	case shop:
		return wire.ReasonCancelledByShop
	}
	return wire.ReasonCancelledByUser
}

// wall is the instant of a booking's deadline as it stands.
func (m *Machine) wall(b *booking) sale.Micros { return m.clock.Wall(b.deadline) }
