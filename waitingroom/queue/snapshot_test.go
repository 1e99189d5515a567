package queue

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// busy is a machine in which everything has happened.
func busy(t testing.TB) *harness {
	h := start(t)
	c := h.oneInside(8)
	h.ask(2)
	h.ask(3)
	h.leave(4)
	h.apply(hall, wire.ID{}, &wire.Left{Pass: c.Pass, Source: 2, SourceSeq: 5})
	h.apply(hall, wire.ID{}, &wire.Signal{Left: 5, Headroom: 500, Source: 2, SourceSeq: 6})
	h.c.Now += 10
	h.join(10)
	h.join(11)
	h.tick(h.now() + 5*sale.Second) // an outage
	h.run(2 * sale.Second)
	d, seed := drawn()
	d.DrawCloses, d.EarlyFrom, d.Opens = h.now()+sale.Second, 0, h.now()+sale.Second
	h.apply(hall+1, wire.ID{}, &d)
	for n := range 20 {
		h.apply(hall+1, id(n), h.fan(n))
	}
	h.run(12 * sale.Second)
	h.apply(hall+1, wire.ID{}, &wire.Reveal{Seed: seed, Public: []byte("7")})
	for n := 200; n < 205; n++ { // of networks of every span
		e := &wire.Enlist{Join: *h.fan(n), Broad: uint64(8 + n%2), Origin: 7}
		e.Lane, e.Narrow, e.Wide = wire.LaneShared, uint64(n%3+4), 6
		h.apply(hall, id(n), e)
	}
	h.apply(hall-1, wire.ID{}, &wire.DefineRoom{})
	return h
}

func TestSnapshot_GoesOnAsIfNothingHadHappened(t *testing.T) {
	a, b := busy(t), busy(t)
	snap := b.m.Snapshot([]byte("before"))
	if !bytes.Equal(a.m.Snapshot(nil), snap[len("before"):]) {
		t.Fatal("the same records gave other bytes")
	}
	b.m = New(Limits{})
	if err := b.m.Restore(snap[len("before"):]); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.m.Snapshot(nil), snap[len("before"):]) {
		t.Fatal("restored, it is another state")
	}
	for _, h := range []*harness{a, b} {
		h.run(3 * sale.Second)
		for n := range 12 {
			h.ask(n)
			h.apply(hall+1, id(n), &wire.Ask{Visitor: id(-n)})
			h.join(n)
			h.join(100 + n)
		}
		h.run(70 * sale.Second)
	}
	if a.out.Hash != b.out.Hash || a.out.Seq != b.out.Seq || !bytes.Equal(a.m.Snapshot(nil), b.m.Snapshot(nil)) {
		t.Error("restored, it told something else")
	}
}

func TestSnapshot_IsTheSameBytesForEver(t *testing.T) {
	h := busy(t)
	for span := range wire.Span(wire.Spans) {
		if h.m.rooms[1].span(span).crowds.n == 0 {
			t.Errorf("no crowds of span %d", span)
		}
	}
	sum := sha256.Sum256(h.m.Snapshot(nil))
	// Whoever has to change this changes Code too: standbys of the old version cannot read the new bytes.
	const want = "3 10242106691ad8cc"
	if got := fmt.Sprintf("%d %x", Code, sum[:8]); got != want {
		t.Errorf("snapshot %s, want %s", got, want)
	}
}

func TestRestore_DamageIsAnErrorAndChangesNothing(t *testing.T) {
	h := busy(t)
	good := h.m.Snapshot(nil)
	check := func(name string, b []byte) {
		t.Helper()
		if err := h.m.Restore(b); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range len(good) {
		check(fmt.Sprintf("the first %d bytes", n), good[:n])
	}
	check("a byte more", append(bytes.Clone(good), 0))
	other := bytes.Clone(good)
	other[0]++
	check("another version", other)
	if !bytes.Equal(h.m.Snapshot(nil), good) {
		t.Error("a refused snapshot changed the state")
	}
	small := New(Limits{Places: 10})
	if err := small.Restore(good); !errors.Is(err, ErrSnapshot) {
		t.Errorf("beyond the limits: %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(New(Limits{}).Snapshot(nil))
	f.Add(busy(f).m.Snapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := New(Limits{Rooms: 8, Places: 1000})
		if m.Restore(b) != nil {
			return
		}
		if !bytes.Equal(m.Snapshot(nil), b) {
			t.Fatal("restored what it would not write")
		}
		// Whatever it holds, it works.
		c := sale.LogClock{Epoch: 1, Now: m.outages.now + sale.Second, Outage: m.outages.total}
		var out wire.Outcomes
		out.Begin(1, c.Now, wire.Record{})
		out.Add(&wire.Ticked{})
		m.Tick(&c, &out)
		out.End()
		m.Documents(&c, func(int64, []byte) {})
	})
}

func FuzzApply(f *testing.F) {
	for k := range 256 {
		if body := wire.NewQueueRecord(wire.Kind(k)); body != nil {
			f.Add(wire.AppendRecord(nil, wire.Record{Object: hall, Ref: id(2)}, body))
		}
	}
	f.Add(wire.AppendRecord(nil, wire.Record{Object: hall, Ref: id(2)}, &wire.Ask{Visitor: id(-2)}))
	h := busy(f)
	good, clock := h.m.Snapshot(nil), h.c
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := wire.ParseRecord(b)
		if err != nil || r.Kind < 16 {
			return
		}
		h := &harness{t: t, m: New(Limits{}), c: clock, offset: 500}
		if err := h.m.Restore(good); err != nil {
			t.Fatal(err)
		}
		h.record(r)
		h.tick(h.now() + sale.Second)
	})
}
