package engine

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testlog"
	"fairgate/internal/eventlog"
	"fairgate/internal/store"
)

const snapshotOften = 300 * time.Millisecond // below what Validate allows an operator

// counted waits for a snapshot that counts and has seen everything below offset.
func (w *world) counted(offset int64) {
	w.t.Helper()
	w.until("a snapshot counts", func() bool {
		_, next, ok, err := w.db.NewestSnapshot(w.t.Context(), "toy/0")
		return err == nil && ok && next >= offset
	})
}

// snapshots lists those that count, newest first.
func (w *world) snapshots() []store.Snapshot {
	w.t.Helper()
	list, err := w.db.Snapshots(w.t.Context(), "toy/0")
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// filled runs a replica until it has left n snapshots that count, and kills it.
func (w *world) filled(n int) {
	w.t.Helper()
	w.cfg.Tuning.SnapshotEvery = snapshotOften
	p := w.start(nil)
	w.send(0, 100)
	w.answered(100)
	w.until("there are snapshots", func() bool { return len(w.snapshots()) >= n })
	w.kill(p)
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Write.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// startLogged starts a replica that takes no snapshots, and keeps what it says.
func (w *world) startLogged() (*player, *testlog.Buffer) {
	said := new(testlog.Buffer)
	p := w.start(func(c *Config, d *Deps) {
		c.Tuning.SnapshotEvery = time.Hour
		d.Log = slog.New(slog.NewTextHandler(said, nil))
	})
	return p, said
}

func TestSnapshot_DamagedOneGivesWayToTheOneBeforeAndThatIsSaid(t *testing.T) {
	w := newWorld(t)
	w.filled(2)
	const newest = `(SELECT max(id) FROM snapshots WHERE counted)`
	for name, damage := range map[string]string{
		"a bit":       `UPDATE snapshot_chunks SET data = set_byte(data, 20, get_byte(data, 20) # 1) WHERE snapshot_id = ` + newest,
		"a cut":       `UPDATE snapshot_chunks SET data = substr(data, 1, length(data) - 1) WHERE snapshot_id = ` + newest,
		"no chunk":    `DELETE FROM snapshot_chunks WHERE snapshot_id = ` + newest,
		"its digest":  `UPDATE snapshots SET digest = set_byte(digest, 0, get_byte(digest, 0) # 1) WHERE id = ` + newest,
		"its size":    `UPDATE snapshots SET size = size + 1 WHERE id = ` + newest,
		"its offset":  `UPDATE snapshots SET next_offset = next_offset + 1 WHERE id = ` + newest,
		"its number":  `UPDATE snapshots SET next_seq = next_seq + 1 WHERE id = ` + newest,
		"its hash":    `UPDATE snapshots SET hash = hash # 1 WHERE id = ` + newest,
		"other bytes": `UPDATE snapshot_chunks SET data = (SELECT data FROM snapshot_chunks WHERE snapshot_id < ` + newest + ` ORDER BY snapshot_id DESC LIMIT 1) WHERE snapshot_id = ` + newest,
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, brokers: w.brokers, events: w.events, db: w.db, cfg: w.cfg}
			w.exec(`CREATE TABLE keep_s AS SELECT * FROM snapshots; CREATE TABLE keep_c AS SELECT * FROM snapshot_chunks`)
			before := w.snapshots()[1]
			w.exec(damage)
			p, said := w.startLogged()
			w.until("it leads", p.Leading)
			if valueOf(p.metrics.snapshotsUnfit) != 1 || !strings.Contains(said.String(), "trying the one before") ||
				!strings.Contains(said.String(), "offset="+itoa(before.NextOffset)) {
				t.Errorf("%v unfit:\n%s", valueOf(p.metrics.snapshotsUnfit), said.String())
			}
			w.replayed(w.answered(100))
			w.kill(p)
			w.exec(`DELETE FROM snapshots; INSERT INTO snapshots SELECT * FROM keep_s; INSERT INTO snapshot_chunks SELECT * FROM keep_c;
				DROP TABLE keep_s, keep_c`)
		})
	}
}

