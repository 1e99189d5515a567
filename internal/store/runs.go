package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// RefundRun is the refund of a whole event, one booking after the other, and how far it has come.
type RefundRun struct {
	ID        sale.UUID
	Event     int64
	Fees      bool      // booking fees go back too
	Return    bool      // the stock becomes free again
	After     sale.UUID // bookings up to here are ordered
	Total     int       // bookings that were sold when it began
	Ordered   int
	Succeeded int
	Failed    int
	Created   time.Time
	Done      time.Time // when all was ordered; zero before
}

// ErrRunning: a refund of the event is under way already.
var ErrRunning = errors.New("a refund of the whole event is under way")

// StartRefundRun begins one, with the obligation that carries it out.
func (db *DB) StartRefundRun(ctx context.Context, r RefundRun) error {
	err := db.Money(ctx, func(m *Money) error {
		tag, err := m.tx.Exec(ctx, `INSERT INTO refund_runs (id, event_id, fees, returned, total)
			SELECT $1, $2, $3, $4, (SELECT count(*) FROM bookings WHERE event_id = $2 AND status = 'confirmed')
			ON CONFLICT (event_id) WHERE done_at IS NULL DO NOTHING`, r.ID, r.Event, r.Fees, r.Return)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrRunning
		}
		_, err = m.Oblige(ctx, "payment:run", "run/"+r.ID.String(), map[string]any{"eventId": r.Event, "runId": r.ID})
		return err
	})
	if err != nil {
		return fmt.Errorf("starting a refund of event %d: %w", r.Event, err)
	}
	return nil
}

// RefundRun reads where a run stands; ok is false if there is none or it is done.
func (db *DB) RefundRun(ctx context.Context, id sale.UUID) (r RefundRun, ok bool, err error) {
	err = db.Write.QueryRow(ctx, `SELECT id, event_id, fees, returned, after FROM refund_runs WHERE id = $1 AND done_at IS NULL`, id).
		Scan(&r.ID, &r.Event, &r.Fees, &r.Return, &r.After)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("reading a refund run: %w", err)
	}
	return r, true, nil
}

