package engine

import (
	"bytes"
	"errors"
	"testing"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// fill adds n outcomes of the records from offset on, one each, and returns their bytes.
func (b *backlog) fill(numbered *wire.Outcomes, offset int64, n int) (all [][]byte) {
	out := b.room(n)
	out.Seq, out.Hash = numbered.Seq, numbered.Hash
	for i := range n {
		out.Begin(offset+int64(i), 0, wire.Record{})
		out.Add(&wire.Rejected{Reason: wire.Reason(i)})
		out.End()
	}
	b.add(n, out)
	numbered.Seq, numbered.Hash = out.Seq, out.Hash
	for i := range n {
		all = append(all, out.At(i))
	}
	return all
}

func TestBacklog_GivesWhatOneCallCarriesFromAnyNumberOn(t *testing.T) {
	var b backlog
	var numbered wire.Outcomes
	var want [][]byte
	for i := range 4 {
		want = append(want, b.fill(&numbered, int64(3_000*i), 3_000)...)
	}
	for _, from := range []uint64{1, 2_999, 3_000, 3_001, 11_999, 12_000} {
		got := b.batch(from)
		if n := min(len(want)-int(from)+1, eventlog.MaxBatchRecords); len(got) != n {
			t.Fatalf("from %d: %d outcomes, want %d", from, len(got), n)
		}
		size := 0
		for i, v := range got {
			size += len(v) + recordOverhead
			if !bytes.Equal(v, want[int(from)-1+i]) {
				t.Fatalf("from %d: outcome %d is another", from, i)
			}
		}
		if size > eventlog.MaxBatchBytes {
			t.Fatalf("from %d: %d bytes", from, size)
		}
	}
	if got := b.batch(12_001); got != nil {
		t.Fatalf("%d outcomes behind the last", len(got))
	}
}

func TestBacklog_ReadingBackTrimsAndCompares(t *testing.T) {
	var b backlog
	var numbered wire.Outcomes
	want := b.fill(&numbered, 0, 10)
	size := b.bytes
	want = append(want, b.fill(&numbered, 10, 10)...)
	for seq := uint64(1); seq <= 15; seq++ {
		if err := b.readBack(seq, want[seq-1]); err != nil {
			t.Fatal(err)
		}
	}
	if b.bytes != size || b.seen != 15 || b.find(10) != nil || !bytes.Equal(b.find(16), want[15]) {
		t.Fatalf("%d bytes left (want %d), seen %d", b.bytes, size, b.seen)
	}
	if err := b.readBack(16, want[14]); !errors.Is(err, ErrDiverged) {
		t.Fatalf("another's outcome: %v", err)
	}
}

func TestBacklog_RoomStaysBoundedAfterABurst(t *testing.T) {
	var b backlog
	var out wire.Outcomes
	out.Begin(0, 0, wire.Record{})
	for range 50_000 { // a tick that lapses many holds
		out.Add(&wire.Rejected{})
	}
	out.End()
	b.add(1, &out)
	if room := b.room(1_000); room.Room() > 2*eventlog.MaxBatchBytes {
		t.Fatalf("room for %d bytes", room.Room())
	}
}
