package cases

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/embedded/testpg"
	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/internal/wire"
)

func TestMoney_CaptureTwiceTakesTheMoneyOnce(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	p, a := w.attempt(b)
	err := w.db.Money(context.Background(), func(m *store.Money) error {
		_, err := m.Oblige(context.Background(), payment.KindCapture, "orders/0/9999", payment.Task{
			Event: p.Event, Booking: b, Attempt: a.ID, Intent: r.Intent, Amount: p.Amount, Currency: p.Currency,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.settled(expect{captures: 1})
}

func TestMoney_CaptureAnswerLost(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.faults.strike(stripesim.PointAnswer, callCapture, 2, stripesim.Fault{Drop: true})
	w.settle()
	w.settled(expect{captures: 1})
}

func TestMoney_CaptureAnsweredWithAStored500(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.faults.strike(stripesim.PointExecute, callCapture, 2, stripesim.Fault{Status: 500})
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

// expire lets the bank's authorisations end before they are captured.
func (w *world) expire() { w.late.Add(int64(8 * 24 * time.Hour)) }

// confirmOnly brings a booking to confirmed and not further.
func (w *world) confirmOnly(user string, tickets uint16) (sale.UUID, payment.Receipt) {
	w.t.Helper()
	b := w.hold(user, tickets)
	r := w.start(b)
	w.card(r.Intent, "visa")
	w.crash(payment.PointAsked, 1)
	w.drop()
	w.want(b, "confirmed")
	w.reborn()
	return b, r
}

func TestMoney_CaptureFailsForGoodThenPaidAgain(t *testing.T) {
	w := open(t, euros())
	b, r := w.confirmOnly("ann", 2)
	w.api("/v1/payment_intents/"+r.Intent+"/cancel", nil) // the bank took its word back
	w.settle()
	w.want(b, "frozen")
	again := w.start(b)
	w.card(again.Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1, voids: 1})
}

func TestMoney_CaptureFailsForGoodAndNobodyPaysAgain(t *testing.T) {
	w := open(t, euros())
	b, r := w.confirmOnly("ann", 2)
	w.api("/v1/payment_intents/"+r.Intent+"/cancel", nil)
	w.settle()
	w.wait(frozen + 2*time.Second)
	w.want(b, "revoked")
	w.settle()
	w.settled(expect{voids: 1})
	if free := one[int](w, `SELECT free FROM ticket_types`); free != 10 {
		t.Errorf("%d free", free)
	}
}

func TestMoney_AuthorisationExpired(t *testing.T) {
	w := open(t, euros())
	b, _ := w.confirmOnly("ann", 2)
	w.expire()
	w.settle()
	w.want(b, "frozen")
	w.card(w.start(b).Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1, voids: 1})
}

func TestMoney_LateCaptureFailedOfAnEarlierAttempt(t *testing.T) {
	w := open(t, euros())
	b, r := w.confirmOnly("ann", 2)
	_, first := w.attempt(b)
	w.api("/v1/payment_intents/"+r.Intent+"/cancel", nil)
	w.crash(payment.PointFrozen, 1) // the log knows, our rows do not
	w.drop()
	w.restart()
	w.exec(`UPDATE outbox SET next_at = now() + interval '1 hour' WHERE kind = 'payment:capture' AND status = 'pending'`)
	w.run()
	w.want(b, "frozen")
	w.card(w.start(b).Intent, "visa")
	for range 3 {
		w.tell()
		w.workOff()
		w.run()
	}
	w.want(b, "confirmed")
	w.append(wire.Record{Object: show, Ref: wire.ID(b)}, &wire.CaptureFailed{Attempt: wire.ID(first.ID)})
	w.exec(`UPDATE outbox SET next_at = now() WHERE status = 'pending'`)
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1, voids: 1})
}

func TestMoney_VoidAgainstCapture(t *testing.T) {
	w := open(t, euros())
	b, r := w.confirmOnly("ann", 2)
	// A void that should not be: the money is what live tickets were paid with, so it stays.
	w.exec(`INSERT INTO outbox (kind, cause, payload) VALUES ('payment:void', 'failures/' || $1, jsonb_build_object('bookingId', $2::uuid,
		'attemptId', (SELECT id FROM payment_attempts WHERE intent = $1), 'intent', $1::text, 'exhausted', true))`, r.Intent, b)
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_RefundBeforeCapture(t *testing.T) {
	w := open(t, euros())
	b, _ := w.confirmOnly("ann", 2)
	w.refund(b, true, 0, 1)
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_PartRefundBeforeACaptureThatFails(t *testing.T) {
	w := open(t, euros())
	b, r := w.confirmOnly("ann", 2)
	w.refund(b, true, 0)
	w.run()
	w.api("/v1/payment_intents/"+r.Intent+"/cancel", nil)
	for range 4 {
		w.tell()
		w.workOff()
		w.run()
	}
	w.want(b, "frozen")
	w.wait(frozen + 2*time.Second)
	w.settle()
	w.want(b, "revoked")
	w.settled(expect{voids: 1})
}

func TestMoney_TwoOperatorsRefundAtOnce(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	var both sync.WaitGroup
	for range 2 {
		id, err := w.pay.NewID()
		if err != nil {
			t.Fatal(err)
		}
		both.Go(func() {
			_ = w.pay.Refund(context.Background(), payment.RefundRequest{Refund: id, Booking: b, Tickets: []uint16{0, 1}, Return: true})
		})
	}
	both.Wait()
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_OneOfFourTicketsRefunded(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 4, "visa")
	w.refund(b, true, 2)
	w.settle()
	w.want(b, "confirmed")
	if got := strings.Join(w.statuses(b), " "); got != "refunded valid valid valid" {
		t.Errorf("tickets: %s", got)
	}
	if free := one[int](w, `SELECT free FROM ticket_types`); free != 7 {
		t.Errorf("%d free", free)
	}
	w.settled(expect{captures: 1, refunds: 1})
	w.refund(b, false, 0) // another one, whose stock does not return
	w.settle()
	if free := one[int](w, `SELECT free FROM ticket_types`); free != 7 {
		t.Errorf("%d free", free)
	}
	w.settled(expect{captures: 1, refunds: 2})
}

func TestMoney_TicketRefundedWithoutItsFee(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 4, "visa")
	id, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	err = w.pay.Refund(context.Background(), payment.RefundRequest{Refund: id, Booking: b, Tickets: []uint16{1, 3}, Return: true, KeepFees: true, By: payment.ByFan})
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	// A ticket is 10.00 and a fee of 1.00, with 20 % tax on both: 13.20, of which 1.20 stay.
	if got := w.sim.Refunds()[0].Amount; got != 2400 {
		t.Errorf("%d went back", got)
	}
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_RefundResponseLost(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	w.faults.strike(stripesim.PointAnswer, callRefund, 3, stripesim.Fault{Drop: true})
	w.refund(b, true, 0, 1)
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_RefundRetriedAfter24Hours(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	w.refund(b, true, 0, 1)
	w.crash(payment.PointDone, 1) // made there, unknown here
	w.drop()
	w.lose()                          // and nobody told us
	w.late.Add(int64(26 * time.Hour)) // the key is forgotten
	w.reborn()
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_RefundPendingThenSucceeds(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "pendingRefund")
	w.refund(b, true, 0, 1)
	w.settle()
	if got := one[string](w, `SELECT status FROM refunds`); got != "pending" {
		t.Errorf("the refund is %s", got)
	}
	w.laterAtStripe()
	w.settle()
	w.settled(expect{captures: 1, refunds: 1})
}

// laterAtStripe waits until the provider has told what became of its pending refunds.
func (w *world) laterAtStripe() {
	w.t.Helper()
	before := len(w.sim.Events())
	w.late.Add(int64(2 * time.Minute))
	for end := time.Now().Add(10 * time.Second); len(w.sim.Events()) == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatal("nothing happens at the provider")
		}
	}
}

func TestMoney_RefundPendingThenFailedStaysOwedAndCanBeTriedAgain(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "refundFail")
	id := w.refund(b, true, 0, 1)
	w.settle()
	w.laterAtStripe()
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1, owed: 2640})
	if n := one[int](w, `SELECT count(*) FROM notifications WHERE kind = 'refundFailed'`); n != 1 {
		t.Errorf("the fan was told %d times", n)
	}
	// Money in our hands again, and another try that goes well.
	_ = r
	if err := w.pay.RetryRefund(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.laterAtStripe() // this card fails every time
	w.settle()
	w.settled(expect{captures: 1, refunds: 2, owed: 2640})
}

