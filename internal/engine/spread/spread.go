// Package spread decides which processor should lead which partition, so that leaders are spread evenly and stay where
// they are otherwise. It is pure: processors that see the same members decide the same.
package spread

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"fairgate/internal/wire"
)

// Member is a living processor as it described itself. Partitions are named as their leases: "orders/0".
type Member struct {
	ID      wire.ID
	Leads   []string
	Follows []string // it is caught up with these and waits for their lease
}

// Step is one hand-over.
type Step struct {
	Partition string
	From, To  wire.ID
	Gap       int // how many more partitions of the log From leads than To, before it
}

// LogOf is the log of a partition: "orders" of "orders/0".
func LogOf(partition string) string {
	if i := strings.LastIndexByte(partition, '/'); i >= 0 {
		return partition[:i]
	}
	return partition
}

// leads counts the partitions of a log that a member leads; all of them for the empty log.
func (m *Member) leads(log string) (n int) {
	for _, p := range m.Leads {
		if log == "" || LogOf(p) == log {
			n++
		}
	}
	return n
}

func (m *Member) follows(partition string) bool { return slices.Contains(m.Follows, partition) }

// Settled says that every partition somebody runs has exactly one leader: before that, counting leaders means nothing.
func Settled(members []Member) bool {
	var led, run []string
	for _, m := range members {
		led = append(led, m.Leads...)
		run = append(append(run, m.Leads...), m.Follows...)
	}
	slices.Sort(led)
	slices.Sort(run)
	return slices.Equal(led, slices.Compact(run))
}

// Next is the hand-over that evenness wants first; ok is false when none helps. A partition goes only to a member that
// follows it, and only if that makes either the log more even, or the log as even and all logs together more. Both can
// only get better, so hand-overs come to an end, and nothing goes back and forth. Once none helps, and if everybody
// follows everything, no two members differ by more than one partition of any log, nor by more than one in all.
func Next(members []Member) (best Step, ok bool) {
	var bestTotal int
	for i := range members {
		from := &members[i]
		for _, p := range from.Leads {
			log := LogOf(p)
			for j := range members {
				to := &members[j]
				gap, total := from.leads(log)-to.leads(log), from.leads("")-to.leads("")
				if i == j || !to.follows(p) || gap < 1 || gap == 1 && total < 2 {
					continue
				}
				s := Step{Partition: p, From: from.ID, To: to.ID, Gap: gap}
				if !ok || before(s, total, best, bestTotal) {
					best, bestTotal, ok = s, total, true
				}
			}
		}
	}
	return best, ok
}

// before is a total order of steps: the widest gap first, and then by chance that is the same for everybody.
func before(a Step, aTotal int, b Step, bTotal int) bool {
	return cmp.Or(
		cmp.Compare(b.Gap, a.Gap),
		cmp.Compare(bTotal, aTotal),
		cmp.Compare(affinity(b.Partition, b.To), affinity(a.Partition, a.To)),
		strings.Compare(a.Partition, b.Partition),
		bytes.Compare(a.To[:], b.To[:]),
		bytes.Compare(a.From[:], b.From[:]),
	) < 0
}

// affinity gives each pair a number of its own, so that equal choices are spread.
func affinity(partition string, id wire.ID) uint64 {
	return xxhash.Sum64String(partition + string(id[:]))
}
