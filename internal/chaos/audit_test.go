package chaos

import (
	"context"
	"strings"
	"testing"
	"time"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/wire"
)

// sold is a log of four records and its outcomes, and what was said of them.
type sold struct {
	records  [][]byte
	commands []wire.ID
	outcomes wire.Outcomes
	journal  *Journal
	watch    *Watch
}

func newSold() *sold {
	s := &sold{journal: NewJournal(), watch: NewWatch(1)}
	for i := range 4 {
		h := newHold("fan")
		value := h.record(1, false)
		s.records, s.commands = append(s.records, value), append(s.commands, h.command)
		s.decide(int64(i), value)
		s.journal.acknowledged(0, int64(i), h.command, value)
	}
	return s
}

func (s *sold) decide(offset int64, value []byte) {
	r, err := wire.ParseRecord(value)
	if err != nil {
		panic(err)
	}
	s.outcomes.Begin(offset, 0, r)
	s.outcomes.Add(&wire.Held{})
	s.outcomes.End()
}

// audit appends everything to topics of its own and audits it.
func (s *sold) audit(t *testing.T) *Audit {
	t.Helper()
	l := testkafka.Log(t)
	orders, outcomes := testkafka.Topic(t, l, "orders", 1), testkafka.Topic(t, l, "outcomes", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	write := func(topic string, values [][]byte) {
		if _, err := l.AppendBatch(ctx, topic, 0, values); err != nil {
			t.Fatal(err)
		}
	}
	write(orders, s.records)
	var values [][]byte
	for i := range s.outcomes.Len() {
		values = append(values, s.outcomes.At(i))
	}
	write(outcomes, values)
	a, err := s.journal.Run(ctx, l, orders, outcomes, s.watch)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAudit_FindsNothingWhereNothingIsWrong(t *testing.T) {
	s := newSold()
	s.journal.failed(wire.ID{1}, true)    // said not to be there, and is not
	s.journal.failed(s.commands[2], true) // one try of several
	s.journal.failed(wire.ID{2}, false)   // may be there, and is not
	if a := s.audit(t); a.Total != 0 || a.Records != 4 || a.Outcomes != 4 {
		t.Fatalf("%+v", a)
	}
}

func TestAudit_FindsWhatWasBroken(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(*sold)
		says string
	}{
		"lost":        {func(s *sold) { s.journal.acknowledged(0, 9, wire.ID{7}, []byte("x")) }, "5 records were acknowledged, 4 of them"},
		"other bytes": {func(s *sold) { s.records[1] = s.records[2] }, "offset 1 holds other bytes"},
		"not decided": {func(s *sold) {
			s.records = append(s.records, s.again(0))
			s.journal.acknowledged(0, 4, wire.ID{7}, s.again(0))
		}, "offset 4 was acknowledged and has no outcome"},
		"decided twice":  {func(s *sold) { s.records = append(s.records, s.again(0)); s.decide(4, s.again(0)) }, "was decided by outcome 1 and again by 5"},
		"refused":        {func(s *sold) { delete(s.journal.perhaps, s.commands[3]); s.journal.failed(s.commands[3], true) }, "was said not to be in the log"},
		"one for two":    {func(s *sold) { s.journal.acknowledged(0, 3, wire.ID{7}, s.records[3]) }, "offset 3 of partition 0 was given to two records"},
		"seen otherwise": {func(s *sold) { s.watch.partitions[0].seen = []uint64{1} }, "outcome 1 is not the one that was read before"},
		"seen and gone":  {func(s *sold) { s.watch.partitions[0].seen = s.hashes(5) }, "5 outcomes were read before, 4 are left"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSold()
			c.harm(s)
			a := s.audit(t)
			if a.Total == 0 || !strings.Contains(strings.Join(a.Findings, "\n"), c.says) {
				t.Fatalf("expected %q, found %q", c.says, a.Findings)
			}
		})
	}
}

// again is record i, as if it had been sent twice.
func (s *sold) again(i int) []byte { return s.records[i] }

// hashes are the running hashes of the outcomes, and further ones.
func (s *sold) hashes(n int) []uint64 {
	all := make([]uint64, n)
	for i := range min(n, s.outcomes.Len()) {
		o, err := wire.ParseOutcome(s.outcomes.At(i))
		if err != nil {
			panic(err)
		}
		all[i] = o.Hash
	}
	return all
}

func TestWatch_AnswersComeBeforeAndAfterTheyAreAskedFor(t *testing.T) {
	s, l := newSold(), testkafka.Log(t)
	topic := testkafka.Topic(t, l, "outcomes", 1)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- s.watch.Run(ctx, l, topic) }()
	appendOutcome := func(i int) {
		if _, err := l.AppendBatch(ctx, topic, 0, [][]byte{s.outcomes.At(i)}); err != nil {
			t.Error(err)
		}
	}
	appendOutcome(0)
	for len(s.watch.Seen(0)) == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if a, ok := s.watch.Answer(ctx, 0, 0); !ok || a.Kind != wire.KindHeld {
		t.Fatal(a, ok)
	}
	go appendOutcome(1)
	if a, ok := s.watch.Answer(ctx, 0, 1); !ok || a.Kind != wire.KindHeld {
		t.Fatal(a, ok)
	}
	brief, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, ok := s.watch.Answer(brief, 0, 99); ok {
		t.Fatal("an answer to nothing")
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n, _ := s.watch.Decided(); n != 2 {
		t.Fatalf("%d decided", n)
	}
}
