package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"fairgate/internal/chaos"
	"fairgate/internal/conf"
	"fairgate/internal/crowd"
	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testnginx"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/embedded/testredis"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/internal/wire"
)

const (
	townEdges      = 2
	townProcessors = 2
	// flowWithin bounds how long after harm the sale goes on at every step; a good machine needs a second or two.
	flowWithin = 60 * time.Second
	// leastFlow is how many fans must have got on at each step to call it that.
	leastFlow = 5
)

// log is where a town keeps its logs: one that can be stopped and started.
type townLog interface {
	addrs() []string
	stop(ctx context.Context) error
	start(ctx context.Context) error
}

// ownKafka is the embedded broker, over a folder.
type ownKafka struct {
	dir, addr string
	now       *embedded.Kafka
}

func (k *ownKafka) addrs() []string            { return []string{k.addr} }
func (k *ownKafka) stop(context.Context) error { return k.now.Close() }
func (k *ownKafka) start(context.Context) (err error) {
	k.now, err = embedded.StartKafka(k.dir, k.addr, nil)
	return err
}

// apacheKafka is three brokers that may be hurt.
type apacheKafka struct{ *chaos.Brokers }

func (k apacheKafka) addrs() []string                 { return k.Addrs() }
func (k apacheKafka) start(ctx context.Context) error { return k.Start(ctx) }
func (k apacheKafka) stop(ctx context.Context) (err error) {
	for i := range k.Len() {
		err = errors.Join(err, k.Signal(ctx, i+1, syscall.SIGKILL))
	}
	return err
}

// townRole is a process of a role.
type townRole struct {
	*chaos.Process
	http, ops string
}

// town is a whole installation of real processes with a sale going on: nginx as the gateway, two edges, two processors,
// booking and workers, a real Redis and Postgres. The fans, the payment simulator and the embedded broker live here. It
// belongs to the test's goroutine.
type town struct {
	*stack
	t          *testing.T
	dir        string
	binary     string
	config     string
	kafka      townLog
	redis      *testredis.Server
	edges      []*townRole
	processors []*chaos.Processor
	journal    string
	fans       func() crowd.Report // ends the crowd
	client     http.Client
}

func newTown(t *testing.T, kafka townLog, prefix string) *town {
	t.Helper()
	d := &town{t: t, dir: t.TempDir(), kafka: kafka, redis: testredis.Start(t), client: http.Client{Timeout: 10 * time.Second}}
	t.Cleanup(d.client.CloseIdleConnections)
	d.binary = buildBinary(t, d.dir)
	if err := kafka.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kafka.stop(context.Background()) }) // it may be down
	shop := quietAddress(t)
	d.openStack(shop, prefix)
	for i := range townEdges {
		d.edges = append(d.edges, d.role(fmt.Sprintf("edge %d", i+1), "waitingroom"))
	}
	booking, workers := d.role("booking", "booking"), d.role("workers", "workers")
	for i := range townProcessors {
		d.processors = append(d.processors, d.processor(i))
	}
	d.gateway(shop, booking, workers)
	for _, r := range append([]*townRole{booking, workers}, d.edges...) {
		d.awaitReady(r.ops)
	}
	for i := range d.processors {
		d.awaitProcessor(i)
	}
	return d
}

