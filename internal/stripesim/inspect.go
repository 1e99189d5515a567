package stripesim

import (
	"crypto/sha256"
	"encoding/hex"
)

// Totals adds up one currency, in minor units.
type Totals struct {
	Authorised int64 // capturable now
	Captured   int64 // taken from cards, refunds not deducted
	Refunded   int64 // given back after capture; failed refunds not counted
	Fees       int64
	Disputed   int64 // withdrawn and not won back
	Net        int64 // sum of all balance transactions
}

// PaymentIntents is every intent, oldest first. The objects are copies; their maps must not be changed.
func (s *Sim) PaymentIntents() []Intent { return copies(s, s.state.intents) }

// Charges is every charge, oldest first.
func (s *Sim) Charges() []Charge { return copies(s, s.state.charges) }

// Refunds is every refund and release, oldest first.
func (s *Sim) Refunds() []Refund { return copies(s, s.state.refunds) }

// BalanceTransactions is every balance transaction, oldest first.
func (s *Sim) BalanceTransactions() []Transaction { return copies(s, s.state.transactions) }

// Disputes is every dispute, oldest first.
func (s *Sim) Disputes() []Dispute { return copies(s, s.state.disputes) }

// Events is every event that is still kept, oldest first.
func (s *Sim) Events() []Event { return copies(s, s.state.events) }

// UndeliveredWebhooks counts events whose webhook is still to be sent or tried again, the ones being sent included.
func (s *Sim) UndeliveredWebhooks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for e := range s.state.events.oldestFirst() {
		if e.Pending {
			n++
		}
	}
	return n
}

// Totals adds the account up by currency.
func (s *Sim) Totals() map[string]Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Totals{}
	add := func(code string, f func(*Totals)) {
		sum := out[code]
		f(&sum)
		out[code] = sum
	}
	for v := range s.state.intents.oldestFirst() {
		add(v.Currency, func(sum *Totals) { sum.Authorised += v.Capturable })
	}
	for v := range s.state.transactions.oldestFirst() {
		add(v.Currency, func(sum *Totals) {
			sum.Fees += v.Fee
			sum.Net += v.Amount - v.Fee
			switch v.Type {
			case "charge":
				sum.Captured += v.Amount
			case "refund", "refund_failure":
				sum.Refunded -= v.Amount
			case "adjustment":
				sum.Disputed -= v.Amount
			}
		})
	}
	return out
}

// copies is a shelf's content as values.
func copies[T any](s *Sim, from *shelf[T]) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]T, 0, from.len())
	for v := range from.oldestFirst() {
		out = append(out, *v)
	}
	return out
}

// accountID is the account's id: the same for the same secret key, and telling nothing about it.
func (s *Sim) accountID() string {
	sum := sha256.Sum256([]byte("account " + s.cfg.SecretKey))
	return "acct_1" + hex.EncodeToString(sum[:])[:15]
}
