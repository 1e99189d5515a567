package queue

import (
	"slices"

	"fairgate/internal/wire"
)

// Who joins late stands among the latest, and a search there reads eight places all over memory. So the last blocks of a line
// have the low 32 bits of their places' instants beside them, in order: a kilobyte, which a search reads instead. They follow
// from the blocks, and only spare time.
const (
	// nearBlocks is how many blocks from the end may have them: some 20,000 places, in an eighth of a megabyte.
	nearBlocks = 112
	// nearSpan is how far apart instants may be for 32 bits to order them, in µs: 36 minutes.
	nearSpan = 1<<31 - 1
)

// isNear says that a block's instants are beside it, and that a key can be compared with them.
func (l *line) isNear(block int, k *wire.OrderKey) bool {
	return l.near[block] != nil && k.Class == classArrived && k.Key <= maxInstant && l.within(block, k)
}

// within says that a key is at or after a block's first, and not too long after it. All that is near is.
func (l *line) within(block int, k *wire.OrderKey) bool { return shortOf(k)-l.firsts[block] < nearSpan }

// searchNear is search in a block that is near.
func (l *line) searchNear(ps *places, block int, k *wire.OrderKey) int {
	near, key := l.near[block], uint32(k.Key)
	low, high := 0, len(near)
	for low < high {
		middle := int(uint(low+high) / 2)
		if d := int32(key - near[middle]); d > 0 || d == 0 && ps.earlier(l.blocks[block][middle], k) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// bring notes that a place with key k was put into a block, before which it was near or was not.
func (l *line) bring(ps *places, block, pos int, k *wire.OrderKey) {
	switch {
	case block < len(l.blocks)-nearBlocks, k.Class != classArrived, ps.drawn != nil:
		l.near[block] = nil
	case l.near[block] != nil && pos > 0 && l.within(block, k):
		l.near[block] = slices.Insert(l.near[block], pos, uint32(k.Key))
	default:
		l.near[block] = l.instants(ps, block)
	}
}

// instants reads those of a block, or nothing if they are too far apart.
func (l *line) instants(ps *places, block int) []uint32 {
	b := l.blocks[block]
	if ps.at(b[len(b)-1]).instant()-ps.at(b[0]).instant() >= nearSpan {
		return nil
	}
	near := make([]uint32, len(b), blockSize)
	for i, index := range b {
		near[i] = uint32(ps.at(index).instant())
	}
	return near
}

// keepNear forgets the instants of a block that was given places from another and reaches too far now.
func (l *line) keepNear(ps *places, block int) {
	if b := l.blocks[block]; l.near[block] != nil && ps.at(b[len(b)-1]).instant()-ps.at(b[0]).instant() >= nearSpan {
		l.near[block] = nil
	}
}

// splitNear follows a block that was divided, its tail being a block of its own now, and lets go of one that is not among the
// last any more.
func (l *line) splitNear(block, cut int) {
	var tail []uint32
	if head := l.near[block]; head != nil {
		tail = append(make([]uint32, 0, blockSize), head[cut:]...)
		l.near[block] = head[:cut]
	}
	l.near = slices.Insert(l.near, block+1, tail)
	if gone := len(l.near) - nearBlocks - 1; gone >= 0 {
		l.near[gone] = nil
	}
}

// forgetNear forgets the instants of blocks from one up to another, which has them yet.
func (l *line) forgetNear(from, to int) { clear(l.near[from:to]) }
