package model

import "fairgate/internal/wire"

// join answers a join; capped ones are of the rules by which the timed lane has the caps of the normal one, and a place by
// invitation is better than one without.
func (q *queue) join(r wire.Record, m *room, j *wire.Join, capped bool) wire.Body {
	if p := m.places[r.Ref]; p != nil {
		if p.standing == void {
			return &wire.PlaceKept{Token: m.visitors[p.visitor].token, Visitor: j.Visitor}
		}
		return &wire.Repeated{FirstKind: wire.KindJoined, FirstRef: p.token}
	}
	if why := q.mayJoin(r, m, j); why != wire.ReasonNone {
		return down(r, why)
	}
	old := m.visitors[j.Visitor]
	if old != nil && !old.over() {
		earlier := old.instant < j.Instant || old.instant == j.Instant && string(old.token[:]) <= string(r.Ref[:])
		byInvitation := m.laneOf(j) == wire.LaneInvited
		keep := earlier
		if capped && byInvitation != (old.lane == wire.LaneInvited) {
			keep = !byInvitation
		}
		if old.standing != waiting || keep {
			return &wire.PlaceKept{Token: old.token, Visitor: j.Visitor}
		}
	}
	if capped && j.Lane == wire.LaneTimed && m.full(j) {
		return down(r, wire.ReasonNetworkFull)
	}
	if old != nil && !old.over() {
		l := &m.lanes[old.lane]
		l.waiting = remove(l.waiting, old)
		m.finish(old, void)
		q.must = old
	}
	return q.add(r, m, j, capped)
}

func (q *queue) mayJoin(r wire.Record, m *room, j *wire.Join) wire.Reason {
	now := q.clock.Now
	switch {
	case m.state == wire.RoomClosed || m.state == wire.RoomEnded:
		return wire.ReasonClosed
	case j.Lane >= wire.Lanes || j.Instant <= 0 || j.Instant >= 1<<52 || r.Ref == (wire.ID{}) || j.Visitor == (wire.ID{}):
		return wire.ReasonInvalid
	case now != 0 && j.Instant-now > maxAhead:
		return wire.ReasonFuture
	case now-j.Instant > m.def.Late+q.forgiven(j.Instant):
		return wire.ReasonTooLate
	case q.places >= maxPlaces:
		return wire.ReasonFull
	}
	return wire.ReasonNone
}

func (q *queue) add(r wire.Record, m *room, j *wire.Join, capped bool) wire.Body {
	p := &place{token: r.Ref, visitor: j.Visitor, key: wire.OrderKey{Class: 1, Key: uint64(j.Instant), Token: r.Ref}, lane: m.laneOf(j),
		instant: j.Instant, narrow: j.Narrow, wide: j.Wide, carrier: j.Carrier, standing: waiting}
	if j.Lane == wire.LaneNormal && p.lane == wire.LaneNormal || capped && j.Lane == wire.LaneTimed {
		p.counted = true
		m.narrow[p.narrow]++
		if !p.carrier {
			m.wide[p.wide]++
		}
	}
	if p.lane == wire.LaneInvited {
		m.codes[p.narrow]++
	}
	m.places[p.token], m.visitors[p.visitor] = p, p
	m.joined++
	q.places++
	answer := &wire.Joined{Key: p.key, Lane: p.lane, Drawn: m.willBeDrawn(p.instant), Instant: p.instant, Visitor: p.visitor}
	l := &m.lanes[p.lane]
	if l.begun && !l.invited.Less(p.key) {
		q.invite(m, p)
		return answer
	}
	var ahead int
	l.waiting, ahead = insert(l.waiting, p)
	answer.Ahead = uint32(ahead)
	return answer
}

// laneOf is the lane that a join gets: those above the caps of their network, or above the uses of their code, share one.
func (m *room) laneOf(j *wire.Join) wire.Lane {
	if j.Lane == wire.LaneInvited && m.codes[j.Narrow] >= j.Wide {
		return wire.LaneShared
	}
	if j.Lane == wire.LaneNormal && m.full(j) {
		return wire.LaneShared
	}
	return j.Lane
}

// full says that a join's network has as many places as the caps allow.
func (m *room) full(j *wire.Join) bool {
	if j.Carrier {
		return m.narrow[j.Narrow] >= m.def.CapCarrier
	}
	return m.narrow[j.Narrow] >= m.def.CapNarrow || m.wide[j.Wide] >= m.def.CapWide
}

// finish ends a place for good and gives its networks their count back.
func (m *room) finish(p *place, s standing) {
	letIn := p.standing == inside
	p.standing = s
	if p.lane == wire.LaneInvited && !letIn {
		m.codes[p.narrow]--
	}
	if !p.counted {
		return
	}
	p.counted = false
	m.narrow[p.narrow]--
	if !p.carrier {
		m.wide[p.wide]--
	}
}

