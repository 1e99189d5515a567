package stock

import (
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// none marks an absent index.
const none = table.None

// line is one line of a booking: up to sale.MaxQuantity tickets of a type of its event, at one of the event's prices.
type line struct {
	kind     uint8 // index into event.types
	quantity uint8
	price    uint16 // index into event.prices; meaningless while waitlisted
}

// manyLines are the lines of a booking that has more than one.
type manyLines [8]line

// owner is the key of a user within an event.
func owner(event int32, user wire.ID) table.Key { return table.KeyIn(event, user) }

// bookingAt finds a booking by its id.
func (m *Machine) bookingAt(id wire.ID) (int32, bool) {
	if at := m.foresaw(m.offset); at != none && id != (wire.ID{}) && m.booking(at).id == id {
		return at, true
	}
	at := m.ids.Find(table.KeyOf(id), func(at int32) bool { return m.booking(at).id == id })
	return at, at != none
}

// newest is the newest booking that counts for a user and event.
func (m *Machine) newest(event int32, user wire.ID) int32 {
	return m.owners.Find(owner(event, user), func(at int32) bool {
		b := m.booking(at)
		return b.user == user && b.event == event
	})
}

// linesOf are a booking's lines. One line, which most bookings have, lies within the booking itself.
func (m *Machine) linesOf(b *booking) []line {
	if b.count == 1 {
		return b.line[:]
	}
	return m.lines.At(b.lines)[:b.count]
}

func (m *Machine) keepLines(b *booking, lines []line) {
	b.count, b.lines = uint8(len(lines)), none
	if len(lines) == 1 {
		b.line[0] = lines[0]
		return
	}
	at, many := m.lines.New()
	copy(many[:], lines)
	b.lines = at
}
