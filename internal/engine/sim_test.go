package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/wire"
)

// simWorld is a log, an outcomes topic, a lease and a clock, all in one goroutine and decided by one seed.
type simWorld struct {
	*rand.Rand
	log, topic [][]byte
	late       []func() // appends that land when their sender has long given up
	holder     *simNode // of the lease
	epoch      uint64   // of the lease's row
	mono       int64
	nodes      []*simNode
	snapshot   []byte // one that counts
	calm       bool   // no faults any more
	sent       byte
}

// simNode is a replica and what it has asked for.
type simNode struct {
	*Replica
	input, back int // next to fetch
	append      []byte
	emit        [][]byte
	emitFirst   uint64
	contend     bool
	tick        int // where its newest tick surely landed
}

func (w *simWorld) node() *simNode {
	core := newToy()
	if w.snapshot != nil && w.IntN(3) > 0 {
		if err := core.Restore(w.snapshot); err != nil {
			panic(err)
		}
	}
	rules := Rules{TickEvery: 100, RenewEvery: 300, RetryEvery: 50, BoundLimit: 10, MaxBacklog: 2_000}
	n := &simNode{Replica: NewReplica(core, rules), tick: -1, input: int(core.Next()), back: int(core.Seq())}
	return n
}

// newID is for one contention and never used again, as the runner's: an epoch record of an earlier one is not ours.
func (w *simWorld) newID() (id wire.ID) {
	for i := range id {
		id[i] = byte(w.Uint32())
	}
	return id
}

// once is true with a probability of one in n, while there are faults.
func (w *simWorld) once(n int) bool { return !w.calm && w.IntN(n) == 0 }

// land appends values to a topic: now, twice, later, or never; it tells what the sender hears.
func (w *simWorld) land(topic *[][]byte, values [][]byte) (ok, known bool) {
	put := func() { *topic = append(*topic, values...) }
	switch {
	case w.once(10):
		return false, true
	case w.once(10):
		return false, false
	case w.once(10):
		put()
		return false, false
	case w.once(10):
		w.late = append(w.late, put)
		return false, false
	}
	put()
	return true, true
}

// turn does one thing that n waits for.
func (w *simWorld) turn(n *simNode) error {
	switch w.IntN(6) {
	case 0, 1:
		if n.Hungry() {
			to := min(n.input+w.IntN(6), len(w.log))
			records := simRecords(w.log, n.input, to)
			n.input = to
			return n.Records(records, to == len(w.log), w.mono)
		}
	case 2:
		if n.Thirsty() {
			to := min(n.back+w.IntN(8), len(w.topic))
			records := simRecords(w.topic, n.back, to)
			n.back = to
			return n.ReadBack(records, to == len(w.topic), w.mono)
		}
	case 3:
		if n.append != nil {
			value := n.append
			n.append = nil
			before := len(w.log)
			ok, known := w.land(&w.log, [][]byte{value})
			if wire.Kind(value[1]) == wire.KindTick && len(w.log) > before {
				n.tick = before
			}
			n.Appended(ok, known, w.mono)
		}
	case 4:
		if n.emit != nil {
			if ok, _ := w.land(&w.topic, n.emit); ok {
				values := n.emit
				n.emit = nil
				n.Emitted(n.emitFirst, len(values), true)
			} else if n.Role() == Standby {
				n.emit = nil
			}
		}
	case 5:
		if n.contend && w.holder == nil {
			w.holder = n
			w.epoch++
			n.contend = false
			n.LeaseWon(w.newID(), w.epoch, w.mono)
		}
	}
	return nil
}

func simRecords(topic [][]byte, from, to int) (records []eventlog.Record) {
	for i := from; i < to; i++ {
		records = append(records, eventlog.Record{Offset: int64(i), Value: topic[i]})
	}
	return records
}

