package spread

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/wire"
)

// world is any number of processors with partitions dealt out somehow. Everybody follows what it does not lead, unless
// some are not ready.
func world(t *rapid.T, allReady bool) (members []Member, partitions []string) {
	for n := range rapid.IntRange(1, 6).Draw(t, "processors") {
		members = append(members, Member{ID: wire.ID{byte(n + 1)}})
	}
	for _, log := range []string{"orders", "queue"} {
		for p := range rapid.IntRange(0, 8).Draw(t, log) {
			name := fmt.Sprintf("%s/%d", log, p)
			partitions = append(partitions, name)
			leader := rapid.IntRange(0, len(members)-1).Draw(t, "leader")
			for i := range members {
				switch {
				case i == leader:
					members[i].Leads = append(members[i].Leads, name)
				case allReady || rapid.IntRange(0, 3).Draw(t, "ready") > 0:
					members[i].Follows = append(members[i].Follows, name)
				}
			}
		}
	}
	return members, partitions
}

// move carries a step out; it fails when the step is impossible.
func move(t *rapid.T, members []Member, s Step) {
	drop := func(list []string) []string {
		return slices.DeleteFunc(list, func(p string) bool { return p == s.Partition })
	}
	from := slices.IndexFunc(members, func(m Member) bool { return m.ID == s.From })
	to := slices.IndexFunc(members, func(m Member) bool { return m.ID == s.To })
	if from < 0 || to < 0 || from == to {
		t.Fatalf("%+v: from or to nobody", s)
	}
	if !slices.Contains(members[from].Leads, s.Partition) || !slices.Contains(members[to].Follows, s.Partition) {
		t.Fatalf("%+v: the one does not lead it, or the other does not follow it", s)
	}
	members[from].Leads, members[from].Follows = drop(members[from].Leads), append(members[from].Follows, s.Partition)
	members[to].Leads, members[to].Follows = append(members[to].Leads, s.Partition), drop(members[to].Follows)
}

// settle takes steps until none is wanted.
func settle(t *rapid.T, members []Member, atMost int) {
	for steps := 0; ; steps++ {
		s, ok := Next(members)
		if !ok {
			return
		}
		if steps == atMost {
			t.Fatalf("no end after %d steps: %+v", steps, members)
		}
		move(t, members, s)
	}
}

func check(t *rapid.T, members []Member) {
	if n := Unevenness(members); n > 1 {
		t.Fatalf("uneven by %d: %+v", n, members)
	}
	for i := range members {
		for j := range members {
			if d := members[i].leads("") - members[j].leads(""); d > 1 {
				t.Fatalf("uneven in all by %d: %+v", d, members)
			}
		}
	}
}

func TestNext_StepsComeToAnEndAndTheEndIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, partitions := world(t, true)
		settle(t, members, 2*len(partitions))
		check(t, members)
	})
}

func TestNext_StepsComeToAnEndWhoeverIsReady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, partitions := world(t, false)
		settle(t, members, 2*len(partitions))
	})
}

func TestNext_OrderOfMembersAndPartitionsMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, _ := world(t, false)
		s, ok := Next(members)
		other := rapid.Permutation(members).Draw(t, "members")
		for i := range other {
			other[i].Leads = rapid.Permutation(other[i].Leads).Draw(t, "leads")
			other[i].Follows = rapid.Permutation(other[i].Follows).Draw(t, "follows")
		}
		if s2, ok2 := Next(other); s2 != s || ok2 != ok {
			t.Fatalf("%+v, and in another order %+v", s, s2)
		}
	})
}

func TestNext_WhoComesGetsAsFewStepsAsNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, partitions := world(t, true)
		settle(t, members, 2*len(partitions))
		before := slices.Clone(members)
		members = append(members, Member{ID: wire.ID{99}, Follows: partitions})
		for n := 0; ; n++ {
			s, ok := Next(members)
			if !ok {
				break
			}
			// Whatever moves for the sake of one log moves to the newcomer; at most one more per log evens out the sum.
			if s.Gap > 1 && s.To != (wire.ID{99}) {
				t.Fatalf("%+v: to somebody who was here before, of %+v", s, before)
			}
			move(t, members, s)
		}
		check(t, members)
	})
}

func TestHeirs_ShareEvenlyWhatOneLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, partitions := world(t, true)
		settle(t, members, 2*len(partitions))
		leaver := rapid.IntRange(0, len(members)-1).Draw(t, "leaver")
		id, led := members[leaver].ID, len(members[leaver].Leads)
		steps := Heirs(members, id)
		if len(members) == 1 {
			if len(steps) > 0 {
				t.Fatalf("handed over to nobody: %+v", steps)
			}
			return
		}
		if len(steps) != led {
			t.Fatalf("%d of %d partitions have an heir", len(steps), led)
		}
		for _, s := range steps {
			move(t, members, s)
		}
		rest := slices.DeleteFunc(members, func(m Member) bool { return m.ID == id })
		if n := Unevenness(rest); n > 1 {
			t.Fatalf("uneven by %d: %+v", n, rest)
		}
	})
}

func TestRanks_EveryPartitionHasOneFirstInLineAndItIsTheHeir(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members, partitions := world(t, false)
		first := map[string]wire.ID{}
		for _, m := range members {
			for _, r := range Ranks(members, m.ID) {
				if !slices.Contains(m.Follows, r.Partition) {
					t.Fatalf("%v is in line for %s and does not follow it", m.ID[0], r.Partition)
				}
				if r.Rank == 0 {
					if first[r.Partition] != (wire.ID{}) {
						t.Fatalf("two are first in line for %s", r.Partition)
					}
					first[r.Partition] = m.ID
				}
			}
		}
		for _, m := range members {
			for _, s := range Heirs(members, m.ID) {
				if first[s.Partition] != s.To {
					t.Fatalf("%s: heir %v, first in line %v", s.Partition, s.To[0], first[s.Partition][0])
				}
			}
		}
		for _, p := range partitions {
			followed := slices.ContainsFunc(members, func(m Member) bool { return m.follows(p) })
			if followed != (first[p] != wire.ID{}) {
				t.Fatalf("%s: followed %t, first in line %v", p, followed, first[p][0])
			}
		}
	})
}

func TestRanks_PartitionThatNobodyLeadsIsDealtOutToo(t *testing.T) {
	members := []Member{
		{ID: wire.ID{1}, Leads: []string{"orders/0"}, Follows: []string{"orders/1", "orders/2"}},
		{ID: wire.ID{2}, Follows: []string{"orders/0", "orders/1", "orders/2"}},
	}
	got := Ranks(members, wire.ID{2})
	want := []Rank{{"orders/0", 0}, {"orders/1", 0}, {"orders/2", 0}}
	if affinity("orders/2", wire.ID{1}) > affinity("orders/2", wire.ID{2}) {
		want[2].Rank = 1
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

func TestSettled_OneLeaderEach(t *testing.T) {
	one := Member{ID: wire.ID{1}, Leads: []string{"orders/0"}, Follows: []string{"orders/1"}}
	for name, c := range map[string]struct {
		members []Member
		want    bool
	}{
		"nobody":    {nil, true},
		"orphan":    {[]Member{one}, false},
		"one each":  {[]Member{one, {ID: wire.ID{2}, Leads: []string{"orders/1"}, Follows: []string{"orders/0"}}}, true},
		"two lead":  {[]Member{one, {ID: wire.ID{2}, Leads: []string{"orders/0", "orders/1"}}}, false},
		"follower":  {[]Member{{ID: wire.ID{1}, Leads: []string{"q"}}, {ID: wire.ID{2}, Follows: []string{"q"}}}, true},
		"one alone": {[]Member{{ID: wire.ID{1}, Leads: []string{"q"}}}, true},
	} {
		if got := Settled(c.members); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
