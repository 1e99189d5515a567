package payment_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/stripesim"
	"fairgate/internal/wire"
)

func start(t *testing.T, w *paytest.World, r payment.StartRequest) payment.Receipt {
	t.Helper()
	out, err := w.Service.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStart_AgainIsTheSamePayment(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	first := start(t, w, r)
	again := start(t, w, r)
	if !first.Fresh || again.Fresh {
		t.Errorf("fresh: %v, then %v", first.Fresh, again.Fresh)
	}
	again.Fresh = true
	if first != again || first.ClientSecret == "" || first.PayURL == "" {
		t.Error("the second call returned another payment")
	}
	if n := len(w.Sim.PaymentIntents()); n != 1 {
		t.Errorf("%d intents", n)
	}
	if w.Count(wire.KindPaymentStarted) != 1 {
		t.Error("the log was not told once that a payment started")
	}
}

func TestStart_ManyAtOnceMakeOneIntent(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.Service.Start(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(w.Sim.PaymentIntents()); n != 1 {
		t.Errorf("%d intents", n)
	}
}

func TestStart_RefusesAnotherAmountUserOrEvent(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	start(t, w, r)
	for _, c := range []struct {
		change func(*payment.StartRequest)
		want   error
	}{
		{func(r *payment.StartRequest) { r.Amount++ }, payment.ErrAmount},
		{func(r *payment.StartRequest) { r.Currency = "USD" }, payment.ErrAmount},
		{func(r *payment.StartRequest) { r.User = "fan-2" }, payment.ErrForeign},
	} {
		other := r
		c.change(&other)
		if _, err := w.Service.Start(t.Context(), other); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
	unknown := w.Hold(2000)
	unknown.Event = 999
	if _, err := w.Service.Start(t.Context(), unknown); !errors.Is(err, payment.ErrUnknownEvent) {
		t.Error(err)
	}
}

// The call that makes the intent succeeds, and we never hear of it: a crash, or a lost connection.
func TestStart_LostAnswerIsTakenUpUnderTheSameKey(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	w.Faults.Once(stripesim.PointAnswer, "POST /v1/payment_intents", 1, stripesim.Fault{Drop: true})
	if _, err := w.Service.Start(t.Context(), r); !errors.Is(err, payment.ErrUnavailable) {
		t.Fatal(err)
	}
	w.Faults.Set(nil)
	out, err := w.NewService().Start(t.Context(), r) // another process
	if err != nil {
		t.Fatal(err)
	}
	all := w.Sim.PaymentIntents()
	if len(all) != 1 || all[0].ID != out.Intent {
		t.Errorf("%d intents", len(all))
	}
}

func TestStart_StoredFailureIsFollowedByAnotherAttempt(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	w.Faults.Once(stripesim.PointExecute, "POST /v1/payment_intents", 1, stripesim.Fault{Status: 500})
	if _, err := w.Service.Start(t.Context(), r); !errors.Is(err, payment.ErrUnavailable) {
		t.Fatal(err)
	}
	out := start(t, w, r)
	if n := paytest.One[int](w, `SELECT count(*) FROM payment_attempts WHERE payment_id = $1`, out.Payment); n != 2 {
		t.Errorf("%d attempts", n)
	}
}

func TestStart_FreeBookingIsAuthorisedWithoutTheProvider(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(0)
	first := start(t, w, r)
	again := start(t, w, r)
	if first.Status != payment.Authorised || again.Status != payment.Authorised || first.Payment != again.Payment {
		t.Errorf("%+v then %+v", first, again)
	}
	var a wire.Authorised
	records := w.Records()
	if len(records) != 1 || records[0].DecodeInto(&a) != nil || a.Amount != 0 || len(a.Intent) != 0 || string(a.Currency[:]) != "EUR" {
		t.Errorf("%d records, %+v", len(records), a)
	}
	if len(w.Sim.PaymentIntents()) != 0 {
		t.Error("the provider was asked")
	}
}

func TestResolve_AuthorisationIsInTheLogOnce(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	out := start(t, w, r)
	w.Pay(out, "pay")
	for range 3 {
		if _, err := w.Service.Resolve(t.Context(), out.Intent); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.Count(wire.KindAuthorised); n != 1 {
		t.Fatalf("%d records", n)
	}
	for _, rec := range w.Records() {
		var a wire.Authorised
		if rec.Kind != wire.KindAuthorised {
			continue
		}
		id, status := w.Attempt(out.Payment)
		if err := rec.DecodeInto(&a); err != nil || a.Amount != 2000 || string(a.Intent) != out.Intent || a.Attempt != wire.ID(id) {
			t.Errorf("%+v %v", a, err)
		}
		if rec.Object != paytest.Event || rec.Ref != wire.ID(r.Booking) || rec.NotAfter != 0 || rec.Command != (wire.ID{}) {
			t.Errorf("%+v", rec)
		}
		if status != string(payment.Authorised) {
			t.Errorf("the attempt is %s", status)
		}
	}
}

// The event arrives before the answer to the call that made the intent.
func TestResolve_WebhookBeforeTheAnswerFindsItsAttempt(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	w.Faults.Once(stripesim.PointAnswer, "POST /v1/payment_intents", 1, stripesim.Fault{Drop: true})
	_, err := w.Service.Start(t.Context(), r)
	if !errors.Is(err, payment.ErrUnavailable) {
		t.Fatal(err)
	}
	w.Faults.Set(nil)
	intent := w.Sim.PaymentIntents()[0].ID
	got, err := w.Service.Resolve(t.Context(), intent)
	if err != nil || !got.Known || got.Booking != r.Booking {
		t.Fatalf("%+v %v", got, err)
	}
	if out := start(t, w, r); out.Intent != intent {
		t.Error("another intent was made")
	}
}

func TestResolve_DeclinedThenPaidIsOneAttempt(t *testing.T) {
	w := paytest.New(t)
	out := start(t, w, w.Hold(2000))
	w.Pay(out, "decline")
	if _, err := w.Service.Resolve(t.Context(), out.Intent); err != nil {
		t.Fatal(err)
	}
	if n := paytest.One[int](w, `SELECT failures FROM payment_attempts WHERE intent = $1`, out.Intent); n != 1 {
		t.Errorf("%d failures", n)
	}
	w.Pay(out, "pay")
	if _, err := w.Service.Resolve(t.Context(), out.Intent); err != nil {
		t.Fatal(err)
	}
	if _, status := w.Attempt(out.Payment); status != string(payment.Authorised) {
		t.Errorf("the attempt is %s", status)
	}
}

func TestResolve_FiveDeclinedCardsEndTheAttempt(t *testing.T) {
	w := paytest.New(t)
	out := start(t, w, w.Hold(2000))
	for n := range payment.MaxFailures {
		w.Exec(`INSERT INTO webhook_inbox (id, type, object_id) VALUES ($1, $2, $3)`, "evt_"+strconv.Itoa(n), payment.EventDeclined, out.Intent)
	}
	w.Pay(out, "decline")
	if _, err := w.Service.Resolve(t.Context(), out.Intent); err != nil {
		t.Fatal(err)
	}
	if n := paytest.One[int](w, `SELECT count(*) FROM outbox WHERE kind = $1 AND cause = $2`, payment.KindVoid, "failures/"+out.Intent); n != 1 {
		t.Error("the intent is not to be cancelled")
	}
}

func TestResolve_CancelledIntentMakesWayForAnother(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	out := start(t, w, r)
	if _, err := w.Service.Stripe().Cancel(t.Context(), out.Intent, "by-hand"); err != nil {
		t.Fatal(err)
	}
	again := start(t, w, r)
	if again.Intent == out.Intent || again.Payment != out.Payment || again.PayURL == "" {
		t.Errorf("%+v", again)
	}
}

func TestResolve_StrayAuthorisationIsVoidedByObligation(t *testing.T) {
	w := paytest.New(t)
	out := start(t, w, w.Hold(2000))
	w.Pay(out, "pay")
	w.Exec(`DELETE FROM payment_attempts`)
	w.Exec(`DELETE FROM payments`)
	w.Exec(`DELETE FROM booking_lines`)
	w.Exec(`DELETE FROM bookings`) // a booking that there is would have its payment restored
	got, err := w.Service.Resolve(t.Context(), out.Intent)
	if err != nil || got.Known {
		t.Fatalf("%+v %v", got, err)
	}
	if n := paytest.One[int](w, `SELECT count(*) FROM outbox WHERE kind = $1 AND payload ->> 'intent' = $2`, payment.KindVoid, out.Intent); n != 1 {
		t.Error("it is not to be voided")
	}
	if w.Count(wire.KindAuthorised) != 0 {
		t.Error("the log was told of a payment that we do not know")
	}
}

func TestStart_EndedPaymentCannotBePaid(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	out := start(t, w, r)
	w.Exec(`UPDATE payment_attempts SET status = 'voided'`)
	w.Exec(`UPDATE payments SET status = 'voided' WHERE id = $1`, out.Payment)
	if _, err := w.Service.Start(t.Context(), r); !errors.Is(err, payment.ErrEnded) {
		t.Error(err)
	}
}

func TestRefund_CommandNamesTicketsAndIsInTheLog(t *testing.T) {
	w := paytest.New(t)
	r := w.Hold(2000)
	start(t, w, r)
	id, err := w.Service.NewID()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Service.Refund(t.Context(), payment.RefundRequest{Refund: id, Booking: r.Booking, Tickets: []uint16{1}, Return: true}); err != nil {
		t.Fatal(err)
	}
	var f wire.Refunded
	for _, rec := range w.Records() {
		if rec.Kind == wire.KindRefunded {
			if err := rec.DecodeInto(&f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if f.Refund != wire.ID(id) || !f.Return || len(f.Tickets) != 1 || f.Tickets[0] != 1 {
		t.Errorf("%+v", f)
	}
	unknown := w.Hold(2000)
	if err := w.Service.Refund(t.Context(), payment.RefundRequest{Refund: id, Booking: unknown.Booking}); !errors.Is(err, payment.ErrUnknownPayment) {
		t.Error(err)
	}
}

// The log refuses the authorisation, and its void is through, before the row says that the log was told.
func TestResolve_AnAttemptThatEndedMeanwhileLeavesThePaymentToTheNext(t *testing.T) {
	w := paytest.New(t)
	s, err := payment.NewService(payment.Config{}, payment.Deps{
		Store: w.DB, Stripe: w.Service.Stripe(), Orders: w.Log.Producer(w.Topic), RoomTime: func() (int64, int64) { return 1, 0 },
		At: func(p payment.Point) error {
			if p == payment.PointLogged {
				w.Exec(`UPDATE payment_attempts SET status = 'voided'`)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	hold := w.Hold(2000)
	first := start(t, w, hold)
	w.Pay(first, "pay")
	if _, err := s.Resolve(t.Context(), first.Intent); err != nil {
		t.Fatal(err)
	}
	if got := paytest.One[string](w, `SELECT status FROM payments`); got != "started" {
		t.Errorf("the payment is %s", got)
	}
	if again := start(t, w, hold); again.Intent == first.Intent || again.PayURL == "" {
		t.Error("another card cannot pay")
	}
}
