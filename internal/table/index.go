package table

import (
	"encoding/binary"
	"math/bits"

	"fairgate/internal/huge"
)

// Key is what an Index finds by: a 128-bit id, and the number of what it lies within where ids are not unique.
type Key struct {
	High, Low uint64
	In        int32
}

// KeyOf is the key of an id that is unique by itself.
func KeyOf(id [16]byte) Key { return KeyIn(0, id) }

// KeyIn is the key of an id within something.
func KeyIn(in int32, id [16]byte) Key {
	return Key{binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:]), in}
}

// mark mixes a key down to the 32 bits that decide where it is kept. The constants are digits of pi.
func (k Key) mark() uint32 {
	hi, lo := bits.Mul64(k.High^0x243f6a8885a308d3, k.Low^0x13198a2e03707344)
	return uint32((hi ^ lo ^ uint64(uint32(k.In))) * 0xa4093822299f31d1 >> 32)
}

const (
	// A segment begins small, doubles up to most slots (128 KiB), and is split in two from then on: few enough segments
	// for the directory to stay in the nearest cache, small enough ones for a split to take microseconds.
	segmentFirst = 1 << 6
	segmentMost  = 1 << 14
	// reach is how far from its home an entry may lie.
	reach = 64
	// maxDepth bounds the directory: 4,096 segments, 40 million entries, before all of them are full.
	maxDepth = 12
	// Segments of a directory deeper than this are cut from extents in huge pages.
	smallDepth = 2
)

// Index finds the number of an entry by the key that the entry has. It stores numbers and marks, not keys: whoever owns
// the entries says whether one is meant.
//
// It is extendible hashing: a directory by the first bits of the mark, and segments with linear probing that split when
// they are full, so no call ever pays for more than one segment. Whoever knows the mixing can choose ids that crowd one
// place; what does not fit within reach of its home goes into a map, which the runtime keys at random. The order of
// neither is ever looked at.
//
// The zero value is empty.
type Index struct {
	directory []*segment
	depth     uint // of the directory, in bits
	count     int
	extent    []uint64      // memory for segments
	used      []uint64      // the slots of the segment that was split last, zero again
	crowded   map[Key]int32 // what found no place within reach
}

// segment is a table with linear probing. A slot is a mark and, below it, a number plus one; zero is free. The slots are
// a slice because Go reads the beginning of what a pointer to an array points at, to see that it is not nil: a miss.
type segment struct {
	slots []uint64
	count uint32
	depth uint32
}

func newSegment(slots []uint64, depth uint32) *segment { return &segment{slots: slots, depth: depth} }

// slots is memory for a segment that has grown.
func (x *Index) slots() []uint64 {
	switch {
	case x.used != nil:
		s := x.used
		x.used = nil
		return s
	case x.depth <= smallDepth:
		return make([]uint64, segmentMost)
	case len(x.extent) == 0:
		x.extent = huge.Make[uint64](huge.PerExtent[uint64](segmentMost))
	}
	s := x.extent[:segmentMost:segmentMost]
	x.extent = x.extent[segmentMost:]
	return s
}

// full at 5/8, a search reads a cache line or two. sparse is how few entries are no reason to grow, however crowded
// some of them lie.
func (s *segment) full() bool   { return int(s.count) >= len(s.slots)/8*5 }
func (s *segment) sparse() bool { return int(s.count) < len(s.slots)/4 }

func slotOf(mark uint32, at int32) uint64 { return uint64(mark)<<32 | uint64(uint32(at)+1) }

func numberIn(slot uint64) int32 { return int32(uint32(slot) - 1) }

// home is where in a segment a mark belongs: by its last bits, since its first ones are the segment's.
func (s *segment) home(mark uint32) int { return int(mark) & (len(s.slots) - 1) }

// after is the slot behind one, around the end.
func (s *segment) after(i int) int { return (i + 1) & (len(s.slots) - 1) }

func (x *Index) segment(mark uint32) *segment { return x.directory[mark>>1>>(31-x.depth)] }

// Len is how many entries are known.
func (x *Index) Len() int { return x.count }

// Find returns the number under the key for which is says yes, or None.
func (x *Index) Find(k Key, is func(at int32) bool) int32 {
	if x.count == 0 {
		return None
	}
	mark := k.mark()
	s := x.segment(mark)
	i := s.home(mark)
	for range reach {
		slot := s.slots[i]
		if slot == 0 {
			break
		}
		if uint32(slot>>32) == mark && is(numberIn(slot)) {
			return numberIn(slot)
		}
		i = s.after(i)
	}
	if x.crowded != nil {
		if at, ok := x.crowded[k]; ok {
			return at
		}
	}
	return None
}

