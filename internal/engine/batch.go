package engine

import (
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// A command needs memory that no cache holds: one line to find its id, one to find its booking, the booking, the user's
// others. Waiting for each in turn would take several times as long as deciding. So records are looked at ahead of time,
// in steps, each of which asks for the lines that the step before made known; meanwhile earlier records are applied.
const (
	// ahead is how many records go through a step together: enough for the lines to arrive before the next step.
	ahead = 8
	// steps is how many a Prefetcher has. In the last one the records are applied.
	steps = 3
	// window is how many records are under way at once.
	window = ahead * (steps + 1)
)

// Prefetcher is a Machine whose tables are larger than the caches. Prefetch is told of records that will probably be
// applied soon, the first of them being the one at an offset, once for each step from 0: it asks for memory that they
// will need, and changes nothing that decides. It must bear anything, like Apply.
type Prefetcher interface {
	Prefetch(step int, first int64, batch []wire.Record)
}

// batch is the records under way, by their place in the batch modulo window.
type batch struct {
	records [window]wire.Record
	sound   [window]bool
}

// Heads are the heads of the chain after each of the records, from the one before them. They follow from the bytes of the
// log alone, so whoever reads it computes them, beside the goroutine that decides: hashing takes nearly half as long.
func Heads(before wire.Hash, records []eventlog.Record) []wire.Hash {
	heads := make([]wire.Hash, len(records))
	for i := range records {
		before = wire.NextChain(before, records[i].Offset, records[i].Value)
		heads[i] = before
	}
	return heads
}

// ApplyBatch applies the next records as Apply does, up to and including the first that is the engine's own (an epoch, a
// tick: the caller may have to look up), and says how many that were. heads are what Heads says of them, or more. An error
// is ErrOrder, and says that the record after the n applied ones was not the next.
func (c *Core) ApplyBatch(records []eventlog.Record, heads []wire.Hash, out *wire.Outcomes) (n int, err error) {
	for step := range steps {
		for early := range step + 1 {
			c.prefetch(records, (step-early)*ahead, early)
		}
	}
	for n < len(records) {
		for step := range steps {
			c.prefetch(records, n+(steps-step)*ahead, step)
		}
		for range min(ahead, len(records)-n) {
			r := &records[n]
			if r.Offset != c.next {
				return n, fmt.Errorf("%w: offset %d, wanted %d", ErrOrder, r.Offset, c.next)
			}
			c.chain = heads[n]
			at := n % window
			n++
			c.applyParsed(&c.batch.records[at], c.batch.sound[at], out)
			if c.batch.sound[at] && c.batch.records[at].Kind < firstMachineKind {
				return n, nil
			}
		}
	}
	return n, nil
}

// prefetch takes the records from a place on, as many as go together, through a step.
func (c *Core) prefetch(records []eventlog.Record, from, step int) {
	count := min(ahead, len(records)-from)
	if count <= 0 {
		return
	}
	at := from % window
	batch := c.batch.records[at : at+count]
	if step == 0 {
		c.parse(records[from:from+count], at)
	}
	if p, ok := c.machine.(Prefetcher); ok {
		p.Prefetch(step, records[from].Offset, batch)
	}
	if step != 1 {
		return
	}
	for i := range batch {
		if batch[i].NotAfter == 0 {
			continue
		}
		if at := c.commands.index.Guess(table.KeyOf(batch[i].Command)); at != table.None {
			table.Prefetch(&c.commands.slots.At(at).until)
		}
		// Those of the two steps ahead of this one come first.
		if slot := c.commands.slots.Next(2*ahead + i); slot != nil {
			table.Prefetch(&slot.until)
		}
	}
}

// parse reads headers and asks for where their commands' ids are looked up.
func (c *Core) parse(records []eventlog.Record, at int) {
	for i := range records {
		r := &c.batch.records[at+i]
		c.batch.sound[at+i] = r.Parse(records[i].Value) == nil
		if r.NotAfter != 0 {
			c.commands.index.Prefetch(table.KeyOf(r.Command))
		}
	}
}
