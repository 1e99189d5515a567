package payments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

// Void releases the money of one attempt, or of every attempt of a booking that ended. Money that was taken all the
// same is refunded.
func (h *Handlers) Void(ctx context.Context, o store.Obligation) error {
	t, err := taskOf(o)
	if err != nil {
		return err
	}
	p, targets, err := h.targets(ctx, t)
	if err != nil {
		return err
	}
	if t.Exhausted {
		if left, err := h.unpaid(ctx, targets); err != nil || !left {
			return errors.Join(err, h.done(ctx, o, err))
		}
	}
	if err := h.payNoTickets(ctx, p, targets); err != nil {
		return err
	}
	if err := h.payments.At(payment.PointAsked); err != nil {
		return err
	}
	for n, a := range targets {
		if targets[n], err = h.release(ctx, o, p, a); err != nil {
			return err
		}
	}
	if err := h.payments.At(payment.PointDone); err != nil {
		return err
	}
	return h.store.Money(ctx, func(m *store.Money) error {
		if pending, err := m.Pending(ctx, o.Kind, o.Cause); err != nil || !pending {
			return err
		}
		if err := voided(ctx, m, t, p, targets); err != nil {
			return err
		}
		return m.Done(ctx, o.Kind, o.Cause)
	})
}

// unpaid says whether an attempt that too many cards were declined on is still unpaid: one may have gone through since, and
// then the log has the word.
func (h *Handlers) unpaid(ctx context.Context, targets []store.Attempt) (bool, error) {
	for _, a := range targets {
		switch payment.State(a.Status) {
		case payment.Authorised, payment.Confirmed, payment.Captured:
			return false, nil
		}
		i, err := h.stripe.Intent(ctx, a.Intent, payment.ClassVoid)
		if err != nil {
			return false, err
		}
		if i.Status == payment.IntentRequiresCapture || i.Status == payment.IntentSucceeded {
			_, err := h.payments.ResolveIntent(ctx, i)
			return false, err
		}
	}
	return true, nil
}

// done closes an obligation that needs nothing more, unless there was an error.
func (h *Handlers) done(ctx context.Context, o store.Obligation, err error) error {
	if err != nil {
		return nil
	}
	return h.store.Money(ctx, func(m *store.Money) error { return m.Done(ctx, o.Kind, o.Cause) })
}

// payNoTickets stops a void whose attempt is what somebody's live tickets were paid with. No rule of ours makes such an
// obligation; if one is there all the same, people should look before the money goes back.
func (h *Handlers) payNoTickets(ctx context.Context, p store.Payment, targets []store.Attempt) error {
	for _, a := range targets {
		if s := payment.State(a.Status); s != payment.Confirmed && s != payment.Captured {
			continue
		}
		_, all, _, err := h.store.AttemptsOf(ctx, p.Booking)
		if err != nil {
			return err
		}
		if paid := payer(all); !paid.ID.IsZero() && paid.ID != a.ID {
			continue // another one did
		}
		live, err := h.store.LiveTickets(ctx, p.Booking)
		if err != nil {
			return err
		}
		if live > 0 {
			return fmt.Errorf("%w: attempt %s paid for %d live tickets", ErrDead, a.ID, live)
		}
	}
	return nil
}

// targets finds the attempts to void. A stray intent has no row: it is voided by its id alone.
func (h *Handlers) targets(ctx context.Context, t payment.Task) (store.Payment, []store.Attempt, error) {
	if t.Intent == "" && t.Attempt.IsZero() {
		p, all, _, err := h.store.AttemptsOf(ctx, t.Booking)
		return p, all, err
	}
	if t.Intent != "" {
		a, p, ok, err := h.store.AttemptByIntent(ctx, t.Intent)
		if err != nil || ok {
			return p, []store.Attempt{a}, err
		}
	}
	if !t.Attempt.IsZero() {
		a, p, ok, err := h.store.Attempt(ctx, t.Attempt)
		if err != nil {
			return p, nil, err
		}
		if ok && (t.Intent == "" || a.Intent == "") {
			a.Intent = t.Intent
			return p, []store.Attempt{a}, nil
		}
	}
	if t.Intent == "" {
		return store.Payment{}, nil, fmt.Errorf("%w: no attempt %s", ErrDead, t.Attempt)
	}
	return store.Payment{}, []store.Attempt{{Intent: t.Intent, Status: string(payment.Open)}}, nil
}

// release cancels an attempt's intent and returns the attempt with the status that it has now: voided, or captured when
// it was too late; one that never got an intent is voided as it is.
func (h *Handlers) release(ctx context.Context, o store.Obligation, p store.Payment, a store.Attempt) (store.Attempt, error) {
	if a.Intent == "" {
		var err error
		if a.Intent, err = h.unanswered(ctx, p, a); err != nil {
			return a, err
		}
	}
	if a.Intent == "" {
		a.Status = string(payment.Voided)
		return a, nil
	}
	i, err := h.stripe.Cancel(ctx, a.Intent, payment.Key(o.Kind, o.Cause+"/"+a.Intent, o.Try))
	if err != nil {
		if i, err = h.lookAfterVoid(ctx, a.Intent, err); err != nil {
			return a, err
		}
	}
	a.Charge = i.Charge
	switch i.Status {
	case payment.IntentCanceled:
		a.Status = string(payment.Voided)
	case payment.IntentSucceeded:
		a.Status = string(payment.Captured)
		return a, h.giveBack(ctx, p, a, i)
	default:
		return a, fmt.Errorf("%w: intent %s is %s", ErrEarly, i.ID, i.Status)
	}
	return a, nil
}

