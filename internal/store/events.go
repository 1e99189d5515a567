package store

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// Limits of an event's row.
const (
	MaxEventTypes  = 64   // ticket types of one event
	MaxEventText   = 200  // characters of a name, venue or city
	MaxDescription = 4000 // characters
	MaxEventsPage  = 100  // events of one page of a search
)

// ErrNotFound: there is no such row.
var ErrNotFound = errors.New("not found")

// FieldError says which field of a row cannot be kept, in the field's JSON name, and what was expected.
type FieldError struct{ Field, Expected string }

// Error names the field.
func (e *FieldError) Error() string { return e.Field + ": expected " + e.Expected }

// TicketType is a kind of ticket of an event. Amounts are minor units of the event's currency. Price and the numbers of
// tickets are the log's, once the event is defined.
type TicketType struct {
	Type       uint32
	Name       string
	Default    bool // what a booking without items buys
	PerUser    int  // most tickets of this type a user may hold and own; 0 for no limit
	Price      sale.Price
	Capacity   int
	Target     int
	Held       int
	Sold       int
	Free       int
	ChangedSeq uint64 // sequence number of its last operator change
}

// Event is a row of events with its ticket types in order. Lengths of time are whole seconds. StartDate and EndDate are
// the local dates in Zone, at midnight UTC; CreateEvent computes them.
type Event struct {
	ID            int64
	Organiser     int64 // 0 means 1, the default one
	Merchant      int64 // 0 means 1
	Room          int64 // the waiting room in front; 0 for none
	RoomPartition int32 // of the log `queue`; read only
	Name          string
	Venue         string
	City          string
	Description   string
	Zone          string // IANA
	StartsAt      time.Time
	EndsAt        time.Time
	StartDate     time.Time
	EndDate       time.Time
	Currency      string
	Partition     int32 // of the log `orders`
	PerUser       int
	PerCard       int           // most bookings that one card may pay for; 0 for no limit
	PerCardSeq    uint64        // read only: sequence number of the limit's last change in the log; 0 while it knows of none
	Hold          time.Duration // 0 means 300 s
	Offer         time.Duration // 0 means 300 s
	Grace         time.Duration // 0 means 600 s
	Frozen        time.Duration // 0 means 1800 s
	Defined       bool          // read only: the log knows it
	Selling       bool          // read only
	Cancelled     bool          // read only
	ChangedSeq    uint64        // read only
	Created       time.Time     // read only
	Types         []TicketType
}

// Default is the type that a booking without items buys; false if there is none.
func (e *Event) Default() (TicketType, bool) {
	for _, t := range e.Types {
		if t.Default {
			return t, true
		}
	}
	return TicketType{}, false
}

// Type finds a ticket type by its number.
func (e *Event) Type(number uint32) (TicketType, bool) {
	for _, t := range e.Types {
		if t.Type == number {
			return t, true
		}
	}
	return TicketType{}, false
}

// Check fills in the defaults and the local dates, and returns a *FieldError for the first field that cannot be kept.
func (e *Event) Check() error {
	e.Organiser, e.Merchant = max(e.Organiser, 1), max(e.Merchant, 1)
	for d, value := range map[*time.Duration]time.Duration{
		&e.Hold: 300 * time.Second, &e.Offer: 300 * time.Second, &e.Grace: 600 * time.Second, &e.Frozen: 1800 * time.Second,
	} {
		if *d == 0 {
			*d = value
		}
		if *d < time.Second || *d > 24*time.Hour || *d%time.Second != 0 {
			return &FieldError{"holdSeconds", "whole seconds, at most a day"}
		}
	}
	if err := e.checkText(); err != nil {
		return err
	}
	zone, err := time.LoadLocation(e.Zone)
	switch {
	case err != nil || e.Zone == "" || e.Zone == "Local":
		return &FieldError{"zone", "an IANA time zone such as Europe/Paris"}
	case e.StartsAt.IsZero():
		return &FieldError{"startsAt", "an instant (RFC 3339)"}
	case e.EndsAt.Before(e.StartsAt):
		return &FieldError{"endsAt", "an instant not before startsAt"}
	case sale.CheckCurrency(e.Currency) != nil:
		return &FieldError{"currency", "an ISO 4217 code such as EUR"}
	case e.Partition < 0:
		return &FieldError{"partition", "a partition of the log"}
	case e.PerUser < 0 || e.PerUser > 65_535:
		return &FieldError{"perUser", "a number from 0 (no limit) to 65535"}
	case e.PerCard < 0 || e.PerCard > 65_535:
		return &FieldError{"perCard", "a number from 0 (no limit) to 65535"}
	}
	e.StartDate, e.EndDate = localDate(e.StartsAt, zone), localDate(e.EndsAt, zone)
	return checkTypes(e.Types)
}

