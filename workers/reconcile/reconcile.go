// Package reconcile compares what the payment provider says happened with what our rows and ledger say, both ways. It
// may list objects at the provider, read and write payments through internal/payment and internal/store, and add
// obligations; what it cannot repair safely it reports.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

const (
	// maxFindings bounds a report; Dropped counts the rest.
	maxFindings = 5_000
	// maxMovements bounds what a run holds in memory: some 200 bytes each, on either side.
	maxMovements = 2_000_000
	// maxWaiting bounds how many refunds and disputes that wait are looked at in a run; each costs a call.
	maxWaiting = 200
)

// Config is how often and how far back. Zero values stand for the defaults.
type Config struct {
	Every  time.Duration `yaml:"every" default:"5m" help:"how often to compare with the payment provider, all workers together; negative for never"`
	Window time.Duration `yaml:"window" default:"26h" help:"how far back to compare"`
	Settle time.Duration `yaml:"settle" default:"60s" help:"what is younger than this is left to settle by itself"`
}

// Validate refuses windows that are none.
func (c Config) Validate() error {
	if c.Window < 0 || c.Settle < 0 {
		return errors.New("window, settle: must not be negative")
	}
	return nil
}

// Deps is what a Reconciler uses. Now, Log and Metrics may be nil.
type Deps struct {
	Store    *store.DB
	Payments *payment.Service
	Log      *slog.Logger
	Now      func() time.Time
	Metrics  prometheus.Registerer
	// Adopt takes up a refund or dispute of the provider that the ledger does not know; adopted says that it does now. Nil
	// adopts nothing.
	Adopt func(ctx context.Context, object, fact string) (adopted bool, err error)
	// Look writes down what became of a refund or dispute at the provider. Nil looks at nothing.
	Look func(ctx context.Context, object string) error
}

// Reconciler compares.
type Reconciler struct {
	cfg      Config
	store    *store.DB
	payments *payment.Service
	log      *slog.Logger
	now      func() time.Time
	adopt    func(context.Context, string, string) (bool, error)
	look     func(context.Context, string) error
	findings *prometheus.CounterVec
	last     prometheus.Gauge
}

// Finding is one difference.
type Finding struct {
	Reason   string `json:"reason"`
	Object   string `json:"object"` // the provider's id, the ledger's fact, or the booking
	Repaired bool   `json:"repaired"`
}

// Report is what a run found.
type Report struct {
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Intents  int       `json:"intents"`
	Moves    int       `json:"moves"`
	Findings []Finding `json:"findings"`
	Dropped  int       `json:"dropped"` // findings above the limit
}

// Reasons of findings. A difference has one: the first that explains it.
const (
	MissedWebhook        = "missed-webhook"          // repaired
	ForgottenCapture     = "forgotten-capture"       // repaired
	StrayIntent          = "stray-intent"            // voided by obligation: it holds a fan's money, or could
	PaidWithoutRow       = "paid-without-row"        // reported: money was taken for nothing that we know
	CaptureNotPosted     = "capture-not-in-ledger"   // reported
	RefundNotPosted      = "refund-not-in-ledger"    // repaired if the money is of a payment of ours: made at the dashboard
	DisputeNotPosted     = "dispute-not-in-ledger"   // repaired likewise
	AmountDiffers        = "amount-differs"          // reported
	CurrencyDiffers      = "currency-differs"        // reported
	FeeDiffers           = "fee-differs"             // reported: what the provider kept is posted otherwise
	TakenTwice           = "taken-twice"             // reported: one booking, two captures, and more left than it costs
	CaptureNotAtProvider = "capture-not-at-provider" // reported
	NotAtProvider        = "ledger-not-at-provider"  // reported: a refund or dispute of the ledger
	UnknownMovement      = "unknown-movement"        // reported
)

