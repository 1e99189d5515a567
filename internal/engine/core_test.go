package engine

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// reasonOf is the reason of a rejection, or ReasonNone.
func reasonOf(t *testing.T, list []wire.Outcome) wire.Reason {
	t.Helper()
	if list[0].Kind != wire.KindRejected {
		return wire.ReasonNone
	}
	var r wire.Rejected
	if err := list[0].DecodeInto(&r); err != nil {
		t.Fatal(err)
	}
	return r.Reason
}

func TestCore_BytesThatAreNoRecordAreRejected(t *testing.T) {
	c := newToy()
	known := order(1, 1, 0, 0)
	for _, value := range [][]byte{nil, {}, {1}, known[:len(known)-1], append(bytes.Clone(known), 0), make([]byte, 5000)} {
		if got := reasonOf(t, outcomesOf(c, value)); got != wire.ReasonUndecodable {
			t.Errorf("%x gave %s", value, got)
		}
	}
	unknown := bytes.Clone(known)
	unknown[1] = 7
	if got := reasonOf(t, outcomesOf(c, unknown)); got != wire.ReasonUnknownKind {
		t.Errorf("an unknown kind gave %s", got)
	}
}

func TestCore_FirstEpochRecordWithANumberWins(t *testing.T) {
	c := newToy()
	steps := []struct {
		value  []byte
		reason wire.Reason
		leader byte
	}{
		{epoch(3, 1), wire.ReasonNone, 1}, {epoch(3, 2), wire.ReasonStaleEpoch, 1}, {epoch(2, 2), wire.ReasonStaleEpoch, 1},
		{epoch(4, 2), wire.ReasonNone, 2}, {epoch(1<<63, 3), wire.ReasonInvalid, 2},
	}
	for i, s := range steps {
		if got := reasonOf(t, outcomesOf(c, s.value)); got != s.reason || c.Leader() != (wire.ID{s.leader}) {
			t.Fatalf("step %d: reason %s, leader %x", i, got, c.Leader())
		}
	}
}

func TestCore_OnlyTicksOfTheCurrentEpochMoveTime(t *testing.T) {
	c := newToy()
	outcomesOf(c, epoch(2, 1))
	outcomesOf(c, tickAt(2, 1_000))
	for _, value := range [][]byte{tickAt(1, 2_000), tickAt(3, 2_000), tickAt(2, 999)} {
		if got := reasonOf(t, outcomesOf(c, value)); got != wire.ReasonStaleEpoch || c.Clock().Now != 1_000 {
			t.Fatalf("reason %s, time %d", got, c.Clock().Now)
		}
	}
	if list := outcomesOf(c, tickAt(2, 1_500)); list[0].Kind != wire.KindTicked || list[0].At != 1_500 || c.TickAt() != 5 {
		t.Fatalf("kind %d at %d", list[0].Kind, list[0].At)
	}
}

func TestCore_OutageIsRecordedOnceAndBeforeTheTick(t *testing.T) {
	c := newToy()
	outcomesOf(c, epoch(1, 1))
	outcomesOf(c, tickAt(1, sale.Second))
	list := outcomesOf(c, tickAt(1, 11*sale.Second))
	var x wire.Extended
	var k wire.Ticked
	if err := errors.Join(list[0].DecodeInto(&x), list[1].DecodeInto(&k)); err != nil {
		t.Fatal(err)
	}
	if x != (wire.Extended{Scope: 1, Cause: wire.CauseOutage, By: 10 * sale.Second}) || k.Outage != 10*sale.Second || k.Chain != c.Chain() {
		t.Fatalf("%+v then %+v", x, k)
	}
	if list := outcomesOf(c, tickAt(1, 12*sale.Second)); list[0].Kind != wire.KindTicked {
		t.Fatalf("the next tick began with kind %d", list[0].Kind)
	}
}

