package queue

import (
	"cmp"
	"slices"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// invite lets a place that waits in no line ask from now on, for the length of the grace.
func (rm *room) invite(c *sale.LogClock, index uint32) {
	p := rm.places.at(index)
	grace := c.Elapsed() + rm.def.Grace
	p.more = rm.stays.add(stay{since: grace, by: p.more})
	p.set(Invited)
	rm.graces.push(deadline{grace, index})
	rm.invited++
}

// settle counts an invited place that will not ask any more, unless it once had.
func (rm *room) settle(p *place) {
	if !p.has(markShowed) {
		rm.tally.noShows++
	}
}

// applyAsk asks to enter. An invited place gets a free slot at once if nobody's ask is pending, and with it the pass;
// else its ask waits for a slot in the order of places.
func (m *Machine) applyAsk(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	rm := m.open(r, &m.ask, out)
	if rm == nil {
		return
	}
	p, index := rm.own(r, m.ask.Visitor, out)
	if p == nil {
		return
	}
	switch p.state() {
	case Waiting:
		turnDown(r, wire.ReasonNotInvited, out)
	case Invited:
		rm.askFirst(c, index, m.ask.Visitor, out)
	case Asked:
		k := rm.places.orderKey(index)
		out.Add(&wire.Asked{Ahead: uint32(rm.lanes[p.lane()].asked.rank(&rm.places, &k))})
	case Reserved:
		out.Add(rm.claim(c, index, m.ask.Visitor))
	case Inside:
		in := rm.stay(p)
		if in.until <= c.Now { // its slot is freed at the next tick
			turnDown(r, wire.ReasonGone, out)
			return
		}
		pass := wire.PassID(rm.id, p.token, 1)
		out.Add(&wire.PassReturned{Visitor: m.ask.Visitor, Pass: pass, Issued: in.since, Expires: in.until, Lane: p.lane()})
	default:
		turnDown(r, wire.ReasonGone, out)
	}
}

func (rm *room) askFirst(c *sale.LogClock, index uint32, visitor wire.ID, out *wire.Outcomes) {
	p := rm.places.at(index)
	if !p.has(markShowed) {
		p.mark(markShowed)
		rm.tally.showUps++
	}
	rm.invited--
	if rm.free() && rm.asking() == 0 {
		rm.inside++
		rm.tally.admitted++
		out.Add(rm.claim(c, index, visitor))
		return
	}
	p.set(Asked)
	ahead := rm.lanes[p.lane()].asked.insert(&rm.places, index)
	out.Add(&wire.Asked{Ahead: uint32(ahead)})
	budget := roomSteps
	rm.fill(c, out, &budget)
}

// free says that somebody may be admitted.
func (rm *room) free() bool { return rm.state == wire.RoomOpen && rm.inside < rm.def.Cap }

// asking is how many asks are pending.
func (rm *room) asking() int {
	n := 0
	for i := range rm.lanes {
		n += rm.lanes[i].asked.len()
	}
	return n
}

// claim turns a slot into the place's one pass.
func (rm *room) claim(c *sale.LogClock, index uint32, visitor wire.ID) *wire.Claimed {
	p := rm.places.at(index)
	p.set(Inside)
	rm.totals.admitted++
	in := rm.stay(p)
	in.since, in.until = c.Now, c.Now+rm.def.Pass
	rm.expiries.push(deadline{in.until, index})
	pass := wire.PassID(rm.id, p.token, 1)
	rm.passes[pass] = index
	return &wire.Claimed{
		Visitor: visitor, Pass: pass, Issued: in.since, Expires: in.until, Inside: rm.inside, Lane: p.lane(),
	}
}

// fill gives every free slot to the earliest place of a lane whose ask is pending, the lanes taking turns by their
// shares. It stops when the budget is spent; the next tick goes on.
func (rm *room) fill(c *sale.LogClock, out *wire.Outcomes, budget *int) {
	for *budget > 0 && rm.free() {
		var has [wire.Lanes]bool
		some := false
		for i := range rm.lanes {
			has[i] = rm.lanes[i].asked.len() > 0
			some = some || has[i]
		}
		if !some {
			return
		}
		l := rm.next(turnSlots, has)
		index := rm.lanes[l].asked.pop(&rm.places)
		p := rm.places.at(index)
		p.set(Reserved)
		in := rm.stay(p)
		in.until = c.Elapsed() + rm.def.Claim
		rm.claims.push(deadline{in.until, index})
		rm.inside++
		rm.tally.admitted++
		out.AddFor(rm.id, p.token, &wire.SlotGiven{Until: c.Wall(in.until), Inside: rm.inside})
		*budget--
	}
}

// What lanes take turns in.
const (
	turnInvitations = 0
	turnSlots       = 1
)

// next picks the lane whose turn it is among those that have somebody: smooth weighted round robin by the shares. The
// shares of the others fall to the normal lane, or to the next that has somebody, but never to the timed lane, unless
// it is alone.
func (rm *room) next(turn int, has [wire.Lanes]bool) int {
	heir := int(wire.LaneTimed)
	for _, l := range [...]wire.Lane{wire.LaneInvited, wire.LaneShared, wire.LaneNormal} {
		if has[l] {
			heir = int(l)
		}
	}
	best := heir
	unused := int64(0)
	for i := range rm.lanes {
		share := int64(rm.def.Shares[i])
		if !has[i] {
			rm.lanes[i].turns[turn] = 0
			unused += share
			continue
		}
		rm.lanes[i].turns[turn] += share
	}
	rm.lanes[heir].turns[turn] += unused
	for i := range rm.lanes {
		if has[i] && rm.lanes[i].turns[turn] > rm.lanes[best].turns[turn] {
			best = i
		}
	}
	rm.lanes[best].turns[turn] -= 1000
	// A lane that runs empty leaves the others' turns out of balance, by less than one turn.
	for i := range rm.lanes {
		rm.lanes[i].turns[turn] = min(max(rm.lanes[i].turns[turn], -1000), 1000)
	}
	return best
}

// applyLeft frees the slot of a pass that was used up.
func (m *Machine) applyLeft(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	var left wire.Left
	rm := m.open(r, &left, out)
	if rm == nil {
		return
	}
	from := rm.source(left.Source)
	switch {
	case from == nil:
		turnDown(r, wire.ReasonFull, out)
		return
	case left.SourceSeq <= from.left:
		out.Add(&wire.Repeated{FirstKind: wire.KindSlotFreed})
		return
	}
	from.left = left.SourceSeq
	index, ok := rm.passes[left.Pass]
	if !ok {
		turnDown(r, wire.ReasonUnknownRef, out)
		return
	}
	rm.vacate(index, Used, out)
	budget := roomSteps
	rm.fill(c, out, &budget)
}

// vacate ends a place that is inside.
func (rm *room) vacate(index uint32, state PlaceState, out *wire.Outcomes) {
	p := rm.places.at(index)
	pass := wire.PassID(rm.id, p.token, 1)
	delete(rm.passes, pass)
	rm.inside--
	rm.tally.freed++
	rm.over(index, state)
	out.AddFor(rm.id, p.token, &wire.SlotFreed{Pass: pass, Used: state == Used, Inside: rm.inside})
}

// applySignal takes in what the stock says.
func (m *Machine) applySignal(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	var s wire.Signal
	rm := m.open(r, &s, out)
	if rm == nil {
		return
	}
	from := rm.source(s.Source)
	switch {
	case from == nil:
		turnDown(r, wire.ReasonFull, out)
		return
	case s.SourceSeq <= from.said.SourceSeq:
		out.Add(&wire.Repeated{FirstKind: wire.KindSignalled})
		return
	case s.Left < -1, s.Coming < -1, s.Price < -1, s.Headroom < -1, s.Headroom > 1000:
		turnDown(r, wire.ReasonInvalid, out)
		return
	}
	from.said = s
	rm.signal = rm.behind()
	out.Add(&wire.Signalled{Signal: s})
	rm.schedule(c, &m.outages, out)
	budget := roomSteps
	rm.fill(c, out, &budget)
}

// source is the memory of a partition, or nil when there are too many.
func (rm *room) source(id int32) *source {
	at, ok := slices.BinarySearchFunc(rm.sources, id, func(s source, id int32) int { return cmp.Compare(s.id, id) })
	if !ok {
		if len(rm.sources) == MaxSources {
			return nil
		}
		rm.sources = slices.Insert(rm.sources, at, source{id: id})
	}
	return &rm.sources[at]
}
