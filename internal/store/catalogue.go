package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

const eventColumns = `e.id, e.organiser_id, e.merchant_account_id, coalesce(e.room_id, 0), coalesce(r.partition, 0), e.name,
	e.venue, e.city, e.description, e.zone, e.starts_at, e.ends_at, e.start_date, e.end_date, e.currency, e.partition, e.per_user,
	e.hold_seconds, e.offer_seconds, e.grace_seconds, e.frozen_seconds, e.defined, e.selling, e.cancelled, e.changed_seq,
	e.created_at, e.per_card, e.per_card_seq`

func scanEvent(row pgx.CollectableRow) (e Event, err error) {
	var hold, offer, grace, frozen int64
	err = row.Scan(&e.ID, &e.Organiser, &e.Merchant, &e.Room, &e.RoomPartition, &e.Name, &e.Venue, &e.City, &e.Description,
		&e.Zone, &e.StartsAt, &e.EndsAt, &e.StartDate, &e.EndDate, &e.Currency, &e.Partition, &e.PerUser, &hold, &offer, &grace,
		&frozen, &e.Defined, &e.Selling, &e.Cancelled, &e.ChangedSeq, &e.Created, &e.PerCard, &e.PerCardSeq)
	for d, n := range map[*time.Duration]int64{&e.Hold: hold, &e.Offer: offer, &e.Grace: grace, &e.Frozen: frozen} {
		*d = time.Duration(n) * time.Second
	}
	return e, err
}

