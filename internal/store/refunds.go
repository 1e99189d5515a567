package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

const refundColumns = `id, payment_id, booking_id, attempt_id, amount, currency, status, coalesce(provider, ''), cause, retained, cut, past`

func scanRefund(row pgx.CollectableRow) (r Refund, err error) {
	var attempt *sale.UUID
	err = row.Scan(&r.ID, &r.Payment, &r.Booking, &attempt, &r.Amount, &r.Currency, &r.Status, &r.Provider, &r.Cause, &r.Retained, &r.Cut, &r.Past)
	if attempt != nil {
		r.Attempt = *attempt
	}
	return r, err
}

// RefundByCause locks and reads the refund that an outcome made due.
func (m *Money) RefundByCause(ctx context.Context, cause string) (Refund, bool, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+refundColumns+` FROM refunds WHERE cause = $1 FOR UPDATE`, cause)
	return one(rows, err, scanRefund)
}

// RefundByProvider locks and reads a refund by the provider's id.
func (m *Money) RefundByProvider(ctx context.Context, id string) (Refund, bool, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+refundColumns+` FROM refunds WHERE provider = $1 FOR UPDATE`, id)
	return one(rows, err, scanRefund)
}

// RefundOf locks and reads a refund by its id.
func (m *Money) RefundOf(ctx context.Context, id sale.UUID) (Refund, bool, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+refundColumns+` FROM refunds WHERE id = $1 FOR UPDATE`, id)
	return one(rows, err, scanRefund)
}

