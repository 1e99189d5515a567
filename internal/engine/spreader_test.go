package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testlog"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// troupe is a process: a spreader and a player for each partition.
type troupe struct {
	*Spreader
	w       *world
	players []*player
	stop    context.CancelFunc
	ended   chan struct{}
	reg     *prometheus.Registry
	logged  *testlog.Buffer
}

// faultyPresence is Postgres that does not answer while away.
type faultyPresence struct {
	*store.DB
	away *atomic.Bool
}

func (f faultyPresence) Beat(ctx context.Context, p store.Processor) ([]store.Processor, error) {
	if f.away.Load() {
		return nil, errors.New("the database is away")
	}
	return f.DB.Beat(ctx, p)
}

const spreadPartitions = 4

func newSpreadWorld(t testing.TB) (*world, *atomic.Bool) {
	w := newWorld(t)
	w.cfg.Input = testkafka.Topic(t, w.events, "toy", spreadPartitions)
	w.cfg.Outcomes = testkafka.Topic(t, w.events, "toy-outcomes", spreadPartitions)
	w.cfg.Tuning.LeaseTTL = 4 * time.Second // so long that only freed locks can be what is noticed
	return w, new(atomic.Bool)
}

// enter starts a process.
func (w *world) enter(n byte, away *atomic.Bool) *troupe {
	tr := &troupe{w: w, ended: make(chan struct{}), reg: prometheus.NewRegistry(), logged: new(testlog.Buffer)}
	tr.Spreader = NewSpreader(SpreaderDeps{
		Presence: faultyPresence{w.db, away}, ID: func() wire.ID { return wire.ID{n} }, Metrics: tr.reg,
		Log: slog.New(slog.NewTextHandler(tr.logged, nil)),
	})
	tr.beats, tr.settle = 40*time.Millisecond, 200*time.Millisecond
	for p := range int32(spreadPartitions) {
		player := w.start(func(c *Config, d *Deps) {
			c.Partition, c.Name = p, fmt.Sprintf("toy/%d", p)
			d.Leases = SpreadLeases(w.db, c.Tuning.LeaseTTL, tr.ID(), tr.Handicap)
		})
		tr.players = append(tr.players, player)
		tr.Add(player.Runner)
	}
	ctx, cancel := context.WithCancel(context.Background())
	tr.stop = cancel
	go func() {
		defer close(tr.ended)
		_ = tr.Run(ctx)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-tr.ended
	})
	return tr
}

func (tr *troupe) leads() (n int) {
	for _, p := range tr.players {
		if p.Leading() {
			n++
		}
	}
	return n
}

// leave ends a process in order.
func (tr *troupe) leave() {
	tr.stop()
	<-tr.ended
	for _, p := range tr.players {
		p.stop()
		<-p.stopped
	}
}

// die ends a process as SIGKILL does: no farewell, connections just close.
func (tr *troupe) die(presence *atomic.Bool) {
	presence.Store(true) // it says nothing any more, not even farewell
	for _, p := range tr.players {
		tr.w.kill(p)
	}
	tr.stop()
}

// valueOf is what a gauge or counter shows now.
func valueOf(m prometheus.Metric) float64 {
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		panic(err)
	}
	return d.GetGauge().GetValue() + d.GetCounter().GetValue()
}

// counts is how many partitions each leads, most first.
func counts(all ...*troupe) (list []int) {
	for _, tr := range all {
		list = append(list, tr.leads())
	}
	slices.Sort(list)
	slices.Reverse(list)
	return list
}

func (w *world) untilLed(want []int, all ...*troupe) {
	w.t.Helper()
	w.until(fmt.Sprintf("they lead %v", want), func() bool { return slices.Equal(counts(all...), want) })
}

