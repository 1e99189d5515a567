package cases

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/stripesim"
	"fairgate/workers/reconcile"
)

// Refunds that came undone, and news that never came.

// later lets the bank send refunds back that are to fail.
func (w *world) later() {
	w.t.Helper()
	w.wait(2 * time.Minute)
	if err := w.sim.Tick(); err != nil {
		w.t.Fatal(err)
	}
}

// retry presses the dashboard's button on the one refund that failed.
func (w *world) retry() {
	w.t.Helper()
	id := one[sale.UUID](w, `SELECT id FROM refunds WHERE status = 'failed'`)
	if err := w.pay.RetryRefund(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
}

// undone is a refund that the provider made and a bank sent back, of which nobody was told before both: a worker died with
// the answer, and the first news was lost.
func (w *world) undone() (booking sale.UUID) {
	w.t.Helper()
	b, _ := w.buy("ann", 2, "visa")
	w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundFails})
	w.refund(b, true, 0, 1)
	w.crash(payment.PointDone, 1)
	w.drop()
	w.lose()
	w.restart()
	w.later()
	w.exec(`UPDATE outbox SET next_at = now() + interval '1 hour' WHERE kind = 'payment:refund' AND status = 'pending'`)
	w.tell()
	w.workOff()
	return b
}

// TestMoney_RefundOfWhichOnlyTheFailureWasHeardIsOwed: asked again under its key the provider says that all went well, as it
// did then. That is no reason to forget the debt.
func TestMoney_RefundOfWhichOnlyTheFailureWasHeardIsOwed(t *testing.T) {
	w := open(t, euros())
	b := w.undone()
	w.exec(`UPDATE outbox SET next_at = now() WHERE status = 'pending'`)
	w.settle()
	w.want(b, "refunded")
	if n := one[int](w, `SELECT count(*) FROM notifications WHERE kind = 'refundFailed'`); n != 1 {
		t.Errorf("the fan was told %d times", n)
	}
	w.settled(expect{captures: 1, refunds: 1, owed: 2640})
	w.retry()
	w.settle()
	w.settled(expect{captures: 1, refunds: 2})
}

func TestMoney_RefundTriedAgainBeforeItsFirstTryWasAnsweredIsMadeOnce(t *testing.T) {
	w := open(t, euros())
	b := w.undone()
	w.retry() // the organiser is quicker than the worker
	w.settle()
	w.want(b, "refunded")
	for _, e := range w.sim.Events() {
		w.post(e) // all of history once more
	}
	w.settle()
	w.settled(expect{captures: 1, refunds: 2})
}

// TestMoney_RefundThatCountedOnOneAtTheDashboardIsOwedWhenThatFails: with all of the money promised back at the dashboard there
// was nothing left to give back for a ticket. Then that comes to nothing.
func TestMoney_RefundThatCountedOnOneAtTheDashboardIsOwedWhenThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		tickets []uint16
		owed    int64
		left    string
	}{"one of two tickets": {[]uint16{0}, 1320, "refunded valid"}, "all": {[]uint16{0, 1}, 2640, "refunded refunded"}} {
		t.Run(name, func(t *testing.T) {
			w := open(t, euros())
			b, r := w.buy("ann", 2, "visa")
			w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundRequiresAction})
			at, err := w.sim.GiveBack(r.Intent, 2640)
			if err != nil {
				t.Fatal(err)
			}
			w.settle()
			w.books(expect{owed: 2640})
			w.refund(b, true, c.tickets...)
			w.settle()
			w.books(expect{owed: 2640})
			if err := w.sim.FinishRefund(at, "canceled"); err != nil {
				t.Fatal(err)
			}
			w.settle()
			if got := strings.Join(w.statuses(b), " "); got != c.left {
				t.Errorf("tickets: %s", got)
			}
			w.settled(expect{captures: 1, owed: c.owed})
			w.retry()
			w.settle()
			w.settled(expect{captures: 1, refunds: 1})
		})
	}
}

func TestMoney_GoodwillThatFailsAfterTheEventWasCancelledIsOwed(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundFails})
	if _, err := w.sim.GiveBack(r.Intent, 500); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.cancelEvent() // what is left goes back
	w.settle()
	w.want(b, "revoked")
	w.later()
	w.settle()
	w.settled(expect{captures: 1, refunds: 2, owed: 500})
	w.retry()
	w.settle()
	w.settled(expect{captures: 1, refunds: 3})
}

func TestMoney_GoodwillBeyondWhatIsLeftOfATicketCountsForAnother(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	if _, err := w.sim.GiveBack(r.Intent, 1500); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.refund(b, true, 0) // of 13.20, for which 11.40 are left
	w.settle()
	w.settled(expect{captures: 1, refunds: 2})
}

func TestMoney_RefundOfASecondPaymentThatFailsIsOwed(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	id, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	second := w.foreign(b, id, "2640")
	w.lose()
	w.api("/v1/payment_intents/"+second+"/capture", nil) // somebody at the dashboard
	w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundFails})
	w.api("/v1/refunds", url.Values{"payment_intent": {second}})
	w.settle()
	w.reconcile()
	w.settle()
	w.later()
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 2, refunds: 1, owed: 2640})
}

func TestMoney_PendingRefundWhoseWebhooksAreLostIsFoundByReconciling(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "pendingRefund")
	w.refund(b, true, 0, 1)
	w.settle()
	w.laterAtStripe()
	w.lose()
	if got := w.reconcile(); !slices.Equal(got, []string{reconcile.MissedWebhook + " true"}) {
		t.Errorf("found %q", got)
	}
	w.settle()
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_LostDisputeWhoseWebhookIsLostIsFoundByReconciling(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	id := w.dispute(r.Intent)
	w.settle()
	if got := w.reconcile(); len(got) > 0 {
		t.Errorf("found %q", got)
	}
	w.api("/v1/disputes/"+id+"/close", nil)
	w.lose()
	if got := w.reconcile(); !slices.Equal(got, []string{reconcile.MissedWebhook + " true"}) {
		t.Errorf("found %q", got)
	}
	w.settle()
	w.want(b, "revoked")
	w.settled(expect{captures: 1})
}
