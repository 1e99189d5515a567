package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// LockBooking holds a booking against its next outcome and reads its status; ok is false if it is not projected.
func (m *Money) LockBooking(ctx context.Context, id sale.UUID) (status string, ok bool, err error) {
	err = m.tx.QueryRow(ctx, `SELECT status FROM bookings WHERE id = $1 FOR SHARE`, id).Scan(&status)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("locking a booking: %w", err)
	}
	return status, true, nil
}

// BookingOf holds a booking against its next outcome and reads it, without its lines; ok is false if it is not projected.
func (m *Money) BookingOf(ctx context.Context, id sale.UUID) (Booking, bool, error) {
	rows, err := m.tx.Query(ctx, `SELECT `+bookingColumns+` FROM bookings WHERE id = $1 FOR SHARE`, id)
	b, ok, err := one(rows, err, scanBooking)
	if err != nil {
		err = fmt.Errorf("reading a booking: %w", err)
	}
	return b, ok, err
}

// ProjectedUntil is the log time up to which the partition of an event is projected; zero if the event is unknown.
func (m *Money) ProjectedUntil(ctx context.Context, event int64) (time.Time, error) {
	var at int64
	err := m.tx.QueryRow(ctx, `SELECT coalesce(max(p.log_time), 0) FROM projection_offsets p JOIN events e ON e.partition = p.partition
		WHERE p.projection = $1 AND e.id = $2`, ProjectionBookings, event).Scan(&at)
	if err != nil || at == 0 {
		return time.Time{}, err
	}
	return time.UnixMicro(at), nil
}
