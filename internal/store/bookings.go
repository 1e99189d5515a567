package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// MaxUserPage is the most rows of one page of a user's bookings or notifications.
const MaxUserPage = 100

// BookingLine is a line as it was frozen at the hold; amounts are 0 while waitlisted.
type BookingLine struct {
	Type     uint32
	Quantity int
	Seat     uint32
	Price    sale.Price // per ticket
	Discount int64      // of the line
	Tax      int64      // of the line
	Total    int64      // of the line
}

// Booking is a booking as the log told it, up to LastSeq. Amounts are minor units.
type Booking struct {
	ID        sale.UUID
	Event     int64
	User      string
	Status    string // as the column spells it
	Reason    string // of the end, as wire.Reason names it
	Currency  string
	Total     int64
	Expires   time.Time // of a hold, offer or freeze; else zero
	Partition int32
	Offset    int64     // its place in the log
	FirstSeq  uint64    // of the outcome that made it
	FirstKind wire.Kind // of that outcome: wire.KindHeld or wire.KindWaitlisted
	LastSeq   uint64    // of the outcome that changed it last
	Created   time.Time
	Updated   time.Time
	Lines     []BookingLine
}

// Ticket is one ticket of a booking.
type Ticket struct {
	ID     sale.UUID
	Number int
	Type   uint32
	Status string // confirmed, valid (paid for: scans), frozen, refunded, revoked
	Amount int64
}

// Settlement is what belongs to a booking once it is being paid.
type Settlement struct {
	Payment sale.UUID // zero if there is none
	Status  string    // of the payment
	Intent  string    // of its newest attempt; empty if none
	Refused string    // why the log refused the newest attempt, or the bank's word on its last card; empty if neither
	Tickets []Ticket
}

// A booking whose row an older projector wrote does not say how it began; the notification of its beginning does.
const bookingColumns = `id, event_id, user_id, status, reason, currency, total, expires_at, partition, log_offset, last_seq,
	created_at, updated_at, first_seq, coalesce(nullif(first_outcome, ''),
		(SELECT kind FROM notifications n WHERE n.cause = 'orders/' || partition || '/' || first_seq), 'held')`

func scanBooking(row pgx.CollectableRow) (b Booking, err error) {
	var expires *time.Time
	var first string
	err = row.Scan(&b.ID, &b.Event, &b.User, &b.Status, &b.Reason, &b.Currency, &b.Total, &expires, &b.Partition, &b.Offset,
		&b.LastSeq, &b.Created, &b.Updated, &b.FirstSeq, &first)
	b.FirstKind = wire.KindHeld
	if first == "waitlisted" {
		b.FirstKind = wire.KindWaitlisted
	}
	switch b.Status {
	case "held", "offered", "frozen":
		b.Expires = orZero(expires)
	}
	return b, err
}

// Booking reads a booking; ErrNotFound if it is not (yet) projected. A replica may be behind, so the primary is asked
// when it knows nothing.
func (db *DB) Booking(ctx context.Context, id sale.UUID) (Booking, error) {
	found, err := db.bookings(ctx, db.Read, `WHERE id = $1`, id)
	if err == nil && len(found) == 0 && db.Read != db.Write {
		found, err = db.bookings(ctx, db.Write, `WHERE id = $1`, id)
	}
	if err != nil {
		return Booking{}, fmt.Errorf("reading a booking: %w", err)
	}
	if len(found) == 0 {
		return Booking{}, fmt.Errorf("booking %s: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// PayableBooking is what a payment of a user for an event means: the live hold, offer or freeze, else the latest booking
// that was paid. It asks the primary, because money hangs on it. ErrNotFound if there is neither.
func (db *DB) PayableBooking(ctx context.Context, user string, event int64) (Booking, error) {
	found, err := db.bookings(ctx, db.Write, `
		WHERE user_id = $1 AND event_id = $2 AND status IN ('held', 'offered', 'frozen', 'confirmed', 'refunded')
		ORDER BY (status IN ('held', 'offered', 'frozen')) DESC, first_seq DESC LIMIT 1`, user, event)
	if err != nil {
		return Booking{}, fmt.Errorf("reading what can be paid: %w", err)
	}
	if len(found) == 0 {
		return Booking{}, fmt.Errorf("a booking to pay: %w", ErrNotFound)
	}
	return found[0], nil
}

// PageCursor is where a page of a user's rows ended, newest first: the instant and id of its last row.
type PageCursor struct {
	At time.Time
	ID string
}

// UserBookings lists a user's bookings, newest first, behind a cursor (zero for the first page).
func (db *DB) UserBookings(ctx context.Context, user string, after PageCursor, limit int) ([]Booking, error) {
	found, err := db.bookings(ctx, db.Read, `
		WHERE user_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id::text) < ($2, $3))
		ORDER BY created_at DESC, id::text DESC LIMIT $4`, user, orNull(after.At), after.ID, min(max(limit, 1), MaxUserPage))
	if err != nil {
		return nil, fmt.Errorf("listing a user's bookings: %w", err)
	}
	return found, nil
}

func (db *DB) bookings(ctx context.Context, from queryer, where string, args ...any) ([]Booking, error) {
	rows, err := from.Query(ctx, `SELECT `+bookingColumns+` FROM bookings `+where, args...)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanBooking)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	at := make(map[sale.UUID]*Booking, len(found))
	ids := make([]sale.UUID, len(found))
	for i := range found {
		at[found[i].ID], ids[i] = &found[i], found[i].ID
	}
	rows, err = from.Query(ctx, `
		SELECT booking_id, type, quantity, seat, price, fee, tax_rate, tax_included, discount, tax, total
		FROM booking_lines WHERE booking_id = ANY($1) ORDER BY booking_id, line`, ids)
	if err != nil {
		return nil, err
	}
	var id sale.UUID
	var l BookingLine
	_, err = pgx.ForEachRow(rows, []any{&id, &l.Type, &l.Quantity, &l.Seat, &l.Price.Ticket, &l.Price.Fee, &l.Price.TaxRate,
		&l.Price.Included, &l.Discount, &l.Tax, &l.Total}, func() error {
		at[id].Lines = append(at[id].Lines, l)
		return nil
	})
	return found, err
}

// Settlement reads a booking's payment and tickets; a booking without either has an empty one.
func (db *DB) Settlement(ctx context.Context, booking sale.UUID) (s Settlement, err error) {
	rows, err := db.Read.Query(ctx, `
		SELECT p.id, p.status, coalesce(a.intent, ''), coalesce(a.error_code, '')
		FROM payments p LEFT JOIN LATERAL (SELECT intent, error_code FROM payment_attempts
			WHERE payment_id = p.id AND intent IS NOT NULL ORDER BY number DESC LIMIT 1) a ON true WHERE p.booking_id = $1`, booking)
	if err != nil {
		return s, fmt.Errorf("reading a booking's payment: %w", err)
	}
	if _, err = pgx.ForEachRow(rows, []any{&s.Payment, &s.Status, &s.Intent, &s.Refused}, func() error { return nil }); err != nil {
		return s, fmt.Errorf("reading a booking's payment: %w", err)
	}
	rows, err = db.Read.Query(ctx, `SELECT id, number, type, status, amount FROM tickets WHERE booking_id = $1 ORDER BY number`, booking)
	if err != nil {
		return s, fmt.Errorf("reading a booking's tickets: %w", err)
	}
	s.Tickets, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Ticket, err error) {
		err = row.Scan(&t.ID, &t.Number, &t.Type, &t.Status, &t.Amount)
		return t, err
	})
	if err != nil {
		return s, fmt.Errorf("reading a booking's tickets: %w", err)
	}
	return s, nil
}

