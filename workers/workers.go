// Package workers carries out what the sale obliges us to do outside of it: payment webhooks, captures, voids, refunds,
// mails. It may talk to Postgres, Redis (asynq), the payment provider, the log `orders` and an SMTP server, and serves
// the provider's webhook.
//
// Obligations live in Postgres: rows of the outbox, written in the transaction of their cause, and of the webhook inbox,
// written before the provider gets its 200. The relay hands those that are due to asynq under a lease; a worker closes
// them in the transaction of their effect. Redis may vanish with everything in it: the lease ends, and the relay hands
// them out again. Every deed is idempotent, so handing out twice costs a call and nothing else.
package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"fairgate/internal/payment"
	"fairgate/internal/run"
	"fairgate/internal/store"
	"fairgate/workers/notify"
	"fairgate/workers/payments"
	"fairgate/workers/reconcile"
)

// Config of the workers. Zero values stand for the defaults.
type Config struct {
	Webhook     WebhookConfig    `yaml:"webhook"`
	Concurrency int              `yaml:"concurrency" default:"32" help:"most tasks worked on at once"`
	RelayEvery  time.Duration    `yaml:"relayEvery" default:"100ms" help:"how often the outbox is looked at when it was empty"`
	RelayBatch  int              `yaml:"relayBatch" default:"200" help:"most obligations handed out at once"`
	Lease       time.Duration    `yaml:"lease" default:"60s" help:"after how long an obligation that nobody met is handed out again"`
	TaskTimeout time.Duration    `yaml:"taskTimeout" default:"30s" help:"longest time of one task; below the lease"`
	SweepAfter  time.Duration    `yaml:"sweepAfter" default:"15s" help:"after how long a stored webhook that nobody processed is handed out again"`
	MaxAttempts int              `yaml:"maxAttempts" default:"40" help:"after how many failures an obligation is dead: it alarms and waits for an operator"`
	RetryFrom   time.Duration    `yaml:"retryFrom" default:"1s" help:"pause after the first failure; it doubles"`
	RetryMost   time.Duration    `yaml:"retryMost" default:"10m" help:"longest pause between attempts"`
	Mail        notify.Config    `yaml:"mail"`
	Reconcile   reconcile.Config `yaml:"reconcile"`
	ReportAt    time.Duration    `yaml:"reportAt" default:"6h" help:"how long after midnight (UTC) organisers are told of the day before; negative for never"`
}

// Validate names every key that cannot work.
func (c Config) Validate() error {
	var errs []error
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"relayEvery", c.RelayEvery}, {"lease", c.Lease}, {"taskTimeout", c.TaskTimeout}, {"sweepAfter", c.SweepAfter},
		{"retryFrom", c.RetryFrom}, {"retryMost", c.RetryMost},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative", d.key))
		}
	}
	if c.ReportAt >= 24*time.Hour {
		errs = append(errs, errors.New("reportAt: expected less than 24h"))
	}
	if c.Concurrency < 0 || c.RelayBatch < 0 || c.RelayBatch > 10_000 || c.MaxAttempts < 0 {
		errs = append(errs, errors.New("concurrency, relayBatch (at most 10000), maxAttempts: must not be negative"))
	}
	d := c.withDefaults()
	if d.TaskTimeout >= d.Lease {
		errs = append(errs, fmt.Errorf("taskTimeout: must be below lease (%s), is %s", d.Lease, d.TaskTimeout))
	}
	for _, s := range []struct {
		key string
		err error
	}{{"webhook", c.Webhook.Validate()}, {"mail", c.Mail.Validate()}, {"reconcile", c.Reconcile.Validate()}} {
		if s.err != nil {
			errs = append(errs, fmt.Errorf("%s.%w", s.key, s.err))
		}
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	set(&c.Concurrency, 32)
	set(&c.RelayEvery, 100*time.Millisecond)
	set(&c.RelayBatch, 200)
	set(&c.Lease, time.Minute)
	set(&c.TaskTimeout, 30*time.Second)
	set(&c.SweepAfter, 15*time.Second)
	set(&c.MaxAttempts, 40)
	set(&c.RetryFrom, time.Second)
	set(&c.RetryMost, 10*time.Minute)
	set(&c.Reconcile.Every, 5*time.Minute)
	set(&c.ReportAt, 6*time.Hour)
	return c
}

