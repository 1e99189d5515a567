package botguard

import (
	"testing"
	"time"
)

func TestPending_CountsWhatCouldStillBeAnswered(t *testing.T) {
	p, w := newPending(2*time.Minute), newWall()
	const a, b = 1 << 60, 1<<60 + 1
	for range 3 {
		p.add(a, w.now())
	}
	p.add(b, w.now())
	p.add(0, w.now())
	if p.of(a, w.now()) != 3 || p.of(b, w.now()) != 1 || p.of(0, w.now()) != 0 {
		t.Fatal(p.of(a, w.now()), p.of(b, w.now()), p.of(0, w.now()))
	}
	w.advance(110 * time.Second)
	p.add(a, w.now())
	if n := p.of(a, w.now()); n != 4 {
		t.Errorf("after 110 s: %d", n)
	}
	w.advance(51 * time.Second) // a third more than the life of the first three
	if n := p.of(a, w.now()); n != 1 {
		t.Errorf("after 161 s: %d", n)
	}
	w.advance(time.Hour)
	if p.of(a, w.now()) != 0 {
		t.Error("an hour later something was left")
	}
}

func TestPending_MemoryIsBounded(t *testing.T) {
	p, w := newPending(time.Minute), newWall()
	for key := range uint64(2 * pendingKeys) {
		p.add(key+1, w.now()) // all in one shard
	}
	if n := len(p.shards[0].count[p.slotOf(w.now())%pendingSlots]); n != pendingKeys {
		t.Errorf("%d keys, at most %d", n, pendingKeys)
	}
	p.add(1, w.now())
	if n := p.of(1, w.now()); n != 2 {
		t.Errorf("a known network is counted on: %d", n)
	}
}
