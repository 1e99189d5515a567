package store

import (
	"context"
	"fmt"
)

// FirstEvents maps each waiting room to its first event (by start): where a pass leads.
func (db *DB) FirstEvents(ctx context.Context) (map[int64]int64, error) {
	rows, err := db.Read.Query(ctx, `SELECT DISTINCT ON (room_id) room_id, id FROM events WHERE room_id IS NOT NULL
		ORDER BY room_id, starts_at, id`)
	if err != nil {
		return nil, fmt.Errorf("listing the events of rooms: %w", err)
	}
	defer rows.Close()
	first := map[int64]int64{}
	for rows.Next() {
		var room, event int64
		if err := rows.Scan(&room, &event); err != nil {
			return nil, fmt.Errorf("listing the events of rooms: %w", err)
		}
		first[room] = event
	}
	return first, rows.Err()
}
