package verify

import (
	"context"
	"fmt"

	"fairgate/internal/store"
)

// money checks invariant 4, that every fact of the ledger sums to zero, and, if there is somebody to ask, that the
// provider holds what the ledger says. Each is one statement and so one moment.
func (v *verifier) money(ctx context.Context) error {
	db := &store.DB{Write: v.deps.DB, Read: v.deps.DB}
	sums, err := db.CheckMoney(ctx)
	if err != nil {
		return fmt.Errorf("verifying money: %w", err)
	}
	for _, s := range sums {
		v.report.Counts["money.sums"]++
		if s.Difference != 0 {
			v.violate(4, fmt.Sprintf("money %d/%d/%s", s.Merchant, s.Event, s.Currency),
				"captured %d + due to capture %d is not live tickets %d + refunded %d + due to refund %d + retained %d + disputed %d",
				s.Captured, s.DueToCapture, s.LivePaid, s.Refunded, s.DueToRefund, s.Retained, s.Disputed)
		}
	}
	facts, err := db.UnbalancedFacts(ctx, v.cfg.most())
	if err != nil {
		return fmt.Errorf("verifying money: %w", err)
	}
	for _, fact := range facts {
		v.violate(4, "ledger "+fact, "its entries do not sum to zero")
	}
	if v.deps.Provider == nil {
		return nil
	}
	return v.provider(ctx, db)
}

// provider compares what the provider holds with the ledger's account of it. It is for a system at rest: money under way
// would look like a difference.
func (v *verifier) provider(ctx context.Context, db *store.DB) error {
	held, err := v.deps.Provider.Holds(ctx)
	if err != nil {
		return fmt.Errorf("asking the payment provider: %w", err)
	}
	all, err := db.Balances(ctx, 0)
	if err != nil {
		return fmt.Errorf("verifying money: %w", err)
	}
	ours := map[string]int64{}
	for _, b := range all {
		if b.Account == "provider" {
			ours[b.Currency] += b.Amount
		}
	}
	for currency := range held {
		ours[currency] += 0 // one that only the provider knows is compared too
	}
	for currency, amount := range ours {
		v.report.Counts["money.currencies"]++
		if held[currency] != amount {
			v.violate(4, "provider "+currency, "it holds %d for us, the ledger says %d", held[currency], amount)
		}
	}
	return nil
}
