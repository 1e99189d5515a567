package botguard

import (
	"sync"
	"time"
)

const (
	pendingShards = 64 // a power of two
	pendingSlots  = 4  // a challenge is forgotten between its life and a third more
	// pendingKeys bounds the networks that one shard remembers in one slot; 64 shards of 4 slots take 50 MB when all are full.
	// What finds no room is not counted: its wider networks, which come first, are.
	pendingKeys = 8192
)

// pending counts, per network, the challenges that this process gave out and that could still be answered: places that the
// log may get soon. It is for any number of goroutines.
type pending struct {
	life   time.Duration
	shards [pendingShards]pendingShard
}

type pendingShard struct {
	mu    sync.Mutex
	slot  int64 // newest, by number since the epoch
	count [pendingSlots]map[uint64]uint32
}

func newPending(life time.Duration) *pending { return &pending{life: life} }

// slotOf numbers the spans of time of which pendingSlots-1 make a challenge's life.
func (p *pending) slotOf(now time.Time) int64 {
	return now.UnixNano() / max(int64(p.life)/(pendingSlots-1), 1)
}

// at is a key's shard, locked, with what is too old forgotten.
func (p *pending) at(key uint64, now time.Time) *pendingShard {
	s := &p.shards[key>>58]
	slot := p.slotOf(now)
	s.mu.Lock()
	for ; s.slot < slot; s.slot++ {
		if slot-s.slot > pendingSlots {
			s.slot = slot - pendingSlots
		}
		clear(s.count[(s.slot+1)%pendingSlots])
	}
	return s
}

func (p *pending) add(key uint64, now time.Time) {
	if key == 0 {
		return
	}
	s := p.at(key, now)
	defer s.mu.Unlock()
	m := &s.count[s.slot%pendingSlots]
	if *m == nil {
		*m = make(map[uint64]uint32)
	}
	if _, known := (*m)[key]; known || len(*m) < pendingKeys {
		(*m)[key]++
	}
}

func (p *pending) of(key uint64, now time.Time) (n int64) {
	if key == 0 {
		return 0
	}
	s := p.at(key, now)
	defer s.mu.Unlock()
	for _, m := range s.count {
		n += int64(m[key])
	}
	return n
}
