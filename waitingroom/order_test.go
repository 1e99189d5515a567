package waitingroom

import (
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fairgate/internal/engine"
	"fairgate/internal/roomtime"
	"fairgate/internal/wire"
	"fairgate/waitingroom/queue"
)

// The world of the order harness, in µs of a time that only the harness knows.
const (
	orderEdges   = 3
	orderRun     = 120 * 1_000_000 // how long people arrive
	orderAsk     = 4 * 1_000_000   // between two exchanges of an edge with the source
	orderFans    = 500
	orderTies    = 50      // people at one edge in one microsecond, at most: each is stamped one later
	orderMostWay = 300_000 // longest way of a question to the source, or of its answer
	orderMostLog = 100 * 1_000_000
	orderLimit   = int64(250_000) // an edge with a larger bound is not ready
	orderBegin   = int64(1_800_000_000_000_000)
)

// path is one edge's way to the source of time: unequal, and slow now and then.
type path struct {
	there, back [2]int64 // least and most of each way
	gone        [2]int64 // while the source does not answer
}

// clocked is an edge with a clock of its own: it drifts, it was set wrong, and it knows the truth by exchanges alone.
type clocked struct {
	edge     *Edge
	world    *orderWorld
	wrong    int64 // of its clock at the beginning
	drift    int64 // µs a second
	path     path
	estimate roomtime.Estimate
	steady   roomtime.Steady
	next     int64 // its next exchange
}

// arrival is one person, as only the harness knows them.
type arrival struct {
	at      int64 // true time
	edge    int
	instant int64 // as stamped
	bound   int64 // as published then
	token   wire.ID
}

type orderWorld struct {
	now   int64
	rnd   *rand.Rand
	edges [orderEdges]*clocked
}

func (c *clocked) local(at int64) int64 {
	return at + c.wrong + (at-orderBegin)/1_000_000*c.drift + (at-orderBegin)%1_000_000*c.drift/1_000_000
}

// roomTime is what the edge stamps with: its clock, corrected by what the exchanges told.
func (c *clocked) roomTime() (now, bound int64) {
	local := c.local(c.world.now)
	offset, bound := c.estimate.Read(local)
	return c.steady.Hold(local+offset, bound)
}

// exchange asks the source at true time sent; the edge hears at the time returned.
func (c *clocked) exchange(sent int64) (heard int64, x roomtime.Exchange) {
	way := func(w [2]int64) int64 { return w[0] + c.world.rnd.Int64N(w[1]-w[0]+1) }
	source := sent + way(c.path.there)
	heard = source + way(c.path.back)
	asked, answered := c.local(sent), c.local(heard)
	return heard, roomtime.Exchange{At: answered, Offset: source - asked - (answered-asked)/2, Delay: answered - asked + 1}
}

func newOrderWorld(t *rapid.T) *orderWorld {
	w := &orderWorld{now: orderBegin, rnd: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))}
	way := func(name string) [2]int64 {
		least := rapid.Int64Range(0, orderMostWay).Draw(t, name+", least")
		return [2]int64{least, rapid.Int64Range(least, orderMostWay).Draw(t, name+", most")}
	}
	for i := range w.edges {
		c := &clocked{
			world: w, wrong: rapid.Int64Range(-1e10, 1e10).Draw(t, "set wrong by"), drift: rapid.Int64Range(-400, 400).Draw(t, "drift"),
			path: path{there: way("there"), back: way("back")}, next: orderBegin,
		}
		gone := orderBegin + rapid.Int64Range(0, orderRun).Draw(t, "the source is gone from")
		c.path.gone = [2]int64{gone, gone + rapid.Int64Range(0, orderRun).Draw(t, "for")}
		c.edge = &Edge{deps: Deps{RoomTime: c.roomTime}, config: Config{}.withDefaults(), id: uint32(i + 1)}
		w.edges[i] = c
	}
	return w
}

// until lets time pass: whatever exchange is due is made.
func (w *orderWorld) until(at int64) {
	for _, c := range w.edges {
		for c.next <= at {
			heard, x := c.exchange(c.next)
			if heard > at {
				break // still on its way
			}
			if c.next < c.path.gone[0] || c.next > c.path.gone[1] {
				c.estimate.Learn(x)
			}
			c.next = max(heard, c.next+orderAsk)
		}
	}
	w.now = at
}

// arrivals has people arrive at any edge that is ready, many of them at nearly the same moment.
func (w *orderWorld) arrivals(t *rapid.T) (all []arrival) {
	at := orderBegin + 2*orderMostWay
	for n := range orderFans {
		gap := w.rnd.Int64N(2 * orderRun / orderFans)
		if n%4 != 0 {
			gap = w.rnd.Int64N(2_000) // a crowd
		}
		at += gap
		w.until(at)
		edge := w.rnd.IntN(orderEdges)
		c := w.edges[edge]
		now, bound := c.roomTime()
		if bound > orderLimit {
			continue // not ready: the gateway sends nobody there
		}
		if is := now - w.now; is > bound || is < -bound {
			t.Fatalf("room time of edge %d is wrong by %d µs, it publishes %d", edge, is, bound)
		}
		instant := c.edge.instant()
		if instant-now > orderTies {
			t.Fatalf("edge %d stamps %d µs ahead of its room time", edge, instant-now)
		}
		a := arrival{at: at, edge: edge, instant: instant, bound: bound + orderTies, token: wire.ID{byte(n >> 8), byte(n), 1}}
		all = append(all, a)
	}
	return all
}

