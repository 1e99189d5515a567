package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairgate/internal/follow"
	"fairgate/internal/wire"
)

func TestReplica_HandingOverItLeadsOnUntilAnotherEpochIsInTheLog(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100})
	b.now.Mono = 1_000
	b.lead()
	if !b.HandOver(b.now.Mono) || !b.next().Release {
		t.Fatal("the lease is not given back")
	}
	b.LeaseGone()
	b.log = append(b.log, order(1, 0, 0, 0))
	b.read()
	b.now.Mono += 200
	if todo := b.next(); b.Role() != Leading || len(todo.Emit) != 1 || todo.Contend || todo.Renew != 0 {
		t.Fatalf("%s wants %+v", b.Role(), todo)
	}
	b.log = append(b.log, epoch(2, 9))
	b.read()
	b.readBack()
	if todo := b.next(); b.Role() != Standby || todo.Emit != nil || todo.Append != nil || !todo.Contend {
		t.Fatalf("%s wants %+v", b.Role(), todo)
	}
}

func TestReplica_HandedOverToNobodyItWantsItsLeaseBack(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100})
	b.now.Mono = 1_000
	b.lead()
	b.HandOver(b.now.Mono)
	if b.HandOver(b.now.Mono) {
		t.Fatal("twice at once")
	}
	b.next()
	b.LeaseGone()
	if b.HandOver(b.now.Mono) {
		t.Fatal("without a lease")
	}
	b.now.Mono += handOverWithin.Microseconds() - 1
	if b.next().Contend {
		t.Fatal("it takes back what it has just given")
	}
	b.now.Mono++
	if !b.next().Contend {
		t.Fatal("it does not want it back")
	}
	term := b.term
	b.LeaseWon(wire.ID{1}, 7, b.now.Mono)
	if b.Role() != Leading || b.term != term {
		t.Fatalf("%s in term %+v", b.Role(), b.term)
	}
}

// startAs starts a player that is somebody's heir under the id n.
func (w *world) startAs(n byte) *player {
	return w.start(func(c *Config, d *Deps) {
		d.Leases = SpreadLeases(w.db, c.Tuning.LeaseTTL, wire.ID{n}, nil)
	})
}

