package payments

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

// ResolveRefund looks at a refund at the provider and writes down what became of it. One that we did not make, at the
// provider's dashboard, is adopted.
func (h *Handlers) ResolveRefund(ctx context.Context, id string) error {
	g, err := h.stripe.Giveback(ctx, id)
	if err != nil {
		return err
	}
	return h.adopt(ctx, g)
}

// AdoptRefunds looks at all refunds of an intent.
func (h *Handlers) AdoptRefunds(ctx context.Context, intent string) error {
	a, _, ok, err := h.store.AttemptByIntent(ctx, intent)
	if err != nil || !ok || payment.State(a.Status) == payment.Voided || payment.State(a.Status) == payment.Failed {
		return err // what was only reserved is released, which the provider shows as a refund too
	}
	all, err := h.stripe.Givebacks(ctx, intent)
	if err != nil {
		return err
	}
	for _, g := range all {
		if err := h.adopt(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// Look looks at a refund or dispute at the provider, by its id, and writes down what became of it.
func (h *Handlers) Look(ctx context.Context, object string) error {
	switch {
	case strings.HasPrefix(object, "re_"), strings.HasPrefix(object, "pyr_"):
		return h.ResolveRefund(ctx, object)
	case strings.HasPrefix(object, "dp_"), strings.HasPrefix(object, "du_"):
		return h.ResolveDispute(ctx, object)
	}
	return nil
}

// Adopt looks at a refund or dispute that the ledger does not know, and says whether it knows the fact now.
func (h *Handlers) Adopt(ctx context.Context, object, fact string) (bool, error) {
	if err := h.Look(ctx, object); err != nil {
		return false, err
	}
	return h.store.Posted(ctx, fact)
}

// adopt writes down how a refund stands. Crash story: all of it is one transaction, the tickets' end an obligation in it.
func (h *Handlers) adopt(ctx context.Context, g payment.Giveback) error {
	id, err := h.payments.NewID()
	if err != nil {
		return err
	}
	a, p, known, err := h.store.AttemptByIntent(ctx, g.Intent)
	if err != nil {
		return err
	}
	return h.store.Money(ctx, func(m *store.Money) error {
		r, ok, err := m.RefundByProvider(ctx, g.ID)
		switch {
		case err != nil:
			return err
		case ok:
			return h.follow(ctx, m, r, g)
		case !known:
			return nil // of an intent that is none of ours: reconciliation reports it
		}
		if _, _, err := m.Payment(ctx, p.ID); err != nil {
			return err
		}
		if r, ok, err = h.triedBefore(ctx, m, g); err != nil || ok {
			return errorOr(err, func() error { return h.answered(ctx, m, p, a, r, g) })
		}
		switch payment.State(a.Status) {
		case payment.Captured:
		case payment.Voided, payment.Failed:
			return nil // released, not refunded
		default:
			return fmt.Errorf("%w: refund %s of money that is not captured here yet", ErrEarly, g.ID)
		}
		r = store.Refund{
			ID: id, Payment: p.ID, Booking: p.Booking, Attempt: a.ID, Amount: g.Amount, Currency: g.Currency, Status: "due", Cause: "provider/" + g.ID,
		}
		if _, err := m.AddRefund(ctx, r); err != nil {
			return err
		}
		return h.adopted(ctx, m, p, a, r, g)
	})
}

// triedBefore finds the refund that one at the provider was a try of: we asked for it, or tried one of the dashboard again.
func (h *Handlers) triedBefore(ctx context.Context, m *store.Money, g payment.Giveback) (store.Refund, bool, error) {
	if !g.Refund.IsZero() {
		return m.RefundOf(ctx, g.Refund)
	}
	return m.RefundByCause(ctx, "provider/"+g.ID)
}

func errorOr(err error, do func() error) error {
	if err != nil {
		return err
	}
	return do()
}

// follow moves a refund whose id at the provider we know.
func (h *Handlers) follow(ctx context.Context, m *store.Money, r store.Refund, g payment.Giveback) error {
	if r.Status == refundStatus(g.Status) || r.Status == "failed" || r.Status == "cancelled" {
		return nil // nothing new, or an older event
	}
	p, ok, err := m.Payment(ctx, r.Payment)
	if err != nil || !ok {
		return err
	}
	return refunded(ctx, m, p, store.Attempt{ID: r.Attempt}, r, g)
}

// answered takes up a refund that we asked for and whose answer is not written down: it was lost, or is on its way. One that
// failed already is noted as such; of one that another has followed only the postings may be missing.
func (h *Handlers) answered(ctx context.Context, m *store.Money, p store.Payment, a store.Attempt, r store.Refund, g payment.Giveback) error {
	fresh := r.Provider == "" && !slices.Contains(r.Past, g.ID)
	if fresh && (r.Status == "due" || refundStatus(g.Status) != "failed") {
		return refunded(ctx, m, p, a, r, g)
	}
	return postRefund(ctx, m, p, g)
}

// adopted writes down a refund that somebody made at the provider. If nothing is left of what the tickets were paid with,
// they end; a part that went back leaves them, and a refund of another payment never ends them.
func (h *Handlers) adopted(ctx context.Context, m *store.Money, p store.Payment, a store.Attempt, r store.Refund, g payment.Giveback) error {
	if err := refunded(ctx, m, p, a, r, g); err != nil {
		return err
	}
	all, err := m.Attempts(ctx, p.ID)
	if err != nil || payer(all).ID != a.ID {
		return err
	}
	if _, accepted, err := m.RefundsOf(ctx, p.ID, a.ID); err != nil || accepted < p.Amount {
		return err
	}
	_, err = m.Oblige(ctx, payment.KindEnd, "refund/"+g.ID, payment.Task{Event: p.Event, Booking: p.Booking, Refund: r.ID})
	return err
}

// End tells the log that a booking's tickets are over because their money went back without us: all of it at the provider's
// dashboard (the task names the refund), or by a bank's decision. It is met when none is live. The stock does not return
// by itself: the organiser may sell it again.
func (h *Handlers) End(ctx context.Context, o store.Obligation) error {
	t, err := taskOf(o)
	if err != nil {
		return err
	}
	live, err := h.store.LiveNumbers(ctx, t.Booking)
	if err != nil {
		return err
	}
	if len(live) == 0 {
		return h.store.Money(ctx, func(m *store.Money) error { return m.Done(ctx, o.Kind, o.Cause) })
	}
	if over, err := h.cameBack(ctx, o, t); err != nil || over {
		return err
	}
	if t.Refund.IsZero() {
		err = h.payments.Revoke(ctx, t.Booking)
	} else {
		err = h.payments.EndTickets(ctx, t.Booking, t.Refund, live)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %d tickets are live until the log has spoken", ErrEarly, len(live))
}

// cameBack meets an obligation to end tickets whose refund has failed before: the money is for them again.
func (h *Handlers) cameBack(ctx context.Context, o store.Obligation, t payment.Task) (over bool, err error) {
	if t.Refund.IsZero() {
		return false, nil
	}
	err = h.store.Money(ctx, func(m *store.Money) error {
		r, ok, err := m.RefundOf(ctx, t.Refund)
		if over = ok && r.Status == "cancelled"; err != nil || !over {
			return err
		}
		return m.Done(ctx, o.Kind, o.Cause)
	})
	return over, err
}
