package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/conf"
)

// Room is a row of rooms: a waiting room as it was asked for. How it is now, the log says. Zero times mean none; zero
// lengths of time mean the default in brackets.
type Room struct {
	ID        int64
	Organiser int64 // 0 means 1
	Name      string
	Partition int32  // of the log `queue`
	Mode      string // fcfs (the default) or draw
	EarlyFrom time.Time
	OpensAt   time.Time
	EndsAt    time.Time
	Cap       int           // most people inside
	PerMinute int           // admissions a minute
	Pass      time.Duration // [900 s]
	Claim     time.Duration // [30 s]
	Grace     time.Duration // [600 s]
	Late      time.Duration // [240 s]
	Shares    Shares        // of the outflow
	Draw      Draw          // of mode draw
	Seed      conf.Secret   // of mode draw, SeedSize bytes; taken at creation, never read with the room
	Defined   bool          // the log has acknowledged the definition
	Created   time.Time     // read only
}

// Shares are what lanes get of the outflow, per mille, while somebody stands in them; the normal lane gets the rest. Nil
// stands for the default in brackets.
type Shares struct {
	Shared  *int // [30]
	Invited *int // [100]
	Timed   *int // [20], at most MaxTimedShare
}

// MaxTimedShare is the most that the lane without work may get, per mille: whoever stands there paid nothing.
const MaxTimedShare = 20

func (s *Shares) check() error {
	sum := 0
	for _, v := range []struct {
		name  string
		value **int
		usual int
	}{{"sharedShare", &s.Shared, 30}, {"invitedShare", &s.Invited, 100}, {"timedShare", &s.Timed, MaxTimedShare}} {
		if *v.value == nil {
			*v.value = &v.usual
		}
		if n := **v.value; n < 0 || n > 1000 {
			return &FieldError{v.name, "0 to 1000 per mille of the outflow"}
		}
		if sum += **v.value; sum > 1000 {
			return &FieldError{v.name, "shares of at most 1000 per mille in all"}
		}
	}
	if *s.Timed > MaxTimedShare {
		return &FieldError{"timedShare", fmt.Sprintf("at most %d per mille of the outflow: whoever stands there paid nothing", MaxTimedShare)}
	}
	return nil
}

// Check fills in the defaults and returns a *FieldError for the first field that cannot be kept.
func (r *Room) Check() error {
	r.Organiser = max(r.Organiser, 1)
	if r.Mode == "" {
		r.Mode = "fcfs"
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		usual time.Duration
	}{{"passSeconds", &r.Pass, 900 * time.Second}, {"claimSeconds", &r.Claim, 30 * time.Second},
		{"graceSeconds", &r.Grace, 600 * time.Second}, {"lateSeconds", &r.Late, 240 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.usual
		}
		if *d.value < time.Second || *d.value > 24*time.Hour || *d.value%time.Second != 0 {
			return &FieldError{d.name, "whole seconds, at most a day"}
		}
	}
	switch {
	case checkText("name", r.Name, 1, MaxEventText) != nil:
		return &FieldError{"name", fmt.Sprintf("1 to %d characters", MaxEventText)}
	case r.Mode != "fcfs" && r.Mode != "draw":
		return &FieldError{"mode", "fcfs or draw"}
	case r.Cap < 1 || r.Cap > 1<<31-1:
		return &FieldError{"cap", "a positive number of people"}
	case r.PerMinute < 1 || r.PerMinute > 1<<31-1:
		return &FieldError{"perMinute", "a positive number of people a minute"}
	case r.Partition < 0:
		return &FieldError{"partition", "a partition of the log"}
	case !r.EndsAt.IsZero() && !r.OpensAt.IsZero() && !r.EndsAt.After(r.OpensAt):
		return &FieldError{"endsAt", "an instant after opensAt"}
	case r.Mode == "draw":
		if err := r.Draw.check(r); err != nil {
			return err
		}
	}
	return r.Shares.check()
}