// untilFollowing waits until a player is caught up and waits for the lease at the database.
func (w *world) untilFollowing(players ...*player) {
	w.t.Helper()
	for _, p := range players {
		w.until("it follows", func() bool { _, follows := p.Standing(); return follows })
	}
	w.until("they contend", func() bool {
		var n int
		err := w.db.Write.QueryRow(w.t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'`).Scan(&n)
		return err == nil && n >= len(players)
	})
}

func TestRunner_HandsOverToTheHeirAndFollows(t *testing.T) {
	w := newWorld(t)
	w.cfg.Tuning.LeaseTTL = 8 * time.Second // so long that only a lease given back can be what is noticed
	players := []*player{w.startAs(1)}
	w.until("the first leads", players[0].Leading)
	players = append(players, w.startAs(2), w.startAs(3))
	w.untilFollowing(players[1], players[2])
	if err := players[1].HandOver(t.Context(), wire.ID{1}); !errors.Is(err, ErrNotLeading) {
		t.Fatalf("a standby handed over: %v", err)
	}
	leader, sent := 0, 0
	for _, heir := range []int{2, 1, 0, 1} {
		var group sync.WaitGroup
		group.Go(func() { w.send(sent, 300) })
		if err := players[leader].HandOver(t.Context(), wire.ID{byte(heir + 1)}); err != nil {
			t.Fatal(err)
		}
		w.until("the heir leads", players[heir].Leading)
		group.Wait()
		sent += 300
		leader = heir
		others := slices.Delete(slices.Clone(players), heir, heir+1)
		w.untilFollowing(others...)
	}
	w.replayed(w.answered(sent))
}

func TestRunner_AloneItHandsOverToNobodyAndLeadsOn(t *testing.T) {
	w := newWorld(t)
	p := w.startAs(1)
	w.until("it leads", p.Leading)
	if err := p.HandOver(t.Context(), wire.ID{2}); !errors.Is(err, ErrNobodyTook) {
		t.Fatal(err)
	}
	w.send(0, 50)
	w.replayed(w.answered(50))
	w.until("it has a lease again", func() bool {
		var free bool
		err := w.db.Write.QueryRow(t.Context(), `SELECT holder = '' FROM leases WHERE name = 'toy/0'`).Scan(&free)
		return err == nil && !free
	})
	if clock := p.replica.core.Clock(); !p.Leading() || clock.Epoch != 1 {
		t.Fatalf("leading %t, epoch %d", p.Leading(), clock.Epoch)
	}
}

// arrivals remembers when each command was answered, as a reader of the outcomes sees it.
type arrivals struct {
	mu   sync.Mutex
	at   map[wire.ID]time.Duration // since it was appended; the longer of two
	sent map[wire.ID]time.Time
}

// BenchmarkHandOver hands one partition to and fro under traffic, and measures how much longer than usual the commands
// of that moment wait for their answers. Kafka is in process, Postgres is real.
func BenchmarkHandOver(b *testing.B) {
	const every, pace = 300 * time.Millisecond, time.Millisecond
	w := newWorld(b)
	players := []*player{w.startAs(1)}
	w.until("the first leads", players[0].Leading)
	players = append(players, w.startAs(2))
	w.untilFollowing(players[1])
	a := &arrivals{at: map[wire.ID]time.Duration{}, sent: map[wire.ID]time.Time{}}
	ctx, cancel := context.WithCancel(b.Context())
	var group sync.WaitGroup
	group.Go(func() {
		_ = follow.Run(ctx, follow.Config{Topic: w.cfg.Outcomes}, follow.Deps{Events: w.events}, a.hear)
	})
	var round atomic.Int32
	group.Go(func() {
		producer := w.events.Producer(w.cfg.Input)
		for n := 0; ctx.Err() == nil; n++ {
			id := wire.ID{9, byte(n), byte(n >> 8), byte(n >> 16), byte(round.Load()), byte(round.Load() >> 8)}
			a.send(id)
			value := record(wire.Record{Object: 1, Ref: id, Command: id, NotAfter: time.Now().Add(time.Minute).UnixMicro()}, &wire.Leave{})
			_ = producer.AppendAsync(0, value, time.Time{}, func(int64, error) {})
			pause(ctx, pace)
		}
	})
	time.Sleep(every)
	leader := 0
	for n := 0; b.Loop(); n++ {
		round.Store(int32(n + 1)) // marks the commands of this hand-over
		if err := players[leader].HandOver(ctx, wire.ID{byte(2 - leader)}); err != nil {
			b.Fatal(err)
		}
		leader = 1 - leader
		time.Sleep(every / 3)
		round.Store(0)
		w.untilFollowing(players[1-leader])
		time.Sleep(every / 3)
	}
	cancel()
	group.Wait()
	usual, pauses := a.longest()
	b.ReportMetric(ms(quantile(usual, 50)), "bench:handover.usual.p50:ms")
	b.ReportMetric(ms(quantile(pauses, 50)), "bench:handover.pause.p50:ms")
	b.ReportMetric(ms(quantile(pauses, 99)), "bench:handover.pause.p99:ms")
	b.ReportMetric(float64(len(pauses)), "handovers")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func quantile(list []time.Duration, percent int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[(len(list)-1)*percent/100]
}

func (a *arrivals) send(id wire.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent[id] = time.Now()
}

func (a *arrivals) hear(_ context.Context, batch []wire.Outcome, _ follow.Position) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range batch {
		if at, ok := a.sent[o.Command]; ok && o.Index == 0 {
			a.at[o.Command] = time.Since(at)
		}
	}
	return nil
}

// longest is the waits of commands while nothing was handed over, and the longest of each hand-over.
func (a *arrivals) longest() (usual, pauses []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	worst := map[int]time.Duration{}
	for id, wait := range a.at {
		if round := int(id[4]) | int(id[5])<<8; round > 0 {
			worst[round] = max(worst[round], wait)
		} else {
			usual = append(usual, wait)
		}
	}
	for _, wait := range worst {
		pauses = append(pauses, wait)
	}
	return usual, pauses
}
