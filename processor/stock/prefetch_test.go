package stock

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// crowded is a log in which ids come again close behind each other: before what they mean has come about, while it is
// there, and after it was forgotten.
func crowded(t *rapid.T) (records []eventlog.Record) {
	now := int64(1_800_000_000 * sale.Second)
	add := func(h wire.Record, body wire.Body) {
		records = append(records, eventlog.Record{Offset: int64(len(records)), Value: wire.AppendRecord(nil, h, body)})
	}
	add(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: wire.ID{1}, Code: Code})
	add(wire.Record{}, &wire.Tick{Epoch: 1, Now: now})
	add(wire.Record{Object: show}, &wire.DefineEvent{Currency: [3]byte{'E', 'U', 'R'}, Hold: 60 * sale.Second, Grace: 60 * sale.Second})
	add(wire.Record{Object: show}, &wire.DefineType{Type: 1, Capacity: 20, Default: true, Price: wire.Price{Ticket: 4500}})
	for range rapid.IntRange(1, 200).Draw(t, "records") {
		about := wire.Record{Object: show, Ref: id(rapid.IntRange(1, 12).Draw(t, "booking"))}
		user := rapid.IntRange(1, 8).Draw(t, "user")
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			now += rapid.SampledFrom([]int64{sale.Second, 70 * sale.Second, Remember + sale.Second}).Draw(t, "later")
			add(wire.Record{}, &wire.Tick{Epoch: 1, Now: now})
		case 1, 2, 3:
			add(about, &wire.Cancel{UserKey: key(user)})
		default:
			add(about, hold(user))
		}
	}
	return records
}

func TestPrefetch_DecidesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := crowded(t)
		plain, told := engine.NewCore(New(Limits{}), 0), engine.NewCore(New(Limits{}), 0)
		heads := engine.Heads(told.Chain(), records)
		var want, got wire.Outcomes
		for _, r := range records {
			if err := plain.Apply(r.Offset, r.Value, &want); err != nil {
				t.Fatal(err)
			}
		}
		for done := 0; done < len(records); {
			n, err := told.ApplyBatch(records[done:], heads[done:], &got)
			if err != nil {
				t.Fatal(err)
			}
			done += n
		}
		if want.Hash != got.Hash || !bytes.Equal(plain.Snapshot(nil), told.Snapshot(nil)) {
			t.Fatalf("a machine that is told ahead decides otherwise: %d outcomes, want %d", got.Len(), want.Len())
		}
	})
}
