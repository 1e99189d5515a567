package stock

import (
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// Prefetch asks for the memory that records will need before they are applied: at step 0 for where their ids are looked
// up, at step 1 for the bookings found there and for those that holds will take, at step 2 for what those lead to. See
// engine.Prefetcher.
func (m *Machine) Prefetch(step int, first int64, batch []wire.Record) {
	holds := 0
	for i := range batch {
		r := &batch[i]
		if r.Kind < wire.KindHold || r.Kind > wire.KindAuthorisedBy {
			continue
		}
		offset := first + int64(i)
		switch step {
		case 0:
			m.ids.Prefetch(table.KeyOf(r.Ref))
			m.prefetchUser(r)
			m.prefetchPayer(r)
		case 1:
			at := m.ids.Guess(table.KeyOf(r.Ref))
			m.foresee(offset, at)
			if at != none {
				m.prefetchBooking(m.booking(at))
			} else if r.Kind == wire.KindHold {
				m.prefetchNew(m.holds + holds)
				holds++
			}
		default:
			if at := m.foresaw(offset); at != none && r.Kind != wire.KindPaymentStarted {
				m.prefetchEnd(r.Kind, m.booking(at))
			}
		}
	}
	if step == 1 {
		m.holds = holds
	}
}

// ring is how many of the last records' meanings are kept: more than are under way at once.
const ring = 64

// foreseen is what Prefetch found out. It spares looking again and decides nothing: who uses it compares ids.
type foreseen struct {
	means [ring]meaning // of the last records, by offset
	holds int           // among the records told of last: they come first and may each take a new booking
}

// meaning is the booking that a record's id seems to mean.
type meaning struct {
	after   int64 // the record's offset and one
	booking int32
}

func (f *foreseen) foresee(offset int64, booking int32) {
	f.means[uint64(offset)%ring] = meaning{offset + 1, booking}
}

// foresaw is the booking that the record at an offset seems to mean, or none.
func (f *foreseen) foresaw(offset int64) int32 {
	if w := &f.means[uint64(offset)%ring]; w.after == offset+1 {
		return w.booking
	}
	return none
}

// prefetchUser asks for where a Hold's user is looked up.
func (m *Machine) prefetchUser(r *wire.Record) {
	if user, ok := holdUser(r); ok {
		if at, known := m.eventAt[r.Object]; known {
			m.owners.Prefetch(owner(at, user))
		}
	}
}

// prefetchPayer asks for where the method behind an authorisation is looked up. The body begins with it.
func (m *Machine) prefetchPayer(r *wire.Record) {
	if r.Kind != wire.KindAuthorisedBy || len(r.Body) < 16 {
		return
	}
	if at, known := m.eventAt[r.Object]; known {
		m.payerAt.Prefetch(payerKey(at, wire.ID(r.Body[:16])))
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

// prefetchNew asks for the memory of a new booking, others being made before it.
func (m *Machine) prefetchNew(others int) {
	if b := m.bookings.Next(others); b != nil {
		m.prefetchBooking(b)
	}
}

// prefetchBooking asks for both lines of a booking.
func (m *Machine) prefetchBooking(b *booking) {
	table.Prefetch(&b.deadline)
	table.Prefetch(&b.extended)
}

// prefetchEnd asks for what a booking's payment or end touches: its place on the agenda, and its user unless it is paid.
func (m *Machine) prefetchEnd(k wire.Kind, b *booking) {
	if b.place != none {
		m.deadlines.Prefetch(b.deadline, b.place)
	}
	if k != wire.KindAuthorised && k != wire.KindAuthorisedBy {
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
