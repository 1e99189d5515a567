package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// Payment is a row of payments: what a booking costs and whether it is paid. A booking has one.
type Payment struct {
	ID        sale.UUID
	Booking   sale.UUID
	Event     int64
	Merchant  int64
	User      string
	Amount    int64 // minor units
	Currency  string
	Status    string
	Partition int32 // of the log `orders`, where the booking's event lives
	PerCard   int   // the event's limit of bookings that one card may pay for; 0 for none
}

// Attempt is a row of payment_attempts: one way of paying a payment. At most one of a payment is live.
type Attempt struct {
	ID       sale.UUID
	Payment  sale.UUID
	Number   int
	Intent   string // the provider's object; empty until it answered, and for a total of zero
	Charge   string
	Status   string
	Failures int
	Created  time.Time
}

// Refund is a row of refunds.
type Refund struct {
	ID       sale.UUID
	Payment  sale.UUID
	Booking  sale.UUID
	Attempt  sale.UUID // zero while it is not known which attempt's money goes back
	Amount   int64
	Currency string
	Status   string
	Provider string // the provider's refund id
	Cause    string
	Retained int64    // of the tickets' price, kept by the seller
	Cut      int64    // of the tickets' price, given back at the provider's dashboard before
	Past     []string // ids at the provider of tries that failed, and were followed by another
}

// Money is one transaction on payments, refunds, ledger and outbox. Its methods lock what they read.
type Money struct{ tx pgx.Tx }

// Money runs do in one transaction on the primary, which waits for a synchronous standby if there is one. An error
// rolls everything back.
func (db *DB) Money(ctx context.Context, do func(*Money) error) error {
	return pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error { return do(&Money{tx}) })
}

// paymentColumns are those of Payment. A limit per card that the log has not been told of yet is none.
const paymentColumns = `p.id, p.booking_id, p.event_id, p.merchant_account_id, p.user_id, p.amount, p.currency, p.status, e.partition,
	CASE WHEN e.per_card_seq > 0 THEN e.per_card ELSE 0 END`

func scanPayment(row pgx.CollectableRow) (p Payment, err error) {
	err = row.Scan(&p.ID, &p.Booking, &p.Event, &p.Merchant, &p.User, &p.Amount, &p.Currency, &p.Status, &p.Partition,
		&p.PerCard)
	return p, err
}

// one collects at most one row; no row is ok = false.
func one[T any](rows pgx.Rows, err error, scan pgx.RowToFunc[T]) (v T, ok bool, _ error) {
	if err != nil {
		return v, false, err
	}
	v, err = pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, false, nil
	}
	return v, err == nil, err
}

// Payment locks and reads a payment.
func (m *Money) Payment(ctx context.Context, id sale.UUID) (Payment, bool, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+paymentColumns+` FROM payments p JOIN events e ON e.id = p.event_id
		WHERE p.id = $1 FOR UPDATE OF p`, id)
	return wrapped("reading a payment")(one(rows, err, scanPayment))
}

// PaymentOf locks and reads a booking's payment.
func (m *Money) PaymentOf(ctx context.Context, booking sale.UUID) (Payment, bool, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+paymentColumns+` FROM payments p JOIN events e ON e.id = p.event_id
		WHERE p.booking_id = $1 FOR UPDATE OF p`, booking)
	return wrapped("reading a booking's payment")(one(rows, err, scanPayment))
}

func wrapped(doing string) func(Payment, bool, error) (Payment, bool, error) {
	return func(p Payment, ok bool, err error) (Payment, bool, error) {
		if err != nil {
			err = fmt.Errorf("%s: %w", doing, err)
		}
		return p, ok, err
	}
}

