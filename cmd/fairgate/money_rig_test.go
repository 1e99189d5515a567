package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/chaos"
	"fairgate/internal/conf"
	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/payment"
	"fairgate/internal/stripesim"
	"fairgate/internal/wire"
)

const (
	moneyServiceKey = "a-service-that-may-act-for-every-fan"
	moneyPartitions = 2
)

// moneyRig is everything that money passes through: a real Postgres, redis-server, two processors, two workers and the
// booking API as processes of their own, and in this process the brokers' stand-in, the payment provider and the fans. It
// belongs to the test's goroutine; what it is made of does not.
type moneyRig struct {
	t      testing.TB
	dir    string
	log    *slog.Logger
	seed   uint64
	budget moneyBudget

	pg     *chaos.Postgres
	redis  *chaos.Process
	roles  []*moneyRole // processors, workers, booking, in this order
	sim    *stripesim.Sim
	simURL string
	faults []stripesim.Rule // what the provider does wrong all the time
	own    *assembly
	office *payment.Service // what the organiser orders refunds by
	config []string         // flags of every role

	shop string // address of the booking API
	died atomic.Pointer[string]
}

// moneyBudget is how many calls a second the provider takes, and how many of them we mean to make. Zero is the provider
// without limits.
type moneyBudget struct {
	name                      string
	total, endpoint           int // of the provider
	ourTotal, ourEachEndpoint int
}

// The budgets that campaigns run with. Ours stay a little below the provider's, as the defaults do.
var (
	moneyUnlimited = moneyBudget{name: "without Stripe's limits (ours 2000/s, 1000/s an endpoint)", ourTotal: 2000, ourEachEndpoint: 1000}
	moneySandbox   = moneyBudget{name: "Stripe's sandbox: 25/s, 25/s an endpoint (ours 22/s)", total: 25, endpoint: 25, ourTotal: 22, ourEachEndpoint: 22}
	moneyLive      = moneyBudget{name: "Stripe live: 100/s, 25/s an endpoint (ours 90/s, 24/s)", total: 100, endpoint: 25, ourTotal: 90, ourEachEndpoint: 24}
)

// moneyRole is one process of ours.
type moneyRole struct {
	*chaos.Process
	name  string
	ops   string
	ready atomic.Bool
}

// newMoneyRig brings everything up; nothing is on sale yet.
func newMoneyRig(t testing.TB, budget moneyBudget) *moneyRig {
	t.Helper()
	r := &moneyRig{
		t: t, dir: t.TempDir(), budget: budget, seed: uint64(numberFromEnv(t, killSeedEnv, time.Now().UnixNano())),
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), shop: quietAddress(t),
	}
	t.Logf("%s=%d repeats the choices", killSeedEnv, r.seed)
	if _, err := embedded.FindPostgres(); err != nil {
		missing(t, err)
	}
	var err error
	if r.pg, err = chaos.StartPostgres(t.Context(), filepath.Join(r.dir, "postgres"), quietAddress(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.pg.Close() })
	redis := r.startRedis()
	hook := quietAddress(t)
	keys, err := newSecrets()
	if err != nil {
		t.Fatal(err)
	}
	r.startProvider(keys, hook)
	cfg := r.configure(keys, redis)
	binary := buildBinary(t, r.dir)
	r.do(binary, "migrate")
	if r.own, err = assemble(t.Context(), cfg, "money"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.own.close)
	r.openOffice(keys)
	for i := range 2 {
		r.start(binary, fmt.Sprintf("processor-%d", i+1), "processor", quietAddress(t))
	}
	r.start(binary, "workers-1", "workers", hook)
	r.start(binary, "workers-2", "workers", quietAddress(t))
	r.start(binary, "booking", "booking", r.shop)
	if err := r.allReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// missing skips a test for want of a program, or fails it where it must run.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// startRedis starts a redis-server that keeps nothing, and returns its address.
