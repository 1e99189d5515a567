package stock

import (
	"math/rand/v2"
	"testing"

	"fairgate/internal/wire"
)

func TestAgenda_ADayThatWasStruckEmptyLapsesInTheOrderOfTheLog(t *testing.T) {
	h := newHouse(t, Limits{})
	h.light = true
	h.define(wire.DefineEvent{}, 1000, 0)
	for n := 1; n <= 200; n++ {
		h.do(about(n), hold(n))
	}
	r := rand.New(rand.NewPCG(1, 2))
	gone := map[wire.ID]bool{}
	for _, i := range r.Perm(200)[:150] {
		h.do(about(i+1), &wire.Cancel{})
		gone[id(i+1)] = true
	}
	for n := 201; n <= 210; n++ {
		h.do(about(n), hold(n)) // the first of them sets the day anew
	}
	if day := h.m.deadlines.Earliest(); len(day.Entries) != day.Live() || day.Live() != 60 {
		t.Fatalf("%d places for %d entries", len(day.Entries), day.Live())
	}
	h.restored()
	var lapsed []wire.ID
	for _, s := range h.wait(301 * second) {
		if s.Kind == wire.KindLapsed {
			lapsed = append(lapsed, s.Ref)
		}
	}
	if len(lapsed) != 60 {
		t.Fatalf("%d lapsed", len(lapsed))
	}
	for i, ref := range lapsed {
		if gone[ref] || i > 0 && string(lapsed[i-1][:]) >= string(ref[:]) {
			t.Fatalf("%x lapsed after %x", ref, lapsed[max(0, i-1)])
		}
	}
}

func TestAgenda_ADayOutOfOrderIsSortedWhenItIsDue(t *testing.T) {
	h := newHouse(t, Limits{Batch: 7})
	h.define(wire.DefineEvent{}, 1000, 0)
	for n := 1; n <= 20; n++ {
		h.do(about(n), hold(n))
	}
	h.tick(start + second)
	for n := 21; n <= 30; n++ {
		h.do(about(n), hold(n))
	}
	for n := 20; n >= 1; n-- { // onto the later ones' day, backwards
		is[*wire.Extended](h, h.do(about(n), &wire.Extend{Cause: wire.CauseOperator, By: second}))
	}
	next := 1
	for _, s := range h.wait(320 * second) {
		if s.Kind == wire.KindLapsed && s.Ref != id(next) {
			t.Fatalf("%x lapsed, want number %d", s.Ref, next)
		}
		next++
	}
	if next != 31 {
		t.Fatalf("%d lapsed", next-1)
	}
}
