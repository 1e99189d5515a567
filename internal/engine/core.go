package engine

import (
	"encoding/binary"
	"errors"
	"fmt"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// Core is one replica of a partition's state: log time, numbering, the chain over the records, the memory of command
// ids, and the machine. It is pure: the same records give the same outcomes and the same snapshot, whatever they are.
// It belongs to one goroutine.
type Core struct {
	machine   Machine
	partition int32
	clock     sale.LogClock
	leader    wire.ID // who opened the current epoch
	next      int64   // offset of the next record
	seq, hash uint64  // of the last outcome
	chain     wire.Hash
	commands  commands
	tickAt    int64 // offset of the newest counted tick, -1 before the first
	say       scratch
	batch     batch
}

// scratch is the engine's own frequent record and outcomes, kept to spare the allocations.
type scratch struct {
	tick     wire.Tick
	ticked   wire.Ticked
	rejected wire.Rejected
	repeated wire.Repeated
}

// NewCore returns the state before the first record of a partition, over a machine in its first state.
func NewCore(m Machine, partition int32) *Core {
	return &Core{machine: m, partition: partition, commands: newCommands(), tickAt: -1}
}

// Next is the offset of the record that Apply wants next.
func (c *Core) Next() int64 { return c.next }

// Seq is the number of the last outcome, 0 before the first.
func (c *Core) Seq() uint64 { return c.seq }

// Hash is the running hash after the last outcome.
func (c *Core) Hash() uint64 { return c.hash }

// Chain is the head of the SHA-256 chain over all records so far.
func (c *Core) Chain() wire.Hash { return c.chain }

// Clock is log time; the machine's documents are made with it.
func (c *Core) Clock() sale.LogClock { return c.clock }

// Leader is who opened the current epoch; zero before the first.
func (c *Core) Leader() wire.ID { return c.leader }

// TickAt is the offset of the newest tick that counted, -1 before the first.
func (c *Core) TickAt() int64 { return c.tickAt }

// Code is the machine's code version.
func (c *Core) Code() uint32 { return c.machine.Code() }

// ErrOrder: a record was given out of order.
var ErrOrder = errors.New("engine: record out of order")

// Apply applies the next record, whatever its bytes, and appends its outcomes (one at least) to out. Only an offset that
// is not Next is an error: then nothing has changed.
func (c *Core) Apply(offset int64, value []byte, out *wire.Outcomes) error {
	if offset != c.next {
		return fmt.Errorf("%w: offset %d, wanted %d", ErrOrder, offset, c.next)
	}
	c.chain = wire.NextChain(c.chain, offset, value)
	r, err := wire.ParseRecord(value)
	c.applyParsed(&r, err == nil, out)
	return nil
}

// applyParsed applies the next record, whose header was read and found sound or not. The chain is already over it.
func (c *Core) applyParsed(r *wire.Record, sound bool, out *wire.Outcomes) {
	offset := c.next
	c.next++
	out.Partition, out.Seq, out.Hash = c.partition, c.seq, c.hash
	switch {
	case !sound:
		out.Begin(offset, c.clock.Now, wire.Record{})
		c.reject(wire.ReasonUndecodable, out)
	case r.Kind == wire.KindTick:
		c.applyTick(offset, *r, out)
	default:
		out.Begin(offset, c.clock.Now, *r)
		c.apply(offset, r, out)
	}
	out.End()
	c.seq, c.hash = out.Seq, out.Hash
}

func (c *Core) apply(offset int64, r *wire.Record, out *wire.Outcomes) {
	switch {
	case r.Kind == wire.KindEpoch:
		c.applyEpoch(*r, out)
	case r.Kind < firstMachineKind:
		c.reject(wire.ReasonUnknownKind, out)
	case r.Command == wire.ID{} || r.NotAfter == 0:
		c.decide(offset, r, out)
	default:
		c.applyCommand(offset, r, out)
	}
}

// firstMachineKind is the first kind of record that is the machine's.
const firstMachineKind wire.Kind = 16

// maxEpochStep is how far an epoch may lie above the one before it: leases that were won without a record in between.
const maxEpochStep = 1 << 32

func (c *Core) reject(reason wire.Reason, out *wire.Outcomes) {
	c.say.rejected.Reason = reason
	out.Add(&c.say.rejected)
}

// decide lets the machine answer. A machine that says nothing is broken; its silence must not stop the log.
func (c *Core) decide(offset int64, r *wire.Record, out *wire.Outcomes) {
	c.machine.Apply(&c.clock, offset, *r, out)
	if out.Added() == 0 {
		c.reject(wire.ReasonUnknownKind, out)
	}
}

// applyEpoch starts a term: the first record with a number above the current one decides whose it is.
func (c *Core) applyEpoch(r wire.Record, out *wire.Outcomes) {
	var e wire.Epoch
	if err := r.DecodeInto(&e); err != nil {
		c.reject(wire.ReasonUndecodable, out)
		return
	}
	// A number far ahead would leave none for those who come after.
	if e.Epoch > c.clock.Epoch && e.Epoch-c.clock.Epoch > maxEpochStep {
		c.reject(wire.ReasonInvalid, out)
		return
	}
	if !c.clock.StartEpoch(e.Epoch, e.Code) {
		c.reject(wire.ReasonStaleEpoch, out)
		return
	}
	c.leader = e.Leader
	out.Add(&wire.EpochStarted{Epoch: e.Epoch, Leader: e.Leader, Code: e.Code})
}

// applyTick moves log time. Its outcomes carry the time after it, so that what lapses does so at or after its deadline.
func (c *Core) applyTick(offset int64, r wire.Record, out *wire.Outcomes) {
	t := &c.say.tick
	if err := r.DecodeInto(t); err != nil {
		out.Begin(offset, c.clock.Now, r)
		c.reject(wire.ReasonUndecodable, out)
		return
	}
	outage, ok := c.clock.Tick(t.Epoch, t.Now, t.Bound)
	out.Begin(offset, c.clock.Now, r)
	if !ok {
		c.reject(wire.ReasonStaleEpoch, out)
		return
	}
	c.tickAt = offset
	c.commands.forget(c.clock.Now)
	if outage > 0 {
		out.Add(&wire.Extended{Scope: 1, Cause: wire.CauseOutage, By: outage})
	}
	c.say.ticked = wire.Ticked{Epoch: t.Epoch, Now: t.Now, Bound: t.Bound, Outage: c.clock.Outage, Chain: c.chain}
	out.Add(&c.say.ticked)
	c.machine.Tick(&c.clock, out)
}

// applyCommand decides a command that has an id and a not-after: at most once, and never after it.
func (c *Core) applyCommand(offset int64, r *wire.Record, out *wire.Outcomes) {
	if first := c.commands.find(r.Command); first != nil {
		c.say.repeated = wire.Repeated{FirstKind: first.kind, FirstOffset: first.offset, FirstSeq: first.seq, FirstRef: first.ref}
		out.Add(&c.say.repeated)
		return
	}
	if r.NotAfter < c.clock.Now {
		c.reject(wire.ReasonExpired, out)
		return
	}
	if c.commands.full() {
		c.reject(wire.ReasonFull, out)
		return
	}
	at := out.Len()
	c.decide(offset, r, out)
	first := out.At(at)
	until := r.NotAfter
	if r.Flags&wire.FlagKeyed != 0 {
		until = addSaturating(until, wire.KeyedMemory)
	}
	c.commands.remember(&command{
		id: r.Command, until: until, offset: offset,
		kind: wire.Kind(first[1]), seq: binary.LittleEndian.Uint64(first[16:]), ref: wire.ID(first[40:56]),
	})
}

func addSaturating(a, b int64) int64 {
	if s := a + b; s >= a {
		return s
	}
	return 1<<63 - 1
}
