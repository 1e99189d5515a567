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
	until  int64 // log time, µs, after which it is forgotten
	id     wire.ID
	ref    wire.ID
	offset int64
	seq    uint64
	kind   wire.Kind
}

// commands is the memory of command ids. The index only finds; the calendar knows by time what may be forgotten.
type commands struct {
	index table.Index
	slots table.Slab[command]
	days  table.Calendar // by until >> dayBits; entries in the order of the log
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
func (m *commands) remember(c *command) {
	at, slot := m.slots.New()
	*slot = *c
	m.index.Put(table.KeyOf(c.id), at)
	m.days.Open(c.until >> dayBits).Add(at)
}

// forget drops every command whose time is before now.
func (m *commands) forget(now int64) {
	for day := m.days.Earliest(); day != nil && day.Key <= now>>dayBits; day = m.days.Earliest() {
		m.forgetOf(day, now)
		if day == m.days.Earliest() {
			return // some of it is still to be remembered
		}
	}
}

// forgetOf strikes off a day what is over. Ids are random: the lines that dropping an entry needs are asked for before.
func (m *commands) forgetOf(day *table.Day, now int64) {
	entries := day.Entries
	for i, at := range entries {
		if far := i + 2*ahead; far < len(entries) && entries[far] != table.None {
			table.Prefetch(&m.slots.At(entries[far]).until)
		}
		if near := i + ahead; near < len(entries) && entries[near] != table.None {
			m.index.Prefetch(table.KeyOf(m.slots.At(entries[near]).id))
		}
		if at == table.None {
			continue
		}
		if slot := m.slots.At(at); slot.until < now {
			m.index.Remove(table.KeyOf(slot.id), at)
			m.slots.Drop(at)
			m.days.Strike(day, int32(i))
		}
	}
}

// each calls f with every command, by day and within a day in the order of the log: an order that does not depend on
// where a command is kept.
func (m *commands) each(f func(c *command)) {
	days := m.days.Keys(nil)
	slices.Sort(days)
	for _, key := range days {
		for _, at := range m.days.Find(key).Entries {
			if at != table.None {
				f(m.slots.At(at))
			}
		}
	}
}
