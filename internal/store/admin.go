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

// Roles of the dashboard's users.
const (
	RoleOrganiser = "organiser" // sees and changes what belongs to their organiser
	RoleOperator  = "operator"  // sees and changes everything, and the task queues
)

// MaxAuditPage is how many entries of the audit one query returns at most.
const MaxAuditPage = 200

// AdminUser is a user of the dashboard.
type AdminUser struct {
	ID           int64
	Organiser    int64
	Email        string
	Role         string
	PasswordHash string
}

// SetAdminUser adds a user of the default organiser, or replaces the password hash and role of the one with this e-mail
// address, whose sessions then end: a password is changed because somebody else knows it.
func (db *DB) SetAdminUser(ctx context.Context, email, hash, role string) error {
	err := pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(ctx, `
			INSERT INTO admin_users (organiser_id, email, password_hash, role) VALUES (1, $1, $2, $3)
			ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role RETURNING id`,
			email, hash, role).Scan(&id)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM admin_sessions WHERE user_id = $1`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("setting a user of the dashboard: %w", err)
	}
	return nil
}

const adminUserColumns = `u.id, u.organiser_id, u.email, u.role, u.password_hash`

func (db *DB) adminUser(ctx context.Context, from, what string, args ...any) (AdminUser, error) {
	rows, err := db.Write.Query(ctx, `SELECT `+adminUserColumns+` FROM `+from, args...)
	if err != nil {
		return AdminUser{}, fmt.Errorf("%s: %w", what, err)
	}
	u, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[AdminUser])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return AdminUser{}, fmt.Errorf("%s: %w", what, err)
	}
	return u, nil
}

// AdminUserByEmail finds a user by the normalised e-mail address; ErrNotFound if there is none.
func (db *DB) AdminUserByEmail(ctx context.Context, email string) (AdminUser, error) {
	return db.adminUser(ctx, `admin_users u WHERE u.email = $1`, "finding a user of the dashboard", email)
}

// CreateAdminSession begins a session under the hash of its token. It deletes the user's oldest beyond most.
func (db *DB) CreateAdminSession(ctx context.Context, token [32]byte, user int64, expires time.Time, most int) error {
	err := pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO admin_sessions (token_hash, user_id, expires_at) VALUES ($1, $2, $3)`,
			token[:], user, expires); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM admin_sessions WHERE token_hash IN (SELECT token_hash FROM admin_sessions
			WHERE user_id = $1 ORDER BY expires_at DESC OFFSET $2)`, user, most)
		return err
	})
	if err != nil {
		return fmt.Errorf("beginning a session: %w", err)
	}
	return nil
}

// AdminSession finds whose session a token's hash names; ErrNotFound if it is none or over at now.
func (db *DB) AdminSession(ctx context.Context, token [32]byte, now time.Time) (AdminUser, error) {
	return db.adminUser(ctx, `admin_sessions s JOIN admin_users u ON u.id = s.user_id WHERE s.token_hash = $1 AND s.expires_at > $2`,
		"finding a session", token[:], now)
}

// EndAdminSession ends a session; one that is not there is fine.
func (db *DB) EndAdminSession(ctx context.Context, token [32]byte) error {
	if _, err := db.Write.Exec(ctx, `DELETE FROM admin_sessions WHERE token_hash = $1`, token[:]); err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// DropAdminSessions deletes the sessions that are over at now.
func (db *DB) DropAdminSessions(ctx context.Context, now time.Time) error {
	if _, err := db.Write.Exec(ctx, `DELETE FROM admin_sessions WHERE expires_at <= $1`, now); err != nil {
		return fmt.Errorf("dropping sessions: %w", err)
	}
	return nil
}

// AuditEntry is one deed of an operator. Detail is what was asked and, once known, what came of it.
type AuditEntry struct {
	ID     int64
	At     time.Time
	User   int64  // 0 for a service
	Email  string // of the user; empty for a service or a user who is gone
	Action string
	Object string // "event/7", "room/3"
	Detail json.RawMessage
}

// BeginAudit notes that somebody is about to do something: a crash leaves an entry without an outcome, never a deed
// without an entry. User 0 is a service.
func (db *DB) BeginAudit(ctx context.Context, user int64, action, object string, detail any) (id int64, err error) {
	var who *int64
	if user != 0 {
		who = &user
	}
	err = db.Write.QueryRow(ctx, `INSERT INTO audit (admin_user_id, action, object, detail) VALUES ($1, $2, $3, $4) RETURNING id`,
		who, action, object, detail).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("writing the audit: %w", err)
	}
	return id, nil
}

// EndAudit adds what came of it; object replaces the entry's when it was not known before ("" leaves it).
func (db *DB) EndAudit(ctx context.Context, id int64, object string, outcome any) error {
	_, err := db.Write.Exec(ctx, `UPDATE audit SET detail = detail || $2::jsonb, object = CASE WHEN $3 = '' THEN object ELSE $3 END
		WHERE id = $1`, id, outcome, object)
	if err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	return nil
}

// AuditQuery asks for entries, newest first. Zero values ask for nothing in particular.
type AuditQuery struct {
	Organiser int64  // of the user who did it; 0 for all
	Object    string // exactly
	ID        int64  // this one alone
	Before    int64  // entries below this id
	Limit     int
}

// Audit reads entries from the primary, newest first.
func (db *DB) Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	rows, err := db.Write.Query(ctx, `
		SELECT a.id, a.at, coalesce(a.admin_user_id, 0), coalesce(u.email, ''), a.action, a.object, a.detail
		FROM audit a LEFT JOIN admin_users u ON u.id = a.admin_user_id
		WHERE ($1 = 0 OR u.organiser_id = $1) AND ($2 = '' OR a.object = $2) AND ($3 = 0 OR a.id < $3) AND ($4 = 0 OR a.id = $4)
		ORDER BY a.id DESC LIMIT $5`, q.Organiser, q.Object, q.Before, q.ID, min(max(q.Limit, 1), MaxAuditPage))
	if err != nil {
		return nil, fmt.Errorf("reading the audit: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AuditEntry])
	if err != nil {
		return nil, fmt.Errorf("reading the audit: %w", err)
	}
	return found, nil
}

// LatestEvent reads an event from the primary: what was just written is there. ErrNotFound if there is none.
func (db *DB) LatestEvent(ctx context.Context, id int64) (Event, error) {
	found, err := db.events(ctx, db.Write, `WHERE e.id = $1`, id)
	if err != nil {
		return Event{}, fmt.Errorf("reading event %d: %w", id, err)
	}
	if len(found) == 0 {
		return Event{}, fmt.Errorf("event %d: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// LatestRoom reads a room from the primary. ErrNotFound if there is none.
func (db *DB) LatestRoom(ctx context.Context, id int64) (Room, error) {
	found, err := db.rooms(ctx, db.Write, `WHERE id = $1`, id)
	if err != nil {
		return Room{}, fmt.Errorf("reading room %d: %w", id, err)
	}
	if len(found) == 0 {
		return Room{}, fmt.Errorf("room %d: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// EventsPartlyDefined lists events that the log knows and some of whose ticket types, or whose limit per card, it may
// not: a type was added, or a crash came between the event's definition and the rest.
func (db *DB) EventsPartlyDefined(ctx context.Context, limit int) ([]Event, error) {
	found, err := db.events(ctx, db.Write, `WHERE e.defined AND NOT e.cancelled AND
		(e.per_card > 0 AND e.per_card_seq = 0 OR EXISTS (SELECT FROM ticket_types t WHERE t.event_id = e.id AND t.changed_seq = 0)) ORDER BY e.id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("listing partly defined events: %w", err)
	}
	return found, nil
}

