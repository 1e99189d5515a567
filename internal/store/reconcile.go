package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// PaidAttempt is an attempt with its payment.
type PaidAttempt struct {
	Attempt Attempt
	Payment Payment
}

// AttemptsByIntents reads attempts with their payments by the provider's objects. Objects without an attempt are missing
// from the answer.
func (db *DB) AttemptsByIntents(ctx context.Context, intents []string) (map[string]PaidAttempt, error) {
	rows, err := db.Write.Query(ctx, `SELECT a.id, a.payment_id, a.number, a.intent, coalesce(a.charge, ''), a.status,
			a.failures, a.created_at, `+paymentColumns+`
		FROM payment_attempts a JOIN payments p ON p.id = a.payment_id JOIN events e ON e.id = p.event_id WHERE a.intent = ANY($1)`, intents)
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	out := make(map[string]PaidAttempt, len(intents))
	var r PaidAttempt
	a, p := &r.Attempt, &r.Payment
	_, err = pgx.ForEachRow(rows, []any{&a.ID, &a.Payment, &a.Number, &a.Intent, &a.Charge, &a.Status, &a.Failures, &a.Created,
		&p.ID, &p.Booking, &p.Event, &p.Merchant, &p.User, &p.Amount, &p.Currency, &p.Status, &p.Partition, &p.PerCard}, func() error {
		out[a.Intent] = r
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	return out, nil
}

// PostAll appends postings in one transaction, those of facts that are there already left out, and returns how many were
// new. It is Post for many.
func (m *Money) PostAll(ctx context.Context, all []LedgerPosting) (posted int64, err error) {
	var facts, accounts, currencies []string
	var entries []int32
	var amounts, merchants, events []int64
	var bookings []sale.UUID
	for _, p := range all {
		var sum int64
		for i, e := range p.Entries {
			sum += e.Amount
			facts, entries, accounts, amounts = append(facts, p.Fact), append(entries, int32(i)), append(accounts, e.Account), append(amounts, e.Amount)
			currencies, merchants, events = append(currencies, p.Currency), append(merchants, p.Merchant), append(events, p.Event)
			bookings = append(bookings, p.Booking)
		}
		if sum != 0 || len(p.Entries) == 0 {
			return 0, fmt.Errorf("posting %s: %d entries that sum to %d", p.Fact, len(p.Entries), sum)
		}
	}
	// Sorted, so that two that post the same facts do not wait for each other in a circle.
	tag, err := m.tx.Exec(ctx, `INSERT INTO ledger (fact, entry, account, amount, currency, merchant_account_id, event_id, booking_id)
		SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::uuid[]) v (fact, entry)
		ORDER BY fact, entry ON CONFLICT (fact, entry) DO NOTHING`, facts, entries, accounts, amounts, currencies, merchants, events, bookings)
	if err != nil {
		return 0, fmt.Errorf("posting %d facts: %w", len(all), err)
	}
	return tag.RowsAffected(), nil
}

// TakenTwice names bookings with more than one capture, one of them in [since, until), of which more is left with us than
// the booking costs, refunds that are due deducted; at most limit.
func (db *DB) TakenTwice(ctx context.Context, since, until time.Time, limit int) ([]sale.UUID, error) {
	rows, err := db.Write.Query(ctx, `
		WITH twice AS (
			SELECT l.booking_id, min(l.event_id) AS event_id FROM ledger l
			WHERE l.account = 'provider' AND starts_with(l.fact, 'capture:') AND l.at < $2
			GROUP BY 1 HAVING count(*) > 1 AND max(l.at) >= $1)
		SELECT t.booking_id FROM twice t JOIN payments p ON p.booking_id = t.booking_id
		WHERE p.amount + coalesce((SELECT sum(r.amount) FROM refunds r WHERE r.payment_id = p.id AND r.status IN ('due', 'requires_action')), 0)
			< (SELECT sum(l.amount) FROM ledger l WHERE l.booking_id = t.booking_id AND l.account = 'provider' AND NOT starts_with(l.fact, 'cost:'))
		ORDER BY 1 LIMIT $3`, since, until, limit)
	if err != nil {
		return nil, fmt.Errorf("looking for money taken twice: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[sale.UUID])
}

// waiting are the provider's ids of what waits for somebody there: refunds, and disputes.
const waiting = `(SELECT provider AS id, updated_at FROM refunds WHERE status IN ('pending', 'requires_action') AND provider IS NOT NULL
	UNION ALL SELECT id, updated_at FROM disputes WHERE status = 'open') waiting`

// Waiting names refunds and disputes that have waited since before an instant, by the provider's ids; at most limit, in no
// order, so that all have their turn.
func (db *DB) Waiting(ctx context.Context, before time.Time, limit int) ([]string, error) {
	rows, err := db.Write.Query(ctx, `SELECT id FROM `+waiting+` WHERE updated_at < $1 ORDER BY random() LIMIT $2`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("listing what waits at the provider: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Waits says whether a refund or dispute waits, by the provider's id.
func (db *DB) Waits(ctx context.Context, id string) (waits bool, err error) {
	err = db.Write.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+waiting+` WHERE id = $1)`, id).Scan(&waits)
	if err != nil {
		return false, fmt.Errorf("reading what waits at the provider: %w", err)
	}
	return waits, nil
}
