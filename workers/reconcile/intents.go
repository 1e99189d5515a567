package reconcile

import (
	"context"
	"fmt"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

// intents compares the provider's PaymentIntents with our attempts, a page at a time.
func (r *Reconciler) intents(ctx context.Context, rep *Report, explained map[string]bool) error {
	err := r.payments.Stripe().SweepIntents(ctx, rep.Since, rep.Until, func(page []payment.Intent) error {
		return r.intentPage(ctx, rep, page, explained)
	})
	if err != nil {
		return fmt.Errorf("comparing intents: %w", err)
	}
	return nil
}

func (r *Reconciler) intentPage(ctx context.Context, rep *Report, batch []payment.Intent, explained map[string]bool) error {
	rep.Intents += len(batch)
	ids := make([]string, len(batch))
	for n, i := range batch {
		ids[n] = i.ID
	}
	known, err := r.store.AttemptsByIntents(ctx, ids)
	if err != nil {
		return err
	}
	for _, i := range batch {
		row, ok := known[i.ID]
		found := Compare(i, payment.State(row.Attempt.Status), ok)
		if found == "" {
			continue
		}
		if i.Charge != "" {
			explained[i.Charge] = true // its movement is no second finding
		}
		if err := r.intent(ctx, rep, i, row, found); err != nil {
			return err
		}
	}
	return nil
}

// intent repairs what may be repaired of one PaymentIntent, and notes it.
func (r *Reconciler) intent(ctx context.Context, rep *Report, i payment.Intent, row store.PaidAttempt, found string) error {
	switch found {
	case ForgottenCapture:
		return r.capture(ctx, rep, row.Payment, row.Attempt)
	case StrayIntent, PaidWithoutRow, MissedWebhook:
		out, err := r.payments.ResolveIntent(ctx, i)
		if err != nil {
			return err
		}
		if out.Known && !(out.Over && found == StrayIntent) {
			found = MissedWebhook // the answer to its making was lost; its metadata named the attempt
		}
		r.note(rep, found, i.ID, found != PaidWithoutRow)
		return nil
	}
	r.note(rep, found, i.ID, false)
	return nil
}

// Compare says what is wrong between an intent at the provider and its attempt's status with us; empty if nothing is. known
// says whether there is an attempt of that intent. One without is stray while somebody could pay by it, or has: where it is
// ours by its metadata, its making was answered by a failure or its row was lost; where it is not, it is no business of ours
// until it holds money.
func Compare(i payment.Intent, attempt payment.State, known bool) string {
	if !known {
		switch {
		case i.Status == payment.IntentCanceled:
			return ""
		case i.Status == payment.IntentSucceeded:
			return PaidWithoutRow
		case i.Status == payment.IntentRequiresCapture || i.Ours():
			return StrayIntent
		}
		return ""
	}
	switch i.Status {
	case payment.IntentRequiresCapture:
		switch attempt {
		case payment.Creating, payment.Open, payment.Voided, payment.Failed:
			return MissedWebhook
		case payment.Confirmed:
			return ForgottenCapture
		}
	case payment.IntentSucceeded:
		switch attempt {
		case payment.Creating, payment.Open, payment.Voided, payment.Failed:
			return MissedWebhook // the money of a booking that ended goes back through a void
		case payment.Confirmed:
			return ForgottenCapture
		}
	case payment.IntentCanceled:
		switch attempt {
		case payment.Creating, payment.Open:
			return MissedWebhook
		case payment.Captured:
			return AmountDiffers
		}
	default: // it waits for a card
		if attempt == payment.Voided || attempt == payment.Failed {
			return StrayIntent
		}
	}
	return ""
}

// capture makes the obligation again if it is missing. One that is pending is on its way, and a dead one has alarmed.
func (r *Reconciler) capture(ctx context.Context, rep *Report, p store.Payment, a store.Attempt) error {
	open, err := r.store.ObligationsOf(ctx, payment.KindCapture, "attemptId", a.ID.String())
	if err != nil || open > 0 {
		return err
	}
	err = r.store.Money(ctx, func(m *store.Money) error {
		_, err := m.Oblige(ctx, payment.KindCapture, "reconcile/"+a.Intent, payment.Task{
			Event: p.Event, Booking: p.Booking, Attempt: a.ID, Intent: a.Intent, Amount: p.Amount, Currency: p.Currency,
		})
		return err
	})
	if err == nil {
		r.note(rep, ForgottenCapture, a.Intent, true)
	}
	return err
}
