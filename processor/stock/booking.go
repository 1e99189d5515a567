package stock

import (
	"fairgate/internal/sale"
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

// booking is one booking, in as few bytes as its story needs. Indexes are none where there is nothing.
type booking struct {
	id       wire.ID
	user     wire.ID
	attempt  wire.ID // that confirmed it; zero before
	deadline int64   // elapsed, µs, by status
	order    int64   // offset of the record that made it
	extended int64   // by payment causes so far, µs
	event    int32
	older    int32 // the user's booking for the event before this one
	prev     int32 // in the event's list, which is in log order
	next     int32
	lines    int32
	waiter   int32
	refusals int32 // the newest
	refund   int32
	count    uint8 // of lines
	refused  uint8 // attempts remembered
	status   status
	reason   wire.Reason // of the end
	waited   bool        // its first outcome was Waitlisted
}

// owner is a user within an event.
type owner struct {
	event int32
	user  wire.ID
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

func (m *Machine) booking(at int32) *booking { return m.bookings.at(at) }

func (m *Machine) linesOf(b *booking) []line { return m.lines.items[b.lines : b.lines+int32(b.count)] }

// find returns the booking that the record names, none if it is unknown or of another event.
func (m *Machine) find() (int32, *booking) {
	at, ok := m.bookingAt[m.rec.Ref]
	if !ok {
		return none, nil
	}
	b := m.booking(at)
	if m.events[b.event].id != m.rec.Object {
		return none, nil
	}
	return at, b
}

// add makes a booking and links it to its event and user. Counting its stock is the caller's.
func (m *Machine) add(b booking, lines []line) int32 {
	b.lines, b.count = m.lines.put(lines), uint8(len(lines))
	b.waiter, b.refusals, b.refund, b.next = none, none, none, none
	e := &m.events[b.event]
	b.prev, b.older = e.last, none
	if older, ok := m.owners[owner{b.event, b.user}]; ok && b.status.counts() {
		b.older = older
	}
	at := m.bookings.put(b)
	if b.status.counts() {
		m.owners[owner{b.event, b.user}] = at
	}
	m.bookingAt[b.id] = at
	if e.last == none {
		e.first = at
	} else {
		m.booking(e.last).next = at
	}
	e.last = at
	return at
}

// disown takes a booking out of its user's chain. The chain is newest first and what ends is mostly the newest.
func (m *Machine) disown(at int32) {
	b := m.booking(at)
	key := owner{b.event, b.user}
	head := m.owners[key]
	if head == at {
		if b.older == none {
			delete(m.owners, key)
		} else {
			m.owners[key] = b.older
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

// setDeadline moves the booking in the heap.
func (m *Machine) setDeadline(at int32, elapsed int64) {
	b := m.booking(at)
	b.deadline = elapsed
	m.deadlines.remove(at)
	m.deadlines.add(moment{elapsed, b.order, at})
}

// finish gives a booking its last status. One that was never paid is forgotten after a while; a paid one stays.
func (m *Machine) finish(at int32, s status, reason wire.Reason) {
	b := m.booking(at)
	m.deadlines.remove(at)
	if b.waiter != none {
		m.unwait(at)
	}
	m.disown(at)
	b.status, b.reason, b.deadline = s, reason, 0
	if b.attempt == (wire.ID{}) {
		b.deadline = m.clock.Elapsed() + Remember
		m.ended.add(moment{b.deadline, b.order, at})
	}
}

// forget drops bookings whose end is long enough ago.
func (m *Machine) forget() {
	for range m.limits.Batch {
		at, ok := m.ended.due(m.clock.Elapsed())
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
		older := m.refusals.at(i).older
		m.refusals.drop(i)
		i = older
	}
	m.lines.drop(b.lines, b.count)
	delete(m.bookingAt, b.id)
	m.bookings.drop(at)
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
		m.out.AddFor(e.id, b.id, &wire.Closed{UserKey: user})
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
