package queue

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
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
	for i := range n {
		j := h.fan(i)
		j.Instant = t0 + int64(i)
		if i%10 == 0 {
			j.Instant -= 3 * sale.Second
		}
		r, err := wire.ParseRecord(wire.AppendRecord(nil, wire.Record{Object: hall, Ref: id(i)}, j))
		if err != nil {
			b.Fatal(err)
		}
		h.out.Reset()
		h.out.Begin(h.offset, h.c.Now, r)
		h.m.Apply(&h.c, h.offset, r, &h.out)
		h.out.End()
		h.offset++
	}
}

const (
	stampede = 1_000_000 // places
	perTick  = 3_000     // joins between two ticks, 200 ms apart
	// atOnce is how many records are applied at once, as in the engine's loop.
	atOnce = 512
)

// log is what a fetch loop reads: records side by side, without a pointer for the collector to each.
type log struct {
	bytes []byte
	ends  []uint32
}

func (l *log) add(h wire.Record, body wire.Body) {
	l.bytes = wire.AppendRecord(l.bytes, h, body)
	l.ends = append(l.ends, uint32(len(l.bytes)))
}

// read gives the records from an offset on.
func (l *log) read(from int, batch []eventlog.Record) []eventlog.Record {
	n := min(len(batch), len(l.ends)-from)
	for i := range n {
		start := uint32(0)
		if from+i > 0 {
			start = l.ends[from+i-1]
		}
		batch[i] = eventlog.Record{Offset: int64(from + i), Value: l.bytes[start:l.ends[from+i]:l.ends[from+i]]}
	}
	return batch[:n]
}

// stampeding is the log of a stampede of so many. A million are from 300,000 addresses in 100,000 networks, 600 IPv6 /32 among
// them, and 3,000 autonomous systems, and come 15,000 a second. Each joins 0.5 to 2.5 s after arriving, so the log has them
// out of order. All have command ids and a not-after of 10 s.
func stampeding(people int) *log {
	rnd := rand.New(rand.NewPCG(1, 2))
	l := &log{bytes: make([]byte, 0, 140*people), ends: make([]uint32, 0, people+people/perTick+8)}
	randomID := func() (id wire.ID) {
		binary.LittleEndian.PutUint64(id[:], rnd.Uint64())
		binary.LittleEndian.PutUint64(id[8:], rnd.Uint64())
		return id
	}
	type arrival struct{ instant, joins int64 }
	order := make([]arrival, people)
	for i := range order {
		at := t0 + int64(i)*200*sale.Millisecond/perTick
		order[i] = arrival{at, at + sale.Second/2 + rnd.Int64N(2*sale.Second)}
	}
	slices.SortFunc(order, func(a, b arrival) int { return cmp.Compare(a.joins, b.joins) })
	l.add(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: wire.ID{1}})
	l.add(wire.Record{}, &wire.Tick{Epoch: 1, Now: t0})
	l.add(wire.Record{Object: hall}, &wire.DefineRoom{Cap: 1000, PerMinute: 600})
	for i, a := range order {
		if i%perTick == 0 {
			l.add(wire.Record{}, &wire.Tick{Epoch: 1, Now: a.joins})
		}
		address := rnd.Uint64N(uint64(people) * 3 / 10)
		j := &wire.Enlist{Join: wire.Join{Instant: a.instant, Edge: 1, Visitor: randomID(), Algorithm: 1, Difficulty: 90_000,
			Narrow: (address + 1) * 0x9e3779b97f4a7c15, Wide: (address/3 + 1) * 0xa4093822299f31d1}}
		if address%3 == 0 {
			j.Broad = (address/3%600 + 1) * 0x9e3779b97f4a7c15
		}
		j.Origin = (address/100 + 1) * 0x9e3779b97f4a7c15
		l.add(wire.Record{Object: hall, Ref: randomID(), Command: randomID(), NotAfter: a.joins + 10*sale.Second}, j)
	}
	return l
}

// play applies a log as a replica does, with the heads of the chain that it is told.
func play(b testing.TB, core *engine.Core, l *log, heads func(before wire.Hash, records []eventlog.Record) []wire.Hash, out *wire.Outcomes) {
	batch := make([]eventlog.Record, atOnce)
	for from := 0; from < len(l.ends); {
		records := l.read(from, batch)
		n, err := core.ApplyBatch(records, heads(core.Chain(), records), out)
		if err != nil {
			b.Fatal(err)
		}
		from += n
		out.Reset()
	}
}

// unchained is no chain: what that takes is measured elsewhere, as stock.chain.
func unchained() func(wire.Hash, []eventlog.Record) []wire.Hash {
	heads := make([]wire.Hash, atOnce)
	return func(wire.Hash, []eventlog.Record) []wire.Hash { return heads }
}

// cpu is how much processor time this process has used, garbage collection included: what a machine busy with other things
// does not disturb much.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkApply is a stampede through the engine and the queue machine on one core: from an empty room to a million
// places. bytes is what the room then holds, per place, with all its indexes.
func BenchmarkApply(b *testing.B) {
	l := stampeding(stampede)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var m *Machine
	var core *engine.Core
	var busy time.Duration
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		m, core = nil, nil
		debug.FreeOSMemory() // a process takes memory that nobody used before
		b.StartTimer()
		began := cpu(b)
		m = New(Limits{})
		core = engine.NewCore(m, 0)
		play(b, core, l, unchained(), &wire.Outcomes{})
		busy += cpu(b) - began
	}
	b.StopTimer()
	if m.places != stampede {
		b.Fatalf("%d places", m.places)
	}
	b.ReportMetric(float64(b.N*len(l.ends))/b.Elapsed().Seconds(), "bench:queue.apply:records/s")
	b.ReportMetric(float64(b.N*len(l.ends))/busy.Seconds(), "bench:queue.apply.cpu:records/s")
	core = nil // its memory of command ids is not the room's
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/stampede, "bench:queue.bytes:bytes")
	runtime.KeepAlive(m)
	runtime.KeepAlive(l)
	runtime.KeepAlive(core)
}

func BenchmarkRank(b *testing.B) {
	h := million(b)
	for i := 0; b.Loop(); i++ {
		if _, ok := h.m.Place(hall, id(i%1_000_000)); !ok {
			b.Fatal("lost")
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N), "bench:queue.rank:µs")
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
