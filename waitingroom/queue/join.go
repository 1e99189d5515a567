package queue

import (
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// applyJoin puts a place in line, for good: its key, its lane and its visitor never change again (a draw gives the key
// once). The same token again is the same place; a visitor's second place is kept only if it is the earlier one.
func (m *Machine) applyJoin(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	j := &m.join
	rm := m.open(r, j, out)
	if rm == nil {
		return
	}
	token := r.Ref
	if index, ok := rm.tokens.find(rm.places, &token); ok {
		rm.joinAgain(index, out)
		return
	}
	if reason := m.mayJoin(c, rm, &token, j); reason != wire.ReasonNone {
		turnDown(r, reason, out)
		return
	}
	var old *place
	if index, ok := rm.visitors.find(rm.places, &j.Visitor); ok && !rm.places[index].state.Over() {
		old = &rm.places[index]
		if old.state != Waiting || old.arrivedBefore(j.Instant, token) {
			out.Add(&wire.PlaceKept{Token: old.token, Visitor: j.Visitor})
			return
		}
		rm.lanes[old.lane].waiting.remove(rm.places, index)
		rm.over(old, Void)
	}
	voided := wire.ID{}
	if old != nil {
		voided = old.token // the slice of places may move below
	}
	rm.add(c, token, j, &m.joined)
	m.places++
	out.Add(&m.joined)
	if old != nil {
		out.AddFor(rm.id, voided, &wire.PlaceKept{Token: token, Visitor: j.Visitor})
	}
}

// joinAgain answers a token that is known: with where it stands now, or the place that replaced it.
func (rm *room) joinAgain(index uint32, out *wire.Outcomes) {
	p := &rm.places[index]
	if p.state == Void {
		if now, ok := rm.visitors.find(rm.places, &p.visitor); ok {
			out.Add(&wire.PlaceKept{Token: rm.places[now].token, Visitor: p.visitor})
			return
		}
	}
	out.Add(&wire.Repeated{FirstKind: wire.KindJoined, FirstRef: p.token})
}

func (m *Machine) mayJoin(c *sale.LogClock, rm *room, token *wire.ID, j *wire.Join) wire.Reason {
	switch {
	case rm.state == wire.RoomClosed, rm.state == wire.RoomEnded:
		return wire.ReasonClosed
	case j.Lane >= wire.Lanes, j.Instant <= 0, *token == wire.ID{}, j.Visitor == wire.ID{}:
		return wire.ReasonInvalid
	case c.Now != 0 && j.Instant > c.Now+Ahead:
		return wire.ReasonFuture
	case c.Now-j.Instant > rm.def.Late+m.outages.Since(j.Instant):
		return wire.ReasonTooLate
	case m.places >= m.limits.Places:
		return wire.ReasonFull
	}
	return wire.ReasonNone
}

// add records a place and fills in the outcome.
func (rm *room) add(c *sale.LogClock, token wire.ID, j *wire.Join, said *wire.Joined) {
	p := place{
		token: token, visitor: j.Visitor, instant: j.Instant, key: uint64(j.Instant), class: classArrived,
		narrow: j.Narrow, wide: j.Wide, lane: j.Lane,
	}
	if j.Carrier {
		p.marks |= markCarrier
	}
	switch p.lane {
	case wire.LaneNormal:
		rm.count(&p)
	case wire.LaneInvited:
		rm.countInvite(&p)
	}
	index := uint32(len(rm.places))
	rm.places = append(rm.places, p)
	rm.tokens.put(rm.places, index)
	rm.visitors.put(rm.places, index)
	rm.joined++
	*said = wire.Joined{
		Key: p.orderKey(), Lane: p.lane, Drawn: rm.willDraw(p.instant), Instant: p.instant, Visitor: p.visitor,
	}
	l := &rm.lanes[p.lane]
	if l.begun && p.compare(&l.invitedTo) <= 0 {
		// The invitation already reaches past it.
		rm.invite(c, index)
		return
	}
	said.Ahead = uint32(l.waiting.insert(rm.places, index))
}

// count puts a place that asked for the normal lane into its networks' counts, or into the shared lane if they are
// full. Carriers put many people behind one address and many addresses side by side: theirs is counted alone.
func (rm *room) count(p *place) {
	full := rm.narrow[p.narrow] >= rm.def.CapNarrow || rm.wide[p.wide] >= rm.def.CapWide
	if p.marks&markCarrier != 0 {
		full = rm.narrow[p.narrow] >= rm.def.CapCarrier
	}
	if full {
		p.lane = wire.LaneShared
		return
	}
	p.marks |= markCounted
	rm.narrow[p.narrow]++
	if p.marks&markCarrier == 0 {
		rm.wide[p.wide]++
	}
}

// countInvite counts a place against its invite code, whose number and uses came in the fields of networks, or puts it
// into the shared lane if the code has none left.
func (rm *room) countInvite(p *place) {
	if uint64(rm.codes[p.narrow]) >= p.wide {
		p.lane = wire.LaneShared
		return
	}
	p.marks |= markCounted
	rm.codes[p.narrow]++
}

// over ends a place and gives its networks or its invite code their count back; a code that let somebody in stays used.
// What else knows the place is the caller's to undo.
func (rm *room) over(p *place, state PlaceState) {
	p.state = state
	if p.marks&markCounted == 0 {
		return
	}
	if p.lane == wire.LaneInvited {
		if state != Used && state != Expired {
			p.marks &^= markCounted
			lower(rm.codes, p.narrow)
		}
		return
	}
	p.marks &^= markCounted
	lower(rm.narrow, p.narrow)
	if p.marks&markCarrier == 0 {
		lower(rm.wide, p.wide)
	}
}

// lower takes one from a count; a count of zero is not kept.
func lower(counts map[uint64]uint32, key uint64) {
	if counts[key] > 1 {
		counts[key]--
		return
	}
	delete(counts, key)
}

// applyLeave gives a place up. Whoever is inside keeps the slot: the pass could still be used.
func (m *Machine) applyLeave(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	var leave wire.Leave
	rm := m.open(r, &leave, out)
	if rm == nil {
		return
	}
	p, index := rm.own(r, leave.Visitor, out)
	if p == nil {
		return
	}
	switch p.state {
	case Waiting:
		rm.lanes[p.lane].waiting.remove(rm.places, index)
		rm.tally.gone++
	case Invited:
		rm.invited--
		rm.settle(p)
	case Asked:
		rm.lanes[p.lane].asked.remove(rm.places, index)
	case Reserved:
		rm.inside--
		rm.tally.freed++
		rm.over(p, Left)
		out.Add(&wire.LeftQueue{})
		out.Add(&wire.SlotFreed{Inside: rm.inside})
		budget := roomSteps
		rm.fill(c, out, &budget)
		return
	case Inside:
		if p.marks&markLeft == 0 {
			p.marks |= markLeft
			out.Add(&wire.LeftQueue{})
			return
		}
		out.Add(&wire.Repeated{FirstKind: wire.KindLeftQueue, FirstRef: p.token})
		return
	case Left:
		out.Add(&wire.Repeated{FirstKind: wire.KindLeftQueue, FirstRef: p.token})
		return
	default:
		turnDown(r, wire.ReasonGone, out)
		return
	}
	rm.over(p, Left)
	out.Add(&wire.LeftQueue{})
}

// own finds the place of a record and checks that it is the visitor's, or says why not and returns nil.
func (rm *room) own(r *wire.Record, visitor wire.ID, out *wire.Outcomes) (*place, uint32) {
	if rm.state == wire.RoomEnded {
		turnDown(r, wire.ReasonClosed, out)
		return nil, 0
	}
	token := r.Ref
	index, ok := rm.tokens.find(rm.places, &token)
	if !ok {
		turnDown(r, wire.ReasonUnknownRef, out)
		return nil, 0
	}
	p := &rm.places[index]
	if p.visitor != visitor {
		turnDown(r, wire.ReasonNotYours, out)
		return nil, 0
	}
	return p, index
}
