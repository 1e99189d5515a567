package spread

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/wire"
)

const (
	simSecond = int64(1_000_000)
	simBeat   = simSecond / 2
	simSettle = simSecond
)

// simProcess is one processor: what is true of it, and what it has seen.
type simProcess struct {
	Member
	view View
	next int64 // of its beat
}

// spreadWorld is processors that learn of each other only from the rows that each writes every now and then.
type spreadWorld struct {
	*rapid.T
	now        int64
	partitions []string
	alive      []*simProcess
	rows       []Member
	moved      int
	born       byte
	chance     *rand.Rand
}

func (w *spreadWorld) add() {
	w.born++
	p := &simProcess{Member: Member{ID: wire.ID{w.born}}, next: w.now + w.delay()}
	p.Follows = slices.Clone(w.partitions)
	w.alive = append(w.alive, p)
}

func (w *spreadWorld) delay() int64 {
	return 1 + w.chance.Int64N(simBeat)
}

func (w *spreadWorld) give(p string, from, to *simProcess) {
	if from != nil {
		from.Leads = slices.DeleteFunc(slices.Clone(from.Leads), func(q string) bool { return p == q })
		from.Follows = append(slices.Clone(from.Follows), p)
	}
	to.Leads = append(slices.Clone(to.Leads), p)
	to.Follows = slices.DeleteFunc(slices.Clone(to.Follows), func(q string) bool { return p == q })
}

// kill ends one; whoever thinks itself first in line for what it led takes it.
func (w *spreadWorld) kill(i int) {
	dead := w.alive[i]
	w.alive = slices.Delete(w.alive, i, i+1)
	w.forget(dead.ID)
	for _, p := range dead.Leads {
		best, rank := w.alive[0], 1<<30
		for _, heir := range w.alive {
			for _, r := range Ranks(heir.view.Members(), heir.ID) {
				if r.Partition == p && r.Rank < rank {
					best, rank = heir, r.Rank
				}
			}
		}
		w.give(p, nil, best)
	}
}

func (w *spreadWorld) forget(id wire.ID) {
	w.rows = slices.DeleteFunc(w.rows, func(m Member) bool { return m.ID == id })
}

// run lets time pass; it counts the hand-overs.
func (w *spreadWorld) run(length int64) {
	for end := w.now + length; ; {
		p := slices.MinFunc(w.alive, func(a, b *simProcess) int { return int(a.next - b.next) })
		if p.next > end {
			w.now = end
			return
		}
		w.now = p.next
		p.next += simBeat/2 + w.delay()
		w.forget(p.ID)
		w.rows = append(w.rows, p.Member)
		members := slices.Clone(w.rows)
		slices.SortFunc(members, func(a, b Member) int { return slices.Compare(a.ID[:], b.ID[:]) })
		p.view.See(members, w.now)
		if s, ok := p.view.Next(p.ID, w.now, simSettle); ok {
			to := slices.IndexFunc(w.alive, func(q *simProcess) bool { return q.ID == s.To })
			if to < 0 || !slices.Contains(p.Leads, s.Partition) {
				w.Fatalf("%+v: to nobody, or of what it does not lead", s)
			}
			w.give(s.Partition, p, w.alive[to])
			w.moved++
		}
	}
}

func (w *spreadWorld) check(atMost int) {
	var members []Member
	for _, p := range w.alive {
		members = append(members, p.Member)
	}
	if !Settled(members) {
		w.Fatalf("a partition has no leader, or two: %+v", members)
	}
	check(w.T, members)
	if w.moved > atMost {
		w.Fatalf("%d hand-overs, expected at most %d", w.moved, atMost)
	}
	w.moved = 0
	w.run(30 * simSecond)
	if w.moved > 0 {
		w.Fatalf("%d hand-overs after all was even", w.moved)
	}
}

func TestView_ProcessorsThatSeeEachOtherLateBecomeEvenAndStaySo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &spreadWorld{T: t, chance: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "chance"), 0))}
		_, w.partitions = world(t, true)
		w.add()
		for _, p := range w.partitions {
			w.give(p, nil, w.alive[0])
		}
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			if len(w.alive) > 1 && rapid.Bool().Draw(t, "kill") {
				w.kill(rapid.IntRange(0, len(w.alive)-1).Draw(t, "whom"))
			} else {
				w.add()
			}
			// Each change moves at most every partition once, and one per log for the sum.
			w.run(int64(len(w.partitions)+2) * 4 * simSecond)
			w.check(len(w.partitions) + 2)
		}
	})
}

func TestView_WhatHasJustChangedMovesNothing(t *testing.T) {
	one := Member{ID: wire.ID{1}, Leads: []string{"orders/0", "orders/1"}}
	two := Member{ID: wire.ID{2}, Follows: []string{"orders/0", "orders/1"}}
	var v View
	if _, ok := v.Next(one.ID, 0, 0); ok {
		t.Fatal("who has seen nobody hands over")
	}
	v.See([]Member{one}, 0)
	v.See([]Member{one, two}, simSecond)
	for now, want := range map[int64]bool{simSecond: false, 2*simSecond - 1: false, simSecond + simSettle: true} {
		if _, ok := v.Next(one.ID, now, simSettle); ok != want {
			t.Errorf("at %d: %t", now, ok)
		}
	}
	if _, ok := v.Next(two.ID, 60*simSecond, simSettle); ok {
		t.Error("somebody else's step")
	}
	v.See([]Member{one, two}, 10*simSecond)
	if _, ok := v.Next(one.ID, 10*simSecond, simSettle); !ok {
		t.Error("seeing the same again unsettles")
	}
	v.Unsettle(10 * simSecond)
	if _, ok := v.Next(one.ID, 11*simSecond-1, simSettle); ok {
		t.Error("after a failure it tries again at once")
	}
}
