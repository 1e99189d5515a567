package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/follow"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// rolling is processors as processes of their own, and commands that this process sends and hears answered. It belongs
// to the test's goroutine.
type rolling struct {
	t      *testing.T
	a      *assembly
	binary string
	config string
	set    map[string]string
	dir    string
	all    []*process

	stopTraffic func()

	mu       sync.Mutex
	sent     map[wire.ID]time.Time    // every command, until it is answered
	acked    map[wire.ID]bool         // in the log, by the broker's word
	answers  map[wire.ID]int          // how often; repetitions of an outcome are dropped by the reader
	slowest  map[string]time.Duration // of this phase, by partition
	answered int                      // in this phase
}

// process is one processor.
type process struct {
	r    *rolling
	cmd  *exec.Cmd
	log  string
	gone chan struct{}
	over bool // we ended it
}

func newRolling(t *testing.T) *rolling {
	t.Helper()
	redis, err := embedded.StartRedis("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	r := &rolling{
		t: t, dir: t.TempDir(), config: exampleConfig(t),
		sent: map[wire.ID]time.Time{}, acked: map[wire.ID]bool{}, answers: map[wire.ID]int{}, slowest: map[string]time.Duration{},
	}
	r.binary = filepath.Join(r.dir, "fairgate")
	if out, err := exec.Command("go", "build", "-o", r.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	replicas := testkafka.Config(nil)
	r.set = map[string]string{
		"postgres.write": testpg.Migrated(t, "rolling", store.Migrate), "kafka.brokers": strings.Join(testkafka.Brokers(t), ","),
		"kafka.replication": fmt.Sprint(max(replicas.Replication, 1)), "kafka.minInSync": fmt.Sprint(max(replicas.MinInSync, 1)),
		"kafka.topicPrefix": testkafka.Unique("rolling") + "-", "redis.url": "redis://" + redis.Addr() + "/0",
		"kafka.ordersPartitions": fmt.Sprint(rollingOrders), "kafka.queuePartitions": fmt.Sprint(rollingQueue),
		"scaler.rulesFile": "", "processor.engine.snapshotEvery": "5s", "shutdown.notice": "0s",
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the processors said last:\n%s", r.said())
		}
	})
	r.a = assembleRolling(t, r.config, r.set)
	return r
}

// start starts a processor and waits until it is ready.
func (r *rolling) start() *process {
	r.t.Helper()
	ops := quietAddress(r.t)
	args := []string{"processor", "--config", r.config, "--set", "ops.address=" + ops}
	for key, value := range r.set {
		args = append(args, "--set", key+"="+value)
	}
	p := &process{r: r, cmd: exec.Command(r.binary, args...), gone: make(chan struct{})}
	p.log = filepath.Join(r.dir, fmt.Sprintf("log%d", len(r.all)))
	log, err := os.Create(p.log)
	if err != nil {
		r.t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.all = append(r.all, p)
	go func() {
		defer close(p.gone)
		defer log.Close()
		_ = p.cmd.Wait() // ProcessState tells
	}()
	r.t.Cleanup(func() { p.end(syscall.SIGKILL) })
	p.awaitReady("http://" + ops + "/readyz")
	return p
}

func (p *process) awaitReady(url string) {
	p.r.t.Helper()
	client := http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(childReady); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		p.r.alive()
		if answer, err := client.Get(url); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
	}
	p.r.t.Fatalf("it was not ready within %s", childReady)
}

