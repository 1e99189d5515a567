package engine

import (
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// ahead is how many records are looked at together before the first of them is applied: enough for their cache misses
// to overlap, few enough for what was fetched to be there still.
const ahead = 16

// Toucher is a Machine whose tables are larger than the caches. Touch is told of records that will probably be applied
// next and reads the memory that they will need; it changes nothing, and may be told of anything.
type Toucher interface {
	Touch(batch []wire.Record)
}

// batch is the records looked at together.
type batch struct {
	records [ahead]wire.Record
	sound   [ahead]bool
	touched uint64 // keeps the reads from being left out
}

// ApplyBatch applies the next records as Apply does, up to and including the first that is the engine's own (an epoch, a
// tick: the caller may have to look up), and says how many that were. heads are the heads of the chain after each of
// them, for a caller that has them computed elsewhere, see wire.NextChain; nil has them computed here. An error is
// ErrOrder, and says that the record after the n applied ones was not the next.
func (c *Core) ApplyBatch(records []eventlog.Record, heads []wire.Hash, out *wire.Outcomes) (n int, err error) {
	for n < len(records) {
		window := records[n:min(n+ahead, len(records))]
		c.look(window)
		for i := range window {
			if window[i].Offset != c.next {
				return n, fmt.Errorf("%w: offset %d, wanted %d", ErrOrder, window[i].Offset, c.next)
			}
			if heads != nil {
				c.chain = heads[n]
			} else {
				c.chain = wire.NextChain(c.chain, c.next, window[i].Value)
			}
			r, sound := c.batch.records[i], c.batch.sound[i]
			c.applyParsed(r, sound, out)
			n++
			if sound && r.Kind < firstMachineKind {
				return n, nil
			}
		}
	}
	return n, nil
}

// look reads the headers of some records and touches what they need.
func (c *Core) look(window []eventlog.Record) {
	b := &c.batch
	sum := uint64(0)
	for i := range window {
		r, err := wire.ParseRecord(window[i].Value)
		b.records[i], b.sound[i] = r, err == nil
		if r.NotAfter != 0 {
			sum += c.commands.touch(r.Command)
		}
	}
	b.touched += sum
	if t, ok := c.machine.(Toucher); ok {
		t.Touch(b.records[:len(window)])
	}
}
