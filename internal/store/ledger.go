package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// LedgerEntry is one side of a posting, in minor units: debit positive, credit negative.
type LedgerEntry struct {
	Account string
	Amount  int64
}

// LedgerPosting is one fact in the ledger. Its entries sum to zero.
type LedgerPosting struct {
	Fact     string // "capture:ch_…"
	Currency string
	Merchant int64
	Event    int64
	Booking  sale.UUID
	Entries  []LedgerEntry
}

// Post appends a posting in a transaction of money. A fact that is there already is left alone: posted is false.
func (m *Money) Post(ctx context.Context, p LedgerPosting) (posted bool, err error) {
	var sum int64
	for _, e := range p.Entries {
		sum += e.Amount
	}
	if sum != 0 || len(p.Entries) == 0 {
		return false, fmt.Errorf("posting %s: %d entries that sum to %d", p.Fact, len(p.Entries), sum)
	}
	for i, e := range p.Entries {
		tag, err := m.tx.Exec(ctx, `INSERT INTO ledger (fact, entry, account, amount, currency, merchant_account_id, event_id, booking_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (fact, entry) DO NOTHING`,
			p.Fact, i, e.Account, e.Amount, p.Currency, p.Merchant, p.Event, p.Booking)
		if err != nil {
			return false, fmt.Errorf("posting %s: %w", p.Fact, err)
		}
		// The first entry decides: another transaction that posts the fact waits on it or has won.
		if i == 0 && tag.RowsAffected() == 0 {
			return false, nil
		}
	}
	return true, nil
}

// Posted says whether a fact is in the ledger.
func (db *DB) Posted(ctx context.Context, fact string) (posted bool, err error) {
	if err = db.Write.QueryRow(ctx, `SELECT EXISTS (SELECT FROM ledger WHERE fact = $1)`, fact).Scan(&posted); err != nil {
		return false, fmt.Errorf("looking for a fact: %w", err)
	}
	return posted, nil
}

// Balance is an account's sum.
type Balance struct {
	Merchant int64
	Event    int64
	Currency string
	Account  string
	Amount   int64
}

// Balances sums the ledger by merchant account, event, currency and account. Event 0 means all events.
func (db *DB) Balances(ctx context.Context, event int64) ([]Balance, error) {
	rows, err := db.Write.Query(ctx, `SELECT merchant_account_id, event_id, currency, account, sum(amount)::bigint FROM ledger
		WHERE $1::bigint = 0 OR event_id = $1 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`, event)
	if err != nil {
		return nil, fmt.Errorf("summing the ledger: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (b Balance, err error) {
		err = row.Scan(&b.Merchant, &b.Event, &b.Currency, &b.Account, &b.Amount)
		return b, err
	})
}

// MoneyCheck is invariant 4 for one merchant account, event and currency: Difference must be zero.
//
//	Captured + DueToCapture = LivePaid + Refunded + DueToRefund + Retained + Disputed
//
// While a bank decides, the tickets and refunds that wait for it are neither live nor due: they are Disputed, and what it
// withdrew beyond them is in the ledger's account "losses".
type MoneyCheck struct {
	Merchant     int64
	Event        int64
	Currency     string
	Captured     int64 // taken, by the ledger
	DueToCapture int64 // confirmed attempts that are not captured yet
	LivePaid     int64 // tickets confirmed or valid, less what went back on them without ending one
	Refunded     int64 // given back, by the ledger
	DueToRefund  int64 // refunds not yet accepted by the provider, or failed, and obligations to refund
	Retained     int64 // kept of the price of refunded tickets
	Disputed     int64 // tickets and refunds under dispute, and what was lost of them
	Difference   int64
}

