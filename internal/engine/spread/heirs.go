package spread

import (
	"bytes"
	"cmp"
	"slices"

	"fairgate/internal/wire"
)

// Heirs is who should lead what leaver leads, when it leaves: those who follow it share it evenly. A partition that
// nobody follows is not in the answer.
func Heirs(members []Member, leaver wire.ID) (steps []Step) {
	i := slices.IndexFunc(members, func(m Member) bool { return m.ID == leaver })
	if i < 0 {
		return nil
	}
	order(members, leaver, members[i].Leads, func(partition string, ranked []wire.ID) {
		if len(ranked) > 0 {
			steps = append(steps, Step{Partition: partition, From: leaver, To: ranked[0]})
		}
	})
	return steps
}

// Rank is somebody's place in the line for a partition, 0 for the one that should have it.
type Rank struct {
	Partition string
	Rank      int
}

// Ranks is the place of a member in the line for each partition that it follows, should its leader die now, and with it
// all its leader leads. Those who see the same members are in line without a word to each other.
func Ranks(members []Member, me wire.ID) (ranks []Rank) {
	tell := func(partition string, ranked []wire.ID) {
		if at := slices.Index(ranked, me); at >= 0 {
			ranks = append(ranks, Rank{partition, at})
		}
	}
	var led, run []string
	for _, m := range members {
		led = append(led, m.Leads...)
		run = append(run, m.Follows...)
		order(members, m.ID, m.Leads, tell)
	}
	slices.Sort(run)
	orphans := slices.DeleteFunc(slices.Compact(run), func(p string) bool { return slices.Contains(led, p) })
	order(members, wire.ID{}, orphans, tell)
	return ranks
}

// order deals partitions out to those who follow them, whoever leads least first, and tells the line for each.
func order(members []Member, without wire.ID, partitions []string, tell func(partition string, ranked []wire.ID)) {
	members = slices.Clone(members)
	for i := range members {
		members[i].Leads = slices.Clone(members[i].Leads)
	}
	partitions = slices.Clone(partitions)
	slices.Sort(partitions)
	for _, p := range partitions {
		var line []*Member
		for i := range members {
			if m := &members[i]; m.ID != without && m.follows(p) {
				line = append(line, m)
			}
		}
		log := LogOf(p)
		slices.SortFunc(line, func(a, b *Member) int {
			return cmp.Or(
				cmp.Compare(a.leads(log), b.leads(log)),
				cmp.Compare(a.leads(""), b.leads("")),
				cmp.Compare(affinity(p, b.ID), affinity(p, a.ID)),
				bytes.Compare(a.ID[:], b.ID[:]),
			)
		})
		ranked := make([]wire.ID, len(line))
		for i, m := range line {
			ranked[i] = m.ID
		}
		tell(p, ranked)
		if len(line) > 0 {
			line[0].Leads = append(line[0].Leads, p)
		}
	}
}

// Unevenness is the largest difference between what two members lead of one log: 1 or less is even.
func Unevenness(members []Member) (worst int) {
	var logs []string
	for _, m := range members {
		for _, p := range slices.Concat(m.Leads, m.Follows) {
			logs = append(logs, LogOf(p))
		}
	}
	slices.Sort(logs)
	for _, log := range slices.Compact(logs) {
		least, most := -1, 0
		for i := range members {
			n := members[i].leads(log)
			most = max(most, n)
			if least < 0 || n < least {
				least = n
			}
		}
		worst = max(worst, most-least)
	}
	return worst
}
