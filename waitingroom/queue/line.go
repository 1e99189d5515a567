package queue

import (
	"slices"
	"sort"

	"fairgate/internal/wire"
)

// blockSize is how many places one block of a line holds at most: small enough to insert in the middle cheaply, large
// enough that a million places are only thousands of blocks.
const blockSize = 256

// line is an ordered set of places (indexes into the room's slice) that answers "how many before" and "who is n-th" in
// the logarithm of its length: sorted blocks, and a Fenwick tree over their lengths. Late arrivals insert in order.
type line struct {
	blocks [][]uint32
	sums   []int32 // Fenwick tree over the blocks' lengths, from index 1
	n      int
}

func (l *line) len() int { return l.n }

// seek is the block and position before which everything is earlier than k.
func (l *line) seek(ps []place, k *wire.OrderKey) (block, pos int) {
	earlier := func(i uint32) bool { return ps[i].compare(k) < 0 }
	last := len(l.blocks) - 1
	if last < 0 {
		return 0, 0
	}
	// Most who come are among the latest: look at the last block before searching.
	block = last
	if !earlier(l.blocks[last][0]) {
		block = max(0, sort.Search(last, func(i int) bool { return !earlier(l.blocks[i][0]) })-1)
	}
	b := l.blocks[block]
	return block, sort.Search(len(b), func(i int) bool { return !earlier(b[i]) })
}

// rank is how many places of the line are earlier than k.
func (l *line) rank(ps []place, k *wire.OrderKey) int {
	block, pos := l.seek(ps, k)
	return l.before(block) + pos
}

// insert adds a place that is not in the line and says how many are before it.
func (l *line) insert(ps []place, index uint32) (rank int) {
	k := ps[index].orderKey()
	if len(l.blocks) == 0 {
		l.build([]uint32{index})
		return 0
	}
	block, pos := l.seek(ps, &k)
	if len(l.blocks[block]) == blockSize {
		block, pos = l.split(block, pos)
	}
	l.blocks[block] = slices.Insert(l.blocks[block], pos, index)
	l.add(block, 1)
	l.n++
	return l.before(block) + pos
}

// split makes room in a full block and returns where the position is now. At the very end it opens a new block instead,
// so that a line that only grows there stays packed.
func (l *line) split(block, pos int) (int, int) {
	full := l.blocks[block]
	cut := blockSize / 2
	if pos == blockSize && block == len(l.blocks)-1 {
		cut = blockSize
	}
	tail := append(make([]uint32, 0, blockSize), full[cut:]...)
	l.blocks[block] = full[:cut]
	l.blocks = slices.Insert(l.blocks, block+1, tail)
	l.sum()
	if pos < cut || (pos == cut && cut < blockSize) {
		return block, pos
	}
	return block + 1, pos - cut
}

// remove takes a place out and says whether it was in.
func (l *line) remove(ps []place, index uint32) bool {
	k := ps[index].orderKey()
	block, pos := l.seek(ps, &k)
	if block < len(l.blocks) && pos == len(l.blocks[block]) {
		block, pos = block+1, 0
	}
	if block >= len(l.blocks) || l.blocks[block][pos] != index {
		return false
	}
	l.blocks[block] = slices.Delete(l.blocks[block], pos, pos+1)
	l.shrunk(block)
	return true
}

// pop takes the earliest place out of a line that is not empty.
func (l *line) pop() uint32 {
	index := l.blocks[0][0]
	l.blocks[0] = l.blocks[0][1:]
	l.shrunk(0)
	return index
}

func (l *line) shrunk(block int) {
	l.n--
	if len(l.blocks[block]) > 0 {
		l.add(block, -1)
		return
	}
	l.blocks = slices.Delete(l.blocks, block, block+1)
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
func (l *line) build(sorted []uint32) {
	l.blocks, l.n = nil, len(sorted)
	for len(sorted) > 0 {
		n := min(blockSize, len(sorted))
		l.blocks = append(l.blocks, sorted[:n:n])
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