// AddRefund makes a refund due; one of the same cause is left alone.
func (m *Money) AddRefund(ctx context.Context, r Refund) (bool, error) {
	var attempt *sale.UUID
	if !r.Attempt.IsZero() {
		attempt = &r.Attempt
	}
	tag, err := m.tx.Exec(ctx, `INSERT INTO refunds (id, payment_id, booking_id, attempt_id, amount, currency, status, cause, origin)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN starts_with($8, 'provider/') THEN 'provider' ELSE 'log' END)
		ON CONFLICT (cause) DO NOTHING`,
		r.ID, r.Payment, r.Booking, attempt, r.Amount, r.Currency, r.Status, r.Cause)
	if err != nil {
		return false, fmt.Errorf("adding a refund: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// RefundOrder is what a refund in the log does not say.
type RefundOrder struct {
	Refund  sale.UUID
	Booking sale.UUID
	Fees    bool   // booking fees go back too
	By      string // fan, organiser
	Run     sale.UUID
}

// OrderRefund writes an order down before it goes into the log; the same one again changes nothing.
func (db *DB) OrderRefund(ctx context.Context, o RefundOrder) error {
	var run *sale.UUID
	if !o.Run.IsZero() {
		run = &o.Run
	}
	_, err := db.Write.Exec(ctx, `INSERT INTO refund_orders (id, booking_id, fees, by, run_id) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO NOTHING`, o.Refund, o.Booking, o.Fees, o.By, run)
	if err != nil {
		return fmt.Errorf("ordering a refund: %w", err)
	}
	return nil
}

// MoveRefund writes down how a refund stands at the provider: status, its id, whose money it was, what it came to and why
// it failed. A new id replaces that of a refund which failed; what went back less than was due stays with the seller.
func (m *Money) MoveRefund(ctx context.Context, r Refund, reason string) error {
	_, err := m.tx.Exec(ctx, `UPDATE refunds SET status = $2, provider = nullif($3, ''),
			past = CASE WHEN provider <> $3 THEN array_append(past, provider) ELSE past END, attempt_id = coalesce(attempt_id, nullif($4::uuid, '00000000-0000-0000-0000-000000000000')),
			retained = retained + amount - $5, amount = $5, reason = $6, updated_at = now() WHERE id = $1`,
		r.ID, r.Status, r.Provider, r.Attempt, r.Amount, reason)
	if err != nil {
		return fmt.Errorf("moving a refund to %s: %w", r.Status, err)
	}
	return nil
}

// CutRefund makes less due: refunds made at the provider have left no more of the payment. What it is cut by counts as what
// these gave back for its tickets.
func (m *Money) CutRefund(ctx context.Context, r Refund) error {
	_, err := m.tx.Exec(ctx, `UPDATE refunds c SET amount = $2, retained = $3, updated_at = now(),
			cut = cut + least(c.amount + c.retained - $2 - $3, greatest(0, (SELECT coalesce(sum(g.amount), 0) FROM refunds g
				WHERE g.payment_id = c.payment_id AND g.origin = 'provider' AND g.tickets = '{}' AND g.status IN ('requires_action', 'pending', 'succeeded'))
				- (SELECT sum(o.cut) FROM refunds o WHERE o.payment_id = c.payment_id)))
		WHERE id = $1`, r.ID, r.Amount, r.Retained)
	if err != nil {
		return fmt.Errorf("cutting a refund: %w", err)
	}
	return nil
}

// GoodwillFailed is called when a refund that somebody made at the provider's dashboard has failed there: it says what of the
// money that came back is still the fan's. Where the tickets that it paid for live, it is for them. What other refunds of
// ended tickets were cut by, counting on it, is owed: the failed one is made out for that.
func (m *Money) GoodwillFailed(ctx context.Context, r Refund) (owed int64, err error) {
	var short int64
	err = m.tx.QueryRow(ctx, `
		WITH r AS (SELECT * FROM refunds WHERE id = $1),
		sums AS (SELECT
			coalesce(sum(o.cut), 0) AS cut,
			coalesce(sum(o.amount) FILTER (WHERE b.status = 'confirmed' AND o.tickets = '{}'), 0) AS goodwill,
			coalesce(sum(o.amount + o.retained) FILTER (WHERE b.status <> 'confirmed' OR o.tickets <> '{}'), 0) AS others
			FROM refunds o JOIN r ON o.payment_id = r.payment_id AND o.id <> r.id AND (o.attempt_id IS NULL OR o.attempt_id = r.attempt_id)
				JOIN bookings b ON b.id = o.booking_id WHERE o.status <> 'cancelled'),
		live AS (SELECT coalesce(sum(t.amount), 0) AS worth FROM r JOIN bookings b ON b.id = r.booking_id AND b.status = 'confirmed'
			JOIN tickets t ON t.booking_id = b.id WHERE t.status IN ('confirmed', 'valid', 'frozen')),
		lost AS (SELECT coalesce(sum(d.covered), 0) AS worth FROM r JOIN disputes d ON d.payment_id = r.payment_id AND d.attempt_id = r.attempt_id
			WHERE d.status = 'lost')
		SELECT CASE WHEN r.attempt_id IS DISTINCT FROM (SELECT a.id FROM payment_attempts a WHERE a.payment_id = p.id AND a.status = 'captured' ORDER BY a.number LIMIT 1)
				THEN r.amount -- of money that no tickets were paid with
				ELSE least(r.amount, greatest(0, p.amount - live.worth - least(sums.cut, sums.goodwill) - sums.others - lost.worth)) END::bigint,
			greatest(0, sums.cut - sums.goodwill)::bigint
		FROM r JOIN payments p ON p.id = r.payment_id, sums, live, lost`, r.ID).Scan(&owed, &short)
	if err != nil {
		return 0, fmt.Errorf("reading what is owed after a refund failed: %w", err)
	}
	if owed == 0 {
		return 0, nil
	}
	_, err = m.tx.Exec(ctx, `
		WITH cuts AS (SELECT id, cut, sum(cut) OVER (ORDER BY created_at DESC, id) - cut AS before FROM refunds
			WHERE payment_id = (SELECT payment_id FROM refunds WHERE id = $1) AND cut > 0),
		given AS (UPDATE refunds o SET cut = o.cut - least(o.cut, greatest(0, $3 - cuts.before)) FROM cuts WHERE o.id = cuts.id AND o.id <> $1)
		UPDATE refunds r SET amount = $2, tickets = coalesce((SELECT array_agg(t.number ORDER BY t.number) FROM tickets t
			WHERE t.booking_id = r.booking_id AND t.status IN ('refunded', 'revoked')), '{}') WHERE r.id = $1`, r.ID, owed, short)
	if err != nil {
		return 0, fmt.Errorf("owing what a failed refund was counted on for: %w", err)
	}
	return owed, nil
}

// RefundEndsTickets says whether tickets have ended with a refund.
func (m *Money) RefundEndsTickets(ctx context.Context, id sale.UUID) (ends bool, err error) {
	err = m.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM refunds WHERE id = $1 AND tickets <> '{}')`, id).Scan(&ends)
	if err != nil {
		return false, fmt.Errorf("reading a refund's tickets: %w", err)
	}
	return ends, nil
}

// SettleRefund sets the status of a refund for which the provider is not needed.
func (m *Money) SettleRefund(ctx context.Context, id sale.UUID, status string) error {
	if _, err := m.tx.Exec(ctx, `UPDATE refunds SET status = $2, updated_at = now() WHERE id = $1`, id, status); err != nil {
		return fmt.Errorf("settling a refund: %w", err)
	}
	return nil
}

// RefundsOf sums a payment's refunds that are not cancelled, of money of an attempt (zero: of the payment's only one): with
// what was kept of them, and those that the provider accepted. What a lost dispute took counts as given back.
func (m *Money) RefundsOf(ctx context.Context, payment, attempt sale.UUID) (due, accepted int64, err error) {
	err = m.tx.QueryRow(ctx, `SELECT coalesce(sum(amount + retained), 0)::bigint + (SELECT coalesce(sum(covered), 0)::bigint
				FROM disputes WHERE payment_id = $1 AND status = 'lost' AND ($2::uuid = '00000000-0000-0000-0000-000000000000' OR attempt_id = $2)),
			coalesce(sum(amount) FILTER (WHERE status IN ('pending', 'succeeded')), 0)::bigint
		FROM refunds WHERE payment_id = $1 AND status <> 'cancelled'
			AND ($2::uuid = '00000000-0000-0000-0000-000000000000' OR attempt_id IS NULL OR attempt_id = $2)`, payment, attempt).Scan(&due, &accepted)
	if err != nil {
		return 0, 0, fmt.Errorf("summing refunds: %w", err)
	}
	return due, accepted, nil
}

// Shares is what part of a booking's total is fees and tax, by its frozen lines; zero if its lines are not known here.
func (m *Money) Shares(ctx context.Context, booking sale.UUID) (fees, tax int64, err error) {
	err = m.tx.QueryRow(ctx, `SELECT coalesce(sum(fee * quantity), 0)::bigint, coalesce(sum(tax), 0)::bigint
		FROM booking_lines WHERE booking_id = $1`, booking).Scan(&fees, &tax)
	if err != nil {
		return 0, 0, fmt.Errorf("reading a booking's lines: %w", err)
	}
	return fees, tax, nil
}

// ValidateTickets makes a booking's confirmed and frozen tickets scan: its money is taken.
func (m *Money) ValidateTickets(ctx context.Context, booking sale.UUID) error {
	_, err := m.tx.Exec(ctx, `UPDATE tickets SET status = 'valid' WHERE booking_id = $1 AND status IN ('confirmed', 'frozen')`, booking)
	if err != nil {
		return fmt.Errorf("making tickets valid: %w", err)
	}
	return nil
}

// Notify adds a notice for a user; one of the same cause is left alone. data must hold no secret.
func (m *Money) Notify(ctx context.Context, n Notice) (fresh bool, err error) {
	data, err := json.Marshal(n.Data)
	if err != nil {
		return false, fmt.Errorf("adding a notice: %w", err)
	}
	tag, err := m.tx.Exec(ctx, `INSERT INTO notifications (user_id, kind, event_id, booking_id, data, cause)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cause) DO NOTHING`, n.User, n.Kind, n.Event, n.Booking, data, n.Cause)
	if err != nil {
		return false, fmt.Errorf("adding a notice: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// Notice is a row of notifications, with what a mail about it needs.
type Notice struct {
	ID        int64
	User      string
	Kind      string
	Event     int64
	Booking   sale.UUID
	Data      map[string]any
	Cause     string
	Mailed    bool
	EventName string
	EventZone string
	Name      string // of the contact; all empty if there is none
	Email     string
	Locale    string
}

// Notice reads a notice by its id, or by its cause where the id is 0; ok is false if there is none.
func (db *DB) Notice(ctx context.Context, id int64, cause string) (n Notice, ok bool, err error) {
	var event *int64
	var booking *sale.UUID
	err = db.Write.QueryRow(ctx, `SELECT n.id, n.user_id, n.kind, n.event_id, n.booking_id, n.data, n.cause, n.mailed_at IS NOT NULL,
			coalesce(e.name, ''), coalesce(e.zone, 'UTC'), coalesce(c.name, ''), coalesce(c.email, ''), coalesce(c.locale, 'en')
		FROM notifications n LEFT JOIN events e ON e.id = n.event_id LEFT JOIN contacts c ON c.user_id = n.user_id
		WHERE ($1::bigint <> 0 AND n.id = $1) OR ($1::bigint = 0 AND n.cause = $2)`, id, cause).
		Scan(&n.ID, &n.User, &n.Kind, &event, &booking, &n.Data, &n.Cause, &n.Mailed, &n.EventName, &n.EventZone, &n.Name, &n.Email, &n.Locale)
	if errors.Is(err, pgx.ErrNoRows) {
		return n, false, nil
	}
	if err != nil {
		return n, false, fmt.Errorf("reading a notice: %w", err)
	}
	if event != nil {
		n.Event = *event
	}
	if booking != nil {
		n.Booking = *booking
	}
	return n, true, nil
}

// Mailed notes that a notice was sent by mail.
func (m *Money) Mailed(ctx context.Context, id int64) error {
	if _, err := m.tx.Exec(ctx, `UPDATE notifications SET mailed_at = now() WHERE id = $1 AND mailed_at IS NULL`, id); err != nil {
		return fmt.Errorf("noting a sent mail: %w", err)
	}
	return nil
}