func (q *queue) invite(m *room, p *place) {
	p.standing, p.grace = invited, plus(q.clock.Elapsed(), m.def.Grace)
	m.graces.add(due{p.grace, p})
}

// own finds the place of a visitor's command, or says why not.
func (m *room) own(r wire.Record, visitor wire.ID) (*place, wire.Reason) {
	p := m.places[r.Ref]
	switch {
	case m.state == wire.RoomEnded:
		return nil, wire.ReasonClosed
	case p == nil:
		return nil, wire.ReasonUnknownRef
	case p.visitor != visitor:
		return nil, wire.ReasonNotYours
	}
	return p, wire.ReasonNone
}

// free says that somebody may be admitted.
func (m *room) free() bool { return m.state == wire.RoomOpen && m.inside < int64(m.def.Cap) }

func (m *room) asking() (n int) {
	for i := range m.lanes {
		n += len(m.lanes[i].asked)
	}
	return n
}

func (q *queue) ask(r wire.Record, m *room, a *wire.Ask) wire.Body {
	p, why := m.own(r, a.Visitor)
	if p == nil {
		return down(r, why)
	}
	l := &m.lanes[p.lane]
	switch p.standing {
	case waiting:
		return down(r, wire.ReasonNotInvited)
	case invited:
		if m.free() && m.asking() == 0 {
			m.inside++
			return q.claim(m, p)
		}
		var ahead int
		p.standing = asked
		l.asked, ahead = insert(l.asked, p)
		return &wire.Asked{Ahead: uint32(ahead)}
	case asked:
		return &wire.Asked{Ahead: uint32(rank(l.asked, p.key))}
	case reserved:
		return q.claim(m, p)
	case inside:
		if p.expires > q.clock.Now {
			return &wire.PassReturned{Visitor: p.visitor, Pass: wire.PassID(m.id, p.token, 1), Issued: p.issued, Expires: p.expires, Lane: p.lane}
		}
	}
	return down(r, wire.ReasonGone)
}

// claim turns a slot into the place's only pass.
func (q *queue) claim(m *room, p *place) wire.Body {
	p.standing, p.issued, p.expires = inside, q.clock.Now, plus(q.clock.Now, m.def.Pass)
	m.expiries.add(due{p.expires, p})
	pass := wire.PassID(m.id, p.token, 1)
	m.passes[pass] = p
	return &wire.Claimed{Visitor: p.visitor, Pass: pass, Issued: p.issued, Expires: p.expires, Inside: uint32(m.inside), Lane: p.lane}
}

// leave gives a place up. Who is inside keeps the slot: the pass could still be used.
func (q *queue) leave(r wire.Record, m *room, x *wire.Leave) wire.Body {
	p, why := m.own(r, x.Visitor)
	if p == nil {
		return down(r, why)
	}
	l := &m.lanes[p.lane]
	switch {
	case p.standing == left || p.standing == inside && p.gaveUp:
		return &wire.Repeated{FirstKind: wire.KindLeftQueue, FirstRef: p.token}
	case p.over():
		return down(r, wire.ReasonGone)
	case p.standing == inside:
		p.gaveUp = true
		return &wire.LeftQueue{}
	case p.standing == waiting:
		l.waiting = remove(l.waiting, p)
	case p.standing == asked:
		l.asked = remove(l.asked, p)
	case p.standing == reserved:
		// The slot is freed by the outcome that must follow.
		p.gaveUp, q.must = true, p
		return &wire.LeftQueue{}
	}
	m.finish(p, left)
	return &wire.LeftQueue{}
}

// leftBy answers that a pass was used up: the slot is freed.
func (q *queue) leftBy(r wire.Record, m *room, x *wire.Left) expected {
	e := expected{Object: r.Object, Ref: r.Ref}
	from := m.source(x.Source)
	if from == nil {
		e.Body = down(r, wire.ReasonFull)
		return e
	}
	if x.SourceSeq <= from.left {
		e.Body = &wire.Repeated{FirstKind: wire.KindSlotFreed}
		return e
	}
	from.left = x.SourceSeq
	p := m.passes[x.Pass]
	if p == nil {
		e.Body = down(r, wire.ReasonUnknownRef)
		return e
	}
	e.Ref = p.token
	m.vacate(p)
	e.Body = &wire.SlotFreed{Pass: x.Pass, Used: true, Inside: uint32(m.inside)}
	return e
}

func (m *room) vacate(p *place) {
	delete(m.passes, wire.PassID(m.id, p.token, 1))
	m.inside--
	m.finish(p, used)
}