// openStack opens what this process itself uses of the installation, with the payment simulator, and writes the file that
// the processes read.
func (d *town) openStack(shop, prefix string) {
	d.t.Helper()
	sale := townSale()
	keys, err := newSecrets()
	if err != nil {
		d.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(d.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	pay := httptest.NewUnstartedServer(nil)
	d.stack = &stack{secrets: keys, log: log, options: stackOptions{
		dir: d.t.TempDir(), shop: shop, admin: "127.0.0.1:0", pay: pay.Listener.Addr().String(), ops: "127.0.0.1:0", prefix: prefix,
		kafka: d.kafka.addrs(), redis: "redis://" + d.redis.Addr() + "/0", postgres: testpg.Migrated(d.t, "town", store.Migrate),
		overlay: sale.stageOverlay,
	}}
	cfg, err := d.stack.config(d.options)
	if err != nil {
		d.t.Fatal(err)
	}
	d.writeConfig(cfg)
	if d.stack.assembly, err = assemble(d.t.Context(), cfg, "town"); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(d.close)
	if err := d.check(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	if d.sim, err = stripesim.New(stripesim.Config{
		SecretKey: keys.StripeKey, PublishableKey: keys.Publishable, WebhookSecret: keys.Webhook, WebhookURL: d.shopURL() + "/webhooks/stripe",
		Dir: filepath.Join(d.options.dir, "stripe"), PublicURL: d.payURL(), AllowedReturnOrigins: []string{d.shopURL()},
		Rate: stripesim.Rate{Total: -1, PerEndpoint: -1},
	}, stripesim.Deps{Log: log}); err != nil {
		d.t.Fatal(err)
	}
	pay.Config.Handler = d.sim.Handler()
	pay.Start()
	d.beside(d.sim.Run)
	d.t.Cleanup(func() { pay.Close(); _ = d.sim.Close() })
	// For reconciling at the end; its parts run in a process of their own.
	if err := d.addWorkers(d.router("judge", false)); err != nil {
		d.t.Fatal(err)
	}
	for _, topic := range []string{wire.TopicOutcomes, wire.TopicQueueOutcomes} {
		d.beside(d.desk(topic).Run)
	}
}

// beside runs something until the test ends.
func (d *town) beside(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && ctx.Err() == nil {
			d.t.Error(err)
		}
	}()
	d.t.Cleanup(func() { cancel(); <-done })
}

// townSale is a sale that does not sell out while things die, with room for so few that people wait for one another.
func townSale() rehearsal {
	r := newRehearsal(2000)
	r.Cap, r.PerMinute, r.Tickets = 10, 1200, 5000
	return r
}

func (d *town) writeConfig(cfg Config) {
	d.t.Helper()
	keys := d.secrets
	type section = map[string]any
	text, err := yaml.Marshal(section{
		"log": section{"level": "info"}, "clock": section{"singleHost": true}, "shutdown": section{"notice": "0s"},
		"kafka": section{
			"brokers": cfg.Kafka.Brokers, "replication": cfg.Kafka.Replication, "minInSync": cfg.Kafka.MinInSync,
			"topicPrefix": cfg.Kafka.TopicPrefix,
		},
		"postgres": section{"write": cfg.Postgres.Write.Reveal(), "maxConnections": 12},
		"redis":    section{"url": cfg.Redis.URL.Reveal()},
		"keys":     section{"places": keys.Places, "passes": keys.Passes, "receipts": keys.Receipts},
		"stripe": section{"secretKey": keys.StripeKey, "publishableKey": keys.Publishable, "url": cfg.Stripe.URL,
			"budget": section{"perSecond": cfg.Stripe.Budget.PerSecond, "endpointPerSecond": cfg.Stripe.Budget.EndpointPerSecond}},
		"botguard":    section{"secret": keys.Network, "trustedProxies": []string{"127.0.0.0/8"}, "puzzle": section{"difficulty": cfg.Botguard.Puzzle.Difficulty}},
		"waitingroom": section{"roomRefresh": cfg.Waitingroom.Refresh.String()},
		"booking":     section{"guestKey": keys.Guest, "payOrigin": cfg.Booking.PayOrigin},
		"payment":     section{"shopURL": cfg.Payment.ShopURL, "hostedPage": cfg.Payment.HostedPage},
		"workers": section{"webhook": section{"secret": keys.Webhook}, "relayEvery": cfg.Workers.RelayEvery.String(),
			"sweepAfter": cfg.Workers.SweepAfter.String(), "lease": cfg.Workers.Lease.String(), "taskTimeout": cfg.Workers.TaskTimeout.String()},
		"processor": section{"engine": section{"snapshotEvery": cfg.Processor.Engine.SnapshotEvery.String()}},
	})
	d.config = filepath.Join(d.dir, "fairgate.yaml")
	if err == nil {
		err = os.WriteFile(d.config, text, 0o600)
	}
	if err == nil {
		err = conf.Load(&Config{}, conf.Source{File: d.config})
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// role starts a process of a role.
func (d *town) role(name, role string) *townRole {
	d.t.Helper()
	r := &townRole{http: quietAddress(d.t), ops: quietAddress(d.t)}
	var err error
	r.Process, err = chaos.NewProcess(filepath.Join(d.t.ArtifactDir(), strings.ReplaceAll(name, " ", "-")+".log"), func() *exec.Cmd {
		return exec.Command(d.binary, role, "--config", d.config, "--set", "http.address="+r.http, "--set", "ops.address="+r.ops)
	}, func(state *os.ProcessState) { d.t.Errorf("%s ended by itself: %v\n%s", name, state, r.Said(4<<10)) })
	if err == nil {
		err = r.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if d.t.Failed() {
			d.t.Logf("%s said last:\n%s", name, r.Said(4<<10))
		}
		_ = r.Close()
	})
	return r
}

func (d *town) processor(i int) *chaos.Processor {
	d.t.Helper()
	p, err := chaos.NewProcessor(fmt.Sprintf("processor %d", i+1), d.binary, d.config, quietAddress(d.t),
		filepath.Join(d.t.ArtifactDir(), fmt.Sprintf("processor-%d.log", i+1)), func(p *chaos.Processor, state *os.ProcessState) {
			d.t.Errorf("%s ended by itself: %v\n%s", p.Name, state, p.Said(4<<10))
		})
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = p.Close() })
	return p
}

// gateway is nginx before everything, as deploy/gateway.conf has it; the crowd is believed about its addresses.
func (d *town) gateway(at string, booking, workers *townRole) {
	d.t.Helper()
	upstream := func(name string, roles ...*townRole) string {
		text := "upstream " + name + " {\n"
		for _, r := range roles {
			text += "server " + r.http + " max_fails=1 fail_timeout=1s;\n"
		}
		return text + "}\n"
	}
	testnginx.Start(d.t, at, upstream("edges", d.edges...)+upstream("booking", booking)+upstream("workers", workers)+`
		access_log off;
		proxy_connect_timeout 1s;
		proxy_set_header Host $http_host;
		proxy_set_header X-Forwarded-For $http_x_forwarded_for;
		server {
			listen `+at+`;
			location /rooms/ { proxy_pass http://edges; }
			location = /.well-known/jwks.json { proxy_pass http://edges; }
			location /webhooks/ { proxy_pass http://workers; }
			location / { proxy_pass http://booking; }
		}`)
}

func (d *town) awaitReady(ops string) {
	d.t.Helper()
	d.until("ready: "+ops, childReady, func() bool { status, _ := d.get("http://" + ops + "/readyz"); return status == http.StatusOK })
}

func (d *town) awaitProcessor(i int) {
	d.t.Helper()
	d.until(d.processors[i].Name, childReady, func() bool { return d.processors[i].Ready(d.t.Context()) })
}

func (d *town) until(what string, within time.Duration, ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	d.t.Fatalf("waited %v in vain: %s", within, what)
}

// open seeds the sale and sends fans at an even pace until stopped.
func (d *town) open() {
	d.t.Helper()
	sale := townSale()
	if err := sale.seed(d.t.Context(), d.db, d.publisher(), time.Now()); err != nil {
		d.t.Fatal(err)
	}
	for _, e := range d.edges {
		d.until("the room at an edge", childReady, func() bool { status, _ := d.get(d.roomAt(e, "/queue")); return status == http.StatusOK })
	}
	d.journal = filepath.Join(d.dir, "journal.jsonl")
	journal, err := crowd.OpenJournal(d.journal)
	if err != nil {
		d.t.Fatal(err)
	}
	cfg := sale.crowd(d.shopURL(), d.payURL(), 1)
	cfg.Fans, cfg.Rate, cfg.Deadline = 60, 6, 0
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var report crowd.Report
	go func() {
		defer close(done)
		report, err = crowd.Keep(ctx, cfg, crowd.Deps{Solve: solve, Journal: journal, Log: d.log})
		err = errors.Join(err, journal.Close())
	}()
	d.fans = func() crowd.Report {
		cancel()
		<-done
		return report
	}
	d.t.Cleanup(func() { d.fans() })
}

// flows waits until fans who were not yet there at an instant have got on at each of these steps since.
func (d *town) flows(since time.Time, kinds ...crowd.Kind) {
	d.t.Helper()
	counts := map[crowd.Kind]int{}
	for end := time.Now().Add(flowWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		clear(counts)
		// A line that is being written is no entry yet.
		entries, _ := crowd.ReadJournalFile(d.journal)
		for _, e := range entries {
			if e.At > since.UnixMicro() {
				counts[e.Kind]++
			}
		}
		done := true
		for _, k := range kinds {
			done = done && counts[k] >= leastFlow
		}
		if done {
			d.t.Logf("%v after: %v", time.Since(since).Round(time.Millisecond), counts)
			return
		}
	}
	d.t.Fatalf("the sale does not go on: since %v there were %v", time.Since(since).Round(time.Millisecond), counts)
}

// everyStep is the whole way of a fan.
var everyStep = []crowd.Kind{crowd.EntryPlace, crowd.EntryPass, crowd.EntryHold, crowd.EntryConfirmed}

// judged ends the sale and holds what was promised against the logs, Postgres and the payment simulator.
func (d *town) judged() {
	d.t.Helper()
	report := d.fans()
	d.t.Logf("the fans:\n%s", report.Text())
	if n := report.Counts[crowd.Failed]; n > 0 {
		d.t.Errorf("%d fans failed: %v", n, report.Failures)
	}
	if err := d.rest(d.t.Context(), time.Minute); err != nil {
		d.t.Fatal(err)
	}
	judged, err := d.judge(d.t.Context(), townSale(), report, []string{d.journal})
	if err != nil {
		d.t.Fatal(err)
	}
	if judged.Violations > 0 {
		d.t.Errorf("%d violations:\n%s", judged.Violations, strings.Join(judged.First, "\n"))
	}
	out, err := exec.CommandContext(d.t.Context(), d.binary, "verify", "--config", d.config).CombinedOutput()
	d.t.Logf("fairgate verify:\n%s", out)
	if err != nil {
		d.t.Errorf("fairgate verify: %v", err)
	}
}

func (d *town) roomAt(e *townRole, step string) string {
	return fmt.Sprintf("http://%s/rooms/%d%s", e.http, rehearsalRoom, step)
}
