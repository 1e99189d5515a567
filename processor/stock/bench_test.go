package stock_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
	"fairgate/processor/stock"
)

// traffic makes the log of a busy partition: ten events on sale, the last of them sold out. Of 1,000 records
//
//	300 hold, by new users, and get it: one line or two, some none (the default type); the user's limit is counted
//	150 hold what is sold out and are refused
//	100 come again under a command id that was decided within the last minutes
//	 50 hold although their user has a live hold already
//	100 cancel, 150 start a payment, 130 are authorised and confirmed: each a hold drawn from all the live ones
//	 20 are authorised for a booking that is not known
//
// and one in 3,000 is a tick, 200 ms after the one before: some 400 holds lapse at it, as many close, and twice as many
// that ended 600 s ago are forgotten, with some 2,000 command ids.
//
// Ids are random, so that no lookup finds its line in a cache. A hold lasts 600 s, which keeps about a million of them
// alive; a not-after lies 100 s ahead, which keeps about a million command ids. No event needs a pass.
type traffic struct {
	core    *engine.Core
	rand    *rand.Rand
	now     int64
	made    int // records
	live    []liveHold
	recent  []command // decided lately, the oldest overwritten first
	next    int
	buf     []byte
	records []eventlog.Record
	out     wire.Outcomes
	amounts [lineKinds]int64
	step    int64 // between ticks, µs
	perTick int   // records
}

// liveHold is one hold that was granted, as a fan's browser knows it.
type liveHold struct {
	ref, user wire.ID
	event     int64
	lines     int
	until     int64
}

type command struct {
	id, ref  wire.ID
	event    int64
	notAfter int64
}

const (
	full      = 6_000 // ticks until the tables are
	holdFor   = 600 * sale.Second
	onSale    = 10 // events; the last is sold out
	lineKinds = 4
	repeating = 400_000 // commands that may come again: those of about the last minute
)

var (
	euro  = [3]byte{'E', 'U', 'R'}
	price = wire.Price{Ticket: 4500, Fee: 350, TaxRate: 200_000}
	vip   = wire.Price{Ticket: 12_000, TaxRate: 190_000, Included: true}
)

// linesOf are the lines that fans ask for; none are one ticket of the default type.
func linesOf(kind int) []wire.Line {
	return [lineKinds][]wire.Line{{{Type: 1, Quantity: 2}}, {{Type: 2, Quantity: 1}}, {{Type: 1, Quantity: 1}, {Type: 2, Quantity: 1}}, nil}[kind]
}

func newTraffic(t testing.TB) *traffic {
	m := stock.New(stock.Limits{Bookings: 1 << 26})
	w := &traffic{core: engine.NewCore(m, 0), rand: rand.New(rand.NewPCG(1, 2)), now: 1_800_000_000 * sale.Second,
		step: 200 * sale.Millisecond, perTick: 3_000}
	w.add(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: wire.ID{1}, Code: stock.Code})
	w.tick()
	for e := int64(1); e <= onSale; e++ {
		capacity := uint32(sale.MaxCapacity)
		if e == onSale {
			capacity = 0
		}
		w.add(wire.Record{Object: e}, &wire.DefineEvent{Currency: euro, Hold: holdFor, Grace: 60 * sale.Second, PerUser: 6})
		w.add(wire.Record{Object: e}, &wire.DefineType{Type: 1, Capacity: capacity, Default: true, Price: price})
		w.add(wire.Record{Object: e}, &wire.DefineType{Type: 2, Capacity: capacity, Price: vip})
	}
	for kind := range lineKinds {
		for _, l := range linesOf(kind) {
			p := map[uint32]wire.Price{1: price, 2: vip}[l.Type]
			w.amounts[kind] += sale.LineOf(sale.Price(p), int64(l.Quantity), 0).Total
		}
	}
	w.amounts[3] = sale.LineOf(sale.Price(price), 1, 0).Total
	w.apply(t)
	return w
}

// fill plays 20 minutes of holds and cancellations, so that a million holds are alive and every tick from then on finds
// some that lapse, some that close and some to be forgotten.
func (w *traffic) fill(t testing.TB, ticks int) {
	for range ticks {
		w.tick()
		for range w.perTick * 15 / 100 {
			w.hold(1+w.rand.Int64N(onSale-1), w.subject())
		}
		for range w.perTick * 4 / 100 {
			w.cancel()
		}
		w.apply(t)
	}
}

func (w *traffic) add(h wire.Record, body wire.Body) {
	start := len(w.buf)
	w.buf = wire.AppendRecord(w.buf, h, body)
	w.records = append(w.records, eventlog.Record{Offset: int64(w.made), Value: w.buf[start:len(w.buf):len(w.buf)]})
	w.made++
}

// apply applies what was made, as a replica does, and forgets it. The chain is not computed here: see stock.chain.
func (w *traffic) apply(t testing.TB) {
	heads := make([]wire.Hash, len(w.records))
	w.run(t, heads)
	w.records, w.buf = w.records[:0], w.buf[:0]
}

