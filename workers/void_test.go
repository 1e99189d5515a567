package workers_test

import (
	"testing"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/stripesim"
)

func TestVoid_ReleasesTheAuthorisationOfALostRace(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, a := s.authorised(t, 2000)
	s.Oblige(payment.KindVoid, "orders/0/6", payment.Task{Booking: r.Booking, Attempt: a, Intent: r.Intent, Amount: 2000})
	until(t, "the obligation is met", func() bool { return s.open(payment.KindVoid) == 0 })
	if got := s.total(); got.Authorised != 0 || got.Captured != 0 || got.Refunded != 0 {
		t.Errorf("%+v", got)
	}
	if _, status := s.Attempt(r.Payment); status != "voided" {
		t.Errorf("the attempt is %s", status)
	}
}

func TestVoid_OfABookingEndsWhatWasNeverAnswered(t *testing.T) {
	s := open(t, config())
	hold := s.Hold(2000)
	s.Faults.Once(stripesim.PointAnswer, "POST /v1/payment_intents", 1, stripesim.Fault{Drop: true})
	if _, err := s.Service.Start(t.Context(), hold); err == nil {
		t.Fatal("the answer arrived")
	}
	s.Faults.Set(nil)
	s.Oblige(payment.KindVoid, "orders/0/6", payment.Task{Booking: hold.Booking})
	s.run(t)
	until(t, "the obligation is met", func() bool { return s.open(payment.KindVoid) == 0 })
	all := s.Sim.PaymentIntents()
	if len(all) != 1 || all[0].Status != stripesim.StatusCanceled {
		t.Errorf("%+v", all)
	}
	if got := paytest.One[string](s.World, `SELECT status FROM payments`); got != "voided" {
		t.Errorf("the payment is %s", got)
	}
}

func TestVoid_TooLateBecomesARefund(t *testing.T) {
	s := open(t, config())
	r, a := s.authorised(t, 2000)
	if _, err := s.Service.Stripe().Capture(t.Context(), r.Intent, 2000, "dashboard"); err != nil {
		t.Fatal(err)
	}
	s.Oblige(payment.KindVoid, "orders/0/6", payment.Task{Booking: r.Booking, Attempt: a, Intent: r.Intent})
	s.run(t)
	until(t, "the money is back", func() bool { return s.total().Refunded == 2000 })
	until(t, "every obligation is met", func() bool { return s.open(payment.KindVoid)+s.open(payment.KindRefund) == 0 })
	if s.status(r) != "refunded" {
		t.Errorf("the payment is %s", s.status(r))
	}
	s.Balanced()
}

func TestVoid_OfLivePaidTicketsAlarmsInstead(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, a := s.captured(t, "5")
	s.Oblige(payment.KindVoid, "orders/0/6", payment.Task{Booking: r.Booking, Attempt: a, Intent: r.Intent})
	until(t, "the obligation is dead", func() bool {
		return paytest.One[string](s.World, `SELECT status FROM outbox WHERE kind = $1`, payment.KindVoid) == "dead"
	})
	if s.total().Refunded != 0 {
		t.Errorf("%+v", s.total())
	}
	s.Balanced()
}
