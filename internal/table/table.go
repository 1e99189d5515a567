// Package table holds the compact tables of the deterministic machines: entries by number, numbers by 128-bit id, numbers
// by time. It imports pure parts of the standard library and touches nothing. No table holds a pointer for the collector
// to follow, none moves its entries to grow, and nothing that an entry's number or place depends on may decide an
// outcome: a restored machine numbers its entries anew.
package table

import "fairgate/internal/huge"

// None is the number of no entry.
const None int32 = -1

// chunk is how many entries lie side by side. A power of two: an entry is found by shifting and masking its number.
// Beyond so many entries chunks are cut from extents in huge pages.
const (
	chunkBits = 12
	chunk     = 1 << chunkBits
	large     = 4 * chunk
)

// Slab is a table of entries found by number, whose numbers are used again. Pointers to entries stay good while it
// grows: it adds chunks and never copies one. The zero value is empty.
type Slab[T any] struct {
	chunks [][]T // slices rather than arrays: see segment
	extent []T   // what is left of it
	made   int32 // numbers given out so far
	free   []int32
}

// Put stores an entry and returns its number.
func (s *Slab[T]) Put(v T) int32 {
	at, p := s.New()
	*p = v
	return at
}

// New returns the number of a new entry and where it lies; what it holds is left to the caller.
func (s *Slab[T]) New() (int32, *T) {
	if n := len(s.free); n > 0 {
		at := s.free[n-1]
		s.free = s.free[:n-1]
		return at, s.At(at)
	}
	at := s.made
	if int(at>>chunkBits) == len(s.chunks) {
		s.chunks = append(s.chunks, s.more())
	}
	s.made++
	return at, s.At(at)
}

// more is memory for another chunk.
func (s *Slab[T]) more() []T {
	if s.made < large {
		return make([]T, chunk)
	}
	if len(s.extent) == 0 {
		s.extent = huge.Make[T](huge.PerExtent[T](chunk))
	}
	more := s.extent[:chunk:chunk]
	s.extent = s.extent[chunk:]
	return more
}

// Next is where the entry lies that New will return after so many others, unless that memory is still to be made: for
// prefetching.
func (s *Slab[T]) Next(after int) *T {
	if n := len(s.free); after < n {
		return s.At(s.free[n-1-after])
	}
	at := s.made + int32(after-len(s.free))
	if int(at>>chunkBits) >= len(s.chunks) {
		return nil
	}
	return s.At(at)
}

// Drop empties an entry; its number will be given out again.
func (s *Slab[T]) Drop(at int32) {
	var zero T
	*s.At(at) = zero
	s.free = append(s.free, at)
}

// At is the entry with a number that was given out.
func (s *Slab[T]) At(at int32) *T { return &s.chunks[at>>chunkBits][at&(chunk-1)] }

// Len is how many entries there are.
func (s *Slab[T]) Len() int { return int(s.made) - len(s.free) }

// Bytes is how much memory the table has, each entry being so many bytes.
func (s *Slab[T]) Bytes(each int) int { return len(s.chunks)*(chunk*each+24) + 4*cap(s.free) }