func TestCore_CommandIsDecidedOnceAndRepeatedAfterwards(t *testing.T) {
	c := newToy()
	first := outcomesOf(c, order(1, 2, 1_000, 0))
	again := outcomesOf(c, order(1, 2, 1_000, 0))
	var r wire.Repeated
	if err := again[0].DecodeInto(&r); err != nil {
		t.Fatal(err)
	}
	want := wire.Repeated{FirstKind: wire.KindExtended, FirstOffset: 0, FirstSeq: first[0].Seq, FirstRef: wire.ID{1, 1}}
	if r != want || len(again) != 1 || c.machine.(*toy).count != 1 {
		t.Fatalf("%+v, want %+v", r, want)
	}
}

func TestCore_CommandWithoutIdOrNotAfterGoesStraightToTheMachine(t *testing.T) {
	c := newToy()
	for range 2 {
		outcomesOf(c, order(1, 1, 0, 0))
		outcomesOf(c, record(wire.Record{NotAfter: 5}, &wire.Leave{}))
	}
	if got := c.machine.(*toy).count; got != 4 {
		t.Fatalf("the machine saw %d records", got)
	}
}

func TestCore_CommandAfterItsNotAfterHasNoEffect(t *testing.T) {
	c := newToy()
	outcomesOf(c, epoch(1, 1))
	outcomesOf(c, order(1, 0, 1_000, 0))
	outcomesOf(c, order(2, 0, 1_000, wire.FlagKeyed))
	outcomesOf(c, tickAt(1, 1_000))
	if list := outcomesOf(c, order(1, 0, 1_000, 0)); list[0].Kind != wire.KindRepeated {
		t.Fatalf("at its not-after: kind %d", list[0].Kind)
	}
	outcomesOf(c, tickAt(1, 1_001))
	if got := reasonOf(t, outcomesOf(c, order(3, 0, 1_000, 0))); got != wire.ReasonExpired {
		t.Fatalf("a new one after its not-after: %s", got)
	}
	if got := reasonOf(t, outcomesOf(c, order(1, 0, 1_000, 0))); got != wire.ReasonExpired {
		t.Fatalf("a forgotten one: %s", got)
	}
	if list := outcomesOf(c, order(2, 0, 1_000, wire.FlagKeyed)); list[0].Kind != wire.KindRepeated {
		t.Fatalf("a keyed one: kind %d", list[0].Kind)
	}
	outcomesOf(c, tickAt(1, 1_001+wire.KeyedMemory))
	if c.commands.len() != 0 || c.commands.days.Len() != 0 {
		t.Fatalf("%d commands are remembered after a day", c.commands.len())
	}
}

func TestCore_FullMemoryRejectsUntilTimePasses(t *testing.T) {
	c := newToy()
	c.commands.most = 2
	outcomesOf(c, epoch(1, 1))
	outcomesOf(c, order(1, 0, 10, 0))
	outcomesOf(c, order(2, 0, 20, 0))
	if got := reasonOf(t, outcomesOf(c, order(3, 0, 30, 0))); got != wire.ReasonFull {
		t.Fatalf("the third of two: %s", got)
	}
	outcomesOf(c, tickAt(1, 11))
	if got := reasonOf(t, outcomesOf(c, order(3, 0, 30, 0))); got != wire.ReasonNone {
		t.Fatalf("after the first was forgotten: %s", got)
	}
}

func TestCore_RefusesAnOffsetOutOfOrderAndStaysAsItWas(t *testing.T) {
	c := newToy()
	outcomesOf(c, order(1, 1, 0, 0))
	before := c.Snapshot(nil)
	var out wire.Outcomes
	for _, offset := range []int64{0, 2, -1} {
		if err := c.Apply(offset, order(1, 1, 0, 0), &out); !errors.Is(err, ErrOrder) {
			t.Fatalf("offset %d: %v", offset, err)
		}
	}
	if out.Len() != 0 || !bytes.Equal(before, c.Snapshot(nil)) {
		t.Fatal("something changed")
	}
}

