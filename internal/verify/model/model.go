// Package model is a second, simple implementation of what both logs mean, for checking the first: it replays the
// records of a partition and says which outcomes they must have. It imports internal/wire and the standard library, and
// touches nothing.
//
// Where the machines are fast, this is plain: maps, slices and scans, one rule after the other. A difference between the
// two is a mistake in one of them. The outcomes of `orders` are predicted whole. Of `queue` the control law alone is not
// predicted: how far a lane is invited is taken from the outcome, and held against its bounds.
package model

import (
	"fmt"

	"fairgate/internal/wire"
)

// Finding is one thing that is not as it must be.
type Finding struct {
	Invariant int    // its number in ARCHITECTURE.md
	Explain   string // what was found, and what was expected
}

// seen is an outcome as it was read, decoded.
type seen struct {
	wire.Outcome
	Decoded wire.Body
}

// Partition replays one partition of one log. It belongs to one goroutine.
type Partition struct {
	id       int32
	clock    logClock
	seq      uint64
	hash     uint64
	next     int64
	chain    wire.Hash
	ids      ids
	rules    rules
	body     func(wire.Kind) wire.Body
	diverged bool
	resumed  bool // began at a point whose state is not known
	blind    bool // and has not seen a tick yet, so log time is not known either
}

// rules are what one log has beyond the engine: they hold the outcomes of a turn against the state they keep.
type rules interface {
	judge(t *turn)
}

// turn is one record with the outcomes that it had, less those that the engine itself decides.
type turn struct {
	clock  *logClock
	offset int64
	record wire.Record
	tick   bool
	seq    uint64 // of the first of got
	got    []seen
	out    []Finding
}

func (t *turn) fail(invariant int, format string, args ...any) {
	t.out = append(t.out, Finding{invariant, fmt.Sprintf(format, args...)})
}

// NewOrders replays a partition of the log `orders` from its first record.
func NewOrders(partition int32, limits Limits) *Partition {
	return &Partition{id: partition, ids: newIDs(), rules: newOrders(limits), body: wire.NewOrderOutcome}
}

// NewQueue replays a partition of the log `queue` from its first record.
func NewQueue(partition int32) *Partition {
	return &Partition{id: partition, ids: newIDs(), rules: newQueue(), body: wire.NewQueueOutcome}
}

// Next is the offset of the record that Check wants next.
func (p *Partition) Next() int64 { return p.next }

// Seq is the number of the last outcome checked.
func (p *Partition) Seq() uint64 { return p.seq }

// Diverged says that an outcome was not the expected one: from there on only form, numbers, hashes and sums are checked,
// because every later expectation would rest on a state that is not the machine's.
func (p *Partition) Diverged() bool { return p.diverged }

// Check replays the next record and holds all its outcomes, in order, against what they must be.
func (p *Partition) Check(offset int64, record []byte, outcomes [][]byte) []Finding {
	if offset != p.next {
		return []Finding{{3, fmt.Sprintf("record at offset %d, after %d", offset, p.next-1)}}
	}
	p.next++
	p.chain = wire.NextChain(p.chain, offset, record)
	r, err := wire.ParseRecord(record)
	if err != nil {
		r = wire.Record{}
	}
	first := p.seq + 1
	plan := p.engine(offset, r, err == nil)
	got, out := p.form(offset, r, outcomes)
	for _, s := range got {
		out = append(out, sums(s)...)
	}
	if p.diverged {
		return out
	}
	if p.resumed {
		if len(out) == 0 {
			out = p.engineOnly(plan, r, got)
		}
		return out
	}
	if len(out) == 0 {
		out = p.content(plan, offset, r, first, got)
	}
	p.diverged = len(out) > 0
	return out
}

