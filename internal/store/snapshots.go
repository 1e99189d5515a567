package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/klauspost/compress/zstd"

	"fairgate/internal/wire"
)

const (
	// SnapshotChunk is the size of a row of a snapshot's compressed bytes: larger values cost Postgres far more than
	// their share.
	SnapshotChunk = 1 << 20
	// SnapshotsKept is how many counted snapshots of one name are kept.
	SnapshotsKept = 3
	// MaxSnapshot is the largest snapshot, uncompressed; a row that says more is damaged.
	MaxSnapshot = 8 << 30
	// snapshotClass is the first key of the advisory locks of those who take snapshots.
	snapshotClass = 0x66677373
)

// ErrDamaged: the stored bytes are not those that were saved.
var ErrDamaged = errors.New("snapshot is damaged")

// Snapshot is what is known of a snapshot beside its bytes.
type Snapshot struct {
	ID         int64
	Name       string   // "orders/0"
	TopicID    [16]byte // of the input topic
	NextOffset int64    // of the input topic: the first record that it has not seen
	NextSeq    uint64   // of the first outcome after it
	Hash       uint64   // running hash before that outcome
	Chain      wire.Hash
	Code       uint32 // code version that wrote it
	Size       int64  // bytes, uncompressed
	Digest     wire.Hash
	TakenAt    time.Time
}

// SnapshotTurn gives one process at a time the turn to take a snapshot of a name; ok is false when another one has it.
// done gives it back; a crash does so too, and so does the loss of the connection, after which two may be at it without
// harm. The connection is not one of the pool: a snapshot of every partition at once must leave some for their bytes.
func (db *DB) SnapshotTurn(ctx context.Context, name string) (done func(), ok bool, err error) {
	l := &Lease{url: leaseConfig(db.Write.Config().ConnConfig)}
	l.url.RuntimeParams["application_name"] = "fairgate snapshot"
	if err = l.connect(ctx); err == nil {
		err = l.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, hashtext($2))`, snapshotClass, name).Scan(&ok)
	}
	if err != nil || !ok {
		l.close()
		if err != nil {
			err = fmt.Errorf("asking for the turn to take snapshot %s: %w", name, err)
		}
		return nil, false, err
	}
	return l.close, true, nil
}

// SaveSnapshot stores data, in one transaction, as a snapshot that does not count yet, and returns s with its ID, Size,
// Digest and TakenAt. A crash before CountSnapshot leaves rows that the next SaveSnapshot of the name removes.
func (db *DB) SaveSnapshot(ctx context.Context, s Snapshot, data []byte) (Snapshot, error) {
	packed, err := pack(data)
	if err != nil {
		return s, fmt.Errorf("saving snapshot %s: %w", s.Name, err)
	}
	s.Digest, s.Size = sha256.Sum256(data), int64(len(data))
	err = pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM snapshots WHERE name = $1 AND NOT counted`, s.Name); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `INSERT INTO snapshots (name, topic_id, next_offset, next_seq, hash, chain, code, size, digest)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id, taken_at`,
			s.Name, s.TopicID[:], s.NextOffset, int64(s.NextSeq), int64(s.Hash), s.Chain[:], int64(s.Code), s.Size, s.Digest[:]).
			Scan(&s.ID, &s.TakenAt)
		if err != nil {
			return err
		}
		n := (len(packed) + SnapshotChunk - 1) / SnapshotChunk
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"snapshot_chunks"}, []string{"snapshot_id", "number", "data"},
			pgx.CopyFromSlice(n, func(i int) ([]any, error) {
				return []any{s.ID, i, packed[i*SnapshotChunk : min((i+1)*SnapshotChunk, len(packed))]}, nil
			}))
		return err
	})
	if err != nil {
		return s, fmt.Errorf("saving snapshot %s: %w", s.Name, err)
	}
	return s, nil
}

