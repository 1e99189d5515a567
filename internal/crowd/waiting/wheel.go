package waiting

import "time"

const (
	// slot is how finely the wheel tells time.
	slot = 20 * time.Millisecond
	// slots is how far it reaches: 409 s, more than anybody's pause.
	slots = 20_480
)

// wheel says who is due. It costs four bytes for everybody in it, and knows nobody twice.
type wheel struct {
	heads []int32
	next  []int32 // by fan: who is in the same slot after it; none and idle below
	at    int64   // the slot that is due next
}

const (
	none = -1 // the end of a slot
	idle = -2 // not in the wheel
)

func newWheel(fans int) *wheel {
	w := &wheel{heads: make([]int32, slots), next: make([]int32, fans)}
	for i := range w.heads {
		w.heads[i] = none
	}
	for i := range w.next {
		w.next[i] = idle
	}
	return w
}

// add makes somebody due at a time: in the next slot if that is over, in the last one if it is out of reach.
func (w *wheel) add(fan int32, at time.Duration) {
	s := min(max(int64(at/slot), w.at), w.at+slots-1)
	w.next[fan] = w.heads[s%slots]
	w.heads[s%slots] = fan
}

// advance appends everybody who is due by now.
func (w *wheel) advance(now time.Duration, to []look) []look {
	for ; w.at < int64(now/slot); w.at++ {
		head := &w.heads[w.at%slots]
		for fan := *head; fan != none; {
			next := w.next[fan]
			w.next[fan] = idle
			to = append(to, look{fan, time.Duration(w.at+1) * slot})
			fan = next
		}
		*head = none
	}
	return to
}

// left is how many slots before a time are not over yet.
func (w *wheel) left(before time.Duration) int64 { return max(int64(before/slot)-w.at, 0) }
