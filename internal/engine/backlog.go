package engine

import (
	"bytes"
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// backlog keeps the outcomes that this replica derived and has not yet read back from the outcomes topic: what a new
// leader has to emit is there, whoever was to emit it before. Its bytes are never changed once they are in it.
type backlog struct {
	chunks []chunk // ascending; the first may be partly trimmed
	bytes  int     // of all chunks, trimmed parts included
	seen   uint64  // sequence number of the last outcome read back

	// Of the newest chunk: its records, outcomes and bytes.
	records, outcomes, size int

	rejected int64 // records whose bytes made no sense, came too late or did not fit, ever since the start
}

// chunk is the outcomes of one batch of records.
type chunk struct {
	first uint64 // sequence number of the first
	out   *wire.Outcomes
}

func (c *chunk) end() uint64 { return c.first + uint64(c.out.Len()) }

// room returns what the outcomes of a batch of records are collected in: with room for as many as those of the batch before
// took, within what one produce call carries, so that it seldom has to grow.
func (b *backlog) room(records int) *wire.Outcomes {
	out := new(wire.Outcomes)
	if b.records > 0 {
		n, size := b.outcomes*records/b.records, b.size*records/b.records
		out.Grow(min(n+1, eventlog.MaxBatchRecords), min(size+size/8, eventlog.MaxBatchBytes))
	}
	return out
}

// add takes the outcomes that a batch of records gave; out is not used again by its caller.
func (b *backlog) add(records int, out *wire.Outcomes) {
	n := out.Len()
	if n == 0 {
		return
	}
	b.records, b.outcomes, b.size = records, n, out.Size()
	b.chunks = append(b.chunks, chunk{first: out.Seq - uint64(n) + 1, out: out})
	b.bytes += out.Size()
	for i := range n {
		if wire.Kind(out.At(i)[1]) == wire.KindRejected {
			b.rejected++
		}
	}
}

// find returns the outcome with a number, or nil.
func (b *backlog) find(seq uint64) []byte {
	for i := range b.chunks {
		c := &b.chunks[i]
		if seq >= c.first && seq < c.end() {
			return c.out.At(int(seq - c.first))
		}
	}
	return nil
}

// readBack trims the outcome that was read back, and checks that it is ours.
func (b *backlog) readBack(seq uint64, value []byte) error {
	if own := b.find(seq); own != nil && !bytes.Equal(own, value) {
		return fmt.Errorf("%w: outcome %d was emitted as %x, this replica derives %x; one of the two runs other code or has a "+
			"damaged state: compare code versions, and discard the newest snapshots if they are at fault", ErrDiverged, seq, value, own)
	}
	b.seen = seq
	for len(b.chunks) > 0 && b.chunks[0].end() <= seq+1 {
		b.bytes -= b.chunks[0].out.Size()
		b.chunks[0] = chunk{}
		b.chunks = b.chunks[1:]
	}
	return nil
}

// batch returns the outcomes from a number on, as many as one produce call may carry.
func (b *backlog) batch(from uint64) [][]byte {
	last := len(b.chunks) - 1
	if last < 0 || from >= b.chunks[last].end() {
		return nil
	}
	batch, size := make([][]byte, 0, min(b.chunks[last].end()-from, eventlog.MaxBatchRecords)), 0
	for i := range b.chunks {
		c := &b.chunks[i]
		for from < c.end() {
			v := c.out.At(int(from - c.first))
			size += len(v) + recordOverhead
			if len(batch) == eventlog.MaxBatchRecords || size > eventlog.MaxBatchBytes {
				return batch
			}
			batch = append(batch, v)
			from++
		}
	}
	return batch
}

// recordOverhead is at least what a record adds to its value in a produce call.
const recordOverhead = 16
