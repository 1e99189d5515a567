package engine

import (
	"testing"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// bench is one replica with its log and its outcomes topic, for tests that take single steps.
type bench struct {
	*Replica
	t          *testing.T
	log, topic [][]byte
	now        Now
}

func newBench(t *testing.T, rules Rules) *bench {
	if rules.MaxBacklog == 0 {
		rules.MaxBacklog = 1 << 20
	}
	b := &bench{Replica: NewReplica(newToy(), rules), t: t}
	b.read()
	b.readBack()
	return b
}

func recordsOf(topic [][]byte, from, to int) (records []eventlog.Record) {
	for i := from; i < to; i++ {
		records = append(records, eventlog.Record{Offset: int64(i), Value: topic[i]})
	}
	return records
}

// read has the replica read its log to the end.
func (b *bench) read() {
	b.t.Helper()
	records := recordsOf(b.log, int(b.Core().Next()), len(b.log))
	if err := b.Records(records, Heads(b.core.Chain(), records), true, b.now.Mono); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) readBack() {
	b.t.Helper()
	records := recordsOf(b.topic, int(b.cursor.Position().Offset), len(b.topic))
	if err := b.ReadBack(records, true, b.now.Mono); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) next() Todo { return b.Next(b.now) }

// lead elects the replica and has everything so far emitted and acknowledged.
func (b *bench) lead() {
	b.t.Helper()
	b.LeaseWon(wire.ID{1}, 1, b.now.Mono)
	b.appendNow()
	b.read()
	if b.Role() != Leading {
		b.t.Fatalf("it is %s", b.Role())
	}
	b.emitNow()
}

// appendNow appends what the replica wants appended.
func (b *bench) appendNow() {
	b.t.Helper()
	value := b.next().Append
	if value == nil {
		b.t.Fatal("it wants nothing appended")
	}
	b.log = append(b.log, value)
	b.Appended(true, true, b.now.Mono)
}

func (b *bench) emitNow() {
	b.t.Helper()
	todo := b.next()
	if todo.Append != nil {
		b.t.Fatal("it ticks before its outcomes are acknowledged")
	}
	b.topic = append(b.topic, todo.Emit...)
	b.Emitted(todo.EmitFirst, len(todo.Emit), true)
}

func TestReplica_TicksOnlyWhenItsLastTickIsBackAndItsOutcomesAreAcknowledged(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100})
	b.now.Mono = 1_000
	b.lead()
	b.appendNow() // a tick
	b.now.Mono += 500
	if todo := b.next(); todo.Append != nil {
		t.Fatal("it ticks before its last tick is back")
	}
	b.read()
	b.emitNow()
	if todo := b.next(); todo.Append == nil {
		t.Fatal("it does not tick")
	}
	b.Appended(true, true, b.now.Mono)
}

func TestReplica_TickOfUnknownFateIsWaitedForUntilTheLogWasReadToItsEnd(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100})
	b.now.Mono = 1_000
	b.lead()
	if b.next().Append == nil {
		t.Fatal("it does not tick")
	}
	b.now.Mono = 2_000
	b.Appended(false, false, b.now.Mono)
	b.now.Mono = 3_000
	if err := b.Records(nil, nil, true, 1_999); err != nil { // a fetch that began before the append ended
		t.Fatal(err)
	}
	if b.next().Append != nil {
		t.Fatal("it ticks while the last tick may be in the log")
	}
	if err := b.Records(nil, nil, true, 2_001); err != nil {
		t.Fatal(err)
	}
	if b.next().Append == nil {
		t.Fatal("it never ticks again")
	}
}

func TestReplica_TickThatLandsLateIsNotTakenForItsSuccessor(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100})
	b.now = Now{Mono: 1_000, Room: 5_000}
	b.lead()
	late := b.next().Append
	b.Appended(false, false, b.now.Mono)
	b.now = Now{Mono: 2_000, Room: 6_000}
	if err := b.Records(nil, nil, true, 1_500); err != nil {
		t.Fatal(err)
	}
	second := b.next().Append
	if late == nil || second == nil {
		t.Fatal("it does not tick")
	}
	b.Appended(true, true, b.now.Mono)
	b.log = append(b.log, late) // just before its successor
	b.read()
	b.emitNow()
	b.now.Mono += 500
	if b.next().Append != nil {
		t.Fatal("it ticks before its last tick is back")
	}
	b.log = append(b.log, second)
	b.read()
	b.emitNow()
	if b.next().Append == nil {
		t.Fatal("it never ticks again")
	}
}

