package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// KeepRulings is how long rulings are kept.
const KeepRulings = 3 * 24 * time.Hour

// NoteRulings adds to what was noted before. The same ruling in the same hour is one row, which counts it; one with a code has a
// row of its own beside it, by which it is found.
func (db *DB) NoteRulings(ctx context.Context, list []sale.Ruling) error {
	rows := slices.Clone(list)
	for _, r := range list {
		if r.AppealCode != "" {
			r.AppealCode = ""
			rows = append(rows, r)
		}
	}
	// Every process in the same order, so that none waits for another one that waits for it.
	slices.SortFunc(rows, func(a, b sale.Ruling) int {
		return cmp.Or(cmp.Compare(a.Room, b.Room), cmp.Compare(a.AppealCode, b.AppealCode), cmp.Compare(a.Action, b.Action),
			cmp.Compare(a.Outcome, b.Outcome), slices.Compare(a.Reasons, b.Reasons))
	})
	var b pgx.Batch
	for i := range rows {
		r := &rows[i]
		b.Queue(`INSERT INTO rulings (room_id, hour, appeal_code, action, outcome, factor, score, reasons, times, first_at, last_at)
			VALUES ($1, date_trunc('hour', $9::timestamptz, 'UTC'), $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (room_id, hour, appeal_code, action, outcome, md5(reasons)) DO UPDATE
			SET times = rulings.times + excluded.times, first_at = least(rulings.first_at, excluded.first_at),
				last_at = greatest(rulings.last_at, excluded.last_at)`,
			r.Room, r.AppealCode, r.Action, r.Outcome, r.Factor, r.Score, strings.Join(r.Reasons, "\n"), r.Times, time.UnixMicro(r.First), time.UnixMicro(r.Last))
	}
	if err := db.Write.SendBatch(ctx, &b).Close(); err != nil {
		return fmt.Errorf("noting %d rulings: %w", len(list), err)
	}
	return nil
}

// ForgetRulings drops what nobody needs any more.
func (db *DB) ForgetRulings(ctx context.Context, before time.Time) error {
	if _, err := db.Write.Exec(ctx, `DELETE FROM rulings WHERE last_at < $1`, before); err != nil {
		return fmt.Errorf("forgetting rulings: %w", err)
	}
	return nil
}

// Rulings are those of a room since an instant within KeepRulings, alike ones as one, the most frequent first, at most so many.
// It looks each hour's counts up in the index, and passes over the rows of codes, of which a flood leaves many.
func (db *DB) Rulings(ctx context.Context, room int64, since time.Time, most int) ([]sale.Ruling, error) {
	return db.rulings(ctx, `SELECT room_id, action, outcome, factor, score, reasons, '', sum(times)::bigint, min(first_at), max(last_at)
		FROM rulings WHERE room_id = $1 AND appeal_code = '' AND last_at >= $2 AND hour = ANY(ARRAY(
			SELECT generate_series(date_trunc('hour', $2::timestamptz, 'UTC'), $2::timestamptz + $4::interval, '1 hour')))
		GROUP BY room_id, action, outcome, factor, score, reasons ORDER BY sum(times) DESC, reasons LIMIT $3`, room, since, most, KeepRulings)
}

// RulingsByCode are those of a room that an appeal code stands for, the newest first; none if it was not kept.
func (db *DB) RulingsByCode(ctx context.Context, room int64, code string, most int) ([]sale.Ruling, error) {
	return db.rulings(ctx, `SELECT room_id, action, outcome, factor, score, reasons, appeal_code, times, first_at, last_at
		FROM rulings WHERE room_id = $1 AND appeal_code = $2 AND appeal_code <> '' ORDER BY last_at DESC, reasons LIMIT $3`, room, code, most)
}

func (db *DB) rulings(ctx context.Context, query string, args ...any) ([]sale.Ruling, error) {
	rows, err := db.Read.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading rulings: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r sale.Ruling, err error) {
		var reasons string
		var first, last time.Time
		err = row.Scan(&r.Room, &r.Action, &r.Outcome, &r.Factor, &r.Score, &reasons, &r.AppealCode, &r.Times, &first, &last)
		r.First, r.Last = first.UnixMicro(), last.UnixMicro()
		r.Reasons = strings.Split(reasons, "\n")
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading rulings: %w", err)
	}
	return list, nil
}
