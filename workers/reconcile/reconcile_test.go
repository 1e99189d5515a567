package reconcile_test

import (
	"testing"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/workers/reconcile"
)

func TestCompare_SaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		intent  string
		attempt payment.State
		known   bool
		ours    bool
		want    string
	}{
		{payment.IntentRequiresCapture, payment.Open, true, true, reconcile.MissedWebhook},
		{payment.IntentRequiresCapture, payment.Voided, true, true, reconcile.MissedWebhook},
		{payment.IntentRequiresCapture, payment.Authorised, true, true, ""}, // the log is deciding, or a void is due
		{payment.IntentRequiresCapture, payment.Confirmed, true, true, reconcile.ForgottenCapture},
		{payment.IntentSucceeded, payment.Confirmed, true, true, reconcile.ForgottenCapture},
		{payment.IntentSucceeded, payment.Failed, true, true, reconcile.MissedWebhook},
		{payment.IntentSucceeded, payment.Captured, true, true, ""},
		{payment.IntentCanceled, payment.Open, true, true, reconcile.MissedWebhook},
		{payment.IntentCanceled, payment.Voided, true, true, ""},
		{payment.IntentCanceled, payment.Captured, true, true, reconcile.AmountDiffers},
		{payment.IntentRequiresMethod, payment.Open, true, true, ""},
		{payment.IntentRequiresMethod, payment.Failed, true, true, reconcile.StrayIntent}, // its making was answered by a failure
		{payment.IntentRequiresAction, payment.Voided, true, true, reconcile.StrayIntent},
		{payment.IntentRequiresMethod, "", false, true, reconcile.StrayIntent},
		{payment.IntentRequiresMethod, "", false, false, ""},
		{payment.IntentRequiresAction, "", false, false, ""},
		{payment.IntentRequiresCapture, "", false, false, reconcile.StrayIntent}, // it holds somebody's money
		{payment.IntentCanceled, "", false, true, ""},
		{payment.IntentRequiresCapture, "", false, true, reconcile.StrayIntent},
		{payment.IntentSucceeded, "", false, true, reconcile.PaidWithoutRow},
	} {
		i := payment.Intent{Status: c.intent}
		if c.ours {
			i.Attempt, i.Booking = sale.UUID{1}, sale.UUID{2}
		}
		if got := reconcile.Compare(i, c.attempt, c.known); got != c.want {
			t.Errorf("%s at the provider, ours %v, %q with us: %q, want %q", c.intent, c.ours, c.attempt, got, c.want)
		}
	}
}
