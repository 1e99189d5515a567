package answer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// stage is a desk over a topic to which a test emits what it likes.
type stage struct {
	*Desk
	t     *testing.T
	log   *eventlog.Log
	topic string
	mu    sync.Mutex
	out   [2]wire.Outcomes
}

func newStage(t *testing.T, waiters int, before ...wire.ID) *stage {
	t.Helper()
	log := testkafka.Log(t)
	s := &stage{t: t, log: log, topic: testkafka.Topic(t, log, "outcomes", 2)}
	for _, id := range before {
		s.emit(0, id, 1)
	}
	s.Desk = New(Config{Topic: s.topic, Partitions: 2, MaxWaiters: waiters}, Deps{Events: log})
	return s
}

func (s *stage) run() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	for s.Ready(ctx) != nil {
		time.Sleep(time.Millisecond)
	}
}

// emit appends a record's outcomes: the answer, and n-1 more.
func (s *stage) emit(partition int32, command wire.ID, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &s.out[partition]
	out.Reset()
	out.Partition = partition
	out.Begin(0, 0, wire.Record{Command: command})
	for i := range n {
		out.Add(&wire.Extended{By: int64(i)})
	}
	out.End()
	values := make([][]byte, out.Len())
	for i := range values {
		values[i] = append([]byte(nil), out.At(i)...)
	}
	if _, err := s.log.AppendBatch(context.Background(), s.topic, partition, values); err != nil {
		s.t.Error(err)
	}
}

func (s *stage) ask(id wire.ID, produce func(context.Context) error) (wire.Outcome, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	return s.Ask(ctx, produce, id)
}

func TestDesk_FirstOutcomeAnswersEverybodyWhoAsked(t *testing.T) {
	s := newStage(t, 0, wire.ID{9})
	s.run()
	var group sync.WaitGroup
	var entered sync.WaitGroup
	entered.Add(2)
	for range 2 {
		group.Go(func() {
			o, err := s.ask(wire.ID{1}, func(context.Context) error { entered.Done(); return nil })
			var b wire.Extended
			if err != nil || o.DecodeInto(&b) != nil || b.By != 0 || o.Index != 0 {
				t.Errorf("%+v %v", o, err)
			}
		})
	}
	entered.Wait()
	s.emit(1, wire.ID{2}, 1)
	s.emit(1, wire.ID{1}, 3)
	group.Wait()
	if s.waiting != 0 || len(s.waiters) != 0 {
		t.Fatalf("%d still wait", s.waiting)
	}
}

func TestDesk_AnswerThatIsQuickerThanItsProducerIsNotMissed(t *testing.T) {
	s := newStage(t, 0)
	s.run()
	for i := range 50 {
		id := wire.ID{3, byte(i)}
		if o, err := s.ask(id, func(context.Context) error { s.emit(int32(i%2), id, 1); return nil }); err != nil || o.Command != id {
			t.Fatal(o, err)
		}
	}
}

func TestDesk_NoAnswerWrapsWhyTheWaitEnded(t *testing.T) {
	s := newStage(t, 0, wire.ID{1})
	s.run()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	// An outcome from before the desk began to read answers nobody.
	_, err := s.Ask(ctx, func(context.Context) error { return nil }, wire.ID{1})
	if !errors.Is(err, ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) || s.waiting != 0 {
		t.Fatal(err, s.waiting)
	}
}

func TestDesk_ProducersErrorIsPassedOn(t *testing.T) {
	s := newStage(t, 0)
	s.run()
	bad := errors.New("bad")
	if _, err := s.ask(wire.ID{1}, func(context.Context) error { return bad }); !errors.Is(err, bad) || s.waiting != 0 {
		t.Fatal(err, s.waiting)
	}
}

func TestDesk_RefusesWithoutProducingWhenFullOrNotReading(t *testing.T) {
	s := newStage(t, 1)
	never := func(context.Context) error { t.Error("produced"); return nil }
	if _, err := s.ask(wire.ID{1}, never); !errors.Is(err, ErrNotReady) {
		t.Fatal(err)
	}
	s.run()
	entered, answered := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := s.ask(wire.ID{1}, func(context.Context) error { close(entered); return nil })
		answered <- err
	}()
	<-entered
	if _, err := s.ask(wire.ID{2}, never); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	s.emit(0, wire.ID{1}, 1)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestDesk_ListenersHearEveryOutcomeInOrder(t *testing.T) {
	s := newStage(t, 0)
	heard := make(chan uint64, 100)
	s.Listen(func(partition int32, o wire.Outcome) {
		if partition == 0 {
			heard <- o.Seq
		}
	})
	s.run()
	for range 10 {
		s.emit(0, wire.ID{}, 3)
	}
	for want := uint64(1); want <= 30; want++ {
		if got := <-heard; got != want {
			t.Fatalf("heard %d, want %d", got, want)
		}
	}
}