func (e *Event) checkText() error {
	for _, f := range []struct {
		name, text string
		least      int
		most       int
	}{{"name", e.Name, 1, MaxEventText}, {"venue", e.Venue, 0, MaxEventText}, {"city", e.City, 0, MaxEventText},
		{"description", e.Description, 0, MaxDescription}} {
		if err := checkText(f.name, f.text, f.least, f.most); err != nil {
			return err
		}
	}
	return nil
}

// checkText says whether Postgres and a page can hold a text.
func checkText(name, text string, least, most int) error {
	n := utf8.RuneCountInString(text)
	if n < least || n > most || !utf8.ValidString(text) {
		return &FieldError{name, fmt.Sprintf("%d to %d characters", least, most)}
	}
	for _, c := range text {
		if c < ' ' && c != '\n' {
			return &FieldError{name, "text without control characters"}
		}
	}
	return nil
}

func localDate(at time.Time, zone *time.Location) time.Time {
	y, m, d := at.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func checkTypes(types []TicketType) error {
	if len(types) == 0 || len(types) > MaxEventTypes {
		return &FieldError{"ticketTypes", fmt.Sprintf("1 to %d ticket types", MaxEventTypes)}
	}
	defaults := 0
	seen := map[uint32]bool{}
	for i, t := range types {
		key := fmt.Sprintf("ticketTypes[%d].", i)
		if t.Default {
			defaults++
		}
		switch p := t.Price; {
		case t.Type == 0 || t.Type > 1<<31-1 || seen[t.Type]:
			return &FieldError{key + "ticketType", "a positive number of its own"}
		case checkText("", t.Name, 1, MaxEventText) != nil:
			return &FieldError{key + "name", fmt.Sprintf("1 to %d characters", MaxEventText)}
		case p.Ticket < 0 || p.Ticket > sale.MaxPrice:
			return &FieldError{key + "price", "an amount that is not negative"}
		case p.Fee < 0 || p.Fee > sale.MaxPrice:
			return &FieldError{key + "fee", "an amount that is not negative"}
		case p.TaxRate > sale.MaxTaxRate:
			return &FieldError{key + "taxRate", "at most 100 %"}
		case t.Capacity < 0 || t.Capacity > sale.MaxCapacity:
			return &FieldError{key + "capacity", fmt.Sprintf("0 to %d tickets", sale.MaxCapacity)}
		case t.PerUser < 0 || t.PerUser > 65_535:
			return &FieldError{key + "perUser", "a number from 0 (no limit) to 65535"}
		}
		seen[t.Type] = true
	}
	if defaults != 1 {
		return &FieldError{"ticketTypes", "exactly one default type"}
	}
	return nil
}

// CreateEvent checks and inserts an event that the log does not know yet, with its ticket types, and returns its id. If
// e.ID is not 0, that is the id; an event that is there already is then left alone (created is false).
func (db *DB) CreateEvent(ctx context.Context, e Event) (id int64, created bool, err error) {
	if err := e.Check(); err != nil {
		return 0, false, err
	}
	err = pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error {
		id, err = insertEvent(ctx, tx, &e)
		if errors.Is(err, pgx.ErrNoRows) {
			id = e.ID
			return nil
		}
		if err != nil {
			return err
		}
		created = true
		for _, t := range e.Types {
			if err := insertType(ctx, tx, id, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("creating an event: %w", err)
	}
	return id, created, nil
}

func insertEvent(ctx context.Context, tx pgx.Tx, e *Event) (id int64, err error) {
	var wanted, room *int64
	if e.ID != 0 {
		wanted = &e.ID
	}
	if e.Room != 0 {
		room = &e.Room
	}
	err = tx.QueryRow(ctx, `
		INSERT INTO events (id, organiser_id, merchant_account_id, room_id, name, venue, city, description, zone, starts_at,
			ends_at, start_date, end_date, currency, partition, per_user, hold_seconds, offer_seconds, grace_seconds, frozen_seconds,
			per_card)
		VALUES (coalesce($1, nextval(pg_get_serial_sequence('events', 'id'))), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
			$14, $15, $16, $17, $18, $19, $20, $21)
		ON CONFLICT (id) DO NOTHING RETURNING id`,
		wanted, e.Organiser, e.Merchant, room, e.Name, e.Venue, e.City, e.Description, e.Zone, e.StartsAt, e.EndsAt,
		e.StartDate, e.EndDate, e.Currency, e.Partition, e.PerUser, seconds(e.Hold), seconds(e.Offer), seconds(e.Grace),
		seconds(e.Frozen), e.PerCard).Scan(&id)
	if err != nil {
		return 0, err
	}
	if wanted != nil {
		// An id that was chosen must not be handed out again by the sequence.
		_, err = tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence('events', 'id'),
			greatest((SELECT max(id) FROM events), (SELECT last_value FROM events_id_seq)))`)
	}
	return id, err
}

func insertType(ctx context.Context, tx pgx.Tx, event int64, t TicketType) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO ticket_types (event_id, type, name, is_default, per_user, price, fee, tax_rate, tax_included, capacity, target, free)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10)`,
		event, t.Type, t.Name, t.Default, t.PerUser, t.Price.Ticket, t.Price.Fee, t.Price.TaxRate, t.Price.Included, t.Capacity)
	return err
}

func seconds(d time.Duration) int { return int(d / time.Second) }

// AddType adds a ticket type to an event that exists; the caller defines it in the log.
func (db *DB) AddType(ctx context.Context, event int64, t TicketType) error {
	alone := t
	alone.Default = true // checkTypes wants one; an added type is never the default
	if err := checkTypes([]TicketType{alone}); err != nil {
		return err
	}
	t.Default = false
	err := pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error { return insertType(ctx, tx, event, t) })
	if err != nil {
		return fmt.Errorf("adding a ticket type: %w", err)
	}
	return nil
}

// DescribeEvent changes what only people read: name, venue, city, description and the times of e.ID. What the log
// decides stays. It returns ErrNotFound if there is no such event.
func (db *DB) DescribeEvent(ctx context.Context, e Event) error {
	zone, err := time.LoadLocation(e.Zone)
	if err != nil || e.Zone == "" || e.Zone == "Local" {
		return &FieldError{"zone", "an IANA time zone such as Europe/Paris"}
	}
	if e.StartsAt.IsZero() || e.EndsAt.Before(e.StartsAt) {
		return &FieldError{"endsAt", "an instant not before startsAt"}
	}
	if err := e.checkText(); err != nil {
		return err
	}
	tag, err := db.Write.Exec(ctx, `UPDATE events SET name = $2, venue = $3, city = $4, description = $5, zone = $6,
		starts_at = $7, ends_at = $8, start_date = $9, end_date = $10 WHERE id = $1`,
		e.ID, e.Name, e.Venue, e.City, e.Description, e.Zone, e.StartsAt, e.EndsAt,
		localDate(e.StartsAt, zone), localDate(e.EndsAt, zone))
	if err != nil {
		return fmt.Errorf("describing an event: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("event %d: %w", e.ID, ErrNotFound)
	}
	return nil
}
