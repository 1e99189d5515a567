package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// Difference is one thing in which the payment provider and our books differ.
type Difference struct {
	Reason string `json:"reason"`
	Object string `json:"object"`
}

// Reconciliation is what one comparison with the payment provider found.
type Reconciliation struct {
	At       time.Time
	Since    time.Time
	Until    time.Time
	Intents  int
	Moves    int
	Open     int // differences that nobody repaired
	Repaired int
	Findings []Difference // the first of the open ones
}

// keptDifferences is how many differences of one comparison are kept; keptReconciliations for how long a comparison is.
const (
	keptDifferences     = 100
	keptReconciliations = 30 * 24 * time.Hour
)

// SaveReconciliation keeps what a comparison found, and drops old ones.
func (db *DB) SaveReconciliation(ctx context.Context, r Reconciliation) error {
	findings := append([]Difference{}, r.Findings[:min(len(r.Findings), keptDifferences)]...)
	_, err := db.Write.Exec(ctx, `WITH old AS (DELETE FROM reconciliations WHERE at < now() - $8 * interval '1 second')
		INSERT INTO reconciliations (since, until, intents, moves, open, repaired, findings) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		r.Since, r.Until, r.Intents, r.Moves, r.Open, r.Repaired, findings, int64(keptReconciliations/time.Second))
	if err != nil {
		return fmt.Errorf("keeping a reconciliation: %w", err)
	}
	return nil
}

// LastReconciliation is the newest comparison; ok is false if there was none.
func (db *DB) LastReconciliation(ctx context.Context) (r Reconciliation, ok bool, err error) {
	err = db.Write.QueryRow(ctx, `SELECT at, since, until, intents, moves, open, repaired, findings FROM reconciliations ORDER BY id DESC LIMIT 1`).
		Scan(&r.At, &r.Since, &r.Until, &r.Intents, &r.Moves, &r.Open, &r.Repaired, &r.Findings)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("reading the last reconciliation: %w", err)
	}
	return r, true, nil
}

// DayTotal is an organiser's money of a day in one currency, minor units, by the ledger.
type DayTotal struct {
	Currency string
	Payments int
	Taken    int64
	Refunds  int
	Refunded int64 // failed refunds deducted
	Disputed int64 // withdrawn by banks, won ones deducted
	Costs    int64 // what the provider kept
}

// DailyReport is what an organiser is told of a day.
type DailyReport struct {
	Organiser int64
	Day       time.Time // midnight UTC
	Totals    []DayTotal
	Disputes  int // open now
	Failed    int // refunds that failed or wait for somebody now
	Open      int // differences with the provider that nobody repaired
}

// DailyReports adds up a day (UTC) for every organiser who has events.
func (db *DB) DailyReports(ctx context.Context, day time.Time) ([]DailyReport, error) {
	last, _, err := db.LastReconciliation(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.Write.Query(ctx, `SELECT o.id,
			(SELECT count(*) FROM disputes d JOIN events e ON e.id = d.event_id WHERE e.organiser_id = o.id AND d.status = 'open'),
			(SELECT count(*) FROM refunds r JOIN payments p ON p.id = r.payment_id JOIN events e ON e.id = p.event_id
				WHERE e.organiser_id = o.id AND r.status IN ('failed', 'requires_action'))
		FROM organisers o WHERE EXISTS (SELECT FROM events e WHERE e.organiser_id = o.id) ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("reading organisers: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r DailyReport, err error) {
		r.Day, r.Open = day, last.Open
		err = row.Scan(&r.Organiser, &r.Disputes, &r.Failed)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading organisers: %w", err)
	}
	for i := range all {
		if all[i].Totals, err = db.dayTotals(ctx, all[i].Organiser, day); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (db *DB) dayTotals(ctx context.Context, organiser int64, day time.Time) ([]DayTotal, error) {
	rows, err := db.Write.Query(ctx, `SELECT l.currency,
			(count(*) FILTER (WHERE l.account = 'provider' AND starts_with(l.fact, 'capture:')))::int,
			coalesce(sum(l.amount) FILTER (WHERE l.account = 'provider' AND starts_with(l.fact, 'capture:')), 0)::bigint,
			(count(*) FILTER (WHERE l.account = 'refunds' AND starts_with(l.fact, 'refund:')))::int,
			coalesce(sum(l.amount) FILTER (WHERE l.account = 'refunds'), 0)::bigint,
			coalesce(sum(l.amount) FILTER (WHERE l.account IN ('disputes', 'losses')), 0)::bigint,
			coalesce(sum(l.amount) FILTER (WHERE l.account = 'costs'), 0)::bigint
		FROM ledger l JOIN events e ON e.id = l.event_id WHERE e.organiser_id = $1 AND l.at >= $2 AND l.at < $3 GROUP BY 1 ORDER BY 1`,
		organiser, day, day.AddDate(0, 0, 1))
	if err != nil {
		return nil, fmt.Errorf("adding a day up: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[DayTotal])
}

// TellDay puts a report into its organiser's inbox, with the obligation to mail it; told is false if it is there already.
func (db *DB) TellDay(ctx context.Context, r DailyReport) (told bool, err error) {
	cause := fmt.Sprintf("report/%d/%s", r.Organiser, r.Day.Format(time.DateOnly))
	data := map[string]any{"day": r.Day.Format(time.DateOnly), "disputes": r.Disputes, "failedRefunds": r.Failed, "differences": r.Open}
	lines := []string{}
	for _, t := range r.Totals {
		amount := func(minor int64) string { return sale.Money{Minor: minor, Currency: t.Currency}.String() }
		lines = append(lines, fmt.Sprintf("%s: %d payments, %s taken; %d refunds, %s given back; %s disputed; %s kept by the payment provider",
			t.Currency, t.Payments, amount(t.Taken), t.Refunds, amount(t.Refunded), amount(t.Disputed), amount(t.Costs)))
	}
	data["lines"] = lines
	err = db.Money(ctx, func(m *Money) error {
		// A notice without an event or booking.
		tag, err := m.tx.Exec(ctx, `INSERT INTO notifications (user_id, kind, data, cause) VALUES ($1, 'dailyReport', $2, $3) ON CONFLICT (cause) DO NOTHING`,
			OrganiserInbox(r.Organiser), data, cause)
		if told = err == nil && tag.RowsAffected() == 1; !told {
			return err
		}
		_, err = m.Oblige(ctx, "notify:mail", cause, struct{}{})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("telling organiser %d of a day: %w", r.Organiser, err)
	}
	return told, nil
}

// InboxNote is a notice in an organiser's inbox.
type InboxNote struct {
	Kind    string
	Event   int64
	Data    map[string]any
	Created time.Time
}

// OrganiserNotes lists the newest notices of an organiser (0: of all).
func (db *DB) OrganiserNotes(ctx context.Context, organiser int64, limit int) ([]InboxNote, error) {
	rows, err := db.Write.Query(ctx, `SELECT kind, coalesce(event_id, 0), data, created_at FROM notifications
		WHERE starts_with(user_id, 'organiser/') AND ($1 = 0 OR user_id = 'organiser/' || $1) ORDER BY id DESC LIMIT $2`, organiser, limit)
	if err != nil {
		return nil, fmt.Errorf("listing an organiser's notices: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[InboxNote])
}
