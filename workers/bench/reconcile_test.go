package bench_test

import (
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/workers/reconcile"
)

// BenchmarkReconcile compares 100,000 payments, 1,000 of them wrong in ten ways, and posts the provider's fees of all. It
// makes no more calls a second than Stripe allows (payment.BudgetConfig's defaults), which is most of the time it takes.
// Each difference must be found once and for its own reason, and nothing else.
func BenchmarkReconcile(b *testing.B) {
	y := newYear(b, "")
	y.fill(b, 100_000, 1000)
	for b.Loop() {
		start := time.Now()
		rep := y.reconcile(b, payment.BudgetConfig{})
		took := time.Since(start)
		b.StopTimer()
		found, wrong := y.judge(b, rep)
		b.ReportMetric(took.Seconds(), "bench:reconcile.100k:s")
		b.ReportMetric(float64(found), "bench:reconcile.found:1")
		b.ReportMetric(float64(wrong), "bench:reconcile.false:1")
		b.Logf("%d intents, %d movements, %d of %d differences found, %d false", rep.Intents, rep.Moves, found, len(y.want), wrong)
		if found != len(y.want) || wrong != 0 {
			b.Fail()
		}
		y.unrepair(b)
		b.StartTimer()
	}
}

func TestReconcile_FindsEachDifferenceOnceAndNothingElse(t *testing.T) {
	y := newYear(t, "")
	y.fill(t, 300, 60)
	quick := payment.BudgetConfig{PerSecond: 10_000, EndpointPerSecond: 10_000}
	if found, wrong := y.judge(t, y.reconcile(t, quick)); found != len(y.want) || wrong != 0 {
		t.Errorf("%d of %d differences found, %d false", found, len(y.want), wrong)
	}
	// What was repaired is settled, what was reported stays, and the fees are posted once.
	rep := y.reconcile(t, quick)
	for _, f := range rep.Findings {
		if f.Reason == reconcile.MissedWebhook || f.Reason == reconcile.ForgottenCapture {
			t.Errorf("found again: %+v", f)
		}
	}
	if len(rep.Findings) != len(y.want)*(kinds-2)/kinds {
		t.Errorf("%d findings in the second run", len(rep.Findings))
	}
	if facts, err := y.db.UnbalancedFacts(t.Context(), 10); err != nil || len(facts) > 0 {
		t.Errorf("%v %v", facts, err)
	}
}

func TestReconcile_AConvertedBalanceIsNoDifference(t *testing.T) {
	y := newYear(t, "usd")
	y.fill(t, 50, 0)
	rep := y.reconcile(t, payment.BudgetConfig{PerSecond: 10_000, EndpointPerSecond: 10_000})
	if rep.Moves != 50 || len(rep.Findings) != 0 {
		t.Errorf("%d movements, %+v", rep.Moves, rep.Findings)
	}
}
