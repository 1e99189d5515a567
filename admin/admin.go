package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/conf"
	"fairgate/internal/eventlog"
	"fairgate/internal/run"
	"fairgate/internal/store"
)

const (
	// sweepEvery is how often rows that the log does not know are looked for.
	sweepEvery = 3 * time.Second
	// expireEvery is how often ended sessions are deleted.
	expireEvery = 10 * time.Minute
)

// Config is the dashboard's section of the configuration. The zero value works on loopback.
type Config struct {
	Address    string         `yaml:"address" default:"127.0.0.1:8081" help:"where the dashboard listens (host:port)"`
	Secure     bool           `yaml:"secure" default:"false" help:"the public side is HTTPS: cookies are sent over it alone"`
	Origins    []string       `yaml:"origins" help:"public origins (https://host) when a gateway changes the Host header"`
	Session    time.Duration  `yaml:"session" default:"12h" help:"how long a login lasts"`
	ServiceKey conf.Secret    `yaml:"serviceKey" help:"bearer key of other programs at /api; empty for none, else at least 32 characters"`
	Trusted    []netip.Prefix `yaml:"trustedProxies" help:"networks of our own proxies; only their X-Forwarded-For is believed"`
}

// Validate names the key that cannot work.
func (c Config) Validate() error {
	if err := run.CheckAddress(c.Address); err != nil && c.Address != "" {
		return fmt.Errorf("address: %w", err)
	}
	switch {
	case c.Session < 0 || c.Session > 30*24*time.Hour:
		return errors.New("session: expected a length of time up to 720h")
	case c.ServiceKey != "" && len(c.ServiceKey.Reveal()) < 32:
		return errors.New("serviceKey: expected at least 32 characters")
	}
	p := http.NewCrossOriginProtection()
	for _, o := range c.Origins {
		if err := p.AddTrustedOrigin(o); err != nil {
			return errors.New("origins: expected origins such as https://admin.example")
		}
	}
	return nil
}

// Guard is a further opinion on a login, such as limits shared by all processes.
type Guard interface {
	// AllowLogin says whether an address may try to log in now, and if not, when again.
	AllowLogin(ctx context.Context, address netip.Addr) (ok bool, retryAfter time.Duration)
}

// Deps are what the dashboard uses. Store and Commands are needed; without Redis there is no asynqmon, without Events
// no live queue. Guard, Log, Metrics and Random may be nil.
type Deps struct {
	Store            *store.DB
	Redis            asynq.RedisConnOpt
	Commands         *Commander
	Events           *eventlog.Log
	DocumentsTopic   string
	Partitions       int // of the log `queue` and of the documents; 0 means 1
	OrdersPartitions int // of the log `orders`; 0 means 1
	Guard            Guard
	Inviter          Inviter // nil: no invite codes
	Looks            Looks   // without its check no room's page can be given a look
	ShopURL          string  // before the links of invite codes
	Log              *slog.Logger
	Metrics          prometheus.Registerer
	Random           io.Reader        // nil means crypto/rand
	Clock            func() time.Time // nil means time.Now
}

// Admin is the dashboard. All methods are safe for concurrent use; Run is called once.
type Admin struct {
	cfg       Config
	deps      Deps
	publish   *Publisher
	hasher    *hasher
	attempts  *attempts
	documents *documents
	sales     *sales
	pages     *pages
	metrics   metrics
	handler   http.Handler
	queues    io.Closer // asynqmon's connections; nil without Redis
}

// New puts the dashboard together; it touches nothing yet. The error is a dependency or a setting that cannot work.
func New(cfg Config, deps Deps) (*Admin, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("admin.%w", err)
	}
	if deps.Store == nil || deps.Commands == nil {
		return nil, errors.New("admin: a store and a commander are needed")
	}
	if cfg.Session == 0 {
		cfg.Session = 12 * time.Hour
	}
	deps.Partitions, deps.OrdersPartitions = max(deps.Partitions, 1), max(deps.OrdersPartitions, 1)
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Random == nil {
		deps.Random = rand.Reader
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	a := &Admin{
		cfg: cfg, deps: deps, publish: &Publisher{Store: deps.Store, Commands: deps.Commands, Log: deps.Log},
		attempts: newAttempts(loginEntries), documents: newDocuments(deps.Partitions), sales: newSales(),
		metrics: newMetrics(deps.Metrics),
	}
	a.publish.Newest = a.documents.newest
	var err error
	if a.hasher, err = newHasher(deps.Random); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if a.pages, err = newPages(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if a.handler, err = a.routes(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return a, nil
}

// Handler serves the dashboard, the operators' API and the task queues' pages.
func (a *Admin) Handler() http.Handler { return a.handler }

// Run publishes rows to the logs, follows the queue documents and drops ended sessions until ctx ends, which is nil. What
// fails is tried again: a broken log must not take the dashboard away from those who look for the reason.
func (a *Admin) Run(ctx context.Context) error {
	if a.queues != nil {
		defer func() { _ = a.queues.Close() }() // connections to Redis: nothing is lost with them
	}
	var running sync.WaitGroup
	defer running.Wait()
	if a.deps.Events != nil {
		for p := range a.deps.Partitions {
			running.Go(func() {
				a.documents.follow(ctx, a.deps.Events, a.deps.DocumentsTopic, int32(p), func(err error) {
					a.deps.Log.Warn("reading queue documents failed", "partition", p, "error", err)
				})
			})
		}
	}
	running.Go(func() {
		run.Interval(ctx, expireEvery, expireEvery/10, func(ctx context.Context) {
			if err := a.deps.Store.DropAdminSessions(ctx, a.deps.Clock()); err != nil && ctx.Err() == nil {
				a.deps.Log.Warn("dropping ended sessions failed", "error", err)
			}
		})
	})
	run.Interval(ctx, sweepEvery, sweepEvery/3, func(ctx context.Context) {
		if err := a.publish.Sweep(ctx); err != nil && ctx.Err() == nil {
			a.deps.Log.Warn("publishing rows to the log failed", "error", err)
		}
	})
	return nil
}

// Ready says whether the database answers and the queue documents are being read.
func (a *Admin) Ready(ctx context.Context) error {
	if a.deps.Events != nil {
		if err := a.documents.ready(); err != nil {
			return err
		}
	}
	return a.deps.Store.Ready(ctx)
}
