package model

import "fairgate/internal/wire"

// tick checks everything that a tick did in every room, and that nothing is left to do.
func (q *queue) tick() {
	if grown := q.clock.Outage - q.last.Outage; grown > 0 {
		q.outages = append(q.outages, outage{q.clock.Now, grown})
		q.outages = q.outages[max(0, len(q.outages)-maxOutages):]
	}
	q.last = *q.clock
	for _, m := range q.rooms {
		m.steps = 0
	}
	q.effects(q.t.got)
	if len(q.t.out) > 0 {
		return
	}
	all := 0
	for _, m := range q.rooms {
		all += m.steps
	}
	for _, m := range q.rooms {
		m.behind = m.steps >= roomSteps || all >= allSteps
	}
	for _, m := range q.rooms {
		q.settled(m, wire.KindTick)
		if m.state == wire.RoomEnded && m.inside == 0 {
			q.places -= len(m.places)
			m.clear()
		}
	}
}

func (q *queue) effects(all []seen) {
	for i, s := range all {
		if i == 0 && q.must != nil && s.Ref == q.must.token {
			q.must = nil
		}
		m := q.rooms[s.Object]
		if m == nil {
			q.t.fail(2, "outcome number %d (%s) is about a room that is not defined", s.Seq, name(s.Decoded))
		} else {
			q.effect(m, s)
		}
		if len(q.t.out) > 0 {
			return
		}
	}
}

// effect checks one outcome that is not an answer, and takes it into the state.
func (q *queue) effect(m *room, s seen) {
	switch b := s.Decoded.(type) {
	case *wire.RoomSet:
		if want, ok := q.nextState(m); !ok || want != b.State || s.Ref != (wire.ID{}) {
			q.t.fail(2, "outcome number %d: room %d goes from %s to %s by itself", s.Seq, m.id, m.state, b.State)
			return
		}
		m.enter(b.State, s.Seq)
		return
	case *wire.InvitedUpTo:
		q.invitedUpTo(m, s, b)
		return
	}
	m.steps++
	p := m.places[s.Ref]
	if p == nil {
		q.t.fail(2, "outcome number %d (%s): room %d has no place %s", s.Seq, name(s.Decoded), m.id, wire.Hex(s.Ref))
		return
	}
	switch b := s.Decoded.(type) {
	case *wire.SlotGiven:
		q.slotGiven(m, p, s, b)
	case *wire.SlotFreed:
		q.slotFreed(m, p, s, b)
	case *wire.SlotLapsed:
		q.slotLapsed(m, p, s, b)
	case *wire.Missed:
		if p.standing != invited || p.grace > q.clock.Elapsed() || m.state == wire.RoomEnded {
			q.t.fail(2, "outcome number %d: place %s (%s) misses its turn before its grace ends", s.Seq, wire.Hex(p.token), p.standing)
			return
		}
		m.finish(p, missed)
	case *wire.PlaceKept:
		m.steps--
		now := m.visitors[p.visitor]
		joins := q.t.record.Kind == wire.KindJoin || q.t.record.Kind == wire.KindEnlist
		if !joins || p.standing != void || s.Seq != q.t.seq+1 || b.Token != now.token || b.Token != q.t.record.Ref ||
			b.Visitor != p.visitor {
			q.t.fail(2, "outcome number %d: place %s was not replaced by %s", s.Seq, wire.Hex(p.token), wire.Hex(b.Token))
		}
	default:
		q.t.fail(2, "outcome number %d: %s follows nothing that could cause it", s.Seq, name(s.Decoded))
	}
}

// mostShare is how many times the rate of a minute may be invited at once: when few of the invited come, many are.
const mostShare = 100

// invitedUpTo is what the control law decides: how far is its own affair, but it moves forward, over places in order,
// and only while the room is open.
func (q *queue) invitedUpTo(m *room, s seen, b *wire.InvitedUpTo) {
	fail := func(why string) {
		q.t.fail(2, "outcome number %d: room %d, lane %s is invited up to %s, %s", s.Seq, m.id, b.Lane, b.Key, why)
	}
	if b.Lane >= wire.Lanes {
		fail("which is no lane")
		return
	}
	l := &m.lanes[b.Lane]
	n := rank(l.waiting, b.Key)
	switch {
	case !q.t.tick || s.Ref != wire.ID{}:
		fail("but not by a tick")
	case m.state != wire.RoomOpen:
		fail("but is not open")
	case l.begun && !l.invited.Less(b.Key):
		fail("which is not forward")
	case n == len(l.waiting) || l.waiting[n].key != b.Key:
		fail("where nobody waits")
	case int(b.Count) != n+1:
		fail("and the count of those newly invited is wrong")
	case b.Count > m.def.PerMinute*mostShare:
		fail("which is more than the rate allows at once")
	default:
		for _, p := range l.waiting[:n+1] {
			q.invite(m, p)
		}
		l.waiting = l.waiting[n+1:]
		l.begun, l.invited = true, b.Key
	}
}

