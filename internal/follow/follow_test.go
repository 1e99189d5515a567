package follow

import (
	"context"
	"errors"
	"testing"
	"time"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// outcomes makes n numbered outcomes of partition 0.
func outcomes(n int) [][]byte {
	var out wire.Outcomes
	for i := range n {
		out.Begin(int64(i), 0, wire.Record{})
		out.Add(&wire.Extended{By: int64(i)})
		out.End()
	}
	values := make([][]byte, n)
	for i := range values {
		values[i] = out.At(i)
	}
	return values
}

func pick(values [][]byte, indices ...int) (records []eventlog.Record) {
	for at, i := range indices {
		records = append(records, eventlog.Record{Offset: int64(at), Value: values[i]})
	}
	return records
}

func TestCursor_DropsDuplicatesAndKeepsOrder(t *testing.T) {
	c := NewCursor(Position{})
	got, err := c.take(nil, pick(outcomes(6), 0, 1, 0, 1, 2, 1, 2, 3, 0, 4, 5, 5))
	if err != nil || len(got) != 6 {
		t.Fatal(len(got), err)
	}
	for i, o := range got {
		if o.Seq != uint64(i+1) {
			t.Fatalf("number %d in place %d", o.Seq, i)
		}
	}
	if p := c.Position(); p.Seq != 7 || p.Hash != got[5].Hash || p.Offset != 12 {
		t.Fatalf("%+v", p)
	}
}

func TestCursor_GoesOnFromAStoredPosition(t *testing.T) {
	values := outcomes(5)
	c := NewCursor(Position{})
	if _, err := c.take(nil, pick(values, 0, 1, 2)); err != nil {
		t.Fatal(err)
	}
	// Its offset may lie anywhere before: what is known is dropped.
	c = NewCursor(Position{Seq: c.Position().Seq, Hash: c.Position().Hash})
	if got, err := c.take(nil, pick(values, 0, 1, 2, 3, 4)); err != nil || len(got) != 2 || got[0].Seq != 4 {
		t.Fatal(got, err)
	}
}

func TestCursor_HaltsOnWhatCannotBeTrusted(t *testing.T) {
	values := outcomes(4)
	forged := append([]byte(nil), values[1]...)
	forged[len(forged)-1] ^= 1
	other := append([]byte(nil), values[1]...)
	other[24] ^= 1 // its hash
	for name, c := range map[string]struct {
		value []byte
		want  error
	}{
		"gap": {values[2], ErrGap}, "forged": {forged, ErrHash}, "other hash": {other, ErrHash}, "garbage": {[]byte("x"), ErrUnreadable},
	} {
		cursor := NewCursor(Position{})
		if _, _, err := cursor.Accept(0, values[0]); err != nil {
			t.Fatal(err)
		}
		before := cursor.Position()
		if _, _, err := cursor.Accept(1, c.value); !errors.Is(err, c.want) || cursor.Position() != before {
			t.Errorf("%s: %v, then at %+v", name, err, cursor.Position())
		}
	}
}

func TestCursor_AnywhereBeginsWithWhateverComes(t *testing.T) {
	values := outcomes(9)
	c := Anywhere(100)
	// A late duplicate is first; what follows it is not a gap.
	got, err := c.take(nil, pick(values, 1, 2, 6, 7, 6, 7, 8))
	if err != nil || len(got) != 5 || got[4].Seq != 9 {
		t.Fatal(len(got), err)
	}
}

func TestRun_GivesEveryOutcomeOnceAcrossRestarts(t *testing.T) {
	log := testkafka.Log(t)
	topic := testkafka.Topic(t, log, "outcomes", 1)
	values := outcomes(100)
	for _, batch := range [][][]byte{values[:40], values[20:40], values[40:90], values[80:]} {
		if _, err := log.AppendBatch(t.Context(), topic, 0, batch); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var at Position
	var seen []uint64
	enough, crash := errors.New("enough"), errors.New("crash")
	for n := 0; ; n++ {
		err := Run(ctx, Config{Topic: topic, From: at, MaxBatch: 7}, Deps{Events: log},
			func(_ context.Context, batch []wire.Outcome, next Position) error {
				if n%3 == 0 && len(seen) > 0 && len(seen) < 90 {
					n++
					return crash // before the effect: nothing of it is kept
				}
				for _, o := range batch {
					seen = append(seen, o.Seq)
				}
				at = next
				if len(seen) >= 100 {
					return enough
				}
				return crash // after it
			})
		if errors.Is(err, enough) {
			break
		}
		if !errors.Is(err, crash) {
			t.Fatal(err)
		}
	}
	for i, seq := range seen {
		if seq != uint64(i+1) {
			t.Fatalf("number %d in place %d", seq, i)
		}
	}
}

func FuzzCursor(f *testing.F) {
	values := outcomes(2)
	f.Add(values[0], values[1])
	f.Fuzz(func(t *testing.T, a, b []byte) {
		c, loose := NewCursor(Position{}), Anywhere(0)
		for i, v := range [][]byte{a, b} {
			if _, fresh, err := c.Accept(int64(i), v); fresh && err != nil {
				t.Fatal("fresh, and an error")
			}
			_, _, _ = loose.Accept(int64(i), v)
		}
	})
}
