package engine

import (
	"errors"
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/wire"
)

// What stops a replica for good: it must not guess.
var (
	// ErrDiverged: an emitted outcome is not the one that this replica derives.
	ErrDiverged = errors.New("replicas diverged")
	// ErrTruncated: outcomes exist of records that the log no longer has.
	ErrTruncated = errors.New("log is shorter than its outcomes")
)

// Role is what a replica is.
type Role uint8

// Roles of a replica.
const (
	Standby  Role = iota // applies every record, emits nothing
	Electing             // holds the lease, has not read its own epoch record back
	Leading              // emits and ticks, until it reads a higher epoch
)

// String is the role's name in logs.
func (r Role) String() string { return [...]string{"standby", "electing", "leading"}[r] }

// Rules are the numbers a Replica decides by. Times are in microseconds.
type Rules struct {
	TickEvery  int64
	RenewEvery int64
	RetryEvery int64 // pause before an append of an epoch record is tried again
	DocsEvery  int64 // 0 for no documents
	BoundLimit int64 // error bound of room time beyond which no leader ticks
	MaxBacklog int   // bytes of outcomes not read back, beyond which no record is applied
}

// Now is an instant: Mono on a clock that never jumps, Room and Bound as RoomTime gives them.
type Now struct{ Mono, Room, Bound int64 }

// Todo is what a Replica wants done; a zero field is nothing. What was asked for is not asked for again until its
// result was told.
type Todo struct {
	Contend   bool     // hold a contention for the lease open; false: end it
	Release   bool     // give the lease back
	Renew     uint64   // renew the lease for this epoch, unless 0
	Append    []byte   // append this record to the log, once
	Emit      [][]byte // append these outcomes to the outcomes topic; the same again until acknowledged or superseded
	EmitFirst uint64   // sequence number of Emit[0]
	Documents bool     // publish the machine's documents
}

// Replica decides what one replica of a partition does, and does nothing itself: the runner tells it what happened and
// carries out its Todo. It is pure and belongs to one goroutine.
type Replica struct {
	core  *Core
	rules Rules
	role  Role

	backlog backlog
	cursor  follow.Cursor
	waiting []eventlog.Record // outcomes read back before we derived them
	waitFor int64             // when waiting became what it is

	inputEnd, outcomesEnd bool // the last fetch reached the end
	caught                bool // it was caught up, at caughtAt
	caughtAt              int64
	stopping              bool

	holding    bool // the lease, as far as we know
	leaseEpoch uint64
	releasing  bool
	renewing   bool
	renewedAt  int64
	handUntil  int64 // a lease that was handed over is not wanted back before
	progress   bool  // something that only a living leader does, since the last renewal

	ledAt int64 // when the log last showed us that its leader is alive

	own       wire.ID    // the leader of our newest term
	term      wire.Epoch // ours, while not a standby
	appending appending
	retryAt   int64
	tick      pendingTick
	tickedAt  int64
	docsAt    int64
	docsDue   bool

	sent   uint64 // last outcome acknowledged, or seen in the topic
	flying int    // outcomes in the batch in flight
}

// appending is what the append in flight carries.
type appending uint8

const (
	appendNothing appending = iota
	appendEpoch
	appendTick
	appendOld // of a term that has ended
)

// pendingTick is a tick whose fate is open: no other one is appended meanwhile.
type pendingTick struct {
	out     bool
	unknown bool // its append ended without an answer
	since   int64
	now     int64  // the instant it carries
	need    uint64 // outcomes up to this one must be acknowledged before the next tick
}

// NewReplica continues from a core's state. The outcomes topic is read from offset Seq() on: every number is in it at
// least once and none is left out, so the next one cannot lie before.
func NewReplica(core *Core, rules Rules) *Replica {
	return &Replica{
		core: core, rules: rules,
		backlog: backlog{seen: core.Seq()},
		cursor:  follow.NewCursor(follow.Position{Offset: int64(core.Seq()), Seq: core.Seq() + 1, Hash: core.Hash()}),
	}
}

// Core is the replica's state.
func (r *Replica) Core() *Core { return r.core }

// ReadFrom is where to read both topics from at the beginning. Every outcome number is in its topic at least once and
// none is left out, so that number n+1 lies at offset n or later.
func (r *Replica) ReadFrom() (log, outcomes int64) { return r.core.Next(), r.cursor.Position().Offset }

// Role is what the replica is now.
func (r *Replica) Role() Role { return r.role }

// Seen is the number of the last outcome that was read back.
func (r *Replica) Seen() uint64 { return r.backlog.seen }

// Hungry says that Records may be called: the outcomes not yet read back are within their limit.
func (r *Replica) Hungry() bool { return r.backlog.bytes < r.rules.MaxBacklog && !r.stopping }

// Thirsty says that ReadBack may be called: what it was given before has been used.
func (r *Replica) Thirsty() bool { return len(r.waiting) == 0 }

