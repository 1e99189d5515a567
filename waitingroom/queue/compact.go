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
// It is one segment while it is small, then 256 by the first bits of the hash, and then 8,192. A segment is its slots in the order of
// their marks, side by side. Marks are spread evenly, so where one stands is known to within a few slots, mostly in one cache
// line; and what is put in moves half a segment on, which is a few hundred bytes. So there is no slot unused but those that a
// segment grew by, a sixteenth, and what the allocator rounds up to. The zero value is empty.
type marks32 struct {
	n     uint32 // entries
	shift uint8  // what of a hash is not the number of its segment
	one   segment
	many  []segment // nil while small
}

// segment is slots in the order of their marks.
type segment []int32

const (
	numberBits = 22
	markBits   = 32 - numberBits
	maxNumber  = 1<<numberBits - 2
	fewBits    = 8
	manyBits   = 13
	oneMost    = 1 << 10 // entries of the one segment
	fewMost    = 1 << 15 // and of the first few: what more segments cost is little beside so many
)

func (m *marks32) segment(h uint64) *segment {
	if m.many != nil {
		return &m.many[h>>(m.shift&63)]
	}
	return &m.one
}

func markOf(h uint64) uint32 { return uint32(h >> (64 - manyBits - markBits) & (1<<markBits - 1)) }

func slotOf(mark, number uint32) int32 { return int32(mark<<numberBits | number) }
func slotMark(s int32) uint32          { return uint32(s) >> numberBits }
func slotNumber(s int32) uint32        { return uint32(s) & (1<<numberBits - 1) }

// begin is where the slots of a mark begin, or would.
func (s segment) begin(mark uint32) int {
	i := s.near(mark)
	for i < len(s) && slotMark(s[i]) < mark {
		i++
	}
	for i > 0 && slotMark(s[i-1]) >= mark {
		i--
	}
	return i
}

// near is about where a mark stands.
func (s segment) near(mark uint32) int { return int(mark) * len(s) >> markBits }

// find is the number under a hash for which is says yes.
func (m *marks32) find(h uint64, is func(uint32) bool) (uint32, bool) {
	at, ok := m.search(h, is)
	return at.number(), ok
}

// niche is where a search ended: at what it looked for, or where that would go in. It is good until the next change.
type niche struct {
	in *segment
	i  int
}

// number is the one at a niche, 0 at an end.
func (at niche) number() uint32 {
	if at.i < len(*at.in) {
		return slotNumber((*at.in)[at.i])
	}
	return 0
}

func (m *marks32) search(h uint64, is func(uint32) bool) (at niche, ok bool) {
	in, mark := m.segment(h), markOf(h)
	s := *in
	i := s.begin(mark)
	for ; i < len(s) && slotMark(s[i]) == mark; i++ {
		if is(slotNumber(s[i])) {
			return niche{in, i}, true
		}
	}
	return niche{in, i}, false
}

// guess is some number under a hash; good for prefetching only.
func (m *marks32) guess(h uint64) (uint32, bool) {
	s, mark := *m.segment(h), markOf(h)
	if i := s.begin(mark); i < len(s) && slotMark(s[i]) == mark {
		return slotNumber(s[i]), true
	}
	return 0, false
}

// replace puts a number in the place of the one that a search found.
func (at niche) replace(number uint32) {
	slot := &(*at.in)[at.i]
	*slot = slotOf(slotMark(*slot), number)
}

// put adds a number that is not in. hashOf says the hash of any number that is.
func (m *marks32) put(h uint64, number uint32, hashOf func(uint32) uint64) {
	m.putAt(m.end(h), h, number, hashOf)
}

// end is where a search for a hash that is not in ends.
func (m *marks32) end(h uint64) niche {
	in := m.segment(h)
	return niche{in, in.begin(markOf(h))}
}

// putAt is put where a search for the hash ended in vain.
func (m *marks32) putAt(at niche, h uint64, number uint32, hashOf func(uint32) uint64) {
	switch m.n {
	case oneMost:
		m.spread([]segment{m.one}, fewBits, hashOf)
		at = m.end(h)
	case fewMost:
		m.spread(m.many, manyBits, hashOf)
		at = m.end(h)
	}
	m.n++
	at.in.insert(at.i, slotOf(markOf(h), number))
}

// spread divides the segments there are into more.
func (m *marks32) spread(old []segment, bits uint8, hashOf func(uint32) uint64) {
	m.one, m.many, m.shift = nil, make([]segment, 1<<bits), 64-bits
	for _, s := range old {
		for _, slot := range s {
			at := m.end(hashOf(slotNumber(slot)))
			at.in.insert(at.i, slot)
		}
	}
}

func (s *segment) insert(i int, slot int32) {
	n := len(*s)
	if n == cap(*s) {
		// What is asked for is rounded up to what the allocator gives anyway.
		larger := append(segment(nil), make(segment, n+n/16+1)...)
		*s = larger[:copy(larger, *s)]
	}
	t := (*s)[:n+1]
	copy(t[i+1:], t[i:n])
	t[i] = slot
	*s = t
}

// prefetch asks for the cache lines in which a search mostly ends.
func (m *marks32) prefetch(h uint64) {
	if s := *m.segment(h); len(s) > 0 {
		i := s.near(markOf(h))
		table.PrefetchInt32(&s[max(i-off, 0)])
		table.PrefetchInt32(&s[min(i+off, len(s)-1)])
	}
}

// off is how far a mark mostly stands from where it is looked for: half the root of a segment's slots, of a million in all.
const off = 5
