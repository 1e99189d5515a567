package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/wire"
)

const (
	// ProcessorAlive is how long a processor counts as alive after it was last heard of.
	ProcessorAlive = 3 * time.Second
	// MaxProcessors is how many living processors are told of at most.
	MaxProcessors = 1_000
)

// Processor is a living process that runs engines. Partitions are named as their leases.
type Processor struct {
	ID      wire.ID // random, of one process
	Leads   []string
	Follows []string // it is caught up with these and waits for their lease
}

// Beat says what a processor does, by Postgres' clock, and returns all that are alive, itself included, by id.
func (db *DB) Beat(ctx context.Context, p Processor) ([]Processor, error) {
	_, err := db.Write.Exec(ctx, `INSERT INTO processors (id, leads, follows, beat_at) VALUES ($1, $2, $3, clock_timestamp())
		ON CONFLICT (id) DO UPDATE SET leads = excluded.leads, follows = excluded.follows, beat_at = excluded.beat_at`,
		p.ID[:], texts(p.Leads), texts(p.Follows))
	if err != nil {
		return nil, fmt.Errorf("saying what this processor does: %w", err)
	}
	return db.Processors(ctx)
}

// Gone says that a processor is not one any more. Rows of those who did not say it are removed an hour later.
func (db *DB) Gone(ctx context.Context, id wire.ID) error {
	_, err := db.Write.Exec(ctx, `DELETE FROM processors WHERE id = $1 OR beat_at < now() - interval '1 hour'`, id[:])
	if err != nil {
		return fmt.Errorf("saying that this processor is gone: %w", err)
	}
	return nil
}

// Processors lists those that are alive, by id.
func (db *DB) Processors(ctx context.Context) ([]Processor, error) {
	rows, err := db.Write.Query(ctx, `SELECT id, leads, follows FROM processors
		WHERE beat_at > clock_timestamp() - $1::interval ORDER BY id LIMIT $2`, ProcessorAlive, MaxProcessors)
	if err != nil {
		return nil, fmt.Errorf("listing processors: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Processor, err error) {
		var id []byte
		err = row.Scan(&id, &p.Leads, &p.Follows)
		copy(p.ID[:], id)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing processors: %w", err)
	}
	return list, nil
}

// texts is never nil: the columns are not null.
func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
