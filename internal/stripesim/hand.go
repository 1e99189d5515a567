package stripesim

import (
	"errors"
	"fmt"
	"time"
)

// Script is the simulator's own policy: named faults that tests and the control API put in and take out.
func (s *Sim) Script() *Script { return s.script }

// Advance moves the simulator's clock forward and does what has come due by then. It cannot be moved back.
func (s *Sim) Advance(d time.Duration) error {
	if d < 0 {
		return errors.New("advance: time does not run backwards")
	}
	s.ahead.Add(int64(d))
	s.poke()
	return s.Tick()
}

// Pay confirms an open intent with a test card (visa, chargeDeclined, authenticationRequired, …), as a shopper on the
// page does. A decline is no error: look at the intent.
func (s *Sim) Pay(intent, card string) error {
	return s.shop(intent, func(t *tx, pi *Intent) error {
		if pi.Status != StatusRequiresPaymentMethod && pi.Status != StatusRequiresConfirmation {
			return fmt.Errorf("pay: intent %s is %s", intent, pi.Status)
		}
		if pi.PaymentMethod = t.mintMethod(card); pi.PaymentMethod == "" {
			return fmt.Errorf("pay: no test card is called %.100q", card)
		}
		_, err := t.confirm(pi, confirmation{})
		return err
	})
}

// Secure is the shopper's answer to the bank of an intent that waits for one.
func (s *Sim) Secure(intent string, complete bool) error {
	return s.shop(intent, func(t *tx, pi *Intent) error {
		if pi.Status != StatusRequiresAction {
			return fmt.Errorf("secure: intent %s is %s", intent, pi.Status)
		}
		return t.finishSecure(pi, complete)
	})
}

// Expire ends an intent's authorisation before its time, as a bank may.
func (s *Sim) Expire(intent string) error {
	return s.shop(intent, func(t *tx, pi *Intent) error {
		if pi.Status != StatusRequiresCapture {
			return fmt.Errorf("expire: intent %s is %s", intent, pi.Status)
		}
		t.lapse(pi.LatestCharge)
		return nil
	})
}

// GiveBack refunds captured money by hand, as in Stripe's dashboard: without an idempotency key, and without anything
// that says why. It returns the refund's id.
func (s *Sim) GiveBack(intent string, amount int64) (string, error) {
	var id string
	err := s.shop(intent, func(t *tx, pi *Intent) error {
		ch, err := t.refundable(intent, "")
		if err != nil {
			return err
		}
		if left := ch.Amount - ch.AmountRefunded; ch.Disputed || amount < 1 || amount > left {
			return fmt.Errorf("give back: charge %s is disputed, or has not %d left", ch.ID, amount)
		}
		id = t.refund(ch, amount, "requested_by_customer", nil).ID
		return nil
	})
	return id, err
}

// TakeByHand captures an authorisation in Stripe's dashboard.
func (s *Sim) TakeByHand(intent string, amount int64) error {
	return s.shop(intent, func(t *tx, pi *Intent) error {
		if pi.Status != StatusRequiresCapture || amount < 1 || amount > pi.Capturable {
			return fmt.Errorf("take: intent %s is %s, or has not %d to take", intent, pi.Status, amount)
		}
		t.capture(pi, t.charge(pi.LatestCharge), amount)
		return nil
	})
}

// FinishRefund ends a refund that waits: succeeded, failed or canceled.
func (s *Sim) FinishRefund(id, status string) error {
	return s.act(func(t *tx) error {
		re := s.state.refunds.get(id)
		if re == nil || re.Status != "pending" && re.Status != "requires_action" {
			return fmt.Errorf("finish refund: %s is unknown or over", id)
		}
		if status != "succeeded" && status != "failed" && status != "canceled" {
			return errors.New("finish refund: expected succeeded, failed or canceled")
		}
		t.finishRefund(re, status)
		return nil
	})
}

// shop runs a change of a copy of an intent. A declined card is a change like any other.
func (s *Sim) shop(intent string, f func(*tx, *Intent) error) error {
	err := s.act(func(t *tx) error {
		pi, err := t.intent(intent)
		if err != nil {
			return err
		}
		t.call = Call{Endpoint: "page"}
		return f(t, with(pi, func(*Intent) {}))
	})
	var problem *apiError
	if errors.As(err, &problem) && problem.kind == "card_error" {
		return nil
	}
	return err
}
