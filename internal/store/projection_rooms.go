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

// PayLoad is who may soon begin to pay into a merchant account.
type PayLoad struct {
	Merchant int64
	Rooms    []int64 // the waiting rooms before its events
	Unpaid   int64   // holds and offers with a price whose payment has not begun at the provider
}

// PayLoads reads them for every merchant account.
func (db *DB) PayLoads(ctx context.Context) ([]PayLoad, error) {
	rows, err := db.Write.Query(ctx, `
		SELECT m.id, (SELECT coalesce(array_agg(DISTINCT e.room_id), '{}') FROM events e
				WHERE e.merchant_account_id = m.id AND e.room_id IS NOT NULL AND NOT e.cancelled),
			(SELECT count(*) FROM bookings b JOIN events e ON e.id = b.event_id
				WHERE e.merchant_account_id = m.id AND b.status IN ('held', 'offered') AND b.total > 0
				AND NOT EXISTS (SELECT FROM payments p JOIN payment_attempts a ON a.payment_id = p.id WHERE p.booking_id = b.id AND a.intent IS NOT NULL))
		FROM merchant_accounts m ORDER BY m.id`)
	if err != nil {
		return nil, fmt.Errorf("counting who may pay: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PayLoad])
	if err != nil {
		return nil, fmt.Errorf("counting who may pay: %w", err)
	}
	return all, nil
}
