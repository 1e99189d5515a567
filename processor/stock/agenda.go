package stock

import (
	"cmp"
	"slices"

	"fairgate/internal/table"
)

// An agenda says which booking is next: by deadline, then in the order of the log. Deadlines are the instants of ticks
// and lengths of time added to them, so many bookings share each: they stand on one day of a calendar. Holds come in the
// order of the log, so a day is mostly in order when it is due; if not, it is sorted then, once.

// note puts a booking on the agenda at its deadline. It must stand on none.
func (m *Machine) note(a *table.Calendar, at int32) {
	b := m.booking(at)
	day := a.Open(b.deadline)
	if day.Crowded() {
		m.rewrite(day, day.Entries)
	}
	day.InOrder = day.InOrder && (day.Live() == 0 || day.Newest < b.order)
	day.Newest = b.order
	b.place = day.Add(at)
}

// strike takes a booking off the agenda; one that is not on it is no error.
func (m *Machine) strike(a *table.Calendar, at int32) {
	b := m.booking(at)
	if b.place != none {
		a.Strike(a.Find(b.deadline), b.place)
		b.place = none
	}
}

// far and near are how many entries ahead a day's bookings, and then what leads on from them, are asked for.
const (
	far  = 16
	near = 8
)

// due takes off the earliest booking whose deadline is not after now.
func (m *Machine) due(a *table.Calendar, now int64) (booking int32, ok bool) {
	day := a.Earliest()
	if day == nil || day.Key > now {
		return none, false
	}
	if !day.InOrder {
		m.sortDay(day)
	}
	for day.Entries[day.Next] == none {
		m.pass(day)
	}
	booking = day.Entries[day.Next]
	m.pass(day)
	m.strike(a, booking)
	return booking, true
}

// pass goes on to a day's next entry, and asks for the memory of those that will follow.
func (m *Machine) pass(day *table.Day) {
	day.Next++
	if i := day.Next + far; i < len(day.Entries) && day.Entries[i] != none {
		m.prefetchBooking(m.booking(day.Entries[i]))
	}
	if i := day.Next + near; i < len(day.Entries) && day.Entries[i] != none {
		m.prefetchAround(day.Entries[i])
	}
}

// entry is a booking with its place in the log.
type entry struct {
	order   int64
	booking int32
}

func (m *Machine) sortDay(day *table.Day) {
	all := m.dayBuf[:0]
	for i, at := range day.Entries {
		if i += far; i < len(day.Entries) && day.Entries[i] != none {
			m.prefetchBooking(m.booking(day.Entries[i]))
		}
		if at != none {
			all = append(all, entry{m.booking(at).order, at})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.order, b.order) })
	day.Entries, day.Next = day.Entries[:0], 0
	for _, e := range all {
		day.Entries = append(day.Entries, e.booking)
	}
	m.rewrite(day, day.Entries)
	day.InOrder, day.Newest = true, all[len(all)-1].order
	m.dayBuf = all
}

// rewrite sets a day's entries side by side and tells each its place.
func (m *Machine) rewrite(day *table.Day, entries []int32) {
	day.Entries = day.Entries[:0]
	for _, at := range entries {
		if at != none {
			m.booking(at).place = int32(len(day.Entries))
			day.Entries = append(day.Entries, at)
		}
	}
}
