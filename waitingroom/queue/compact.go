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
// It is one open-addressed segment while it is small, and then 4,096 by the first bits of the hash. A segment is probed in
// line and kept in the order of its marks, so that a search for what is not there ends early; where an entry belongs in it
// follows from the mark alone, so growing by an eighth copies in order and reads nothing else. That takes a microsecond and
// leaves it at least five sixths full. The zero value is empty.
type marks32 struct {
	one  segment
	many []segment // nil while small
}

// segment has reach slots behind those that are homes.
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
	reach      = 8   // slots behind the last home, at least
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

// home is where the search for a mark begins: marks in order have homes in order.
func (s *segment) home(mark uint32) int { return int(mark) * (len(s.slots) - reach) >> markBits }

// find is the number under a hash for which is says yes.
func (m *marks32) find(h uint64, is func(uint32) bool) (uint32, bool) {
	if slot := m.search(h, is); slot != nil {
		return slotNumber(*slot), true
	}
	return 0, false
}

func (m *marks32) search(h uint64, is func(uint32) bool) *int32 {
	s := m.segment(h)
	if s.n == 0 {
		return nil
	}
	mark := markOf(h)
	slots := s.slots[s.home(mark):]
	for i := range slots {
		slot := slots[i]
		if slot == 0 || slotMark(slot) > mark {
			return nil
		}
		if slotMark(slot) == mark && is(slotNumber(slot)) {
			return &slots[i]
		}
	}
	return nil
}

// guess is some number under a hash; good for prefetching only.
func (m *marks32) guess(h uint64) (uint32, bool) { return m.find(h, func(uint32) bool { return true }) }

// replace puts a number in the place of the one for which is says yes, if there is one.
func (m *marks32) replace(h uint64, number uint32, is func(uint32) bool) bool {
	slot := m.search(h, is)
	if slot != nil {
		*slot = slotOf(slotMark(*slot), number)
	}
	return slot != nil
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
	if 16*(s.n+1) > 15*(len(s.slots)-reach) {
		s.grow()
	}
	for !s.insert(slot) {
		s.grow()
	}
	s.n++
}

// insert puts a slot behind those with no later mark and moves the others on, or says that the end is too full.
func (s *segment) insert(slot int32) bool {
	mark := slotMark(slot)
	i := s.home(mark)
	for i < len(s.slots) && s.slots[i] != 0 && slotMark(s.slots[i]) <= mark {
		i++
	}
	free := i
	for free < len(s.slots) && s.slots[free] != 0 {
		free++
	}
	if free == len(s.slots) {
		return false
	}
	copy(s.slots[i+1:free+1], s.slots[i:free])
	s.slots[i] = slot
	return true
}

func (s *segment) grow() {
	for size := max(8+reach, len(s.slots)+(len(s.slots)-reach)/8+1); ; size += size / 8 {
		// What is asked for is rounded up to what the allocator gives anyway.
		slots := append([]int32(nil), make([]int32, size)...)
		fresh := segment{slots: slots[:cap(slots)]}
		if fresh.take(s.slots) {
			s.slots = fresh.slots
			return
		}
	}
}

// take copies entries, which are in order, into a segment with none, or says that they do not fit.
func (s *segment) take(old []int32) bool {
	next := 0
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		if next = max(next, s.home(slotMark(slot))); next == len(s.slots) {
			return false
		}
		s.slots[next] = slot
		next++
	}
	return true
}

// prefetch asks for the cache line in which a search begins.
func (m *marks32) prefetch(h uint64) {
	if s := m.segment(h); s.n > 0 {
		table.PrefetchInt32(&s.slots[s.home(markOf(h))])
	}
}