// StatusCount is how many of something are in a status, and their money in minor units.
type StatusCount struct {
	Status string
	Count  int64
	Total  int64
}

// BookingCounts counts an event's bookings by status, in the order of the names.
func (db *DB) BookingCounts(ctx context.Context, event int64) ([]StatusCount, error) {
	return db.statusCounts(ctx, `SELECT status, count(*), sum(total)::bigint FROM bookings WHERE event_id = $1 GROUP BY 1 ORDER BY 1`, event)
}

// PaymentCounts counts an event's payments by status, in the order of the names.
func (db *DB) PaymentCounts(ctx context.Context, event int64) ([]StatusCount, error) {
	return db.statusCounts(ctx, `SELECT status, count(*), sum(amount)::bigint FROM payments WHERE event_id = $1 GROUP BY 1 ORDER BY 1`, event)
}

func (db *DB) statusCounts(ctx context.Context, sql string, event int64) ([]StatusCount, error) {
	rows, err := db.Read.Query(ctx, sql, event)
	if err != nil {
		return nil, fmt.Errorf("counting for event %d: %w", event, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[StatusCount])
	if err != nil {
		return nil, fmt.Errorf("counting for event %d: %w", event, err)
	}
	return found, nil
}

// RecentBooking is a booking as a live list shows it.
type RecentBooking struct {
	ID      sale.UUID
	User    string
	Status  string
	Tickets int64
	Total   int64 // minor units
	Created time.Time
	Updated time.Time
}

// RecentBookings lists an event's newest bookings; their ids are in order of time.
func (db *DB) RecentBookings(ctx context.Context, event int64, limit int) ([]RecentBooking, error) {
	rows, err := db.Read.Query(ctx, `
		SELECT b.id, b.user_id, b.status, (SELECT coalesce(sum(quantity), 0) FROM booking_lines l WHERE l.booking_id = b.id),
			b.total, b.created_at, b.updated_at
		FROM bookings b WHERE b.event_id = $1 ORDER BY b.id DESC LIMIT $2`, event, limit)
	if err != nil {
		return nil, fmt.Errorf("listing bookings of event %d: %w", event, err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b RecentBooking, err error) {
		err = row.Scan((*[16]byte)(&b.ID), &b.User, &b.Status, &b.Tickets, &b.Total, &b.Created, &b.Updated)
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing bookings of event %d: %w", event, err)
	}
	return found, nil
}
