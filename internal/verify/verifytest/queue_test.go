package verifytest

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/engine"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
	"fairgate/waitingroom/queue"
)

// queueWorld draws the visits of few visitors to few rooms.
type queueWorld struct {
	world
	rooms  int
	places []visit
	passes []wire.ID
	orders uint64
}

// visit is a place that was asked for.
type visit struct {
	room    int64
	token   wire.ID
	visitor wire.ID
}

func newQueueWorld(t rapid.TB, draw func(string, int, int) int, counts map[string]int) *queueWorld {
	w := &queueWorld{}
	w.world = world{t: t, draw: draw, model: model.NewQueue(0), body: wire.NewQueueOutcome, counts: counts}
	w.fresh = func() *engine.Core { return engine.NewCore(queue.New(queue.Limits{}), 0) }
	w.core = w.fresh()
	w.heard = func(_ wire.Outcome, b wire.Body) {
		if b, ok := b.(*wire.Claimed); ok {
			w.passes = append(w.passes, b.Pass)
		}
	}
	return w
}

var seed = wire.Hash{7}

func (w *queueWorld) begin() {
	w.send(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: id('l', 1)})
	w.now = 1000 * sec
	w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
	w.defineRoom()
	w.defineRoom()
}

func (w *queueWorld) defineRoom() {
	w.rooms++
	w.send(wire.Record{Object: int64(w.rooms)}, w.definition())
}

func (w *queueWorld) definition() *wire.DefineRoom {
	d := &wire.DefineRoom{Cap: uint32(w.i("cap", 0, 4)), PerMinute: uint32(w.i("rate", 0, 3) * 1000), Claim: 3 * sec, Grace: 8 * sec, Pass: 6 * sec,
		CapNarrow: uint32(w.i("narrow", 0, 2)), CapWide: uint32(w.i("wide", 0, 4)), CapCarrier: uint32(w.i("carrier", 0, 3))}
	if w.flag("opens") {
		d.Opens = w.now + int64(w.i("opens", 0, 20))*sec
		d.EarlyFrom = d.Opens - int64(w.i("early", -1, 10))*sec
	}
	if w.i("ends", 0, 5) == 0 {
		d.Ends = w.now + int64(w.i("ends", 0, 90))*sec
	}
	if w.i("draw", 0, 2) == 0 {
		d.Mode, d.Commitment, d.DrawCloses, d.Late = wire.ModeDraw, sha256.Sum256(seed[:]), w.now+int64(w.i("closes", 0, 6))*sec, int64(w.i("late", 1, 6))*sec
	}
	if w.flag("shares") {
		for i := range d.Shares {
			d.Shares[i] = uint16(w.i("share", 0, 300))
		}
	}
	return d
}

func (w *queueWorld) room() int64 { return int64(w.i("room", max(1, w.rooms-1), w.rooms)) }

// visit is one of the newest mostly.
func (w *queueWorld) visit() visit {
	if len(w.places) == 0 || w.i("unknown", 0, 20) == 0 {
		return visit{w.room(), id('t', w.i("token", 1, 999)), id('v', w.i("visitor", 1, 30))}
	}
	from := 0
	if w.i("old", 0, 3) > 0 {
		from = max(0, len(w.places)-25)
	}
	v := w.places[w.i("place", from, len(w.places)-1)]
	if w.i("stolen", 0, 30) == 0 {
		v.visitor = id('v', w.i("visitor", 1, 30))
	}
	return v
}

func (w *queueWorld) header(object int64, ref wire.ID) wire.Record {
	return wire.Record{Object: object, Ref: ref}
}

func (w *queueWorld) tick() {
	step := int64(w.i("step", 1, 1500)) * sec / 1000
	if w.i("jump", 0, 60) == 0 {
		step = int64(w.i("outage", 2, 600)) * sec
	}
	w.now += step
	w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
}

func (w *queueWorld) step() {
	switch k := w.i("kind", 0, 99); {
	case k < 28:
		w.tick()
	case k < 55:
		w.join()
	case k < 82:
		v := w.visit()
		w.send(w.header(v.room, v.token), &wire.Ask{Visitor: v.visitor})
	case k < 85:
		v := w.visit()
		w.send(w.header(v.room, v.token), &wire.Leave{Visitor: v.visitor})
	case k < 89:
		w.left()
	case k < 92:
		w.orders++
		s := &wire.Signal{Left: int64(w.i("left", -2, 6)), Coming: int64(w.i("coming", -1, 1)), Price: int64(w.i("price", -1, 9)), Headroom: int32(w.i("headroom", -1, 1000)),
			Source: int32(w.i("source", 0, 1)), SourceSeq: w.orders - uint64(w.i("stale", 0, 20)/20)}
		w.send(w.header(w.room(), wire.ID{}), s)
	default:
		w.operate(k)
	}
}

