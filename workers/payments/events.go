package payments

import (
	"context"
	"strings"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

// Decisive reports whether an event of this type can change anything of ours. The others are stored and closed without
// spending a call: what they tell, a decisive one tells too.
func Decisive(eventType string) bool {
	switch eventType {
	case payment.EventAuthorised, payment.EventDeclined, payment.EventSucceeded, payment.EventCanceled,
		"charge.expired", "refund.updated", "refund.failed", "charge.refund.updated":
		return true
	}
	return false
}

// Event acts on a stored event: it looks at the event's object, whatever the event said of it. When it returns nil the
// event can be closed.
func (h *Handlers) Event(ctx context.Context, e store.WebhookEvent) error {
	if !Decisive(e.Type) {
		return nil
	}
	switch {
	case strings.HasPrefix(e.Object, "pi_"):
		if settled, err := h.payments.Settled(ctx, e.Type, e.Object); err != nil || settled {
			return err
		}
		_, err := h.payments.Resolve(ctx, e.Object)
		return err
	case strings.HasPrefix(e.Object, "re_"):
		return h.ResolveRefund(ctx, e.Object)
	}
	return nil
}

// ResolveRefund looks at a refund at the provider and writes down what became of it. One that is none of ours, or whose
// call has not been answered yet, is left to its obligation and to reconciliation.
func (h *Handlers) ResolveRefund(ctx context.Context, id string) error {
	g, err := h.stripe.Giveback(ctx, id)
	if err != nil {
		return err
	}
	return h.store.Money(ctx, func(m *store.Money) error {
		r, ok, err := m.RefundByProvider(ctx, id)
		if err != nil || !ok || r.Status == refundStatus(g.Status) {
			return err
		}
		p, ok, err := m.Payment(ctx, r.Payment)
		if err != nil || !ok {
			return err
		}
		if r.Status == "failed" || r.Status == "cancelled" {
			return nil // final: an older event, or another try under way
		}
		return refunded(ctx, m, p, store.Attempt{ID: r.Attempt}, r, g)
	})
}
