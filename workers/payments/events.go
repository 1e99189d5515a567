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
		payment.EventAction, "charge.expired", "charge.refunded", "refund.created", "refund.updated", "refund.failed", "charge.refund.updated",
		"charge.dispute.created", "charge.dispute.updated", "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated",
		"charge.dispute.closed":
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
	case strings.HasPrefix(e.Object, "pi_") && e.Type == "charge.refunded":
		return h.AdoptRefunds(ctx, e.Object)
	case strings.HasPrefix(e.Object, "pi_"):
		if settled, err := h.payments.Settled(ctx, e.Type, e.Object); err != nil || settled {
			return err
		}
		_, err := h.payments.Resolve(ctx, e.Object)
		return err
	}
	return h.Look(ctx, e.Object)
}
