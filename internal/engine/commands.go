package engine

import "fairgate/internal/wire"

// MaxCommands is how many command ids a partition remembers at once. It is part of the behaviour, not a setting: every
// replica must be full at the same record.
const MaxCommands = 1 << 22

// command is what is remembered of a decided command: where and what its first outcome was.
type command struct {
	id     wire.ID
	ref    wire.ID
	until  int64 // log time, µs, after which it is forgotten
	offset int64
	seq    uint64
	kind   wire.Kind
}

// commands is the memory of command ids. The map only finds; the heap, ordered by (until, seq), decides what is
// forgotten, so that nothing depends on the order of a map. Neither holds a pointer for the collector to follow.
type commands struct {
	index map[wire.ID]int32 // place in slots
	slots []command
	spare []int32 // unused places in slots
	heap  []int32 // places in slots
	most  int
}

func newCommands() commands {
	return commands{index: make(map[wire.ID]int32), most: MaxCommands}
}

func (m *commands) full() bool { return len(m.heap) >= m.most }

func (m *commands) find(id wire.ID) (command, bool) {
	i, ok := m.index[id]
	if !ok {
		return command{}, false
	}
	return m.slots[i], true
}

// remember stores a command that find did not find, while not full.
func (m *commands) remember(id wire.ID, c command) {
	c.id = id
	var i int32
	if n := len(m.spare); n > 0 {
		i, m.spare = m.spare[n-1], m.spare[:n-1]
		m.slots[i] = c
	} else {
		i = int32(len(m.slots))
		m.slots = append(m.slots, c)
	}
	m.index[id] = i
	m.heap = append(m.heap, i)
	m.up(len(m.heap) - 1)
}

// forget drops every command whose time is before now.
func (m *commands) forget(now int64) {
	for len(m.heap) > 0 && m.slots[m.heap[0]].until < now {
		i := m.heap[0]
		delete(m.index, m.slots[i].id)
		m.spare = append(m.spare, i)
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
		m.down(0)
	}
}

func (m *commands) less(a, b int) bool {
	x, y := &m.slots[m.heap[a]], &m.slots[m.heap[b]]
	return x.until < y.until || x.until == y.until && x.seq < y.seq
}

func (m *commands) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !m.less(i, parent) {
			return
		}
		m.heap[i], m.heap[parent] = m.heap[parent], m.heap[i]
		i = parent
	}
}

func (m *commands) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(m.heap) {
			return
		}
		if child+1 < len(m.heap) && m.less(child+1, child) {
			child++
		}
		if !m.less(child, i) {
			return
		}
		m.heap[i], m.heap[child] = m.heap[child], m.heap[i]
		i = child
	}
}
