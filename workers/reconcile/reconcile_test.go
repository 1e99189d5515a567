package reconcile_test

import (
	"testing"

	"fairgate/internal/payment"
	"fairgate/workers/reconcile"
)

func TestCompare_SaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		intent  string
		attempt payment.State
		known   bool
		want    string
	}{
		{payment.IntentRequiresCapture, payment.Open, true, reconcile.MissedWebhook},
		{payment.IntentRequiresCapture, payment.Voided, true, reconcile.MissedWebhook},
		{payment.IntentRequiresCapture, payment.Authorised, true, ""}, // the log is deciding, or a void is due
		{payment.IntentRequiresCapture, payment.Confirmed, true, reconcile.ForgottenCapture},
		{payment.IntentSucceeded, payment.Confirmed, true, reconcile.ForgottenCapture},
		{payment.IntentSucceeded, payment.Failed, true, reconcile.MissedWebhook},
		{payment.IntentSucceeded, payment.Captured, true, ""},
		{payment.IntentCanceled, payment.Open, true, reconcile.MissedWebhook},
		{payment.IntentCanceled, payment.Voided, true, ""},
		{payment.IntentCanceled, payment.Captured, true, reconcile.AmountDiffers},
		{payment.IntentRequiresMethod, payment.Open, true, ""},
		{payment.IntentRequiresMethod, "", false, ""},
		{payment.IntentRequiresCapture, "", false, reconcile.StrayIntent},
		{payment.IntentSucceeded, "", false, reconcile.PaidWithoutRow},
	} {
		if got := reconcile.Compare(c.intent, c.attempt, c.known); got != c.want {
			t.Errorf("%s at the provider, %q with us: %q, want %q", c.intent, c.attempt, got, c.want)
		}
	}
}
