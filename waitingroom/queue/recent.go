package queue

import (
	"bytes"

	"fairgate/internal/wire"
)

const (
	// recentMost is how many of the newest places are in mind: four seconds of the largest stampede, in 256 KiB.
	recentMost = 1 << 16
	// recentLeast is how many places make it worth while.
	recentLeast = 1 << 12
)

// recent keeps the instants of the newest places side by side. People join seconds after they arrived, so whoever joins is
// put among the newest: a search in line that read the places themselves would wait for a line of memory at every step.
type recent struct {
	from    uint32 // the first number that is noted
	next    uint32
	base    int64
	offsets []uint32 // by number, around: instant less base, µs
}

// note remembers the place that was added last. An instant far from the others makes a new beginning.
func (r *recent) note(i uint32, instant int64) {
	if r.next = i + 1; r.next < recentLeast {
		return
	}
	if r.offsets == nil {
		r.offsets = make([]uint32, recentMost)
		r.base = -1 << 62
	}
	offset := instant - r.base
	if offset < 0 || offset >= 1<<32 {
		r.base, r.from, offset = instant-1<<31, i, 1<<31
	}
	r.offsets[i%recentMost] = uint32(offset)
	if r.next-r.from > recentMost {
		r.from = r.next - recentMost
	}
}

// search is the position in a list of places, which are in order, before which everything is earlier than k.
func (ps *places) search(list []uint32, k *wire.OrderKey) int {
	r := &ps.recent
	if len(r.offsets) == 0 || ps.drawn != nil || k.Class != classArrived {
		return ps.searchAll(list, k)
	}
	want := int64(k.Key) - r.base
	low, high := 0, len(list)
	for low < high {
		middle := int(uint(low+high) / 2)
		i := list[middle]
		offset := int64(0)
		if i >= r.from {
			offset = int64(r.offsets[i%recentMost])
		} else {
			offset = ps.at(i).instant() - r.base
		}
		if offset < want || offset == want && bytes.Compare(ps.at(i).token[:], k.Token[:]) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

func (ps *places) searchAll(list []uint32, k *wire.OrderKey) int {
	low, high := 0, len(list)
	for low < high {
		middle := int(uint(low+high) / 2)
		if ps.earlier(list[middle], k) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
