package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/conf"
)

const (
	// SeedSize is the length of a draw's seed in bytes.
	SeedSize = 32
	// MaxPublic is the longest public value of a draw, and the longest name of its source, in bytes.
	MaxPublic = 255
)

// Draw is what a room that draws lots promises before, and what was published of it. The seed is no part of it: see
// DrawSeed.
type Draw struct {
	Closes     time.Time // who arrived before is drawn
	Source     string    // which public value will be used
	Commitment [sha256.Size]byte
	Public     string // the public value, once somebody gave it
	Revealed   bool   // the log has acknowledged seed and public value
}

// check returns a *FieldError for what cannot be kept.
func (d *Draw) check(r *Room) error {
	switch {
	case d.Closes.IsZero():
		return &FieldError{"drawClosesAt", "the instant at which the draw closes"}
	case !r.EarlyFrom.IsZero() && !r.EarlyFrom.Before(d.Closes):
		return &FieldError{"drawClosesAt", "an instant after earlyFrom"}
	case !r.OpensAt.IsZero() && r.OpensAt.Before(d.Opens(r.Late)):
		return &FieldError{"opensAt", fmt.Sprintf("an instant at least %v after drawClosesAt, since slow phones may join the draw until then", r.Late)}
	case checkText("publicSource", d.Source, 1, MaxPublic) != nil || len(d.Source) > MaxPublic:
		return &FieldError{"publicSource", fmt.Sprintf("which public value will be used: 1 to %d bytes", MaxPublic)}
	}
	return nil
}

// Opens is the earliest instant at which nobody can join the draw any more, outages apart: joins may be late by so much.
func (d *Draw) Opens(late time.Duration) time.Time { return d.Closes.Add(late) }

// commitment is the hash of a draw's seed; nil for a room that draws no lots.
func (r *Room) commitment() ([]byte, error) {
	if r.Mode != "draw" {
		return nil, nil
	}
	if len(r.Seed) != SeedSize {
		return nil, &FieldError{"seed", fmt.Sprintf("%d random bytes", SeedSize)}
	}
	sum := sha256.Sum256([]byte(r.Seed.Reveal()))
	return sum[:], nil
}

// keepSeed stores the secret of a room that is being created, in its transaction.
func keepSeed(ctx context.Context, tx pgx.Tx, room int64, seed conf.Secret) error {
	_, err := tx.Exec(ctx, `INSERT INTO draw_seeds (room_id, seed) VALUES ($1, $2)`, room, []byte(seed.Reveal()))
	return err
}

// DrawSeed reads the secret of a room's draw, SeedSize bytes, from the primary. ErrNotFound if it has none.
func (db *DB) DrawSeed(ctx context.Context, room int64) (conf.Secret, error) {
	var seed []byte
	err := db.Write.QueryRow(ctx, `SELECT seed FROM draw_seeds WHERE room_id = $1`, room).Scan(&seed)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("the seed of room %d: %w", room, ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("reading the seed of room %d: %w", room, err)
	}
	return conf.Secret(seed), nil
}

// GiveDrawPublic keeps the public value of a room's draw, to be published with the seed. Until the log has it a later
// word replaces an earlier one; given is false once it has.
func (db *DB) GiveDrawPublic(ctx context.Context, room int64, public string) (given bool, err error) {
	if public == "" || len(public) > MaxPublic || !utf8.ValidString(public) {
		return false, &FieldError{"publicValue", fmt.Sprintf("1 to %d bytes of UTF-8", MaxPublic)}
	}
	tag, err := db.Write.Exec(ctx, `UPDATE rooms SET draw_public = $2 WHERE id = $1 AND mode = 'draw' AND NOT draw_revealed`, room, public)
	if err != nil {
		return false, fmt.Errorf("keeping the public value of room %d: %w", room, err)
	}
	return tag.RowsAffected() == 1, nil
}

// UnrevealedDraws lists rooms whose public value was given and whose seed the log may not have, oldest first; it asks the
// primary. Rooms past their end are left out: the log refuses them for good.
func (db *DB) UnrevealedDraws(ctx context.Context, limit int) ([]Room, error) {
	found, err := db.rooms(ctx, db.Write, `WHERE draw_public IS NOT NULL AND NOT draw_revealed AND defined
		AND (ends_at IS NULL OR ends_at > now()) ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("listing draws to reveal: %w", err)
	}
	return found, nil
}

// DrawRevealed notes that the log has acknowledged a draw's seed, with the public value that it acknowledged.
func (db *DB) DrawRevealed(ctx context.Context, room int64, public string) error {
	if _, err := db.Write.Exec(ctx, `UPDATE rooms SET draw_revealed = true, draw_public = $2 WHERE id = $1`, room, public); err != nil {
		return fmt.Errorf("noting the revealed draw of room %d: %w", room, err)
	}
	return nil
}