// carryOut does what a replica wants done, or notes it.
func (w *simWorld) carryOut(n *simNode) error {
	bound := int64(0)
	if w.once(200) {
		bound = 11
	}
	todo := n.Next(Now{Mono: w.mono, Room: 1_000_000 + 1_000*w.mono, Bound: bound})
	n.contend = todo.Contend
	if n.Role() == Standby {
		n.emit = nil // as the runner does
	}
	switch {
	case n.Role() == Leading && n.Core().Leader() != n.term.Leader:
		return errors.New("it leads in another's term")
	case todo.Append != nil && n.append != nil:
		return errors.New("two appends in flight")
	case todo.Emit != nil && n.emit != nil:
		return errors.New("two batches in flight")
	case todo.Append != nil && wire.Kind(todo.Append[1]) == wire.KindTick && n.Core().Next() <= int64(n.tick):
		return errors.New("a tick before the last one was read back")
	}
	if todo.Append != nil {
		n.append = todo.Append
	}
	if todo.Emit != nil {
		n.emit, n.emitFirst = todo.Emit, todo.EmitFirst
	}
	if todo.Release {
		if w.holder == n {
			w.holder = nil
		}
		n.LeaseGone()
	}
	if todo.Renew != 0 {
		if w.holder != n {
			n.LeaseGone()
			return nil
		}
		w.epoch = max(w.epoch, todo.Renew)
		n.Renewed(w.mono)
	}
	return nil
}

func (w *simWorld) step() error {
	w.mono += w.Int64N(30)
	switch {
	case w.once(100):
		w.mono += 5_000 // nothing happened for a while
	case w.once(30):
		w.holder = nil // a hanging leader's lease ran out, or Postgres forgot
	case w.once(200):
		w.epoch = 0 // a failover to a standby that had not heard of it
	case w.once(50):
		w.nodes[w.IntN(len(w.nodes))].HandOver(w.mono)
	case w.once(60):
		i := w.IntN(len(w.nodes))
		if w.holder == w.nodes[i] {
			w.holder = nil
		}
		w.nodes[i] = w.node() // killed and started again
	case len(w.late) > 0 && w.IntN(20) == 0:
		w.late[0]()
		w.late = w.late[1:]
	case w.IntN(4) == 0 && len(w.log) < 600:
		w.sent++
		w.log = append(w.log, order(w.sent, int64(w.IntN(5)), int64(w.IntN(2))*(1_000_000+1_000*w.mono), 0))
	}
	n := w.nodes[w.IntN(len(w.nodes))]
	if err := w.turn(n); err != nil {
		return err
	}
	if err := w.carryOut(n); err != nil {
		return err
	}
	if w.IntN(50) == 0 && n.Seen() == n.Core().Seq() {
		w.snapshot = n.Core().Snapshot(nil)
	}
	return nil
}

// settled says that somebody leads and every record's outcomes are in the topic.
func (w *simWorld) settled() bool {
	for _, n := range w.nodes {
		if n.Role() == Leading && int(n.Core().Next()) == len(w.log) && n.Seen() == n.Core().Seq() {
			return true
		}
	}
	return false
}

// check reads the topic as a consumer would, and compares with what the log alone gives.
func (w *simWorld) check() error {
	core := newToy()
	var out wire.Outcomes
	for i, value := range w.log {
		if err := core.Apply(int64(i), value, &out); err != nil {
			return err
		}
	}
	cursor, fresh := follow.NewCursor(follow.Position{}), 0
	for i, value := range w.topic {
		_, ok, err := cursor.Accept(int64(i), value)
		if err != nil {
			return err
		}
		if ok && string(value) != string(out.At(fresh)) {
			return fmt.Errorf("outcome %d differs from the log's", fresh+1)
		}
		if ok {
			fresh++
		}
	}
	if w.calm && fresh != out.Len() {
		return fmt.Errorf("%d outcomes, the log gives %d", fresh, out.Len())
	}
	return nil
}

func simulate(seed uint64) error {
	w := &simWorld{Rand: rand.New(rand.NewPCG(seed, 1)), mono: 1}
	for range 3 {
		w.nodes = append(w.nodes, w.node())
	}
	for range 3_000 {
		if err := w.step(); err != nil {
			return err
		}
	}
	if err := w.check(); err != nil {
		return err
	}
	w.calm, w.late = true, nil
	if w.holder != nil && w.holder.Role() == Standby {
		w.holder = nil // it never heard that it won
	}
	for i := 0; !w.settled(); i++ {
		if i > 20_000 {
			return fmt.Errorf("nobody leads, or the backlog stays: log %d, topic %d", len(w.log), len(w.topic))
		}
		if i%5_000 == 4_999 {
			w.holder = nil // the lease of one that does not get on runs out
		}
		if err := w.step(); err != nil {
			return err
		}
	}
	return w.check()
}

func TestReplica_SimulatedFaultsNeverMakeAGapOrAnotherOutcome(t *testing.T) {
	seeds := 150
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		if err := simulate(uint64(seed)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