// CreateRoom checks and inserts a room that the log does not know yet and returns its id. If r.ID is not 0, that is the
// id; a room that is there already is then left alone (created is false).
func (db *DB) CreateRoom(ctx context.Context, r Room) (id int64, created bool, err error) {
	if err := r.Check(); err != nil {
		return 0, false, err
	}
	var wanted *int64
	if r.ID != 0 {
		wanted = &r.ID
	}
	commitment, err := r.commitment()
	if err != nil {
		return 0, false, err
	}
	err = pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			INSERT INTO rooms (id, organiser_id, name, partition, mode, early_from, opens_at, draw_closes_at, ends_at, cap, per_minute,
				pass_seconds, claim_seconds, grace_seconds, late_seconds, draw_commitment, draw_source,
				shared_mille, invited_mille, timed_mille)
			VALUES (coalesce($1, nextval(pg_get_serial_sequence('rooms', 'id'))), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
				$14, $15, $16, $17, $18, $19, $20)
			ON CONFLICT (id) DO NOTHING RETURNING id`,
			wanted, r.Organiser, r.Name, r.Partition, r.Mode, orNull(r.EarlyFrom), orNull(r.OpensAt), orNull(r.Draw.Closes),
			orNull(r.EndsAt), r.Cap, r.PerMinute, seconds(r.Pass), seconds(r.Claim), seconds(r.Grace), seconds(r.Late), commitment, r.Draw.Source,
			*r.Shares.Shared, *r.Shares.Invited, *r.Shares.Timed)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		if created = len(ids) > 0; !created {
			id = r.ID
			return nil
		}
		id = ids[0]
		if r.Mode == "draw" {
			if err := keepSeed(ctx, tx, id, r.Seed); err != nil {
				return err
			}
		}
		if wanted == nil {
			return nil
		}
		_, err = tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence('rooms', 'id'),
			greatest((SELECT max(id) FROM rooms), (SELECT last_value FROM rooms_id_seq)))`)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("creating a room: %w", err)
	}
	return id, created, nil
}

// Room reads a room; ErrNotFound if there is none.
func (db *DB) Room(ctx context.Context, id int64) (Room, error) {
	found, err := db.rooms(ctx, db.Read, `WHERE id = $1`, id)
	if err == nil && len(found) == 0 && db.Read != db.Write {
		found, err = db.rooms(ctx, db.Write, `WHERE id = $1`, id)
	}
	if err != nil {
		return Room{}, fmt.Errorf("reading room %d: %w", id, err)
	}
	if len(found) == 0 {
		return Room{}, fmt.Errorf("room %d: %w", id, ErrNotFound)
	}
	return found[0], nil
}

// Rooms lists an organiser's rooms, newest first, at most limit; organiser 0 means all.
func (db *DB) Rooms(ctx context.Context, organiser int64, limit int) ([]Room, error) {
	found, err := db.rooms(ctx, db.Read, `WHERE $1 = 0 OR organiser_id = $1 ORDER BY id DESC LIMIT $2`, organiser, limit)
	if err != nil {
		return nil, fmt.Errorf("listing rooms: %w", err)
	}
	return found, nil
}

// UndefinedRooms lists rooms that the log may not know yet, oldest first; it asks the primary.
func (db *DB) UndefinedRooms(ctx context.Context, limit int) ([]Room, error) {
	found, err := db.rooms(ctx, db.Write, `WHERE NOT defined ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("listing undefined rooms: %w", err)
	}
	return found, nil
}

// RoomDefined notes that the log has acknowledged a room's definition.
func (db *DB) RoomDefined(ctx context.Context, id int64) error {
	if _, err := db.Write.Exec(ctx, `UPDATE rooms SET defined = true WHERE id = $1`, id); err != nil {
		return fmt.Errorf("marking room %d as defined: %w", id, err)
	}
	return nil
}

// RoomOutflow notes the rate and cap that the log has acknowledged.
func (db *DB) RoomOutflow(ctx context.Context, id int64, perMinute, most int) error {
	if _, err := db.Write.Exec(ctx, `UPDATE rooms SET per_minute = $2, cap = $3 WHERE id = $1`, id, perMinute, most); err != nil {
		return fmt.Errorf("noting the outflow of room %d: %w", id, err)
	}
	return nil
}

func (db *DB) rooms(ctx context.Context, from queryer, where string, args ...any) ([]Room, error) {
	rows, err := from.Query(ctx, `
		SELECT id, organiser_id, name, partition, mode, early_from, opens_at, draw_closes_at, ends_at, cap, per_minute, pass_seconds,
			claim_seconds, grace_seconds, late_seconds, draw_commitment, draw_source, coalesce(draw_public, ''), draw_revealed, shared_mille, invited_mille, timed_mille, defined, created_at
		FROM rooms `+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Room, err error) {
		var early, opens, draw, ends *time.Time
		var pass, claim, grace, late int64
		var commitment []byte
		err = row.Scan(&r.ID, &r.Organiser, &r.Name, &r.Partition, &r.Mode, &early, &opens, &draw, &ends, &r.Cap, &r.PerMinute,
			&pass, &claim, &grace, &late, &commitment, &r.Draw.Source, &r.Draw.Public, &r.Draw.Revealed, &r.Shares.Shared, &r.Shares.Invited,
			&r.Shares.Timed, &r.Defined, &r.Created)
		r.EarlyFrom, r.OpensAt, r.Draw.Closes, r.EndsAt = orZero(early), orZero(opens), orZero(draw), orZero(ends)
		copy(r.Draw.Commitment[:], commitment)
		r.Pass, r.Claim = time.Duration(pass)*time.Second, time.Duration(claim)*time.Second
		r.Grace, r.Late = time.Duration(grace)*time.Second, time.Duration(late)*time.Second
		return r, err
	})
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