// genRecords draws a log: commands, repetitions, ticks that jump, epochs and garbage.
func genRecords(t *rapid.T) [][]byte {
	var now int64
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) []byte {
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0:
			return epoch(rapid.Uint64Range(1, 4).Draw(t, "epoch"), rapid.Byte().Draw(t, "leader"))
		case 1, 2:
			now += rapid.Int64Range(0, 3*sale.Second).Draw(t, "step")
			return tickAt(rapid.Uint64Range(1, 4).Draw(t, "epoch"), now)
		case 3:
			return rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "garbage")
		default:
			flags := rapid.SampledFrom([]uint16{0, 0, 0, wire.FlagKeyed}).Draw(t, "flags")
			return order(rapid.Byte().Draw(t, "n"), rapid.Int64Range(0, 5).Draw(t, "object"), now+rapid.Int64Range(-1, 3*sale.Second).Draw(t, "notAfter"), flags)
		}
	}), 0, 80).Draw(t, "log")
}

func TestCore_RestoredAnywhereItGivesTheSameOutcomesAndBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := genRecords(t)
		split := rapid.IntRange(0, len(log)).Draw(t, "split")
		whole, halved := newToy(), newToy()
		var want, got wire.Outcomes
		for i, value := range log {
			if i == split {
				again := newToy()
				if err := again.Restore(halved.Snapshot(nil)); err != nil {
					t.Fatal(err)
				}
				halved = again
			}
			if err := errors.Join(whole.Apply(int64(i), value, &want), halved.Apply(int64(i), value, &got)); err != nil {
				t.Fatal(err)
			}
		}
		if want.Len() != got.Len() || want.Hash != got.Hash {
			t.Fatalf("%d outcomes with hash %x, want %d with %x", got.Len(), got.Hash, want.Len(), want.Hash)
		}
		for i := range want.Len() {
			if !bytes.Equal(want.At(i), got.At(i)) {
				t.Fatalf("outcome %d differs", i)
			}
		}
		if !bytes.Equal(whole.Snapshot(nil), halved.Snapshot(nil)) {
			t.Fatal("the same state gives other bytes")
		}
	})
}

func TestCore_RestoreSaysWhatDoesNotFit(t *testing.T) {
	c := newToy()
	outcomesOf(c, order(1, 1, 10, 0))
	outcomesOf(c, order(2, 1, 20, 0))
	good := c.Snapshot(nil)
	if err := NewCore(&toy{code: 1}, 0).Restore(good); !errors.Is(err, ErrCode) {
		t.Errorf("another code: %v", err)
	}
	if err := NewCore(&toy{}, 1).Restore(good); !errors.Is(err, ErrState) {
		t.Errorf("another partition: %v", err)
	}
	for n := range good {
		if err := newToy().Restore(good[:n]); err == nil {
			t.Errorf("its first %d bytes were restored", n)
		}
	}
	if err := newToy().Restore(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte more was restored")
	}
}

func FuzzCore_Apply(f *testing.F) {
	f.Add(order(1, 1, 10, 0), epoch(1, 1))
	f.Add(epoch(1, 1), tickAt(1, 1<<62))
	f.Add([]byte{}, record(wire.Record{}, &wire.Epoch{Epoch: 1, Code: 2}))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		c := newToy()
		for range 2 {
			for _, value := range [][]byte{a, b} {
				if list := outcomesOf(c, value); len(list) == 0 || !list[len(list)-1].Last {
					t.Fatal("a record without an outcome")
				}
			}
		}
		if err := newToy().Restore(c.Snapshot(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzCore_Restore(f *testing.F) {
	c := newToy()
	f.Add(c.Snapshot(nil))
	outcomesOf(c, epoch(1, 1))
	outcomesOf(c, tickAt(1, 5))
	outcomesOf(c, order(1, 1, 10, 0))
	outcomesOf(c, order(2, 1, 10, wire.FlagKeyed))
	f.Add(c.Snapshot(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		c := newToy()
		if c.Restore(src) == nil && !bytes.Equal(c.Snapshot(nil), src) {
			t.Fatal("it restores what it would not write")
		}
	})
}

func BenchmarkCore_Apply(b *testing.B) {
	c := newToy()
	var out wire.Outcomes
	value := order(1, 1, 1, 0)
	b.ReportAllocs()
	for i := range b.N {
		if i%1_000 == 0 {
			out.Reset()
		}
		id := wire.ID{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)}
		copy(value[32:], id[:])
		if err := c.Apply(int64(i), value, &out); err != nil {
			b.Fatal(err)
		}
		if i%100_000 == 0 {
			c.commands.forget(2)
		}
	}
}