// New registers fairgate_reconcile_findings_total{reason} and fairgate_reconcile_last_seconds.
func New(cfg Config, deps Deps) (*Reconciler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	if cfg.Window == 0 {
		cfg.Window = 26 * time.Hour
	}
	if cfg.Settle == 0 {
		cfg.Settle = time.Minute
	}
	r := &Reconciler{
		cfg: cfg, store: deps.Store, payments: deps.Payments, log: deps.Log, now: deps.Now, adopt: deps.Adopt, look: deps.Look,
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_reconcile_findings_total", Help: "Differences between provider and ledger.",
		}, []string{"reason"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fairgate_reconcile_last_seconds", Help: "Unix time of the last complete comparison.",
		}),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	if deps.Metrics != nil {
		for _, c := range []prometheus.Collector{r.findings, r.last} {
			if err := deps.Metrics.Register(c); err != nil {
				return nil, fmt.Errorf("reconcile: registering metrics: %w", err)
			}
		}
	}
	return r, nil
}

// Run compares once. Repairs are idempotent, so a run that failed half-way is simply run again. Both lists are fetched at
// the same time, because the provider limits how fast each may be read.
func (r *Reconciler) Run(ctx context.Context) (Report, error) {
	until := r.now().Add(-r.cfg.Settle).Truncate(time.Second)
	rep := Report{Since: until.Add(-r.cfg.Window), Until: until, Findings: []Finding{}}
	explained := map[string]bool{} // charges whose intent is a finding already, and bookings with a capture that is none
	var moves []payment.Movement
	both, fetch := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		moves, err = r.fetchMovements(fetch, rep)
		return err
	})
	both.Go(func() error { return r.intents(fetch, &rep, explained) })
	if err := both.Wait(); err != nil {
		return rep, err
	}
	rep.Moves = len(moves)
	if err := r.movements(ctx, &rep, moves, explained); err != nil {
		return rep, fmt.Errorf("comparing movements: %w", err)
	}
	if err := r.waiting(ctx, &rep); err != nil {
		return rep, fmt.Errorf("looking at what waits: %w", err)
	}
	twice, err := r.store.TakenTwice(ctx, rep.Since, rep.Until, maxFindings)
	if err != nil {
		return rep, err
	}
	for _, booking := range twice {
		if !explained[booking.String()] {
			r.note(&rep, TakenTwice, booking.String(), false)
		}
	}
	r.last.Set(float64(r.now().Unix()))
	return rep, r.store.SaveReconciliation(ctx, rep.kept())
}

// waiting looks at refunds that are under way and disputes that are open: how they end moves no money, so only an event
// tells, and that may be lost.
func (r *Reconciler) waiting(ctx context.Context, rep *Report) error {
	if r.look == nil {
		return nil
	}
	ids, err := r.store.Waiting(ctx, rep.Until, maxWaiting)
	if err != nil {
		return err
	}
	for _, id := range ids {
		err := r.look(ctx, id)
		if err != nil && payment.FaultOf(err) == payment.FaultDefinite {
			r.note(rep, NotAtProvider, id, false)
			continue
		}
		if err != nil {
			return err
		}
		waits, err := r.store.Waits(ctx, id)
		if err != nil {
			return err
		}
		if !waits {
			r.note(rep, MissedWebhook, id, true)
		}
	}
	return nil
}

// Open counts the differences that nobody repaired.
func (rep Report) Open() int {
	open := rep.Dropped
	for _, f := range rep.Findings {
		if !f.Repaired {
			open++
		}
	}
	return open
}

// kept is what is kept of a report.
func (rep Report) kept() store.Reconciliation {
	r := store.Reconciliation{Since: rep.Since, Until: rep.Until, Intents: rep.Intents, Moves: rep.Moves, Open: rep.Open()}
	r.Repaired = len(rep.Findings) + rep.Dropped - r.Open
	for _, f := range rep.Findings {
		if !f.Repaired {
			r.Findings = append(r.Findings, store.Difference{Reason: f.Reason, Object: f.Object})
		}
	}
	return r
}

func (r *Reconciler) note(rep *Report, reason, object string, repaired bool) {
	r.findings.WithLabelValues(reason).Inc()
	if len(rep.Findings) == maxFindings {
		rep.Dropped++
		return
	}
	rep.Findings = append(rep.Findings, Finding{reason, object, repaired})
}