// checkMoney is invariant 4 as a query: one row for each term that an account, event and currency has, then their sums.
// A refund is owed only where money was taken or will be.
const checkMoney = `
	WITH parts (m, e, c, term, amount) AS (
		SELECT merchant_account_id, event_id, currency, 'captured', amount FROM ledger WHERE account = 'provider' AND starts_with(fact, 'capture:')
		UNION ALL
		SELECT merchant_account_id, event_id, currency, 'refunded', amount FROM ledger WHERE account = 'refunds'
		UNION ALL
		SELECT p.merchant_account_id, p.event_id, p.currency, 'due', p.amount
		FROM payments p JOIN payment_attempts a ON a.payment_id = p.id AND a.status = 'confirmed'
		UNION ALL
		SELECT e.merchant_account_id, t.event_id, e.currency, 'live', t.amount
		FROM tickets t JOIN events e ON e.id = t.event_id WHERE t.status IN ('confirmed', 'valid')
		UNION ALL -- went back on live tickets, less what counts for tickets that ended
		SELECT p.merchant_account_id, p.event_id, r.currency, CASE WHEN d.id IS NULL THEN 'live' ELSE 'disputed' END, r.cut
		FROM refunds r JOIN payments p ON p.id = r.payment_id JOIN bookings b ON b.id = r.booking_id
			LEFT JOIN disputes d ON d.payment_id = p.id AND d.status = 'open' AND d.amount > 0
		WHERE r.cut <> 0 AND r.status <> 'cancelled' AND b.status = 'confirmed'
		UNION ALL
		SELECT p.merchant_account_id, p.event_id, r.currency, CASE WHEN d.id IS NULL THEN 'live' ELSE 'disputed' END, -r.amount
		FROM refunds r JOIN payments p ON p.id = r.payment_id JOIN bookings b ON b.id = r.booking_id
			LEFT JOIN disputes d ON d.payment_id = p.id AND d.status = 'open' AND d.amount > 0
		WHERE r.tickets = '{}' AND r.status IN ('requires_action', 'pending', 'succeeded') AND b.status = 'confirmed'
			AND r.attempt_id = (SELECT a.id FROM payment_attempts a WHERE a.payment_id = p.id AND a.status = 'captured' ORDER BY a.number LIMIT 1)
		UNION ALL
		SELECT p.merchant_account_id, p.event_id, r.currency, CASE r.status WHEN 'withheld' THEN 'disputed' ELSE 'owed' END, r.amount
		FROM refunds r JOIN payments p ON p.id = r.payment_id
		WHERE r.status IN ('due', 'failed', 'requires_action', 'withheld') AND p.status IN ('confirmed', 'captured', 'partly_refunded', 'refunded')
		UNION ALL
		SELECT p.merchant_account_id, p.event_id, r.currency, 'retained', r.retained
		FROM refunds r JOIN payments p ON p.id = r.payment_id
		WHERE r.status <> 'cancelled' AND r.retained <> 0 AND p.status IN ('confirmed', 'captured', 'partly_refunded', 'refunded')
		UNION ALL -- frozen for the bank's decision, not for a capture that failed
		SELECT p.merchant_account_id, p.event_id, p.currency, 'disputed', t.amount
		FROM tickets t JOIN bookings b ON b.id = t.booking_id JOIN payments p ON p.booking_id = b.id
		WHERE t.status = 'frozen' AND b.status = 'confirmed'
			AND EXISTS (SELECT FROM disputes d WHERE d.payment_id = p.id AND d.status = 'open' AND d.amount > 0)
		UNION ALL
		SELECT p.merchant_account_id, p.event_id, d.currency, 'disputed', d.covered
		FROM disputes d JOIN payments p ON p.id = d.payment_id WHERE d.status = 'lost'
		UNION ALL
		-- A revoked booking's refund of all that is left has no row until a worker has taken it up.
		SELECT p.merchant_account_id, p.event_id, p.currency, 'owed',
			greatest(0, p.amount - coalesce((SELECT sum(amount + retained) FROM refunds r WHERE r.payment_id = p.id AND r.status <> 'cancelled'), 0)
				- coalesce((SELECT sum(covered) FROM disputes d WHERE d.payment_id = p.id AND d.status = 'lost'), 0))
		FROM outbox o JOIN payments p ON p.booking_id = (o.payload ->> 'bookingId')::uuid
		WHERE o.kind = 'payment:refund' AND o.status <> 'done' AND p.status IN ('confirmed', 'captured', 'partly_refunded', 'refunded')
			AND NOT EXISTS (SELECT FROM refunds r WHERE r.cause = o.cause))
	SELECT m, e, c, sum(amount) FILTER (WHERE term = 'captured'), sum(amount) FILTER (WHERE term = 'due'),
		sum(amount) FILTER (WHERE term = 'live'), sum(amount) FILTER (WHERE term = 'refunded'), sum(amount) FILTER (WHERE term = 'owed'),
		sum(amount) FILTER (WHERE term = 'retained'), sum(amount) FILTER (WHERE term = 'disputed')
	FROM parts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`

// CheckMoney evaluates invariant 4 in one snapshot, for every merchant account, event and currency that has money.
func (db *DB) CheckMoney(ctx context.Context) ([]MoneyCheck, error) {
	rows, err := db.Write.Query(ctx, checkMoney)
	if err != nil {
		return nil, fmt.Errorf("checking the money: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k MoneyCheck, err error) {
		var sums [7]*int64
		if err = row.Scan(&k.Merchant, &k.Event, &k.Currency, &sums[0], &sums[1], &sums[2], &sums[3], &sums[4], &sums[5], &sums[6]); err != nil {
			return k, err
		}
		for i, to := range []*int64{&k.Captured, &k.DueToCapture, &k.LivePaid, &k.Refunded, &k.DueToRefund, &k.Retained, &k.Disputed} {
			if sums[i] != nil {
				*to = *sums[i]
			}
		}
		k.Difference = k.Captured + k.DueToCapture - k.LivePaid - k.Refunded - k.DueToRefund - k.Retained - k.Disputed
		return k, nil
	})
}

// UnbalancedFacts names facts whose entries do not sum to zero, at most limit: there must be none.
func (db *DB) UnbalancedFacts(ctx context.Context, limit int) ([]string, error) {
	rows, err := db.Write.Query(ctx, `SELECT fact FROM ledger GROUP BY fact HAVING sum(amount) <> 0 ORDER BY fact LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("checking the ledger: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// ProviderFact is what the ledger says one fact moved at the provider.
type ProviderFact struct {
	Fact     string
	Amount   int64
	Currency string
	Merchant int64
	Event    int64
	Booking  sale.UUID
	At       time.Time
}

// ProviderFacts reads the facts with a prefix that moved money at the provider, of the instants [since, until).
func (db *DB) ProviderFacts(ctx context.Context, prefix string, since, until time.Time) ([]ProviderFact, error) {
	rows, err := db.Write.Query(ctx, `SELECT fact, amount, currency, merchant_account_id, event_id, booking_id, at FROM ledger
		WHERE account = 'provider' AND starts_with(fact, $1) AND at >= $2 AND at < $3`, prefix, since, until)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f ProviderFact, err error) {
		err = row.Scan(&f.Fact, &f.Amount, &f.Currency, &f.Merchant, &f.Event, &f.Booking, &f.At)
		return f, err
	})
}
