package queue

import (
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// crowd is how many places wait, by lane, and how many are inside.
func (h *harness) crowd(tokens int) (waiting [wire.Lanes]int, inside int) {
	h.t.Helper()
	for n := 1; n <= tokens; n++ {
		switch p, ok := h.m.Place(hall, id(n)); {
		case !ok:
		case p.State == Inside:
			inside++
		case p.State == Waiting || p.State == Invited:
			waiting[p.Lane]++
		}
	}
	return waiting, inside
}

func TestCaps_AVisitorHasOnePlaceInWhateverLaneAndFromWhateverNetwork(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	const joins = 60
	for n := 1; n <= joins; n++ { // each with a token, an address, a /24 and an instant of its own, earlier and later ones
		j := h.fan(n)
		j.Visitor, j.Instant = id(-1), h.now()+int64(n*37%joins)-joins
		if j.Lane = wire.LaneNormal; n%3 == 0 {
			j.Lane = wire.LaneTimed
		}
		if n%5 == 0 {
			j.Lane = wire.LaneShared
		}
		if n%7 == 0 {
			j.Lane = wire.LaneInvited // with a code of its own, which is good for n places
		}
		h.apply(hall, id(n), &wire.Enlist{Join: *j})
		waiting, _ := h.crowd(n)
		if sum := waiting[wire.LaneNormal] + waiting[wire.LaneTimed] + waiting[wire.LaneShared] + waiting[wire.LaneInvited]; sum != 1 {
			t.Fatalf("after %d joins one visitor has %v places", n, waiting)
		}
		if invited := waiting[wire.LaneInvited] == 1; invited != (n >= 7) {
			t.Fatalf("after %d joins the place is by invitation: %v", n, invited)
		}
	}
}

func TestCaps_AVisitorInsideHasNoPlaceInLineBeside(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	answer[*wire.Joined](h, h.join(1))
	h.set(wire.RoomOpen)
	h.run(2 * sale.Second)
	answer[*wire.Claimed](h, h.ask(1))
	for n := 2; n <= 20; n++ {
		j := h.fan(n)
		j.Visitor, j.Lane = id(-1), wire.Lane(n%wire.Lanes)
		if k := answer[*wire.PlaceKept](h, h.apply(hall, id(n), &wire.Enlist{Join: *j})); k.Token != id(1) {
			t.Fatalf("join %d keeps %x", n, k.Token)
		}
	}
	if waiting, inside := h.crowd(20); inside != 1 || waiting != [wire.Lanes]int{} {
		t.Errorf("%d inside, %v in line", inside, waiting)
	}
}

func TestCaps_ANetworksPlacesAreCountedOverAllItsVisitors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(n int, j *wire.Join)
		normal int
	}{
		"four of an address":             {func(_ int, j *wire.Join) { j.Narrow, j.Wide = 5, 6 }, 4},
		"sixteen of a /24":               {func(_ int, j *wire.Join) { j.Wide = 6 }, 16},
		"two hundred of a carrier's":     {func(_ int, j *wire.Join) { j.Narrow, j.Wide, j.Carrier = 5, 6, true }, 200},
		"four each of a /24's addresses": {func(n int, j *wire.Join) { j.Narrow, j.Wide = uint64(100+n%3), 6 }, 12},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.define(fast(10))
			const joins = 240
			for n := 1; n <= joins; n++ {
				j := h.fan(n)
				c.change(n, j)
				answer[*wire.Joined](h, h.apply(hall, id(n), &wire.Enlist{Join: *j})) // nobody is turned away
			}
			if waiting, _ := h.crowd(joins); waiting[wire.LaneNormal] != c.normal || waiting[wire.LaneShared] != joins-c.normal {
				t.Errorf("%v, want %d normal places", waiting, c.normal)
			}
		})
	}
}