func TestReplica_RenewsOnlyAfterASignOfLife(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100, RenewEvery: 300})
	b.now.Mono = 1_000
	b.lead()
	b.now.Mono += 301
	if b.next().Renew != 1 {
		t.Fatal("it does not renew after its epoch was read back")
	}
	b.Renewed(b.now.Mono)
	for range 5 {
		b.now.Mono += 301
		if b.Next(b.now).Renew != 0 {
			t.Fatal("it renews, and its tick never came back")
		}
	}
	b.log = append(b.log, tickAt(1, 1))
	b.Appended(true, true, b.now.Mono)
	b.read()
	if b.next().Renew != 1 {
		t.Fatal("it does not renew after its tick was read back")
	}
}

func TestReplica_BeyondTheClockBoundItGivesTheLeaseBackAndDoesNotContend(t *testing.T) {
	b := newBench(t, Rules{BoundLimit: 10})
	b.lead()
	b.now.Bound = 11
	if todo := b.next(); !todo.Release || todo.Append != nil || b.Role() != Standby {
		t.Fatalf("%+v as %s", todo, b.Role())
	}
	b.LeaseGone()
	b.readBack()
	if b.next().Contend {
		t.Fatal("it contends with a clock beyond the bound")
	}
	b.now.Bound = 10
	if !b.next().Contend {
		t.Fatal("it does not contend with a good clock")
	}
}

func TestReplica_HigherEpochEndsItsTerm(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100})
	b.now.Mono = 1_000
	b.lead()
	b.log = append(b.log, epoch(2, 9))
	b.read()
	if todo := b.next(); b.Role() != Standby || !todo.Release || todo.Emit != nil {
		t.Fatalf("%s, %+v", b.Role(), todo)
	}
	b.LeaseGone()
	if todo := b.next(); todo.Emit != nil || todo.Append != nil || todo.Renew != 0 {
		t.Fatalf("a standby wants %+v", todo)
	}
}

func TestReplica_SeesAnotherLeadAsLongAsItTicks(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100})
	another := func(want wire.ID, why string) {
		t.Helper()
		if got := b.Led(b.now.Mono); got != want {
			t.Fatalf("%s: it sees %x lead, want %x", why, got, want)
		}
	}
	another(wire.ID{}, "an empty log")
	b.log = append(b.log, epoch(1, 9), tickAt(1, 10))
	b.read()
	another(wire.ID{9}, "a tick was read")
	b.now.Mono += 400
	another(wire.ID{9}, "three ticks were missed")
	b.now.Mono++
	another(wire.ID{}, "four ticks were missed")
	b.log = append(b.log, tickAt(1, 20))
	b.read()
	another(wire.ID{9}, "it ticks again")
	b.LeaseWon(wire.ID{1}, 2, b.now.Mono)
	another(wire.ID{9}, "our own epoch is not in the log yet")
	b.log = append(b.log, epoch(2, 1))
	b.read()
	another(wire.ID{}, "we lead")
	b.log = append(b.log, epoch(3, 9))
	b.read()
	another(wire.ID{9}, "it has led since a moment ago")
}

func TestReplica_WhoLeadsContendsUnderTheNameInTheLog(t *testing.T) {
	b := newBench(t, Rules{})
	fresh := wire.ID{7}
	if b.Claim(fresh) != fresh {
		t.Fatal("a standby has a name already")
	}
	b.lead()
	b.LeaseGone()
	if got := b.Claim(fresh); got != b.Core().Leader() || b.Role() != Leading {
		t.Fatalf("as %s it contends as %x, the log says %x", b.Role(), got, b.Core().Leader())
	}
	b.log = append(b.log, epoch(2, 9))
	b.read()
	if b.Claim(fresh) != fresh {
		t.Fatal("a term's name is used after the term")
	}
}