func TestMoney_DashboardRefundOfEverythingEndsTheTickets(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	w.api("/v1/refunds", url.Values{"payment_intent": {r.Intent}})
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_DashboardRefundOfAPartKeepsTheTickets(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	w.api("/v1/refunds", url.Values{"payment_intent": {r.Intent}, "amount": {"500"}})
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1, refunds: 1})
	w.cancelEvent() // what is left goes back, not more
	w.settle()
	w.want(b, "revoked")
	w.settled(expect{captures: 1, refunds: 2})
}

func TestMoney_DashboardRefundWhoseWebhookIsLostIsFoundByReconciling(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	w.api("/v1/refunds", url.Values{"payment_intent": {r.Intent}})
	w.lose()
	w.settle()
	w.want(b, "confirmed")
	w.reconcile()
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_RefundOfOnePaymentNeverEndsATicketOfAnother(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	id, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	second := w.foreign(b, id, "2640")
	w.lose()
	w.api("/v1/payment_intents/"+second+"/capture", nil) // somebody at the dashboard
	w.api("/v1/refunds", url.Values{"payment_intent": {second}})
	w.settle()
	w.reconcile()
	w.settle()
	w.want(b, "confirmed")
	if got := strings.Join(w.statuses(b), " "); got != "valid valid" {
		t.Errorf("tickets: %s", got)
	}
	w.settled(expect{captures: 2, refunds: 1})
}

func TestMoney_EventCancelledWhilePeopleArePaying(t *testing.T) {
	w := open(t, euros())
	captured, _ := w.buy("ann", 2, "visa")
	confirmed, _ := w.confirmOnly("bob", 2)
	held := w.hold("cid", 2)
	open := w.start(held)
	authorised := w.hold("dan", 2)
	w.card(w.start(authorised).Intent, "visa")
	w.cancelEvent()
	w.run()
	w.card(open.Intent, "visa") // presses the button at that very moment
	w.settle()
	for _, b := range []sale.UUID{captured, confirmed} {
		w.want(b, "revoked")
	}
	for _, b := range []sale.UUID{held, authorised} {
		w.want(b, "cancelled")
	}
	w.settled(expect{captures: 2, refunds: 2, voids: 2})
}

func TestMoney_CancelledWhileThePaymentBegins(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	req := w.request(b)
	w.meanwhile(payment.PointPlanned, func() {
		w.append(wire.Record{Object: show, Ref: wire.ID(b)}, &wire.Cancel{UserKey: sale.UserKey("ann")})
		w.settle()
	})
	_, _ = w.pay.Start(context.Background(), req)
	w.settle()
	w.want(b, "cancelled")
	if _, a := w.attempt(b); payment.Live(payment.State(a.Status)) {
		t.Errorf("the attempt is still %s", a.Status)
	}
	w.settled(expect{voids: one[int](w, `SELECT count(*) FROM payment_attempts WHERE intent IS NOT NULL`)})
}

func TestMoney_PayAfterTheEndMakesNoIntent(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	req := w.request(b) // what booking knew a moment ago
	w.append(wire.Record{Object: show, Ref: wire.ID(b)}, &wire.Cancel{UserKey: sale.UserKey("ann")})
	w.run()
	if _, err := w.pay.Start(context.Background(), req); err == nil {
		t.Error("a cancelled booking can be paid")
	}
	w.settle()
	if n := len(w.sim.PaymentIntents()); n != 0 {
		t.Errorf("%d intents were made", n)
	}
	w.settled(expect{})
}

func TestMoney_DisputeFreezesAndAWonOneThaws(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	id := w.dispute(r.Intent)
	w.settle()
	w.want(b, "confirmed")
	if got := strings.Join(w.statuses(b), " "); got != "frozen frozen" {
		t.Errorf("tickets: %s", got)
	}
	w.books(expect{})
	if n := one[int](w, `SELECT count(*) FROM disputes WHERE status = 'open' AND due_by > now()`); n != 1 {
		t.Error("the deadline for evidence is not shown")
	}
	w.api("/v1/disputes/"+id, url.Values{"evidence[uncategorized_text]": {"winning_evidence"}})
	w.settle()
	if got := strings.Join(w.statuses(b), " "); got != "valid valid" {
		t.Errorf("tickets: %s", got)
	}
	w.settled(expect{captures: 1})
}

func (w *world) dispute(intent string) string {
	w.t.Helper()
	id, err := w.sim.OpenDispute(w.charge(intent), "fraudulent")
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func TestMoney_DisputeLostRevokesWithoutARefund(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	id := w.dispute(r.Intent)
	w.settle()
	w.api("/v1/disputes/"+id+"/close", nil)
	w.settle()
	w.want(b, "revoked")
	w.settled(expect{captures: 1})
}

func TestMoney_DisputeOnARefundedPayment(t *testing.T) {
	for _, end := range []string{"winning_evidence", "losing_evidence"} {
		t.Run(end, func(t *testing.T) {
			w := open(t, euros())
			b, r := w.buy("ann", 2, "visa")
			w.refund(b, true, 0, 1)
			w.settle()
			id := w.dispute(r.Intent)
			w.settle()
			w.books(expect{})
			w.api("/v1/disputes/"+id, url.Values{"evidence[uncategorized_text]": {end}})
			w.settle()
			w.want(b, "refunded")
			w.settled(expect{captures: 1, refunds: 1})
		})
	}
}

func TestMoney_RefundOrderedDuringADisputeWaitsForItsEnd(t *testing.T) {
	for end, refunds := range map[string]int{"winning_evidence": 1, "losing_evidence": 0} {
		t.Run(end, func(t *testing.T) {
			w := open(t, euros())
			b, r := w.buy("ann", 2, "visa")
			id := w.dispute(r.Intent)
			w.settle()
			w.refund(b, true, 0, 1)
			w.settle()
			w.books(expect{})
			w.api("/v1/disputes/"+id, url.Values{"evidence[uncategorized_text]": {end}})
			w.settle()
			w.want(b, "refunded")
			w.settled(expect{captures: 1, refunds: refunds})
		})
	}
}

func TestMoney_DisputeWhoseWebhooksAreLostIsFoundByReconciling(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	w.dispute(r.Intent)
	w.lose()
	w.reconcile()
	w.settle()
	if got := strings.Join(w.statuses(b), " "); got != "frozen frozen" {
		t.Errorf("tickets: %s", got)
	}
	w.books(expect{})
}

// TestMoney_RefundRefusedForADisputeThatNobodyToldUsOf: the provider's refusal is the first that we hear of the dispute. It is
// taken up at once, and what becomes of the refund is the bank's word.
func TestMoney_RefundRefusedForADisputeThatNobodyToldUsOf(t *testing.T) {
	for verdict, refunds := range map[string]int{"won": 1, "lost": 0} {
		t.Run(verdict, func(t *testing.T) {
			w := open(t, euros())
			b, r := w.buy("ann", 2, "visa")
			id := w.dispute(r.Intent)
			w.lose()
			w.refund(b, true, 0)
			w.settle()
			if got := strings.Join(w.statuses(b), " "); got != "frozen refunded" {
				t.Errorf("tickets: %s", got)
			}
			if left := w.open(); left != "" {
				t.Errorf("left to do: %s", left)
			}
			if n := one[int](w, `SELECT count(*) FROM notifications WHERE kind = 'disputeOpened' AND user_id = 'organiser/1'`); n != 1 {
				t.Errorf("the organiser was told %d times", n)
			}
			w.books(expect{})
			if err := w.sim.DecideDispute(id, verdict); err != nil {
				t.Fatal(err)
			}
			w.settle()
			w.settled(expect{captures: 1, refunds: refunds})
		})
	}
}

// TestMoney_RefundRefusedForADisputeThatWasLostUnheard: the bank has decided, too, before we heard of anything, and the
// obligation has failed for so long that it would be given up.
func TestMoney_RefundRefusedForADisputeThatWasLostUnheard(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	if err := w.sim.DecideDispute(w.dispute(r.Intent), "lost"); err != nil {
		t.Fatal(err)
	}
	w.lose()
	w.refund(b, true, 0)
	w.run()
	w.exec(`UPDATE outbox SET attempts = 100 WHERE kind = 'payment:refund'`)
	w.settle()
	w.want(b, "revoked")
	w.settled(expect{captures: 1})
}

// copyDB makes a copy of the database as it is, which failover brings back.
func (w *world) copyDB() string {
	w.t.Helper()
	w.project()
	copied := testpg.URL(w.t)
	from, to := nameOf(w.t, w.url), nameOf(w.t, copied)
	admin := strings.Replace(w.url, "/"+from, "/postgres", 1)
	conn, err := pgx.Connect(context.Background(), admin)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{
		"DROP DATABASE " + to,
		fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", from),
		fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", to, from),
	} {
		if _, err := conn.Exec(context.Background(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			w.t.Fatal(sql, err)
		}
	}
	w.openDB()
	w.restart()
	return copied
}

func nameOf(t *testing.T, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// failOver goes on with the copy: what was written since is gone from Postgres, and nowhere else.
func (w *world) failOver(copied string) {
	w.t.Helper()
	w.project()
	w.url = copied
	w.openDB()
	w.restart()
	w.run()
}

func TestMoney_PostgresFailsOverWithTheLastTenSecondsLost(t *testing.T) {
	w := open(t, euros())
	before, _ := w.buy("ann", 2, "visa")
	held := w.hold("cid", 1)
	copied := w.copyDB()
	// What follows is in the logs and at Stripe, and will be gone from Postgres.
	bought, _ := w.buy("bob", 2, "visa")
	opened := w.start(held)
	authorised := w.hold("dan", 1)
	w.card(w.start(authorised).Intent, "visa")
	w.tell()
	w.workOff() // in the log, not yet decided
	w.refund(before, true, 0, 1)
	w.settle()
	w.failOver(copied)
	w.card(opened.Intent, "visa") // cid's page did not notice
	w.reconcile()
	w.settle()
	w.reconcile()
	w.settle()
	w.want(before, "refunded")
	for _, b := range []sale.UUID{bought, held, authorised} {
		w.want(b, "confirmed")
	}
	w.settled(expect{captures: 4, refunds: 1})
}

func TestMoney_PostgresFailsOverAndTheFanPaysAgainMeanwhile(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	copied := w.copyDB()
	w.card(w.start(b).Intent, "visa")
	w.tell()
	w.workOff() // authorised in the log
	w.failOver(copied)
	// Postgres knows nothing of the payment; the log confirms it.
	w.want(b, "confirmed")
	w.settle()
	w.reconcile()
	w.settle()
	w.settled(expect{captures: 1})
}

func TestMoney_ReconcilingASettledSaleFindsNothing(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	w.refund(b, true, 0)
	w.buy("bob", 1, "visa")
	w.settle()
	if found := w.reconcile(); len(found) > 0 {
		t.Errorf("found %s", strings.Join(slices.Compact(found), ", "))
	}
	w.settle()
	w.settled(expect{captures: 2, refunds: 1})
}

func TestMoney_ReceiptsAndCreditNotesAreNumberedWithoutGaps(t *testing.T) {
	w := open(t, euros())
	w.faults.strike(stripesim.PointAnswer, callCapture, 2, stripesim.Fault{Drop: true})
	b, _ := w.buy("ann", 2, "visa")
	w.crash(payment.PointDone, 1) // dies before its commit: no number is lost
	other := w.hold("bob", 1)
	w.card(w.start(other).Intent, "visa")
	w.drop()
	w.reborn()
	w.buy("cid", 1, "visa")
	w.refund(b, true, 0)
	w.settle()
	docs, err := w.db.EventDocuments(t.Context(), show, 10)
	if err != nil || len(docs) != 4 {
		t.Fatal(len(docs), err)
	}
	notes, err := w.db.BookingDocuments(t.Context(), b)
	if err != nil || len(notes) != 2 || notes[0].Number != 1 || notes[1].Kind != store.CreditNote || notes[1].RefersTo != 1 {
		t.Fatalf("%+v %v", notes, err)
	}
	// Two tickets of 10.00 and fees of 1.00, 20 % tax on both: 26.40, of which 4.40 is tax; half of it went back.
	if r := notes[0]; r.Total != 2640 || r.Tax != 440 || r.Fees != 200 || len(r.Lines) != 1 || r.Lines[0].Quantity != 2 {
		t.Errorf("%+v", r)
	}
	if n := notes[1]; n.Total != 1320 || n.Tax != 220 || n.Fees != 100 {
		t.Errorf("%+v", n)
	}
	w.settled(expect{captures: 3, refunds: 1})
}

func TestMoney_CreditNoteOfARefundThatFailsAfterAllIsReversed(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundFails})
	refund := w.refund(b, true, 0, 1)
	w.settle()
	w.wait(2 * time.Minute) // the bank sends it back
	if err := w.sim.Tick(); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.papers(b, "receipt 1", "credit-note 1 of 1", "reversal 1 of 1")
	if err := w.pay.RetryRefund(t.Context(), refund); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.papers(b, "receipt 1", "credit-note 1 of 1", "reversal 1 of 1", "credit-note 2 of 1")
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 2})
}