// NextToRefund lists sold bookings of a run's event behind those that are ordered, in the order of their ids.
func (db *DB) NextToRefund(ctx context.Context, r RefundRun, limit int) ([]sale.UUID, error) {
	rows, err := db.Write.Query(ctx, `SELECT id FROM bookings WHERE event_id = $1 AND status = 'confirmed' AND id > $2 ORDER BY id LIMIT $3`,
		r.Event, r.After, limit)
	if err != nil {
		return nil, fmt.Errorf("listing bookings to refund: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[sale.UUID])
}

// RunOrdered notes that bookings up to one are ordered; none (zero) ends the run. The run's obligation counts as fresh.
func (db *DB) RunOrdered(ctx context.Context, run, upTo sale.UUID) error {
	_, err := db.Write.Exec(ctx, `WITH moved AS (
			UPDATE refund_runs SET after = greatest(after, $2), done_at = CASE WHEN $3 THEN now() END WHERE id = $1 RETURNING id)
		UPDATE outbox SET attempts = 0 FROM moved WHERE kind = 'payment:run' AND cause = 'run/' || $1::text AND status = 'pending'`,
		run, upTo, upTo.IsZero())
	if err != nil {
		return fmt.Errorf("noting the progress of a refund run: %w", err)
	}
	return nil
}

// RefundRuns lists an event's runs with their progress, newest first.
func (db *DB) RefundRuns(ctx context.Context, event int64) ([]RefundRun, error) {
	rows, err := db.Write.Query(ctx, `SELECT n.id, n.event_id, n.fees, n.returned, n.after, n.total, count(o.id)::int,
			count(r.id) FILTER (WHERE r.status = 'succeeded')::int, count(r.id) FILTER (WHERE r.status = 'failed')::int, n.created_at, n.done_at
		FROM refund_runs n LEFT JOIN refund_orders o ON o.run_id = n.id LEFT JOIN refunds r ON r.id = o.id
		WHERE n.event_id = $1 GROUP BY n.id ORDER BY n.created_at DESC LIMIT 20`, event)
	if err != nil {
		return nil, fmt.Errorf("listing refund runs: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r RefundRun, err error) {
		var done *time.Time
		err = row.Scan(&r.ID, &r.Event, &r.Fees, &r.Return, &r.After, &r.Total, &r.Ordered, &r.Succeeded, &r.Failed, &r.Created, &done)
		r.Done = orZero(done)
		return r, err
	})
}

// RefundPolicy is until when, and with what, fans may give tickets of an event back themselves.
type RefundPolicy struct {
	Until    time.Duration // before the start; 0 is never
	Fees     bool          // booking fees go back too
	StartsAt time.Time
}

// Allows says whether a fan may give tickets back at an instant.
func (p RefundPolicy) Allows(now time.Time) bool {
	return p.Until > 0 && now.Before(p.StartsAt.Add(-p.Until))
}

// RefundPolicy reads an event's policy; ErrNotFound if there is no such event.
func (db *DB) RefundPolicy(ctx context.Context, event int64) (p RefundPolicy, err error) {
	var seconds int64
	err = db.Write.QueryRow(ctx, `SELECT refund_until_seconds, refund_fees, starts_at FROM events WHERE id = $1`, event).
		Scan(&seconds, &p.Fees, &p.StartsAt)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return p, fmt.Errorf("reading the refund policy of event %d: %w", event, err)
	}
	p.Until = time.Duration(seconds) * time.Second
	return p, nil
}

// SetRefundPolicy changes it, in whole seconds.
func (db *DB) SetRefundPolicy(ctx context.Context, event int64, until time.Duration, fees bool) error {
	_, err := db.Write.Exec(ctx, `UPDATE events SET refund_until_seconds = $2, refund_fees = $3 WHERE id = $1`, event, int64(until/time.Second), fees)
	if err != nil {
		return fmt.Errorf("setting the refund policy of event %d: %w", event, err)
	}
	return nil
}

// FailedRefund is a refund that people should look at.
type FailedRefund struct {
	ID       sale.UUID
	Event    int64
	Booking  sale.UUID
	Amount   int64
	Currency string
	Status   string
	Reason   string
	Updated  time.Time
}

// FailedRefunds lists refunds that failed, wait for somebody, or are withheld while a bank decides; of an organiser's events
// (0: of all).
func (db *DB) FailedRefunds(ctx context.Context, organiser int64, limit int) ([]FailedRefund, error) {
	rows, err := db.Write.Query(ctx, `SELECT r.id, p.event_id, r.booking_id, r.amount, r.currency, r.status, r.reason, r.updated_at
		FROM refunds r JOIN payments p ON p.id = r.payment_id JOIN events e ON e.id = p.event_id
		WHERE r.status IN ('failed', 'requires_action', 'withheld') AND ($1 = 0 OR e.organiser_id = $1)
		ORDER BY r.updated_at DESC LIMIT $2`, organiser, limit)
	if err != nil {
		return nil, fmt.Errorf("listing failed refunds: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[FailedRefund])
}

// DeadObligation is an obligation that nobody could meet.
type DeadObligation struct {
	Kind, Cause string
	Error       string
	Created     time.Time
}

// DeadObligations lists them, oldest first.
func (db *DB) DeadObligations(ctx context.Context, limit int) ([]DeadObligation, error) {
	rows, err := db.Write.Query(ctx, `SELECT kind, cause, last_error, created_at FROM outbox WHERE status = 'dead' ORDER BY created_at LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("listing dead obligations: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[DeadObligation])
}

// RetryRefund makes a refund due again that the provider had accepted and that failed then; false if it did not fail.
func (db *DB) RetryRefund(ctx context.Context, refund sale.UUID) (ok bool, err error) {
	err = db.Money(ctx, func(m *Money) error {
		r, found, err := m.RefundOf(ctx, refund)
		if ok = err == nil && found && r.Status == "failed"; !ok {
			return err
		}
		r.Status, r.Provider = "due", ""
		if err := m.MoveRefund(ctx, r, ""); err != nil {
			return err
		}
		if again, err := m.Again(ctx, "payment:refund", r.Cause); err != nil || again {
			return err
		}
		_, err = m.Oblige(ctx, "payment:refund", r.Cause, map[string]any{"bookingId": r.Booking, "refundId": r.ID})
		return err
	})
	return ok && err == nil, err
}
