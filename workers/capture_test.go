package workers_test

import (
	"testing"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/sale"
	"fairgate/internal/stripesim"
	"fairgate/internal/wire"
)

// The provider does it and we never hear of it: once, twice, then we do.
func TestCapture_LostAnswersTakeTheMoneyOnce(t *testing.T) {
	s := open(t, config())
	r, a := s.authorised(t, 2000)
	s.Faults.Once(stripesim.PointAnswer, "POST /v1/payment_intents/{id}/capture", 2, stripesim.Fault{Drop: true})
	s.Confirm(r, a, "5")
	s.run(t)
	until(t, "the money is captured", func() bool { return s.status(r) == "captured" })
	if n := len(s.Sim.BalanceTransactions()); n != 1 {
		t.Errorf("%d movements at the provider", n)
	}
	if try := paytest.One[int](s.World, `SELECT try FROM outbox WHERE kind = $1`, payment.KindCapture); try != 1 {
		t.Errorf("another key was used: try %d", try)
	}
	s.Balanced()
}

func TestCapture_StoredFailureIsLookedAtAndTriedUnderAnotherKey(t *testing.T) {
	s := open(t, config())
	r, a := s.authorised(t, 2000)
	s.Faults.Once(stripesim.PointExecute, "POST /v1/payment_intents/{id}/capture", 1, stripesim.Fault{Status: 500})
	s.Confirm(r, a, "5")
	s.run(t)
	until(t, "the money is captured", func() bool { return s.status(r) == "captured" })
	if try := paytest.One[int](s.World, `SELECT try FROM outbox WHERE kind = $1`, payment.KindCapture); try != 2 {
		t.Errorf("try %d", try)
	}
}

func TestCapture_TwiceIsOnePosting(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, a := s.captured(t, "5")
	s.Oblige(payment.KindCapture, "orders/0/99", payment.Task{Booking: r.Booking, Attempt: a, Intent: r.Intent, Amount: 2000})
	until(t, "the second obligation is met", func() bool { return s.open(payment.KindCapture) == 0 })
	if n := paytest.One[int](s.World, `SELECT count(DISTINCT fact) FROM ledger`); n != 1 {
		t.Errorf("%d facts", n)
	}
	s.Balanced()
}

// TestMoney_TakenForNothingIsAMetric: invariant 4 is looked at all the time, not only by auditors.
func TestMoney_TakenForNothingIsAMetric(t *testing.T) {
	s := open(t, config())
	s.Exec(`INSERT INTO ledger (fact, entry, account, amount, currency, merchant_account_id, event_id, booking_id) VALUES
		('capture:ch_1', 0, 'provider', 100, 'EUR', 1, $1, $2), ('capture:ch_1', 1, 'sales', -100, 'EUR', 1, $1, $2)`, paytest.Event, sale.UUID{1})
	s.run(t)
	until(t, "the metric says so", func() bool { return s.metric(t, "fairgate_money_off", "money") == 1 })
	if got := s.metric(t, "fairgate_money_off", "ledger"); got != 0 {
		t.Errorf("%v facts do not sum to zero", got)
	}
}

func TestCapture_FailedForGoodIsToldToTheLog(t *testing.T) {
	s := open(t, config())
	r, a := s.authorised(t, 2000)
	if _, err := s.Service.Stripe().Cancel(t.Context(), r.Intent, "expired"); err != nil {
		t.Fatal(err)
	}
	s.Confirm(r, a, "5")
	s.run(t)
	until(t, "the log knows", func() bool { return s.Count(wire.KindCaptureFailed) >= 1 })
	until(t, "the obligation is closed", func() bool { return s.open(payment.KindCapture) == 0 })
	if _, status := s.Attempt(r.Payment); status != "failed" || s.status(r) != "started" {
		t.Errorf("attempt %s, payment %s", status, s.status(r))
	}
	if n := paytest.One[int](s.World, `SELECT count(*) FROM ledger`); n != 0 {
		t.Error("something was posted")
	}
	// The tickets are frozen; the fan may pay again.
	s.Exec(`UPDATE bookings SET status = 'frozen' WHERE id = $1`, r.Booking)
	req := payment.StartRequest{Booking: r.Booking, Event: paytest.Event, User: paytest.User, Amount: 2000, Currency: "EUR"}
	again, err := s.Service.Start(t.Context(), req)
	if err != nil || again.Intent == r.Intent || again.Payment != r.Payment {
		t.Errorf("%+v %v", again, err)
	}
}
