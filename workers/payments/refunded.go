package payments

import (
	"context"
	"slices"
	"strings"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

// refundStatus is our status of a refund at the provider. One that was cancelled there, because nobody said where the money
// should go, failed: it is with us and still the fan's. (Ours is cancelled when nothing is owed.)
func refundStatus(provider string) string {
	switch provider {
	case "pending", "requires_action", "succeeded", "failed":
		return provider
	case "canceled":
		return "failed"
	}
	return "pending"
}

// standing orders how a refund stands, by our status. It only moves forward: money that came back stays back.
var standing = map[string]int{
	"due": 0, "withheld": 0, "requires_action": 1, "pending": 1, "succeeded": 2, "failed": 3, "cancelled": 3,
}

// outdated says that more has become of a refund than g shows. Between a look at the provider and the row of what was seen
// somebody else may have looked and written.
func outdated(ctx context.Context, m *store.Money, r store.Refund, g payment.Giveback) (bool, error) {
	status := refundStatus(g.Status)
	if slices.Contains(r.Past, g.ID) || g.ID == r.Provider && standing[status] < standing[r.Status] {
		return true, nil
	}
	if status == "failed" {
		return false, nil
	}
	back, err := m.Entries(ctx, payment.FactRefundFailed+g.ID)
	return len(back) > 0, err
}

// refunded writes down what became of a refund at the provider. It may be called again whenever that changes, and late.
func refunded(ctx context.Context, m *store.Money, p store.Payment, a store.Attempt, r store.Refund, g payment.Giveback) error {
	if old, err := outdated(ctx, m, r, g); err != nil || old {
		return err
	}
	status := refundStatus(g.Status)
	if err := postRefund(ctx, m, p, g); err != nil {
		return err
	}
	amount := g.Amount
	if status == "failed" && strings.HasPrefix(r.Cause, "provider/") {
		var err error
		if amount, err = stillOwed(ctx, m, r); err != nil {
			return err
		}
		if amount == 0 {
			status, amount = "cancelled", g.Amount
		}
	}
	if r.Status == "withheld" {
		if err := uncover(ctx, m, p, r, g.ID); err != nil {
			return err
		}
	}
	if status == "pending" || status == "succeeded" {
		if err := issueCreditNote(ctx, m, p, r, g.ID, g.Amount); err != nil {
			return err
		}
	}
	r.Status, r.Provider, r.Attempt, r.Amount = status, g.ID, a.ID, amount
	if err := m.MoveRefund(ctx, r, g.Reason); err != nil {
		return err
	}
	if status == "failed" || status == "cancelled" {
		if err := issueReversal(ctx, m, p, g.ID); err != nil || status == "cancelled" {
			return err
		}
		return tell(ctx, m, p, "refundFailed", payment.FactRefundFailed+g.ID, amountOf(g))
	}
	_, accepted, err := m.RefundsOf(ctx, p.ID, a.ID)
	if err != nil || accepted == 0 {
		return err
	}
	to := payment.PartlyRefunded
	if accepted >= p.Amount {
		to = payment.Refunded
	}
	if _, err := m.MovePayment(ctx, p.ID, payment.PaymentBefore(to), string(to)); err != nil {
		return err
	}
	return tell(ctx, m, p, "refundSent", payment.FactRefund+g.ID, amountOf(g))
}

// stillOwed is how much of a refund that was made at the provider's dashboard, and has failed there, is still the fan's. The
// money came back: while the tickets live it is for them.
func stillOwed(ctx context.Context, m *store.Money, r store.Refund) (int64, error) {
	ends, err := m.RefundEndsTickets(ctx, r.ID)
	if err != nil || ends {
		return r.Amount, err
	}
	return m.GoodwillFailed(ctx, r)
}

func amountOf(g payment.Giveback) map[string]any {
	return map[string]any{"amount": sale.Money{Minor: g.Amount, Currency: g.Currency}.String(), "currency": g.Currency}
}

// postRefund posts what a refund at the provider has moved: there, and back again if it failed. One that failed before any
// money moved has no posting.
func postRefund(ctx context.Context, m *store.Money, p store.Payment, g payment.Giveback) error {
	status := refundStatus(g.Status)
	if status == "requires_action" {
		return nil
	}
	if status == "failed" && !g.Moved {
		if before, err := m.Entries(ctx, payment.FactRefund+g.ID); err != nil || len(before) == 0 {
			return err
		}
	}
	out, err := payment.RefundPosting(g.ID, g.Currency, g.Amount)
	if err != nil {
		return err
	}
	if err := post(ctx, m, p, out); err != nil || status != "failed" {
		return err
	}
	back, err := payment.RefundFailedPosting(g.ID, g.Currency, g.Amount)
	if err != nil {
		return err
	}
	return post(ctx, m, p, back)
}
