// Package reconcile compares what the payment provider says happened with what our rows and ledger say, both ways. It
// may list objects at the provider, read and write payments through internal/payment and internal/store, and add
// obligations; what it cannot repair safely it reports.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/payment"
	"fairgate/internal/run"
	"fairgate/internal/store"
)

// maxFindings bounds a report; Dropped counts the rest.
const maxFindings = 1_000

// Config is how often and how far back. Zero values stand for the defaults.
type Config struct {
	Every  time.Duration `yaml:"every" default:"5m" help:"how often to compare with the payment provider; negative for never"`
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
}

// Reconciler compares.
type Reconciler struct {
	cfg      Config
	store    *store.DB
	payments *payment.Service
	log      *slog.Logger
	now      func() time.Time
	adopt    func(context.Context, string, string) (bool, error)
	findings *prometheus.CounterVec
	last     prometheus.Gauge
}

// Finding is one difference.
type Finding struct {
	Reason   string `json:"reason"`
	Object   string `json:"object"` // the provider's id, or the ledger's fact
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

// Reasons of findings.
const (
	MissedWebhook    = "missed-webhook"         // repaired
	ForgottenCapture = "forgotten-capture"      // repaired
	StrayIntent      = "stray-intent"           // voided by obligation if it is ours or holds money
	CaptureNotPosted = "capture-not-in-ledger"  // reported
	RefundNotPosted  = "refund-not-in-ledger"   // repaired if the money is of a payment of ours: made at the dashboard
	DisputeNotPosted = "dispute-not-in-ledger"  // repaired likewise
	AmountDiffers    = "amount-differs"         // reported
	NotAtProvider    = "ledger-not-at-provider" // reported
	UnknownMovement  = "unknown-movement"       // reported
)

// New registers fairgate_reconcile_findings_total{reason} and fairgate_reconcile_last_seconds.
func New(cfg Config, deps Deps) (*Reconciler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	if cfg.Every == 0 {
		cfg.Every = 5 * time.Minute
	}
	if cfg.Window == 0 {
		cfg.Window = 26 * time.Hour
	}
	if cfg.Settle == 0 {
		cfg.Settle = time.Minute
	}
	r := &Reconciler{
		cfg: cfg, store: deps.Store, payments: deps.Payments, log: deps.Log, now: deps.Now, adopt: deps.Adopt,
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

// Loop runs at intervals until ctx ends.
func (r *Reconciler) Loop(ctx context.Context) error {
	if r.cfg.Every < 0 {
		<-ctx.Done()
		return nil
	}
	run.Interval(ctx, r.cfg.Every, r.cfg.Every/4, func(ctx context.Context) {
		report, err := r.Run(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			r.log.WarnContext(ctx, "reconciliation failed", "error", err)
		case len(report.Findings) > 0:
			r.log.WarnContext(ctx, "reconciliation found differences", "count", len(report.Findings)+report.Dropped,
				"first", report.Findings[0].Reason, "object", report.Findings[0].Object)
		}
	})
	return nil
}

// Run compares once. Repairs are idempotent, so a run that failed half-way is simply run again.
func (r *Reconciler) Run(ctx context.Context) (Report, error) {
	until := r.now().Add(-r.cfg.Settle).Truncate(time.Second)
	rep := Report{Since: until.Add(-r.cfg.Window), Until: until, Findings: []Finding{}}
	err := r.payments.Stripe().EachIntent(ctx, rep.Since, rep.Until, func(i payment.Intent) error {
		rep.Intents++
		return r.intent(ctx, &rep, i)
	})
	if err != nil {
		return rep, fmt.Errorf("comparing intents: %w", err)
	}
	if err := r.movements(ctx, &rep); err != nil {
		return rep, fmt.Errorf("comparing movements: %w", err)
	}
	r.last.Set(float64(r.now().Unix()))
	return rep, nil
}

func (r *Reconciler) note(rep *Report, reason, object string, repaired bool) {
	r.findings.WithLabelValues(reason).Inc()
	if len(rep.Findings) == maxFindings {
		rep.Dropped++
		return
	}
	rep.Findings = append(rep.Findings, Finding{reason, object, repaired})
}

// intent compares one PaymentIntent with its attempt.
func (r *Reconciler) intent(ctx context.Context, rep *Report, i payment.Intent) error {
	a, p, ok, err := r.store.AttemptByIntent(ctx, i.ID)
	if err != nil {
		return err
	}
	switch found := Compare(i.Status, payment.State(a.Status), ok); found {
	case "":
		return nil
	case ForgottenCapture:
		return r.capture(ctx, rep, p, a)
	case StrayIntent, MissedWebhook:
		out, err := r.payments.ResolveIntent(ctx, i)
		if err != nil {
			return err
		}
		if found == StrayIntent && out.Known {
			found = MissedWebhook // the answer to its making was lost; its metadata named the attempt
		}
		r.note(rep, found, i.ID, true)
		return nil
	default:
		r.note(rep, found, i.ID, false)
		return nil
	}
}

// Compare says what is wrong between an intent's status at the provider and its attempt's with us; empty if nothing is.
// known says whether there is an attempt.
func Compare(intent string, attempt payment.State, known bool) string {
	if !known {
		if intent == payment.IntentCanceled || intent == payment.IntentRequiresMethod {
			return ""
		}
		return StrayIntent
	}
	switch intent {
	case payment.IntentRequiresCapture:
		switch attempt {
		case payment.Creating, payment.Open, payment.Voided, payment.Failed:
			return MissedWebhook
		case payment.Confirmed:
			return ForgottenCapture
		}
	case payment.IntentSucceeded:
		switch attempt {
		case payment.Creating, payment.Open, payment.Voided, payment.Failed:
			return MissedWebhook // the money of a booking that ended goes back through a void
		case payment.Confirmed:
			return ForgottenCapture
		}
	case payment.IntentCanceled:
		switch attempt {
		case payment.Creating, payment.Open:
			return MissedWebhook
		case payment.Captured:
			return AmountDiffers
		}
	}
	return ""
}

// capture makes the obligation again if it is missing. One that is pending is on its way, and a dead one has alarmed.
func (r *Reconciler) capture(ctx context.Context, rep *Report, p store.Payment, a store.Attempt) error {
	open, err := r.store.ObligationsOf(ctx, payment.KindCapture, "attemptId", a.ID.String())
	if err != nil || open > 0 {
		return err
	}
	err = r.store.Money(ctx, func(m *store.Money) error {
		_, err := m.Oblige(ctx, payment.KindCapture, "reconcile/"+a.Intent, payment.Task{
			Event: p.Event, Booking: p.Booking, Attempt: a.ID, Intent: a.Intent, Amount: p.Amount, Currency: p.Currency,
		})
		return err
	})
	if err == nil {
		r.note(rep, ForgottenCapture, a.Intent, true)
	}
	return err
}

// movements compares the provider's balance with the ledger, both ways. Postings may be younger than movements: the
// ledger is read up to now.
func (r *Reconciler) movements(ctx context.Context, rep *Report) error {
	const slack = time.Hour // the two clocks, and the time from a deed to its posting
	facts := map[string]store.ProviderFact{}
	for _, prefix := range []string{payment.FactCapture, payment.FactRefund, payment.FactRefundFailed, payment.FactDispute, payment.FactDisputeWon} {
		list, err := r.store.ProviderFacts(ctx, prefix, rep.Since.Add(-slack), r.now().Add(slack))
		if err != nil {
			return err
		}
		for _, f := range list {
			facts[f.Fact] = f
		}
	}
	seen := map[string]bool{}
	// The ledger's facts near the edges have their movements outside the window.
	err := r.payments.Stripe().EachMovement(ctx, rep.Since.Add(-2*slack), r.now().Add(slack), func(v payment.Movement) error {
		rep.Moves++
		return r.movement(ctx, rep, v, facts, seen)
	})
	if err != nil {
		return err
	}
	for fact, f := range facts {
		if !seen[fact] && f.At.Before(rep.Until) && f.At.After(rep.Since) {
			r.note(rep, NotAtProvider, fact, false)
		}
	}
	return nil
}

// movement compares one balance transaction with the ledger, and posts what the provider kept of it.
func (r *Reconciler) movement(ctx context.Context, rep *Report, v payment.Movement, facts map[string]store.ProviderFact, seen map[string]bool) error {
	prefix, missing := factOf(v)
	if prefix == "" {
		if v.Created.Before(rep.Until) && !strings.HasPrefix(v.Type, "payout") {
			r.note(rep, UnknownMovement, v.ID, false)
		}
		return nil
	}
	fact := prefix + v.Source
	f, ok := facts[fact]
	switch {
	case !ok && v.Created.Before(rep.Until) && v.Created.After(rep.Since):
		repaired := false
		if r.adopt != nil && missing != CaptureNotPosted {
			var err error
			if repaired, err = r.adopt(ctx, v.Source, fact); err != nil {
				return err
			}
		}
		r.note(rep, missing, v.Source, repaired)
		return nil
	case !ok:
		return nil
	}
	seen[fact] = true
	if f.Amount != v.Amount || f.Currency != v.Currency {
		r.note(rep, AmountDiffers, v.Source, false)
	}
	return r.cost(ctx, v, f)
}

// factOf names the fact that a movement must have in the ledger, and what is wrong if it has none.
func factOf(v payment.Movement) (prefix, missing string) {
	switch v.Type {
	case "charge", "payment":
		return payment.FactCapture, CaptureNotPosted
	case "refund", "payment_refund":
		return payment.FactRefund, RefundNotPosted
	case "refund_failure", "payment_failure_refund":
		return payment.FactRefundFailed, RefundNotPosted
	case "adjustment":
		if !strings.HasPrefix(v.Source, "dp_") && !strings.HasPrefix(v.Source, "du_") {
			return "", ""
		}
		if v.Amount < 0 {
			return payment.FactDispute, DisputeNotPosted
		}
		return payment.FactDisputeWon, DisputeNotPosted
	}
	return "", ""
}

// cost posts the provider's fee, which is known only from here.
func (r *Reconciler) cost(ctx context.Context, v payment.Movement, f store.ProviderFact) error {
	if v.Fee <= 0 {
		return nil
	}
	posting, err := payment.CostPosting(v.ID, v.Currency, v.Fee)
	if err != nil {
		return err
	}
	return r.store.Money(ctx, func(m *store.Money) error {
		p, ok, err := m.PaymentOf(ctx, f.Booking)
		if err != nil || !ok {
			return err
		}
		l := store.LedgerPosting{Fact: posting.Fact, Currency: posting.Currency, Merchant: p.Merchant, Event: p.Event, Booking: p.Booking}
		for _, e := range posting.Entries {
			l.Entries = append(l.Entries, store.LedgerEntry{Account: e.Account, Amount: e.Amount})
		}
		_, err = m.Post(ctx, l)
		return err
	})
}