func (r *moneyRig) startRedis() string {
	r.t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(r.t, err)
	}
	addr := quietAddress(r.t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.redis, err = chaos.NewProcess(filepath.Join(r.dir, "redis.log"), func() *exec.Cmd {
		return exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", r.dir, "--save", "", "--appendonly", "no")
	}, nil)
	if err == nil {
		err = r.redis.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.redis.Close() })
	return addr
}

// startProvider serves the payment provider, whose webhooks go to the workers at an address.
func (r *moneyRig) startProvider(keys secrets, hook string) {
	r.t.Helper()
	rate := stripesim.Rate{Total: -1, PerEndpoint: -1}
	if r.budget.total > 0 {
		rate = stripesim.Rate{Total: r.budget.total, PerEndpoint: r.budget.endpoint}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.simURL = "http://" + ln.Addr().String()
	r.sim, err = stripesim.New(stripesim.Config{
		SecretKey: keys.StripeKey, PublishableKey: keys.Publishable, WebhookSecret: keys.Webhook, WebhookURL: "http://" + hook + "/webhooks/stripe",
		PublicURL: r.simURL, AllowedReturnOrigins: []string{"http://" + r.shop}, Rate: rate, Seed: r.seed,
		Workers: 16, WebhookMaxWait: 3 * time.Second, WebhookTimeout: 3 * time.Second, RefundDelay: 2 * time.Second,
	}, stripesim.Deps{})
	if err != nil {
		r.t.Fatal(err)
	}
	srv := &http.Server{Handler: r.sim.Handler()}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = srv.Serve(ln) })
	parts.Go(func() { _ = r.sim.Run(ctx) })
	r.t.Cleanup(func() {
		cancel()
		_ = srv.Close()
		parts.Wait()
		_ = r.sim.Close()
	})
}

// configure sets what every role is given, and returns the same for this process. Leases and pauses are short, for they
// are what a kill costs; the rules are the same at any length.
func (r *moneyRig) configure(keys secrets, redis string) Config {
	r.t.Helper()
	replicas := testkafka.Config(nil)
	set := map[string]string{
		"log.level": "warn", "clock.singleHost": "true", "shutdown.notice": "0s",
		"kafka.brokers": strings.Join(testkafka.Brokers(r.t), ","), "kafka.topicPrefix": testkafka.Unique("money") + "-",
		"kafka.replication": fmt.Sprint(max(replicas.Replication, 1)), "kafka.minInSync": fmt.Sprint(max(replicas.MinInSync, 1)),
		"kafka.ordersPartitions": fmt.Sprint(moneyPartitions),
		"postgres.write":         r.pg.URL(), "postgres.maxConnections": "16", "redis.url": "redis://" + redis + "/0",
		"keys.places": keys.Places, "keys.passes": keys.Passes, "keys.receipts": keys.Receipts,
		"stripe.secretKey": keys.StripeKey, "stripe.publishableKey": keys.Publishable, "stripe.url": r.simURL, "stripe.timeout": "4s",
		"stripe.budget.perSecond": fmt.Sprint(r.budget.ourTotal), "stripe.budget.endpointPerSecond": fmt.Sprint(r.budget.ourEachEndpoint),
		"stripe.budget.processes": "3", "botguard.secret": keys.Network, "botguard.trustedProxies": "127.0.0.0/8",
		"booking.guestKey": keys.Guest, "booking.serviceKey": moneyServiceKey,
		"payment.shopURL": "http://" + r.shop, "payment.hostedPage": r.simURL, "payment.keepHold": "8s", "payment.bankWait": "10s", "workers.webhook.secret": keys.Webhook,
		"workers.lease": "8s", "workers.taskTimeout": "7s", "workers.retryFrom": "500ms", "workers.retryMost": "5s", "workers.sweepAfter": "3s",
		"workers.reconcile.every": "8s", "workers.reconcile.settle": "5s", "processor.engine.snapshotEvery": "5s",
	}
	for key, value := range set {
		r.config = append(r.config, "--set", key+"="+value)
	}
	var cfg Config
	if err := conf.Load(&cfg, conf.Source{Overrides: set}); err != nil {
		r.t.Fatal(err)
	}
	return cfg
}

