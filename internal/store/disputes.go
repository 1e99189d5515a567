package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// Dispute is a row of disputes: a cardholder's complaint at the bank. Amounts are minor units.
type Dispute struct {
	ID       string // the provider's
	Payment  sale.UUID
	Attempt  sale.UUID
	Booking  sale.UUID
	Event    int64
	Amount   int64 // what the bank withdrew
	Covered  int64 // of it, what the frozen tickets and withheld refunds are worth; the rest is a loss
	Currency string
	Reason   string
	Status   string    // open, won, lost
	Provider string    // the provider's word for where it stands
	DueBy    time.Time // until when evidence is taken; zero if it is not
	Created  time.Time
}

const disputeColumns = `id, payment_id, attempt_id, booking_id, event_id, amount, covered, currency, reason, status, provider, due_by, created_at`

func scanDispute(row pgx.CollectableRow) (d Dispute, err error) {
	var due *time.Time
	err = row.Scan(&d.ID, &d.Payment, &d.Attempt, &d.Booking, &d.Event, &d.Amount, &d.Covered, &d.Currency, &d.Reason, &d.Status,
		&d.Provider, &due, &d.Created)
	d.DueBy = orZero(due)
	return d, err
}

// Dispute locks and reads a dispute; ok is false if it is new.
func (m *Money) Dispute(ctx context.Context, id string) (Dispute, bool, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+disputeColumns+` FROM disputes WHERE id = $1 FOR UPDATE`, id)
	d, ok, err := one(rows, err, scanDispute)
	if err != nil {
		err = fmt.Errorf("reading a dispute: %w", err)
	}
	return d, ok, err
}

// PutDispute adds a dispute, or moves a known one: its status, what it covers, the provider's word and the deadline.
func (m *Money) PutDispute(ctx context.Context, d Dispute) error {
	_, err := m.tx.Exec(ctx, `INSERT INTO disputes (id, payment_id, attempt_id, booking_id, event_id, amount, covered, currency, reason,
			status, provider, due_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, covered = excluded.covered, status = excluded.status,
			provider = excluded.provider, due_by = excluded.due_by, updated_at = now()`,
		d.ID, d.Payment, d.Attempt, d.Booking, d.Event, d.Amount, d.Covered, d.Currency, d.Reason, d.Status, d.Provider, orNull(d.DueBy))
	if err != nil {
		return fmt.Errorf("writing a dispute: %w", err)
	}
	return nil
}

// DisputeOf locks and reads the newest open dispute of a payment; ok is false if there is none.
func (m *Money) DisputeOf(ctx context.Context, payment sale.UUID) (Dispute, bool, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+disputeColumns+` FROM disputes WHERE payment_id = $1 AND status = 'open' AND amount > 0
		ORDER BY created_at DESC LIMIT 1 FOR UPDATE`, payment)
	d, ok, err := one(rows, err, scanDispute)
	if err != nil {
		err = fmt.Errorf("reading a payment's dispute: %w", err)
	}
	return d, ok, err
}

// OrganiserOf names the inbox of an event's organiser, as a user of notices.
func (m *Money) OrganiserOf(ctx context.Context, event int64) (string, error) {
	var id int64
	if err := m.tx.QueryRow(ctx, `SELECT organiser_id FROM events WHERE id = $1`, event).Scan(&id); err != nil {
		return "", fmt.Errorf("reading an event's organiser: %w", err)
	}
	return OrganiserInbox(id), nil
}

// OrganiserInbox is the user under which an organiser's notices are kept. No fan has such a name.
func OrganiserInbox(organiser int64) string { return fmt.Sprintf("organiser/%d", organiser) }

