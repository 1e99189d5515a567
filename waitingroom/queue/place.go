package queue

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"fairgate/internal/wire"
)

// PlaceState is how far a place has come.
type PlaceState uint8

// States of a place. From Used on it is over, and its visitor may join anew.
const (
	Waiting  PlaceState = 0 // in line
	Invited  PlaceState = 1 // may ask, until its grace ends
	Asked    PlaceState = 2 // asked, and waits for a slot
	Reserved PlaceState = 3 // has a slot; its next ask claims it
	Inside   PlaceState = 4 // was given a pass that is still usable
	Used     PlaceState = 5 // its pass was used up
	Expired  PlaceState = 6 // its pass expired
	Missed   PlaceState = 7 // never came
	Left     PlaceState = 8 // gave its place up
	Void     PlaceState = 9 // its visitor has an earlier place
)

var placeStates = [...]string{
	"waiting", "invited", "asked", "reserved", "inside", "used", "expired", "missed", "left", "void",
}

// String is the state's name in answers.
func (s PlaceState) String() string {
	if int(s) < len(placeStates) {
		return placeStates[s]
	}
	return "unknown"
}

// Over says that nothing can become of the place any more.
func (s PlaceState) Over() bool { return s >= Used }

// Classes of the order key.
const (
	classDrawn   = 0
	classArrived = 1
)

// Marks of a place.
const (
	markCarrier = 1 << iota // from a listed carrier address
	markCounted             // counted against its networks or its invite code
	markShowed              // has asked at least once
	markLapsed              // a slot of it lapsed
	markLeft                // gave up while inside
	marks       = 1<<iota - 1
)

// place is one place in line, live or over. Places are never removed from their room's slice, so an index names one for
// good; everything else about them (lines, tables, heaps, counts) is derived and rebuilt by Restore.
type place struct {
	token, visitor wire.ID
	instant        int64  // arrival, µs
	key            uint64 // of the order key: the instant, or the draw value
	until          int64  // Reserved: end of the reservation, elapsed time; Inside: the pass's expiry, an instant
	since          int64  // Invited to Reserved: end of the grace, elapsed time; Inside: the pass's issue, an instant
	narrow, wide   uint64
	state          PlaceState
	class          uint8
	lane           wire.Lane
	marks          uint8
}

func (p *place) orderKey() wire.OrderKey {
	return wire.OrderKey{Class: p.class, Key: p.key, Token: p.token}
}

// compare orders a place against a key: negative when the place is earlier.
func (p *place) compare(k *wire.OrderKey) int {
	if p.class != k.Class {
		return cmp.Compare(p.class, k.Class)
	}
	if p.key != k.Key {
		return cmp.Compare(p.key, k.Key)
	}
	return bytes.Compare(p.token[:], k.Token[:])
}

// arrivedBefore compares arrivals: by instant, ties by token id.
func (p *place) arrivedBefore(instant int64, token wire.ID) bool {
	if p.instant != instant {
		return p.instant < instant
	}
	return bytes.Compare(p.token[:], token[:]) <= 0
}

// table finds places by id: an open-addressed hash table of indexes, whose ids stay in the places. It holds the newest
// place of each id; nothing is ever deleted.
type table struct {
	slots   []uint32 // index + 1; 0 is empty
	used    int
	visitor bool // by visitor, else by token
}

func (t *table) id(p *place) *wire.ID {
	if t.visitor {
		return &p.visitor
	}
	return &p.token
}

// slot is where an id is, or would be. Ids are hashes already; the product spreads what a client could have chosen.
func (t *table) slot(ps []place, id *wire.ID) int {
	mask := uint64(len(t.slots) - 1)
	h := binary.LittleEndian.Uint64(id[:]) ^ binary.LittleEndian.Uint64(id[8:])
	for i := h * 0x9E3779B97F4A7C15 >> 20 & mask; ; i = (i + 1) & mask {
		if s := t.slots[i]; s == 0 || *t.id(&ps[s-1]) == *id {
			return int(i)
		}
	}
}

func (t *table) find(ps []place, id *wire.ID) (index uint32, ok bool) {
	if t.used == 0 {
		return 0, false
	}
	s := t.slots[t.slot(ps, id)]
	return s - 1, s != 0
}

// put makes a place the one that its id finds.
func (t *table) put(ps []place, index uint32) {
	if 4*(t.used+1) > 3*len(t.slots) {
		old := t.slots
		t.slots = make([]uint32, max(16, 2*len(old)))
		for _, s := range old {
			if s != 0 {
				t.slots[t.slot(ps, t.id(&ps[s-1]))] = s
			}
		}
	}
	i := t.slot(ps, t.id(&ps[index]))
	if t.slots[i] == 0 {
		t.used++
	}
	t.slots[i] = index + 1
}

// deadline is a place's time limit in a heap. Entries are not taken back: one that no longer says what the place says
// is stale.
type deadline struct {
	at    int64
	place uint32
}

func (d deadline) less(o deadline) bool { return d.at < o.at || (d.at == o.at && d.place < o.place) }

// deadlines is a binary min-heap, by time and then by place, so that it empties in one order on every replica.
type deadlines []deadline

func (h *deadlines) push(d deadline) {
	s := append(*h, d)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !s[i].less(s[up]) {
			break
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
	*h = s
}

// due takes out the earliest deadline if it is not after now.
func (h *deadlines) due(now int64) (d deadline, ok bool) {
	s := *h
	if len(s) == 0 || s[0].at > now {
		return deadline{}, false
	}
	d = s[0]
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= len(s) {
			break
		}
		if down+1 < len(s) && s[down+1].less(s[down]) {
			down++
		}
		if !s[down].less(s[i]) {
			break
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
	*h = s
	return d, true
}
