package queue

import "fairgate/internal/table"

// A room of a million places has, beside the places, one line, two tables by id and counts by network. What is here keeps
// them small: numbers of four bytes instead of pointers, tables that are nearly full, and no copying of everything to grow.

// nothing is the number of no entry.
const nothing = 1<<32 - 1

// chunked is a growing list whose entries never move once the first chunk is full: it adds chunks.
type chunked[T any] struct {
	chunks [][]T
	n      uint32
}

const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
)

func (c *chunked[T]) len() int { return int(c.n) }

func (c *chunked[T]) at(i uint32) *T { return &c.chunks[i>>chunkBits][i&(chunkSize-1)] }

// add appends an entry and returns its number.
func (c *chunked[T]) add(v T) uint32 {
	if int(c.n>>chunkBits) == len(c.chunks) {
		first := chunkSize
		if c.n == 0 {
			first = 4 // small rooms stay small
		}
		c.chunks = append(c.chunks, make([]T, 0, first))
	}
	last := &c.chunks[len(c.chunks)-1]
	*last = append(*last, v)
	c.n++
	return c.n - 1
}

// marks32 finds numbers by hash. A slot is four bytes: ten bits of the hash above the number, so a search looks at few
// entries that are not meant. Nothing is ever removed.
//
// It is one open-addressed segment while it is small, and then 4,096 by the first bits of the hash. A segment grows by an
// eighth, and where an entry belongs in it follows from the ten bits alone: growing reads nothing but the segment, takes
// microseconds, and leaves it at least four fifths full. The zero value is empty.
type marks32 struct {
	one  segment
	many []segment // nil while small
}

type segment struct {
	slots []int32 // a mark and a number plus one; 0 is free
	n     int
}

const (
	numberBits = 22
	markBits   = 32 - numberBits
	maxNumber  = 1<<numberBits - 2
	manyBits   = 12
	oneMost    = 512 // entries of the one segment
)

func (m *marks32) segment(h uint64) *segment {
	if m.many != nil {
		return &m.many[h>>(64-manyBits)]
	}
	return &m.one
}

func markOf(h uint64) uint32 { return uint32(h >> (64 - manyBits - markBits) & (1<<markBits - 1)) }

func slotOf(mark, number uint32) int32 { return int32(mark<<numberBits | (number + 1)) }
func slotMark(s int32) uint32          { return uint32(s) >> numberBits }
func slotNumber(s int32) uint32        { return uint32(s)&(1<<numberBits-1) - 1 }

func (s *segment) home(mark uint32) int { return int(mark) * len(s.slots) >> markBits }

// find is the number under a hash for which is says yes.
func (m *marks32) find(h uint64, is func(uint32) bool) (uint32, bool) {
	s := m.segment(h)
	if s.n == 0 {
		return 0, false
	}
	mark := markOf(h)
	for i := s.home(mark); ; i++ {
		if i == len(s.slots) {
			i = 0
		}
		switch slot := s.slots[i]; {
		case slot == 0:
			return 0, false
		case slotMark(slot) == mark && is(slotNumber(slot)):
			return slotNumber(slot), true
		}
	}
}

// guess is some number under a hash; good for prefetching only.
func (m *marks32) guess(h uint64) (uint32, bool) { return m.find(h, func(uint32) bool { return true }) }

// replace puts a number in the place of the one for which is says yes, if there is one.
func (m *marks32) replace(h uint64, number uint32, is func(uint32) bool) bool {
	s := m.segment(h)
	if s.n == 0 {
		return false
	}
	mark := markOf(h)
	for i := s.home(mark); ; i++ {
		if i == len(s.slots) {
			i = 0
		}
		switch slot := s.slots[i]; {
		case slot == 0:
			return false
		case slotMark(slot) == mark && is(slotNumber(slot)):
			s.slots[i] = slotOf(mark, number)
			return true
		}
	}
}

// put adds a number that is not in. hashOf says the hash of any number that is.
func (m *marks32) put(h uint64, number uint32, hashOf func(uint32) uint64) {
	if m.many == nil && m.one.n >= oneMost {
		m.spread(hashOf)
	}
	m.segment(h).put(slotOf(markOf(h), number))
}

// spread divides the one segment, once.
func (m *marks32) spread(hashOf func(uint32) uint64) {
	m.many = make([]segment, 1<<manyBits)
	for _, slot := range m.one.slots {
		if slot != 0 {
			h := hashOf(slotNumber(slot))
			m.segment(h).put(slotOf(markOf(h), slotNumber(slot)))
		}
	}
	m.one = segment{}
}

func (s *segment) put(slot int32) {
	if 8*(s.n+1) > 7*len(s.slots) {
		s.grow()
	}
	s.insert(slot)
	s.n++
}

func (s *segment) insert(slot int32) {
	i := s.home(slotMark(slot))
	for s.slots[i] != 0 {
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	s.slots[i] = slot
}

func (s *segment) grow() {
	old := s.slots
	// What is asked for is rounded up to what the allocator gives anyway.
	s.slots = append([]int32(nil), make([]int32, max(8, len(old)+len(old)/8))...)
	s.slots = s.slots[:cap(s.slots)]
	for _, slot := range old {
		if slot != 0 {
			s.insert(slot)
		}
	}
}

// prefetch asks for the cache line in which a search begins.
func (m *marks32) prefetch(h uint64) {
	if s := m.segment(h); s.n > 0 {
		table.PrefetchInt32(&s.slots[s.home(markOf(h))])
	}
}
