package queue

import (
	"slices"

	"fairgate/internal/wire"
)

// blockSize is how many places one block of a line holds at most: small enough to insert in the middle cheaply, large
// enough that a million places are only thousands of blocks.
const blockSize = 256

// line is an ordered set of places (indexes into the room's slice) that answers "how many before" and "who is n-th" in
// the logarithm of its length: sorted blocks, and a Fenwick tree over their lengths. Late arrivals insert in order.
type line struct {
	blocks [][]uint32
	firsts []uint64 // the short key of each block's first place
	sums   []int32  // Fenwick tree over the blocks' lengths, from index 1
	n      int
}

func (l *line) len() int { return l.n }

// seek is the block and position before which everything is earlier than k.
func (l *line) seek(ps *places, k *wire.OrderKey) (block, pos int) {
	last := len(l.blocks) - 1
	if last < 0 {
		return 0, 0
	}
	short := shortOf(k)
	// Most who come are among the latest: look there before searching.
	low, high := 0, last+1 // the last block that begins earlier lies before high, and at or behind low if there is one
	guess, step := l.near(last, short), 1
	if l.begins(ps, guess, short, k) {
		for low = guess; low+step <= last && l.begins(ps, low+step, short, k); step *= 2 {
			low += step
		}
		high = min(low+step, high)
	} else {
		for high = guess; high-step >= 0 && !l.begins(ps, high-step, short, k); step *= 2 {
			high -= step
		}
		low = max(high-step, 0)
	}
	for low+1 < high {
		if middle := int(uint(low+high) / 2); l.begins(ps, middle, short, k) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, ps.search(l.blocks[low], l.within(low, last, short), k)
}

// lately is how many of the last blocks most who come belong to: four seconds of the largest stampede.
const lately = 256

// near is the block in which a key is, if people come evenly.
func (l *line) near(last int, short uint64) int {
	from := max(0, last-lately)
	return from + share(last-from, l.firsts[from], l.firsts[last], short)
}

// within is the position in a block at which a key is, if people come evenly.
func (l *line) within(block, last int, short uint64) int {
	if block == last {
		return len(l.blocks[block])
	}
	return share(len(l.blocks[block]), l.firsts[block], l.firsts[block+1], short)
}

// share is how far of n something lies that is between two others, at most n.
func share(n int, from, to, at uint64) int {
	if at <= from {
		return 0
	}
	if at >= to {
		return n
	}
	whole, part := to-from, at-from
	if whole >= 1<<48 { // n times it would not fit
		whole, part = whole>>16, part>>16
	}
	return int(uint64(n) * part / whole)
}

// begins says that a block begins earlier than k. Short keys are close together in memory; places are not.
func (l *line) begins(ps *places, block int, short uint64, k *wire.OrderKey) bool {
	if first := l.firsts[block]; first != short {
		return first < short
	}
	return ps.earlier(l.blocks[block][0], k)
}

// shortOf is 64 bits of a key that never order two keys the wrong way round.
func shortOf(k *wire.OrderKey) uint64 {
	switch k.Class {
	case classDrawn:
		return k.Key >> 1
	case classArrived:
		return 1<<63 | min(k.Key, maxInstant)
	}
	return 1<<64 - 1 // behind everybody
}

// firstly notes what a block that is not empty begins with.
func (l *line) firstly(ps *places, block int) {
	k := ps.orderKey(l.blocks[block][0])
	l.firsts[block] = shortOf(&k)
}

// rank is how many places of the line are earlier than k.
func (l *line) rank(ps *places, k *wire.OrderKey) int {
	block, pos := l.seek(ps, k)
	return l.before(block) + pos
}

// insert adds a place that is not in the line and says how many are before it.
func (l *line) insert(ps *places, index uint32) (rank int) {
	k := ps.orderKey(index)
	if len(l.blocks) == 0 {
		l.build(ps, []uint32{index})
		return 0
	}
	block, pos := l.seek(ps, &k)
	if len(l.blocks[block]) == blockSize {
		block, pos = l.room(ps, block, pos)
	}
	l.blocks[block] = slices.Insert(l.blocks[block], pos, index)
	if pos == 0 {
		l.firsts[block] = shortOf(&k)
	}
	l.add(block, 1)
	l.n++
	return l.before(block) + pos
}

// room makes room in a full block and returns where the position is now: it gives half of what fits to the next block or
// to the one before, or is split if both are all but full (what is given must leave room for one more), so that blocks are well filled whatever the order in which people come.
// At the very end it opens a new block instead: a line that only grows there stays packed.
func (l *line) room(ps *places, block, pos int) (int, int) {
	full := l.blocks[block]
	last := len(l.blocks) - 1
	if block < last && len(l.blocks[block+1]) < blockSize-1 {
		n := (blockSize - len(l.blocks[block+1]) + 1) / 2
		cut := blockSize - n
		l.blocks[block+1] = slices.Insert(l.blocks[block+1], 0, full[cut:]...)
		l.blocks[block] = full[:cut]
		l.moved(ps, block, block+1, n)
		if pos > cut {
			return block + 1, pos - cut
		}
		return block, pos
	}
	if block > 0 && len(l.blocks[block-1]) < blockSize-1 {
		n := (blockSize - len(l.blocks[block-1]) + 1) / 2
		l.blocks[block-1] = append(l.blocks[block-1], full[:n]...)
		l.blocks[block] = slices.Delete(full, 0, n)
		l.moved(ps, block, block-1, n)
		if pos < n {
			return block - 1, len(l.blocks[block-1]) - (n - pos)
		}
		return block, pos - n
	}
	return l.split(ps, block, pos)
}

// moved counts n places that went from one block to another and notes what both begin with.
func (l *line) moved(ps *places, from, to, n int) {
	l.add(from, int32(-n))
	l.add(to, int32(n))
	l.firstly(ps, from)
	l.firstly(ps, to)
}

// split divides a full block.
func (l *line) split(ps *places, block, pos int) (int, int) {
	full := l.blocks[block]
	cut := blockSize / 2
	if pos == blockSize && block == len(l.blocks)-1 {
		cut = blockSize
	}
	tail := append(make([]uint32, 0, blockSize), full[cut:]...)
	l.blocks[block] = full[:cut]
	l.blocks = slices.Insert(l.blocks, block+1, tail)
	l.firsts = slices.Insert(l.firsts, block+1, 1<<64-1) // of an empty one until insert notes it
	if len(tail) > 0 {
		l.firstly(ps, block+1)
	}
	l.sum()
	if pos < cut || (pos == cut && cut < blockSize) {
		return block, pos
	}
	return block + 1, pos - cut
}

// remove takes a place out and says whether it was in.
func (l *line) remove(ps *places, index uint32) bool {
	k := ps.orderKey(index)
	block, pos := l.seek(ps, &k)
	if block < len(l.blocks) && pos == len(l.blocks[block]) {
		block, pos = block+1, 0
	}
	if block >= len(l.blocks) || l.blocks[block][pos] != index {
		return false
	}
	l.blocks[block] = slices.Delete(l.blocks[block], pos, pos+1)
	l.shrunk(ps, block, pos == 0)
	return true
}

// pop takes the earliest place out of a line that is not empty.
func (l *line) pop(ps *places) uint32 {
	index := l.blocks[0][0]
	l.blocks[0] = l.blocks[0][1:]
	l.shrunk(ps, 0, true)
	return index
}

func (l *line) shrunk(ps *places, block int, first bool) {
	l.n--
	if len(l.blocks[block]) > 0 {
		l.add(block, -1)
		if first {
			l.firstly(ps, block)
		}
		return
	}
	l.blocks = slices.Delete(l.blocks, block, block+1)
	l.firsts = slices.Delete(l.firsts, block, block+1)
	l.sum()
}

// at is the place with exactly i before it; i is less than len.
func (l *line) at(i int) uint32 {
	block, rest := 0, int32(i)
	step := 1
	for step*2 <= len(l.blocks) {
		step *= 2
	}
	for ; step > 0; step /= 2 {
		if next := block + step; next < len(l.sums) && l.sums[next] <= rest {
			block, rest = next, rest-l.sums[next]
		}
	}
	return l.blocks[block][rest]
}

// build makes the line of places that are in order already. It keeps the slice.
func (l *line) build(ps *places, sorted []uint32) {
	l.blocks, l.firsts, l.n = nil, nil, len(sorted)
	for len(sorted) > 0 {
		n := min(blockSize, len(sorted))
		l.blocks = append(l.blocks, sorted[:n:n])
		l.firsts = append(l.firsts, 0)
		l.firstly(ps, len(l.blocks)-1)
		sorted = sorted[n:]
	}
	l.sum()
}

func (l *line) sum() {
	l.sums = slices.Grow(l.sums[:0], len(l.blocks)+1)[:len(l.blocks)+1]
	clear(l.sums)
	for i, b := range l.blocks {
		l.sums[i+1] += int32(len(b))
		if up := (i + 1) + (i+1)&-(i+1); up <= len(l.blocks) {
			l.sums[up] += l.sums[i+1]
		}
	}
}

func (l *line) add(block int, d int32) {
	for i := block + 1; i < len(l.sums); i += i & -i {
		l.sums[i] += d
	}
}

// before is how many places the blocks before one hold.
func (l *line) before(block int) int {
	n := int32(0)
	for i := block; i > 0; i -= i & -i {
		n += l.sums[i]
	}
	return int(n)
}