// content holds the bodies against the engine's plan and the log's own rules.
func (p *Partition) content(plan plan, offset int64, r wire.Record, first uint64, got []seen) []Finding {
	var out []Finding
	for i, want := range plan.fixed {
		if i >= len(got) {
			return append(out, Finding{3, fmt.Sprintf("%s is missing", name(want))})
		}
		if d := differ(expected{r.Object, r.Ref, want}, got[i]); d != "" {
			out = append(out, Finding{2, d})
		}
	}
	rest := got[len(plan.fixed):]
	if !plan.machine {
		if len(rest) > 0 {
			out = append(out, Finding{3, fmt.Sprintf("%s follows an outcome that must be the only one", name(rest[0].Decoded))})
		}
		return out
	}
	if !plan.tick && len(rest) == 0 {
		return append(out, Finding{3, "a command without an outcome"})
	}
	t := &turn{clock: &p.clock, offset: offset, record: r, tick: plan.tick, seq: first + uint64(len(plan.fixed)), got: rest}
	p.rules.judge(t)
	if plan.remember && len(rest) > 0 {
		p.ids.remember(r, first, rest[0].Outcome)
	}
	return append(out, t.out...)
}

// form checks what every outcome has, whatever it says: version, place, number, hash, time.
func (p *Partition) form(offset int64, r wire.Record, outcomes [][]byte) ([]seen, []Finding) {
	var out []Finding
	fail := func(invariant int, format string, args ...any) {
		out = append(out, Finding{invariant, fmt.Sprintf(format, args...)})
	}
	if len(outcomes) == 0 {
		fail(3, "the record has no outcome")
	}
	got := make([]seen, 0, len(outcomes))
	for i, b := range outcomes {
		o, err := wire.ParseOutcome(b)
		if err != nil {
			fail(5, "outcome %d cannot be read: %v", i, err)
			return got, out
		}
		last := i == len(outcomes)-1
		switch {
		case o.Seq != p.seq+1:
			fail(5, "outcome number %d follows %d", o.Seq, p.seq)
		case o.Hash != wire.NextHash(p.hash, b):
			fail(5, "outcome number %d: its running hash does not follow from the one before", o.Seq)
		case o.Partition != p.id:
			fail(5, "outcome number %d says partition %d", o.Seq, o.Partition)
		case o.Offset != offset || int(o.Index) != i:
			fail(3, "outcome number %d says record %d, index %d instead of record %d, index %d", o.Seq, o.Offset, o.Index, offset, i)
		case o.Last != last:
			fail(3, "outcome number %d: last=%t, expected %t", o.Seq, o.Last, last)
		case o.Command != r.Command:
			fail(3, "outcome number %d names command %s instead of %s", o.Seq, wire.Hex(o.Command), wire.Hex(r.Command))
		case o.At != p.clock.Now && !p.blind:
			fail(2, "outcome number %d is dated %d, log time is %d", o.Seq, o.At, p.clock.Now)
		}
		p.seq, p.hash = o.Seq, o.Hash
		body := p.body(o.Kind)
		if body == nil {
			fail(2, "outcome number %d is of unknown kind %d", o.Seq, o.Kind)
			continue
		}
		if err := o.DecodeInto(body); err != nil {
			fail(2, "outcome number %d cannot be read: %v", o.Seq, err)
			continue
		}
		got = append(got, seen{o, body})
	}
	return got, out
}

// MaxIDs is how many command ids a partition remembers.
const MaxIDs = 1 << 22

// ids remembers the first outcome of every command that had an id and a not-after.
type ids struct {
	known map[wire.ID]*firstOutcome
	due   line[*firstOutcome]
}

type firstOutcome struct {
	id       wire.ID
	until    int64
	repeated wire.Repeated
}

func newIDs() ids {
	return ids{map[wire.ID]*firstOutcome{}, line[*firstOutcome]{less: func(a, b *firstOutcome) bool { return a.until < b.until }}}
}

func (d *ids) remember(r wire.Record, seq uint64, first wire.Outcome) {
	f := &firstOutcome{r.Command, r.NotAfter, wire.Repeated{FirstKind: first.Kind, FirstOffset: first.Offset, FirstSeq: seq, FirstRef: first.Ref}}
	if r.Flags&wire.FlagKeyed != 0 {
		f.until = plus(f.until, wire.KeyedMemory)
	}
	d.known[r.Command] = f
	d.due.add(f)
}

func (d *ids) forget(now int64) {
	for len(d.due.all) > 0 && (*d.due.first()).until < now {
		delete(d.known, d.due.take().id)
	}
}

// plus adds without wrapping: what lies beyond the end of time stays at it.
func plus(a, b int64) int64 {
	const end = 1<<63 - 1
	if b > 0 && a > end-b {
		return end
	}
	return a + b
}
