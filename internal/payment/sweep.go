package payment

import (
	"context"
	"sync"
	"time"

	"github.com/stripe/stripe-go/v76"
	"golang.org/x/sync/errgroup"
)

// sweepers is how many ranges of time are listed at once: a list is read page after page, and the provider answers a page
// in a fifth of a second, while it allows two dozen of them in one.
const sweepers = 8

// SweepIntents calls each for every PaymentIntent made in [since, until), a page at a time, one call after the other and in
// no order, and stops at its first error. It lists several ranges of time at once, within the budget.
func (s *Stripe) SweepIntents(ctx context.Context, since, until time.Time, each func([]Intent) error) error {
	return sweep(ctx, since, until, each, func(ctx context.Context, from, to time.Time, after string) (page []Intent, end cursor, err error) {
		err = s.call(ctx, "payment_intents.list", ClassReconcile, func(ctx context.Context) error {
			p := &stripe.PaymentIntentListParams{CreatedRange: span(from, to)}
			listing(ctx, &p.ListParams, after)
			it := s.api.PaymentIntents.List(p)
			for it.Next() {
				page = append(page, intentOf(it.PaymentIntent()))
				end = cursor{id: it.PaymentIntent().ID, created: it.PaymentIntent().Created}
			}
			end.more = it.Meta() != nil && it.Meta().HasMore
			return it.Err()
		})
		return page, end, err
	})
}

// SweepMovements does for balance transactions what SweepIntents does for intents.
func (s *Stripe) SweepMovements(ctx context.Context, since, until time.Time, each func([]Movement) error) error {
	return sweep(ctx, since, until, each, func(ctx context.Context, from, to time.Time, after string) (page []Movement, end cursor, err error) {
		err = s.call(ctx, "balance_transactions.list", ClassReconcile, func(ctx context.Context) error {
			p := &stripe.BalanceTransactionListParams{CreatedRange: span(from, to)}
			listing(ctx, &p.ListParams, after)
			it := s.api.BalanceTransactions.List(p)
			for it.Next() {
				page = append(page, movementOf(it.BalanceTransaction()))
				end = cursor{id: it.BalanceTransaction().ID, created: it.BalanceTransaction().Created}
			}
			end.more = it.Meta() != nil && it.Meta().HasMore
			return it.Err()
		})
		return page, end, err
	})
}

// cursor is the last object of a page, and whether there are more behind it.
type cursor struct {
	id      string
	created int64 // unix seconds
	more    bool
}

// sweep reads a list that is newest first. Whoever finds that a range has more than a page leaves its older half to
// somebody idle, if there is one; so however the objects lie in time, all have work until the end.
func sweep[T any](ctx context.Context, since, until time.Time, each func([]T) error,
	fetch func(ctx context.Context, from, to time.Time, after string) ([]T, cursor, error)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sweepers)
	var mu sync.Mutex
	var read func(from, to int64) error
	read = func(from, to int64) error {
		after := ""
		for {
			page, end, err := fetch(ctx, time.Unix(from, 0), time.Unix(to, 0), after)
			if err != nil {
				return err
			}
			mu.Lock()
			err = each(page)
			mu.Unlock()
			if err != nil || !end.more || len(page) == 0 {
				return err
			}
			after = end.id
			if middle := from + (end.created-from)/2; middle > from {
				lower := from
				if group.TryGo(func() error { return read(lower, middle) }) {
					from = middle
				}
			}
		}
	}
	group.Go(func() error { return read(since.Unix(), until.Unix()) })
	return group.Wait()
}