// openOffice makes the organiser's hands: refunds are ordered here, and carried out by the workers.
func (r *moneyRig) openOffice(keys secrets) {
	r.t.Helper()
	stripe, err := payment.NewStripe(payment.StripeConfig{SecretKey: r.own.cfg.Stripe.SecretKey, URL: r.simURL}, payment.StripeDeps{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(stripe.Close)
	r.office, err = payment.NewService(payment.Config{}, payment.Deps{
		Store: r.own.db, Stripe: stripe, Orders: r.own.producer(wire.TopicOrders), RoomTime: r.own.clock.Now,
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// do runs the program to its end, which must be a good one, and returns what it wrote.
func (r *moneyRig) do(binary, command string, args ...string) string {
	r.t.Helper()
	out, err := r.try(binary, command, args...)
	if err != nil {
		r.t.Fatalf("fairgate %s: %v\n%s", command, err, out)
	}
	return out
}

func (r *moneyRig) try(binary, command string, args ...string) (string, error) {
	cmd := exec.CommandContext(r.t.Context(), binary, append(append([]string{command}, r.config...), args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, said.String())
	}
	return string(out), err
}

// start starts a role that listens at an address.
func (r *moneyRig) start(binary, name, role, addr string) {
	r.t.Helper()
	p := &moneyRole{name: name, ops: quietAddress(r.t)}
	args := append([]string{role, "--set", "ops.address=" + p.ops, "--set", "http.address=" + addr}, r.config...)
	var err error
	p.Process, err = chaos.NewProcess(filepath.Join(r.t.ArtifactDir(), name+".log"), func() *exec.Cmd { return exec.Command(binary, args...) },
		func(state *os.ProcessState) {
			if p.ready.Load() { // while it starts it may give up on a server that is away
				text := fmt.Sprintf("%s ended by itself: %v\n%s", name, state, p.Said(4<<10))
				r.died.CompareAndSwap(nil, &text)
			}
		})
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = p.Close() })
	r.roles = append(r.roles, p)
}

// allReady waits until every role wants traffic.
func (r *moneyRig) allReady(ctx context.Context) error {
	for _, p := range r.roles {
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// await waits until a role wants traffic, starting it again if it gave up while something was away.
func (p *moneyRole) await(ctx context.Context) error {
	client := http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(rigReady); time.Now().Before(end) && ctx.Err() == nil; pauseFor(ctx, 30*time.Millisecond) {
		if answer, err := client.Get("http://" + p.ops + "/readyz"); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				p.ready.Store(true)
				return nil
			}
		}
		if !p.Running() {
			p.Note("started again")
			if err := p.Start(); err != nil {
				return err
			}
		}
	}
	return errors.Join(ctx.Err(), fmt.Errorf("%s is not ready after %v:\n%s", p.name, rigReady, p.Said(8<<10)))
}

// lanes are what is hurt, each beside the others.
func (r *moneyRig) lanes() []chaos.Lane {
	return []chaos.Lane{
		{Pause: 4 * time.Second, Faults: []chaos.Fault{{Name: "processor.kill", Weight: 1, Do: r.kill(0, 2)}}},
		{Pause: 3 * time.Second, Faults: []chaos.Fault{
			{Name: "workers.kill", Weight: 5, Do: r.kill(2, 4)}, {Name: "booking.kill", Weight: 2, Do: r.kill(4, 5)},
		}},
		{Pause: 5 * time.Second, Faults: []chaos.Fault{
			{Name: "redis.kill", Weight: 3, Do: r.killRedis}, {Name: "redis.freeze", Weight: 1, Do: r.freezeRedis},
			{Name: "stripe.down", Weight: 1, Do: r.stopProvider},
		}},
		{Pause: 15 * time.Second, Faults: []chaos.Fault{{Name: "postgres.kill", Weight: 1, Do: r.killPostgres}}},
	}
}

// kill kills one of some roles and brings it back, sometimes without waiting until it wants traffic.
func (r *moneyRig) kill(from, to int) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, rnd *rand.Rand) error {
		p := r.roles[from+rnd.IntN(to-from)]
		p.ready.Store(false)
		p.Note("killed")
		p.End(syscall.SIGKILL, childStop)
		pauseFor(ctx, chaos.Between(rnd, 0, 1500*time.Millisecond))
		if err := p.Start(); err != nil || rnd.IntN(4) == 0 {
			return err
		}
		return p.await(ctx)
	}
}

func (r *moneyRig) killRedis(ctx context.Context, rnd *rand.Rand) error {
	r.redis.End(syscall.SIGKILL, childStop)
	pauseFor(ctx, chaos.Between(rnd, 0, 3*time.Second))
	return r.redis.Start()
}

func (r *moneyRig) freezeRedis(ctx context.Context, rnd *rand.Rand) error {
	if err := r.redis.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pauseFor(ctx, chaos.Between(rnd, 100*time.Millisecond, 3*time.Second))
	return r.redis.Signal(syscall.SIGCONT)
}

func (r *moneyRig) killPostgres(ctx context.Context, rnd *rand.Rand) error {
	if err := r.pg.End(syscall.SIGKILL); err != nil {
		return err
	}
	pauseFor(ctx, chaos.Between(rnd, 0, 2*time.Second))
	return r.pg.Start(ctx)
}

// stopProvider makes the provider answer nothing but 503 for a while.
func (r *moneyRig) stopProvider(ctx context.Context, rnd *rand.Rand) error {
	script := r.sim.Script()
	script.Reset()
	if err := script.Add(stripesim.Rule{Name: "unavailable", Chance: 1}); err != nil {
		return err
	}
	pauseFor(ctx, chaos.Between(rnd, time.Second, 6*time.Second))
	script.Reset()
	return script.Add(r.faults...)
}

// everyFault is each of the provider's named faults, as often as leaves most purchases more than one of them. Lengths of
// time are such that holds lapse in some and not in others.
func everyFault() []stripesim.Rule {
	rules := map[string]stripesim.Rule{
		"rate_limited": {Chance: .02}, "lock_timeout": {Chance: .01}, "unavailable": {Chance: .01}, "slow": {Chance: .01}, "call_lost": {Chance: .02},
		"server_error": {Chance: .02}, "server_error_done": {Chance: .02}, "answer_lost": {Chance: .03}, "answer_late": {Chance: .005, Delay: 5 * time.Second},
		"webhook_early": {Chance: .05}, "webhook_lost": {Chance: .08}, "webhook_failed": {Chance: .08}, "webhook_doubled": {Chance: .08},
		"webhook_delayed": {Chance: .05, Delay: 3 * time.Second}, "webhook_reordered": {Chance: .08}, "webhook_other_version": {Chance: .05},
		"card_declined": {Chance: .04}, "secure_finished": {Chance: .03}, "secure_late": {Chance: .01, Delay: 20 * time.Second},
		"secure_failed": {Chance: .01}, "secure_abandoned": {Chance: .01}, "authorisation_expires": {Chance: .01},
		"capture_declined": {Chance: .02}, "capture_expired": {Chance: .02}, "refund_pending": {Chance: .1}, "refund_pending_fails": {Chance: .05},
		"refund_fails": {Chance: .05}, "refund_requires_action": {Chance: .05}, "dispute_opened": {Chance: .01}, "dispute_won": {Chance: .01},
		"dispute_lost": {Chance: .01}, "dashboard_refund": {Chance: .01},
	}
	var all []stripesim.Rule
	for _, name := range stripesim.FaultNames() {
		rule := rules[name] // one that is not named here is refused: it has no chance
		rule.Name = name
		all = append(all, rule)
	}
	return all
}

// part keeps a background deed of the test until it is stopped.
func part(do func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