// AddPayment makes a booking's payment, merchant account and partition taken from its event; it does nothing if the
// booking has one. It returns false if there is no such event.
func (m *Money) AddPayment(ctx context.Context, p Payment) (bool, error) {
	tag, err := m.tx.Exec(ctx, `INSERT INTO payments (id, booking_id, event_id, merchant_account_id, user_id, amount, currency, status)
		SELECT $1, $2, e.id, e.merchant_account_id, $4, $5, $6, $7 FROM events e WHERE e.id = $3
		ON CONFLICT (booking_id) DO UPDATE SET updated_at = payments.updated_at`,
		p.ID, p.Booking, p.Event, p.User, p.Amount, p.Currency, p.Status)
	if err != nil {
		return false, fmt.Errorf("adding a payment: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// MovePayment sets a payment's status if it is one of from.
func (m *Money) MovePayment(ctx context.Context, id sale.UUID, from []string, to string) (moved bool, err error) {
	tag, err := m.tx.Exec(ctx, `UPDATE payments SET status = $3, updated_at = now() WHERE id = $1 AND status = ANY($2)`, id, from, to)
	if err != nil {
		return false, fmt.Errorf("moving a payment to %s: %w", to, err)
	}
	return tag.RowsAffected() == 1, nil
}

const attemptColumns = `id, payment_id, number, coalesce(intent, ''), coalesce(charge, ''), status, failures, created_at`

func scanAttempt(row pgx.CollectableRow) (a Attempt, err error) {
	err = row.Scan(&a.ID, &a.Payment, &a.Number, &a.Intent, &a.Charge, &a.Status, &a.Failures, &a.Created)
	return a, err
}

// Attempts locks and reads a payment's attempts, oldest first.
func (m *Money) Attempts(ctx context.Context, payment sale.UUID) ([]Attempt, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+attemptColumns+` FROM payment_attempts WHERE payment_id = $1 ORDER BY number FOR UPDATE`, payment)
	if err != nil {
		return nil, fmt.Errorf("reading attempts: %w", err)
	}
	return pgx.CollectRows(rows, scanAttempt)
}

// Attempt reads an attempt with its payment by the attempt's id; ok is false if there is none.
func (db *DB) Attempt(ctx context.Context, id sale.UUID) (a Attempt, p Payment, ok bool, err error) {
	return db.attempt(ctx, `a.id = $1`, id)
}

// AttemptByIntent reads an attempt with its payment by the provider's object.
func (db *DB) AttemptByIntent(ctx context.Context, intent string) (a Attempt, p Payment, ok bool, err error) {
	return db.attempt(ctx, `a.intent = $1`, intent)
}

func (db *DB) attempt(ctx context.Context, where string, key any) (a Attempt, p Payment, ok bool, err error) {
	err = db.Write.QueryRow(ctx, `SELECT a.id, a.payment_id, a.number, coalesce(a.intent, ''), coalesce(a.charge, ''), a.status,
			a.failures, a.created_at, `+paymentColumns+`
		FROM payment_attempts a JOIN payments p ON p.id = a.payment_id JOIN events e ON e.id = p.event_id WHERE `+where, key).
		Scan(&a.ID, &a.Payment, &a.Number, &a.Intent, &a.Charge, &a.Status, &a.Failures, &a.Created,
			&p.ID, &p.Booking, &p.Event, &p.Merchant, &p.User, &p.Amount, &p.Currency, &p.Status, &p.Partition, &p.PerCard)
	if errors.Is(err, pgx.ErrNoRows) {
		return a, p, false, nil
	}
	if err != nil {
		return a, p, false, fmt.Errorf("reading an attempt: %w", err)
	}
	return a, p, true, nil
}

// AttemptsOf reads a booking's payment and its attempts, oldest first; ok is false if it has no payment.
func (db *DB) AttemptsOf(ctx context.Context, booking sale.UUID) (p Payment, all []Attempt, ok bool, err error) {
	err = db.Money(ctx, func(m *Money) error {
		if p, ok, err = m.PaymentOf(ctx, booking); err != nil || !ok {
			return err
		}
		all, err = m.Attempts(ctx, p.ID)
		return err
	})
	return p, all, ok, err
}

// LiveTickets counts a booking's tickets that are sold and not frozen, refunded or revoked.
func (db *DB) LiveTickets(ctx context.Context, booking sale.UUID) (n int, err error) {
	err = db.Write.QueryRow(ctx, `SELECT count(*) FROM tickets WHERE booking_id = $1 AND status IN ('confirmed', 'valid')`, booking).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting live tickets: %w", err)
	}
	return n, nil
}

// AddAttempt makes the next attempt of a payment.
func (m *Money) AddAttempt(ctx context.Context, a Attempt) error {
	_, err := m.tx.Exec(ctx, `INSERT INTO payment_attempts (id, payment_id, number, status) VALUES ($1, $2, $3, $4)`,
		a.ID, a.Payment, a.Number, a.Status)
	if err != nil {
		return fmt.Errorf("adding an attempt: %w", err)
	}
	return nil
}

// MoveAttempt sets an attempt's status if it is one of from, and its intent and charge where they are given. An intent
// once known is never replaced: moved is then false.
//
// Whoever changes both rows locks the payment first, as the projector does: the other order would be a deadlock.
func (m *Money) MoveAttempt(ctx context.Context, a Attempt, from []string, to string) (moved bool, err error) {
	_, err = m.tx.Exec(ctx, `SELECT 1 FROM payments WHERE id = (SELECT payment_id FROM payment_attempts WHERE id = $1) FOR UPDATE`, a.ID)
	if err != nil {
		return false, fmt.Errorf("locking an attempt's payment: %w", err)
	}
	tag, err := m.tx.Exec(ctx, `UPDATE payment_attempts SET status = $3, updated_at = now(), intent = coalesce(intent, nullif($4, '')),
			charge = coalesce(nullif($5, ''), charge)
		WHERE id = $1 AND status = ANY($2) AND ($4 = '' OR intent IS NULL OR intent = $4)`, a.ID, from, to, a.Intent, a.Charge)
	if err != nil {
		return false, fmt.Errorf("moving an attempt to %s: %w", to, err)
	}
	return tag.RowsAffected() == 1, nil
}

// AdoptIntent notes the provider's object of an attempt that has none, whatever its status.
func (m *Money) AdoptIntent(ctx context.Context, attempt sale.UUID, intent string) (bool, error) {
	tag, err := m.tx.Exec(ctx, `UPDATE payment_attempts SET intent = $2, updated_at = now() WHERE id = $1 AND intent IS NULL`, attempt, intent)
	if err != nil {
		return false, fmt.Errorf("adopting an intent: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// CountFailures brings an attempt's count of declined cards up to the number of failure events that the inbox holds for
// its intent, at least least, and returns it. Counting again gives the same number.
func (m *Money) CountFailures(ctx context.Context, a Attempt, failureType, code string, least int) (n int, err error) {
	err = m.tx.QueryRow(ctx, `UPDATE payment_attempts SET updated_at = now(), error_code = $3, failures = greatest(failures, $4,
			(SELECT count(*) FROM webhook_inbox WHERE object_id = payment_attempts.intent AND type = $2))
		WHERE id = $1 RETURNING failures`, a.ID, failureType, code, least).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting failures: %w", err)
	}
	return n, nil
}

// Pending locks an obligation and reports whether it is still to be done. Begin an effect with it: of two workers that
// carry the same obligation the second finds it done.
func (m *Money) Pending(ctx context.Context, kind, cause string) (bool, error) {
	var status string
	err := m.tx.QueryRow(ctx, `SELECT status FROM outbox WHERE kind = $1 AND cause = $2 FOR UPDATE`, kind, cause).Scan(&status)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("locking an obligation: %w", err)
	}
	return status == "pending", nil
}

// Done closes an obligation.
func (m *Money) Done(ctx context.Context, kind, cause string) error {
	_, err := m.tx.Exec(ctx, `UPDATE outbox SET status = 'done', done_at = now(), last_error = '' WHERE kind = $1 AND cause = $2`, kind, cause)
	if err != nil {
		return fmt.Errorf("closing an obligation: %w", err)
	}
	return nil
}

// Oblige adds an obligation, due at once; one with the same kind and cause is left alone.
func (m *Money) Oblige(ctx context.Context, kind, cause string, payload any) (fresh bool, err error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return false, fmt.Errorf("adding an obligation: %w", err)
	}
	tag, err := m.tx.Exec(ctx, `INSERT INTO outbox (kind, cause, payload) VALUES ($1, $2, $3) ON CONFLICT (kind, cause) DO NOTHING`,
		kind, cause, body)
	if err != nil {
		return false, fmt.Errorf("adding an obligation: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