// lookAfterVoid decides what an error of a cancellation means; see lookAfterCapture.
func (h *Handlers) lookAfterVoid(ctx context.Context, intent string, failed error) (payment.Intent, error) {
	fault := payment.FaultOf(failed)
	if fault == payment.FaultBusy || fault == payment.FaultUnknown {
		return payment.Intent{}, failed
	}
	i, err := h.stripe.Intent(ctx, intent, payment.ClassVoid)
	switch {
	case err != nil && payment.FaultOf(err) == payment.FaultDefinite:
		return i, fmt.Errorf("%w: %w", ErrDead, failed)
	case err != nil:
		return i, fmt.Errorf("looking after %w: %w", failed, err)
	case i.Status == payment.IntentCanceled || i.Status == payment.IntentSucceeded:
		return i, nil
	}
	return i, failed
}

// unanswered finds out whether an attempt without an intent has one at the provider. While its key is remembered there,
// asking again under it yields the intent; later the intents of that time are listed and matched.
func (h *Handlers) unanswered(ctx context.Context, p store.Payment, a store.Attempt) (intent string, err error) {
	if p.Amount == 0 || payment.State(a.Status) != payment.Creating {
		return "", nil
	}
	if h.now().Sub(a.Created) < payment.KeyLife {
		i, err := h.payments.Complete(ctx, p, a, "")
		if errors.Is(err, payment.ErrEnded) {
			return "", fmt.Errorf("%w: attempt %s changed meanwhile", ErrEarly, a.ID)
		}
		if f := payment.FaultOf(err); err != nil && (f == payment.FaultStored || f == payment.FaultDefinite) {
			return "", nil // its secret was given to nobody: it cannot be paid
		}
		return i.ID, err
	}
	const around = 10 * time.Minute
	err = h.stripe.EachIntent(ctx, a.Created.Add(-around), a.Created.Add(payment.KeyLife), func(i payment.Intent) error {
		if i.Attempt == a.ID {
			intent = i.ID
		}
		return nil
	})
	return intent, err
}

// giveBack makes a refund due for money that was taken although the booking ended, or was paid by another attempt: what is
// left of it after the refunds that the provider has made already. The posting comes with it: the money is ours until it
// is back.
func (h *Handlers) giveBack(ctx context.Context, p store.Payment, a store.Attempt, i payment.Intent) error {
	if p.ID.IsZero() {
		return fmt.Errorf("%w: intent %s was captured and has no row", ErrDead, i.ID)
	}
	id, err := h.payments.NewID()
	if err != nil {
		return err
	}
	err = h.store.Money(ctx, func(m *store.Money) error {
		if err := PostCapture(ctx, m, p, i.Charge, i.Received); err != nil {
			return err
		}
		if _, err := m.MoveAttempt(ctx, a, payment.AttemptBefore(payment.Captured), string(payment.Captured)); err != nil {
			return err
		}
		_, err := m.MovePayment(ctx, p.ID, payment.PaymentBefore(payment.Captured), string(payment.Captured))
		return err
	})
	if err != nil {
		return err
	}
	if err := h.AdoptRefunds(ctx, i.ID); err != nil {
		return err
	}
	return h.store.Money(ctx, func(m *store.Money) error {
		if _, _, err := m.Payment(ctx, p.ID); err != nil {
			return err
		}
		due, _, err := m.RefundsOf(ctx, p.ID, a.ID)
		if err != nil || due >= i.Received {
			return err // its refund is on its way already
		}
		cause := "void/" + i.ID
		_, err = m.AddRefund(ctx, store.Refund{
			ID: id, Payment: p.ID, Booking: p.Booking, Attempt: a.ID, Amount: i.Received - due, Currency: p.Currency, Status: "due", Cause: cause,
		})
		if err != nil {
			return err
		}
		_, err = m.Oblige(ctx, payment.KindRefund, cause, payment.Task{Event: p.Event, Booking: p.Booking, Attempt: a.ID})
		return err
	})
}

// voided writes down what release found.
func voided(ctx context.Context, m *store.Money, t payment.Task, p store.Payment, targets []store.Attempt) error {
	if p.ID.IsZero() {
		return nil
	}
	to := payment.Voided
	if t.Exhausted {
		to = payment.Failed
	}
	for _, a := range targets {
		if payment.State(a.Status) == payment.Captured {
			continue
		}
		if _, err := m.MoveAttempt(ctx, a, payment.AttemptBefore(to), string(to)); err != nil {
			return err
		}
	}
	whole := t.Intent == "" && t.Attempt.IsZero()
	if whole || t.Exhausted {
		_, err := m.MovePayment(ctx, p.ID, payment.PaymentBefore(to), string(to))
		return err
	}
	// One attempt ended; if no other one pays, the payment is where it began.
	all, err := m.Attempts(ctx, p.ID)
	if err != nil {
		return err
	}
	for _, a := range all {
		if s := payment.State(a.Status); s == payment.Authorised || s == payment.Confirmed || s == payment.Captured {
			return nil
		}
	}
	_, err = m.MovePayment(ctx, p.ID, []string{string(payment.Authorised)}, string(payment.Started))
	return err
}
