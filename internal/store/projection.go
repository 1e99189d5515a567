package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// Names of the projections in projection_offsets.
const (
	ProjectionBookings = "bookings" // tables of bookings, stock, payments
	ProjectionBridge   = "bridge"   // what the log `queue` has been told
)

// ErrProjectionMoved: what the database knows is not what the writer thought it had written. The database was rolled
// back by a failover, or somebody else writes the same projection. Read Projected again and go on from there.
var ErrProjectionMoved = errors.New("projection is not where its writer left it")

// Projected is how far a projection of one partition of outcomes has come.
type Projected struct {
	NextSeq    uint64 // of the next outcome wanted, from 1
	NextOffset int64  // of the outcomes topic, where to read on
	Hash       uint64 // the running hash before NextSeq
	Outage     int64  // µs, sum of all outages so far
	LogTime    int64  // µs, of the newest tick
	Chain      []byte // head of the log's chain at that tick; empty before the first
}

// Projected reads where a projection stands; the zero state with NextSeq 1 if it never wrote anything.
func (db *DB) Projected(ctx context.Context, projection string, partition int32) (Projected, error) {
	return projected(ctx, db.Write, projection, partition)
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func projected(ctx context.Context, q querier, projection string, partition int32) (Projected, error) {
	at := Projected{NextSeq: 1, Chain: []byte{}}
	var seq, hash int64
	err := q.QueryRow(ctx, `SELECT next_seq, next_offset, hash, outage, log_time, chain FROM projection_offsets
		WHERE projection = $1 AND partition = $2`, projection, partition).
		Scan(&seq, &at.NextOffset, &hash, &at.Outage, &at.LogTime, &at.Chain)
	if errors.Is(err, pgx.ErrNoRows) {
		return at, nil
	}
	if err != nil {
		return at, fmt.Errorf("reading where projection %s/%d stands: %w", projection, partition, err)
	}
	at.NextSeq, at.Hash = uint64(seq), uint64(hash)
	return at, nil
}

// Project moves a projection from one state to the next and writes its rows, in one transaction: all of it or nothing.
// It returns ErrProjectionMoved, and writes nothing, unless the database stands exactly at from.
func (db *DB) Project(ctx context.Context, projection string, partition int32, from, to Projected, write func(context.Context, *Projection) error) error {
	return pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error {
		if err := stand(ctx, tx, projection, partition, from); err != nil {
			return err
		}
		p := &Projection{tx: tx, partition: partition}
		p.queue(`UPDATE projection_offsets SET next_seq = $3, next_offset = $4, hash = $5, outage = $6, log_time = $7, chain = $8
			WHERE projection = $1 AND partition = $2`,
			projection, partition, int64(to.NextSeq), to.NextOffset, int64(to.Hash), to.Outage, to.LogTime, notNil(to.Chain))
		if err := write(ctx, p); err != nil {
			return err
		}
		if err := tx.SendBatch(ctx, &p.batch).Close(); err != nil {
			return fmt.Errorf("writing projection %s/%d: %w", projection, partition, err)
		}
		return nil
	})
}

// stand locks a projection's row until the end of the transaction and compares it: a second writer waits here, and then
// finds that it moved.
func stand(ctx context.Context, tx pgx.Tx, projection string, partition int32, from Projected) error {
	if from.NextSeq == 1 {
		_, err := tx.Exec(ctx, `INSERT INTO projection_offsets (projection, partition, next_seq, next_offset, hash)
			VALUES ($1, $2, 1, 0, 0) ON CONFLICT DO NOTHING`, projection, partition)
		if err != nil {
			return fmt.Errorf("beginning projection %s/%d: %w", projection, partition, err)
		}
	}
	at := Projected{NextSeq: 1}
	var seq, hash int64
	err := tx.QueryRow(ctx, `SELECT next_seq, hash FROM projection_offsets WHERE projection = $1 AND partition = $2 FOR UPDATE`,
		projection, partition).Scan(&seq, &hash)
	switch {
	case err == nil:
		at.NextSeq, at.Hash = uint64(seq), uint64(hash)
	case !errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("moving projection %s/%d: %w", projection, partition, err)
	}
	if !at.Stands(from) {
		return fmt.Errorf("%w: %s/%d at outcome %d", ErrProjectionMoved, projection, partition, from.NextSeq)
	}
	return nil
}

