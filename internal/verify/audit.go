package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

// Auditor verifies running logs for as long as it runs: everything they have, and then each record as soon as it has its
// outcomes. It reads brokers, and touches neither Postgres nor anything that the sale needs; when it dies it begins again
// from the first record.
type Auditor struct {
	cfg  Config
	deps Deps
	log  *slog.Logger

	records    *prometheus.CounterVec
	next       *prometheus.GaugeVec
	violations *prometheus.CounterVec

	mu     sync.Mutex
	behind map[string]int64 // by partition, the end that it had when the audit began; gone once that is reached
}

// lastInvariant is the highest number that ARCHITECTURE.md gives.
const lastInvariant = 8

// NewAuditor registers fairgate_audit_records_total and fairgate_audit_next_offset, both by topic and partition, and
// fairgate_audit_violations_total by invariant, which are 0 from the start.
func NewAuditor(cfg Config, deps Deps, log *slog.Logger, r prometheus.Registerer) (*Auditor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if cfg.FromSnapshot {
		return nil, errors.New("audit: it begins at the first record, not at a snapshot")
	}
	if deps.Source == nil {
		deps.Source = Brokers(deps.Events)
	}
	if !deps.Source.Grows() {
		return nil, errors.New("audit: a copy of the logs does not grow: verify it once")
	}
	a := &Auditor{
		cfg: cfg, deps: deps, log: log, behind: map[string]int64{},
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairgate_audit_records_total",
			Help: "Records whose outcomes were derived again and compared."}, []string{"topic", "partition"}),
		next: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fairgate_audit_next_offset",
			Help: "Offset of the next record to be checked."}, []string{"topic", "partition"}),
		violations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairgate_audit_violations_total",
			Help: "Promises found broken since the audit began, by their number in ARCHITECTURE.md."}, []string{"invariant"}),
	}
	for i := range lastInvariant {
		a.violations.WithLabelValues(strconv.Itoa(i + 1))
	}
	for _, c := range []prometheus.Collector{a.records, a.next, a.violations} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("audit: metrics: %w", err)
		}
	}
	for _, of := range a.logs() {
		a.behind[of.name()] = 1 // more than nothing, until its end is known
	}
	return a, nil
}

// audited is a partition with its outcomes, and the model of it.
type audited struct {
	logOf
	checker *model.Partition
}

func (a *Auditor) logs() (all []audited) {
	for p := range int32(a.cfg.OrdersPartitions) {
		all = append(all, audited{logOf{wire.TopicOrders, wire.TopicOutcomes, p, start{}, wire.NewOrderOutcome}, model.NewOrders(p, a.cfg.Limits)})
	}
	for p := range int32(a.cfg.QueuePartitions) {
		all = append(all, audited{logOf{wire.TopicQueue, wire.TopicQueueOutcomes, p, start{}, wire.NewQueueOutcome}, model.NewQueue(p)})
	}
	return all
}

// Ready says whether everything that the logs had when the audit began has been checked.
func (a *Auditor) Ready(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.behind) > 0 {
		return fmt.Errorf("%d partitions are still being checked from their first records", len(a.behind))
	}
	return nil
}

// Run audits until ctx ends, which is nil. Violations are logged and counted and end nothing; an error means that a log
// cannot be read, and says why.
func (a *Auditor) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for _, of := range a.logs() {
		all.Go(func() {
			if err := a.follow(ctx, of); err != nil && ctx.Err() == nil {
				stop(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// follow audits one partition.
func (a *Auditor) follow(ctx context.Context, of audited) error {
	v := &verifier{cfg: a.cfg, deps: a.deps, teller: newTeller(of.log), report: Report{Counts: map[string]int64{}}}
	v.found = a.tell
	pair, err := openPair(ctx, a.deps.Source, a.cfg.Prefix+of.log, a.cfg.Prefix+of.outcomes, of.p, of.from)
	if err != nil {
		return err
	}
	defer pair.close()
	pair.forever()
	a.reached(of.name(), 0, pair.records.end)
	topic, partition := a.cfg.Prefix+of.log, strconv.Itoa(int(of.p))
	records, next := a.records.WithLabelValues(topic, partition), a.next.WithLabelValues(topic, partition)
	for {
		step, err := pair.next(ctx)
		if err != nil {
			return err
		}
		v.take(of.logOf, step, of.checker, nil)
		records.Inc()
		next.Set(float64(of.checker.Next()))
		a.reached(of.name(), of.checker.Next(), pair.records.end)
	}
}

// reached notes how far a partition is.
func (a *Auditor) reached(name string, next, end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if next >= end {
		delete(a.behind, name)
	}
}

// tell counts and logs a violation; the first of a partition with its story.
func (a *Auditor) tell(v Violation, r *Report) {
	a.violations.WithLabelValues(strconv.Itoa(v.Invariant)).Inc()
	more := []any{slog.Int("invariant", v.Invariant), slog.String("where", v.Where), slog.String("explanation", v.Explain)}
	if r.Total == 1 {
		more = append(more, slog.Any("hurts", r.Hurts), slog.String("story", strings.Join(r.Story, "\n")))
	}
	if r.Total <= a.cfg.most() {
		a.log.Error("a promise is broken", more...)
	}
}