// end sends a signal and waits until the process is gone.
func (p *process) end(sig syscall.Signal) {
	p.over = true
	_ = p.cmd.Process.Signal(sig) // it may be gone
	select {
	case <-p.gone:
	case <-time.After(childStop):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// alive fails the test when a processor has ended by itself.
func (r *rolling) alive() {
	r.t.Helper()
	for _, p := range r.all {
		select {
		case <-p.gone:
			if !p.over {
				r.t.Fatalf("a processor ended by itself (%v)", p.cmd.ProcessState)
			}
		default:
		}
	}
}

// said is the end of what each processor wrote.
func (r *rolling) said() string {
	const most = 16 << 10
	var text strings.Builder
	for i, p := range r.all {
		f, err := os.Open(p.log)
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Size() > most {
			_, _ = f.Seek(-most, io.SeekEnd)
		}
		b, _ := io.ReadAll(f)
		_ = f.Close()
		fmt.Fprintf(&text, "--- processor %d:\n%s", i, b)
	}
	return text.String()
}

// traffic sends commands to every partition until stopTraffic, and hears their answers.
func (r *rolling) traffic() {
	r.t.Helper()
	send, stopSending := context.WithCancel(r.t.Context())
	hear, stopHearing := context.WithCancel(r.t.Context())
	var senders, hearers sync.WaitGroup
	run := func(log, outcomes string, partition int32, command func() (wire.ID, []byte)) {
		name := fmt.Sprintf("%s/%d", log, partition)
		hearers.Go(func() {
			err := follow.Run(hear, follow.Config{Topic: r.a.topic(outcomes), Partition: partition}, follow.Deps{Events: r.a.events}, r.heard(name))
			if hear.Err() == nil {
				r.t.Error(err)
			}
		})
		senders.Go(func() { r.sendAll(send, log, partition, command) })
	}
	for p := range int32(rollingOrders) {
		e := r.event(p)
		r.define(e)
		run(wire.TopicOrders, wire.TopicOutcomes, p, func() (wire.ID, []byte) { return holdOf(e.ID) })
	}
	for p := range int32(rollingQueue) {
		// Nobody knows the place that leaves: the answer says so.
		run(wire.TopicQueue, wire.TopicQueueOutcomes, p, func() (wire.ID, []byte) { return commandOf(1, &wire.Leave{}) })
	}
	r.stopTraffic = func() {
		r.t.Helper()
		stopSending()
		senders.Wait()
		r.awaitAnswers()
		stopHearing()
		hearers.Wait()
	}
	r.t.Cleanup(func() {
		stopSending()
		stopHearing()
		senders.Wait()
		hearers.Wait()
	})
}

// define tells the log of an event.
func (r *rolling) define(e store.Event) {
	r.t.Helper()
	bodies := []wire.Body{
		&wire.DefineEvent{Currency: [3]byte([]byte(e.Currency)), Hold: 5 * sale.Minute, Offer: 5 * sale.Minute, Grace: sale.Minute,
			Frozen: sale.Minute, PerUser: 8},
		&wire.DefineType{Type: 1, Capacity: uint32(e.Types[0].Capacity), Default: true, Price: wire.Price(e.Types[0].Price)},
	}
	for _, b := range bodies {
		value := wire.AppendRecord(nil, wire.Record{Object: e.ID}, b)
		if _, err := r.a.producer(wire.TopicOrders).Append(r.t.Context(), e.Partition, value, time.Time{}); err != nil {
			r.t.Fatal(err)
		}
	}
}

// holdOf is the hold of a new user.
func holdOf(event int64) (wire.ID, []byte) {
	user := rand.Text()
	base := mintID()
	base[15] = 0
	return commandOf(event, &wire.Hold{
		Subject: []byte(user), UserKey: sale.UserKey(user), TicketBase: base, Lines: []wire.Line{{Type: 1, Quantity: 1}},
	})
}

func commandOf(object int64, body wire.Body) (wire.ID, []byte) {
	id := mintID()
	return id, wire.AppendRecord(nil, wire.Record{
		Object: object, Ref: id, Command: id, NotAfter: time.Now().Add(time.Minute).UnixMicro(),
	}, body)
}

// mintID is a UUIDv7.
func mintID() (id wire.ID) {
	_, _ = rand.Read(id[:]) // never fails
	ms := time.Now().UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// sendAll sends about a hundred commands a second to one partition.
func (r *rolling) sendAll(ctx context.Context, log string, partition int32, command func() (wire.ID, []byte)) {
	producer := r.a.producer(log)
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		id, value := command()
		r.mu.Lock()
		r.sent[id] = time.Now()
		r.mu.Unlock()
		err := producer.AppendAsync(partition, value, time.Time{}, func(_ int64, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.acked[id] = r.acked[id] || err == nil
		})
		if err != nil {
			r.t.Error(err)
			return
		}
	}
}

// heard counts answers and notes how long they took.
func (r *rolling) heard(partition string) func(context.Context, []wire.Outcome, follow.Position) error {
	return func(_ context.Context, batch []wire.Outcome, _ follow.Position) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, o := range batch {
			at, ours := r.sent[o.Command]
			if !ours || o.Index != 0 {
				continue
			}
			r.answers[o.Command]++
			r.answered++
			r.slowest[partition] = max(r.slowest[partition], time.Since(at))
			if o.Kind == wire.KindRejected && strings.Contains(partition, wire.TopicOrders) || o.Kind == wire.KindRepeated {
				return fmt.Errorf("command %s was answered by an outcome of kind %d", hex.EncodeToString(o.Command[:]), o.Kind)
			}
		}
		return nil
	}
}

// phase ends a phase: no fan of it has waited longer than that.
func (r *rolling) phase(what string, within time.Duration) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for name, wait := range r.slowest {
		list = append(list, fmt.Sprintf("%s %s", name, wait.Round(time.Millisecond)))
		if wait > within {
			r.t.Errorf("%s: somebody at %s waited %s, want at most %s", what, name, wait, within)
		}
	}
	slices.Sort(list)
	r.t.Logf("%s: %d answers, the slowest: %s", what, r.answered, strings.Join(list, ", "))
	r.slowest, r.answered = map[string]time.Duration{}, 0
}

// awaitAnswers waits until everything acknowledged is answered, and finds that nothing is answered twice.
func (r *rolling) awaitAnswers() {
	r.t.Helper()
	errOpen := errors.New("acknowledged commands without an answer")
	err := settle(r.t.Context(), 20*time.Second, func(context.Context) (bool, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for id, ok := range r.acked {
			if ok && r.answers[id] == 0 {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		r.t.Fatal(errors.Join(errOpen, err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	acked := 0
	for id, ok := range r.acked {
		if ok {
			acked++
		}
		if r.answers[id] > 1 {
			r.t.Errorf("command %s was answered %d times", hex.EncodeToString(id[:]), r.answers[id])
		}
	}
	r.t.Logf("%d commands acknowledged, each answered once", acked)
}