func set[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Deps is what the workers use. Redis is shared and not closed here. Now, Random (giving [0, 1)), Log and Metrics may be
// nil.
type Deps struct {
	Store    *store.DB
	Redis    redis.UniversalClient
	Payments *payment.Service
	Now      func() time.Time
	Random   func() float64
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Workers is the role. Its parts run until their context ends.
type Workers struct {
	cfg       Config
	store     *store.DB
	redis     redis.UniversalClient
	client    *asynq.Client
	pay       *payments.Handlers
	mail      *notify.Mailer
	reconcile *reconcile.Reconciler
	intake    *intake
	news      chan store.WebhookEvent // stored, to be handed to asynq
	now       func() time.Time
	random    func() float64
	log       *slog.Logger
	metrics   *metrics
}

// New connects to nothing yet.
func New(cfg Config, deps Deps) (*Workers, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	w := &Workers{
		cfg: cfg.withDefaults(), store: deps.Store, redis: deps.Redis, now: deps.Now, random: deps.Random, log: deps.Log,
	}
	if w.now == nil {
		w.now = time.Now
	}
	if w.random == nil {
		w.random = rand.Float64
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if w.metrics, err = newMetrics(deps.Metrics); err != nil {
		return nil, fmt.Errorf("workers: registering metrics: %w", err)
	}
	w.intake = newIntake(deps.Store.StoreWebhooks)
	w.news = make(chan store.WebhookEvent, maxNews)
	w.client = asynq.NewClientFromRedisClient(deps.Redis)
	w.pay = payments.New(payments.Deps{Payments: deps.Payments, Store: deps.Store, Log: w.log, Now: w.now})
	if w.mail, err = notify.New(cfg.Mail, notify.Deps{Store: deps.Store}); err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	w.reconcile, err = reconcile.New(cfg.Reconcile, reconcile.Deps{
		Store: deps.Store, Payments: deps.Payments, Log: w.log, Now: w.now, Metrics: deps.Metrics,
		Adopt: w.pay.Adopt, Look: w.pay.Look,
	})
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	return w, nil
}

// Parts are the goroutines of the role, in the order in which they start. The webhook's listener comes after them.
func (w *Workers) Parts() []run.Part {
	return []run.Part{
		{Name: "tasks", Run: w.serveTasks},
		{Name: "webhook announcer", Run: w.announcer},
		{Name: "outbox relay", Run: w.relay},
		{Name: "webhook sweeper", Run: w.sweep},
		{Name: "outbox gauges", Run: w.measure},
		{Name: "reconciliation", Run: w.scheduleReconcile},
		{Name: "daily report", Run: w.reportDays},
	}
}

// Run runs all parts until ctx ends, for tests and small deployments without a run.Group of their own.
func (w *Workers) Run(ctx context.Context) error {
	g := run.NewGroup(run.GroupConfig{}, run.GroupDeps{Log: w.log})
	g.Add(w.Parts()...)
	return g.Run(ctx)
}

// Reconcile compares provider and ledger once, for the command line.
func (w *Workers) Reconcile(ctx context.Context) (reconcile.Report, error) {
	return w.reconcile.Run(ctx)
}

// pause is how long to wait after the n-th failure (from 1): doubling, within bounds, with jitter of a quarter.
func (w *Workers) pause(n int) time.Duration {
	d := w.cfg.RetryFrom << min(max(n-1, 0), 20)
	if d <= 0 || d > w.cfg.RetryMost {
		d = w.cfg.RetryMost
	}
	return time.Duration(float64(d) * (0.75 + w.random()/2))
}
