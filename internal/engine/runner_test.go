package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"fairgate/internal/conf"
	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testlog"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testpg.IgnoreLeaks()...) }

// world is one partition with real Postgres and an in-process broker.
type world struct {
	t       testing.TB
	brokers []string
	events  *eventlog.Log
	db      *store.DB
	cfg     Config
	code    uint32
}

func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := store.New(t.Context(), store.Config{Write: conf.Secret(testpg.Migrated(t, "store", store.Migrate))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	w := &world{t: t, brokers: testkafka.Brokers(t), db: db}
	w.events = testkafka.Open(t, testkafka.Config(w.brokers))
	w.cfg = Config{
		Name:  "toy/0",
		Input: testkafka.Topic(t, w.events, "toy", 1), Outcomes: testkafka.Topic(t, w.events, "toy-outcomes", 1),
		Tuning: Tuning{TickEvery: 20 * time.Millisecond, LeaseTTL: 600 * time.Millisecond},
	}
	return w
}

// player is a runner that runs.
type player struct {
	*Runner
	stop  context.CancelFunc
	ended chan error
}

func (w *world) start(change func(*Config, *Deps)) *player {
	cfg := w.cfg
	deps := Deps{
		Events: w.events, Leases: PostgresLeases(w.db, cfg.Tuning.LeaseTTL), Snapshots: w.db,
		RoomTime: func() (int64, int64) { return time.Now().UnixMicro(), 0 },
		Machine:  func() Machine { return &toy{code: w.code} },
		Log:      slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	}
	if change != nil {
		change(&cfg, &deps)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &player{Runner: New(cfg, deps), stop: cancel, ended: make(chan error, 1)}
	go func() { p.ended <- p.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		select {
		case <-p.stopped:
		case <-time.After(10 * time.Second):
			w.t.Error("a runner did not stop")
		}
	})
	return p
}

// kill ends a runner as SIGKILL would: nothing is finished, the lease's connection just closes.
func (w *world) kill(p *player) {
	w.t.Helper()
	close(p.crash)
	if err := <-p.ended; !errors.Is(err, errCrash) {
		w.t.Fatal(err)
	}
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// untilContended waits until a standby waits for the leader's lock.
func (w *world) untilContended() {
	w.t.Helper()
	w.until("a standby contends", func() bool {
		var n int
		err := w.db.Write.QueryRow(w.t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'`).Scan(&n)
		return err == nil && n > 0
	})
}

// send appends n commands.
func (w *world) send(from, n int) {
	w.t.Helper()
	var group sync.WaitGroup
	for i := range n {
		id := wire.ID{7, byte(from + i), byte((from + i) >> 8)}
		value := record(wire.Record{Object: int64(i % 5), Ref: id, Command: id, NotAfter: time.Now().Add(time.Minute).UnixMicro()}, &wire.Leave{})
		group.Go(func() {
			if _, err := w.events.Producer(w.cfg.Input).Append(w.t.Context(), 0, value, time.Time{}); err != nil {
				w.t.Error(err)
			}
		})
	}
	group.Wait()
}

// answered reads the outcomes as any consumer would (dense, hashes proven) until n commands were answered.
func (w *world) answered(n int) (list []wire.Outcome) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Second)
	defer cancel()
	enough := errors.New("enough")
	answers := 0
	err := follow.Run(ctx, follow.Config{Topic: w.cfg.Outcomes}, follow.Deps{Events: w.events},
		func(_ context.Context, batch []wire.Outcome, _ follow.Position) error {
			for _, o := range batch {
				list = append(list, o)
				if o.Index == 0 && o.Command != (wire.ID{}) {
					answers++
				}
			}
			if answers >= n {
				return enough
			}
			return nil
		})
	if !errors.Is(err, enough) {
		w.t.Fatalf("%d of %d commands were answered: %v", answers, n, err)
	}
	return list
}

// replayed derives all outcomes from the log alone and compares.
func (w *world) replayed(list []wire.Outcome) {
	w.t.Helper()
	core := NewCore(&toy{code: w.code}, 0)
	tail := w.events.Tail(w.cfg.Input, 0, 0, eventlog.TailConfig{})
	var out wire.Outcomes
	for out.Len() < len(list) {
		records, err := tail.Fetch(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range records {
			if err := core.Apply(r.Offset, r.Value, &out); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for i, o := range list {
		want, err := wire.ParseOutcome(out.At(i))
		if err != nil || want.Seq != o.Seq || want.Hash != o.Hash {
			w.t.Fatalf("outcome %d has hash %x, replayed %x (%v)", o.Seq, o.Hash, want.Hash, err)
		}
	}
}

func TestRunner_LeadsTicksAndAnswers(t *testing.T) {
	w := newWorld(t)
	w.cfg.Documents = testkafka.Topic(t, w.events, "toy-documents", 1)
	p := w.start(nil)
	w.until("it leads", p.Leading)
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.send(0, 300)
	list := w.answered(300)
	w.replayed(list)
	var count uint64
	if err := p.View(t.Context(), func(m Machine, c sale.LogClock) { count = m.(*toy).count }); err != nil || count != 300 {
		t.Fatalf("the machine saw %d: %v", count, err)
	}
	docs := w.events.Tail(w.cfg.Documents, 0, 0, eventlog.TailConfig{})
	w.until("a document is published", func() bool {
		records, err := docs.Fetch(t.Context())
		return err == nil && len(records) > 0
	})
	address, epoch, err := w.db.LeaseHolder(t.Context(), "toy/0")
	if err != nil || epoch != 1 || address != "" {
		t.Fatal(address, epoch, err)
	}
	p.stop()
	if err := <-p.ended; err != nil {
		t.Fatal(err)
	}
	if err := p.View(t.Context(), nil); !errors.Is(err, ErrStopped) || p.Ready(t.Context()) == nil {
		t.Fatalf("after its end: %v", err)
	}
}

func TestRunner_KilledLeaderIsReplacedWithoutAGapOrARepetition(t *testing.T) {
	w := newWorld(t)
	w.cfg.Tuning.LeaseTTL = 8 * time.Second // so long that only the freed lock can be what is noticed
	a := w.start(nil)
	w.until("the first leads", a.Leading)
	players := []*player{a, w.start(nil)}
	sent := 0
	for round := range 3 {
		leader, standby := players[round%2], players[(round+1)%2]
		w.untilContended()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.send(sent, 400)
		}()
		time.Sleep(time.Duration(round) * 7 * time.Millisecond)
		began := time.Now()
		w.kill(leader)
		w.until("the standby leads", standby.Leading)
		if d := time.Since(began); d > w.cfg.Tuning.LeaseTTL/2 {
			t.Errorf("takeover in %s", d)
		}
		<-done
		sent += 400
		players[round%2] = w.start(nil)
	}
	w.replayed(w.answered(sent))
}

func TestRunner_BacklogLargerThanItsMemoryIsEmittedBeforeItLeads(t *testing.T) {
	w := newWorld(t)
	w.cfg.Tuning.MaxBacklog = 1 << 20
	const n = 20_000
	for from := 0; from < n; from += 1_000 {
		var values [][]byte
		for i := from; i < from+1_000; i++ {
			id := wire.ID{8, byte(i), byte(i >> 8)}
			values = append(values, record(wire.Record{Object: 2, Command: id, NotAfter: time.Now().Add(time.Minute).UnixMicro()}, &wire.Leave{}))
		}
		if _, err := w.events.AppendBatch(t.Context(), w.cfg.Input, 0, values); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	p := w.start(nil)
	w.until("it leads", p.Leading)
	list := w.answered(n)
	t.Logf("%d outcomes in %s", len(list), time.Since(began))
	w.replayed(list)
}

func TestRunner_StoppedLeaderHandsOverAtOnce(t *testing.T) {
	w := newWorld(t)
	w.cfg.Tuning.LeaseTTL = 8 * time.Second // so long that only the freed lock can be what is noticed
	a := w.start(nil)
	w.until("the first leads", a.Leading)
	b := w.start(nil)
	w.untilContended()
	w.send(0, 100)
	began := time.Now()
	a.stop()
	w.until("the second leads", b.Leading)
	if d := time.Since(began); d > w.cfg.Tuning.LeaseTTL/2 {
		t.Errorf("it took %s", d)
	}
	if err := <-a.ended; err != nil {
		t.Fatal(err)
	}
	w.replayed(w.answered(100))
}

func TestRunner_LeaderBeyondTheClockBoundHandsOver(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	bound := int64(0)
	a := w.start(func(_ *Config, d *Deps) {
		d.RoomTime = func() (int64, int64) {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().UnixMicro(), bound
		}
	})
	w.until("the first leads", a.Leading)
	b := w.start(nil)
	mu.Lock()
	bound = 1_000_000
	mu.Unlock()
	w.until("the second leads", b.Leading)
	w.until("the first does not", func() bool { return !a.Leading() })
}

func TestRunner_LosingPostgresChangesNoLeader(t *testing.T) {
	w := newWorld(t)
	a := w.start(nil)
	w.until("the first leads", a.Leading)
	b, c := w.start(nil), w.start(nil)
	w.untilFollowing(b, c)
	for range 3 {
		// Candidates go first: one that is still connected when the leader's session ends would see a leader that died.
		_, err := w.db.Write.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM (SELECT a.pid FROM pg_stat_activity a
			LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' AND l.granted
			WHERE a.datname = current_database() AND a.application_name = 'fairgate lease'
			GROUP BY a.pid ORDER BY count(l.pid)) sessions`)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	w.send(0, 50)
	w.replayed(w.answered(50))
	if clock := a.replica.core.Clock(); !a.Leading() || b.Leading() || c.Leading() || clock.Epoch != 1 {
		t.Fatalf("the leader changed, epoch %d", clock.Epoch)
	}
}

func TestRunner_RestartOfPostgresChangesNoLeader(t *testing.T) {
	testpg.Server(t) // skips where there is no PostgreSQL
	dir, ln := filepath.Join(t.TempDir(), "pg"), ""
	start := func() *embedded.Postgres {
		pg, err := embedded.StartPostgres(t.Context(), embedded.PostgresConfig{Dir: dir, Addr: ln, Databases: []string{"fairgate"}})
		if err != nil {
			t.Fatal(err)
		}
		return pg
	}
	pg := start()
	ln = pg.Addr()
	if err := store.Migrate(t.Context(), pg.URL("fairgate")); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	db, err := store.New(t.Context(), store.Config{Write: conf.Secret(pg.URL("fairgate"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	w.db = db
	t.Cleanup(func() { _ = pg.Stop() }) // after the players
	a := w.start(nil)
	w.until("the first leads", a.Leading)
	b, c := w.start(nil), w.start(nil)
	w.untilFollowing(b, c)
	_ = pg.Stop()
	w.send(0, 50) // while it is away for longer than a lease lasts
	time.Sleep(2 * w.cfg.Tuning.LeaseTTL)
	w.replayed(w.answered(50))
	pg = start()
	w.untilFollowing(b, c)
	time.Sleep(3 * w.cfg.Tuning.LeaseTTL)
	if !a.Leading() || b.Leading() || c.Leading() {
		t.Fatal("the leader changed")
	}
	w.send(50, 50)
	terms := 0
	for _, o := range w.answered(100) {
		if o.Kind == wire.KindEpochStarted {
			terms++
		}
	}
	if terms != 1 {
		t.Fatalf("%d terms began", terms)
	}
}

func TestRunner_HangingLeaderIsReplacedAndDoesNoHarmWhenItWakes(t *testing.T) {
	w := newWorld(t)
	var gate sync.Mutex
	a := w.start(func(_ *Config, d *Deps) {
		d.RoomTime = func() (int64, int64) {
			gate.Lock()
			defer gate.Unlock()
			return time.Now().UnixMicro(), 0
		}
	})
	w.until("the first leads", a.Leading)
	b := w.start(nil)
	w.until("the second has caught up", func() bool { return b.Ready(t.Context()) == nil })
	gate.Lock() // its loop stands still at its next turn
	w.send(0, 100)
	w.until("the second leads", b.Leading)
	w.answered(100)
	gate.Unlock()
	w.send(100, 100)
	w.replayed(w.answered(200))
	w.until("the first has noticed", func() bool { return !a.Leading() })
}

func TestRunner_RestartsFromASnapshotThatCounts(t *testing.T) {
	w := newWorld(t)
	w.cfg.Tuning.SnapshotEvery = 400 * time.Millisecond // below what Validate allows an operator
	a := w.start(nil)
	w.send(0, 200)
	w.answered(200)
	offset := a.offset.Load()
	w.until("a snapshot counts", func() bool {
		_, next, ok, err := w.db.NewestSnapshot(t.Context(), "toy/0")
		return err == nil && ok && next >= offset
	})
	w.kill(a)
	logged := new(testlog.Buffer)
	b := w.start(func(_ *Config, d *Deps) { d.Log = slog.New(slog.NewTextHandler(logged, nil)) })
	w.until("it leads", b.Leading)
	if !strings.Contains(logged.String(), "snapshot restored") {
		t.Fatal(logged.String())
	}
	w.send(200, 50)
	w.replayed(w.answered(250))
	w.kill(b)

	// The newest is damaged: the one before, or the log from its beginning, leads to the same.
	_, err := w.db.Write.Exec(t.Context(), `UPDATE snapshot_chunks SET data = set_byte(data, 20, get_byte(data, 20) # 1)
		WHERE snapshot_id = (SELECT max(id) FROM snapshots WHERE counted)`)
	if err != nil {
		t.Fatal(err)
	}
	c := w.start(func(_ *Config, d *Deps) { d.Log = slog.New(slog.NewTextHandler(logged, nil)) })
	w.until("it leads again", c.Leading)
	if !strings.Contains(logged.String(), "trying the one before") {
		t.Fatal(logged.String())
	}
	w.send(250, 10)
	w.replayed(w.answered(260))
}

func TestRunner_BatchOfUnknownFateIsSentAgainAsItWas(t *testing.T) {
	w := newWorld(t)
	kafka := testkafka.Start(t)
	w.events = testkafka.Open(t, testkafka.Config([]string{kafka.Addr()}))
	w.cfg.Input, w.cfg.Outcomes = testkafka.Topic(t, w.events, "toy", 1), testkafka.Topic(t, w.events, "toy-outcomes", 1)
	var mu sync.Mutex
	cut := 0
	kafka.Cluster().ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		kafka.Cluster().KeepControl()
		mu.Lock()
		defer mu.Unlock()
		topics := req.(*kmsg.ProduceRequest).Topics
		if len(topics) == 1 && topics[0].Topic == w.cfg.Outcomes && cut < 20 {
			if cut++; cut%3 != 0 {
				return nil, errors.New("connection cut"), true
			}
		}
		return nil, nil, false
	})
	p := w.start(nil)
	w.until("it leads", p.Leading)
	w.send(0, 100)
	w.replayed(w.answered(100))
	mu.Lock()
	defer mu.Unlock()
	if cut < 3 || !p.Leading() {
		t.Fatalf("%d produce calls met the fault; leading: %t", cut, p.Leading())
	}
}

func TestRunner_HaltsWhenAnOutcomeIsNotItsOwn(t *testing.T) {
	w := newWorld(t)
	a := w.start(nil)
	w.until("it leads", a.Leading)
	w.send(0, 5)
	w.answered(5)
	w.kill(a)
	// A machine of other behaviour under the same code version.
	b := w.start(func(_ *Config, d *Deps) { d.Machine = func() Machine { return &shifty{} } })
	if err := <-b.ended; !errors.Is(err, ErrDiverged) {
		t.Fatal(err)
	}
}

type shifty struct{ toy }

func (m *shifty) Apply(c *sale.LogClock, offset int64, r wire.Record, out *wire.Outcomes) {
	m.count++
	m.toy.Apply(c, offset, r, out)
}

func TestRunner_HaltsOnAGapInTheOutcomes(t *testing.T) {
	w := newWorld(t)
	core := newToy()
	var out wire.Outcomes
	for i, value := range [][]byte{order(1, 0, 0, 0), order(2, 0, 0, 0), order(3, 0, 0, 0)} {
		if err := core.Apply(int64(i), value, &out); err != nil {
			t.Fatal(err)
		}
		if _, err := w.events.AppendBatch(t.Context(), w.cfg.Input, 0, [][]byte{value}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.events.AppendBatch(t.Context(), w.cfg.Outcomes, 0, [][]byte{out.At(0), out.At(2)}); err != nil {
		t.Fatal(err)
	}
	if err := <-w.start(nil).ended; !errors.Is(err, follow.ErrGap) {
		t.Fatal(err)
	}
}

func TestRunner_DuplicatesInTheOutcomesTopicAreDropped(t *testing.T) {
	w := newWorld(t)
	core := newToy()
	var out wire.Outcomes
	for i := range 4 {
		value := order(byte(i), 2, 0, 0)
		if err := core.Apply(int64(i), value, &out); err != nil {
			t.Fatal(err)
		}
		if _, err := w.events.AppendBatch(t.Context(), w.cfg.Input, 0, [][]byte{value}); err != nil {
			t.Fatal(err)
		}
	}
	// A batch whose fate was unknown was sent again, and an old one landed late.
	for _, batch := range [][]int{{0, 1}, {0, 1}, {2, 3, 4}, {0, 1}, {2, 3, 4}} {
		var values [][]byte
		for _, i := range batch {
			values = append(values, out.At(i))
		}
		if _, err := w.events.AppendBatch(t.Context(), w.cfg.Outcomes, 0, values); err != nil {
			t.Fatal(err)
		}
	}
	p := w.start(nil)
	w.until("it leads", p.Leading)
	w.send(0, 10)
	w.replayed(w.answered(14))
}

func TestRunner_SnapshotOfAnotherTopicIsRefused(t *testing.T) {
	w := newWorld(t)
	core := newToy()
	s, err := w.db.SaveSnapshot(t.Context(), store.Snapshot{Name: "toy/0", TopicID: [16]byte{1}, Code: core.Code()}, core.Snapshot(nil))
	if err == nil {
		err = w.db.CountSnapshot(t.Context(), s)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := <-w.start(nil).ended; !errors.Is(err, eventlog.ErrRecreated) || !strings.Contains(fmt.Sprint(err), "delete the snapshots") {
		t.Fatal(err)
	}
}
