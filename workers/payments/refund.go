package payments

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

// adoptTries is how often a refund that the provider refuses waits for the reason to show, before it alarms.
const adoptTries = 8

// Refund gives money back: the refunds row of the obligation's cause, or, where there is none, all that is left of the
// booking's payment.
func (h *Handlers) Refund(ctx context.Context, o store.Obligation) error {
	t, err := taskOf(o)
	if err != nil {
		return err
	}
	r, p, all, booking, err := h.dueRefund(ctx, o, t)
	if err != nil {
		return err
	}
	if r.Status == "succeeded" || r.Status == "cancelled" || r.Status == "withheld" {
		return h.store.Money(ctx, func(m *store.Money) error { return m.Done(ctx, o.Kind, o.Cause) })
	}
	a, ok := paidBy(r, all)
	if !ok || r.Amount == 0 {
		if waiting(all) || !ok && p.Amount > 0 && mayStillPay(p, booking) {
			return fmt.Errorf("%w: the payment is not captured", ErrEarly)
		}
		return h.nothingTaken(ctx, o, r)
	}
	if withheld, err := h.withhold(ctx, o, p); err != nil || withheld {
		return err
	}
	if err := h.payments.At(payment.PointAsked); err != nil {
		return err
	}
	g, err := h.refundAt(ctx, o, r, a)
	if err != nil {
		return err
	}
	if err := h.payments.At(payment.PointDone); err != nil {
		return err
	}
	return h.store.Money(ctx, func(m *store.Money) error {
		if pending, err := m.Pending(ctx, o.Kind, o.Cause); err != nil || !pending {
			return err
		}
		now, ok, err := m.RefundOf(ctx, r.ID)
		if err != nil || !ok {
			return err
		}
		if slices.Contains(now.Past, g.ID) {
			return fmt.Errorf("%w: refund %s has failed since", ErrAnother, g.ID)
		}
		if err := refunded(ctx, m, p, a, now, g); err != nil {
			return err
		}
		return m.Done(ctx, o.Kind, o.Cause)
	})
}

// dueRefund reads the refund, or makes it, with its payment and attempts.
func (h *Handlers) dueRefund(ctx context.Context, o store.Obligation, t payment.Task) (r store.Refund, p store.Payment, all []store.Attempt, status string, err error) {
	id, err := h.payments.NewID()
	if err != nil {
		return r, p, nil, "", err
	}
	err = h.store.Money(ctx, func(m *store.Money) error {
		var ok bool
		if r, ok, err = m.RefundByCause(ctx, o.Cause); err != nil {
			return err
		}
		booking := t.Booking
		if ok {
			booking = r.Booking
		}
		var paid bool
		if p, paid, err = m.PaymentOf(ctx, booking); err != nil {
			return err
		}
		if !paid {
			return fmt.Errorf("%w: booking %s has no payment", ErrDead, booking)
		}
		if all, err = m.Attempts(ctx, p.ID); err != nil {
			return err
		}
		due, _, err := m.RefundsOf(ctx, p.ID, payer(all).ID)
		if err != nil {
			return err
		}
		if status, _, err = m.LockBooking(ctx, booking); err != nil || ok {
			// Goodwill at the provider may have left less than the tickets' price.
			left := max(0, p.Amount-(due-r.Amount-r.Retained))
			if err == nil && r.Provider == "" && r.Attempt.IsZero() && r.Amount+r.Retained > left {
				r.Retained = min(r.Retained, left)
				r.Amount = left - r.Retained
				return m.CutRefund(ctx, r)
			}
			return err
		}
		if !t.Refund.IsZero() {
			id = t.Refund
		}
		r = store.Refund{
			ID: id, Payment: p.ID, Booking: p.Booking, Amount: max(0, p.Amount-due), Currency: p.Currency, Status: "due", Cause: o.Cause,
		}
		_, err = m.AddRefund(ctx, r)
		return err
	})
	return r, p, all, status, err
}

// payer is the attempt whose money the tickets were paid with: the first that was captured.
func payer(all []store.Attempt) store.Attempt {
	for _, a := range all {
		if payment.State(a.Status) == payment.Captured {
			return a
		}
	}
	return store.Attempt{}
}

// mayStillPay says that a booking whose capture failed may be paid by another attempt: its refund waits for that.
func mayStillPay(p store.Payment, booking string) bool {
	return booking == "frozen" || booking == "confirmed" && payment.State(p.Status) == payment.Started
}

// withhold keeps a refund back while a bank decides over the payment: the provider would take none.
func (h *Handlers) withhold(ctx context.Context, o store.Obligation, p store.Payment) (withheld bool, err error) {
	err = h.store.Money(ctx, func(m *store.Money) error {
		if _, _, err := m.Payment(ctx, p.ID); err != nil {
			return err
		}
		if withheld, err = m.OpenDispute(ctx, p.ID); err != nil || !withheld {
			return err
		}
		_, err = m.WithholdRefunds(ctx, p.ID)
		return err
	})
	return withheld, err
}

