package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// RoomStock is one ticket type as it stands, with the waiting room before its event.
type RoomStock struct {
	Event         int64
	Room          int64
	RoomPartition int32
	Currency      string
	Type          uint32
	Free          int64
	Held          int64
	Price         int64 // with fee, minor units
	Selling       bool
}

// RoomStocks reads, in one view, the types of a partition's events that stand behind a room, and how far the bookings
// projection had come there.
func (db *DB) RoomStocks(ctx context.Context, partition int32) (all []RoomStock, at Projected, err error) {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, db.Write, options, func(tx pgx.Tx) error {
		if at, err = projected(ctx, tx, ProjectionBookings, partition); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT e.id, r.id, r.partition, e.currency, t.type, t.free, t.held, t.price + t.fee, e.selling
			FROM events e JOIN rooms r ON r.id = e.room_id JOIN ticket_types t ON t.event_id = e.id
			WHERE e.partition = $1 AND e.defined ORDER BY e.id, t.type`, partition)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RoomStock])
		return err
	})
	if err != nil {
		return nil, at, fmt.Errorf("reading stock behind rooms: %w", err)
	}
	return all, at, nil
}