// Stands says whether a projection is where a writer left it.
func (at Projected) Stands(left Projected) bool {
	return at.NextSeq == left.NextSeq && at.Hash == left.Hash
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Projection collects the rows of one transaction, in order. Rows about a booking that is not there change nothing.
type Projection struct {
	tx        pgx.Tx
	batch     pgx.Batch
	partition int32
}

// Fact is what every row of a projection is derived from: one outcome.
type Fact struct {
	Event   int64
	Booking wire.ID
	Offset  int64 // of the record
	Seq     uint64
	At      time.Time // log time
}

// Cause names the fact in outbox, notifications and refunds: "orders/0/123".
func (p *Projection) Cause(f Fact) string { return fmt.Sprintf("orders/%d/%d", p.partition, f.Seq) }

// KnownEvents says which of the events have a row.
func (p *Projection) KnownEvents(ctx context.Context, ids []int64) (map[int64]bool, error) {
	rows, err := p.tx.Query(ctx, `SELECT id FROM events WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("looking for events: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("looking for events: %w", err)
	}
	known := make(map[int64]bool, len(found))
	for _, id := range found {
		known[id] = true
	}
	return known, nil
}

func (p *Projection) queue(sql string, args ...any) { p.batch.Queue(sql, args...) }

// EventChanged notes an operator change of an event. Nil fields stay as they are.
func (p *Projection) EventChanged(f Fact, selling, cancelled *bool) {
	p.queue(`UPDATE events SET defined = true, selling = coalesce($2, selling), cancelled = coalesce($3, cancelled), changed_seq = $4
		WHERE id = $1`, f.Event, selling, cancelled, int64(f.Seq))
}

// CardLimit sets how many bookings of an event one card may pay for.
func (p *Projection) CardLimit(f Fact, most uint16) {
	p.queue(`UPDATE events SET per_card = $2, per_card_seq = $3 WHERE id = $1`, f.Event, int(most), int64(f.Seq))
}

// TypeChanged notes an operator change of a ticket type.
func (p *Projection) TypeChanged(f Fact, kind uint32) {
	p.queue(`UPDATE ticket_types SET changed_seq = $3 WHERE event_id = $1 AND type = $2`, f.Event, int64(kind), int64(f.Seq))
}

// Price sets what later holds of a type cost.
func (p *Projection) Price(event int64, kind uint32, price wire.Price) {
	p.queue(`UPDATE ticket_types SET price = $3, fee = $4, tax_rate = $5, tax_included = $6 WHERE event_id = $1 AND type = $2`,
		event, int64(kind), price.Ticket, price.Fee, int64(price.TaxRate), price.Included)
}

// Stock sets a type's numbers.
func (p *Projection) Stock(event int64, s wire.Stock) {
	p.queue(`UPDATE ticket_types SET capacity = $3, target = $4, held = $5, sold = $6, free = $7 WHERE event_id = $1 AND type = $2`,
		event, int64(s.Type), int64(s.Capacity), int64(s.Target), int64(s.Held), int64(s.Sold), int64(s.Free))
}

const newBooking = `
	INSERT INTO bookings (id, event_id, user_id, user_key, status, currency, total, deadline, expires_at, ticket_base, pass, partition,
		log_offset, first_seq, last_seq, created_at, updated_at, first_outcome)
	SELECT $1, id, $3, $4, $5, currency, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $14, $5 FROM events WHERE id = $2
	ON CONFLICT (id) DO UPDATE SET event_id = excluded.event_id, user_id = excluded.user_id, user_key = excluded.user_key,
		status = excluded.status, reason = '', currency = excluded.currency, total = excluded.total, deadline = excluded.deadline,
		expires_at = excluded.expires_at, ticket_base = excluded.ticket_base, pass = excluded.pass, partition = excluded.partition,
		log_offset = excluded.log_offset, first_seq = excluded.first_seq, last_seq = excluded.last_seq,
		created_at = excluded.created_at, updated_at = excluded.updated_at, first_outcome = excluded.first_outcome`

// Held makes a booking. The id of one that ended unpaid long ago may come again: then it begins anew.
func (p *Projection) Held(f Fact, r *wire.Reserved, pass wire.ID) {
	var used []byte
	if pass != (wire.ID{}) {
		used = pass[:]
	}
	p.queue(newBooking, sale.UUID(f.Booking), f.Event, string(r.Subject), r.UserKey[:], "held", r.Total, r.Deadline,
		instant(r.Expires), sale.UUID(r.TicketBase), used, p.partition, f.Offset, int64(f.Seq), f.At)
	p.lines(f.Booking, r.Lines)
}

// Waitlisted makes a booking that waits; its lines have no price yet.
func (p *Projection) Waitlisted(f Fact, w *wire.Waitlisted) {
	p.queue(newBooking, sale.UUID(f.Booking), f.Event, string(w.Subject), w.UserKey[:], "waitlisted", int64(0), int64(0),
		(*time.Time)(nil), sale.UUID(w.TicketBase), []byte(nil), p.partition, f.Offset, int64(f.Seq), f.At)
	lines := make([]wire.HeldLine, len(w.Lines))
	for i, l := range w.Lines {
		lines[i] = wire.HeldLine{Type: l.Type, Quantity: l.Quantity, Seat: l.Seat}
	}
	p.lines(f.Booking, lines)
}

// Offered turns a waiting booking into a hold with a price and a deadline.
func (p *Projection) Offered(f Fact, r *wire.Reserved) {
	p.queue(`UPDATE bookings SET status = 'offered', total = $2, deadline = $3, expires_at = $4, last_seq = $5, updated_at = $6 WHERE id = $1`,
		sale.UUID(f.Booking), r.Total, r.Deadline, instant(r.Expires), int64(f.Seq), f.At)
	p.lines(f.Booking, r.Lines)
}

func (p *Projection) lines(booking wire.ID, lines []wire.HeldLine) {
	id := sale.UUID(booking)
	p.queue(`DELETE FROM booking_lines WHERE booking_id = $1`, id)
	for i, l := range lines {
		p.queue(`INSERT INTO booking_lines (booking_id, line, type, quantity, seat, price, fee, tax_rate, tax_included, discount, tax, total)
			SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM bookings WHERE id = $1`,
			id, i, int64(l.Type), int64(l.Quantity), int64(l.Seat), l.Price.Ticket, l.Price.Fee, int64(l.Price.TaxRate),
			l.Price.Included, l.Discount, l.Tax, l.Total)
	}
}

// Status moves a booking to a status without a deadline.
func (p *Projection) Status(f Fact, status, reason string) {
	p.queue(`UPDATE bookings SET status = $2, reason = $3, deadline = 0, expires_at = NULL, last_seq = $4, updated_at = $5 WHERE id = $1`,
		sale.UUID(f.Booking), status, reason, int64(f.Seq), f.At)
}

// Deadline moves one live booking's deadline: elapsed log time and the instant it stands for.
func (p *Projection) Deadline(f Fact, deadline, expires int64) {
	p.queue(`UPDATE bookings SET deadline = $2, expires_at = $3, last_seq = $4, updated_at = $5
		WHERE id = $1 AND status IN ('held', 'offered', 'frozen')`,
		sale.UUID(f.Booking), deadline, instant(expires), int64(f.Seq), f.At)
}

// DeadlinesOfEvent moves the deadlines of an event's live bookings by a length in µs.
func (p *Projection) DeadlinesOfEvent(f Fact, by int64) {
	p.queue(`UPDATE bookings SET deadline = deadline + $2::bigint, expires_at = expires_at + $2::bigint * interval '1 microsecond', updated_at = $3
		WHERE event_id = $1 AND status IN ('held', 'offered', 'frozen')`, f.Event, by, f.At)
}

// Outage moves the instants of the whole partition's deadlines by a length in µs; in elapsed time they stay.
func (p *Projection) Outage(by int64) {
	p.queue(`UPDATE bookings SET expires_at = expires_at + $2::bigint * interval '1 microsecond'
		WHERE partition = $1 AND status IN ('held', 'offered', 'frozen')`, p.partition, by)
}

// Frozen takes the validity of a sold booking's tickets until it is paid again: by another attempt, for the frozen one is
// over, whoever hears of it first.
func (p *Projection) Frozen(f Fact, attempt wire.ID, deadline, expires int64) {
	p.queue(`UPDATE bookings SET status = 'frozen', deadline = $2, expires_at = $3, last_seq = $4, updated_at = $5 WHERE id = $1`,
		sale.UUID(f.Booking), deadline, instant(expires), int64(f.Seq), f.At)
	p.queue(`UPDATE tickets SET status = 'frozen' WHERE booking_id = $1 AND status IN ('confirmed', 'valid')`, sale.UUID(f.Booking))
	p.queue(`UPDATE payments SET status = 'started', updated_at = $2 WHERE booking_id = $1 AND status IN ('authorised', 'confirmed')`,
		sale.UUID(f.Booking), f.At)
	p.queue(`UPDATE payment_attempts SET status = 'failed', updated_at = $2 WHERE id = $1 AND status IN ('creating', 'open', 'authorised', 'confirmed')`,
		sale.UUID(attempt), f.At)
}

// AttemptRefused notes why the log refused an authorisation; the obligation to release it comes beside. Where a card has paid
// for as many bookings as one may, the attempt is over, whoever hears of it first: another card need not wait until the
// provider has released this one. The fan is told so once an attempt, if there is still something to pay.
func (p *Projection) AttemptRefused(f Fact, attempt wire.ID, reason string) {
	// The booking's row first, then the payment's, then the attempt's, as everybody locks them.
	p.queue(`SELECT 1 FROM bookings WHERE id = $1 FOR NO KEY UPDATE`, sale.UUID(f.Booking))
	p.queue(`UPDATE payments SET updated_at = $2 WHERE booking_id = $1`, sale.UUID(f.Booking), f.At)
	p.queue(`UPDATE payment_attempts SET error_code = $2, updated_at = $3 WHERE id = $1`, sale.UUID(attempt), reason, f.At)
	if reason != wire.ReasonMethodLimit.String() {
		return
	}
	// Told again of an attempt that is over, the payment may be another one's.
	p.queue(`UPDATE payments p SET status = 'started' WHERE booking_id = $1 AND status = 'authorised' AND EXISTS (SELECT FROM payment_attempts a
			WHERE a.id = $2 AND a.payment_id = p.id AND a.status IN ('creating', 'open', 'authorised'))`, sale.UUID(f.Booking), sale.UUID(attempt))
	p.queue(`UPDATE payment_attempts SET status = 'failed' WHERE id = $1 AND status IN ('creating', 'open', 'authorised')`, sale.UUID(attempt))
	p.tell(f, "cardLimit", []byte("{}"), "refused/"+sale.UUID(attempt).String(), true)
}

// newTickets gives a booking its tickets: numbered through its lines, ids counted up from the base (sale.TicketID), the
// minor units that do not divide on a line's first tickets.
const newTickets = `
	INSERT INTO tickets (id, booking_id, number, event_id, type, status, amount)
	SELECT (left(base, 26) || lpad(to_hex((('x' || right(base, 6))::bit(24)::int + number) & 16777215), 6, '0'))::uuid,
		booking, number, event, type, $2, amount
	FROM (SELECT replace(b.ticket_base::text, '-', '') AS base, b.id AS booking, b.event_id AS event, l.type AS type,
			(row_number() OVER (ORDER BY l.line, k) - 1)::int AS number,
			l.total / l.quantity + CASE WHEN k < l.total % l.quantity THEN 1 ELSE 0 END AS amount
		FROM bookings b JOIN booking_lines l ON l.booking_id = b.id, generate_series(0, l.quantity - 1) k WHERE b.id = $1) t
	ON CONFLICT DO NOTHING`

// Confirmed sells a booking: its tickets exist, or count again after a freeze, and its payment is due to be captured.
// What costs nothing is valid at once.
func (p *Projection) Confirmed(f Fact, c *wire.Confirmed) {
	status := "confirmed"
	if c.Amount == 0 {
		status = "captured"
	}
	p.Status(f, "confirmed", "")
	ticket := "confirmed"
	if c.Amount == 0 {
		ticket = "valid"
	}
	p.queue(`UPDATE tickets SET status = $2 WHERE booking_id = $1 AND status = 'frozen'`, sale.UUID(f.Booking), ticket)
	p.queue(newTickets, sale.UUID(f.Booking), ticket)
	p.queue(`UPDATE payments SET status = $2, updated_at = $3 WHERE booking_id = $1 AND status IN ('started', 'authorised', 'confirmed')`,
		sale.UUID(f.Booking), status, f.At)
	p.queue(`UPDATE payment_attempts SET status = $2, updated_at = $3 WHERE id = $1 AND status IN ('creating', 'open', 'authorised')`,
		sale.UUID(c.Attempt), status, f.At)
}

// Capture obliges to take the money of a confirmed attempt, by the provider's object.
func (p *Projection) Capture(f Fact, c *wire.Confirmed, intent string) {
	p.queue(`INSERT INTO outbox (kind, cause, payload) SELECT 'payment:capture', $2, jsonb_build_object('eventId', event_id,
			'bookingId', id, 'attemptId', $3::uuid, 'intent', $4::text, 'amount', $5::bigint, 'currency', currency)
		FROM bookings WHERE id = $1 ON CONFLICT DO NOTHING`,
		sale.UUID(f.Booking), p.Cause(f), sale.UUID(c.Attempt), intent, c.Amount)
}

// ticketsRefunded makes a refund due: the price of its tickets, less the fees and their tax where the order said so. A
// refund that is there already was made at the provider; it only learns which tickets it was for. One that has failed
// meanwhile is owed from now on, for its tickets are gone.
const ticketsRefunded = `
	INSERT INTO refunds (id, payment_id, booking_id, amount, retained, currency, tickets, status, cause)
	SELECT $2, p.id, p.booking_id, $3::bigint - kept.amount, kept.amount, p.currency, $4, 'due', $5
	FROM payments p, LATERAL (SELECT least($3::bigint, coalesce(sum(fg_fee(l.fee, l.tax_rate, l.tax_included)), 0))::bigint AS amount
		FROM refund_orders o JOIN tickets t ON t.booking_id = $1 AND t.number = ANY($4)
		JOIN LATERAL (SELECT * FROM booking_lines WHERE booking_id = $1 AND type = t.type ORDER BY line LIMIT 1) l ON true
		WHERE o.id = $2 AND NOT o.fees) kept
	WHERE p.booking_id = $1
	ON CONFLICT (id) DO UPDATE SET tickets = excluded.tickets,
		status = CASE WHEN refunds.status = 'cancelled' AND refunds.origin = 'provider' THEN 'failed' ELSE refunds.status END`

// TicketsRefunded ends named tickets; whole says that none is left.
func (p *Projection) TicketsRefunded(f Fact, t *wire.TicketsRefunded) {
	numbers := make([]int16, len(t.Tickets))
	for i, n := range t.Tickets {
		numbers[i] = int16(n)
	}
	p.queue(`UPDATE tickets SET status = 'refunded' WHERE booking_id = $1 AND number = ANY($2)`, sale.UUID(f.Booking), numbers)
	p.queue(ticketsRefunded, sale.UUID(f.Booking), sale.UUID(t.Refund), t.Amount, numbers, p.Cause(f))
	p.queue(`INSERT INTO outbox (kind, cause, payload) SELECT 'payment:refund', cause, jsonb_build_object('eventId', $2::bigint,
			'bookingId', booking_id, 'refundId', id, 'amount', amount, 'currency', currency)
		FROM refunds WHERE cause = $1 ON CONFLICT DO NOTHING`, p.Cause(f), f.Event)
	if t.Whole {
		p.Status(f, "refunded", "")
		return
	}
	p.queue(`UPDATE bookings SET last_seq = $2, updated_at = $3 WHERE id = $1`, sale.UUID(f.Booking), int64(f.Seq), f.At)
}

// Revoked ends a booking and its tickets. A booking whose money was taken, or is being taken, is refunded whole; of any
// other whose payment began the authorisation is released.
func (p *Projection) Revoked(f Fact, reason string) {
	id, cause := sale.UUID(f.Booking), p.Cause(f)
	p.queue(`INSERT INTO outbox (kind, cause, payload)
		SELECT CASE WHEN b.status = 'confirmed' AND b.total > 0 THEN 'payment:refund' ELSE 'payment:void' END, $2,
			jsonb_build_object('eventId', b.event_id, 'bookingId', b.id)
		FROM bookings b WHERE b.id = $1 AND (b.status = 'confirmed' AND b.total > 0 OR EXISTS (SELECT FROM payments WHERE booking_id = b.id))
		ON CONFLICT DO NOTHING`, id, cause)
	p.queue(`UPDATE tickets SET status = 'revoked' WHERE booking_id = $1 AND status <> 'refunded'`, id)
	p.Status(f, "revoked", reason)
}

// Oblige adds an obligation of the fact. payload becomes JSON.
func (p *Projection) Oblige(f Fact, kind string, payload any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("obligation %s: %w", kind, err)
	}
	p.queue(`INSERT INTO outbox (kind, cause, payload) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, kind, p.Cause(f), body)
	return nil
}

// VoidBooking obliges to release every authorisation of a booking that ended, if a payment of it ever began.
func (p *Projection) VoidBooking(f Fact) {
	p.queue(`INSERT INTO outbox (kind, cause, payload)
		SELECT 'payment:void', $2, jsonb_build_object('eventId', event_id, 'bookingId', booking_id) FROM payments WHERE booking_id = $1
		ON CONFLICT DO NOTHING`, sale.UUID(f.Booking), p.Cause(f))
}

// Notify tells the booking's user, and obliges to mail it. data becomes JSON and must hold no secret.
func (p *Projection) Notify(f Fact, kind string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("notification %s: %w", kind, err)
	}
	p.tell(f, kind, body, p.Cause(f), false)
	return nil
}