// Event reads an event with its ticket types; ErrNotFound if there is none. A row just created may be missing on a
// replica, so the primary is asked then.
func (db *DB) Event(ctx context.Context, id int64) (Event, error) {
	found, err := db.events(ctx, db.Read, `WHERE e.id = $1`, id)
	if err == nil && len(found) == 0 && db.Read != db.Write {
		found, err = db.events(ctx, db.Write, `WHERE e.id = $1`, id)
	}
	if err != nil {
		return Event{}, fmt.Errorf("reading event %d: %w", id, err)
	}
	if len(found) == 0 {
		return Event{}, fmt.Errorf("event %d: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// Events lists an organiser's events, newest first, at most limit; organiser 0 means all.
func (db *DB) Events(ctx context.Context, organiser int64, limit int) ([]Event, error) {
	found, err := db.events(ctx, db.Read, `WHERE $1 = 0 OR e.organiser_id = $1 ORDER BY e.id DESC LIMIT $2`, organiser, limit)
	if err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	return found, nil
}

// RoomEvents lists the events behind a waiting room, in order of their start.
func (db *DB) RoomEvents(ctx context.Context, room int64) ([]Event, error) {
	found, err := db.events(ctx, db.Read, `WHERE e.room_id = $1 ORDER BY e.starts_at, e.id`, room)
	if err != nil {
		return nil, fmt.Errorf("listing the events of room %d: %w", room, err)
	}
	return found, nil
}

// UndefinedEvents lists events that the log may not know yet, oldest first; it asks the primary.
func (db *DB) UndefinedEvents(ctx context.Context, limit int) ([]Event, error) {
	found, err := db.events(ctx, db.Write, `WHERE NOT e.defined ORDER BY e.id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("listing undefined events: %w", err)
	}
	return found, nil
}

// queryer is a pool or a transaction.
type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (db *DB) events(ctx context.Context, from queryer, where string, args ...any) ([]Event, error) {
	rows, err := from.Query(ctx, `SELECT `+eventColumns+` FROM events e LEFT JOIN rooms r ON r.id = e.room_id `+where, args...)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanEvent)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	at := make(map[int64]*Event, len(found))
	ids := make([]int64, len(found))
	for i := range found {
		at[found[i].ID], ids[i] = &found[i], found[i].ID
	}
	rows, err = from.Query(ctx, `
		SELECT event_id, type, name, is_default, per_user, price, fee, tax_rate, tax_included, capacity, target, held, sold, free,
			changed_seq FROM ticket_types WHERE event_id = ANY($1) ORDER BY event_id, type`, ids)
	if err != nil {
		return nil, err
	}
	var id int64
	var t TicketType
	_, err = pgx.ForEachRow(rows, []any{&id, &t.Type, &t.Name, &t.Default, &t.PerUser, &t.Price.Ticket, &t.Price.Fee,
		&t.Price.TaxRate, &t.Price.Included, &t.Capacity, &t.Target, &t.Held, &t.Sold, &t.Free, &t.ChangedSeq}, func() error {
		at[id].Types = append(at[id].Types, t)
		return nil
	})
	return found, err
}

// EventQuery asks for events that the log knows. Zero values ask for nothing in particular.
type EventQuery struct {
	Text  string    // words of the name, accents and case ignored; the last may be the beginning of one
	From  time.Time // dates (midnight UTC) that the event's local dates overlap, inclusive
	To    time.Time
	After EventCursor
	Limit int // 1 to MaxEventsPage
}

// EventCursor is where a page of events ended: they are ordered by start date, then id.
type EventCursor struct {
	Date time.Time
	ID   int64
}

// EventSummary is an event as a list shows it.
type EventSummary struct {
	ID        int64
	Name      string
	Venue     string
	City      string
	Zone      string
	StartsAt  time.Time
	EndsAt    time.Time
	StartDate time.Time
	EndDate   time.Time
	Currency  string
	Room      int64
	Selling   bool
	Cancelled bool
	PriceFrom int64 // lowest price of one ticket as its buyer pays it, minor units
	Left      int64 // tickets free, over all types
}

// SearchEvents answers a query, at most Limit rows, in order. What was written a moment ago may be missing.
func (db *DB) SearchEvents(ctx context.Context, q EventQuery) ([]EventSummary, error) {
	// plainto_tsquery quotes whatever it is given, so its text with a prefix mark behind the last word is a query again.
	rows, err := db.Read.Query(ctx, `
		WITH q AS (SELECT plainto_tsquery('simple', fg_plain($1))::text AS words)
		SELECT e.id, e.name, e.venue, e.city, e.zone, e.starts_at, e.ends_at, e.start_date, e.end_date, e.currency,
			coalesce(e.room_id, 0), e.selling, e.cancelled
		FROM events e, q
		WHERE e.defined
			AND ($1 = '' OR q.words <> '' AND e.search @@ (q.words || ':*')::tsquery)
			AND ($2::date IS NULL OR e.end_date >= $2) AND ($3::date IS NULL OR e.start_date <= $3)
			AND ($4::date IS NULL OR (e.start_date, e.id) > ($4, $5))
		ORDER BY e.start_date, e.id LIMIT $6`,
		q.Text, orNull(q.From), orNull(q.To), orNull(q.After.Date), q.After.ID, min(max(q.Limit, 1), MaxEventsPage))
	if err != nil {
		return nil, fmt.Errorf("searching events: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s EventSummary, err error) {
		err = row.Scan(&s.ID, &s.Name, &s.Venue, &s.City, &s.Zone, &s.StartsAt, &s.EndsAt, &s.StartDate, &s.EndDate, &s.Currency,
			&s.Room, &s.Selling, &s.Cancelled)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("searching events: %w", err)
	}
	return found, db.priceEvents(ctx, found)
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// priceEvents fills in what is left and from which price.
func (db *DB) priceEvents(ctx context.Context, found []EventSummary) error {
	at := make(map[int64]*EventSummary, len(found))
	ids := make([]int64, len(found))
	for i := range found {
		at[found[i].ID], ids[i] = &found[i], found[i].ID
		found[i].PriceFrom = -1
	}
	rows, err := db.Read.Query(ctx, `SELECT event_id, price, fee, tax_rate, tax_included, free FROM ticket_types WHERE event_id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("pricing events: %w", err)
	}
	var id, free int64
	var p sale.Price
	_, err = pgx.ForEachRow(rows, []any{&id, &p.Ticket, &p.Fee, &p.TaxRate, &p.Included, &free}, func() error {
		s, total := at[id], sale.LineOf(p, 1, 0).Total
		if s.PriceFrom < 0 || total < s.PriceFrom {
			s.PriceFrom = total
		}
		s.Left += free
		return nil
	})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("pricing events: %w", err)
	}
	return nil
}
