package payment

import (
	"errors"
	"fmt"
)

// Accounts of the ledger. Debits are positive, credits negative.
const (
	AccountProvider = "provider" // what the provider holds for us
	AccountSales    = "sales"    // tickets sold, without fees and tax
	AccountFees     = "fees"     // booking fees
	AccountTax      = "tax"      // tax due on sales
	AccountRefunds  = "refunds"  // given back to fans
	AccountDisputes = "disputes" // withdrawn by banks
	AccountCosts    = "costs"    // what the provider charges us
	AccountLosses   = "losses"   // withdrawn by banks beyond what was still the fan's
)

// Prefixes of facts; the provider's object id follows. One fact has one posting.
const (
	FactCapture      = "capture:"
	FactRefund       = "refund:"
	FactRefundFailed = "refund-failed:"
	FactDispute      = "dispute:"
	FactDisputeWon   = "dispute-won:"
	FactUncovered    = "dispute-uncovered:"
	FactCost         = "cost:"
)

// Entry is one side of a posting, in minor units.
type Entry struct {
	Account string
	Amount  int64
}

// Posting is a fact and its entries, which sum to zero. Entries of zero are left out.
type Posting struct {
	Fact     string
	Currency string
	Entries  []Entry
}

// ErrPosting: amounts that make no posting.
var ErrPosting = errors.New("payment: amounts make no posting")

// Split says what part of a captured amount is booking fees and tax; the rest is sales.
type Split struct {
	Fees int64
	Tax  int64
}

// CapturePosting is the posting of money taken on a charge. A split larger than the amount is an error.
func CapturePosting(charge, currency string, amount int64, s Split) (Posting, error) {
	if amount <= 0 || s.Fees < 0 || s.Tax < 0 || s.Fees > amount || s.Tax > amount-s.Fees {
		return Posting{}, fmt.Errorf("%w: capture of %d with fees %d and tax %d", ErrPosting, amount, s.Fees, s.Tax)
	}
	return post(FactCapture+charge, currency,
		Entry{AccountProvider, amount}, Entry{AccountSales, s.Fees + s.Tax - amount},
		Entry{AccountFees, -s.Fees}, Entry{AccountTax, -s.Tax})
}

// RefundPosting is the posting of money that the provider has begun to give back.
func RefundPosting(refund, currency string, amount int64) (Posting, error) {
	return pair(FactRefund+refund, currency, amount, AccountRefunds, AccountProvider)
}

// RefundFailedPosting reverses RefundPosting: the money came back to us and is still owed.
func RefundFailedPosting(refund, currency string, amount int64) (Posting, error) {
	return pair(FactRefundFailed+refund, currency, amount, AccountProvider, AccountRefunds)
}

// DisputePosting is the posting of money that a bank withdrew. covered of it stands against tickets and refunds; the rest had
// gone back already, or was never the fan's, and is a loss.
func DisputePosting(dispute, currency string, amount, covered int64) (Posting, error) {
	if amount <= 0 || covered < 0 || covered > amount {
		return Posting{}, fmt.Errorf("%w: dispute of %d that covers %d", ErrPosting, amount, covered)
	}
	return post(FactDispute+dispute, currency,
		Entry{AccountDisputes, covered}, Entry{AccountLosses, amount - covered}, Entry{AccountProvider, -amount})
}

// DisputeWonPosting reverses a DisputePosting, whatever it was.
func DisputeWonPosting(dispute, currency string, entries []Entry) (Posting, error) {
	back := make([]Entry, len(entries))
	for i, e := range entries {
		back[i] = Entry{e.Account, -e.Amount}
	}
	return post(FactDisputeWon+dispute, currency, back...)
}

// UncoverPosting moves a part of an open dispute to the losses: a refund had given it back already.
func UncoverPosting(dispute, refund, currency string, amount int64) (Posting, error) {
	return pair(FactUncovered+dispute+"/"+refund, currency, amount, AccountLosses, AccountDisputes)
}

// CostPosting is the posting of what the provider kept of a balance transaction.
func CostPosting(transaction, currency string, fee int64) (Posting, error) {
	return pair(FactCost+transaction, currency, fee, AccountCosts, AccountProvider)
}

func pair(fact, currency string, amount int64, debit, credit string) (Posting, error) {
	if amount <= 0 {
		return Posting{}, fmt.Errorf("%w: %s of %d", ErrPosting, fact, amount)
	}
	return post(fact, currency, Entry{debit, amount}, Entry{credit, -amount})
}

// post checks what every posting must be: entries that sum to zero.
func post(fact, currency string, entries ...Entry) (Posting, error) {
	p := Posting{Fact: fact, Currency: currency}
	var sum int64
	for _, e := range entries {
		if sum += e.Amount; e.Amount != 0 {
			p.Entries = append(p.Entries, e)
		}
	}
	if sum != 0 {
		return Posting{}, fmt.Errorf("%w: %s is off by %d", ErrPosting, fact, sum)
	}
	return p, nil
}
