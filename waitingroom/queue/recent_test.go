package queue

import (
	"math/rand/v2"
	"sort"
	"testing"

	"fairgate/internal/wire"
)

// TestRecent_SearchSaysWhatThePlacesSay puts people in line of whom most came lately, some at the same instant, at first some
// hours away from the others, each a new beginning; then until what is in mind was overwritten. It searches from good and from
// bad guesses.
func TestRecent_SearchSaysWhatThePlacesSay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var ps places
	var l line
	instant := int64(t0)
	const odd = 4 * recentLeast // from then on there is no new beginning
	for i := range odd + recentMost + 3*recentLeast {
		instant += rnd.Int64N(3)
		at := instant - rnd.Int64N(1000)
		switch far := rnd.IntN(1_000); {
		case far == 0 && i < odd:
			at += 1 << 32 // over an hour ahead
		case far == 1 && i < odd:
			at -= 1 << 33
		}
		visitor := id(-i)
		l.insert(&ps, ps.add(newPlace(id(int(rnd.Uint32())), &visitor, at, wire.LaneNormal)))
		if i%11 > 0 && i < odd+recentMost {
			continue
		}
		block := l.blocks[rnd.IntN(len(l.blocks))]
		k := ps.orderKey(block[rnd.IntN(len(block))])
		if rnd.IntN(2) == 0 {
			k.Token[0]++ // or that of somebody who is not there
		}
		want := sort.Search(len(block), func(i int) bool { return !ps.earlier(block[i], &k) })
		if got := ps.search(block, rnd.IntN(len(block)+1), &k); got != want {
			t.Fatalf("after %d places: position %d, want %d", i, got, want)
		}
	}
	if ps.recent.from != ps.n-recentMost {
		t.Errorf("%d places from %d on are in mind of %d", recentMost, ps.recent.from, ps.n)
	}
	last := int64(0)
	for i := range l.len() {
		at := ps.at(l.at(i)).instant()
		if at < last {
			t.Fatalf("place %d of the line arrived before the one before it", i)
		}
		last = at
	}
}

func TestShare_IsWithinItsBounds(t *testing.T) {
	for _, c := range []struct{ from, to, at uint64 }{{5, 5, 5}, {0, 1<<64 - 1, 1 << 63}, {10, 20, 0}, {10, 20, 30}, {10, 20, 15}, {1 << 63, 1<<63 + 1<<50, 1<<63 + 1<<49}} {
		if n := share(256, c.from, c.to, c.at); n < 0 || n > 256 || c.from < c.at && c.at < c.to && n != 128 && n != 127 {
			t.Errorf("%+v: %d", c, n)
		}
	}
}
