// Package processor runs what follows the log `orders`: the projector, which writes its outcomes to Postgres, and the
// bridge, which tells the waiting rooms what is left. It may read the outcomes topic, write Postgres through
// internal/store, and append to the log `queue`. Deciding is the stock machine's, in processor/stock.
package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

const (
	// defaultBatch is how many outcomes one transaction writes at most.
	defaultBatch = 1_000
	// maxBatch bounds the statements and the memory of one transaction.
	maxBatch = 10_000
	// Answers to commands are kept an hour longer than the engine remembers keyed commands.
	answersKept = 25 * time.Hour
	// pruneEvery is how much log time passes between two prunings; pruneLimit is how much one prunes.
	pruneEvery = time.Minute
	pruneLimit = 20_000
	// Pauses between tries while the database is away.
	backoffFirst = 50 * time.Millisecond
	backoffLast  = 2 * time.Second
	// projectorStill is how long a position stands still when no projector is at work: ticks come more often.
	projectorStill = 500 * time.Millisecond
	// bridgeStill is the same for the bridge, which stores its position every signalEvery.
	bridgeStill = 2 * time.Second
	// complainEvery bounds how often trouble that lasts is logged.
	complainEvery = 10 * time.Second
)

// ProjectorConfig shapes a projector; its zero value works.
type ProjectorConfig struct {
	Topic     string `yaml:"-"` // of outcomes; default wire.TopicOutcomes
	Partition int32  `yaml:"-"`
	Batch     int    `yaml:"batch" default:"1000" help:"most outcomes written to Postgres in one transaction"`
}

// Validate names the key that cannot work.
func (c ProjectorConfig) Validate() error {
	if c.Batch < 0 || c.Batch > maxBatch {
		return fmt.Errorf("batch: must be between 1 and %d, is %d", maxBatch, c.Batch)
	}
	return nil
}

// Deps are what projectors and bridges use. Log and Metrics may be nil, and Crowds where no room is held back.
type Deps struct {
	Store   *store.DB
	Events  *eventlog.Log
	Crowds  *Crowds // who is inside the rooms; of bridges
	Log     *slog.Logger
	Metrics *Metrics
}

// Metrics count what the followers of all partitions do. One value serves all of a process.
type Metrics struct {
	outcomes   *prometheus.CounterVec
	skipped    *prometheus.CounterVec
	trouble    *prometheus.CounterVec
	next       *prometheus.GaugeVec
	logTime    *prometheus.GaugeVec
	told       *prometheus.CounterVec
	violations *prometheus.CounterVec
	turned     prometheus.Counter
}

// NewMetrics registers fairgate_projection_{outcomes,skipped,retries}_total, _next_seq and _log_time_seconds, each by
// projection and partition, and fairgate_bridge_records_total by kind, fairgate_invariant_violations_total by
// invariant, fairgate_card_limit_refusals_total.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	labels := []string{"projection", "partition"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		outcomes: counter("fairgate_projection_outcomes_total", "Outcomes written.", labels...),
		skipped:  counter("fairgate_projection_skipped_total", "Outcomes about events that have no row.", labels...),
		trouble:  counter("fairgate_projection_retries_total", "Transactions that failed and were tried again.", labels...),
		next:     gauge("fairgate_projection_next_seq", "Sequence number of the next outcome wanted."),
		logTime:  gauge("fairgate_projection_log_time_seconds", "Log time of the newest tick written, in Unix time."),
		told:     counter("fairgate_bridge_records_total", "Records appended to the log queue.", "kind"),
		violations: counter("fairgate_invariant_violations_total",
			"Promises seen broken: stock (held + sold + free = capacity).", "invariant"),
		turned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairgate_card_limit_refusals_total",
			Help: "Authorisations refused because their card had paid for as many bookings of the event as one may.",
		}),
	}
	for _, c := range []prometheus.Collector{m.outcomes, m.skipped, m.trouble, m.next, m.logTime, m.told, m.violations, m.turned} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("processor metrics: %w", err)
		}
	}
	m.violations.WithLabelValues("stock") // zero from the start
	return m, nil
}

// Projector writes one partition's outcomes to Postgres: bookings, lines, tickets, answers, stock, payments' states,
// notices and obligations, in one transaction with its position. Two of them on one partition do no harm: whoever finds
// that the position moved reads it again.
type Projector struct {
	cfg ProjectorConfig
	follower
	does Projecting
}

// follower is what projector and bridge share.
type follower struct {
	name      string
	partition int32
	deps      Deps
	labels    []string
	silent    time.Time // until when trouble is not logged again
}

func newFollower(name string, partition int32, deps Deps) (follower, error) {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics == nil {
		m, err := NewMetrics(prometheus.NewRegistry())
		if err != nil {
			return follower{}, err
		}
		deps.Metrics = m
	}
	return follower{name: name, partition: partition, deps: deps, labels: []string{name, fmt.Sprint(partition)}}, nil
}

// maxKnown bounds what a projector remembers of events; beyond it it asks the database again.
const maxKnown = 100_000

