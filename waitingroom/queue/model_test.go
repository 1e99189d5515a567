package queue

import (
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// model is the queue as one would write it with a list and loops. It follows the outcomes and refuses what the rules
// do not allow; what it keeps, it keeps in its own way.
type model struct {
	t         *rapid.T
	h         *harness
	places    []*spot // in order of joining
	state     wire.RoomState
	cap       uint32
	invitedTo [wire.Lanes]*wire.OrderKey
}

// spot is a place in the model.
type spot struct {
	token, visitor      wire.ID
	instant             int64
	key                 wire.OrderKey
	lane                wire.Lane
	narrow, wide        uint64
	counted, carrier    bool
	state               PlaceState
	grace, claim, until int64
	lapsed              bool
}

func (m *model) find(token wire.ID) *spot {
	for _, s := range m.places {
		if s.token == token {
			return s
		}
	}
	return nil
}

func (m *model) count(is func(s *spot) bool) (n uint32) {
	for _, s := range m.places {
		if is(s) {
			n++
		}
	}
	return n
}

func (m *model) inside() uint32 {
	return m.count(func(s *spot) bool { return s.state == Reserved || s.state == Inside })
}

func (m *model) ahead(of *spot, state PlaceState) uint32 {
	return m.count(func(s *spot) bool { return s.state == state && s.lane == of.lane && s.key.Less(of.key) })
}

func (m *model) must(ok bool, what string, args ...any) {
	m.t.Helper()
	if !ok {
		m.t.Fatalf(what, args...)
	}
}

// see takes in all outcomes of one record.
func (m *model) see(body wire.Body, ref wire.ID, got []told) {
	for i, o := range got {
		s := m.find(o.Ref)
		switch b := o.body.(type) {
		case *wire.RoomSet:
			m.state = b.State
		case *wire.RoomDefined:
			m.cap = b.Room.Cap
		case *wire.OutflowSet:
			m.cap = b.Cap
		case *wire.Joined:
			j, capped := joinIn(body)
			m.joined(b, ref, j, capped)
		case *wire.PlaceKept:
			j, capped := joinIn(body)
			m.kept(b, o.Ref, i == 0, j, capped)
		case *wire.InvitedUpTo:
			m.invited(b)
		case *wire.Missed:
			m.must(s.state == Invited && m.h.c.Elapsed() >= s.grace, "missed %+v", s)
			s.state = Missed
		case *wire.LeftQueue:
			if s.state == Inside {
				break // keeps its slot
			}
			m.must(s.state < Inside, "left %+v", s)
			s.state = Left
		default:
			m.slot(o, s)
		}
	}
	m.settled(body)
}

// joinIn is the join in a record, and whether it is of the rules by which the timed lane has caps.
func joinIn(body wire.Body) (j *wire.Join, capped bool) {
	if e, ok := body.(*wire.Enlist); ok {
		return &e.Join, true
	}
	return body.(*wire.Join), false
}

func (m *model) joined(b *wire.Joined, token wire.ID, j *wire.Join, capped bool) {
	s := &spot{token: token, visitor: j.Visitor, instant: j.Instant, key: b.Key, lane: j.Lane, narrow: j.Narrow, wide: j.Wide, carrier: j.Carrier}
	m.must(b.Key == wire.OrderKey{Class: 1, Key: uint64(j.Instant), Token: token}, "key %+v", b)
	for _, o := range m.places {
		if o.visitor == s.visitor && !o.state.Over() {
			better := s.key.Less(o.key)
			if invited := m.byInvitation(j); capped && invited != (o.lane == wire.LaneInvited) {
				better = invited
			}
			m.must(o.state == Waiting && better, "a second place beside %+v", o)
			o.state = Void
		}
	}
	if s.lane == wire.LaneNormal || s.lane == wire.LaneTimed && capped {
		narrow := m.count(func(o *spot) bool { return o.counted && !o.state.Over() && o.narrow == s.narrow })
		wide := m.count(func(o *spot) bool { return o.counted && !o.carrier && !o.state.Over() && o.wide == s.wide })
		s.counted = (s.carrier && narrow < 200) || (!s.carrier && narrow < 4 && wide < 16)
		m.must(s.counted || s.lane != wire.LaneTimed, "a timed place above the caps")
		if !s.counted {
			s.lane = wire.LaneShared
		}
	}
	if s.lane == wire.LaneInvited {
		if !m.byInvitation(j) {
			s.lane = wire.LaneShared
		}
	}
	m.must(b.Lane == s.lane, "lane %v, want %v", b.Lane, s.lane)
	if to := m.invitedTo[s.lane]; to != nil && !to.Less(s.key) {
		s.state, s.grace = Invited, m.h.c.Elapsed()+20*sale.Second
	} else {
		m.must(b.Ahead == m.ahead(s, Waiting), "%d ahead, want %d", b.Ahead, m.ahead(s, Waiting))
	}
	m.places = append(m.places, s)
}

func (m *model) kept(b *wire.PlaceKept, ref wire.ID, answer bool, j *wire.Join, capped bool) {
	s := m.find(b.Token)
	m.must(s != nil && s.visitor == j.Visitor, "kept %+v", b)
	if voided := m.find(ref); voided != nil {
		m.must(voided.state == Void, "voided %+v", voided)
		return
	}
	better := s.key.Less(wire.OrderKey{Class: 1, Key: uint64(j.Instant), Token: ref})
	if invited := m.byInvitation(j); capped && invited != (s.lane == wire.LaneInvited) {
		better = !invited
	}
	m.must(answer && !s.state.Over() && (s.state != Waiting || better), "kept the later place %+v", s)
}

// byInvitation says that a join's invite code has a place left.
func (m *model) byInvitation(j *wire.Join) bool {
	taken := m.count(func(o *spot) bool {
		return o.lane == wire.LaneInvited && o.narrow == j.Narrow && (!o.state.Over() || o.state == Used || o.state == Expired)
	})
	return j.Lane == wire.LaneInvited && uint64(taken) < j.Wide
}

func (m *model) invited(b *wire.InvitedUpTo) {
	m.must(m.state == wire.RoomOpen, "an invitation in state %v", m.state)
	if to := m.invitedTo[b.Lane]; to != nil {
		m.must(to.Less(b.Key), "the invitation moved back")
	}
	m.invitedTo[b.Lane] = &b.Key
	n := uint32(0)
	for _, s := range m.places {
		if s.state == Waiting && s.lane == b.Lane && !b.Key.Less(s.key) {
			s.state, s.grace = Invited, m.h.c.Elapsed()+20*sale.Second
			n++
		}
	}
	m.must(n == b.Count && n > 0, "invited %d, said %d", n, b.Count)
}

// admit checks invariants 6 and 7 for a place about to be given a slot.
func (m *model) admit(s *spot) {
	m.must(m.state == wire.RoomOpen, "admitted in state %v", m.state)
	m.must(m.inside() < m.cap, "invariant 7: admitted with %d of %d inside", m.inside(), m.cap)
	m.must(m.ahead(s, Asked) == 0, "invariant 6: an earlier ask is pending")
}

func (m *model) slot(o told, s *spot) {
	switch b := o.body.(type) {
	case *wire.Asked:
		m.must(s.state == Invited || s.state == Asked, "asked %+v", s)
		s.state = Asked
		m.must(b.Ahead == m.ahead(s, Asked), "%d asks ahead", b.Ahead)
	case *wire.SlotGiven:
		m.must(s.state == Asked, "a slot for %+v", s)
		m.admit(s)
		s.state, s.claim = Reserved, m.h.c.Elapsed()+5*sale.Second
		m.must(b.Inside == m.inside() && b.Until == m.h.c.Wall(s.claim), "%+v", b)
	case *wire.Claimed:
		if s.state == Invited {
			m.admit(s)
		} else {
			m.must(s.state == Reserved, "claimed by %+v", s)
		}
		s.state, s.until = Inside, b.Expires
		m.must(b.Inside == m.inside() && b.Expires == m.h.now()+60*sale.Second && b.Visitor == s.visitor, "%+v", b)
	case *wire.PassReturned:
		m.must(s.state == Inside && b.Expires == s.until, "%+v", b)
	case *wire.SlotLapsed:
		m.must(s.state == Reserved && m.h.c.Elapsed() >= s.claim, "lapsed %+v", s)
		if s.state = Invited; !s.lapsed {
			s.lapsed, s.grace = true, m.h.c.Elapsed()+20*sale.Second
		}
		m.must(b.Inside == m.inside(), "%+v", b)
	case *wire.SlotFreed:
		switch {
		case s.state == Left: // had a slot and left
		case b.Used:
			m.must(s.state == Inside, "used %+v", s)
			s.state = Used
		default:
			m.must(s.state == Inside && m.h.now() >= s.until, "expired %+v", s)
			s.state = Expired
		}
		m.must(b.Inside == m.inside(), "%+v with %d inside", b, m.inside())
	}
}

// settled says what must hold after every record.
func (m *model) settled(body wire.Body) {
	if m.state == wire.RoomOpen && m.inside() < m.cap {
		m.must(m.count(func(s *spot) bool { return s.state == Asked }) == 0, "a free slot and a pending ask")
	}
	_, ticked := body.(*wire.Tick)
	for _, s := range m.places {
		if ticked {
			m.must(s.state != Inside || s.until > m.h.now(), "an expired pass holds a slot")
			m.must(s.state != Reserved || s.claim > m.h.c.Elapsed(), "a reservation outlived its time")
			m.must(s.state != Invited || s.grace > m.h.c.Elapsed(), "a grace did not end")
		}
		p, ok := m.h.m.Place(hall, s.token)
		m.must(ok && p.State == s.state && p.Lane == s.lane, "the machine says %+v of %+v", p, s)
		if s.state == Waiting || s.state == Asked {
			m.must(p.Ahead == m.ahead(s, s.state), "%d ahead of %+v", p.Ahead, s)
		}
	}
}

// counted compares the counts of all networks; a narrow one may be in several wide ones.
func (m *model) counted(machine *Machine) {
	i, _ := machine.find(hall)
	n := &machine.rooms[i].networks
	for key := uint64(1); key <= 3; key++ {
		narrow := m.count(func(s *spot) bool { return s.counted && !s.state.Over() && s.narrow == key })
		wide := m.count(func(s *spot) bool { return s.counted && !s.carrier && !s.state.Over() && s.wide == key })
		m.must(n.narrow.live(n.narrow.find(key)) == narrow, "narrow network %d does not have %d places", key, narrow)
		m.must(n.wide.live(n.wide.find(key)) == wide, "wide network %d does not have %d places", key, wide)
	}
}

func TestQueue_KeepsItsInvariants(t *testing.T) {
	admitted, missed, lapsed := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		h := start(t)
		m := &model{t: t, h: h}
		shadow := start(t) // restored from snapshots all the time
		h.after = func(body wire.Body, ref wire.ID, got []told) {
			m.see(body, ref, got)
			a, _ := of[*wire.Claimed](got)
			b, _ := of[*wire.Missed](got)
			c, _ := of[*wire.SlotLapsed](got)
			admitted, missed, lapsed = admitted+len(a), missed+len(b), lapsed+len(c)
		}
		both := func(do func(h *harness)) { do(h); do(shadow) }
		both(func(h *harness) { h.define(fast(3)) })
		both(func(h *harness) { h.set(wire.RoomOpen) })
		tokens, seq := 0, uint64(0)
		token := func() int { return rapid.IntRange(0, max(tokens, 1)).Draw(t, "token") }
		for range rapid.IntRange(20, 120).Draw(t, "steps") {
			switch rapid.IntRange(0, 12).Draw(t, "op") {
			case 0, 1, 2, 3:
				j := &wire.Join{
					Instant: h.now() - rapid.Int64Range(0, 5*sale.Second).Draw(t, "age"),
					Visitor: id(-rapid.IntRange(1, 25).Draw(t, "visitor")), Lane: wire.Lane(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "lane")),
					Narrow: rapid.Uint64Range(1, 3).Draw(t, "narrow"), Wide: rapid.Uint64Range(1, 2).Draw(t, "wide"), Carrier: rapid.IntRange(0, 5).Draw(t, "carrier") == 0,
				}
				n := tokens + 1
				tokens = n
				body := wire.Body(j)
				if rapid.Bool().Draw(t, "newer rules") {
					body = &wire.Enlist{Join: *j, Broad: rapid.Uint64Range(0, 2).Draw(t, "broad"), Origin: rapid.Uint64Range(0, 2).Draw(t, "origin")}
				}
				both(func(h *harness) { h.apply(hall, id(n), body) })
			case 4: // everybody at once, so that slots are given to people who are not there any more
				for n := 1; n <= tokens; n++ {
					if s := m.find(id(n)); s != nil {
						both(func(h *harness) { h.apply(hall, s.token, &wire.Ask{Visitor: s.visitor}) })
					}
				}
			case 5, 6, 7:
				if s := m.find(id(token())); s != nil {
					both(func(h *harness) { h.apply(hall, s.token, &wire.Ask{Visitor: s.visitor}) })
				}
			case 8:
				if s := m.find(id(token())); s != nil {
					both(func(h *harness) { h.apply(hall, s.token, &wire.Leave{Visitor: s.visitor}) })
				}
			case 9:
				seq++
				pass := wire.PassID(hall, id(token()), 1)
				both(func(h *harness) { h.apply(hall, wire.ID{}, &wire.Left{Pass: pass, SourceSeq: seq}) })
			case 10, 11:
				step := rapid.SampledFrom([]int64{100, 1000, 2000, 30_000}).Draw(t, "milliseconds")
				times := rapid.IntRange(1, 20).Draw(t, "ticks")
				both(func(h *harness) {
					for range times {
						h.tick(h.now() + step*sale.Millisecond)
					}
				})
			default:
				switch rapid.IntRange(0, 4).Draw(t, "order") {
				case 0:
					both(func(h *harness) { h.set(wire.RoomPaused) })
				case 1, 2:
					both(func(h *harness) { h.set(wire.RoomOpen) })
				default:
					slots := rapid.Uint32Range(1, 5).Draw(t, "cap")
					both(func(h *harness) { h.apply(hall, wire.ID{}, &wire.SetOutflow{Cap: slots}) })
				}
			}
			fresh := New(Limits{})
			if err := fresh.Restore(shadow.m.Snapshot(nil)); err != nil {
				t.Fatal(err)
			}
			shadow.m = fresh
			if h.out.Hash != shadow.out.Hash || h.out.Seq != shadow.out.Seq {
				t.Fatal("a restored machine told something else")
			}
			m.counted(h.m)
			m.counted(shadow.m)
		}
		// Long enough for every slot that was given and not claimed to lapse.
		both(func(h *harness) {
			for range 40 {
				h.tick(h.now() + sale.Second)
			}
		})
	})
	t.Logf("%d admitted, %d missed, %d lapsed", admitted, missed, lapsed)
	if admitted == 0 || missed == 0 || lapsed == 0 {
		t.Errorf("%d admitted, %d missed, %d lapsed: the test went past what it is for", admitted, missed, lapsed)
	}
}