// CommandAnswer is what the log made of a command.
type CommandAnswer struct {
	Event   int64
	Booking sale.UUID       // the booking that answers it
	Outcome string          // the outcome's name: held, waitlisted, alreadyHeld, refused, …
	Detail  json.RawMessage // a refusal's reason and lines
}

// Command reads what became of a command. known is false if it is not projected; logTime is then how far the
// projection of the event's partition has come (µs of log time; 0 if unknown): a command whose not-after lies before it
// had no effect and will have none. Both are of one instant.
func (db *DB) Command(ctx context.Context, id wire.ID, event int64) (c CommandAnswer, known bool, logTime int64, err error) {
	rows, err := db.Read.Query(ctx, `
		SELECT c.id IS NOT NULL, coalesce(c.event_id, 0), coalesce(c.booking_id, '00000000-0000-0000-0000-000000000000'),
			coalesce(c.outcome, ''), coalesce(c.detail, '{}'), coalesce((SELECT p.log_time FROM projection_offsets p
				JOIN events e ON e.partition = p.partition WHERE p.projection = 'bookings' AND e.id = $2), 0)
		FROM (SELECT 1) one LEFT JOIN commands c ON c.id = $1`, id[:], event)
	if err != nil {
		return c, false, 0, fmt.Errorf("reading a command: %w", err)
	}
	_, err = pgx.ForEachRow(rows, []any{&known, &c.Event, &c.Booking, &c.Outcome, &c.Detail, &logTime}, func() error { return nil })
	if err != nil {
		return c, false, 0, fmt.Errorf("reading a command: %w", err)
	}
	return c, known, logTime, nil
}

// Notification is something a user was told. Its mail, if any, is the workers'.
type Notification struct {
	ID      int64
	Kind    string // held, lapsed, confirmed, ticketsReady, …
	Event   int64  // 0 for none
	Booking sale.UUID
	Data    json.RawMessage
	Created time.Time
	Read    time.Time // zero if not yet
}

// UserNotifications lists what a user was told, newest first, from before an id on (0 for the newest).
func (db *DB) UserNotifications(ctx context.Context, user string, before int64, limit int) ([]Notification, error) {
	rows, err := db.Read.Query(ctx, `
		SELECT id, kind, coalesce(event_id, 0), coalesce(booking_id, '00000000-0000-0000-0000-000000000000'), data, created_at, read_at
		FROM notifications WHERE user_id = $1 AND ($2 = 0 OR id < $2) ORDER BY id DESC LIMIT $3`,
		user, before, min(max(limit, 1), MaxUserPage))
	if err != nil {
		return nil, fmt.Errorf("listing notifications: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (n Notification, err error) {
		var read *time.Time
		err = row.Scan(&n.ID, &n.Kind, &n.Event, &n.Booking, &n.Data, &n.Created, &read)
		n.Read = orZero(read)
		return n, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing notifications: %w", err)
	}
	return found, nil
}