// CountSnapshot lets a saved snapshot count, and removes those of its name beyond SnapshotsKept. A row that is not the one
// that was saved does not count: after a failover the same id may have been given to somebody else's.
func (db *DB) CountSnapshot(ctx context.Context, s Snapshot) error {
	err := pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE snapshots SET counted = true
			WHERE id = $1 AND name = $2 AND topic_id = $3 AND next_offset = $4 AND digest = $5`,
			s.ID, s.Name, s.TopicID[:], s.NextOffset, s.Digest[:])
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return errors.New("it is gone: another one was saved since, or the database was rolled back")
		}
		_, err = tx.Exec(ctx, `DELETE FROM snapshots WHERE name = $1 AND counted AND id NOT IN (
				SELECT id FROM snapshots WHERE name = $1 AND counted ORDER BY next_offset DESC, id DESC LIMIT $2)`,
			s.Name, SnapshotsKept)
		return err
	})
	if err != nil {
		return fmt.Errorf("counting snapshot %d: %w", s.ID, err)
	}
	return nil
}

// Snapshots lists those of a name that count, newest first, at most SnapshotsKept.
func (db *DB) Snapshots(ctx context.Context, name string) ([]Snapshot, error) {
	rows, err := db.Write.Query(ctx, `SELECT id, topic_id, next_offset, next_seq, hash, chain, code, size, digest, taken_at
		FROM snapshots WHERE name = $1 AND counted ORDER BY next_offset DESC, id DESC LIMIT $2`, name, SnapshotsKept)
	if err != nil {
		return nil, fmt.Errorf("listing snapshots %s: %w", name, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Snapshot, error) {
		s := Snapshot{Name: name}
		var topic, chain, digest []byte
		var seq, hash, code int64
		err := row.Scan(&s.ID, &topic, &s.NextOffset, &seq, &hash, &chain, &code, &s.Size, &digest, &s.TakenAt)
		s.NextSeq, s.Hash, s.Code = uint64(seq), uint64(hash), uint32(code)
		copy(s.TopicID[:], topic)
		copy(s.Chain[:], chain)
		copy(s.Digest[:], digest)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing snapshots %s: %w", name, err)
	}
	return list, nil
}

// NewestSnapshot is how long ago the newest snapshot of a name that counts was taken, by Postgres' clock, and its next
// offset; ok is false when there is none.
func (db *DB) NewestSnapshot(ctx context.Context, name string) (age time.Duration, next int64, ok bool, err error) {
	var micros int64
	err = db.Write.QueryRow(ctx, `SELECT (extract(epoch FROM clock_timestamp() - taken_at) * 1000000)::bigint, next_offset
		FROM snapshots WHERE name = $1 AND counted ORDER BY next_offset DESC, id DESC LIMIT 1`, name).Scan(&micros, &next)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("reading the newest snapshot of %s: %w", name, err)
	}
	return time.Duration(micros) * time.Microsecond, next, true, nil
}

// LoadSnapshot returns the bytes of a snapshot. ErrDamaged means that they are not those that were saved. Rows are
// decompressed and hashed while further ones arrive.
func (db *DB) LoadSnapshot(ctx context.Context, s Snapshot) ([]byte, error) {
	rows, err := db.Write.Query(ctx, `SELECT data FROM snapshot_chunks WHERE snapshot_id = $1 ORDER BY number`, s.ID)
	if err != nil {
		return nil, fmt.Errorf("loading snapshot %d of %s: %w", s.ID, s.Name, err)
	}
	defer rows.Close()
	packed := &chunks{rows: rows}
	data, err := unpack(packed, s.Size, s.Digest)
	if packed.err != nil {
		err = packed.err
	}
	if err != nil {
		return nil, fmt.Errorf("loading snapshot %d of %s: %w", s.ID, s.Name, err)
	}
	return data, nil
}

// chunks reads a snapshot's rows one after the other.
type chunks struct {
	rows pgx.Rows
	rest pgtype.DriverBytes // belongs to the driver until the next row
	err  error              // of the database
}

// Read is io.Reader's.
func (c *chunks) Read(to []byte) (int, error) {
	for len(c.rest) == 0 {
		if !c.rows.Next() {
			if c.err = c.rows.Err(); c.err != nil {
				return 0, c.err
			}
			return 0, io.EOF
		}
		if c.err = c.rows.Scan(&c.rest); c.err != nil {
			return 0, c.err
		}
	}
	n := copy(to, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func pack(data []byte) ([]byte, error) {
	if len(data) > MaxSnapshot {
		return nil, fmt.Errorf("%d bytes are more than the most allowed, %d", len(data), int64(MaxSnapshot))
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.EncodeAll(data, nil), nil
}

// unpack reads no more than size bytes, so that damaged ones cannot fill the memory.
func unpack(packed io.Reader, size int64, digest wire.Hash) ([]byte, error) {
	if size < 0 || size > MaxSnapshot {
		return nil, fmt.Errorf("%w: %d bytes are no size", ErrDamaged, size)
	}
	r, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(2))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, 0, min(size, 256<<20))
	sum := sha256.New()
	for {
		if len(data) == cap(data) {
			data = slices.Grow(data, 1<<20)
		}
		n, err := r.Read(data[len(data):min(cap(data), len(data)+1<<20)])
		_, _ = sum.Write(data[len(data) : len(data)+n])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > size || err == io.EOF && int64(len(data)) != size:
			return nil, fmt.Errorf("%w: it has not the %d bytes that were saved", ErrDamaged, size)
		case err == io.EOF && wire.Hash(sum.Sum(nil)) != digest:
			return nil, fmt.Errorf("%w: its digest differs", ErrDamaged)
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
}