// tell is Notify with a cause of its own; payable says that it is only for those who still have something to pay.
func (p *Projection) tell(f Fact, kind string, data []byte, cause string, payable bool) {
	p.queue(`WITH told AS (
			INSERT INTO notifications (user_id, kind, event_id, booking_id, data, cause, created_at)
			SELECT user_id, $2, event_id, id, $3, $4, $5 FROM bookings
			WHERE id = $1 AND (NOT $6 OR status IN ('held', 'offered', 'frozen')) ON CONFLICT DO NOTHING RETURNING cause)
		INSERT INTO outbox (kind, cause) SELECT 'notify:mail', cause FROM told ON CONFLICT DO NOTHING`,
		sale.UUID(f.Booking), kind, data, cause, f.At, payable)
}

// Answer remembers the first outcome of a command. A repetition changes nothing.
func (p *Projection) Answer(f Fact, command wire.ID, outcome string, detail any) error {
	body, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("answer %s: %w", outcome, err)
	}
	p.queue(`INSERT INTO commands (id, partition, log_offset, seq, event_id, booking_id, outcome, detail, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING`,
		command[:], p.partition, f.Offset, int64(f.Seq), f.Event, sale.UUID(f.Booking), outcome, body, f.At)
	return nil
}

// ForgetAnswers drops at most limit answers of the partition from before an instant of log time.
func (p *Projection) ForgetAnswers(before time.Time, limit int) {
	p.queue(`DELETE FROM commands WHERE id IN (SELECT id FROM commands WHERE at < $2 AND partition = $1 ORDER BY at LIMIT $3)`,
		p.partition, before, limit)
}

func instant(micros int64) *time.Time {
	t := time.UnixMicro(micros).UTC()
	return &t
}