// TestMoney_RefundThatFailsBeforeItsAnswerIsWrittenStaysOwed: a worker asks, and is slow; the webhooks tell first that the
// refund was made and that it failed after all. What the worker saw is older then.
func TestMoney_RefundThatFailsBeforeItsAnswerIsWrittenStaysOwed(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundFails})
	refund := w.refund(b, true, 0, 1)
	w.meanwhile(payment.PointDone, func() {
		w.tell()
		w.workOff()
		w.wait(2 * time.Minute)
		if err := w.sim.Tick(); err != nil {
			t.Error(err)
		}
		w.tell()
		w.workOff()
	})
	w.settle()
	if got := one[string](w, `SELECT status FROM refunds`); got != "failed" {
		t.Errorf("the refund is %s", got)
	}
	w.settled(expect{captures: 1, refunds: 1, owed: 2640})
	if err := w.pay.RetryRefund(t.Context(), refund); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.settled(expect{captures: 1, refunds: 2})
}

func TestMoney_RefundThatNobodyTakesIsStillOwed(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundRequiresAction})
	refund := w.refund(b, true, 0, 1)
	w.settle()
	for _, re := range w.sim.Refunds() {
		if err := w.sim.FinishRefund(re.ID, "canceled"); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	w.settled(expect{captures: 1, owed: 2640})
	if err := w.pay.RetryRefund(t.Context(), refund); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if found := w.reconcile(); len(found) > 0 {
		t.Errorf("found %s", strings.Join(found, ", "))
	}
	w.settle()
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_NumbersLostInAFailoverAreNotGivenOutAgain(t *testing.T) {
	w := open(t, euros())
	w.buy("ann", 1, "visa")
	copied := w.copyDB()
	lost, _ := w.buy("bob", 1, "visa") // receipt 2 is seen by bob, and will be gone
	w.papers(lost, "receipt 2")
	w.failOver(copied)
	w.exec(`CREATE OR REPLACE FUNCTION fg_timeline() RETURNS int LANGUAGE sql STABLE AS 'SELECT 2'`) // as the standby says
	w.reconcile()
	w.settle()
	after, _ := w.buy("cid", 1, "visa")
	w.papers(lost, "receipt 2-1")
	w.papers(after, "receipt 2-2")
	w.settled(expect{captures: 3})
}

func TestMoney_DashboardRefundThatFailsAtOnceLeavesTheTickets(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundFails})
	if _, err := w.sim.GiveBack(r.Intent, 2640); err != nil {
		t.Fatal(err)
	}
	w.wait(2 * time.Minute)
	if err := w.sim.Tick(); err != nil {
		t.Fatal(err)
	}
	w.settle() // both events come when it is over
	w.want(b, "confirmed")
	if got := strings.Join(w.statuses(b), " "); got != "valid valid" {
		t.Errorf("tickets: %s", got)
	}
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_DashboardRefundThatFailsAfterTheTicketsEndedIsOwed(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	w.faults.strike(stripesim.PointRefund, "", 1, stripesim.Fault{Refund: stripesim.RefundFails})
	if _, err := w.sim.GiveBack(r.Intent, 2640); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.want(b, "refunded")
	w.wait(2 * time.Minute)
	if err := w.sim.Tick(); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.papers(b, "receipt 1", "credit-note 1 of 1", "reversal 1 of 1")
	w.settled(expect{captures: 1, refunds: 1, owed: 2640})
}

