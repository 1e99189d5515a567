package queue

import (
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

func TestTick_TakesABoundedNumberOfSteps(t *testing.T) {
	h := start(t)
	h.define(fast(1))
	const fans = 5001
	for n := range fans {
		h.c.Now++
		h.join(n)
	}
	h.set(wire.RoomOpen)
	h.inviteAll(fans)
	for n := 1000; n < fans; n++ {
		h.ask(n) // one is inside, 4000 ask, 1000 are invited
	}
	if slots, _ := of[*wire.SlotGiven](h.apply(hall, wire.ID{}, &wire.SetOutflow{Cap: 4500})); len(slots) != roomSteps {
		t.Errorf("%d slots in one record, at most %d", len(slots), roomSteps)
	}
	// Slots are free and earlier asks pending: nobody passes them by.
	answer[*wire.Asked](h, h.ask(999))
	for range 5 {
		if got := h.tick(h.now() + 100*sale.Millisecond); len(got) > roomSteps+2 {
			t.Fatalf("%d outcomes in one tick", len(got))
		}
	}
	if p := h.place(fans - 1); p.State != Reserved {
		t.Errorf("the last ask got no slot: %v", p.State)
	}
}

// million is an open room with a million places in line, a tenth of them out of order.
func million(b *testing.B) *harness {
	if testing.Short() {
		b.Skip("a million places")
	}
	h := start(b)
	h.define(fast(1000))
	joins(b, h, 1_000_000)
	h.set(wire.RoomOpen)
	h.run(sale.Second)
	b.ResetTimer()
	return h
}

func joins(b *testing.B, h *harness, n int) {
	list := make([]wire.Record, n)
	for i := range list {
		j := h.fan(i)
		j.Instant = t0 + int64(i)
		if i%10 == 0 {
			j.Instant -= 3 * sale.Second
		}
		r, err := wire.ParseRecord(wire.AppendRecord(nil, wire.Record{Object: hall, Ref: id(i)}, j))
		if err != nil {
			b.Fatal(err)
		}
		list[i] = r
	}
	b.ResetTimer()
	for i := range list {
		h.out.Reset()
		h.out.Begin(h.offset, h.c.Now, list[i])
		h.m.Apply(&h.c, h.offset, list[i], &h.out)
		h.out.End()
		h.offset++
	}
}

func BenchmarkJoin(b *testing.B) {
	h := start(b)
	h.define(fast(1000))
	b.ReportAllocs()
	joins(b, h, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bench:queue.apply:records/s")
}

func BenchmarkRank(b *testing.B) {
	h := million(b)
	for i := 0; b.Loop(); i++ {
		if _, ok := h.m.Place(hall, id(i%1_000_000)); !ok {
			b.Fatal("lost")
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	h := million(b)
	for b.Loop() {
		h.m.Documents(&h.c, func(int64, []byte) {})
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N), "bench:queue.document:µs")
}

func BenchmarkSnapshot(b *testing.B) {
	h := million(b)
	var snap []byte
	for b.Loop() {
		snap = h.m.Snapshot(snap[:0])
	}
	b.ReportMetric(float64(len(snap))/1e6, "bytes/place")
}

func BenchmarkRestore(b *testing.B) {
	h := million(b)
	snap := h.m.Snapshot(nil)
	for b.Loop() {
		if err := New(Limits{}).Restore(snap); err != nil {
			b.Fatal(err)
		}
	}
}
