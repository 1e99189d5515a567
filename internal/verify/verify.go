// Package verify derives everything again from the logs and says what does not agree: `fairgate verify` and `fairgate
// replay`. It reads Kafka, and Postgres if it is given one, and writes neither.
//
// What the outcomes must be is said by internal/verify/model, which shares internal/wire with the machines and nothing
// else. What Postgres must hold is the fold of the outcomes (fold.go). Checked are the invariants 1 to 7 of
// ARCHITECTURE.md; of 8 what the logs show: a pass buys for one user.
package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"fairgate/internal/eventlog"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

// Config says what to verify. The zero value of every field but the partitions works; a log with no partitions is
// skipped.
type Config struct {
	OrdersPartitions int
	QueuePartitions  int
	Prefix           string       // before the names of the topics
	Limits           model.Limits // that the stock machine runs with
	MaxViolations    int          // kept in the report [100]
	// FromSnapshot begins each partition at the newest snapshot that counts and whose running hash is in the log, instead of
	// at its first record. What the machines decide cannot be predicted then; see model.Resume for what is checked. Needs DB.
	FromSnapshot bool
}

// most is how many violations are kept.
func (c Config) most() int {
	if c.MaxViolations <= 0 {
		return 100
	}
	return c.MaxViolations
}

// Validate names the field that cannot work.
func (c Config) Validate() error {
	if c.FromSnapshot && c.OrdersPartitions == 0 && c.QueuePartitions == 0 {
		return errors.New("fromSnapshot: expected partitions to verify")
	}
	for name, n := range map[string]int{"ordersPartitions": c.OrdersPartitions, "queuePartitions": c.QueuePartitions} {
		if n < 0 || n > eventlog.MaxPartitions {
			return fmt.Errorf("%s: must be between 0 and %d, is %d", name, eventlog.MaxPartitions, n)
		}
	}
	return nil
}

// Progress is how far a verification has come in one partition.
type Progress struct {
	Log       string // "orders" or "queue"
	Partition int32
	Offset    int64 // of the next record
	End       int64
}

// Provider is the other side of the money: what the payment provider says it holds for us. Optional.
type Provider interface {
	// Holds is the provider's balance for us, per currency (upper case), in minor units: what was taken less what was given
	// back, disputed and kept as its fees.
	Holds(ctx context.Context) (map[string]int64, error)
}

// Deps are what a verification reads. DB, Provider and Progress may be nil.
type Deps struct {
	Events   *eventlog.Log
	Source   Source        // instead of Events
	DB       *pgxpool.Pool // primary, or a replica
	Provider Provider
	Progress func(Progress)
}

// Run verifies everything up to the end of the logs as of now. On a live system outcomes lag behind records, and Postgres
// behind both: each is checked as far as it has come, and Counts says how far that is. An error means that something
// could not be read, not that it is wrong.
func Run(ctx context.Context, cfg Config, deps Deps) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	if deps.Source == nil {
		deps.Source = Brokers(deps.Events)
	}
	v := &verifier{cfg: cfg, deps: deps, report: Report{Counts: map[string]int64{}, Violations: []Violation{}}}
	// Postgres' view is fixed first: everything in it is then in the topics, whose ends are looked up later.
	var pg *view
	if deps.DB != nil && !cfg.FromSnapshot {
		var err error
		if pg, err = openView(ctx, deps.DB); err != nil {
			return v.report, err
		}
		defer pg.close()
	}
	for p := range int32(cfg.OrdersPartitions) {
		if err := v.orders(ctx, p, pg); err != nil {
			return v.report, err
		}
	}
	for p := range int32(cfg.QueuePartitions) {
		if err := v.queue(ctx, p); err != nil {
			return v.report, err
		}
	}
	if deps.DB != nil {
		if err := v.money(ctx); err != nil {
			return v.report, err
		}
	}
	return v.report, nil
}

// verifier is one run. It belongs to one goroutine.
type verifier struct {
	cfg    Config
	deps   Deps
	report Report
	recent []happened               // of the partition being read
	teller *teller                  // of its log
	found  func(Violation, *Report) // is told of each violation; may be nil
}

func (v *verifier) violate(invariant int, where, format string, args ...any) {
	v.report.Total++
	violation := Violation{invariant, where, fmt.Sprintf(format, args...)}
	if len(v.report.Violations) < v.cfg.most() {
		v.report.Violations = append(v.report.Violations, violation)
	}
	if v.found != nil {
		v.found(violation, &v.report)
	}
}

// queue verifies a partition of `queue`.
func (v *verifier) queue(ctx context.Context, p int32) error {
	if v.cfg.FromSnapshot {
		return v.resume(ctx, wire.TopicQueue, wire.TopicQueueOutcomes, p, wire.NewQueueOutcome)
	}
	return v.partition(ctx, logOf{wire.TopicQueue, wire.TopicQueueOutcomes, p, start{}, wire.NewQueueOutcome}, model.NewQueue(p), nil)
}

