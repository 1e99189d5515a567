package queue

import "fairgate/internal/wire"

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

// search is the position in a list of places, which are in order, before which everything is earlier than k; near guess, it
// is found sooner.
func (ps *places) search(list []uint32, guess int, k *wire.OrderKey) int {
	low, high, step := 0, len(list), 4
	if guess < high && ps.before(list[guess], k) {
		for low = guess + 1; low+step < high && ps.before(list[low+step-1], k); step *= 2 {
			low += step
		}
		high = min(low+step, high)
	} else {
		for high = min(guess, high); high-step > 0 && !ps.before(list[high-step], k); step *= 2 {
			high -= step
		}
		low = max(high-step, 0)
	}
	for low < high {
		if middle := int(uint(low+high) / 2); ps.before(list[middle], k) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

// before is earlier, from what is in mind of the newest places.
func (ps *places) before(i uint32, k *wire.OrderKey) bool {
	r := &ps.recent
	if r.offsets == nil || i < r.from || ps.drawn != nil || k.Class != classArrived {
		return ps.earlier(i, k)
	}
	at := r.base + int64(r.offsets[i%recentMost])
	return at < int64(k.Key) || at == int64(k.Key) && ps.earlier(i, k)
}
