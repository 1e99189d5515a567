package queue

import (
	"testing"

	"fairgate/internal/wire"
)

// enlist joins by the newer rules.
func (h *harness) enlist(n int, change func(e *wire.Enlist)) []told {
	h.t.Helper()
	e := &wire.Enlist{Join: *h.fan(n)}
	change(e)
	return h.apply(hall, id(n), e)
}

// networksTold is what edges are told of the hall.
func (h *harness) networksTold() map[wire.Network]bool {
	h.t.Helper()
	told := map[wire.Network]bool{}
	h.m.Documents(&h.c, func(room int64, b []byte) {
		if !wire.IsNetworks(b) {
			return
		}
		c, err := wire.ParseNetworks(b)
		if err != nil || c.Room != room || c.Epoch != h.c.Epoch {
			h.t.Fatalf("%+v, %v", c, err)
		}
		for _, n := range c.List {
			told[n] = true
		}
	})
	return told
}

func TestEnlist_TheTimedLaneHasTheCapsOfTheNormalOne(t *testing.T) {
	h := start(t)
	h.define(fast(3))
	at := func(n int, l wire.Lane) []told {
		return h.enlist(n, func(e *wire.Enlist) { e.Narrow, e.Wide, e.Lane = 5, 6, l })
	}
	for n, l := range []wire.Lane{wire.LaneTimed, wire.LaneNormal, wire.LaneTimed, wire.LaneNormal} {
		if j := answer[*wire.Joined](h, at(n+1, l)); j.Lane != l {
			t.Fatalf("place %d of 4 is in the lane %v", n+1, j.Lane)
		}
	}
	if r := answer[*wire.TurnedDown](h, at(5, wire.LaneTimed)); r.Reason != wire.ReasonNetworkFull {
		t.Errorf("a timed place above the caps: %v", r.Reason)
	}
	if j := answer[*wire.Joined](h, at(6, wire.LaneNormal)); j.Lane != wire.LaneShared {
		t.Errorf("a normal place above the caps is in the lane %v", j.Lane)
	}
	h.leave(1)
	if j := answer[*wire.Joined](h, at(7, wire.LaneTimed)); j.Lane != wire.LaneTimed {
		t.Errorf("after one left: %v", j.Lane)
	}
}

func TestEnlist_TurnedDownFromTheTimedLaneTheEarlierPlaceStays(t *testing.T) {
	h := start(t)
	h.define(fast(3))
	for n := range 4 {
		h.enlist(n+1, func(e *wire.Enlist) { e.Narrow, e.Wide = 5, 6 })
	}
	h.enlist(9, func(e *wire.Enlist) { e.Narrow, e.Wide = 50, 60 })
	got := h.enlist(10, func(e *wire.Enlist) { // an earlier instant, which would take the first one's stead
		e.Narrow, e.Wide, e.Lane, e.Visitor, e.Instant = 5, 6, wire.LaneTimed, id(-9), h.now()-1000
	})
	answer[*wire.TurnedDown](h, got)
	if at, ok := h.m.Place(hall, id(9)); !ok || at.State != Waiting {
		t.Errorf("the place that the visitor had: %+v %v", at, ok)
	}
}

func TestNetworks_EdgesAreToldOfTheCrowdedOnes(t *testing.T) {
	h := start(t)
	h.define(fast(3))
	n := 0
	some := func(times int, change func(e *wire.Enlist)) {
		for range times {
			n++
			h.enlist(n, change)
		}
	}
	some(4, func(e *wire.Enlist) { e.Narrow, e.Wide = 1, 2 }) // as many as the cap allows: nothing to tell
	if told := h.networksTold(); len(told) != 0 {
		t.Fatalf("told of %v", told)
	}
	some(3, func(e *wire.Enlist) { e.Narrow, e.Wide = 1, 2 })
	some(205, func(e *wire.Enlist) { e.Narrow, e.Wide, e.Carrier = 3, 4, true })
	some(2, func(e *wire.Enlist) { e.Narrow, e.Wide, e.Lane = 7, 8, wire.LaneShared }) // whom the guard sends there
	some(crowdLeast, func(e *wire.Enlist) { e.Narrow, e.Wide, e.Broad = uint64(n)+100, uint64(n)+1_000, 5 })
	some(crowdLeast-1, func(e *wire.Enlist) { e.Narrow, e.Wide, e.Origin = uint64(n)+100, uint64(n)+1_000, 6 })
	want := map[wire.Network]bool{
		{Span: wire.SpanNarrow, Places: 7, Key: 1}: true, {Span: wire.SpanWide, Places: 7, Key: 2}: true,
		{Span: wire.SpanNarrow, Places: 205, Key: 3}: true,
		{Span: wire.SpanNarrow, Places: 2, Key: 7}:   true, {Span: wire.SpanWide, Places: 2, Key: 8}: true,
		{Span: wire.SpanBroad, Places: crowdLeast, Key: 5}: true,
	}
	check := func() {
		t.Helper()
		told := h.networksTold()
		for w := range want {
			if !told[w] {
				t.Errorf("not told of %+v", w)
			}
		}
		if len(told) != len(want) {
			t.Errorf("told of %v", told)
		}
	}
	check()
	snap := h.m.Snapshot(nil)
	h.m = New(Limits{})
	if err := h.m.Restore(snap); err != nil {
		t.Fatal(err)
	}
	check()
	h.set(wire.RoomEnded)
	if told := h.networksTold(); len(told) != 0 {
		t.Errorf("after the end told of %v", told)
	}
}

func TestNetworks_OfTooManyThoseWithTheMostPlacesAreTold(t *testing.T) {
	rm := newRoom(1)
	most := crowdQuota[wire.SpanBroad]
	for key := range uint64(3 * most) {
		rm.broad.crowd(rm.broad.add(key+1), crowdLeast+uint32(key%7))
	}
	rm.broad.crowd(rm.broad.add(1<<63), 1<<29)
	list, with := rm.crowded(), map[uint32]int{}
	for _, n := range list {
		with[n.Places]++
	}
	all := with[1<<29] + with[crowdLeast+6] + with[crowdLeast+5] + with[crowdLeast+4]
	if len(list) != most || all != most || with[1<<29] != 1 || with[crowdLeast+6] < 3*most/7 || with[crowdLeast+5] < 3*most/7 {
		t.Fatalf("%d networks, by count: %v", len(list), with)
	}
}
