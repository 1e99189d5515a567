package queue

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/wire"
)

func TestLine_NoBlockOutgrowsItsSize(t *testing.T) {
	ps := &places{}
	var l line
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 60_000 {
		token := id(n)
		l.insert(ps, ps.add(newPlace(token, &token, int64(1_000_000+n-rnd.IntN(30_000)), 0)))
	}
	for i, b := range l.blocks {
		if len(b) > blockSize {
			t.Fatalf("block %d has %d places", i, len(b))
		}
	}
}

func TestLine_AgreesWithASortedSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ps := &places{}
		var l line
		var want []uint32 // sorted
		less := func(a, b uint32) int {
			k := ps.orderKey(b)
			return ps.compare(a, &k)
		}
		// Instants lie close together, or far apart.
		scale := rapid.SampledFrom([]uint64{1, 1 << 20, 1 << 25, 1 << 31, 1 << 40}).Draw(t, "scale")
		add := func(key uint64) {
			key *= scale
			token := id(int(ps.n))
			i := ps.add(newPlace(token, &token, int64(key), 0))
			at, _ := slices.BinarySearchFunc(want, i, less)
			want = slices.Insert(want, at, i)
			if rank := l.insert(ps, i); rank != at {
				t.Fatalf("inserted at rank %d, want %d", rank, at)
			}
		}
		for n := range rapid.IntRange(0, 1500).Draw(t, "places in order") {
			add(uint64(n))
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op < 5:
				key := rapid.Uint64Range(0, 2000).Draw(t, "key")
				for range rapid.IntRange(1, 40).Draw(t, "times") {
					add(key)
				}
			case op < 7 && len(want) > 0:
				if i := l.pop(ps); i != want[0] {
					t.Fatalf("popped %d, want %d", i, want[0])
				}
				want = want[1:]
			case len(want) > 0:
				for range min(len(want), rapid.IntRange(1, 300).Draw(t, "removed")) {
					at := rapid.IntRange(0, len(want)-1).Draw(t, "at")
					if !l.remove(ps, want[at]) || l.remove(ps, want[at]) {
						t.Fatal("remove")
					}
					want = slices.Delete(want, at, at+1)
				}
			}
			if l.len() != len(want) {
				t.Fatalf("length %d, want %d", l.len(), len(want))
			}
		}
		for i, index := range want {
			k := ps.orderKey(index)
			if l.at(i) != index || l.rank(ps, &k) != i {
				t.Fatalf("rank %d: place %d with rank %d, want place %d", i, l.at(i), l.rank(ps, &k), index)
			}
		}
		end := wire.OrderKey{Class: 2}
		if l.rank(ps, &end) != len(want) {
			t.Fatal("rank behind the end")
		}
	})
}

func TestDeadlines_EmptyInOneOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h deadlines
		list := rapid.SliceOfN(rapid.Int64Range(0, 20), 0, 60).Draw(t, "deadlines")
		for i, at := range list {
			h.push(deadline{at, uint32(i)})
		}
		now := rapid.Int64Range(0, 20).Draw(t, "now")
		last := deadline{at: -1}
		n := 0
		for d, ok := h.due(now); ok; d, ok = h.due(now) {
			if !last.less(d) || d.at > now || list[d.place] != d.at {
				t.Fatalf("%v after %v at %d", d, last, now)
			}
			last = d
			n++
		}
		for _, at := range list {
			if at <= now {
				n--
			}
		}
		if n != 0 {
			t.Fatalf("%d too many", n)
		}
	})
}

func TestTable_FindsTheNewestPlaceOfAnID(t *testing.T) {
	ps := &places{}
	byToken, byVisitor := finder{}, finder{visitor: true}
	for i := range uint32(5000) {
		visitor := id(int(i % 700))
		ps.add(newPlace(id(int(i)), &visitor, 1, 0))
		byToken.put(ps, i)
		byVisitor.put(ps, i)
	}
	for i := range 5000 {
		token := id(i)
		if got, ok := byToken.findToken(ps, &token); !ok || got != uint32(i) {
			t.Fatalf("token %d: %d %v", i, got, ok)
		}
	}
	for v := range 700 {
		want := uint32(4900 + v)
		if v >= 100 {
			want = uint32(4200 + v)
		}
		hash := id(v)
		visitor := visitorOf(&hash)
		if got, ok := byVisitor.findVisitor(ps, &visitor); !ok || got != want {
			t.Fatalf("visitor %d: %d, want %d", v, got, want)
		}
	}
	stranger := id(9999)
	if _, ok := byToken.findToken(ps, &stranger); ok {
		t.Error("found nobody")
	}
}

func TestOutages_TakeOffOnlyWhatLiesAfterTheInstant(t *testing.T) {
	var o Outages
	const s = 1_000_000
	o.Observe(100*s, 0)
	o.Observe(150*s, 50*s) // an outage from 100 to 150
	o.Observe(160*s, 50*s)
	o.Observe(60*s, 0)     // goes back: ignored
	o.Observe(170*s, 55*s) // only five of the ten seconds counted
	for _, c := range []struct{ instant, want int64 }{
		{90 * s, 55 * s}, {100 * s, 55 * s}, {140 * s, 15 * s}, {150 * s, 5 * s}, {167 * s, 3 * s}, {170 * s, 0}, {999 * s, 0},
	} {
		if got := o.Since(c.instant); got != c.want {
			t.Errorf("since %d s: %d, want %d", c.instant/s, got/s, c.want/s)
		}
	}
	if got := o.Between(160*s, 180*s); got != 15*s {
		t.Errorf("with one running: %d", got/s)
	}
	if got := o.Between(175*s, 180*s); got != 5*s {
		t.Errorf("for an instant inside the running one: %d", got/s)
	}
	if got := o.Between(160*s, 171*s); got != 5*s {
		t.Errorf("between two ordinary ticks: %d", got/s)
	}
	for i := range 2 * MaxOutages {
		o.Observe(int64(200+10*i)*s, int64(60+10*i)*s)
	}
	if len(o.steps) != MaxOutages {
		t.Errorf("%d outages remembered", len(o.steps))
	}
}
