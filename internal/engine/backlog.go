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
}

// chunk is the outcomes of one batch of records.
type chunk struct {
	first  uint64 // sequence number of values[0]
	values [][]byte
	bytes  int
}

// add takes the outcomes that a batch of records gave; out is not used again by its caller.
func (b *backlog) add(out *wire.Outcomes) {
	n := out.Len()
	if n == 0 {
		return
	}
	c := chunk{first: out.Seq - uint64(n) + 1, values: make([][]byte, n)}
	for i := range c.values {
		c.values[i] = out.At(i)
		c.bytes += len(c.values[i])
	}
	b.chunks = append(b.chunks, c)
	b.bytes += c.bytes
}

// find returns the outcome with a number, or nil.
func (b *backlog) find(seq uint64) []byte {
	for i := range b.chunks {
		c := &b.chunks[i]
		if seq >= c.first && seq < c.first+uint64(len(c.values)) {
			return c.values[seq-c.first]
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
	for len(b.chunks) > 0 && b.chunks[0].first+uint64(len(b.chunks[0].values)) <= seq+1 {
		b.bytes -= b.chunks[0].bytes
		b.chunks[0] = chunk{}
		b.chunks = b.chunks[1:]
	}
	return nil
}

// batch returns the outcomes from a number on, as many as one produce call may carry.
func (b *backlog) batch(from uint64) [][]byte {
	var batch [][]byte
	size := 0
	for i := range b.chunks {
		c := &b.chunks[i]
		if from >= c.first+uint64(len(c.values)) {
			continue
		}
		for _, v := range c.values[from-c.first:] {
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

// recordOverhead is more than what a record adds to its value in a produce call.
const recordOverhead = 32