// Put stores a number under a key that Find did not find.
func (x *Index) Put(k Key, at int32) {
	if x.directory == nil {
		x.directory = []*segment{newSegment(make([]uint64, segmentFirst), 0)}
	}
	x.count++
	mark := k.mark()
	for {
		s := x.segment(mark)
		mayGrow := s.depth < maxDepth
		if (!s.full() || !mayGrow) && s.put(slotOf(mark, at)) {
			return
		}
		if s.sparse() || !mayGrow {
			break
		}
		if len(s.slots) < segmentMost {
			x.directory[0] = s.doubled()
		} else {
			x.split(mark)
		}
	}
	if x.crowded == nil {
		x.crowded = map[Key]int32{}
	}
	x.crowded[k] = at
}

// put stores a slot, unless there is no room within reach.
func (s *segment) put(slot uint64) bool {
	i := s.home(uint32(slot >> 32))
	for range reach {
		if s.slots[i] == 0 {
			s.slots[i] = slot
			s.count++
			return true
		}
		i = s.after(i)
	}
	return false
}

// doubled is the first segment with twice the slots.
func (s *segment) doubled() *segment {
	large := newSegment(make([]uint64, 2*len(s.slots)), 0)
	s.each(func(slot uint64) { large.put(slot) })
	return large
}

// each gives every entry, beginning behind a free slot: put in that order into a segment that holds some of them, each
// finds a place at least as near to its home as before, so within reach.
func (s *segment) each(f func(slot uint64)) {
	begin := s.free()
	for n := range s.slots {
		if slot := s.slots[(begin+n)&(len(s.slots)-1)]; slot != 0 {
			f(slot)
		}
	}
}

// split divides the segment of a mark by one more bit.
func (x *Index) split(mark uint32) {
	old := x.segment(mark)
	if uint(old.depth) == x.depth {
		x.double()
	}
	halves := [2]*segment{newSegment(x.slots(), old.depth+1), newSegment(x.slots(), old.depth+1)}
	old.each(func(slot uint64) { halves[slot>>(63-old.depth)&1].put(slot) })
	clear(old.slots)
	x.used = old.slots
	width := 1 << (x.depth - uint(old.depth)) // how many places of the directory are this segment's
	first := int(mark>>1>>(31-x.depth)) &^ (width - 1)
	for n := range width {
		x.directory[first+n] = halves[n*2/width]
	}
}

// free is a slot that is not used: there is one, since a segment that may grow does so before it is full.
func (s *segment) free() int {
	for i, slot := range s.slots {
		if slot == 0 {
			return i
		}
	}
	return 0
}

func (x *Index) double() {
	wide := make([]*segment, 2*len(x.directory))
	for i, s := range x.directory {
		wide[2*i], wide[2*i+1] = s, s
	}
	x.directory = wide
	x.depth++
}

// Move puts another number in the place of one that is kept under the key.
func (x *Index) Move(k Key, from, to int32) {
	mark := k.mark()
	if s, i, ok := x.slot(mark, from); ok {
		s.slots[i] = slotOf(mark, to)
		return
	}
	if _, ok := x.crowded[k]; ok {
		x.crowded[k] = to
	}
}

// Remove forgets a number that is kept under the key.
func (x *Index) Remove(k Key, at int32) {
	mark := k.mark()
	if s, i, ok := x.slot(mark, at); ok {
		s.remove(i)
		x.count--
		return
	}
	if _, ok := x.crowded[k]; ok {
		delete(x.crowded, k)
		x.count--
	}
}

// slot is where a number is kept, unless it is among the crowded.
func (x *Index) slot(mark uint32, at int32) (s *segment, i int, ok bool) {
	if x.count == 0 {
		return nil, 0, false
	}
	want := slotOf(mark, at)
	s = x.segment(mark)
	i = s.home(mark)
	for range reach {
		if slot := s.slots[i]; slot == want || slot == 0 {
			return s, i, slot == want
		}
		i = s.after(i)
	}
	return s, i, false
}

// remove frees a slot and draws back those behind it that may lie nearer to their homes, so that no search ends early.
func (s *segment) remove(hole int) {
	s.count--
	s.slots[hole] = 0
	mask := len(s.slots) - 1
	for n := 1; n <= mask; n++ {
		i := (hole + n) & mask
		slot := s.slots[i]
		if slot == 0 {
			return
		}
		if (i-s.home(uint32(slot>>32)))&mask >= n {
			s.slots[hole], s.slots[i] = slot, 0
			hole, n = i, 0
		}
	}
}

// Prefetch asks for the cache line in which a search for the key begins.
func (x *Index) Prefetch(k Key) {
	if x.count == 0 {
		return
	}
	mark := k.mark()
	s := x.segment(mark)
	prefetchSlot(&s.slots[s.home(mark)])
}

// Guess is the number that is kept where the key's entry would be, or None: it may be that of another key, and is good
// for prefetching only.
func (x *Index) Guess(k Key) int32 { return x.Find(k, func(int32) bool { return true }) }

// Bytes is how much memory the index has, what is crowded not counted.
func (x *Index) Bytes() int {
	n := 8 * len(x.directory)
	for i, s := range x.directory {
		if i == 0 || x.directory[i-1] != s {
			n += 8*len(s.slots) + 32
		}
	}
	return n
}