func (q *queue) slotGiven(m *room, p *place, s seen, b *wire.SlotGiven) {
	l := &m.lanes[p.lane]
	switch {
	case p.standing != asked:
		q.t.fail(6, "outcome number %d: place %s (%s) gets a slot without having asked", s.Seq, wire.Hex(p.token), p.standing)
		return
	case l.asked[0] != p:
		q.t.fail(6, "outcome number %d: place %s gets a slot before the earlier %s of its lane, which asked too", s.Seq, wire.Hex(p.token), wire.Hex(l.asked[0].token))
		return
	case m.inside >= int64(m.def.Cap):
		q.t.fail(7, "outcome number %d: place %s is admitted while %d are inside and the cap is %d", s.Seq, wire.Hex(p.token), m.inside, m.def.Cap)
		return
	case m.state != wire.RoomOpen:
		q.t.fail(2, "outcome number %d: place %s is admitted while the room is %s", s.Seq, wire.Hex(p.token), m.state)
		return
	}
	m.inside++
	l.asked = l.asked[1:]
	p.standing, p.until = reserved, plus(q.clock.Elapsed(), m.def.Claim)
	m.claims.add(due{p.until, p})
	q.same(s, &wire.SlotGiven{Until: q.clock.Wall(p.until), Inside: uint32(m.inside)})
}

func (q *queue) same(s seen, want wire.Body) {
	if d := differ(expected{s.Object, s.Ref, want}, s); d != "" {
		q.t.fail(2, "%s", d)
	}
}

// slotFreed is a pass that expired, or a reserved slot given up.
func (q *queue) slotFreed(m *room, p *place, s seen, b *wire.SlotFreed) {
	switch {
	case p.standing == inside && p.expires <= q.clock.Now && q.t.tick:
		m.vacate(p)
		q.same(s, &wire.SlotFreed{Pass: wire.PassID(m.id, p.token, 1), Inside: uint32(m.inside)})
	case p.standing == reserved && p.gaveUp && s.Seq == q.t.seq+1:
		m.inside--
		m.finish(p, left)
		q.same(s, &wire.SlotFreed{Inside: uint32(m.inside)})
	default:
		q.t.fail(2, "outcome number %d: the slot of place %s (%s) is freed while its pass may be used", s.Seq, wire.Hex(p.token), p.standing)
	}
}

// slotLapsed takes an unclaimed slot back. The grace begins anew at the first lapse only.
func (q *queue) slotLapsed(m *room, p *place, s seen, b *wire.SlotLapsed) {
	if p.standing != reserved || p.until > q.clock.Elapsed() || !q.t.tick {
		q.t.fail(2, "outcome number %d: the slot of place %s (%s) lapses before its time", s.Seq, wire.Hex(p.token), p.standing)
		return
	}
	m.inside--
	if !p.lapsed {
		p.lapsed, p.grace = true, plus(q.clock.Elapsed(), m.def.Grace)
	}
	p.standing = invited
	m.graces.add(due{p.grace, p})
	q.same(s, &wire.SlotLapsed{Inside: uint32(m.inside)})
}

// settled checks that what had to happen in a room has.
func (q *queue) settled(m *room, kind wire.Kind) {
	if q.must != nil {
		q.t.fail(3, "place %s: what follows from the record is missing", wire.Hex(q.must.token))
	}
	if m.steps >= roomSteps {
		m.behind = true
	}
	if m.behind {
		return
	}
	scheduled := kind == wire.KindTick || q.t.got[0].Kind == wire.KindSignalled || q.t.got[0].Kind == wire.KindRoomDefined ||
		q.t.got[0].Kind == wire.KindRevealed
	if next, ok := q.nextState(m); ok && scheduled {
		q.t.fail(2, "room %d should have gone from %s to %s", m.id, m.state, next)
	}
	if m.free() && m.asking() > 0 {
		q.t.fail(6, "room %d: %d asks are pending while %d of %d slots are taken", m.id, m.asking(), m.inside, m.def.Cap)
	}
	if kind == wire.KindTick {
		q.nothingOverdue(m)
	}
}

// nothingOverdue checks that no pass, slot or grace lives on after its end.
func (q *queue) nothingOverdue(m *room) {
	for len(m.expiries.all) > 0 && m.expiries.first().at <= q.clock.Now {
		if d := m.expiries.take(); d.p.standing == inside && d.p.expires == d.at {
			q.t.fail(2, "room %d: the expired pass of place %s still takes a slot", m.id, wire.Hex(d.p.token))
		}
	}
	for len(m.claims.all) > 0 && m.claims.first().at <= q.clock.Elapsed() {
		if d := m.claims.take(); d.p.standing == reserved && d.p.until == d.at {
			q.t.fail(2, "room %d: the slot of place %s should have lapsed", m.id, wire.Hex(d.p.token))
		}
	}
	if m.state == wire.RoomEnded {
		return
	}
	for len(m.graces.all) > 0 && m.graces.first().at <= q.clock.Elapsed() {
		if d := m.graces.take(); d.p.standing == invited && d.p.grace == d.at {
			q.t.fail(2, "room %d: place %s should have missed its turn", m.id, wire.Hex(d.p.token))
		}
	}
}