func TestMoney_RefundWithoutFeesOfWhatWentBackAtTheDashboardIsNothing(t *testing.T) {
	w := open(t, euros())
	b, r := w.buy("ann", 2, "visa")
	id, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.sim.GiveBack(r.Intent, 2640); err != nil {
		t.Fatal(err)
	}
	// The organiser has not heard of it and refunds a ticket without its fee.
	if err := w.pay.Refund(t.Context(), payment.RefundRequest{Refund: id, Booking: b, Tickets: []uint16{0}, KeepFees: true}); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.tell()
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1})
}

// papers checks which documents a booking has.
func (w *world) papers(booking sale.UUID, want ...string) {
	w.t.Helper()
	found, err := w.db.BookingDocuments(context.Background(), booking)
	if err != nil {
		w.t.Fatal(err)
	}
	var got []string
	for _, d := range found {
		text := d.Kind + " " + d.Name()
		if of := d.RefersName(); of != "" {
			text += " of " + of
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("the booking has %q, want %q", got, want)
	}
}

func TestMoney_LedgerIsAppendOnly(t *testing.T) {
	w := open(t, euros())
	w.buy("ann", 2, "visa")
	for _, sql := range []string{`UPDATE ledger SET amount = amount + 1`, `DELETE FROM ledger`, `TRUNCATE ledger`, `DELETE FROM documents`} {
		if _, err := w.db.Write.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	w.settled(expect{captures: 1})
}

func TestMoney_WholeEventRefundedGoesOnAfterACrash(t *testing.T) {
	w := open(t, euros())
	var bookings []sale.UUID
	for _, fan := range []string{"ann", "bob", "cid"} {
		b, _ := w.buy(fan, 2, "visa")
		bookings = append(bookings, b)
	}
	w.refund(bookings[1], true, 0) // one ticket went back before
	w.settle()
	run, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.StartRefundRun(t.Context(), store.RefundRun{ID: run, Event: show, Return: true}); err != nil {
		t.Fatal(err)
	}
	if err := w.db.StartRefundRun(t.Context(), store.RefundRun{ID: bookings[0], Event: show}); err == nil {
		t.Error("two refunds of one event run at once")
	}
	w.crash(payment.PointDone, 1) // all is ordered, nothing noted
	w.drop()
	w.reborn()
	w.settle()
	for _, b := range bookings {
		w.want(b, "refunded")
	}
	runs, err := w.db.RefundRuns(t.Context(), show)
	if err != nil || len(runs) != 1 || runs[0].Total != 3 || runs[0].Ordered != 3 || runs[0].Succeeded != 3 || runs[0].Done.IsZero() {
		t.Errorf("%+v %v", runs, err)
	}
	w.settled(expect{captures: 3, refunds: 4})
}
