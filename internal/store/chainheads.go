package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/wire"
)

// ChainHead is the head of a log's SHA-256 chain at a tick.
type ChainHead struct {
	Offset int64     // of the tick's record
	Chain  wire.Hash // over every record up to and including it
	At     int64     // log time, µs
	Seq    uint64    // of the tick's outcome
}

// ChainHead stores the head at a tick. Ticks that close over nothing new need none.
func (p *Projection) ChainHead(f Fact, chain wire.Hash) {
	p.queue(`INSERT INTO chain_heads (partition, tick_offset, chain, log_time, seq) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (partition, tick_offset) DO UPDATE SET chain = excluded.chain, log_time = excluded.log_time, seq = excluded.seq`,
		p.partition, f.Offset, chain[:], f.At.UnixMicro(), int64(f.Seq))
}

// ChainHead reads the first stored head that closes over a record of the log `orders`; ErrNotFound before it is projected.
func (db *DB) ChainHead(ctx context.Context, partition int32, offset int64) (ChainHead, error) {
	h := ChainHead{}
	var chain []byte
	var seq int64
	err := db.Read.QueryRow(ctx, `SELECT tick_offset, chain, log_time, seq FROM chain_heads
		WHERE partition = $1 AND tick_offset > $2 ORDER BY tick_offset LIMIT 1`, partition, offset).
		Scan(&h.Offset, &chain, &h.At, &seq)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return h, fmt.Errorf("the head over %d/%d: %w", partition, offset, ErrNotFound)
	case err != nil:
		return h, fmt.Errorf("reading the head over %d/%d: %w", partition, offset, err)
	case len(chain) != len(h.Chain):
		return h, fmt.Errorf("reading the head over %d/%d: %d bytes are no hash", partition, offset, len(chain))
	}
	h.Chain, h.Seq = wire.Hash(chain), uint64(seq)
	return h, nil
}