// CaughtUp says that both topics have been read to their ends, or as far as anybody can get before a leader has emitted
// what is missing.
func (r *Replica) CaughtUp() bool {
	full := r.backlog.bytes >= r.rules.MaxBacklog
	return (r.inputEnd || full) && r.outcomesEnd && len(r.waiting) == 0
}

// Records applies the next records of the log; heads are what Heads says of them. end says that the fetch that brought
// them, begun at started, reached the end of the log.
func (r *Replica) Records(records []eventlog.Record, heads []wire.Hash, end bool, started int64) error {
	if len(records) > 0 {
		out := r.backlog.room(len(records))
		for done := 0; done < len(records); {
			ticked, led := r.core.TickAt(), r.core.Leader()
			n, err := r.core.ApplyBatch(records[done:], heads[done:], out)
			if err != nil {
				return err
			}
			r.judge(r.core.TickAt() != ticked)
			if r.core.TickAt() != ticked || r.core.Leader() != led {
				r.ledAt = started
			}
			done += n
		}
		r.backlog.add(len(records), out)
	}
	r.inputEnd = end
	if end && r.tick.unknown && started >= r.tick.since {
		// It is not in the log. If it still comes it is older than the next one, and counts for nothing.
		r.tick.out, r.tick.unknown = false, false
	}
	if err := r.digest(); err != nil {
		return err
	}
	if end && len(r.waiting) > 0 && started >= r.waitFor+truncatedAfter {
		return r.truncated()
	}
	return nil
}

// judge looks at what the record just applied means for our term. The log alone decides: the first epoch record with a
// number is its term's, and a higher one ends it.
func (r *Replica) judge(ticked bool) {
	epoch := r.core.clock.Epoch
	ours := epoch == r.term.Epoch && r.core.Leader() == r.term.Leader
	switch {
	case r.role == Electing && ours:
		r.role = Leading
		r.tick = pendingTick{need: r.core.Seq()}
		r.progress = true
	case r.role == Leading && ours && ticked && r.core.clock.Now >= r.tick.now:
		// An older one that landed late says nothing of the one we wait for.
		r.tick = pendingTick{need: r.core.Seq()}
		r.progress, r.docsDue = true, true
	case r.role != Standby && !ours && epoch >= r.term.Epoch:
		r.stepDown()
	}
}

// stepDown ends our term. The batch in flight may still land: it holds what everybody derives.
func (r *Replica) stepDown() {
	r.role, r.term, r.tick, r.flying = Standby, wire.Epoch{}, pendingTick{}, 0
	r.releasing = r.holding
	if r.appending != appendNothing {
		r.appending = appendOld
	}
}

// ReadBack takes records of the outcomes topic. end says that the fetch reached its end.
func (r *Replica) ReadBack(records []eventlog.Record, end bool, now int64) error {
	r.outcomesEnd = end
	if len(records) > 0 {
		r.waiting, r.waitFor = records, now
	}
	return r.digest()
}

// digest uses what was read back up to what we have derived ourselves.
func (r *Replica) digest() error {
	for len(r.waiting) > 0 {
		value := r.waiting[0].Value
		o, err := wire.ParseOutcome(value)
		if err == nil && o.Seq > r.core.Seq() && o.Offset >= r.core.Next() {
			return nil // not derived yet
		}
		o, fresh, err := r.cursor.Accept(r.waiting[0].Offset, value)
		if err != nil {
			return fmt.Errorf("reading outcomes back: %w", err)
		}
		r.waiting = r.waiting[1:]
		if !fresh {
			continue
		}
		if o.Seq > r.core.Seq() {
			return fmt.Errorf("%w: outcome %d of offset %d was emitted, this replica derives only %d outcomes up to there",
				ErrDiverged, o.Seq, o.Offset, r.core.Seq())
		}
		if err := r.backlog.readBack(o.Seq, value); err != nil {
			return err
		}
		r.sent = max(r.sent, o.Seq)
	}
	return nil
}

// truncatedAfter is how long, in microseconds, outcomes may refer to records that we cannot read. Just after a broker's
// failover the new one shows less than it has: it shows what its followers have fetched since, and waits for a dead one
// among them until that has lost its session (broker.session.timeout.ms, 9 s) or its place (replica.lag.time.max.ms, 30 s).
const truncatedAfter = 45_000_000

func (r *Replica) truncated() error {
	o, err := wire.ParseOutcome(r.waiting[0].Value)
	if err != nil {
		return fmt.Errorf("reading outcomes back: %w", err)
	}
	return fmt.Errorf("%w: outcome %d is of offset %d, the log ends at %d (an unclean election, or a disk restored from an older "+
		"copy): restore the log, or discard outcomes, snapshots and projections and start over", ErrTruncated, o.Seq, o.Offset, r.core.Next())
}
