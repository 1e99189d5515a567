package waitingroom

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"fairgate/internal/engine"
	"fairgate/internal/estimate"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
	"fairgate/waitingroom/queue"
)

// crowdedRoom is a room with the real engine and machine, whose fans come, or do not, and leave again.
type crowdedRoom struct {
	t       *testing.T
	core    *engine.Core
	machine *queue.Machine
	offset  int64
	now     int64
	rnd     *rand.Rand
	kept    *estimate.Record
	invited int // of the fans, in order
	due     map[int64][]func()
	used    uint64
}

func fanID(kind byte, n int) (id wire.ID) {
	id[0] = kind
	binary.BigEndian.PutUint64(id[4:], uint64(n))
	return id
}

func (r *crowdedRoom) put(h wire.Record, body wire.Body) []wire.Outcome {
	r.t.Helper()
	var out wire.Outcomes
	if err := r.core.Apply(r.offset, wire.AppendRecord(nil, h, body), &out); err != nil {
		r.t.Fatal(err)
	}
	r.offset++
	var all []wire.Outcome
	for i := range out.Len() {
		o, err := wire.ParseOutcome(append([]byte(nil), out.At(i)...))
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func (r *crowdedRoom) later(by int64, do func()) {
	at := (r.now + by) / (200 * sale.Millisecond)
	r.due[at] = append(r.due[at], do)
}

// ask is a fan at the door: inside for one to five minutes once admitted.
func (r *crowdedRoom) ask(n int) {
	o := r.put(wire.Record{Object: 1, Ref: fanID('t', n)}, &wire.Ask{Visitor: fanID('v', n)})[0]
	if o.Kind != wire.KindClaimed {
		r.later(2*sale.Second, func() { r.ask(n) })
		return
	}
	var c wire.Claimed
	if err := o.DecodeInto(&c); err != nil {
		r.t.Fatal(err)
	}
	r.later(60*sale.Second+r.rnd.Int64N(240*sale.Second), func() {
		r.used++
		r.put(wire.Record{Object: 1}, &wire.Left{Pass: c.Pass, SourceSeq: r.used})
	})
}

func (r *crowdedRoom) tick(abandon float64) {
	r.now += 200 * sale.Millisecond
	for _, o := range r.put(wire.Record{}, &wire.Tick{Epoch: 1, Now: r.now}) {
		var i wire.InvitedUpTo
		if o.Kind != wire.KindInvitedUpTo || o.DecodeInto(&i) != nil {
			continue
		}
		for range i.Count {
			n := r.invited
			r.invited++
			if r.rnd.Float64() >= abandon {
				r.later(sale.Second+r.rnd.Int64N(29*sale.Second), func() { r.ask(n) })
			}
		}
	}
	at := r.now / (200 * sale.Millisecond)
	for _, do := range r.due[at] {
		do()
	}
	delete(r.due, at)
}

// TestPromises_MostFansAreInvitedInsideTheirBand proves the estimates by what fans see of them: the documents.
func TestPromises_MostFansAreInvitedInsideTheirBand(t *testing.T) {
	for _, abandon := range []float64{0, 0.3, 0.6} {
		m := queue.New(queue.Limits{})
		r := &crowdedRoom{t: t, machine: m, core: engine.NewCore(m, 0), now: 1_800_000_000 * sale.Second, rnd: rand.New(rand.NewPCG(5, uint64(abandon*10))),
			kept: estimate.New(1), due: map[int64][]func(){}}
		r.put(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: wire.ID{1}})
		r.put(wire.Record{}, &wire.Tick{Epoch: 1, Now: r.now})
		r.put(wire.Record{Object: 1}, &wire.DefineRoom{Cap: 300, PerMinute: 100_000})
		for n := range 8_000 {
			j := &wire.Join{Instant: r.now + int64(n), Visitor: fanID('v', n), Narrow: uint64(n), Wide: uint64(n)}
			r.put(wire.Record{Object: 1, Ref: fanID('t', n)}, j)
		}
		r.put(wire.Record{Object: 1}, &wire.SetRoom{State: wire.RoomOpen})
		for n := range 30 * 60 * 5 {
			r.tick(abandon)
			if n%5 != 0 {
				continue
			}
			clock := r.core.Clock()
			m.Documents(&clock, func(_ int64, b []byte) {
				var d wire.QueueDocument
				if err := json.Unmarshal(b, &d); err != nil {
					t.Fatal(err)
				}
				if d.Inside > d.Cap {
					t.Fatalf("%d inside, at most %d", d.Inside, d.Cap)
				}
				r.kept.Observe(&d)
			})
		}
		k := r.kept.Of(1)
		all := k.Within + k.Early + k.Late
		t.Logf("abandonment %2.0f %%: %d of %d inside their band, %d earlier, %d later; wrong by %.0f %% of the wait on average", abandon*100, k.Within, all,
			k.Early, k.Late, 100*float64(k.Off)/float64(max(k.Waited, 1)))
		if all < 100 || float64(k.Within) < 0.8*float64(all) {
			t.Errorf("abandonment %2.0f %%: %d of %d inside their band", abandon*100, k.Within, all)
		}
	}
}