// paidBy picks the attempt whose money goes back: the refund's own, else the captured one.
func paidBy(r store.Refund, all []store.Attempt) (store.Attempt, bool) {
	for _, a := range all {
		if payment.State(a.Status) == payment.Captured && (r.Attempt.IsZero() || r.Attempt == a.ID) {
			return a, true
		}
	}
	return store.Attempt{}, false
}

// waiting reports whether money is still on its way to us.
func waiting(all []store.Attempt) bool {
	for _, a := range all {
		if s := payment.State(a.Status); a.Intent != "" && (s == payment.Authorised || s == payment.Confirmed) {
			return true
		}
	}
	return false
}

// nothingTaken closes a refund of a payment that never took money, or of tickets that cost nothing.
func (h *Handlers) nothingTaken(ctx context.Context, o store.Obligation, r store.Refund) error {
	status := "cancelled"
	if r.Amount == 0 {
		status = "succeeded"
	}
	return h.store.Money(ctx, func(m *store.Money) error {
		if pending, err := m.Pending(ctx, o.Kind, o.Cause); err != nil || !pending {
			return err
		}
		if err := m.SettleRefund(ctx, r.ID, status); err != nil {
			return err
		}
		return m.Done(ctx, o.Kind, o.Cause)
	})
}

// refundAt makes the refund at the provider, or finds the one that an earlier call made: always before a new try, and
// when the key may be forgotten there.
func (h *Handlers) refundAt(ctx context.Context, o store.Obligation, r store.Refund, a store.Attempt) (payment.Giveback, error) {
	if r.Provider != "" {
		return h.stripe.Giveback(ctx, r.Provider)
	}
	if o.Try > 1 || h.now().Sub(o.Created) > payment.KeyLife {
		if g, ok, err := h.madeBefore(ctx, r, a); err != nil || ok {
			return g, err
		}
	}
	g, err := h.stripe.Refund(ctx, payment.RefundSpec{
		Intent: a.Intent, Refund: r.ID, Amount: r.Amount, Currency: r.Currency, Key: payment.Key(o.Kind, o.Cause, o.Try),
	})
	if err == nil {
		return g, nil
	}
	fault := payment.FaultOf(err)
	if fault == payment.FaultBusy || fault == payment.FaultUnknown {
		return g, err
	}
	if g, ok, look := h.madeBefore(ctx, r, a); look != nil || ok {
		return g, look
	}
	if fault == payment.FaultStored {
		return g, err
	}
	return g, h.whyRefused(ctx, o, r, a, err)
}

// whyRefused looks for what made the provider refuse a refund for good: a dispute, or a refund at its dashboard, whose event
// is on its way or was lost. Both are taken up at once, and then it is another question what is due. Where nothing explains
// it the debt stays visible.
func (h *Handlers) whyRefused(ctx context.Context, o store.Obligation, r store.Refund, a store.Attempt, refused error) error {
	before, err := h.dueNow(ctx, r, a)
	if err != nil {
		return err
	}
	if err := errors.Join(h.AdoptDisputes(ctx, a.Intent), h.AdoptRefunds(ctx, a.Intent)); err != nil {
		return err
	}
	after, err := h.dueNow(ctx, r, a)
	if err != nil {
		return err
	}
	if after != before || o.Attempts < adoptTries {
		return fmt.Errorf("%w: %w", ErrEarly, refused)
	}
	return fmt.Errorf("%w: %w", ErrDead, refused)
}

// dueState is all that decides what a refund comes to.
type dueState struct {
	status        string
	due, accepted int64
}

func (h *Handlers) dueNow(ctx context.Context, r store.Refund, a store.Attempt) (s dueState, err error) {
	err = h.store.Money(ctx, func(m *store.Money) error {
		now, _, err := m.RefundOf(ctx, r.ID)
		if err != nil {
			return err
		}
		s.status = now.Status
		s.due, s.accepted, err = m.RefundsOf(ctx, r.Payment, a.ID)
		return err
	})
	return s, err
}

// madeBefore looks for our refund among those of the intent.
func (h *Handlers) madeBefore(ctx context.Context, r store.Refund, a store.Attempt) (payment.Giveback, bool, error) {
	all, err := h.stripe.Givebacks(ctx, a.Intent)
	if err != nil {
		return payment.Giveback{}, false, err
	}
	for _, g := range all {
		if g.Refund == r.ID && g.Status != "failed" && g.Status != "canceled" {
			return g, true, nil
		}
	}
	return payment.Giveback{}, false, nil
}