func (w *queueWorld) join() {
	v := visit{w.room(), id('t', len(w.places)+1), id('v', w.i("visitor", 1, 30))}
	j := &wire.Join{Visitor: v.visitor, Lane: wire.Lane(w.i("lane", 0, 7) % 5), Narrow: uint64(w.i("narrow", 1, 9)), Wide: uint64(w.i("wide", 1, 4)),
		Carrier: w.i("carrier", 0, 4) == 0, Instant: w.now - int64(w.i("ago", -1000, 8000))*sec/1000}
	if w.i("age", 0, 20) == 0 {
		j.Instant = w.now - int64(w.i("ago", -7300, 700))*sec
	}
	if w.i("again", 0, 10) == 0 {
		v = w.visit()
	} else {
		w.places = append(w.places, v)
	}
	if w.i("rules", 0, 1) == 1 {
		w.send(w.header(v.room, v.token), &wire.Enlist{Join: *j, Broad: uint64(w.i("broad", 0, 2)), Origin: uint64(w.i("origin", 0, 2))})
		return
	}
	w.send(w.header(v.room, v.token), j)
}

func (w *queueWorld) left() {
	pass := id('p', 1)
	if len(w.passes) > 0 {
		pass = w.passes[w.i("pass", max(0, len(w.passes)-8), len(w.passes)-1)]
	}
	w.orders++
	w.send(w.header(w.room(), wire.ID{}), &wire.Left{Pass: pass, Source: int32(w.i("source", 0, 1)), SourceSeq: w.orders - uint64(w.i("stale", 0, 20)/20)})
}

func (w *queueWorld) operate(k int) {
	h := w.header(w.room(), wire.ID{})
	if w.i("after", 0, 15) == 0 {
		h.After = uint64(w.i("seq", 1, 40))
	}
	if w.i("ref", 0, 15) == 0 {
		h.Ref = id('x', 1)
	}
	switch {
	case k < 95:
		state := wire.RoomState(w.i("state", 0, 6))
		if w.i("open", 0, 2) > 0 || state == wire.RoomEnded && w.i("really", 0, 5) > 0 {
			state = wire.RoomOpen
		}
		w.send(h, &wire.SetRoom{State: state})
	case k < 96:
		w.send(h, &wire.SetOutflow{PerMinute: uint32(w.i("rate", 0, 4) * 1000), Cap: uint32(w.i("cap", 0, 5))})
	case k < 97:
		v := &wire.Reveal{Seed: seed, Public: []byte("42")}
		if w.i("wrong", 0, 8) == 0 {
			v.Seed[0]++
		}
		w.send(h, v)
	case k < 98:
		if w.i("new", 0, 3) == 0 {
			w.defineRoom()
		} else {
			w.send(h, w.definition())
		}
	case k < 99:
		w.put(w.junk())
	default:
		b := wire.AppendRecord(nil, h, &wire.Leave{})
		b[1] = byte(w.i("kind", 0, 60))
		w.put(b)
	}
}

// TestQueue_MachineAndModelSayTheSame drives both with random visits and compares.
func TestQueue_MachineAndModelSayTheSame(t *testing.T) {
	counts := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newQueueWorld(t, drawn(t), counts)
		w.begin()
		for range w.i("steps", 1, 150) {
			w.step()
		}
	})
	report(t, counts)
}

// TestQueue_LongLinesStayTheSame lets lines build up that short runs do not reach.
func TestQueue_LongLinesStayTheSame(t *testing.T) {
	counts := map[string]int{}
	for seed := range seeds() {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newQueueWorld(t, rolled(seed), counts)
			w.begin()
			for range 2_000 {
				w.step()
			}
		})
	}
	report(t, counts)
}

// TestQueue_CrowdsBeyondOneTurnStayTheSame has more to do at once than a machine does in one turn.
func TestQueue_CrowdsBeyondOneTurnStayTheSame(t *testing.T) {
	const crowd = 6_000
	counts := map[string]int{}
	w := newQueueWorld(t, rolled(1), counts)
	w.send(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: id('l', 1)})
	w.now = 1000 * sec
	w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
	w.send(wire.Record{Object: 1}, &wire.DefineRoom{Cap: 2, PerMinute: 1_000_000, Claim: 2 * sec, Grace: 90 * sec, Pass: 30 * sec, CapNarrow: 1 << 20, CapWide: 1 << 20})
	ask := func(from int) {
		for n := from; n < crowd; n++ {
			w.send(wire.Record{Object: 1, Ref: id('t', n)}, &wire.Ask{Visitor: id('v', n)})
		}
	}
	ticks := func(n int, step int64) {
		for range n {
			w.now += step
			w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
		}
	}
	for n := range crowd {
		w.send(wire.Record{Object: 1, Ref: id('t', n)}, &wire.Join{Visitor: id('v', n), Instant: w.now - int64(n%97)*sec, Lane: wire.Lane(n % 4), Narrow: 1, Wide: 1})
	}
	w.send(wire.Record{Object: 1}, &wire.SetRoom{State: wire.RoomOpen})
	w.send(wire.Record{Object: 1}, &wire.SetOutflow{Cap: 9_000})
	ticks(60, sec)
	w.send(wire.Record{Object: 1}, &wire.SetOutflow{Cap: 1})
	ask(0)
	w.send(wire.Record{Object: 1}, &wire.SetOutflow{Cap: 9_000})
	ask(0)
	ticks(5, sec)
	ask(3_000)
	ticks(120, sec)
	report(t, counts)
	if counts["SlotGiven"] < 2_500 || counts["SlotLapsed"] == 0 || counts["Missed"] == 0 || counts["SlotFreed"] < 2_500 {
		t.Errorf("the crowd did not come: %v", counts)
	}
}