// orders verifies a partition of `orders` and its projection.
func (v *verifier) orders(ctx context.Context, p int32, pg *view) error {
	if v.cfg.FromSnapshot {
		return v.resume(ctx, wire.TopicOrders, wire.TopicOutcomes, p, wire.NewOrderOutcome)
	}
	whole := logOf{wire.TopicOrders, wire.TopicOutcomes, p, start{}, wire.NewOrderOutcome}
	checker := model.NewOrders(p, v.cfg.Limits)
	if pg == nil {
		return v.partition(ctx, whole, checker, nil)
	}
	at, err := pg.projected(ctx, p)
	if err != nil {
		return err
	}
	f := newFold(p, at.next)
	if f.heads, err = pg.chainHeads(ctx, p, v.violate); err != nil {
		return err
	}
	if err := v.partition(ctx, whole, checker, f.take); err != nil {
		return err
	}
	v.report.Counts["projection.behind"] += max(0, int64(checker.Seq())+1-int64(at.next))
	return v.projection(ctx, pg, f, at)
}

// logOf is a partition of a log with its outcomes, and where to begin.
type logOf struct {
	log, outcomes string
	p             int32
	from          start
	body          func(wire.Kind) wire.Body
}

// name is the log with its partition.
func (l logOf) name() string { return fmt.Sprintf("%s/%d", l.log, l.p) }

// partition reads records and outcomes in lockstep and has each record checked with all its outcomes.
func (v *verifier) partition(ctx context.Context, of logOf, checker *model.Partition, each func(o wire.Outcome, b wire.Body)) error {
	log, outcomes, p := of.log, of.outcomes, of.p
	v.recent, v.teller = nil, newTeller(log)
	pair, err := openPair(ctx, v.deps.Source, v.cfg.Prefix+log, v.cfg.Prefix+outcomes, p, of.from)
	if err != nil {
		return err
	}
	defer pair.close()
	for {
		step, err := pair.next(ctx)
		if err != nil {
			return err
		}
		v.take(of, step, checker, each)
		if step.done {
			v.report.Counts[log+".unanswered"] += pair.records.end - checker.Next()
			return nil
		}
		if v.deps.Progress != nil && step.record.Offset%progressEvery == 0 {
			v.deps.Progress(Progress{log, p, step.record.Offset + 1, pair.records.end})
		}
	}
}

// take checks one step: what was found about the topics, and the record with its outcomes, if there is one.
func (v *verifier) take(of logOf, step step, checker *model.Partition, each func(o wire.Outcome, b wire.Body)) {
	if !step.done {
		v.remember(step)
	}
	for _, f := range step.findings {
		v.tellFirst()
		v.violate(f.Invariant, fmt.Sprintf("%s/%d", of.outcomes, of.p), "%s", f.Explain)
	}
	if step.done {
		return
	}
	v.step(of.log, of.p, step, checker)
	for _, b := range step.outcomes {
		v.count(b, of.body, each)
	}
	v.report.Counts[of.log+".records"]++
}

// progressEvery is how many records lie between two calls of Progress.
const progressEvery = 5_000

// remember keeps what a story may need.
func (v *verifier) remember(step step) {
	v.teller.learnAll(step.outcomes)
	v.recent = append(v.recent, happened{step.record, step.outcomes})
	if len(v.recent) > maxRecent {
		v.recent = append([]happened(nil), v.recent[len(v.recent)-maxRecent/2:]...)
	}
}

// tellFirst keeps the story of the record at hand if nothing was violated before.
func (v *verifier) tellFirst() {
	if v.report.Total == 0 && len(v.recent) > 0 {
		v.report.Story = v.teller.tell(v.recent)
		v.report.Hurts = v.teller.hurts(v.recent[len(v.recent)-1])
	}
}

// step checks one record, and keeps the story of the first that is wrong.
func (v *verifier) step(log string, p int32, step step, checker *model.Partition) {
	diverged := checker.Diverged()
	for _, f := range checker.Check(step.record.Offset, step.record.Value, step.outcomes) {
		v.tellFirst()
		v.violate(f.Invariant, fmt.Sprintf("%s/%d offset %d", log, p, step.record.Offset), "%s", f.Explain)
	}
	if checker.Diverged() && !diverged {
		v.report.Counts[log+".diverged"]++
	}
}

// count tallies an outcome and passes it on.
func (v *verifier) count(b []byte, body func(wire.Kind) wire.Body, each func(wire.Outcome, wire.Body)) {
	o, err := wire.ParseOutcome(b)
	if err != nil {
		return
	}
	decoded := body(o.Kind)
	if decoded == nil || o.DecodeInto(decoded) != nil {
		return
	}
	v.report.Counts["outcomes."+kindName(decoded)]++
	if each != nil {
		each(o, decoded)
	}
}