func itoa(n int64) string { return slog.Int64Value(n).String() }

// deleteBefore removes the log's records before an offset, as archiving does.
func (w *world) deleteBefore(offset int64) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewDeleteRecordsRequest()
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = w.cfg.Input
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Offset = offset
	topic.Partitions = append(topic.Partitions, partition)
	request.Topics = append(request.Topics, topic)
	request.TimeoutMillis = 5000
	if _, err := request.RequestWith(w.t.Context(), client); err != nil {
		w.t.Fatal(err)
	}
}

func TestSnapshot_LogThatBeginsAfterItHaltsWithAnExplanation(t *testing.T) {
	w := newWorld(t)
	w.filled(2)
	list := w.snapshots()

	// Up to the newest snapshot everything is archived: that is what snapshots are for.
	w.deleteBefore(list[0].NextOffset)
	p, said := w.startLogged()
	w.until("it leads", p.Leading)
	if !strings.Contains(said.String(), "snapshot restored") {
		t.Fatal(said.String())
	}
	w.kill(p)

	// The newest is damaged, and the one before lies before the log: the error names both.
	w.exec(`UPDATE snapshots SET digest = '' WHERE id = $1`, list[0].ID)
	p, _ = w.startLogged()
	err := <-p.ended
	for _, want := range []string{"the log begins at", "start from a snapshot at or after", "did not fit", "damaged"} {
		if !errors.Is(err, eventlog.ErrOutOfRange) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}

	// No snapshot at all: it must not begin at what is left.
	w.exec(`DELETE FROM snapshots`)
	p, _ = w.startLogged()
	if err := <-p.ended; !errors.Is(err, eventlog.ErrOutOfRange) || !strings.Contains(err.Error(), "start from a snapshot at or after") {
		t.Errorf("without snapshots: %v", err)
	}
}

