// Package engine runs a deterministic machine over one partition of a log: it elects a leader, applies every record,
// emits the outcomes under dense numbers, snapshots the state, keeps hot standbys and hands over. It may use the event
// log, the lease and snapshot stores and the room's clock that it is given; it knows nothing of tickets or queues.
//
// # Who may emit what
//
// Outcomes are a function of the log alone. Every replica derives the same bytes under the same sequence numbers, so
// emitting twice is harmless (readers drop lower numbers) and emitting something else is impossible. Leadership
// therefore guards economy, not correctness, with one exception: time. Only ticks of the current epoch move it, and the
// log itself decides which epoch that is.
//
// # Files
//
// core.go applies records (pure), batch.go many of them (pure), commands.go remembers command ids (pure), backlog.go keeps
// outcomes until they were read back (pure), replica.go decides what a replica does next (pure); runner.go and its
// neighbours do it.
package engine

import (
	"context"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Machine is a deterministic state machine. Only what it is given may decide what it does: no clock, no randomness, no
// I/O, no iteration over maps, no floating point.
type Machine interface {
	// Code is the version of the machine's behaviour and of its snapshot's layout; it only grows.
	Code() uint32
	// Apply applies one record of kind 16 or above and adds at least one outcome; the first answers the command. It
	// must understand any bytes: what makes no sense is rejected by an outcome.
	Apply(c *sale.LogClock, offset int64, r wire.Record, out *wire.Outcomes)
	// Tick does what is due now that the clock has moved. It may add no outcome, and must add fewer than
	// MaxOutcomesPerRecord: what is more waits for the next tick.
	Tick(c *sale.LogClock, out *wire.Outcomes)
	// Snapshot appends the whole state to dst; the same state always gives the same bytes.
	Snapshot(dst []byte) []byte
	// Restore replaces the state by what Snapshot wrote, and by nothing else: any other bytes are an error, never a
	// panic. After an error the machine is not used any more.
	Restore(src []byte) error
}

// Documenter is a Machine that also publishes documents: views of its state that need no history. Documents calls each
// with what to publish about an object now; the bytes belong to the engine afterwards.
type Documenter interface {
	Documents(c *sale.LogClock, each func(object int64, json []byte))
}

// MaxOutcomesPerRecord is below what the outcome's index can count.
const MaxOutcomesPerRecord = 60_000

// RoomTime is room time and its published error bound, both in microseconds.
type RoomTime func() (now, bound int64)

// Lease is a lease that was won. It serves one call at a time.
type Lease interface {
	// Epoch is the least epoch that its holder may use.
	Epoch() uint64
	// Renew says that the holder is alive and leads with epoch. store.ErrLeaseLost says that another one has it.
	Renew(ctx context.Context, epoch uint64) error
	// Release gives it back at once, to heir before others unless zero; Abandon closes the session and lets the lease end
	// by itself.
	Release(ctx context.Context, heir wire.ID) error
	Abandon()
}

// Leases elects. Contend waits until the lease was won, or returns an error after which it is called again; led is asked
// at any time for the holder that the log shows leading and alive, zero for nobody else, which is let go first when
// another one has its lease.
type Leases interface {
	Contend(ctx context.Context, name string, holder wire.ID, address string, led func() wire.ID) (Lease, error)
}

// Snapshots keeps states. See package store for the promises.
type Snapshots interface {
	// SnapshotTurn keeps other replicas from taking a snapshot of the same name until done is called; ok is false when one
	// of them is at it.
	SnapshotTurn(ctx context.Context, name string) (done func(), ok bool, err error)
	SaveSnapshot(ctx context.Context, s store.Snapshot, data []byte) (store.Snapshot, error)
	CountSnapshot(ctx context.Context, s store.Snapshot) error
	Snapshots(ctx context.Context, name string) ([]store.Snapshot, error)
	NewestSnapshot(ctx context.Context, name string) (age time.Duration, next int64, ok bool, err error)
	LoadSnapshot(ctx context.Context, s store.Snapshot) ([]byte, error)
}

// PostgresLeases elects by the leases in db; ttl 0 means store.LeaseTTL.
func PostgresLeases(db *store.DB, ttl time.Duration) Leases { return postgresLeases{db: db, ttl: ttl} }

// SpreadLeases is PostgresLeases for one of several processes: id is what HandOver names as heir, and handicap says how
// long to let others take a lease that becomes free now.
func SpreadLeases(db *store.DB, ttl time.Duration, id wire.ID, handicap func(name string) time.Duration) Leases {
	return postgresLeases{db: db, ttl: ttl, id: id, handicap: handicap}
}

type postgresLeases struct {
	db       *store.DB
	ttl      time.Duration
	id       wire.ID
	handicap func(name string) time.Duration
}

func (p postgresLeases) Contend(ctx context.Context, name string, holder wire.ID, address string, led func() wire.ID) (Lease, error) {
	request := store.LeaseRequest{Name: name, Holder: holder, Address: address, TTL: p.ttl, Candidate: p.id, Led: led}
	if p.handicap != nil {
		request.Handicap = func() time.Duration { return p.handicap(name) }
	}
	l, err := p.db.Contend(ctx, request)
	if err != nil {
		return nil, err
	}
	return l, nil
}
