package engine

import (
	"slices"

	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// MaxCommands is how many command ids a partition remembers at once. It is part of the behaviour, not a setting: every
// replica must be full at the same record.
const MaxCommands = 1 << 22

// dayBits make a day of the memory's calendar 131 ms long: less than a tick, so a command is looked at about twice
// before it is forgotten, and a day of keyed commands has no more days than a table can hold.
const dayBits = 17

// command is what is remembered of a decided command: where and what its first outcome was. It fills one cache line.
type command struct {
	id     wire.ID
	ref    wire.ID
	until  int64 // log time, µs, after which it is forgotten
	offset int64
	seq    uint64
	next   int32 // of its day, in the order of the log
	kind   wire.Kind
}

// commands is the memory of command ids. The index only finds; the calendar knows by time what may be forgotten.
type commands struct {
	index table.Index
	slots table.Slab[command]
	days  table.Calendar // by until >> dayBits
	most  int
}

func newCommands() commands { return commands{most: MaxCommands} }

func (m *commands) len() int { return m.index.Len() }

func (m *commands) full() bool { return m.len() >= m.most }

// find returns what is remembered of a command, or nil. It is good until the next call.
func (m *commands) find(id wire.ID) *command {
	at := m.index.Find(table.KeyOf(id), func(at int32) bool { return m.slots.At(at).id == id })
	if at == table.None {
		return nil
	}
	return m.slots.At(at)
}

// remember stores a command that find did not find, while not full. Commands are remembered in the order of the log.
func (m *commands) remember(c command) {
	at, slot := m.slots.New()
	*slot = c
	slot.next = table.None
	m.index.Put(table.KeyOf(c.id), at)
	day := m.days.Open(c.until >> dayBits)
	if day.Last == table.None {
		day.First = at
	} else {
		m.slots.At(day.Last).next = at
	}
	day.Last = at
}

// forget drops every command whose time is before now.
func (m *commands) forget(now int64) {
	for day := m.days.Earliest(); day != nil && day.Key <= now>>dayBits; day = m.days.Earliest() {
		m.forgetOf(day, now)
		if day.First != table.None {
			return
		}
		m.days.Close(day)
	}
}

// forgetOf leaves on a day what is still to be remembered.
func (m *commands) forgetOf(day *table.Day, now int64) {
	at := day.First
	day.First, day.Last = table.None, table.None
	for at != table.None {
		slot := m.slots.At(at)
		next := slot.next
		switch {
		case slot.until < now:
			m.index.Remove(table.KeyOf(slot.id), at)
			m.slots.Drop(at)
		case day.Last == table.None:
			day.First, day.Last = at, at
			slot.next = table.None
		default:
			m.slots.At(day.Last).next = at
			day.Last = at
			slot.next = table.None
		}
		at = next
	}
}

// each calls f with every command, by day and within a day in the order of the log: an order that does not depend on
// where a command is kept.
func (m *commands) each(f func(c *command)) {
	days := m.days.Keys(nil)
	slices.Sort(days)
	for _, key := range days {
		for at := m.days.Find(key).First; at != table.None; {
			c := m.slots.At(at)
			f(c)
			at = c.next
		}
	}
}

// touch reads the memory that find will look at; see table.Index.
func (m *commands) touch(id wire.ID) uint64 { return m.index.Touch(table.KeyOf(id)) }
