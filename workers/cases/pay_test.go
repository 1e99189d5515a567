package cases

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/stripesim"
	"fairgate/internal/wire"
	"fairgate/workers/reconcile"
)

const (
	callCreate  = "POST /v1/payment_intents"
	callCapture = "POST /v1/payment_intents/{id}/capture"
	callCancel  = "POST /v1/payment_intents/{id}/cancel"
	callRefund  = "POST /v1/refunds"
)

func TestMoney_PaidInTimeIsCapturedAndTicketed(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_AuthorisedAfterTheLapseIsGrantedAgainWhileStockIsFree(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.wait(holdLength + time.Second)
	w.want(b, "lapsed")
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_AuthorisedAfterTheLapseIsVoidedWhenTheStockIsGone(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.wait(holdLength + time.Second)
	w.buy("bob", 10, "visa")
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "lapsed")
	w.settled(expect{captures: 1, voids: 1})
}

func TestMoney_AuthorisedAfterTheLapseComesAfterTheWaitlist(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 10)
	r := w.start(b)
	next := w.hold("bob", 10)
	w.want(next, "waitlisted")
	w.wait(holdLength + time.Second)
	w.want(next, "offered")
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "lapsed")
	w.card(w.start(next).Intent, "visa")
	w.settle()
	w.want(next, "confirmed")
	w.settled(expect{captures: 1, voids: 1})
}

func TestMoney_AuthorisedAfterTheLapseIsVoidedWhenTheFanHoldsSomethingNewer(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.wait(holdLength + time.Second)
	newer := w.hold("ann", 1)
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "lapsed")
	w.card(w.start(newer).Intent, "visa")
	w.settle()
	w.want(newer, "confirmed")
	w.settled(expect{captures: 1, voids: 1})
}

func TestMoney_AuthorisedAfterTheGraceIsVoided(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.wait(holdLength + graceLength + 4*time.Second)
	w.want(b, "closed")
	w.card(r.Intent, "visa") // before the workers could cancel it
	w.settle()
	w.want(b, "closed")
	w.settled(expect{voids: 1})
}

func TestMoney_ClosedCancelsAnIntentThatNobodyPaid(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.wait(holdLength + graceLength + 4*time.Second)
	w.settle()
	if got := w.card(r.Intent, "visa"); got == 200 {
		t.Error("a closed booking could still be paid")
	}
	w.settle()
	w.settled(expect{voids: 1})
}