func TestSnapshot_AheadOfTheLogHaltsWithAnExplanation(t *testing.T) {
	w := newWorld(t)
	w.filled(1)
	s := w.snapshots()[0]
	// The same snapshot, and a log that has lost its end: here a new one under the same identity.
	w.cfg.Input = testkafka.Topic(t, w.events, "toy", 1)
	topic, err := w.events.TopicID(t.Context(), w.cfg.Input)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE snapshots SET topic_id = $1`, topic[:])
	p, _ := w.startLogged()
	if err := <-p.ended; !errors.Is(err, eventlog.ErrOutOfRange) || !strings.Contains(err.Error(), "the log ends at 0, so "+itoa(s.NextOffset)+" records") {
		t.Fatal(err)
	}
}

func TestSnapshot_OfNewerCodeIsRefusedAndOfOlderCodeDoneWithout(t *testing.T) {
	w := newWorld(t)
	w.code = 1
	w.filled(1)

	w.code = 0 // the program before
	p, _ := w.startLogged()
	err := <-p.ended
	for _, want := range []string{"of version 2", "knows versions up to 1", "start the program that wrote it", "delete its snapshots"} {
		if !errors.Is(err, ErrCode) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}

	w.code = 2 // the program after
	p, said := w.startLogged()
	w.until("it leads", p.Leading)
	if !strings.Contains(said.String(), "replaying the log from its beginning") || valueOf(p.metrics.snapshotsUnfit) < 1 {
		t.Error(said.String())
	}
	w.replayed(w.answered(100))

	// One that it knows lies beneath: then the newer one is only skipped.
	w.code = 0
	w.exec(`DELETE FROM snapshots WHERE id < (SELECT max(id) FROM snapshots)`)
	core := newToy()
	topic, _ := w.events.TopicID(t.Context(), w.cfg.Input)
	s, err := w.db.SaveSnapshot(t.Context(), store.Snapshot{Name: "toy/0", TopicID: topic, NextSeq: 1, Code: core.Code()}, core.Snapshot(nil))
	if err == nil {
		err = w.db.CountSnapshot(t.Context(), s)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, said = w.startLogged()
	w.until("it is ready", func() bool { return p.Ready(t.Context()) == nil })
	if !strings.Contains(said.String(), "snapshot restored") {
		t.Error(said.String())
	}
}

func TestSnapshot_TakenByTheStandbyAndByOneOfSeveral(t *testing.T) {
	w := newWorld(t)
	w.cfg.Tuning.SnapshotEvery = time.Second
	a := w.start(nil)
	w.until("the first leads", a.Leading)
	b, c := w.start(nil), w.start(nil)
	w.send(0, 50)
	began := time.Now()
	w.until("three snapshots count", func() bool { return len(w.snapshots()) >= 3 })
	var taken int64
	if err := w.db.Write.QueryRow(t.Context(), `SELECT max(id) FROM snapshots`).Scan(&taken); err != nil {
		t.Fatal(err)
	}
	if most := int64(time.Since(began)/w.cfg.Tuning.SnapshotEvery) + 1; taken > most {
		t.Errorf("%d snapshots in %s, one a second is enough", taken, time.Since(began))
	}
	if n := valueOf(a.metrics.snapshots); n > 0 || valueOf(b.metrics.snapshots)+valueOf(c.metrics.snapshots) < 3 {
		t.Errorf("the leader took %v, the standbys %v and %v", n, valueOf(b.metrics.snapshots), valueOf(c.metrics.snapshots))
	}
}

func TestSnapshot_DoesNotCountBeforeItsOutcomesWereReadBack(t *testing.T) {
	w := newWorld(t)
	kafka := testkafka.Start(t)
	w.brokers = []string{kafka.Addr()}
	w.events = testkafka.Open(t, testkafka.Config(w.brokers))
	w.cfg.Input, w.cfg.Outcomes = testkafka.Topic(t, w.events, "toy", 1), testkafka.Topic(t, w.events, "toy-outcomes", 1)
	var cut atomic.Bool
	kafka.Cluster().ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		kafka.Cluster().KeepControl()
		topics := req.(*kmsg.ProduceRequest).Topics
		if cut.Load() && len(topics) == 1 && topics[0].Topic == w.cfg.Outcomes {
			return nil, errors.New("connection cut"), true
		}
		return nil, nil, false
	})
	w.cfg.Tuning.SnapshotEvery = snapshotOften
	p := w.start(nil)
	w.until("it leads", p.Leading)
	cut.Store(true)
	w.send(0, 100)
	w.until("all is applied", func() bool { return p.offset.Load() > 100 })
	at := p.offset.Load()
	w.until("a snapshot of it is saved", func() bool {
		var next int64
		err := w.db.Write.QueryRow(t.Context(), `SELECT coalesce(max(next_offset), 0) FROM snapshots WHERE NOT counted`).Scan(&next)
		return err == nil && next >= at
	})
	time.Sleep(3 * snapshotOften)
	if _, next, ok, err := w.db.NewestSnapshot(t.Context(), "toy/0"); err != nil || ok && next >= at {
		t.Fatalf("one of offset %d counts, its outcomes are nowhere (%v)", next, err)
	}
	cut.Store(false)
	w.counted(at)
}

// forgetful is a machine that does not restore all of its state.
type forgetful struct{ toy }

func (m *forgetful) Restore(src []byte) error {
	err := m.toy.Restore(src)
	m.sum = 0
	return err
}

func TestSnapshot_ThatComesBackOtherwiseNeverCounts(t *testing.T) {
	w := newWorld(t)
	w.cfg.Tuning.SnapshotEvery = snapshotOften
	p := w.start(func(_ *Config, d *Deps) { d.Machine = func() Machine { return &forgetful{} } })
	w.send(0, 100)
	w.answered(100)
	w.until("two have failed", func() bool { return valueOf(p.metrics.snapshotFailures) >= 2 })
	if list := w.snapshots(); len(list) > 0 && list[0].NextOffset >= 100 {
		t.Fatalf("%+v counts", list[0])
	}
	var left int
	if err := w.db.Write.QueryRow(t.Context(), `SELECT count(*) FROM snapshots WHERE NOT counted`).Scan(&left); err != nil || left > 1 {
		t.Fatalf("%d failed ones are left: %v", left, err)
	}
}