func (w *traffic) run(t testing.TB, heads []wire.Hash) {
	for from := 0; from < len(w.records); from += batch {
		w.part(t, heads, from)
	}
}

// part applies the batch of records that begins at a place.
func (w *traffic) part(t testing.TB, heads []wire.Hash, from int) {
	w.out.Reset()
	for end := min(from+batch, len(w.records)); from < end; {
		n, err := w.core.ApplyBatch(w.records[from:end], heads[from:end], &w.out)
		if err != nil {
			t.Fatal(err)
		}
		from += n
	}
}

func (w *traffic) id() (v wire.ID) {
	binary.LittleEndian.PutUint64(v[:], w.rand.Uint64())
	binary.LittleEndian.PutUint64(v[8:], w.rand.Uint64())
	return v
}

func (w *traffic) tick() {
	w.now += w.step
	w.add(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
}

// draw makes n records. The buffer is made large first, so that no value moves.
func (w *traffic) draw(n int) {
	if w.buf == nil || cap(w.buf) < n*400 {
		w.buf = make([]byte, 0, n*400)
	}
	for range n {
		if w.made%w.perTick == 0 {
			w.tick()
		} else {
			w.one(w.rand.IntN(1000))
		}
	}
}

func (w *traffic) one(k int) {
	switch {
	case k < 300:
		w.hold(1+w.rand.Int64N(onSale-1), w.subject())
	case k < 450:
		w.send(wire.Record{Object: onSale, Ref: w.id()}, w.request(w.subject(), w.rand.IntN(lineKinds)))
	case k < 550 && len(w.recent) > 0:
		c := w.recent[w.rand.IntN(len(w.recent))]
		h := wire.Record{Object: c.event, Ref: c.ref, Command: c.id, NotAfter: c.notAfter}
		w.add(h, w.request(w.subject(), w.rand.IntN(lineKinds)))
	case k < 600:
		if l := w.pick(false); l != nil {
			h := w.request(w.subject(), 0)
			h.UserKey = l.user
			w.send(wire.Record{Object: l.event, Ref: w.id()}, h)
			return
		}
		w.lost()
	case k < 700:
		w.cancel()
	case k < 850:
		if l := w.pick(false); l != nil {
			w.add(wire.Record{Object: l.event, Ref: l.ref}, &wire.PaymentStarted{UserKey: l.user, Attempt: w.id()})
			return
		}
		w.lost()
	case k < 980:
		if l := w.pick(true); l != nil {
			w.pay(*l)
			return
		}
		w.lost()
	default:
		w.lost()
	}
}

// pick draws a live hold, and takes it out of the live ones if it will be over. It is good until the next draw.
func (w *traffic) pick(over bool) *liveHold {
	for len(w.live) > 0 {
		i, last := w.rand.IntN(len(w.live)), len(w.live)-1
		l := w.live[i]
		lapsed := l.until <= w.now
		if lapsed || over {
			w.live[i] = w.live[last]
			w.live = w.live[:last]
		}
		if !lapsed {
			return &l
		}
	}
	return nil
}

func (w *traffic) cancel() {
	if l := w.pick(true); l != nil {
		w.send(wire.Record{Object: l.event, Ref: l.ref}, &wire.Cancel{UserKey: l.user})
		return
	}
	w.lost()
}

func (w *traffic) pay(l liveHold) {
	a := &wire.Authorised{Attempt: w.id(), Amount: w.amounts[l.lines], Currency: euro, Intent: []byte("pi_3OaBcDeFgHiJkLmNoPqRsTuV")}
	w.add(wire.Record{Object: l.event, Ref: l.ref}, a)
}

func (w *traffic) lost() {
	w.pay(liveHold{ref: w.id(), event: 1})
}

// subject is a user id as identity providers give them.
func (w *traffic) subject() []byte {
	id := sale.UUID(w.id())
	text, _ := id.MarshalText()
	return text
}

func (w *traffic) request(subject []byte, lines int) *wire.Hold {
	return &wire.Hold{Subject: subject, UserKey: sale.UserKey(string(subject)), TicketBase: w.id(), Lines: linesOf(lines)}
}

func (w *traffic) hold(event int64, subject []byte) {
	lines := w.rand.IntN(lineKinds)
	h, ref := w.request(subject, lines), w.id()
	w.send(wire.Record{Object: event, Ref: ref}, h)
	w.live = append(w.live, liveHold{ref: ref, user: h.UserKey, event: event, lines: lines, until: w.now + holdFor})
}

// holdOf is a hold that the traffic does not come back to.
func (w *traffic) holdOf(event int64, subject []byte) (wire.Record, *wire.Hold) {
	r := wire.Record{Object: event, Ref: w.id(), Command: w.id(), NotAfter: w.now + 300*sale.Second}
	return r, w.request(subject, w.rand.IntN(lineKinds))
}

// send makes a command with an id and a not-after.
func (w *traffic) send(r wire.Record, body wire.Body) {
	r.Command, r.NotAfter = w.id(), w.now+100*sale.Second
	w.add(r, body)
	c := command{r.Command, r.Ref, r.Object, r.NotAfter}
	if len(w.recent) < repeating {
		w.recent = append(w.recent, c)
		return
	}
	w.recent[w.next] = c
	w.next = (w.next + 1) % repeating
}

const (
	// batch is how many records are applied at once, as in the engine's loop: their outcomes fit in the second cache.
	batch = 1_000
	// measured is how many records are made before the clock runs, so that what making them left in the caches is soon
	// gone.
	measured = 20 * batch
)

// BenchmarkApply measures what one core decides: headers, bodies, command memory, stock, outcomes and the running hash,
// for the traffic above. The chain is BenchmarkChain's. Making the traffic is not measured.
func BenchmarkApply(b *testing.B) {
	w := newTraffic(b)
	w.fill(b, full)
	heads := make([]wire.Hash, measured)
	var each []float64
	var took time.Duration
	first := w.core.Seq()
	for b.Loop() {
		w.draw(measured)
		for from := 0; from < measured; from += batch {
			began := time.Now()
			w.part(b, heads, from)
			once := time.Since(began)
			took += once
			each = append(each, once.Seconds())
		}
		w.records, w.buf = w.records[:0], w.buf[:0]
	}
	n := float64(len(each) * batch)
	slices.Sort(each)
	b.ReportMetric(n/took.Seconds(), "bench:stock.apply:commands/s")
	b.ReportMetric(batch/each[len(each)/10], "undisturbed-commands/s")
	b.ReportMetric(float64(w.core.Seq()-first)/n, "outcomes/command")
}

// BenchmarkChain measures the SHA-256 chain over the same records, which may be computed on another core.
func BenchmarkChain(b *testing.B) {
	w := newTraffic(b)
	w.fill(b, 10)
	w.draw(batch)
	var head wire.Hash
	n := 0
	for b.Loop() {
		for i := range w.records {
			head = wire.NextChain(head, w.records[i].Offset, w.records[i].Value)
		}
		n += len(w.records)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "bench:stock.chain:commands/s")
}

// BenchmarkBytes measures the memory of a million live holds with all that belongs to them, their command ids included:
// what the process grew by in memory that is really there. Tables ask for more than that at once, which costs nothing
// until it is written to.
func BenchmarkBytes(b *testing.B) {
	const holds = 1_000_000
	var before, after int
	for b.Loop() {
		w := newTraffic(b)
		w.draw(batch)
		w.apply(b)
		before = resident(b)
		for range holds / batch {
			for range batch {
				w.add(w.holdOf(1, w.subject()))
			}
			w.apply(b)
		}
		after = resident(b)
		runtime.KeepAlive(w)
	}
	b.ReportMetric(float64(after-before)/holds, "bench:stock.bytes:bytes/hold")
}

// resident is how many bytes of the process are in memory, garbage not counted.
func resident(b *testing.B) int {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm") // proc(5): pages, of which the second number are resident
	if err != nil {
		b.Skip("no /proc here:", err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestApply_AllocatesNothingForACommand(t *testing.T) {
	w := newTraffic(t)
	w.step, w.perTick = 2*sale.Second, 300
	w.fill(t, 700)
	for range 400 { // until the tables forget as much as they take in
		w.draw(batch)
		w.apply(t)
	}
	heads := make([]wire.Hash, batch)
	var before, after runtime.MemStats
	allocations := uint64(0)
	const rounds = 60
	for range rounds {
		w.draw(batch)
		runtime.ReadMemStats(&before)
		w.run(t, heads)
		runtime.ReadMemStats(&after)
		w.records, w.buf = w.records[:0], w.buf[:0]
		allocations += after.Mallocs - before.Mallocs
	}
	// Sold bookings are kept for ever, in chunks of thousands.
	if each := float64(allocations) / (rounds * batch); each > 0.001 {
		t.Errorf("%d allocations in %d commands, %.3f for each", allocations, rounds*batch, each)
	}
}

// BenchmarkRush measures the minutes after a sale has opened and sold out: nine of ten commands ask for what is gone, by new
// users with new command ids, and one comes again. A million command ids are remembered, as in BenchmarkApply; what differs is
// that few holds are alive.
func BenchmarkRush(b *testing.B) {
	w := newTraffic(b)
	rush := func() {
		if k := w.rand.IntN(1000); k < 900 || len(w.recent) == 0 {
			w.one(300 + k%150) // asks for what is sold out
		} else {
			w.one(450 + k%100) // comes again
		}
	}
	w.perTick = 2_000 // 10,000 a second, remembered for 100 s
	for range 1_000 {
		w.tick()
		for range w.perTick {
			rush()
		}
		w.apply(b)
	}
	heads := make([]wire.Hash, measured)
	n, took := 0, time.Duration(0)
	for b.Loop() {
		for range measured {
			if w.made%w.perTick == 0 {
				w.tick()
			} else {
				rush()
			}
		}
		began := time.Now()
		w.run(b, heads)
		took += time.Since(began)
		n += measured
		w.records, w.buf = w.records[:0], w.buf[:0]
	}
	b.ReportMetric(float64(n)/took.Seconds(), "bench:stock.rush:commands/s")
}
