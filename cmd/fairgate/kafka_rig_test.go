package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"fairgate/internal/chaos"
	"fairgate/internal/conf"
	"fairgate/internal/wire"
)

// kafkaDirEnv names the folder of a three-broker cluster, started by scripts/kafka.sh, that may be hurt.
const kafkaDirEnv = "FAIRGATE_TEST_KAFKA_DIR"

// rigReady bounds the start of a processor.
const rigReady = 90 * time.Second

// rig is a whole installation of real processes: three brokers, a Postgres, processors, and in this process the fans and
// the eyes. It belongs to the test's goroutine; what it is made of does not.
type rig struct {
	t       testing.TB
	dir     string
	binary  string
	config  string // file
	prefix  string
	log     *slog.Logger
	brokers *chaos.Brokers
	pg      *chaos.Postgres
	procs   []*chaos.Processor
	own     *assembly
	sale    chaos.Sale
	journal *chaos.Journal
	watch   *chaos.Watch
	fans    *chaos.Fans
	seed    uint64

	watching func()                 // ends the reading of outcomes, which must have gone well
	died     atomic.Pointer[string] // a processor that ended by itself, after it had been ready
	ready    []atomic.Bool
}

// openKafka finds the cluster that may be hurt. A benchmark starts one where there is none; a test is skipped.
func openKafka(t testing.TB) *chaos.Brokers {
	t.Helper()
	const script = "../../scripts/kafka.sh"
	dir := os.Getenv(kafkaDirEnv)
	if dir == "" {
		if _, bench := t.(*testing.B); !bench {
			t.Skipf("%s is not set: make test-kafka does it", kafkaDirEnv)
		}
		dir = filepath.Join(t.TempDir(), "kafka")
		stop := func() {
			if out, err := exec.Command(script, "stop", dir).CombinedOutput(); err != nil {
				t.Errorf("stopping brokers: %v: %s", err, out)
			}
		}
		t.Cleanup(stop)
		if out, err := exec.Command(script, "start", "3", dir, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
			t.Fatalf("starting brokers: %v: %s", err, out)
		}
	}
	b, err := chaos.OpenBrokers(t.Context(), script, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// newRig brings up brokers, Postgres with its schema, topics, and that many processors; the sale is seeded.
func newRig(t testing.TB, processors, partitions int, overlay func(*Config)) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: t.TempDir(), brokers: openKafka(t), prefix: fmt.Sprintf("t%d-", time.Now().UnixNano()),
		journal: chaos.NewJournal(), watch: chaos.NewWatch(partitions), seed: uint64(numberFromEnv(t, killSeedEnv, time.Now().UnixNano())),
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	t.Logf("%s=%d repeats the choices", killSeedEnv, r.seed)
	r.binary = buildBinary(t, r.dir)
	var err error
	if r.pg, err = chaos.StartPostgres(t.Context(), filepath.Join(r.dir, "postgres"), quietAddress(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.pg.Close() })
	cfg := r.configure(partitions, overlay)
	r.run("migrate", "--config", r.config)
	if r.own, err = assemble(t.Context(), cfg, "chaos"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.own.close)
	r.sale = chaos.Sale{Orders: r.topic(wire.TopicOrders), Partitions: partitions}
	r.fans = chaos.NewFans(chaos.FansConfig{Sale: r.sale, Seed: r.seed}, r.fanDeps())
	r.startProcessors(processors)
	if err := r.sale.Seed(t.Context(), r.own.events, r.own.db); err != nil {
		t.Fatal(err)
	}
	r.follow()
	return r
}

func (r *rig) fanDeps() chaos.FansDeps {
	return chaos.FansDeps{Events: r.own.events, DB: r.own.db, Journal: r.journal, Watch: r.watch}
}

func (r *rig) topic(name string) string { return r.prefix + name }

func numberFromEnv(t testing.TB, env string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("%s: expected a positive number", env)
	}
	return n
}

// binaryEnv names the program, built before; without it every rig builds its own.
const binaryEnv = "FAIRGATE_TEST_BINARY"

// buildBinary builds the program into dir, unless there is one.
func buildBinary(t testing.TB, dir string) string {
	t.Helper()
	if path := os.Getenv(binaryEnv); path != "" {
		return path
	}
	binary := filepath.Join(dir, "fairgate")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return binary
}

