package queue

import (
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

func TestAsk_BeforeTheInvitationIsTurnedDown(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	h.join(1)
	h.refused(h.ask(1), wire.ReasonNotInvited)
	h.refused(h.ask(2), wire.ReasonUnknownRef)
	h.refused(h.apply(hall, id(1), &wire.Ask{Visitor: id(-2)}), wire.ReasonNotYours)
	h.refused(h.apply(hall, id(1), &wire.Leave{Visitor: id(-2)}), wire.ReasonNotYours)
}

func TestAsk_AFreeSlotIsClaimedAtOnce(t *testing.T) {
	h := start(t)
	c := h.oneInside(2)
	want := wire.Claimed{
		Visitor: id(-1), Pass: wire.PassID(hall, id(1), 1), Issued: h.now(), Expires: h.now() + 60*sale.Second, Inside: 1,
	}
	if *c != want {
		t.Errorf("got %+v, want %+v", *c, want)
	}
}

func TestAsk_AgainReturnsTheSamePass(t *testing.T) {
	h := start(t)
	c := h.oneInside(1)
	h.run(30 * sale.Second)
	p := answer[*wire.PassReturned](h, h.ask(1))
	if p.Pass != c.Pass || p.Issued != c.Issued || p.Expires != c.Expires || p.Visitor != c.Visitor {
		t.Errorf("%+v after %+v", p, c)
	}
}

func TestSlot_GoesToTheEarliestPlaceThatAsked(t *testing.T) {
	h := start(t)
	c := h.oneInside(5)
	for i, n := range []int{4, 2, 5, 3} {
		if a := answer[*wire.Asked](h, h.ask(n)); int(a.Ahead) != []int{0, 0, 2, 1}[i] {
			t.Errorf("%d asked with %d ahead", n, a.Ahead)
		}
	}
	answer[*wire.Asked](h, h.ask(4)) // asking again changes nothing
	if a := h.place(4).Ahead; a != 2 {
		t.Errorf("%d ahead of place 4", a)
	}
	got := h.apply(hall, wire.ID{}, &wire.Left{Pass: c.Pass, SourceSeq: 1})
	freed := answer[*wire.SlotFreed](h, got)
	slots, refs := of[*wire.SlotGiven](got)
	if !freed.Used || freed.Inside != 0 || freed.Pass != c.Pass || got[0].Ref != id(1) {
		t.Errorf("%v", got[0])
	}
	if len(slots) != 1 || refs[0] != id(2) || slots[0].Inside != 1 || slots[0].Until != h.now()+5*sale.Second {
		t.Errorf("%v", got)
	}
	if c := answer[*wire.Claimed](h, h.ask(2)); c.Inside != 1 || c.Visitor != id(-2) {
		t.Errorf("%+v", c)
	}
}

func TestSlot_UnclaimedLapsesAndTheNextGetsIt(t *testing.T) {
	h := start(t)
	c := h.oneInside(3)
	h.ask(2)
	h.ask(3)
	h.apply(hall, wire.ID{}, &wire.Left{Pass: c.Pass, SourceSeq: 1})
	got := h.run(5 * sale.Second)
	lapsed, who := of[*wire.SlotLapsed](got)
	given, to := of[*wire.SlotGiven](got)
	if len(lapsed) != 1 || who[0] != id(2) || lapsed[0].Inside != 0 || len(given) != 1 || to[0] != id(3) {
		t.Fatalf("%v", got)
	}
	if p := h.place(2); p.State != Invited {
		t.Error(p)
	}
	answer[*wire.Asked](h, h.ask(2)) // within the grace, by the same rule
	answer[*wire.Claimed](h, h.ask(3))
}

func TestSlot_LapsingAgainDoesNotBeginTheGraceAnew(t *testing.T) {
	h := start(t)
	c := h.oneInside(3)
	h.ask(2)
	h.ask(3)
	h.apply(hall, wire.ID{}, &wire.Left{Pass: c.Pass, SourceSeq: 1})
	lapses := 0
	for began := h.now(); h.now() < began+40*sale.Second; {
		lapsed, _ := of[*wire.SlotLapsed](h.run(100 * sale.Millisecond))
		lapses += len(lapsed)
		for n := 2; n <= 3; n++ { // both ask at once, and never claim
			if h.place(n).State == Invited {
				answer[*wire.Asked](h, h.ask(n))
			}
		}
	}
	if h.place(2).State != Missed || h.place(3).State != Missed || lapses < 4 || lapses > 7 {
		t.Errorf("%v and %v after %d lapses", h.place(2).State, h.place(3).State, lapses)
	}
}

func TestMissed_WhoNeverAsksWithinTheGrace(t *testing.T) {
	h := start(t)
	h.oneInside(3)
	h.ask(2) // pending: cannot be missed
	got := h.run(25 * sale.Second)
	missed, who := of[*wire.Missed](got)
	if len(missed) != 1 || who[0] != id(3) {
		t.Fatalf("%v", got)
	}
	h.refused(h.ask(3), wire.ReasonGone)
	if h.place(2).State != Asked {
		t.Error(h.place(2))
	}
}

func TestMissed_OutagesDoNotBurnTheGrace(t *testing.T) {
	h := start(t)
	h.oneInside(2)
	h.run(10 * sale.Second)
	if missed, _ := of[*wire.Missed](h.tick(h.now() + 30*sale.Second)); len(missed) > 0 {
		t.Fatal("missed during an outage")
	}
	if missed, _ := of[*wire.Missed](h.run(9 * sale.Second)); len(missed) > 0 {
		t.Fatal("missed early")
	}
	if missed, _ := of[*wire.Missed](h.run(2 * sale.Second)); len(missed) != 1 {
		t.Fatal("not missed")
	}
}

func TestPass_ExpiresByTheClockOutagesOrNot(t *testing.T) {
	h := start(t)
	c := h.oneInside(1)
	got := h.tick(c.Expires - 1)
	if freed, _ := of[*wire.SlotFreed](got); len(freed) != 0 {
		t.Error("freed while the pass was usable")
	}
	freed, _ := of[*wire.SlotFreed](h.tick(c.Expires))
	if len(freed) != 1 || freed[0].Used || freed[0].Pass != c.Pass || freed[0].Inside != 0 {
		t.Errorf("%+v", freed)
	}
	h.refused(h.ask(1), wire.ReasonGone)
	h.refused(h.apply(hall, wire.ID{}, &wire.Left{Pass: c.Pass, SourceSeq: 1}), wire.ReasonUnknownRef)
}

func TestLeave_InsideKeepsTheSlotUntilThePassIsUnusable(t *testing.T) {
	h := start(t)
	c := h.oneInside(2)
	h.ask(2)
	answer[*wire.LeftQueue](h, h.leave(1))
	answer[*wire.Repeated](h, h.leave(1))
	if slots, _ := of[*wire.SlotGiven](h.run(10 * sale.Second)); len(slots) != 0 {
		t.Fatal("the slot of a usable pass was given away")
	}
	h.run(c.Expires - h.now())
	if p := h.place(2); p.State != Reserved {
		t.Error(p)
	}
}

func TestLeave_AtEachStage(t *testing.T) {
	h := start(t)
	c := h.oneInside(4)
	h.c.Now++
	h.join(5)
	h.ask(2)
	h.ask(3)
	answer[*wire.LeftQueue](h, h.leave(5)) // waiting
	answer[*wire.LeftQueue](h, h.leave(4)) // invited
	answer[*wire.LeftQueue](h, h.leave(3)) // asked
	h.apply(hall, wire.ID{}, &wire.Left{Pass: c.Pass, SourceSeq: 1})
	if p := h.place(2); p.State != Reserved {
		t.Fatal(p)
	}
	got := h.leave(2) // reserved: the slot is free at once
	answer[*wire.LeftQueue](h, got)
	if freed, _ := of[*wire.SlotFreed](got); len(freed) != 1 || freed[0].Inside != 0 || freed[0].Pass != (wire.ID{}) {
		t.Errorf("%v", got)
	}
	for n := 2; n <= 5; n++ {
		if r := answer[*wire.Repeated](h, h.leave(n)); r.FirstKind != wire.KindLeftQueue || r.FirstRef != id(n) {
			t.Errorf("%+v", r)
		}
		h.refused(h.ask(n), wire.ReasonGone)
	}
	h.refused(h.leave(1), wire.ReasonGone)
}

func TestLeft_IsIdempotentBySource(t *testing.T) {
	h := start(t)
	c := h.oneInside(1)
	left := &wire.Left{Pass: c.Pass, Source: 1, SourceSeq: 9}
	answer[*wire.SlotFreed](h, h.apply(hall, wire.ID{}, left))
	answer[*wire.Repeated](h, h.apply(hall, wire.ID{}, left))
	h.refused(h.apply(hall, wire.ID{}, &wire.Left{Pass: c.Pass, Source: 2, SourceSeq: 1}), wire.ReasonUnknownRef)
	for n := range MaxSources - 2 {
		h.apply(hall, wire.ID{}, &wire.Left{Source: int32(10 + n), SourceSeq: 1})
	}
	h.refused(h.apply(hall, wire.ID{}, &wire.Left{Source: 999, SourceSeq: 1}), wire.ReasonFull)
}

func TestCap_LoweredAdmitsNobodyUntilThereIsRoom(t *testing.T) {
	h := start(t)
	h.define(fast(3))
	for n := 1; n <= 5; n++ {
		h.join(n)
	}
	h.set(wire.RoomOpen)
	h.inviteAll(5)
	for n := 1; n <= 3; n++ {
		answer[*wire.Claimed](h, h.ask(n))
	}
	if o := answer[*wire.OutflowSet](h, h.apply(hall, wire.ID{}, &wire.SetOutflow{Cap: 2})); o.Cap != 2 || o.PerMinute != 600_000 {
		t.Errorf("%+v", o)
	}
	answer[*wire.Asked](h, h.ask(4))
	left := func(n int, seq uint64) int {
		slots, _ := of[*wire.SlotGiven](h.apply(hall, wire.ID{}, &wire.Left{Pass: wire.PassID(hall, id(n), 1), SourceSeq: seq}))
		return len(slots)
	}
	if left(1, 1) != 0 || left(2, 2) != 1 {
		t.Error("the lowered cap was not kept")
	}
	answer[*wire.Asked](h, h.ask(5))
	if slots, _ := of[*wire.SlotGiven](h.apply(hall, wire.ID{}, &wire.SetOutflow{Cap: 9})); len(slots) != 1 {
		t.Error("raising the cap gave no slot")
	}
}

func TestFlow_InvitesInOrderAndOnlyForward(t *testing.T) {
	h := start(t)
	h.define(fast(50))
	for n := 1; n <= 500; n++ {
		h.c.Now++
		h.join(n)
	}
	h.set(wire.RoomOpen)
	calls, _ := of[*wire.InvitedUpTo](h.run(20 * sale.Second))
	total := uint32(0)
	for i, c := range calls {
		total += c.Count
		if i > 0 && !calls[i-1].Key.Less(c.Key) {
			t.Fatalf("the invitation moved back: %v then %v", calls[i-1], c)
		}
		if c.Key.Token != id(int(total)) {
			t.Fatalf("%d invited, up to another than the %d-th", total, total)
		}
	}
	if total < 50 || total > 400 {
		t.Errorf("%d invited for 50 slots", total)
	}
}

func TestFlow_LanesGetTheirShares(t *testing.T) {
	h := start(t)
	d := fast(10_000)
	d.Shares = [wire.Lanes]uint16{600, 100, 200, 100}
	d.PerMinute = 6000
	h.define(d)
	for n := range 8000 {
		j := h.fan(n)
		j.Lane = wire.Lane(n % 4)
		h.apply(hall, id(n), j)
	}
	h.set(wire.RoomOpen)
	count := func(got []told) (by [wire.Lanes]int, all int) {
		calls, _ := of[*wire.InvitedUpTo](got)
		for _, c := range calls {
			by[c.Lane] += int(c.Count)
			all += int(c.Count)
		}
		return by, all
	}
	by, all := count(h.run(20 * sale.Second))
	if all < 500 {
		t.Fatalf("only %d invited", all)
	}
	for l, share := range d.Shares {
		if want := all * int(share) / 1000; by[l] < want-5 || by[l] > want+5 {
			t.Errorf("lane %v: %d of %d, want %d", wire.Lane(l), by[l], all, want)
		}
	}
}

func TestFlow_TheTimedLaneNeverGetsMoreThanItsShare(t *testing.T) {
	for _, others := range []int{0, 30} {
		h := start(t)
		d := fast(100_000)
		d.PerMinute, d.Grace = 6000, sale.Hour // 1000 in ten seconds at full pace
		h.define(d)
		for n := range 3000 {
			j := h.fan(n)
			j.Lane = wire.LaneTimed
			if n < others {
				j.Lane = wire.LaneNormal
				j.Narrow, j.Wide = uint64(n), uint64(n)
			}
			h.apply(hall, id(n), j)
		}
		h.set(wire.RoomOpen)
		h.run(31 * sale.Second) // past the slow start
		calls, _ := of[*wire.InvitedUpTo](h.run(20 * sale.Second))
		n := 0
		for _, c := range calls {
			if c.Lane == wire.LaneTimed {
				n += int(c.Count)
			}
		}
		// 5 % of 2000, some more for those who do not come.
		if n < 80 || n > 140 {
			t.Errorf("with %d others: %d invited from the timed lane in 20 s, want about 100 to 125", others, n)
		}
	}
}

func TestSlot_LanesTakeTurnsByTheirShares(t *testing.T) {
	h := start(t)
	d := fast(1)
	d.Shares = [wire.Lanes]uint16{700, 300}
	h.define(d)
	for n := range 100 {
		j := h.fan(n)
		j.Lane = wire.Lane(n % 2)
		h.apply(hall, id(n), j)
	}
	h.set(wire.RoomOpen)
	h.inviteAll(100)
	var pass wire.ID
	for n := range 100 {
		if c, ok := h.ask(n)[0].body.(*wire.Claimed); ok {
			pass = c.Pass
		}
	}
	by := [wire.Lanes]int{}
	for n := range 40 {
		_, refs := of[*wire.SlotGiven](h.apply(hall, wire.ID{}, &wire.Left{Pass: pass, SourceSeq: uint64(n + 1)}))
		if len(refs) != 1 {
			t.Fatalf("%d slots were given for one", len(refs))
		}
		for o := range 100 {
			if id(o) == refs[0] {
				by[o%2]++
				pass = answer[*wire.Claimed](h, h.ask(o)).Pass
			}
		}
	}
	if by[0] < 27 || by[0] > 29 || by[0]+by[1] != 40 {
		t.Errorf("slots by lane: %v, want 28 and 12", by)
	}
}
