package model

import "fairgate/internal/wire"

// logClock is the time inside a log, in µs.
type logClock struct {
	Epoch  uint64
	Now    int64
	Outage int64
	Code   uint32 // of the machine in the epoch's leader
}

const (
	second     int64 = 1_000_000
	outageStep       = 2 * second        // a longer step between ticks is an outage
	outageCap        = 2 * 3600 * second // the most that one outage counts for
	epochStep        = 1 << 32           // an epoch farther ahead is not believed
	// machineKinds begin here; below are the engine's.
	machineKinds wire.Kind = 16
)

// Elapsed is log time without the outages.
func (c *logClock) Elapsed() int64 { return c.Now - c.Outage }

// Wall is the instant at which an elapsed time will be reached if nothing more stands still.
func (c *logClock) Wall(elapsed int64) int64 { return plus(elapsed, c.Outage) }

// plan is what the engine has to say of a record.
type plan struct {
	fixed    []wire.Body // outcomes that the engine decides alone
	machine  bool        // the log's own rules decide what follows
	tick     bool
	remember bool // by its command id
}

func rejected(why wire.Reason) plan { return plan{fixed: []wire.Body{&wire.Rejected{Reason: why}}} }

// engine moves the clock and plans the outcomes that do not depend on what the log is about.
func (p *Partition) engine(offset int64, r wire.Record, readable bool) plan {
	switch {
	case !readable:
		return rejected(wire.ReasonUndecodable)
	case r.Kind == wire.KindEpoch:
		return p.epoch(r)
	case r.Kind == wire.KindTick:
		return p.tick(r)
	case r.Kind < machineKinds:
		return rejected(wire.ReasonUnknownKind)
	case r.Command == wire.ID{} || r.NotAfter == 0:
		return plan{machine: true}
	}
	if f := p.ids.known[r.Command]; f != nil {
		return plan{fixed: []wire.Body{&f.repeated}}
	}
	if r.NotAfter < p.clock.Now {
		return rejected(wire.ReasonExpired)
	}
	if len(p.ids.known) >= MaxIDs {
		return rejected(wire.ReasonFull)
	}
	return plan{machine: true, remember: true}
}

func (p *Partition) epoch(r wire.Record) plan {
	var e wire.Epoch
	if r.DecodeInto(&e) != nil {
		return rejected(wire.ReasonUndecodable)
	}
	if e.Epoch <= p.clock.Epoch {
		return rejected(wire.ReasonStaleEpoch)
	}
	if e.Epoch-p.clock.Epoch > epochStep {
		return rejected(wire.ReasonInvalid)
	}
	p.clock.Epoch, p.clock.Code = e.Epoch, e.Code
	return plan{fixed: []wire.Body{&wire.EpochStarted{Epoch: e.Epoch, Leader: e.Leader, Code: e.Code}}}
}

func (p *Partition) tick(r wire.Record) plan {
	var t wire.Tick
	if r.DecodeInto(&t) != nil {
		return rejected(wire.ReasonUndecodable)
	}
	if t.Epoch != p.clock.Epoch || t.Now < p.clock.Now {
		return rejected(wire.ReasonStaleEpoch)
	}
	result := plan{machine: true, tick: true}
	if step := t.Now - p.clock.Now; p.clock.Now != 0 && step > outageStep {
		step = min(step, outageCap)
		p.clock.Outage += step
		result.fixed = append(result.fixed, &wire.Extended{Scope: 1, Cause: wire.CauseOutage, By: step})
	}
	p.clock.Now = t.Now
	p.ids.forget(t.Now)
	result.fixed = append(result.fixed,
		&wire.Ticked{Epoch: t.Epoch, Now: t.Now, Bound: t.Bound, Outage: p.clock.Outage, Chain: p.chain})
	return result
}