// NewProjector prepares a projector of one partition.
func NewProjector(cfg ProjectorConfig, deps Deps) (*Projector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("projector: %w", err)
	}
	if cfg.Batch == 0 {
		cfg.Batch = defaultBatch
	}
	if cfg.Topic == "" {
		cfg.Topic = wire.TopicOutcomes
	}
	f, err := newFollower(store.ProjectionBookings, cfg.Partition, deps)
	if err != nil {
		return nil, err
	}
	return &Projector{cfg: cfg, follower: f}, nil
}

// Run projects until ctx ends (nil) or the outcomes cannot be trusted: a gap or a wrong hash (follow.ErrGap, ErrHash)
// stops it rather than let it guess. While Postgres is away it waits.
func (p *Projector) Run(ctx context.Context) error {
	for {
		err := p.retry(ctx, func() error {
			at, err := p.deps.Store.Projected(ctx, p.name, p.partition)
			p.does.Resume(at)
			return err
		})
		if err == nil {
			err = follow.Run(ctx, follow.Config{
				Topic: p.cfg.Topic, Partition: p.partition, From: p.does.From(), MaxBatch: p.cfg.Batch,
			}, follow.Deps{Events: p.deps.Events}, p.write)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrProjectionMoved):
			// The database was rolled back, or another projector is at work: go on from what it knows once nobody else does.
			if err := p.standBy(ctx, projectorStill); err != nil && ctx.Err() == nil {
				return fmt.Errorf("projecting orders/%d: %w", p.partition, err)
			}
		default:
			return fmt.Errorf("projecting orders/%d: %w", p.partition, err)
		}
	}
}

func positionOf(at store.Projected) follow.Position {
	return follow.Position{Offset: at.NextOffset, Seq: at.NextSeq, Hash: at.Hash}
}

// write makes one transaction of a batch. A crash before its commit leaves no trace; after it the position has moved,
// and the batch is not read again. A commit whose answer is lost is tried again, and found to have moved.
func (p *Projector) write(ctx context.Context, batch []wire.Outcome, next follow.Position) error {
	step, err := p.does.Plan(batch, next)
	if err != nil {
		return err
	}
	err = p.retry(ctx, func() error {
		return p.deps.Store.Project(ctx, p.name, p.partition, step.From, step.To, func(ctx context.Context, rows *store.Projection) error {
			return p.does.Write(ctx, step, rows)
		})
	})
	if err != nil {
		return err
	}
	p.does.Written(step)
	p.count(step)
	return nil
}

func (p *Projector) count(s *Step) {
	for _, id := range s.strange {
		p.deps.Log.Warn("outcomes of an event without a row are skipped", "event", id, "partition", p.partition)
	}
	m := p.deps.Metrics
	m.outcomes.WithLabelValues(p.labels...).Add(float64(len(s.batch) - s.skipped))
	m.skipped.WithLabelValues(p.labels...).Add(float64(s.skipped))
	m.next.WithLabelValues(p.labels...).Set(float64(s.To.NextSeq))
	m.logTime.WithLabelValues(p.labels...).Set(float64(s.To.LogTime) / 1e6)
	m.violations.WithLabelValues("stock").Add(float64(s.broken))
	m.turned.Add(float64(s.turned))
}

// retry calls f until it succeeds, fails for good, or ctx ends.
func (f *follower) retry(ctx context.Context, do func() error) error {
	for wait := backoffFirst; ; wait = min(2*wait, backoffLast) {
		err := do()
		if err == nil || !transient(err) || ctx.Err() != nil {
			return err
		}
		f.deps.Metrics.trouble.WithLabelValues(f.labels...).Inc()
		if now := time.Now(); now.After(f.silent) {
			f.silent = now.Add(complainEvery)
			f.deps.Log.WarnContext(ctx, "the projection waits and tries again",
				"projection", f.name, "partition", f.partition, "error", err)
		}
		pause(ctx, wait)
	}
}

// standBy waits until the position has stood still: while somebody else moves it, there is nothing to do but to take over
// from them one day.
func (f *follower) standBy(ctx context.Context, still time.Duration) error {
	f.deps.Log.InfoContext(ctx, "the projection's position moved, standing by", "projection", f.name, "partition", f.partition)
	var before uint64
	for first := true; ctx.Err() == nil; first = false {
		var at store.Projected
		err := f.retry(ctx, func() (err error) {
			at, err = f.deps.Store.Projected(ctx, f.name, f.partition)
			return err
		})
		if err != nil || !first && at.NextSeq == before {
			return err
		}
		before = at.NextSeq
		pause(ctx, still)
	}
	return nil
}

// transient errors go away by themselves: everything but a moved position and what Postgres says about our own
// statements and values (SQLSTATE classes 22, 23 and 42).
func transient(err error) bool {
	if errors.Is(err, store.ErrProjectionMoved) || errors.Is(err, errOutcome) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && len(pg.Code) == 5 {
		switch pg.Code[:2] {
		case "22", "23", "42":
			return false
		}
	}
	return true
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
