package engine

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// foreteller is a toy that notes what it is told of ahead of time.
type foreteller struct {
	toy
	told [steps]int
}

func (f *foreteller) Prefetch(step int, _ int64, batch []wire.Record) { f.told[step] += len(batch) }

func TestApplyBatch_GivesWhatApplyGives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := genRecords(t)
		records, heads := make([]eventlog.Record, len(log)), make([]wire.Hash, len(log))
		one, all := newToy(), NewCore(&foreteller{}, 0)
		var want, got wire.Outcomes
		for i, value := range log {
			records[i] = eventlog.Record{Offset: int64(i), Value: value}
			if err := one.Apply(int64(i), value, &want); err != nil {
				t.Fatal(err)
			}
			heads[i] = one.Chain()
		}
		if !slices.Equal(Heads(all.Chain(), records), heads) {
			t.Fatal("heads computed elsewhere are not those of Apply")
		}
		for done := 0; done < len(records); {
			end := rapid.IntRange(done+1, len(records)).Draw(t, "end")
			n, err := all.ApplyBatch(records[done:end], heads[done:end], &got)
			if err != nil || n == 0 {
				t.Fatalf("%d records applied: %v", n, err)
			}
			for _, r := range records[done : done+n-1] {
				if p, err := wire.ParseRecord(r.Value); err == nil && p.Kind < firstMachineKind {
					t.Fatal("it went on behind a record of the engine's own")
				}
			}
			done += n
		}
		if want.Len() != got.Len() || want.Hash != got.Hash || !bytes.Equal(one.Snapshot(nil), all.Snapshot(nil)) {
			t.Fatalf("%d outcomes with hash %x, want %d with %x", got.Len(), got.Hash, want.Len(), want.Hash)
		}
	})
}

func TestApplyBatch_TellsTheMachineOfEveryRecordAtEveryStep(t *testing.T) {
	for _, count := range []int{1, 7, 8, 9, 31, 32, 33, 100} {
		f := &foreteller{}
		c := NewCore(f, 0)
		var records []eventlog.Record
		for i := range count {
			records = append(records, eventlog.Record{Offset: int64(i), Value: order(byte(i), 0, 1_000, 0)})
		}
		var out wire.Outcomes
		if n, err := c.ApplyBatch(records, Heads(c.Chain(), records), &out); n != count || err != nil {
			t.Fatal(n, err)
		}
		if f.told != [steps]int{count, count, count} {
			t.Errorf("of %d records it was told of %v", count, f.told)
		}
	}
}

func TestApplyBatch_StopsBeforeAGap(t *testing.T) {
	c := newToy()
	var out wire.Outcomes
	records := []eventlog.Record{{Offset: 0, Value: order(1, 0, 9, 0)}, {Offset: 2, Value: order(2, 0, 9, 0)}}
	if n, err := c.ApplyBatch(records, Heads(c.Chain(), records), &out); n != 1 || !errors.Is(err, ErrOrder) || c.Next() != 1 {
		t.Fatal(n, err, c.Next())
	}
}