// configure writes the file that all roles of the rig read, and returns what it says.
func (r *rig) configure(partitions int, overlay func(*Config)) Config {
	r.t.Helper()
	keys, err := newSecrets()
	if err != nil {
		r.t.Fatal(err)
	}
	s := &stack{secrets: keys}
	cfg, err := s.config(stackOptions{
		dir:  r.t.TempDir(), // for a file that nobody reads
		shop: "127.0.0.1:0", admin: "127.0.0.1:0", pay: "127.0.0.1:1", ops: "127.0.0.1:0", kafka: r.brokers.Addrs(),
		redis: "redis://127.0.0.1:1/0", postgres: r.pg.URL(), prefix: r.prefix,
		overlay: func(c *Config) {
			c.Log.Level = "info"
			c.Kafka.OrdersPartitions = partitions
			c.Processor.Engine.SnapshotEvery = 5 * time.Second
			if overlay != nil {
				overlay(c)
			}
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.config = filepath.Join(r.dir, "fairgate.yaml")
	writeConfig(r.t, r.config, cfg, keys)
	return cfg
}

// writeConfig writes what of a configuration differs from the defaults of production.
func writeConfig(t testing.TB, path string, cfg Config, keys secrets) {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{
		"log":   map[string]any{"level": cfg.Log.Level},
		"clock": map[string]any{"singleHost": true},
		"kafka": map[string]any{
			"brokers": cfg.Kafka.Brokers, "replication": cfg.Kafka.Replication, "minInSync": cfg.Kafka.MinInSync,
			"ordersPartitions": cfg.Kafka.OrdersPartitions, "topicPrefix": cfg.Kafka.TopicPrefix,
		},
		"postgres":  map[string]any{"write": cfg.Postgres.Write.Reveal(), "maxConnections": cfg.Postgres.MaxConnections},
		"redis":     map[string]any{"url": cfg.Redis.URL.Reveal()},
		"keys":      map[string]any{"places": keys.Places, "passes": keys.Passes, "receipts": keys.Receipts},
		"stripe":    map[string]any{"secretKey": keys.StripeKey, "publishableKey": keys.Publishable},
		"botguard":  map[string]any{"secret": keys.Network},
		"booking":   map[string]any{"guestKey": keys.Guest},
		"workers":   map[string]any{"webhook": map[string]any{"secret": keys.Webhook}},
		"payment":   map[string]any{"shopURL": cfg.Payment.ShopURL, "hostedPage": cfg.Payment.HostedPage},
		"processor": map[string]any{"engine": map[string]any{"snapshotEvery": cfg.Processor.Engine.SnapshotEvery.String()}},
	})
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := conf.Load(&Config{}, conf.Source{File: path}); err != nil {
		t.Fatal(err)
	}
}

// run runs the program to its end, which must be a good one.
func (r *rig) run(args ...string) string {
	r.t.Helper()
	out, err := r.try(args...)
	if err != nil {
		r.t.Fatalf("fairgate %s: %v\n%s", args[0], err, out)
	}
	return out
}

// try runs the program to its end and returns what it said.
func (r *rig) try(args ...string) (string, error) {
	var both bytes.Buffer
	cmd := exec.CommandContext(r.t.Context(), r.binary, args...)
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	return both.String(), err
}

func (r *rig) startProcessors(n int) {
	r.t.Helper()
	r.ready = make([]atomic.Bool, n)
	for i := range n {
		name := fmt.Sprintf("processor %d", i+1)
		p, err := chaos.NewProcessor(name, r.binary, r.config, quietAddress(r.t), filepath.Join(r.t.ArtifactDir(), fmt.Sprintf("processor-%d.log", i+1)),
			func(p *chaos.Processor, state *os.ProcessState) { r.ended(i, p, state) })
		if err == nil {
			err = p.Start()
		}
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { _ = p.Close() })
		r.procs = append(r.procs, p)
	}
	for i := range r.procs {
		if err := r.awaitReady(r.t.Context(), i); err != nil {
			r.t.Fatal(err)
		}
	}
}

// ended hears of a processor that ended by itself. While it starts it may: an orchestrator would start it again, as
// awaitReady does.
func (r *rig) ended(i int, p *chaos.Processor, state *os.ProcessState) {
	if r.ready[i].Load() {
		text := fmt.Sprintf("%s ended by itself: %v\n%s", p.Name, state, p.Said(4<<10))
		r.died.CompareAndSwap(nil, &text)
	}
}

// awaitReady waits until a processor has caught up with its logs, starting it again if it gave up on a server that is
// away.
func (r *rig) awaitReady(ctx context.Context, i int) error {
	p := r.procs[i]
	for end := time.Now().Add(rigReady); time.Now().Before(end); {
		if p.Ready(ctx) {
			r.ready[i].Store(true)
			return nil
		}
		if !p.Running() {
			p.Note("started again")
			if err := p.Start(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(30 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s is not ready after %v:\n%s", p.Name, rigReady, p.Said(8<<10))
}

// end ends a processor by a signal and says how.
func (r *rig) end(i int, sig syscall.Signal) *os.ProcessState {
	r.ready[i].Store(false)
	r.procs[i].Note(fmt.Sprintf("sent %v", sig))
	return r.procs[i].End(sig, childStop)
}

// leader is which processor leads a partition of orders; -1 while none says so.
func (r *rig) leader(ctx context.Context, partition int) int {
	for i, p := range r.procs {
		if p.Running() && p.Leads(ctx)[fmt.Sprintf("%s/%d", r.topic(wire.TopicOrders), partition)] {
			return i
		}
	}
	return -1
}
