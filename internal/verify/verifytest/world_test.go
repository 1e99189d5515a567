package verifytest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/engine"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

const sec = int64(1_000_000)

// world feeds the same records to the engine and to the model.
type world struct {
	t      rapid.TB
	draw   func(name string, from, to int) int
	core   *engine.Core
	model  *model.Partition
	offset int64
	now    int64
	body   func(wire.Kind) wire.Body
	counts map[string]int
	story  []string
	heard  func(wire.Outcome, wire.Body)
	keep   func(record []byte, outcomes [][]byte) // or nil
	fresh  func() *engine.Core
}

func (w *world) put(value []byte) []wire.Body {
	var out wire.Outcomes
	if w.i("restart", 0, 150) == 150 {
		w.restart()
	}
	if err := w.core.Apply(w.offset, value, &out); err != nil {
		w.t.Fatal(err)
	}
	all := make([][]byte, out.Len())
	bodies := make([]wire.Body, out.Len())
	for i := range all {
		all[i] = out.At(i)
		o, err := wire.ParseOutcome(all[i])
		if err != nil {
			w.t.Fatal(err)
		}
		bodies[i] = w.body(o.Kind)
		if err := o.DecodeInto(bodies[i]); err != nil {
			w.t.Fatal(err)
		}
		w.counts[count(bodies[i])]++
		w.heard(o, bodies[i])
		w.story = append(w.story, fmt.Sprintf("   → %d:%s %s", o.Object, wire.Hex(o.Ref)[:4], model.Text(bodies[i])))
	}
	if w.keep != nil {
		w.keep(value, all)
	}
	findings := w.model.Check(w.offset, value, all)
	w.offset++
	if len(findings) > 0 {
		for _, line := range w.story[max(0, len(w.story)-60):] {
			w.t.Log(line)
		}
		w.t.Fatalf("record %d: %v", w.offset-1, findings)
	}
	return bodies
}

// restart goes on with a replica that was restored from a snapshot.
func (w *world) restart() {
	snapshot := w.core.Snapshot(nil)
	w.core = w.fresh()
	if err := w.core.Restore(snapshot); err != nil {
		w.t.Fatal(err)
	}
	if !bytes.Equal(w.core.Snapshot(nil), snapshot) {
		w.t.Fatal("a restored replica has another snapshot")
	}
	w.counts["restart"]++
}

// count names an outcome, with its reason where it has one.
func count(b wire.Body) string {
	name := fmt.Sprintf("%T", b)[len("*wire."):]
	switch b := b.(type) {
	case *wire.Refused:
		return fmt.Sprintf("%s %s to %d", name, b.Reason, b.Command)
	case *wire.Rejected:
		return fmt.Sprintf("%s %s", name, b.Reason)
	case *wire.AuthorisationRefused:
		return fmt.Sprintf("%s %s", name, b.Reason)
	case *wire.TurnedDown:
		return fmt.Sprintf("%s %s to %d", name, b.Reason, b.Command)
	case *wire.Confirmed:
		return fmt.Sprintf("%s late=%t", name, b.Late)
	}
	return name
}

func (w *world) send(h wire.Record, b wire.Body) []wire.Body {
	w.story = append(w.story, fmt.Sprintf("%d: %d:%s after=%d %s", w.offset, h.Object, wire.Hex(h.Ref)[:4], h.After, model.Text(b)))
	return w.put(wire.AppendRecord(nil, h, b))
}

func (w *world) i(name string, from, to int) int { return w.draw(name, from, to) }
func (w *world) flag(name string) bool           { return w.draw(name, 0, 1) == 1 }

func id(kind byte, n int) wire.ID {
	return wire.ID{kind, byte(n), byte(n >> 8), 1}
}

// drawn lets rapid choose: few and small things first, and a failure is shrunk.
func drawn(t *rapid.T) func(string, int, int) int {
	return func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(t, name) }
}

// rolled chooses evenly, by a seed.
func rolled(seed uint64) func(string, int, int) int {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(_ string, from, to int) int { return from + r.IntN(to-from+1) }
}

// seeds are those of the long runs: a few, or as many as FAIRGATE_SEEDS says.
func seeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("FAIRGATE_SEEDS"), 10, 64); err == nil {
		return n
	}
	return 8
}

func report(t *testing.T, counts map[string]int) {
	t.Helper()
	if !testing.Verbose() {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		t.Log(k, counts[k])
	}
}

// junk is a record that nobody meant to write.
func (w *world) junk() []byte {
	b := make([]byte, w.i("length", 0, 90))
	for i := range b {
		b[i] = byte(w.i("byte", 0, 255))
	}
	return b
}
