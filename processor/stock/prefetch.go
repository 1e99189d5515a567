package stock

import (
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// Prefetch asks for the memory that records will need before they are applied: at step 0 for where their ids are looked
// up, at step 1 for the bookings found there, at step 2 for what those lead to. See engine.Prefetcher.
func (m *Machine) Prefetch(step int, batch []wire.Record) {
	for i := range batch {
		r := &batch[i]
		if r.Kind < wire.KindHold || r.Kind > wire.KindRevoke {
			continue
		}
		switch step {
		case 0:
			m.ids.Prefetch(table.KeyOf(r.Ref))
			m.prefetchUser(r)
		case 1:
			if at := m.ids.Guess(table.KeyOf(r.Ref)); at != none {
				m.prefetchBooking(at)
			}
		default:
			if at := m.ids.Guess(table.KeyOf(r.Ref)); at != none && r.Kind != wire.KindPaymentStarted {
				m.prefetchEnd(r.Kind, m.booking(at))
			}
		}
	}
}

// prefetchUser asks for where a Hold's user is looked up.
func (m *Machine) prefetchUser(r *wire.Record) {
	if user, ok := holdUser(r); ok {
		if at, known := m.eventAt[r.Object]; known {
			m.owners.Prefetch(owner(at, user))
		}
	}
}

// holdUser is the user of a Hold that is not decoded yet: its body begins with the subject behind its length.
func holdUser(r *wire.Record) (user wire.ID, ok bool) {
	if r.Kind != wire.KindHold || len(r.Body) == 0 || len(r.Body) < 17+int(r.Body[0]) {
		return user, false
	}
	copy(user[:], r.Body[1+int(r.Body[0]):])
	return user, true
}

// prefetchBooking asks for both lines of a booking.
func (m *Machine) prefetchBooking(at int32) {
	b := m.booking(at)
	table.Prefetch(&b.deadline)
	table.Prefetch(&b.extended)
}

// prefetchEnd asks for what a booking's payment or end touches: its place on the agenda, and its user unless it is paid.
func (m *Machine) prefetchEnd(k wire.Kind, b *booking) {
	if b.place != none {
		m.deadlines.Prefetch(b.deadline, b.place)
	}
	if k != wire.KindAuthorised {
		m.owners.Prefetch(owner(b.event, b.user))
	}
}

// prefetchAround asks for what a deadline will touch: the user of a booking that ends, the id and the neighbours in the
// event's list of one that is forgotten.
func (m *Machine) prefetchAround(at int32) {
	b := m.booking(at)
	if b.status == lapsed || b.status == frozen {
		m.owners.Prefetch(owner(b.event, b.user))
	}
	if b.status.counts() {
		return
	}
	m.ids.Prefetch(table.KeyOf(b.id))
	if b.prev != none {
		table.Prefetch(&m.booking(b.prev).extended)
	}
	if b.next != none {
		table.Prefetch(&m.booking(b.next).extended)
	}
}
