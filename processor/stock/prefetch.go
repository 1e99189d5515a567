package stock

import (
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// prefetching is how many records are followed at once, at most; further ones are not.
const prefetching = 16

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
			if at := m.ids.Guess(table.KeyOf(r.Ref)); at != none {
				m.prefetchAround(at)
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

// prefetchAround asks for what ending a booking touches: its user, its id, its neighbours in the event's list.
func (m *Machine) prefetchAround(at int32) {
	b := m.booking(at)
	m.owners.Prefetch(owner(b.event, b.user))
	m.ids.Prefetch(table.KeyOf(b.id))
	if b.status.counts() {
		return
	}
	if b.prev != none {
		table.Prefetch(&m.booking(b.prev).extended)
	}
	if b.next != none {
		table.Prefetch(&m.booking(b.next).extended)
	}
}
