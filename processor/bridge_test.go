package processor

import (
	"context"
	"testing"
	"time"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// heard reads the whole partition 3 of a queue topic.
func heard(t *testing.T, log *eventlog.Log, topic string) (lefts []wire.Left, signals []wire.Signal) {
	t.Helper()
	_, next, err := log.Bounds(t.Context(), topic, 3)
	if err != nil {
		t.Fatal(err)
	}
	tail := log.Tail(topic, 3, 0, eventlog.TailConfig{})
	for tail.Next() < next {
		records, err := tail.Fetch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range records {
			r, err := wire.ParseRecord(raw.Value)
			if err != nil || r.Object != 5 {
				t.Fatalf("%+v %v", r, err)
			}
			switch r.Kind {
			case wire.KindLeft:
				var l wire.Left
				if err := r.DecodeInto(&l); err != nil {
					t.Fatal(err)
				}
				lefts = append(lefts, l)
			case wire.KindSignal:
				var s wire.Signal
				if err := r.DecodeInto(&s); err != nil {
					t.Fatal(err)
				}
				signals = append(signals, s)
			default:
				t.Fatalf("a record of kind %d", r.Kind)
			}
		}
	}
	return lefts, signals
}

func passHold(n int) *wire.Hold {
	h := hold(n)
	h.Pass, h.PassExpires = id(700+n), start+900*second
	return h
}

func TestBridge_TellsPassesAndStockOnceEach(t *testing.T) {
	w := newWorld(t)
	log := testkafka.Log(t)
	topic := testkafka.Topic(t, log, "queue", 4)
	w.event(wire.DefineEvent{NeedsPass: true}, 3)
	w.project(1000) // the definition is known to the database, what follows is not
	bridge := func() *Bridge {
		t.Helper()
		b, err := NewBridge(BridgeConfig{QueueTopic: topic}, Deps{Store: w.db, Events: log})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tell := func(b *Bridge) {
		t.Helper()
		from, err := b.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		batch, next := w.batch(int(from.NextSeq)-1, len(w.all))
		if err := b.tell(t.Context(), batch, next); err != nil {
			t.Fatal(err)
		}
	}
	w.do(about(1), passHold(1))
	w.do(about(2), passHold(2))
	w.do(about(2), &wire.Cancel{})
	w.do(about(3), passHold(2)) // the same pass again
	first := bridge()
	tell(first)
	lefts, signals := heard(t, log, topic)
	if len(lefts) != 2 || lefts[0].Pass != id(701) || lefts[1].Pass != id(702) || lefts[0].SourceSeq != 5 || lefts[1].SourceSeq != 6 {
		t.Errorf("%+v", lefts)
	}
	want := wire.Signal{Left: 6, Coming: 2, Price: 0, Currency: eur, Headroom: -1, SourceSeq: 8}
	if len(signals) != 1 || signals[0] != want {
		t.Errorf("%+v", signals)
	}
	// What follows within a second is told together; another process goes on where the position says.
	w.do(about(4), passHold(4))
	w.do(on(), &wire.SetCapacity{Type: 2, Capacity: 0})
	w.do(on(), &wire.SetPrice{Type: 2, Price: wire.Price{Ticket: 1}})
	batch, next := w.batch(int(first.at.NextSeq)-1, len(w.all))
	if err := first.tell(t.Context(), batch, next); err != nil {
		t.Fatal(err)
	}
	if _, signals = heard(t, log, topic); len(signals) != 1 {
		t.Errorf("told within a second: %+v", signals)
	}
	w.tick(w.clock.Now + second)
	w.project(1000) // the other projection is ahead now
	tell(bridge())
	lefts, signals = heard(t, log, topic)
	// The first process told of pass 704 but had not stored it yet: it comes again under the same number.
	if len(lefts) != 4 || lefts[2] != lefts[3] || lefts[3].Pass != id(704) {
		t.Errorf("%+v", lefts)
	}
	want = wire.Signal{Left: 0, Coming: 3, Price: 1, Currency: eur, Headroom: -1, SourceSeq: uint64(len(w.all))}
	if len(signals) != 2 || signals[1] != want {
		t.Errorf("%+v", signals)
	}
	tell(bridge())
	if again, _ := heard(t, log, topic); len(again) != 4 {
		t.Errorf("what is stored is told again: %+v", again)
	}
}

func TestBridge_NothingIsLeftWhileNotSelling(t *testing.T) {
	r := newRooms([]store.RoomStock{
		{Event: 1, Room: 5, Currency: "EUR", Type: 1, Free: 4, Held: 2, Price: 900, Selling: true},
		{Event: 1, Room: 5, Currency: "EUR", Type: 2, Free: 0, Held: 1, Price: 100, Selling: true},
		{Event: 2, Room: 5, Currency: "EUR", Type: 1, Free: 9, Held: 9, Price: 50, Selling: false},
		{Event: 3, Room: 6, Currency: "JPY", Type: 1, Free: 0, Price: 70, Selling: true},
	})
	if s := r.byID[5].signal(); s.Left != 4 || s.Coming != 3 || s.Price != 900 || s.Currency != eur {
		t.Errorf("%+v", s)
	}
	if s := r.byID[6].signal(); s.Left != 0 || s.Coming != 0 || s.Price != 70 {
		t.Errorf("%+v", s)
	}
	if s := (&room{}).signal(); s.Left != -1 || s.Coming != -1 || s.Price != -1 {
		t.Errorf("%+v", s)
	}
}

func TestBridge_RunFollowsAndStops(t *testing.T) {
	w := newWorld(t)
	log := testkafka.Log(t)
	outcomes, queue := testkafka.Topic(t, log, "outcomes", 1), testkafka.Topic(t, log, "queue", 4)
	w.event(wire.DefineEvent{NeedsPass: true}, 3)
	w.do(about(1), passHold(1))
	for _, raw := range w.all {
		if _, err := log.Producer(outcomes).Append(t.Context(), 0, raw, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := NewBridge(BridgeConfig{Topic: outcomes, QueueTopic: queue}, Deps{Store: w.db, Events: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	until(t, w, `SELECT 1 FROM projection_offsets WHERE projection = 'bridge' AND next_seq = $1`, len(w.all)+1)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if lefts, signals := heard(t, log, queue); len(lefts) != 1 || len(signals) != 1 {
		t.Errorf("%+v %+v", lefts, signals)
	}
}
