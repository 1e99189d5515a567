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
//	Captured + DueToCapture = LivePaid + Refunded + DueToRefund + Disputed
type MoneyCheck struct {
	Merchant     int64
	Event        int64
	Currency     string
	Captured     int64 // taken, by the ledger
	DueToCapture int64 // confirmed attempts that are not captured yet
	LivePaid     int64 // tickets confirmed or valid
	Refunded     int64 // given back, by the ledger
	DueToRefund  int64 // refunds not yet accepted by the provider, or failed, and obligations to refund
	Disputed     int64
	Difference   int64
}

// CheckMoney evaluates invariant 4 in one snapshot, for every merchant account, event and currency that has money.
func (db *DB) CheckMoney(ctx context.Context) ([]MoneyCheck, error) {
	rows, err := db.Write.Query(ctx, `
		WITH parts AS (
			SELECT merchant_account_id AS m, event_id AS e, currency AS c,
				sum(amount) FILTER (WHERE account = 'provider' AND fact LIKE 'capture:%') AS captured, 0::numeric AS due,
				0::numeric AS live, sum(amount) FILTER (WHERE account = 'refunds') AS refunded, 0::numeric AS owed,
				sum(amount) FILTER (WHERE account = 'disputes') AS disputed
			FROM ledger GROUP BY 1, 2, 3
			UNION ALL
			SELECT p.merchant_account_id, p.event_id, p.currency, 0, sum(p.amount), 0, 0, 0, 0
			FROM payments p JOIN payment_attempts a ON a.payment_id = p.id AND a.status = 'confirmed' GROUP BY 1, 2, 3
			UNION ALL
			SELECT e.merchant_account_id, t.event_id, e.currency, 0, 0, sum(t.amount), 0, 0, 0
			FROM tickets t JOIN events e ON e.id = t.event_id WHERE t.status IN ('confirmed', 'valid') GROUP BY 1, 2, 3
			UNION ALL
			SELECT p.merchant_account_id, p.event_id, r.currency, 0, 0, 0, 0, sum(r.amount), 0
			FROM refunds r JOIN payments p ON p.id = r.payment_id WHERE r.status IN ('due', 'failed', 'requires_action') GROUP BY 1, 2, 3
			UNION ALL
			-- A revoked booking's refund of all that is left has no row until a worker has taken it up.
			SELECT p.merchant_account_id, p.event_id, p.currency, 0, 0, 0, 0,
				sum(p.amount - coalesce((SELECT sum(amount) FROM refunds r WHERE r.payment_id = p.id AND r.status <> 'cancelled'), 0)), 0
			FROM outbox o JOIN payments p ON p.booking_id = (o.payload ->> 'bookingId')::uuid
			WHERE o.kind = 'payment:refund' AND o.status <> 'done' AND NOT EXISTS (SELECT FROM refunds r WHERE r.cause = o.cause)
			GROUP BY 1, 2, 3)
		SELECT m, e, c, coalesce(sum(captured), 0)::bigint, coalesce(sum(due), 0)::bigint, coalesce(sum(live), 0)::bigint,
			coalesce(sum(refunded), 0)::bigint, coalesce(sum(owed), 0)::bigint, coalesce(sum(disputed), 0)::bigint
		FROM parts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`)
	if err != nil {
		return nil, fmt.Errorf("checking the money: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k MoneyCheck, err error) {
		err = row.Scan(&k.Merchant, &k.Event, &k.Currency, &k.Captured, &k.DueToCapture, &k.LivePaid, &k.Refunded,
			&k.DueToRefund, &k.Disputed)
		k.Difference = k.Captured + k.DueToCapture - k.LivePaid - k.Refunded - k.DueToRefund - k.Disputed
		return k, err
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
