package limit

import "sync"

const (
	shards      = 256 // locks; a power of two
	probes      = 16  // slots that one key may live in
	slotsPerKey = 2   // so that a window of probes is hardly ever full below the configured number of keys
	overflowDiv = 8   // one overflow bucket for so many slots
)

// slot is one key's bucket. tat is the theoretical arrival time of the generic cell rate algorithm: the instant, in ns
// since the limiter's start, at which the bucket is full again. A slot whose tat has passed says nothing that an absent
// one does not, so it may be taken over without loss. Key 0 means never used.
type slot struct {
	key uint64
	tat int64
}

// shard owns its slots and its share of the overflow buckets.
type shard struct {
	mu       sync.Mutex
	slots    []slot
	overflow []int64 // tat of keys that found no room, by parent network
}

// table tells a bounded number of keys apart. Memory is allocated once and never grows.
type table struct {
	shards [shards]shard
	mask   uint64 // slots per shard - 1
	over   uint64 // overflow buckets per shard - 1
}

func newTable(keys int) *table {
	n := uint64(probes)
	for n*shards < uint64(keys)*slotsPerKey {
		n *= 2
	}
	t := &table{mask: n - 1, over: max(n/overflowDiv, 1) - 1}
	for i := range t.shards {
		t.shards[i].slots = make([]slot, n)
		t.shards[i].overflow = make([]int64, t.over+1)
	}
	return t
}

// outcome of a call: used is how far the bucket is from full afterwards, wait how long until a call would be allowed
// (0: this one is); both in ns.
type outcome struct{ used, wait int64 }

// take counts one call. ok is false when every slot that the key may use is live: then takeShared counts it.
func (t *table) take(now int64, key uint64, every, full int64) (o outcome, ok bool) {
	if key == 0 {
		key = 1
	}
	s := &t.shards[key>>56%shards]
	s.mu.Lock()
	tat := s.find(now, key, t.mask)
	if tat != nil {
		o = step(tat, now, every, full)
	}
	s.mu.Unlock()
	return o, tat != nil
}

// takeShared counts one call of a key without room in the bucket of its parent network, under the same rate: a flood of
// fresh keys is one caller, and is never waved through.
func (t *table) takeShared(now int64, parent uint64, every, full int64) outcome {
	s := &t.shards[parent>>56%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	return step(&s.overflow[parent&t.over], now, every, full)
}

// charge takes more from a key's bucket, in ns; false where the key has no slot. Below empty it goes by the charge at most.
func (t *table) charge(now int64, key uint64, more, full int64) bool {
	if key == 0 {
		key = 1
	}
	s := &t.shards[key>>56%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	tat := s.find(now, key, t.mask)
	if tat != nil {
		*tat = charged(*tat, now, more, full)
	}
	return tat != nil
}

// chargeShared takes it from the bucket of the parent network.
func (t *table) chargeShared(now int64, parent uint64, more, full int64) {
	s := &t.shards[parent>>56%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	tat := &s.overflow[parent&t.over]
	*tat = charged(*tat, now, more, full)
}

func charged(tat, now, more, full int64) int64 { return min(max(tat, now)+more, now+full+more) }

// find returns the key's tat, in a slot taken over if need be; nil when there is no room.
func (s *shard) find(now int64, key, mask uint64) *int64 {
	var free *slot
	for i := range uint64(probes) {
		c := &s.slots[(key+i)&mask]
		if c.key == key {
			return &c.tat
		}
		if free == nil && (c.key == 0 || c.tat <= now) {
			free = c
		}
		if c.key == 0 {
			break
		}
	}
	if free == nil {
		return nil
	}
	free.key, free.tat = key, now
	return &free.tat
}

// step is the generic cell rate algorithm: a refused call costs nothing.
func step(tat *int64, now, every, full int64) outcome {
	next := max(*tat, now) + every
	if wait := next - full - now; wait > 0 {
		return outcome{used: next - every - now, wait: wait}
	}
	*tat = next
	return outcome{used: next - now}
}
