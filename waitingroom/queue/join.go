package queue

import (
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// applyJoin reads a join of the first rules: timed places count against no cap, and nothing wider than a /24 is known.
func (m *Machine) applyJoin(c *sale.LogClock, offset int64, r *wire.Record, out *wire.Outcomes) {
	m.enlist.Broad, m.enlist.Origin = 0, 0
	if rm := m.open(r, &m.enlist.Join, out); rm != nil {
		m.place(c, offset, rm, r, false, out)
	}
}

func (m *Machine) applyEnlist(c *sale.LogClock, offset int64, r *wire.Record, out *wire.Outcomes) {
	if rm := m.open(r, &m.enlist, out); rm != nil {
		m.place(c, offset, rm, r, true, out)
	}
}

// place puts a place in line, for good: its key, its lane and its visitor never change again (a draw gives the key once).
// The same token again is the same place; a visitor's second place is kept only if it is the better one. capped says that the
// newer rules hold: timed places count against the caps, and a place by invitation is better than any without.
func (m *Machine) place(c *sale.LogClock, offset int64, rm *room, r *wire.Record, capped bool, out *wire.Outcomes) {
	j := &m.enlist.Join
	token := r.Ref
	rm.guessed = m.foresaw(offset)
	var found found
	var known bool
	if found.token, known = rm.tokens.searchToken(&rm.places, &token); known {
		rm.joinAgain(found.token.number(), j, out)
		return
	}
	if reason := m.mayJoin(c, rm, &token, j); reason != wire.ReasonNone {
		turnDown(r, reason, out)
		return
	}
	visitor := visitorOf(&j.Visitor)
	found.visitor, found.known = rm.visitors.searchVisitor(&rm.places, &visitor)
	index := found.visitor.number()
	second := found.known && !rm.places.at(index).state().Over()
	if second {
		old := rm.places.at(index)
		if old.state() != Waiting || !rm.betters(j, token, old, capped) {
			out.Add(&wire.PlaceKept{Token: old.token, Visitor: j.Visitor})
			return
		}
	}
	if capped && j.Lane == wire.LaneTimed && rm.networksFull(j) {
		turnDown(r, wire.ReasonNetworkFull, out)
		return
	}
	voided := wire.ID{}
	if second {
		old := rm.places.at(index)
		rm.lanes[old.lane()].waiting.remove(&rm.places, index)
		rm.over(index, Void)
		voided = old.token
	}
	rm.add(c, token, &m.enlist, capped, found, &m.joined)
	m.places++
	out.Add(&m.joined)
	if voided != (wire.ID{}) {
		out.AddFor(rm.id, voided, &wire.PlaceKept{Token: token, Visitor: j.Visitor})
	}
}

// betters says that a visitor's new place is kept instead of one that waits: by invitation instead of without, else whoever
// arrived earlier. A code that has no place left invites nobody, so trying one costs nothing.
func (rm *room) betters(j *wire.Join, token wire.ID, old *place, capped bool) bool {
	invited := capped && j.Lane == wire.LaneInvited && uint64(rm.codes.live(rm.codes.find(j.Narrow))) < j.Wide
	if was := capped && old.lane() == wire.LaneInvited; was != invited {
		return invited
	}
	return !old.arrivedBefore(j.Instant, token)
}

// joinAgain answers a token that is known: with where it stands now, or the place that replaced it.
func (rm *room) joinAgain(index uint32, j *wire.Join, out *wire.Outcomes) {
	p := rm.places.at(index)
	if p.state() == Void {
		if now, ok := rm.visitors.findVisitor(&rm.places, &p.visitor); ok {
			out.Add(&wire.PlaceKept{Token: rm.places.at(now).token, Visitor: j.Visitor})
			return
		}
	}
	out.Add(&wire.Repeated{FirstKind: wire.KindJoined, FirstRef: p.token})
}

func (m *Machine) mayJoin(c *sale.LogClock, rm *room, token *wire.ID, j *wire.Join) wire.Reason {
	switch {
	case rm.state == wire.RoomClosed, rm.state == wire.RoomEnded:
		return wire.ReasonClosed
	case j.Lane >= wire.Lanes, j.Instant <= 0, j.Instant > maxInstant, *token == wire.ID{}, j.Visitor == wire.ID{}:
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

// found is where the searches for a new place's token and visitor ended; known says that the visitor had places before.
type found struct {
	token, visitor niche
	known          bool
}

// add records a place and fills in the outcome.
func (rm *room) add(c *sale.LogClock, token wire.ID, e *wire.Enlist, capped bool, at found, said *wire.Joined) {
	j := &e.Join
	p := newPlace(token, &j.Visitor, j.Instant, j.Lane)
	if j.Carrier {
		p.mark(markCarrier)
	}
	switch {
	case j.Lane == wire.LaneNormal, j.Lane == wire.LaneTimed && capped:
		rm.count(&p, j)
	case j.Lane == wire.LaneInvited:
		rm.countInvite(&p, j)
	}
	if j.Lane != wire.LaneInvited {
		rm.crowd(&p, e)
	}
	index := rm.places.add(p)
	rm.tokens.putAt(&rm.places, at.token, false, index)
	rm.visitors.putAt(&rm.places, at.visitor, at.known, index)
	rm.joined++
	*said = wire.Joined{
		Key: wire.OrderKey{Class: classArrived, Key: uint64(j.Instant), Token: token}, Lane: p.lane(), Drawn: rm.willDraw(j.Instant),
		Instant: j.Instant, Visitor: j.Visitor,
	}
	l := &rm.lanes[p.lane()]
	if l.begun && !l.invitedTo.Less(said.Key) {
		// The invitation already reaches past it.
		rm.invite(c, index)
		return
	}
	said.Ahead = uint32(l.waiting.insert(&rm.places, index))
}

// networksOf are the numbers of a join's networks, or nothing.
func (rm *room) networksOf(j *wire.Join) numbers {
	return numbers{
		narrow: rm.networks.narrow.findGuessed(j.Narrow, rm.guessed.narrow),
		wide:   rm.networks.wide.findGuessed(j.Wide, rm.guessed.wide),
	}
}

// networksFull says that the networks of a join have as many places as the caps allow.
func (rm *room) networksFull(j *wire.Join) bool {
	return rm.networks.full(rm.networksOf(j), j.Carrier, rm.caps())
}

func (rm *room) caps() *caps { return &caps{rm.def.CapNarrow, rm.def.CapWide, rm.def.CapCarrier} }

// count puts a place into its networks' counts, or into the shared lane if they are full.
func (rm *room) count(p *place, j *wire.Join) {
	at := rm.networksOf(j)
	if rm.networks.full(at, j.Carrier, rm.caps()) {
		p.setLane(wire.LaneShared)
		return
	}
	if at.wide == nothing {
		at.wide = rm.networks.wide.add(j.Wide)
	}
	p.mark(markCounted)
	p.more = rm.networks.raise(rm.places.n, at, j.Narrow, j.Carrier)
}

// countInvite counts a place against its invite code, whose number and uses came in the fields of networks, or puts it
// into the shared lane if the code has none left.
func (rm *room) countInvite(p *place, j *wire.Join) {
	code := rm.codes.find(j.Narrow)
	if uint64(rm.codes.live(code)) >= j.Wide {
		p.setLane(wire.LaneShared)
		return
	}
	if code == nothing {
		code = rm.codes.add(j.Narrow)
	}
	rm.codes.entries.at(code).raise()
	p.mark(markCounted)
	p.more = code
}

// countedBy is what a place is counted by, or nothing.
func (rm *room) countedBy(p *place) uint32 {
	if p.state().stays() {
		return rm.stay(p).by
	}
	return p.more
}

// stay is what an invited place has until it is over.
func (rm *room) stay(p *place) *stay { return rm.stays.all.at(p.more) }

// over ends a place and gives its networks or its invite code their count back; a code that let somebody in stays used.
// What else knows the place is the caller's to undo.
func (rm *room) over(index uint32, state PlaceState) {
	p := rm.places.at(index)
	by := rm.countedBy(p)
	if p.state().stays() {
		rm.stays.free = append(rm.stays.free, p.more)
	}
	p.more = by
	p.set(state)
	switch state {
	case Left:
		rm.totals.left++
	case Missed:
		rm.totals.missed++
	}
	if !p.has(markCounted) || p.lane() == wire.LaneInvited && (state == Used || state == Expired) {
		return
	}
	p.unmark(markCounted)
	p.more = nothing
	if p.lane() == wire.LaneInvited {
		rm.codes.entries.at(by).lower()
		return
	}
	rm.networks.lower(index, by, p.has(markCarrier))
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
	switch p.state() {
	case Waiting:
		rm.lanes[p.lane()].waiting.remove(&rm.places, index)
		rm.tally.gone++
	case Invited:
		rm.invited--
		rm.settle(p)
	case Asked:
		rm.lanes[p.lane()].asked.remove(&rm.places, index)
	case Reserved:
		rm.inside--
		rm.tally.freed++
		rm.over(index, Left)
		out.Add(&wire.LeftQueue{})
		out.Add(&wire.SlotFreed{Inside: rm.inside})
		budget := roomSteps
		rm.fill(c, out, &budget)
		return
	case Inside:
		if !p.has(markLeft) {
			p.mark(markLeft)
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
	rm.over(index, Left)
	out.Add(&wire.LeftQueue{})
}

// own finds the place of a record and checks that it is the visitor's, or says why not and returns nil.
func (rm *room) own(r *wire.Record, visitor wire.ID, out *wire.Outcomes) (*place, uint32) {
	if rm.state == wire.RoomEnded {
		turnDown(r, wire.ReasonClosed, out)
		return nil, 0
	}
	token := r.Ref
	index, ok := rm.tokens.findToken(&rm.places, &token)
	if !ok {
		turnDown(r, wire.ReasonUnknownRef, out)
		return nil, 0
	}
	p := rm.places.at(index)
	if p.visitor != visitorOf(&visitor) {
		turnDown(r, wire.ReasonNotYours, out)
		return nil, 0
	}
	return p, index
}