func TestSpreader_PartitionsAreSharedByWhoComesAndWhoStays(t *testing.T) {
	w, away := newSpreadWorld(t)
	a := w.enter(1, away)
	w.untilLed([]int{4}, a)
	b := w.enter(2, away)
	w.untilLed([]int{2, 2}, a, b)
	silent := new(atomic.Bool)
	c := w.enter(3, silent)
	w.untilLed([]int{2, 1, 1}, a, b, c)

	time.Sleep(300 * time.Millisecond) // until the others have looked at its leases

	// One dies: the others lead all, evenly from the start.
	began := time.Now()
	c.die(silent)
	w.untilLed([]int{2, 2}, a, b)
	if d := time.Since(began); d > w.cfg.Tuning.LeaseTTL/2 {
		t.Errorf("its partitions were led again after %s", d)
	}
	moved := valueOf(a.metrics.moves.WithLabelValues(movedForSpread)) + valueOf(b.metrics.moves.WithLabelValues(movedForSpread))

	// It comes back, and another one leaves in order.
	d := w.enter(4, away)
	w.untilLed([]int{2, 1, 1}, a, b, d)
	a.leave()
	w.untilLed([]int{2, 2}, b, d)
	if got := valueOf(a.metrics.moves.WithLabelValues(movedForLeaving)); got < 1 || !strings.Contains(a.logged.String(), "why=leaving") {
		t.Errorf("%v partitions were handed over on leaving:\n%s", got, a.logged.String())
	}
	// Three are needed. On a busy machine two may hand over at the same time, or an heir come late.
	if moved < 3 || moved > 6 {
		t.Errorf("%v hand-overs for two who came", moved)
	}
	w.until("all is even by its own account", func() bool {
		return valueOf(b.metrics.unevenness) <= 1 && valueOf(b.metrics.alive) == 2 &&
			valueOf(b.metrics.leads.WithLabelValues("toy")) == 2
	})
	steady := func() float64 {
		return valueOf(b.metrics.moves.WithLabelValues(movedForSpread)) + valueOf(d.metrics.moves.WithLabelValues(movedForSpread))
	}
	before := steady()
	time.Sleep(5 * b.settle)
	if steady() != before {
		t.Error("something moves although all is even")
	}
}

func TestSpreader_WithoutPostgresNothingMoves(t *testing.T) {
	w, away := newSpreadWorld(t)
	a := w.enter(1, away)
	w.untilLed([]int{4}, a)
	a.w.until("it has seen itself", func() bool { return valueOf(a.metrics.alive) == 1 })
	b := w.enter(2, away)
	away.Store(true)
	for _, p := range b.players {
		w.until("it follows", func() bool { _, follows := p.Standing(); return follows })
	}
	time.Sleep(4 * a.settle)
	if got := counts(a, b); !slices.Equal(got, []int{4, 0}) {
		t.Fatalf("they lead %v", got)
	}
	if !strings.Contains(a.logged.String(), "no partition is moved meanwhile") {
		t.Error(a.logged.String())
	}
	began := time.Now()
	a.leave() // nobody could take a lease now: it does not wait for that
	if d := time.Since(began); d > handOverWithin {
		t.Errorf("leaving took %s", d)
	}
	away.Store(false)
	w.untilLed([]int{4}, b)
}

func TestSpreader_HandicapIsThePlaceInLine(t *testing.T) {
	s := NewSpreader(SpreaderDeps{})
	if s.Handicap("toy/0") != 0 {
		t.Fatal("who has seen nobody lets others go first")
	}
	s.ranks.Store(&map[string]int{"toy/1": 2, "toy/2": 99})
	for name, want := range map[string]time.Duration{"toy/0": 0, "toy/1": 2 * yieldEach, "toy/2": yieldMost} {
		if got := s.Handicap(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestSpreader_SendsFanTrafficThroughEveryMove(t *testing.T) {
	w, away := newSpreadWorld(t)
	a := w.enter(1, away)
	w.untilLed([]int{4}, a)
	var group sync.WaitGroup
	group.Go(func() { w.send(0, 2_000) }) // to partition 0
	b := w.enter(2, away)
	w.untilLed([]int{2, 2}, a, b)
	group.Wait()
	if b.players[0].Leading() {
		a, b = b, a
	}
	b.leave()
	w.untilLed([]int{4}, a)
	w.send(2_000, 200)
	w.replayed(w.answered(2_200))
}