func TestMoney_HoldLapsesDuringTheStripeCall(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.meanwhile(payment.PointMade, func() { w.wait(holdLength + time.Second) })
	r := w.start(b)
	w.want(b, "lapsed")
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_HoldClosesDuringTheStripeCall(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.meanwhile(payment.PointMade, func() {
		w.wait(holdLength + graceLength + 4*time.Second)
		w.settle()
	})
	if _, err := w.pay.Start(context.Background(), w.request(b)); !errors.Is(err, payment.ErrEnded) {
		t.Errorf("starting said %v", err)
	}
	w.settle()
	w.settled(expect{voids: 1})
}

func TestMoney_CrashBeforeTheCallMakesOneIntent(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.crash(payment.PointPlanned, 1)
	if _, err := w.pay.Start(context.Background(), w.request(b)); !errors.Is(err, payment.ErrStopped) {
		t.Fatal(err)
	}
	w.reborn()
	w.card(w.start(b).Intent, "visa")
	w.settle()
	w.settled(expect{captures: 1})
}

func TestMoney_CrashBeforeTheCallAndNobodyComesBack(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.crash(payment.PointPlanned, 1)
	_, _ = w.pay.Start(context.Background(), w.request(b))
	w.reborn()
	w.wait(holdLength + graceLength + 4*time.Second)
	w.settle()
	w.want(b, "closed")
	if _, a := w.attempt(b); payment.Live(payment.State(a.Status)) {
		t.Errorf("the attempt is still %s", a.Status)
	}
	w.settled(expect{voids: 1}) // asking under its key made the intent, to be sure; then it was cancelled
}

func TestMoney_CrashAfterTheCallAndBeforeTheCommitFindsTheSameIntent(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.crash(payment.PointMade, 1)
	if _, err := w.pay.Start(context.Background(), w.request(b)); !errors.Is(err, payment.ErrStopped) {
		t.Fatal(err)
	}
	w.reborn()
	r := w.start(b)
	if n := len(w.sim.PaymentIntents()); n != 1 {
		t.Errorf("%d intents", n)
	}
	w.card(r.Intent, "visa")
	w.settle()
	w.settled(expect{captures: 1})
}

func TestMoney_CrashAfterTheCallAndNobodyComesBack(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.crash(payment.PointMade, 1)
	_, _ = w.pay.Start(context.Background(), w.request(b))
	w.reborn()
	w.wait(holdLength + graceLength + 4*time.Second)
	w.settle()
	w.settled(expect{voids: 1})
}

func TestMoney_CrashBetweenTheLogAndTheRowConfirmsOnce(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.crash(payment.PointLogged, 1)
	w.drop()
	w.reborn()
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_CrashBetweenConfirmAndCapture(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.crash(payment.PointAsked, 1)
	w.drop()
	w.want(b, "confirmed")
	w.reborn()
	w.settle()
	w.settled(expect{captures: 1})
}

func TestMoney_CrashBetweenTheCaptureAndItsRow(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.crash(payment.PointDone, 1)
	w.drop()
	w.reborn()
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_CrashBetweenTheVoidAndItsRow(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.start(b)
	w.wait(holdLength + graceLength + 4*time.Second)
	w.crash(payment.PointDone, 1)
	w.drop()
	w.reborn()
	w.settle()
	w.settled(expect{voids: 1})
}

func TestMoney_CrashBetweenTheRefundAndItsRow(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	w.refund(b, true, 0, 1)
	w.crash(payment.PointDone, 1)
	w.drop()
	w.reborn()
	w.settle()
	w.want(b, "refunded")
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_WebhookLostIsFoundByReconciling(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.lose()
	w.settle()
	w.want(b, "held")
	w.reconcile()
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

// TestMoney_WebhookThatFailedForLongIsTriedAgainSoon: its pauses grow, but not beyond the longest that an obligation has.
func TestMoney_WebhookThatFailedForLongIsTriedAgainSoon(t *testing.T) {
	w := open(t, euros())
	w.sweepAfter = 50 * time.Millisecond
	w.restart()
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.faults.strike(stripesim.PointArrive, "", -1, stripesim.Fault{Status: 503})
	w.tell()
	for end := time.Now().Add(10 * time.Second); one[int](w, `SELECT max(attempts) FROM webhook_inbox`) < 12; time.Sleep(5 * time.Millisecond) {
		if w.workOff(); time.Now().After(end) {
			t.Fatalf("it is hardly tried: %s", w.open())
		}
	}
	w.faults.set(nil)
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_WebhookDoubled(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	for _, e := range w.news() {
		w.post(e)
		w.post(e)
	}
	w.settle()
	w.want(b, "confirmed")
	for _, e := range w.sim.Events() {
		w.post(e) // all of history once more
	}
	w.settle()
	w.settled(expect{captures: 1})
}

func TestMoney_WebhooksOutOfOrder(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.card(r.Intent, "chargeDeclined")
	w.card(r.Intent, "visa")
	news := w.news()
	w.lose()
	for i := len(news) - 1; i >= 0; i-- {
		w.post(news[i])
		w.workOff()
		w.run()
	}
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_WebhookBeforeTheResponse(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.meanwhile(payment.PointMade, func() {
		w.card(w.sim.PaymentIntents()[0].ID, "visa")
		w.settle()
	})
	r := w.start(b)
	w.want(b, "confirmed")
	if r.PayURL != "" {
		t.Error("the fan is asked to pay again")
	}
	w.settled(expect{captures: 1})
}

func TestMoney_WebhookAcknowledgedOnlyWhenDurable(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.tell() // every event was answered 200
	w.client.FlushAll(context.Background())
	w.stopRedis()
	w.restart() // nothing but Postgres remembers them
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_PaidInTimeTabClosedWebhookLost(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.lose()
	w.wait(holdLength + 10*time.Second)
	w.want(b, "lapsed")
	w.reconcile()
	w.settle()
	w.want(b, "confirmed") // stock is free, within the grace
	w.settled(expect{captures: 1})
}

func TestMoney_PaidInTimeWebhookLostUntilTheBookingClosed(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.card(w.start(b).Intent, "visa")
	w.lose()
	w.wait(holdLength + graceLength + 4*time.Second)
	w.settle()
	w.want(b, "closed")
	w.settled(expect{voids: 1}) // released, never refunded
}

// TestMoney_IntentMadeBehindA500IsCancelledByReconciling: the provider made it and answered with a failure, so the fan pays by
// another one. Nobody has the secret of the first, and nothing of ours would ever end it.
func TestMoney_IntentMadeBehindA500IsCancelledByReconciling(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	w.faults.strike(stripesim.PointExecute, callCreate, 1, stripesim.Fault{Status: 500, Done: true})
	if _, err := w.pay.Start(context.Background(), w.request(b)); !errors.Is(err, payment.ErrUnavailable) {
		t.Fatalf("starting said %v", err)
	}
	w.faults.set(nil)
	w.card(w.start(b).Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	if got := w.reconcile(); !slices.Equal(got, []string{reconcile.StrayIntent + " true"}) {
		t.Errorf("found %q", got)
	}
	w.settle()
	if got := w.reconcile(); len(got) > 0 {
		t.Errorf("found again: %q", got)
	}
	w.settled(expect{captures: 1, voids: 1})
}

// TestMoney_IntentOfAPayerWhoIsStillThereIsLeftAlone: an open intent whose attempt lives is no stray, however old.
func TestMoney_IntentOfAPayerWhoIsStillThereIsLeftAlone(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.card(r.Intent, "chargeDeclined")
	w.settle()
	if got := w.reconcile(); len(got) > 0 {
		t.Errorf("found %q", got)
	}
	w.settle()
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_AmountMismatchIsVoided(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.api("/v1/payment_intents/"+r.Intent, url.Values{"amount": {"100"}})
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "held")
	again := w.start(b)
	if again.Intent == r.Intent {
		t.Fatal("the refused intent is offered again")
	}
	w.card(again.Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1, voids: 1})
}

// foreign makes an intent at the provider that carries our metadata and that no row of ours knows.
func (w *world) foreign(booking, attempt sale.UUID, amount string) string {
	w.t.Helper()
	before := len(w.sim.PaymentIntents())
	w.api("/v1/payment_intents", url.Values{
		"amount": {amount}, "currency": {"eur"}, "capture_method": {"manual"}, "payment_method_types[]": {"card"},
		"payment_method": {"pm_card_visa"}, "confirm": {"true"}, "metadata[bookingId]": {booking.String()},
		"metadata[attemptId]": {attempt.String()}, "metadata[paymentId]": {attempt.String()}, "metadata[eventId]": {"41"},
	})
	all := w.sim.PaymentIntents()
	if len(all) != before+1 {
		w.t.Fatal("no intent was made")
	}
	return all[before].ID
}

func TestMoney_PaidWithoutARowAndWithoutABookingIsVoided(t *testing.T) {
	w := open(t, euros())
	id, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	w.foreign(id, id, "2640")
	w.wait(10 * time.Second) // until then the booking might still be on its way to Postgres
	w.settle()
	w.settled(expect{voids: 1})
}

func TestMoney_PaidWithoutARowBuysTheBookingThatItNames(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	id, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	w.foreign(b, id, "2640")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_SecondPaymentIntentAuthorisedIsVoided(t *testing.T) {
	w := open(t, euros())
	b, _ := w.buy("ann", 2, "visa")
	id, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	w.foreign(b, id, "2640")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1, voids: 1})
}

func TestMoney_SecondPaymentIntentAuthorisedWhileTheFirstIsOpen(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	id, err := w.pay.NewID()
	if err != nil {
		t.Fatal(err)
	}
	w.foreign(b, id, "2640")
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1, voids: 1})
}

func TestMoney_LateDuplicateOfARefusedAuthorisationAfterStockFrees(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	_, a := w.attempt(b)
	w.wait(holdLength + time.Second)
	bob, _ := w.buy("bob", 10, "visa")
	w.card(r.Intent, "visa")
	w.tell()
	w.workOff()
	w.run() // refused; its void has not run
	w.refund(bob, true, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	w.run()
	w.append(wire.Record{Object: show, Ref: wire.ID(b)}, &wire.Authorised{
		Attempt: wire.ID(a.ID), Amount: 2640, Currency: [3]byte{'E', 'U', 'R'}, Intent: []byte(r.Intent),
	})
	w.settle()
	w.want(b, "lapsed")
	w.settled(expect{captures: 1, voids: 1, refunds: 1})
}

func TestMoney_DeclinedThenSucceeds(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.card(r.Intent, "chargeDeclined")
	w.settle()
	if again := w.start(b); again.Intent != r.Intent {
		t.Error("a declined card made a second intent")
	}
	w.card(r.Intent, "visa")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_FiveFailedAttemptsCancelTheIntent(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	for range payment.MaxFailures {
		w.card(r.Intent, "chargeDeclined")
		w.settle()
	}
	if got := w.card(r.Intent, "visa"); got == 200 {
		t.Error("the sixth card was tried")
	}
	if _, err := w.pay.Start(context.Background(), w.request(b)); !errors.Is(err, payment.ErrEnded) {
		t.Errorf("starting said %v", err)
	}
	w.settle()
	w.settled(expect{voids: 1})
}

func TestMoney_SixthCardIsAuthorisedBeforeTheCancellation(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	for range payment.MaxFailures {
		w.card(r.Intent, "chargeDeclined")
	}
	w.meanwhile(payment.PointAsked, func() {
		w.card(r.Intent, "visa")
		w.tell()
	})
	w.settle()
	if got := w.status(b); got == "confirmed" {
		w.settled(expect{captures: 1})
	} else {
		w.settled(expect{voids: 1})
	}
}

func TestMoney_ThreeDSecureCrossingTheLapse(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.wait(holdLength - 4*time.Second)
	w.card(r.Intent, "threeDSecure2Required")
	w.settle()
	w.wait(20 * time.Second)
	w.want(b, "held") // the hold waits for the bank
	w.finish3DS(r, "complete")
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{captures: 1})
}

func TestMoney_ThreeDSecureAbandonedEndsByItself(t *testing.T) {
	w := open(t, euros())
	b := w.hold("ann", 2)
	r := w.start(b)
	w.card(r.Intent, "threeDSecure2Required")
	w.settle()
	w.wait(holdLength + graceLength + 12*time.Minute)
	w.want(b, "closed")
	w.settle()
	w.settled(expect{voids: 1})
}

func TestMoney_FreeBookingNeedsNoProvider(t *testing.T) {
	s := euros()
	s.price = sale.Price{}
	w := open(t, s)
	b := w.hold("ann", 2)
	if r := w.start(b); r.Intent != "" || r.PayURL != "" {
		t.Errorf("%+v", r)
	}
	w.settle()
	w.want(b, "confirmed")
	if n := len(w.sim.PaymentIntents()); n != 0 {
		t.Errorf("%d intents", n)
	}
	w.settled(expect{})
}

func TestMoney_FreeBookingCrashBeforeTheLog(t *testing.T) {
	s := euros()
	s.price = sale.Price{}
	w := open(t, s)
	b := w.hold("ann", 1)
	w.crash(payment.PointLogged, 1)
	_, _ = w.pay.Start(context.Background(), w.request(b))
	w.reborn()
	w.start(b)
	w.settle()
	w.want(b, "confirmed")
	w.settled(expect{})
}

func TestMoney_CurrencyWithNoMinorUnit(t *testing.T) {
	for _, c := range []string{"VND", "JPY"} {
		t.Run(c, func(t *testing.T) {
			w := open(t, shape{c, sale.Price{Ticket: 250_000, Fee: 12_500, TaxRate: 80_000}, 10})
			b, r := w.buy("ann", 3, "visa")
			if want := int64(850_500); r.Amount != want || w.sim.PaymentIntents()[0].Amount != want {
				t.Errorf("amount %d, at the provider %d, want %d", r.Amount, w.sim.PaymentIntents()[0].Amount, want)
			}
			w.refund(b, true, 1)
			w.settle()
			w.settled(expect{captures: 1, refunds: 1})
		})
	}
}

func TestMoney_CurrencyWithThreeDecimals(t *testing.T) {
	w := open(t, shape{"KWD", sale.Price{Ticket: 12_500, Fee: 250}, 10})
	b, r := w.buy("ann", 3, "visa")
	if r.Amount != 38_250 || w.sim.PaymentIntents()[0].Amount != 38_250 {
		t.Errorf("amount %d, at the provider %d", r.Amount, w.sim.PaymentIntents()[0].Amount)
	}
	w.refund(b, true, 0)
	w.settle()
	w.settled(expect{captures: 1, refunds: 1})
}

func TestMoney_CurrencyThatTheProviderCountsOtherwise(t *testing.T) {
	w := open(t, shape{"ISK", sale.Price{Ticket: 9_000, Fee: 500}, 10})
	b, r := w.buy("ann", 2, "visa")
	if r.Amount != 19_000 || w.sim.PaymentIntents()[0].Amount != 1_900_000 {
		t.Errorf("amount %d, at the provider %d", r.Amount, w.sim.PaymentIntents()[0].Amount)
	}
	w.want(b, "confirmed")
}

func TestMoney_StripeDownForTenMinutesAtThePeak(t *testing.T) {
	w := open(t, euros())
	paid := w.hold("ann", 2) // authorised just before
	w.card(w.start(paid).Intent, "visa")
	b := w.hold("bob", 2)
	w.faults.strike(stripesim.PointArrive, "", -1, stripesim.Fault{Status: 503})
	for range 18 { // bob's page asks again and again; the hold waits for the provider
		if _, err := w.pay.Start(context.Background(), w.request(b)); !errors.Is(err, payment.ErrUnavailable) {
			t.Fatal(err)
		}
		w.run()
		w.tell()
		w.workOff()
		w.wait(20 * time.Second)
	}
	w.want(b, "held")
	w.faults.set(nil)
	w.exec(`UPDATE outbox SET next_at = now() WHERE status = 'pending'`)
	w.card(w.start(b).Intent, "visa")
	w.reconcile()
	w.settle()
	w.want(b, "confirmed")
	w.want(paid, "confirmed")
	w.settled(expect{captures: 2})
}

// The provider has not released the first card yet, and the payer need not wait for it.
func TestMoney_ACardThatPaidOftenEnoughIsFollowedByAnotherAtOnce(t *testing.T) {
	for name, early := range map[string]bool{"the log's word comes after the row's": false, "the log's word comes first": true} {
		t.Run(name, func(t *testing.T) {
			w := open(t, euros())
			w.append(wire.Record{Object: show}, &wire.SetMethodLimit{PerMethod: 1})
			w.run()
			w.buy("ann", 1, "visa")
			b := w.hold("bob", 2)
			first := w.start(b)
			w.card(first.Intent, "visa")
			if early {
				w.meanwhile(payment.PointLogged, func() { w.run() })
			}
			if _, err := w.pay.Resolve(context.Background(), first.Intent); err != nil {
				t.Fatal(err)
			}
			w.run()
			second := w.start(b)
			if second.Intent == first.Intent {
				t.Fatal("it is the payment of the card that was turned away")
			}
			w.card(second.Intent, "mastercard")
			w.settle()
			w.want(b, "confirmed")
			w.settled(expect{captures: 2, voids: 1})
		})
	}
}
