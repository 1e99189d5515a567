package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// BookingState is what an audit wants to know of a booking's rows.
type BookingState struct {
	Booking      sale.UUID
	Status       string
	ValidTickets int
}

// BookingStates reads every booking. It is for audits of sales that one process can hold in memory.
func (db *DB) BookingStates(ctx context.Context) ([]BookingState, error) {
	rows, err := db.Write.Query(ctx, `SELECT b.id, b.status, count(t.id) FILTER (WHERE t.status = 'valid')
		FROM bookings b LEFT JOIN tickets t ON t.booking_id = b.id GROUP BY b.id, b.status`)
	if err != nil {
		return nil, fmt.Errorf("reading bookings: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s BookingState, err error) {
		err = row.Scan((*[16]byte)(&s.Booking), &s.Status, &s.ValidTickets)
		return s, err
	})
}

// PaymentState is what an audit wants to know of a payment's rows.
type PaymentState struct {
	Payment  sale.UUID
	Booking  sale.UUID
	Status   string
	Amount   int64 // minor units
	Currency string
	Intents  []string // the provider's objects of all attempts
}

// PaymentStates reads every payment with its attempts' objects.
func (db *DB) PaymentStates(ctx context.Context) ([]PaymentState, error) {
	rows, err := db.Write.Query(ctx, `SELECT p.id, p.booking_id, p.status, p.amount, p.currency,
			coalesce(array_agg(a.intent) FILTER (WHERE a.intent IS NOT NULL), '{}')
		FROM payments p LEFT JOIN payment_attempts a ON a.payment_id = p.id GROUP BY p.id`)
	if err != nil {
		return nil, fmt.Errorf("reading payments: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s PaymentState, err error) {
		err = row.Scan((*[16]byte)(&s.Payment), (*[16]byte)(&s.Booking), &s.Status, &s.Amount, &s.Currency, &s.Intents)
		return s, err
	})
}

// Unsettled counts what still moves: bookings that are not final, obligations and webhooks that are open, payments on
// their way. A sale has come to rest when all are zero.
type Unsettled struct {
	Bookings    int
	Obligations int
	Webhooks    int
	Payments    int
}

// Rest says that nothing moves.
func (u Unsettled) Rest() bool { return u == Unsettled{} }

// Unsettled counts on the primary.
func (db *DB) Unsettled(ctx context.Context) (u Unsettled, err error) {
	err = db.Write.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM bookings WHERE status IN ('held', 'offered', 'waitlisted', 'lapsed', 'frozen')),
		(SELECT count(*) FROM outbox WHERE status = 'pending'),
		(SELECT count(*) FROM webhook_inbox WHERE processed_at IS NULL),
		(SELECT count(*) FROM payments WHERE status IN ('authorised', 'confirmed'))`).
		Scan(&u.Bookings, &u.Obligations, &u.Webhooks, &u.Payments)
	if err != nil {
		return u, fmt.Errorf("counting what is unsettled: %w", err)
	}
	return u, nil
}
