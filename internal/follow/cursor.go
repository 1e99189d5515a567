package follow

import (
	"errors"
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// What ends a reader for good.
var (
	// ErrGap: an outcome is missing before this one.
	ErrGap = errors.New("gap in the outcomes")
	// ErrHash: the outcome is not the one that follows what was read before: two leaders decided differently, or the
	// topic was written by somebody else.
	ErrHash = errors.New("running hash of the outcomes does not match")
	// ErrUnreadable: the bytes are not an outcome of this partition.
	ErrUnreadable = errors.New("not an outcome")
)

// Position is where to read on. The zero value is the very beginning: outcome 1, after running hash 0.
type Position struct {
	Offset int64  // of the topic; may be any at or before that of the wanted outcome
	Seq    uint64 // the next sequence number wanted; 0 means 1
	Hash   uint64 // the running hash after outcome Seq-1
}

// Cursor decides which outcomes are new. It is pure.
type Cursor struct {
	at    Position
	adopt bool // take the next outcome for true, whatever its number
	loose bool // after a gap, adopt again
}

// NewCursor wants the outcome that p names.
func NewCursor(p Position) Cursor {
	p.Seq = max(p.Seq, 1)
	return Cursor{at: p}
}

// Anywhere wants whatever comes at an offset. It drops duplicates and finds wrong hashes like any other, but it cannot
// tell a gap: what it began with may have been a late duplicate of something old.
func Anywhere(offset int64) Cursor {
	return Cursor{at: Position{Offset: offset}, adopt: true, loose: true}
}

// Position is where to read on.
func (c *Cursor) Position() Position { return c.at }

// Accept reads the record at an offset of the topic. fresh is false for an outcome that was accepted before. An error
// (ErrGap, ErrHash, ErrUnreadable) leaves the cursor where it was.
func (c *Cursor) Accept(offset int64, value []byte) (o wire.Outcome, fresh bool, err error) {
	o, err = wire.ParseOutcome(value)
	if err != nil {
		return o, false, fmt.Errorf("offset %d: %w: %w", offset, ErrUnreadable, err)
	}
	switch {
	case c.adopt || c.loose && o.Seq > c.at.Seq:
	case o.Seq < c.at.Seq:
		c.at.Offset = offset + 1
		return o, false, nil
	case o.Seq > c.at.Seq:
		return o, false, fmt.Errorf("offset %d: %w: number %d follows %d; outcomes were deleted, or the leader that emitted it "+
			"began from a snapshot that should not have counted", offset, ErrGap, o.Seq, c.at.Seq-1)
	case wire.NextHash(c.at.Hash, value) != o.Hash:
		return o, false, fmt.Errorf("offset %d: %w: number %d; replicas disagree, so one runs other code or has a damaged state: "+
			"compare their code versions and snapshots", offset, ErrHash, o.Seq)
	}
	c.adopt = false
	c.at = Position{Offset: offset + 1, Seq: o.Seq + 1, Hash: o.Hash}
	return o, true, nil
}

// take appends the fresh outcomes of records to dst.
func (c *Cursor) take(dst []wire.Outcome, records []eventlog.Record) ([]wire.Outcome, error) {
	for _, r := range records {
		o, fresh, err := c.Accept(r.Offset, r.Value)
		if err != nil {
			return dst, err
		}
		if fresh {
			dst = append(dst, o)
		}
	}
	return dst, nil
}
