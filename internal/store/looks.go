package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Look is how the waiting page of a room looks: Brand is JSON, as the page's brand files are YAML. An empty LogoName means no
// logo. What may be in them is the page's to say.
type Look struct {
	Brand    []byte
	LogoName string
	Logo     []byte // at most 32 KiB
}

// SetLook keeps how a room's page looks, in place of what was kept before.
func (db *DB) SetLook(ctx context.Context, room int64, l Look) error {
	if l.Logo == nil {
		l.Logo = []byte{}
	}
	_, err := db.Write.Exec(ctx, `
		INSERT INTO looks (room_id, brand, logo_name, logo) VALUES ($1, $2, $3, $4)
		ON CONFLICT (room_id) DO UPDATE SET brand = $2, logo_name = $3, logo = $4, revision = nextval('looks_revision')`,
		room, string(l.Brand), l.LogoName, l.Logo)
	if err != nil {
		return fmt.Errorf("keeping the look of room %d: %w", room, err)
	}
	return nil
}

// DropLook forgets it: the page looks as it does by itself.
func (db *DB) DropLook(ctx context.Context, room int64) error {
	if _, err := db.Write.Exec(ctx, `DELETE FROM looks WHERE room_id = $1`, room); err != nil {
		return fmt.Errorf("forgetting the look of room %d: %w", room, err)
	}
	return nil
}

// Look is how a room's page looks, read from the primary; ErrNotFound if nothing was kept.
func (db *DB) Look(ctx context.Context, room int64) (l Look, err error) {
	err = db.Write.QueryRow(ctx, `SELECT brand, logo_name, logo FROM looks WHERE room_id = $1`, room).Scan(&l.Brand, &l.LogoName, &l.Logo)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, ErrNotFound
	}
	if err != nil {
		return l, fmt.Errorf("reading the look of room %d: %w", room, err)
	}
	return l, nil
}

// LookRevisions says for which rooms a look is kept, at most so many, and a number that changes with it.
func (db *DB) LookRevisions(ctx context.Context, most int) (map[int64]int64, error) {
	rows, err := db.Read.Query(ctx, `SELECT room_id, revision FROM looks ORDER BY room_id LIMIT $1`, most)
	if err != nil {
		return nil, fmt.Errorf("reading which rooms have a look: %w", err)
	}
	revisions := make(map[int64]int64)
	var room, revision int64
	_, err = pgx.ForEachRow(rows, []any{&room, &revision}, func() error {
		revisions[room] = revision
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading which rooms have a look: %w", err)
	}
	return revisions, nil
}
