package queue

import (
	"fairgate/internal/sale"
	"fairgate/internal/wire"
	"fairgate/waitingroom/outflow"
)

// advance lets time pass in a room: first what ends, then who takes what became free, then who is invited. budget is
// how many steps it may take; each adds an outcome.
func (m *Machine) advance(c *sale.LogClock, rm *room, out *wire.Outcomes, budget *int) {
	rm.schedule(c, &m.outages, out)
	rm.expire(c, out, budget)
	rm.lapse(c, out, budget)
	if rm.state == wire.RoomEnded {
		if rm.inside == 0 {
			m.release(rm)
		}
		return
	}
	rm.miss(c, out, budget)
	rm.fill(c, out, budget)
	rm.flow(c, out)
}

// release forgets the places of a room that is over.
func (m *Machine) release(rm *room) {
	m.places -= rm.places.len()
	fresh := newRoom(rm.id)
	rm.places, rm.tokens, rm.visitors = fresh.places, fresh.tokens, fresh.visitors
	rm.networks, rm.codes, rm.broad, rm.origins = fresh.networks, fresh.codes, fresh.broad, fresh.origins
	rm.stays, rm.passes = fresh.stays, fresh.passes
	rm.graces, rm.claims, rm.expiries, rm.invited = nil, nil, nil, 0
	for i := range rm.lanes {
		rm.lanes[i].waiting, rm.lanes[i].asked = line{}, line{}
	}
}

// expire frees the slots of passes that expired: by the instant written in the pass, which no outage moves.
func (rm *room) expire(c *sale.LogClock, out *wire.Outcomes, budget *int) {
	for *budget > 0 {
		d, ok := rm.expiries.due(c.Now)
		if !ok {
			return
		}
		if p := rm.places.at(d.place); p.state() == Inside && rm.stay(p).until == d.at {
			rm.vacate(d.place, Expired, out)
			*budget--
		}
	}
}

// lapse takes back slots that were not claimed in time. The place may ask again until its grace ends, which begins anew
// at its first lapse only: nobody can hold slots empty for ever.
func (rm *room) lapse(c *sale.LogClock, out *wire.Outcomes, budget *int) {
	for *budget > 0 {
		d, ok := rm.claims.due(c.Elapsed())
		if !ok {
			return
		}
		p := rm.places.at(d.place)
		if p.state() != Reserved || rm.stay(p).until != d.at {
			continue
		}
		in := rm.stay(p)
		rm.inside--
		rm.tally.freed++
		if !p.has(markLapsed) {
			p.mark(markLapsed)
			in.since = c.Elapsed() + rm.def.Grace
		}
		p.set(Invited)
		rm.invited++
		rm.graces.push(deadline{in.since, d.place})
		out.AddFor(rm.id, p.token, &wire.SlotLapsed{Inside: rm.inside})
		*budget--
	}
}

// miss ends invited places whose grace passed.
func (rm *room) miss(c *sale.LogClock, out *wire.Outcomes, budget *int) {
	for *budget > 0 {
		d, ok := rm.graces.due(c.Elapsed())
		if !ok {
			return
		}
		p := rm.places.at(d.place)
		if p.state() != Invited || rm.stay(p).since != d.at {
			continue
		}
		rm.invited--
		rm.settle(p)
		rm.over(d.place, Missed)
		out.AddFor(rm.id, p.token, &wire.Missed{})
		*budget--
	}
}

// flow asks the control law how many to invite and moves the lanes' invitations forward.
func (rm *room) flow(c *sale.LogClock, out *wire.Outcomes) {
	rest := [wire.Lanes]int64{}
	for i := range rm.lanes {
		rest[i] = int64(rm.lanes[i].waiting.len())
	}
	timed := rest[wire.LaneTimed]
	others := rest[wire.LaneNormal] + rest[wire.LaneShared] + rest[wire.LaneInvited]
	config := rm.outflowConfig()
	waiting := others + timed
	// The timed lane never gets more than its share, not even alone: the law must not count on the others.
	share := int64(rm.def.Shares[wire.LaneTimed])
	if timed > 0 && share < 1000 {
		if others == 0 {
			config.RatePerMinute = max(1, config.RatePerMinute*share/1000)
		} else {
			waiting = others + min(timed, others*share/(1000-share))
		}
	}
	n := rm.law.Step(config, outflow.Input{
		NowMicros: c.Elapsed(), Waiting: waiting, Pending: int64(rm.asking()), Due: int64(rm.invited), Inside: int64(rm.inside),
		StockLeft: rm.signal.Left, Headroom: int64(rm.signal.Headroom),
		ShowUps: rm.tally.showUps, NoShows: rm.tally.noShows, Admitted: rm.tally.admitted, Freed: rm.tally.freed,
		Gone: rm.tally.gone, Paused: rm.state != wire.RoomOpen,
	})
	rm.tally = tally{}
	take := rm.split(n, rest)
	for l := range take {
		rm.inviteNext(c, wire.Lane(l), take[l], out)
	}
}

func (rm *room) outflowConfig() outflow.Config {
	return outflow.Config{
		RatePerMinute: int64(rm.def.PerMinute), Cap: int64(rm.def.Cap), MarginPermille: int64(rm.def.MarginMille),
	}
}

// split shares n invitations out among lanes with that many waiting.
func (rm *room) split(n int64, rest [wire.Lanes]int64) (take [wire.Lanes]int64) {
	for ; n > 0; n-- {
		var has [wire.Lanes]bool
		some := false
		for i := range rest {
			has[i] = rest[i] > 0
			some = some || has[i]
		}
		if !some {
			break
		}
		l := rm.next(turnInvitations, has)
		rest[l]--
		take[l]++
	}
	return take
}

// inviteNext invites the next n places of a lane.
func (rm *room) inviteNext(c *sale.LogClock, l wire.Lane, n int64, out *wire.Outcomes) {
	if n == 0 {
		return
	}
	lane := &rm.lanes[l]
	var last uint32
	for range n {
		last = lane.waiting.pop(&rm.places)
		rm.invite(c, last)
	}
	lane.begun, lane.invitedTo = true, rm.places.orderKey(last)
	out.AddFor(rm.id, wire.ID{}, &wire.InvitedUpTo{Lane: l, Key: lane.invitedTo, Count: uint32(n)})
}
