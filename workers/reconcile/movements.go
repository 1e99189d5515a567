package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

const (
	// slack is how far the two clocks, and a deed and its posting, may be apart.
	slack = time.Hour
	// costBatch is how many of the provider's fees are posted in one transaction, costWriters in how many at once: each
	// waits for the disk.
	costBatch   = 500
	costWriters = 4
)

// fetchMovements reads the provider's balance. The ledger's facts near the edges have their movements outside the
// window, so it reads beyond it.
func (r *Reconciler) fetchMovements(ctx context.Context, rep Report) ([]payment.Movement, error) {
	var moves []payment.Movement
	err := r.payments.Stripe().SweepMovements(ctx, rep.Since.Add(-2*slack), r.now().Add(slack), func(page []payment.Movement) error {
		if len(moves)+len(page) > maxMovements {
			return fmt.Errorf("more than %d movements: make the window smaller", maxMovements)
		}
		moves = append(moves, page...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading movements: %w", err)
	}
	return moves, nil
}

// ledger is what ours says of the same time. Postings may be younger than movements: it is read up to now.
type ledger struct {
	facts map[string]store.ProviderFact
	seen  map[string]bool // facts that have a movement
	costs []store.LedgerPosting
	post  func([]store.LedgerPosting) // posts them, by and by
}

func (r *Reconciler) readLedger(ctx context.Context, rep *Report) (*ledger, error) {
	l := &ledger{facts: map[string]store.ProviderFact{}, seen: map[string]bool{}}
	for _, prefix := range []string{
		payment.FactCapture, payment.FactRefund, payment.FactRefundFailed, payment.FactDispute, payment.FactDisputeWon, payment.FactCost,
	} {
		list, err := r.store.ProviderFacts(ctx, prefix, rep.Since.Add(-slack), r.now().Add(slack))
		if err != nil {
			return nil, err
		}
		if len(l.facts)+len(list) > 2*maxMovements {
			return nil, fmt.Errorf("more than %d postings: make the window smaller", 2*maxMovements)
		}
		for _, f := range list {
			l.facts[f.Fact] = f
		}
	}
	return l, nil
}

// movements compares the provider's balance with the ledger, both ways.
func (r *Reconciler) movements(ctx context.Context, rep *Report, moves []payment.Movement, explained map[string]bool) error {
	l, err := r.readLedger(ctx, rep)
	if err != nil {
		return err
	}
	writers, posting := errgroup.WithContext(ctx)
	writers.SetLimit(costWriters)
	l.post = func(batch []store.LedgerPosting) {
		writers.Go(func() error {
			return r.store.Money(posting, func(m *store.Money) error {
				_, err := m.PostAll(posting, batch)
				return err
			})
		})
	}
	for _, v := range moves {
		if err := r.movement(ctx, rep, v, l, explained); err != nil {
			return errors.Join(err, writers.Wait())
		}
	}
	l.postCosts(1)
	if err := writers.Wait(); err != nil {
		return err
	}
	for fact, f := range l.facts {
		if l.seen[fact] || strings.HasPrefix(fact, payment.FactCost) || f.At.Before(rep.Since) || !f.At.Before(rep.Until) {
			continue
		}
		if strings.HasPrefix(fact, payment.FactCapture) {
			explained[f.Booking.String()] = true
			r.note(rep, CaptureNotAtProvider, fact, false)
		} else {
			r.note(rep, NotAtProvider, fact, false)
		}
	}
	return nil
}

// movement compares one balance transaction with the ledger.
func (r *Reconciler) movement(ctx context.Context, rep *Report, v payment.Movement, l *ledger, explained map[string]bool) error {
	settled := v.Created.Before(rep.Until) && v.Created.After(rep.Since)
	prefix, missing := factOf(v)
	if prefix == "" {
		if settled && !strings.HasPrefix(v.Type, "payout") {
			r.note(rep, UnknownMovement, v.ID, false)
		}
		return nil
	}
	f, ok := l.facts[prefix+v.Source]
	if !ok {
		if !settled || explained[v.Source] {
			return nil
		}
		return r.unposted(ctx, rep, v, prefix, missing)
	}
	l.seen[f.Fact] = true
	if found := differs(v, f); found != "" {
		r.note(rep, found, v.Source, false)
	}
	return r.cost(rep, v, f, l)
}

// unposted is a movement that the ledger knows nothing of.
func (r *Reconciler) unposted(ctx context.Context, rep *Report, v payment.Movement, prefix, missing string) error {
	repaired := false
	if r.adopt != nil && missing != CaptureNotPosted {
		var err error
		if repaired, err = r.adopt(ctx, v.Source, prefix+v.Source); err != nil {
			return err
		}
	}
	r.note(rep, missing, v.Source, repaired)
	return nil
}

// differs says in what a movement and its posting differ. Where the provider converted, its amount is in the account's
// currency: then they must agree by the rate, to one minor unit. Between currencies with and without decimals nothing says
// what the rate is of, so there nothing is compared.
func differs(v payment.Movement, f store.ProviderFact) string {
	switch {
	case v.Rate != 0:
		if sale.Decimals(v.Currency) == sale.Decimals(f.Currency) && math.Abs(math.Abs(float64(f.Amount)*v.Rate)-math.Abs(float64(v.Amount))) > 1 {
			return AmountDiffers
		}
	case v.Currency != f.Currency:
		return CurrencyDiffers
	case v.Amount != f.Amount:
		return AmountDiffers
	}
	return ""
}

// factOf names the fact that a movement must have in the ledger, and what is wrong if it has none.
func factOf(v payment.Movement) (prefix, missing string) {
	switch v.Type {
	case "charge", "payment":
		return payment.FactCapture, CaptureNotPosted
	case "refund", "payment_refund":
		return payment.FactRefund, RefundNotPosted
	case "refund_failure", "payment_failure_refund":
		return payment.FactRefundFailed, RefundNotPosted
	case "adjustment":
		if !strings.HasPrefix(v.Source, "dp_") && !strings.HasPrefix(v.Source, "du_") {
			return "", ""
		}
		if v.Amount < 0 {
			return payment.FactDispute, DisputeNotPosted
		}
		return payment.FactDisputeWon, DisputeNotPosted
	}
	return "", ""
}

// cost posts what the provider kept of a movement, which is known only from here; what is posted must agree.
func (r *Reconciler) cost(rep *Report, v payment.Movement, f store.ProviderFact, l *ledger) error {
	if posted, ok := l.facts[payment.FactCost+v.ID]; ok {
		if posted.Amount != -v.Fee || posted.Currency != v.Currency {
			r.note(rep, FeeDiffers, v.ID, false)
		}
		return nil
	}
	if v.Fee <= 0 {
		return nil
	}
	p, err := payment.CostPosting(v.ID, v.Currency, v.Fee)
	if err != nil {
		return err
	}
	entries := make([]store.LedgerEntry, len(p.Entries))
	for i, e := range p.Entries {
		entries[i] = store.LedgerEntry{Account: e.Account, Amount: e.Amount}
	}
	l.costs = append(l.costs, store.LedgerPosting{
		Fact: p.Fact, Currency: p.Currency, Merchant: f.Merchant, Event: f.Event, Booking: f.Booking, Entries: entries,
	})
	l.postCosts(costBatch)
	return nil
}

// postCosts posts the fees that were gathered, once there are enough of them.
func (l *ledger) postCosts(enough int) {
	if len(l.costs) >= enough {
		l.post(l.costs)
		l.costs = nil
	}
}