// OpenDispute says whether a dispute that took money of the payment is open.
func (m *Money) OpenDispute(ctx context.Context, payment sale.UUID) (open bool, err error) {
	err = m.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM disputes WHERE payment_id = $1 AND status = 'open' AND amount > 0)`, payment).Scan(&open)
	if err != nil {
		return false, fmt.Errorf("looking for disputes: %w", err)
	}
	return open, nil
}

// FreezeDisputed takes the validity of a sold booking's tickets while the bank decides, and returns what they are worth: less
// what went back without ending a ticket.
func (m *Money) FreezeDisputed(ctx context.Context, booking sale.UUID) (value int64, err error) {
	err = m.tx.QueryRow(ctx, `WITH frozen AS (
			UPDATE tickets t SET status = 'frozen' FROM bookings b
			WHERE t.booking_id = $1 AND b.id = $1 AND b.status = 'confirmed' AND t.status IN ('confirmed', 'valid') RETURNING t.amount)
		SELECT greatest(0, coalesce((SELECT sum(amount) FROM frozen), 0)
			- coalesce((SELECT sum(amount) FROM refunds WHERE booking_id = $1 AND tickets = '{}' AND status IN ('pending', 'succeeded')), 0)
			+ coalesce((SELECT sum(cut) FROM refunds WHERE booking_id = $1 AND status <> 'cancelled'), 0))::bigint`, booking).Scan(&value)
	if err != nil {
		return 0, fmt.Errorf("freezing disputed tickets: %w", err)
	}
	return value, nil
}

// ThawDisputed gives the tickets of a sold booking their validity back.
func (m *Money) ThawDisputed(ctx context.Context, booking sale.UUID) error {
	_, err := m.tx.Exec(ctx, `UPDATE tickets t SET status = 'valid' FROM bookings b
		WHERE t.booking_id = $1 AND b.id = $1 AND b.status = 'confirmed' AND t.status = 'frozen'`, booking)
	if err != nil {
		return fmt.Errorf("thawing disputed tickets: %w", err)
	}
	return nil
}

// WithholdRefunds keeps back a payment's refunds that the provider has not accepted, and their obligations: while the bank
// decides it takes none. It returns what they are worth.
func (m *Money) WithholdRefunds(ctx context.Context, payment sale.UUID) (value int64, err error) {
	err = m.tx.QueryRow(ctx, `WITH kept AS (
			UPDATE refunds SET status = 'withheld', updated_at = now()
			WHERE payment_id = $1 AND status IN ('due', 'failed') RETURNING cause, amount + retained AS amount),
		closed AS (UPDATE outbox o SET status = 'done', done_at = now() FROM kept
			WHERE o.kind = 'payment:refund' AND o.cause = kept.cause AND o.status <> 'done')
		SELECT coalesce(sum(amount), 0)::bigint FROM kept`, payment).Scan(&value)
	if err != nil {
		return 0, fmt.Errorf("withholding refunds: %w", err)
	}
	return value, nil
}

// ReleaseRefunds makes what was withheld due again (to = "due"), under another try, or drops it (to = "cancelled").
func (m *Money) ReleaseRefunds(ctx context.Context, payment sale.UUID, to string) error {
	_, err := m.tx.Exec(ctx, `WITH freed AS (
			UPDATE refunds SET status = $2, updated_at = now() WHERE payment_id = $1 AND status = 'withheld' RETURNING id, cause, booking_id)
		INSERT INTO outbox (kind, cause, try, payload)
		SELECT 'payment:refund', cause, 2, jsonb_build_object('bookingId', booking_id, 'refundId', id) FROM freed WHERE $2 = 'due'
		ON CONFLICT (kind, cause) DO UPDATE SET status = 'pending', try = outbox.try + 1, attempts = 0, next_at = now(), done_at = NULL`,
		payment, to)
	if err != nil {
		return fmt.Errorf("releasing refunds: %w", err)
	}
	return nil
}

// Again makes an obligation due once more, as another deed at the provider, whatever became of it; false if there is none.
func (m *Money) Again(ctx context.Context, kind, cause string) (bool, error) {
	tag, err := m.tx.Exec(ctx, `UPDATE outbox SET status = 'pending', try = try + 1, attempts = 0, next_at = now(), done_at = NULL
		WHERE kind = $1 AND cause = $2`, kind, cause)
	if err != nil {
		return false, fmt.Errorf("obliging again: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// Entries reads a fact's entries in the ledger, in their order.
func (m *Money) Entries(ctx context.Context, fact string) ([]LedgerEntry, error) {
	rows, err := m.tx.Query(ctx, `SELECT account, amount FROM ledger WHERE fact = $1 ORDER BY entry`, fact)
	if err != nil {
		return nil, fmt.Errorf("reading a fact: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[LedgerEntry])
}

// LiveNumbers are the numbers of a booking's tickets that are not refunded or revoked.
func (db *DB) LiveNumbers(ctx context.Context, booking sale.UUID) ([]uint16, error) {
	rows, err := db.Write.Query(ctx, `SELECT t.number FROM tickets t JOIN bookings b ON b.id = t.booking_id
		WHERE t.booking_id = $1 AND b.status = 'confirmed' AND t.status NOT IN ('refunded', 'revoked') ORDER BY t.number`, booking)
	if err != nil {
		return nil, fmt.Errorf("reading live tickets: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (n uint16, err error) {
		var number int16
		err = row.Scan(&number)
		return uint16(number), err
	})
}

// Disputes lists the disputes of an organiser's events (0: of all), newest first, those that are open before the others.
func (db *DB) Disputes(ctx context.Context, organiser int64, limit int) ([]Dispute, error) {
	rows, err := db.Write.Query(ctx, `SELECT `+disputeColumns+` FROM disputes
		WHERE $1 = 0 OR event_id IN (SELECT id FROM events WHERE organiser_id = $1)
		ORDER BY (status = 'open') DESC, due_by, created_at DESC LIMIT $2`, organiser, limit)
	if err != nil {
		return nil, fmt.Errorf("listing disputes: %w", err)
	}
	return pgx.CollectRows(rows, scanDispute)
}

// OpenTrouble counts what people should look at: open disputes, refunds that failed or wait for somebody.
func (db *DB) OpenTrouble(ctx context.Context) (disputes, refunds int, err error) {
	err = db.Write.QueryRow(ctx, `SELECT (SELECT count(*) FROM disputes WHERE status = 'open'),
		(SELECT count(*) FROM refunds WHERE status IN ('failed', 'requires_action'))`).Scan(&disputes, &refunds)
	if err != nil {
		return 0, 0, fmt.Errorf("counting disputes and failed refunds: %w", err)
	}
	return disputes, refunds, nil
}
