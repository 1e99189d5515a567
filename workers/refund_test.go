package workers_test

import (
	"fmt"
	"testing"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/stripesim"
)

// refund does what the projector does for TicketsRefunded of one of two tickets.
func (s *shop) refund(t *testing.T, r payment.Receipt, cause string) {
	t.Helper()
	id, err := s.Service.NewID()
	if err != nil {
		t.Fatal(err)
	}
	number := paytest.One[int](s.World, `SELECT min(number) FROM tickets WHERE booking_id = $1 AND status <> 'refunded'`, r.Booking)
	s.Exec(`UPDATE tickets SET status = 'refunded' WHERE booking_id = $1 AND number = $2`, r.Booking, number)
	s.Exec(`INSERT INTO refunds (id, payment_id, booking_id, amount, currency, tickets, status, cause) VALUES ($1, $2, $3, 1000, 'EUR', '{0}', 'due', $4)`,
		id, r.Payment, r.Booking, cause)
	s.Oblige(payment.KindRefund, cause, payment.Task{Event: paytest.Event, Booking: r.Booking, Refund: id, Amount: 1000, Currency: "EUR"})
}

func TestRefund_OfOneTicketThenOfTheOther(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, _ := s.captured(t, "5")
	for n, want := range []string{"partly_refunded", "refunded"} {
		s.refund(t, r, fmt.Sprintf("orders/0/%d", 10+n))
		s.Balanced()
		until(t, "the refund is made", func() bool { return s.status(r) == want })
		s.Balanced()
	}
	if s.total().Refunded != 2000 {
		t.Errorf("%+v", s.total())
	}
}

func TestRefund_LostAnswerAndStoredFailureGiveBackOnce(t *testing.T) {
	for what, fault := range map[string]struct {
		point stripesim.Point
		fault stripesim.Fault
	}{
		"lost answer":    {stripesim.PointAnswer, stripesim.Fault{Drop: true}},
		"stored failure": {stripesim.PointExecute, stripesim.Fault{Status: 500}},
	} {
		t.Run(what, func(t *testing.T) {
			s := open(t, config())
			s.run(t)
			r, _ := s.captured(t, "5")
			s.Faults.Once(fault.point, "POST /v1/refunds", 1, fault.fault)
			s.refund(t, r, "orders/0/10")
			until(t, "the refund is made", func() bool { return s.status(r) == "partly_refunded" })
			if s.total().Refunded != 1000 {
				t.Errorf("%+v", s.total())
			}
			s.Balanced()
		})
	}
}

func TestRefund_BeforeCaptureWaitsForIt(t *testing.T) {
	s := open(t, config())
	r, a := s.authorised(t, 2000)
	s.Confirm(r, a, "5")
	s.Exec(`UPDATE outbox SET next_at = now() + interval '500 ms' WHERE kind = $1`, payment.KindCapture)
	s.refund(t, r, "orders/0/10")
	s.Balanced()
	s.run(t)
	until(t, "capture, then refund", func() bool { return s.status(r) == "partly_refunded" })
	s.Balanced()
}

func TestRefund_OfARevokedBookingIsWhole(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, _ := s.captured(t, "5")
	s.stop()
	s.Exec(`UPDATE tickets SET status = 'revoked' WHERE booking_id = $1`, r.Booking)
	s.Exec(`UPDATE bookings SET status = 'revoked' WHERE id = $1`, r.Booking)
	s.Oblige(payment.KindRefund, "orders/0/10", map[string]any{"eventId": paytest.Event, "bookingId": r.Booking})
	s.Balanced()
	s.run(t)
	until(t, "the money is back", func() bool { return s.status(r) == "refunded" })
	s.Balanced()
}