func TestReplica_ContendsThroughAShortLagAndNotThroughALongOne(t *testing.T) {
	b := newBench(t, Rules{})
	if !b.next().Contend {
		t.Fatal("caught up, it does not contend")
	}
	if err := b.Records(nil, nil, false, 0); err != nil {
		t.Fatal(err)
	}
	b.now.Mono = lagAllowed
	if !b.next().Contend {
		t.Fatal("a short lag ends its contention")
	}
	b.now.Mono++
	if b.next().Contend {
		t.Fatal("it contends and does not get on")
	}
}

func TestReplica_EpochIsAboveTheRowsAndTheLogs(t *testing.T) {
	for _, c := range []struct{ row, log, want uint64 }{{1, 5, 6}, {9, 5, 9}, {5, 5, 6}} {
		b := newBench(t, Rules{})
		b.log = append(b.log, epoch(c.log, 9))
		b.read()
		b.LeaseWon(wire.ID{1}, c.row, 0)
		b.appendNow()
		r, err := wire.ParseRecord(b.log[1])
		var e wire.Epoch
		if err != nil || r.DecodeInto(&e) != nil || e.Epoch != c.want {
			t.Errorf("row %d, log %d: epoch %d, want %d", c.row, c.log, e.Epoch, c.want)
		}
	}
}

func TestReplica_AnswerToAnOldTermsAppendIsNotTheNewTerms(t *testing.T) {
	b := newBench(t, Rules{RetryEvery: 10})
	b.LeaseWon(wire.ID{1}, 1, 0)
	if b.next().Append == nil {
		t.Fatal("no epoch record")
	}
	b.LeaseGone() // before its append was answered
	b.LeaseWon(wire.ID{2}, 2, 0)
	if b.next().Append != nil {
		t.Fatal("two appends in flight")
	}
	b.Appended(true, true, 0)
	if b.next().Append == nil {
		t.Fatal("the new term has no epoch record")
	}
}

func TestReplica_BacklogBeyondItsLimitIsEmittedByWhoeverIsElected(t *testing.T) {
	b := newBench(t, Rules{MaxBacklog: 300})
	b.log = append(b.log, order(1, 2, 0, 0))
	b.read()
	if b.Hungry() {
		t.Fatal("it takes more than its limit")
	}
	b.inputEnd = false // there is more that it cannot take
	if !b.next().Contend {
		t.Fatal("it does not contend")
	}
	b.LeaseWon(wire.ID{1}, 1, 0)
	todo := b.next()
	if len(todo.Emit) != 3 || todo.EmitFirst != 1 {
		t.Fatalf("it emits %d from %d", len(todo.Emit), todo.EmitFirst)
	}
	b.topic = append(b.topic, todo.Emit...)
	b.Emitted(todo.EmitFirst, len(todo.Emit), true)
	b.readBack()
	if !b.Hungry() {
		t.Fatal("what was read back still counts")
	}
}

func TestReplica_StoppingLeaderEmitsWhatItAppliedAndNothingElse(t *testing.T) {
	b := newBench(t, Rules{TickEvery: 100})
	b.now.Mono = 1_000
	b.lead()
	b.log = append(b.log, order(1, 0, 0, 0))
	b.read()
	b.Stop()
	todo := b.next()
	if b.Hungry() || b.Drained() || len(todo.Emit) != 1 || todo.Append != nil || todo.Contend {
		t.Fatalf("%+v", todo)
	}
	b.Emitted(todo.EmitFirst, 1, true)
	if !b.Drained() {
		t.Fatal("it is not drained")
	}
}

func TestReplica_OutcomesOfRecordsThatTheLogLostAreNoticed(t *testing.T) {
	source := newToy()
	var out wire.Outcomes
	if err := source.Apply(0, order(1, 0, 0, 0), &out); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Rules{})
	if err := b.ReadBack([]eventlog.Record{{Value: out.At(0)}}, true, 5); err != nil {
		t.Fatal(err)
	}
	if err := b.Records(nil, nil, true, 5); err != nil {
		t.Fatalf("at once: %v", err)
	}
	if err := b.Records(nil, nil, true, 5+truncatedAfter); err == nil {
		t.Fatal("it waits for ever")
	}
}
