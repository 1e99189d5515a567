// Package stripesim is our stateful Stripe: it answers the paths that stripe-go v76 calls the way Stripe does, keeps
// what it answered, and delivers signed webhooks. It may touch the folder and the webhook endpoint it is given, and
// nothing else; it imports nothing of Fairgate, so that it cannot agree with our mistakes.
//
// State is a set of immutable object versions behind one mutex. A request runs as one transaction: it stages new
// versions and events, which become visible and one journal line together with the answer saved for its idempotency
// key. The answer leaves only when that line is on disk, so whatever a caller has seen survives a kill.
package stripesim

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// APIVersion is the Stripe API version whose shapes the simulator speaks, in answers and in events.
const APIVersion = "2023-10-16"

// Deps are what the simulator borrows. Every field may be left nil.
type Deps struct {
	Log     *slog.Logger          // default: discard
	Clock   func() time.Time      // default: time.Now
	Random  io.Reader             // source of ids and jitter; default: crypto/rand
	Metrics prometheus.Registerer // default: metrics are kept and shown to nobody
	Faults  Faults                // asked after the rules of Script; default: none
	Client  *http.Client          // carries webhooks; default: a client of its own with Config.WebhookTimeout
}

// Sim is one simulated Stripe account. Its methods may be called from any goroutine.
type Sim struct {
	cfg     Config
	log     *slog.Logger
	clock   func() time.Time
	faults  Faults
	script  *Script
	ahead   atomic.Int64 // nanoseconds that Advance has added to the clock
	client  *http.Client
	metrics *metrics
	journal *journal
	limits  *rateLimits
	routes  []route
	slots   chan struct{}
	wake    chan struct{}

	mu       sync.Mutex // guards everything below, and the order of journal lines
	random   *bufio.Reader
	state    *state
	inFlight map[string]bool
	endpoint endpoint
	closed   bool

	compaction sync.WaitGroup
	compacting bool // guarded by mu
}

// New opens the simulator and, when cfg.Dir is set, replays what an earlier one left there. The caller ends it with
// Close, and calls Run to have webhooks delivered.
func New(cfg Config, deps Deps) (*Sim, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("stripe simulator: %w", err)
	}
	s := &Sim{
		cfg: cfg, log: deps.Log, client: deps.Client,
		slots: make(chan struct{}, cfg.MaxConcurrent), wake: make(chan struct{}, 1),
		state: newState(cfg), inFlight: map[string]bool{},
		endpoint: endpoint{url: cfg.WebhookURL, secret: cfg.WebhookSecret},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	clock := deps.Clock
	if clock == nil {
		clock = time.Now
	}
	s.clock = func() time.Time { return clock().Add(time.Duration(s.ahead.Load())) }
	var err error
	if s.script, err = NewScript(cfg.Seed, cfg.Faults...); err != nil {
		return nil, fmt.Errorf("stripe simulator: %w", err)
	}
	s.faults = policies{s.script}
	if deps.Faults != nil {
		s.faults = policies{s.script, deps.Faults}
	}
	if s.client == nil {
		s.client = webhookClient(cfg)
	}
	random := deps.Random
	if random == nil {
		random = rand.Reader
	}
	s.random = bufio.NewReaderSize(random, 4096)
	s.limits = newRateLimits(cfg.Rate)
	s.routes = apiRoutes()
	if err := s.open(deps.Metrics); err != nil {
		return nil, err
	}
	return s, nil
}

// open registers metrics and restores the journal.
func (s *Sim) open(registerer prometheus.Registerer) error {
	var err error
	if s.metrics, err = newMetrics(registerer); err != nil {
		return fmt.Errorf("stripe simulator: %w", err)
	}
	if s.journal, err = openJournal(s.cfg.Dir, s.state.apply); err != nil {
		return fmt.Errorf("stripe simulator: %w", err)
	}
	s.state.restored()
	if s.endpoint.url != "" {
		s.state.hooked = true
	}
	return nil
}

// Close waits for a running compaction, writes what is pending and closes the journal. Requests that come after it are
// answered 500. It does not stop Run; cancel its context first.
func (s *Sim) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.compaction.Wait()
	if err := s.journal.close(); err != nil {
		return fmt.Errorf("stripe simulator: %w", err)
	}
	return nil
}

// Run delivers webhooks and lets time pass (authorisations expire, slow refunds settle) until ctx ends; then it waits
// for the deliveries under way, at most Config.WebhookTimeout, and returns nil. Undelivered events stay in the journal.
func (s *Sim) Run(ctx context.Context) error {
	jobs := make(chan *delivery)
	var workers sync.WaitGroup
	for range s.cfg.Workers {
		workers.Go(func() {
			for d := range jobs {
				s.deliver(ctx, d)
			}
		})
	}
	workers.Go(func() { s.sweep(ctx) })
	s.dispatch(ctx, jobs)
	close(jobs)
	workers.Wait()
	return nil
}

// commit makes a transaction visible and gives its line to the journal. It returns the position to wait for. The
// caller holds s.mu.
func (s *Sim) commit(t *tx) (int64, error) {
	if s.closed {
		return 0, errors.New("closed")
	}
	position, err := s.journal.append(t.line)
	if err != nil {
		return 0, err
	}
	if len(t.line.Events) > 0 {
		s.poke()
	}
	if s.journal.size() > s.cfg.CompactBytes && !s.compacting {
		s.compact()
	}
	return position, nil
}

// compact starts a new journal file and writes the present state beside it. The caller holds s.mu. Object versions are
// immutable, so the copy of their addresses taken here stays true while the goroutine writes them out. A crash before
// the snapshot is complete leaves the previous one and every journal since, which say the same.
func (s *Sim) compact() {
	generation, err := s.journal.rotate()
	if err != nil {
		s.log.Error("stripe simulator: journal not rotated", "error", err)
		return
	}
	s.compacting = true
	lines := s.state.lines()
	s.compaction.Go(func() {
		if err := s.journal.snapshot(generation, lines); err != nil {
			s.log.Error("stripe simulator: snapshot not written", "error", err)
		}
		s.mu.Lock()
		s.compacting = false
		s.mu.Unlock()
	})
}

// poke tells the dispatcher that something is due.
func (s *Sim) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