// lineUp gives the joins to the queue machine in any order that the log may have them in, and returns the line as the
// machine has it.
func (w *orderWorld) lineUp(t *rapid.T, all []arrival) []int {
	machine := queue.New(queue.Limits{})
	core := engine.NewCore(machine, 0)
	var out wire.Outcomes
	offset := int64(0)
	apply := func(r wire.Record, body wire.Body) {
		out.Reset()
		if err := core.Apply(offset, wire.AppendRecord(nil, r, body), &out); err != nil {
			t.Fatal(err)
		}
		offset++
	}
	apply(wire.Record{}, &wire.Epoch{Epoch: 1})
	// The leader's clock may be wrong as well, within the limit that it must keep.
	tick := func(now int64) { apply(wire.Record{}, &wire.Tick{Epoch: 1, Now: now, Bound: orderLimit}) }
	tick(orderBegin)
	apply(wire.Record{Object: 1}, &wire.DefineRoom{Cap: 1, PerMinute: 1})
	apply(wire.Record{Object: 1}, &wire.SetRoom{State: wire.RoomOpen})
	apply(wire.Record{Object: 1}, &wire.SetRoom{State: wire.RoomPaused})

	type logged struct{ at, who int64 }
	order := make([]logged, len(all))
	for i := range all {
		order[i] = logged{all[i].at + w.rnd.Int64N(orderMostLog), int64(i)}
	}
	slices.SortFunc(order, func(a, b logged) int { return int(a.at - b.at) })
	for _, l := range order {
		tick(l.at + w.rnd.Int64N(2*orderLimit) - orderLimit)
		a := &all[l.who]
		apply(wire.Record{Object: 1, Ref: a.token}, &wire.Join{
			Instant: a.instant, Edge: uint32(a.edge + 1), Visitor: a.token, Narrow: uint64(l.who), Wide: uint64(l.who),
		})
	}
	ranks := make([]int, len(all))
	for i := range all {
		at, ok := machine.Place(1, all[i].token)
		if !ok || at.State != queue.Waiting {
			t.Fatalf("arrival %d is not in line: %v %+v", i, ok, at)
		}
		ranks[i] = int(at.Ahead)
	}
	return ranks
}

// TestOrder_AcrossEdgesIsRightToThePublishedBound runs three edges whose clocks are set wrong, drift, and know the time by
// ways of 0 to 300 ms that are as unequal as can be and end now and then. Only the harness knows when people really
// arrived. An edge's error never exceeds the bound it publishes; nobody overtakes anybody at the same edge; and who
// overtakes somebody at another edge came later by no more than the two bounds together. The line is the queue machine's,
// from a log that had the joins in an order of its own.
func TestOrder_AcrossEdgesIsRightToThePublishedBound(t *testing.T) {
	t.Parallel()
	var runs, inversions, stamped int
	var worst float64
	rapid.Check(t, func(t *rapid.T) {
		w := newOrderWorld(t)
		all := w.arrivals(t)
		ranks := w.lineUp(t, all)
		runs++
		stamped += len(all)
		// In order of true arrival, as all is, so every pair that stands otherwise in line is an inversion.
		line := make([]int, len(all))
		for i := range line {
			line[i] = i
		}
		sort.Slice(line, func(a, b int) bool { return ranks[line[a]] < ranks[line[b]] })
		for place, i := range line {
			if ranks[i] != place {
				t.Fatalf("two people are number %d", ranks[i])
			}
		}
		for i := range all {
			for j := i + 1; j < len(all); j++ {
				first, second := &all[i], &all[j]
				if ranks[i] < ranks[j] {
					continue
				}
				inversions++
				late := second.at - first.at
				if first.edge == second.edge {
					t.Fatalf("at edge %d somebody overtook who came %d µs later", first.edge, late)
				}
				if most := first.bound + second.bound; late > most {
					t.Fatalf("overtaken by %d µs, the bounds %d and %d allow %d", late, first.bound, second.bound, most)
				} else if most > 0 {
					worst = max(worst, float64(late)/float64(most))
				}
			}
		}
	})
	t.Logf("%d worlds, %d arrivals, %d inversions across edges, the worst at %.0f %% of what the bounds allow", runs, stamped, inversions, 100*worst)
	if inversions == 0 {
		t.Error("no world had an inversion: the harness proves nothing")
	}
}

// TestOrder_AtOneEdgeIsExact holds for any number of people at once, and for a clock that is set back.
func TestOrder_AtOneEdgeIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := orderBegin
		e := &Edge{deps: Deps{RoomTime: func() (int64, int64) { return now, 0 }}}
		last := int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "people") {
			now += rapid.Int64Range(-time.Second.Microseconds(), time.Second.Microseconds()).Draw(t, "the clock moves by")
			instant := e.instant()
			if instant <= last {
				t.Fatalf("%d after %d", instant, last)
			}
			last = instant
		}
	})
	var e Edge
	e.deps.RoomTime = func() (int64, int64) { return time.Now().UnixMicro(), 0 }
	const people, each = 8, 5_000
	got := make(chan []int64, people)
	for range people {
		go func() {
			mine := make([]int64, each)
			for i := range mine {
				mine[i] = e.instant()
			}
			got <- mine
		}()
	}
	seen := make(map[int64]bool, people*each)
	for range people {
		mine := <-got
		if !slices.IsSorted(mine) {
			t.Error("somebody came before themselves")
		}
		for _, i := range mine {
			if seen[i] {
				t.Fatal("two people at one instant")
			}
			seen[i] = true
		}
	}
}
