package queue

import (
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

func TestJoin_OrderIsByInstantNotByArrivalInTheLog(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	for n, age := range []int64{5, 9, 1, 7, 3} { // seconds ago
		j := h.fan(n + 1)
		j.Instant -= age * sale.Second
		answer[*wire.Joined](h, h.apply(hall, id(n+1), j))
	}
	for n, ahead := range []uint32{2, 0, 4, 1, 3} {
		if p := h.place(n + 1); p.Ahead != ahead || p.State != Waiting {
			t.Errorf("place %d has %d ahead (%v), want %d", n+1, p.Ahead, p.State, ahead)
		}
	}
}

func TestJoin_SameInstantIsOrderedByToken(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	for n := range 50 {
		h.join(n)
	}
	for n := range 50 {
		smaller := uint32(0)
		for o := range 50 {
			a, b := id(o), id(n)
			if string(a[:]) < string(b[:]) {
				smaller++
			}
		}
		if p := h.place(n); p.Ahead != smaller {
			t.Errorf("%d ahead of %d, want %d", p.Ahead, n, smaller)
		}
	}
}

func TestJoin_SaysHowManyAreAhead(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	for n := 1; n <= 600; n++ {
		h.c.Now++
		if j := answer[*wire.Joined](h, h.join(n)); int(j.Ahead) != n-1 || j.Lane != wire.LaneNormal || j.Drawn ||
			j.Key != (wire.OrderKey{Class: 1, Key: uint64(h.now()), Token: id(n)}) {
			t.Fatalf("place %d: %+v", n, j)
		}
	}
}

func TestJoin_SameTokenAgainIsTheSamePlace(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	h.join(1)
	h.join(2)
	got := h.join(1)
	if r := answer[*wire.Repeated](h, got); r.FirstKind != wire.KindJoined || r.FirstRef != id(1) || len(got) != 1 {
		t.Errorf("%+v", r)
	}
	// Long after the allowance too: a page that was asleep resends.
	h.run(5 * sale.Minute)
	answer[*wire.Repeated](h, h.apply(hall, id(1), &wire.Join{Instant: t0, Visitor: id(-1)}))
}

func TestJoin_OneVisitorKeepsTheEarliestPlace(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	second := h.fan(1)
	h.apply(hall, id(1), second)
	later := h.fan(1)
	later.Instant += 5
	if k := answer[*wire.PlaceKept](h, h.apply(hall, id(2), later)); k.Token != id(1) {
		t.Errorf("kept %+v", k)
	}
	if _, ok := h.m.Place(hall, id(2)); ok {
		t.Error("the later place is in line too")
	}
	earlier := h.fan(1)
	earlier.Instant -= 5
	got := h.apply(hall, id(3), earlier)
	answer[*wire.Joined](h, got)
	kept, refs := of[*wire.PlaceKept](got)
	if len(kept) != 1 || kept[0].Token != id(3) || refs[0] != id(1) {
		t.Errorf("the voided place was not told: %v", got)
	}
	if h.place(1).State != Void || h.place(3).State != Waiting {
		t.Errorf("%v %v", h.place(1), h.place(3))
	}
	if k := answer[*wire.PlaceKept](h, h.apply(hall, id(1), second)); k.Token != id(3) {
		t.Errorf("a resend of the voided place: %+v", k)
	}
	h.refused(h.apply(hall, id(1), &wire.Ask{Visitor: id(-1)}), wire.ReasonGone)
}

func TestJoin_SameInstantOfOneVisitorKeepsTheSmallerToken(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	a, b := wire.ID{1}, wire.ID{2}
	h.apply(hall, b, h.fan(1))
	answer[*wire.Joined](h, h.apply(hall, a, h.fan(1)))
	if k := answer[*wire.PlaceKept](h, h.apply(hall, wire.ID{3}, h.fan(1))); k.Token != a {
		t.Errorf("%+v", k)
	}
}

func TestJoin_AnInvitedPlaceIsNotReplaced(t *testing.T) {
	h := start(t)
	h.oneInside(2)
	for _, n := range []int{1, 2} { // inside, invited
		j := h.fan(n)
		j.Instant -= sale.Second
		if k := answer[*wire.PlaceKept](h, h.apply(hall, id(100+n), j)); k.Token != id(n) {
			t.Errorf("%+v", k)
		}
	}
}

func TestJoin_WhoLeftMayJoinAnew(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	h.join(1)
	h.leave(1)
	j := h.fan(1)
	j.Instant++
	answer[*wire.Joined](h, h.apply(hall, id(9), j))
	if h.place(1).State != Left || h.place(9).State != Waiting {
		t.Error(h.place(1), h.place(9))
	}
}

func TestJoin_LaterThanTheAllowanceIsRefused(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	h.run(MaxLate + sale.Second)
	j := h.fan(1)
	j.Instant = h.now() - MaxLate
	answer[*wire.Joined](h, h.apply(hall, id(1), j))
	j = h.fan(2)
	j.Instant = h.now() - MaxLate - 1
	h.refused(h.apply(hall, id(2), j), wire.ReasonTooLate)
}

func TestJoin_OutagesExtendTheAllowance(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	before := h.now()
	h.tick(before + 10*sale.Minute) // nobody led
	h.run(230 * sale.Second)
	j := h.fan(1)
	j.Instant = before
	answer[*wire.Joined](h, h.apply(hall, id(1), j))
	// An instant inside the outage has only the rest of it.
	j = h.fan(2)
	j.Instant = before + 9*sale.Minute
	answer[*wire.Joined](h, h.apply(hall, id(2), j))
	h.run(11 * sale.Second)
	for n, instant := range []int64{before, before + 9*sale.Minute, before + 10*sale.Minute} {
		j = h.fan(10 + n)
		j.Instant = instant
		h.refused(h.apply(hall, id(10+n), j), wire.ReasonTooLate)
	}
}

func TestJoin_CountsWhenNobodyLed(t *testing.T) {
	// The log took the join for an hour while no leader ticked: it was acknowledged, so it is in line.
	h := start(t)
	h.define(fast(10))
	j := h.fan(1)
	j.Instant += sale.Hour
	answer[*wire.Joined](h, h.apply(hall, id(1), j))
	j = h.fan(2)
	j.Instant += Ahead + 1
	h.refused(h.apply(hall, id(2), j), wire.ReasonFuture)
}

func TestJoin_AboveTheNetworksCapGoesToTheSharedLane(t *testing.T) {
	for _, c := range []struct {
		name    string
		fans    int
		carrier bool
		wide    bool // every fan an address of their own in one /24
		normal  int
	}{
		{"one address", 10, false, false, 4},
		{"one /24", 30, false, true, 16},
		{"a carrier's address", 210, true, false, 200},
		{"a carrier's /24", 30, true, true, 30},
	} {
		h := start(t)
		h.define(fast(10))
		lanes := [wire.Lanes]int{}
		for n := 1; n <= c.fans; n++ {
			j := h.fan(n)
			j.Wide, j.Carrier = 7, c.carrier
			if !c.wide {
				j.Narrow = 7
			}
			lanes[answer[*wire.Joined](h, h.apply(hall, id(n), j)).Lane]++
		}
		if lanes[wire.LaneNormal] != c.normal || lanes[wire.LaneShared] != c.fans-c.normal {
			t.Errorf("%s: %v, want %d normal", c.name, lanes, c.normal)
		}
	}
}

func TestJoin_LeavingGivesTheNetworksCountBack(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	join := func(n int) wire.Lane {
		j := h.fan(n)
		j.Narrow = 7
		return answer[*wire.Joined](h, h.apply(hall, id(n), j)).Lane
	}
	for n := 1; n <= 4; n++ {
		join(n)
	}
	if l := join(5); l != wire.LaneShared {
		t.Fatal(l)
	}
	h.leave(5) // was not counted
	if l := join(6); l != wire.LaneShared {
		t.Fatal(l)
	}
	h.leave(2)
	if l := join(7); l != wire.LaneNormal {
		t.Error("the count did not come back")
	}
	if h.place(6).Lane != wire.LaneShared {
		t.Error("a place's lane changed after it joined")
	}
}

func TestJoin_OtherLanesAreNotCounted(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	for n := 1; n <= 20; n++ {
		j := h.fan(n)
		j.Narrow, j.Lane = 7, wire.LaneTimed
		if l := answer[*wire.Joined](h, h.apply(hall, id(n), j)).Lane; l != wire.LaneTimed {
			t.Fatalf("place %d in lane %v", n, l)
		}
	}
}

// holdsCode is a fan with an invite code of so many uses.
func (h *harness) holdsCode(n int, code, uses uint64) wire.Lane {
	h.t.Helper()
	j := h.fan(n)
	j.Narrow, j.Wide, j.Lane = code, uses, wire.LaneInvited
	return answer[*wire.Joined](h, h.apply(hall, id(n), j)).Lane
}

func TestInvite_ACodeGivesSoManyPlacesAndTheRestShareALane(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	for n, want := range []wire.Lane{wire.LaneInvited, wire.LaneInvited, wire.LaneShared, wire.LaneShared} {
		if l := h.holdsCode(n+1, 77, 2); l != want {
			t.Errorf("number %d with the code stands in the lane %v, want %v", n+1, l, want)
		}
	}
	if l := h.holdsCode(9, 78, 1); l != wire.LaneInvited {
		t.Errorf("another code: %v", l)
	}
	if l := h.holdsCode(10, 79, 0); l != wire.LaneShared {
		t.Errorf("a code that gives nothing: %v", l)
	}
	if j := answer[*wire.Joined](h, h.join(11)); j.Lane != wire.LaneNormal {
		t.Errorf("codes counted against a network: %v", j.Lane)
	}
}

func TestInvite_APlaceGivenUpGoesBackToItsCodeAndOneLetInDoesNot(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	h.set(wire.RoomOpen)
	h.holdsCode(1, 77, 1)
	h.leave(1)
	if l := h.holdsCode(2, 77, 1); l != wire.LaneInvited {
		t.Fatalf("a place given up did not go back: %v", l)
	}
	h.inviteAll(1)
	answer[*wire.Claimed](h, h.ask(2))
	h.run(16 * sale.Minute) // the pass expires
	if p := h.place(2); p.State != Expired {
		t.Fatalf("%v", p.State)
	}
	if l := h.holdsCode(3, 77, 1); l != wire.LaneShared {
		t.Errorf("a code that let somebody in gives another place: %v", l)
	}
}

func TestInvite_OneVisitorKeepsThePlaceByInvitationUnlessTheCodeIsUsedUp(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	coded := func(token, visitor int, uses uint64, later int64) []told {
		j := h.fan(visitor)
		j.Narrow, j.Wide, j.Lane = 77, uses, wire.LaneInvited
		j.Instant += later
		return h.apply(hall, id(token), &wire.Enlist{Join: *j})
	}
	h.join(1)
	if j := answer[*wire.Joined](h, coded(2, 1, 1, 5)); j.Lane != wire.LaneInvited || h.place(1).State != Void {
		t.Fatalf("%+v, the first place is %v", j, h.place(1).State)
	}
	earlier := h.fan(1) // of a tab that knew of no code
	earlier.Instant -= 5
	if k := answer[*wire.PlaceKept](h, h.apply(hall, id(3), &wire.Enlist{Join: *earlier})); k.Token != id(2) {
		t.Errorf("kept %+v", k)
	}
	h.join(4)
	if k := answer[*wire.PlaceKept](h, coded(5, 4, 1, 5)); k.Token != id(4) || h.place(4).State != Waiting {
		t.Errorf("a code that was used up took a place away: %+v", k)
	}
	h.apply(hall, id(2), &wire.Leave{Visitor: id(-1)})
	answer[*wire.Joined](h, coded(5, 4, 1, 5))
}

func TestJoin_BehindTheInvitationIsInvitedAtOnce(t *testing.T) {
	h := start(t)
	h.oneInside(3)
	late := h.fan(9)
	late.Instant = t0
	if j := answer[*wire.Joined](h, h.apply(hall, id(9), late)); j.Ahead != 0 {
		t.Errorf("%+v", j)
	}
	if p := h.place(9); p.State != Invited {
		t.Error(p)
	}
	h.c.Now += 5
	h.join(10)
	if p := h.place(10); p.State != Waiting {
		t.Error(p)
	}
}

func TestJoin_MalformedIsTurnedDown(t *testing.T) {
	h := start(t)
	h.refused(h.join(1), wire.ReasonUnknownObject)
	h.define(fast(10))
	good := h.fan(1)
	for name, change := range map[string]func(j *wire.Join){
		"lane":       func(j *wire.Join) { j.Lane = wire.Lanes },
		"instant":    func(j *wire.Join) { j.Instant = 0 },
		"negative":   func(j *wire.Join) { j.Instant = -1 << 63 },
		"no visitor": func(j *wire.Join) { j.Visitor = wire.ID{} },
	} {
		j := *good
		change(&j)
		t.Log(name)
		h.refused(h.apply(hall, id(1), &j), wire.ReasonInvalid)
	}
	h.refused(h.apply(hall, wire.ID{}, good), wire.ReasonInvalid)
	if r := answer[*wire.Rejected](h, h.record(wire.Record{Kind: wire.KindJoin, Object: hall, Body: []byte{1}})); r.Reason != wire.ReasonUndecodable {
		t.Error(r)
	}
	if r := answer[*wire.Rejected](h, h.record(wire.Record{Kind: 99, Object: hall})); r.Reason != wire.ReasonUnknownKind {
		t.Error(r)
	}
}

func TestJoin_ALimitIsALimit(t *testing.T) {
	h := start(t)
	h.m = New(Limits{Rooms: 1, Places: 3})
	h.define(fast(10))
	d := fast(10)
	h.refused(h.apply(hall+1, wire.ID{}, &d), wire.ReasonFull)
	for n := 1; n <= 3; n++ {
		answer[*wire.Joined](h, h.join(n))
	}
	h.refused(h.join(4), wire.ReasonFull)
	answer[*wire.Repeated](h, h.join(2))
}
