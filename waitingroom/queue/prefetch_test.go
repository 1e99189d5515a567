package queue

import (
	"bytes"
	"testing"

	"fairgate/internal/engine"
	"fairgate/internal/wire"
)

// What is looked up ahead changes no outcome: not where networks come up for the first time among the records under way, nor
// where what was found ahead has changed since.
func TestPrefetch_DecidesNothing(t *testing.T) {
	l := stampeding(20_000)
	var snaps [2][]byte
	var told [2]uint64
	for i := range 2 {
		m := New(Limits{})
		core := engine.NewCore(m, 0)
		var out wire.Outcomes
		if i == 0 {
			play(t, core, l, engine.Heads, &out)
		} else {
			start := uint32(0)
			for offset, end := range l.ends {
				if err := core.Apply(int64(offset), l.bytes[start:end:end], &out); err != nil {
					t.Fatal(err)
				}
				out.Reset()
				start = end
			}
			if m.places != 20_000 || m.rooms[0].networks.narrow.crowds.len() == 0 {
				t.Fatalf("%d places, %d crowds", m.places, m.rooms[0].networks.narrow.crowds.len())
			}
		}
		snaps[i], told[i] = m.Snapshot(nil), core.Hash()
		for n := range m.rooms[0].places.n {
			k := m.rooms[0].places.orderKey(n)
			if l := &m.rooms[0].lanes[m.rooms[0].places.at(n).lane()]; l.waiting.at(l.waiting.rank(&m.rooms[0].places, &k)) != n {
				t.Fatalf("place %d is not at its rank", n)
			}
		}
	}
	if told[0] != told[1] || !bytes.Equal(snaps[0], snaps[1]) {
		t.Error("one at a time the log says something else")
	}
}
