package simulation

import (
	"errors"
	"fmt"

	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/processor/stock"
	"fairgate/waitingroom/queue"
)

const (
	boundLimit   = 250 * sale.Millisecond
	tickEvery    = 200 * sale.Millisecond
	againFirst   = 5 * sale.Millisecond
	againLast    = 100 * sale.Millisecond
	drainWithin  = 3 * sale.Second
	fetchesAhead = 2
	bootAgain    = 500 * sale.Millisecond
)

// node is one replica of the engine: what engine.Runner is in production, without its goroutines.
type node struct {
	process
	replica *engine.Replica
	input   *stream
	back    *stream
	pumping bool

	contention *lease
	lease      *lease
	leaseBusy  bool
	leaseNext  []func()
	emission   *emission
	draining   bool
	handicap   int64
	heir       string // whom the lease is given to when it is released next
	gave       int64  // when it last handed over
	ready      bool   // it runs and is not about to end
	role       engine.Role
}

// stream is one topic on its way to a node.
type stream struct {
	topic   *topic
	from    int64
	ahead   []fetched
	waiting bool
}

// emission is a batch of outcomes that is sent until it is acknowledged or its term ended.
type emission struct {
	first  uint64
	values [][]byte
	over   bool
}

func newNode(w *world, i int) *node {
	n := &node{process: process{w: w, name: fmt.Sprintf("node%d", i)}}
	n.clock, n.handicap = w.goodClock(), int64(i%2)*20*sale.Millisecond
	n.begin()
	n.boot()
	return n
}

func (w *world) rules() engine.Rules {
	return engine.Rules{
		TickEvery: tickEvery, RenewEvery: leaseTTL / 5, RetryEvery: 20 * sale.Millisecond, BoundLimit: boundLimit,
		MaxBacklog: w.shape.backlog,
	}
}

// machine is that of the program which is installed now.
func (w *world) machine() engine.Machine {
	if w.shape.waiting {
		return queue.New(w.shape.rooms)
	}
	m := stock.New(w.shape.limits)
	if w.now < w.shape.upgrade {
		return older{m}
	}
	return m
}

// older is the machine of the version before this one, which knows no limits per payment method.
type older struct{ engine.Machine }

// Code is that of the version before.
func (o older) Code() uint32 { return o.Machine.Code() - 1 }

// Apply rejects what that version does not know.
func (o older) Apply(c *sale.LogClock, offset int64, r wire.Record, out *wire.Outcomes) {
	if r.Kind == wire.KindSetMethodLimit || r.Kind == wire.KindAuthorisedBy {
		out.Add(&wire.Rejected{Reason: wire.ReasonUnknownKind})
		return
	}
	o.Machine.Apply(c, offset, r, out)
}

// boot begins a life: from the newest snapshot that fits, or from the first record.
func (n *node) boot() {
	n.alive = true
	n.replica, n.contention, n.lease, n.leaseBusy, n.leaseNext, n.emission = nil, nil, nil, false, nil, nil
	n.draining, n.role, n.pumping, n.heir = false, engine.Standby, false, ""
	n.restore()
}

func (n *node) restore() {
	var list []store.Snapshot
	n.w.postgres.call(&n.process, nil, func() { list = n.w.postgres.snapshots() }, func(err error) {
		if err != nil {
			n.after(bootAgain, n.restore)
			return
		}
		n.open(list)
	})
}

// open tries the snapshots, the newest first.
func (n *node) open(list []store.Snapshot) {
	if len(list) == 0 {
		n.run(engine.NewCore(n.w.machine(), 0))
		return
	}
	s := list[0]
	n.load(s, func(core *engine.Core, err error) {
		switch {
		case err == nil:
			n.w.say("%s begins at offset %d", n.name, core.Next())
			n.run(core)
		case errors.Is(err, errAway):
			n.after(bootAgain, n.restore)
		default:
			n.w.say("%s cannot use snapshot %d: %v", n.name, s.ID, err)
			n.open(list[1:])
		}
	})
}

func (n *node) run(core *engine.Core) {
	n.replica = engine.NewReplica(core, n.w.rules())
	log, outcomes := n.replica.ReadFrom()
	n.input = &stream{topic: n.w.broker.log, from: log}
	n.back = &stream{topic: n.w.broker.outcomes, from: outcomes}
	n.ready = true
	n.end(n.w.now)
	n.every(tickEvery/2, n.pump)
	n.keepSnapshots()
	n.pump()
}

// crash is SIGKILL; the process begins again after a while.
func (n *node) crash(length int64) {
	if !n.alive {
		return
	}
	n.w.say("%s is killed", n.name)
	n.fall()
	n.w.after(length, n.boot)
}

// fall ends a life.
func (n *node) fall() {
	n.unready()
	n.die()
	n.replica = nil
}

func (n *node) unready() {
	if n.ready {
		n.ready = false
		n.begin()
	}
}

// halt is a replica that must not guess any more. No fault of this world is a reason for that.
func (n *node) halt(err error) { n.w.fail("%s halts: %v", n.name, err) }

// pump gives the replica its next turn.
func (n *node) pump() {
	if n.replica == nil {
		return
	}
	n.advance()
	n.fetch(n.input)
	n.fetch(n.back)
	if n.replica == nil || !n.consume() {
		return
	}
	n.advance()
	n.again()
}

// again pumps a moment later: the work before took time.
func (n *node) again() {
	if n.pumping {
		return
	}
	n.pumping = true
	n.after(n.w.Int64N(200)+1, func() {
		n.pumping = false
		n.pump()
	})
}

// consume hands one piece of what was fetched to the replica.
func (n *node) consume() bool {
	r, log := n.replica, n.w.IntN(2) == 0 // which of the two is first is chance, as in a select
	for range 2 {
		switch {
		case log && len(n.input.ahead) > 0 && r.Hungry():
			f := n.input.take()
			if err := r.Records(f.records, engine.Heads(r.Core().Chain(), f.records), f.end, f.started); err != nil {
				n.halt(err)
			}
			return true
		case !log && len(n.back.ahead) > 0 && r.Thirsty():
			f := n.back.take()
			if err := r.ReadBack(f.records, f.end, n.w.now); err != nil {
				n.halt(err)
			}
			return true
		}
		log = !log
	}
	return false
}

func (s *stream) take() fetched {
	f := s.ahead[0]
	s.ahead = s.ahead[1:]
	return f
}

// fetch keeps a few fetches ahead of what is consumed.
func (n *node) fetch(s *stream) {
	if s.waiting || len(s.ahead) >= fetchesAhead {
		return
	}
	s.waiting = true
	n.w.broker.fetch(&n.process, s.topic, s.from, n.w.shape.fetch, func(f fetched) {
		s.waiting = false
		s.from += int64(len(f.records))
		s.ahead = append(s.ahead, f)
		n.pump()
	})
}

// advance does what the replica wants done.
func (n *node) advance() {
	room, bound := n.room()
	todo := n.replica.Next(engine.Now{Mono: n.w.now, Room: room, Bound: bound})
	n.elect(todo)
	if todo.Append != nil {
		n.append(todo.Append)
	}
	if todo.Emit != nil {
		n.emit(todo.EmitFirst, todo.Emit)
	}
	if role := n.replica.Role(); role != n.role {
		n.w.say("%s is %s, epoch %d, at %d", n.name, role, n.replica.Core().Clock().Epoch, n.replica.Core().Next())
		n.role = role
		if role == engine.Standby && n.emission != nil {
			n.abandonEmission(n.emission)
		}
	}
	if n.draining && n.replica.Drained() {
		n.leave()
	}
}

func (n *node) append(value []byte) {
	n.w.audit.appending(n, value)
	n.w.broker.produce(&n.process, n.w.broker.log, [][]byte{value}, func(_ int64, err error) {
		if n.replica == nil {
			return // it is about to end
		}
		n.replica.Appended(err == nil, err == nil || errors.Is(err, eventlog.ErrNotAppended), n.w.now)
		n.pump()
	})
}

func (n *node) emit(first uint64, values [][]byte) {
	e := &emission{first: first, values: values}
	n.emission = e
	n.send(e, againFirst)
}

func (n *node) send(e *emission, wait int64) {
	n.w.broker.produce(&n.process, n.w.broker.outcomes, e.values, func(_ int64, err error) {
		switch {
		case e.over:
		case err == nil:
			n.emitted(e, true)
		default:
			n.after(wait, func() {
				if !e.over {
					n.send(e, min(2*wait, againLast))
				}
			})
		}
	})
}

// abandonEmission ends the sending of a term that has ended; the batch may still land.
func (n *node) abandonEmission(e *emission) {
	if !e.over {
		e.over = true
		n.after(1, func() { n.emitted(e, false) })
	}
}

func (n *node) emitted(e *emission, ok bool) {
	e.over = true
	if n.emission != e || n.replica == nil {
		return // of a term that has ended
	}
	n.replica.Emitted(e.first, len(e.values), ok)
	n.pump()
}

// elect contends, renews and releases as the replica wants.
func (n *node) elect(t engine.Todo) {
	switch {
	case t.Contend && n.contention == nil:
		n.contend()
	case !t.Contend && n.contention != nil:
		n.contention.cancelled = true
	}
	if t.Release && n.lease != nil {
		n.w.say("%s wants to give the lease back", n.name)
		l, heir := n.lease, n.heir
		n.heir = ""
		n.useLease(func(done func(bool, error)) { l.release(heir, func() { done(true, nil) }) })
	}
	if epoch := t.Renew; epoch != 0 && n.lease != nil {
		l := n.lease
		n.useLease(func(done func(bool, error)) { l.renew(epoch, done) })
	}
}

func (n *node) contend() {
	var id wire.ID
	for i := range id {
		id[i] = byte(n.w.Uint32())
	}
	id = n.replica.Claim(id)
	n.contention = contend(n, id, func(l *lease, won bool) {
		again := int64(0)
		if !won && !l.cancelled {
			again = contendAgain
		}
		n.after(again, func() {
			n.contention = nil
			if won && n.replica == nil {
				l.abandon()
			} else if won {
				n.lease = l
				n.replica.LeaseWon(id, l.epoch, n.w.now)
			}
			n.pump()
		})
	})
}

// useLease makes one call of the lease, in order with the others, and tells the replica how it ended.
func (n *node) useLease(call func(done func(lost bool, err error))) {
	l := n.lease
	use := func() {
		n.leaseBusy = true
		over := false
		done := func(lost bool, err error) {
			if over {
				return
			}
			over = true
			n.leaseBusy = false
			n.heard(l, lost)
			if len(n.leaseNext) > 0 {
				next := n.leaseNext[0]
				n.leaseNext = n.leaseNext[1:]
				next()
			}
		}
		call(done)
		n.after(leaseCall, func() {
			if !over {
				l.close()
				done(false, errTimeout)
			}
		})
	}
	if n.leaseBusy {
		n.leaseNext = append(n.leaseNext, use)
		return
	}
	use()
}

func (n *node) heard(l *lease, lost bool) {
	switch {
	case n.lease != l || n.replica == nil:
	case lost:
		n.w.say("%s has lost the lease", n.name)
		n.lease = nil
		l.abandon()
		n.replica.LeaseGone()
	default:
		n.replica.Renewed(n.w.now)
	}
	n.again()
}

// handOver gives the partition to another node, dead or alive.
func (n *node) handOver(heir string) {
	if n.replica == nil || n.paused || !n.replica.HandOver(n.w.now) {
		return
	}
	n.w.say("%s hands over to %s", n.name, heir)
	n.heir = heir
	n.healthy, n.gave = n.w.now, n.w.now // whoever leads next does not take it from one that wants it
	n.pump()
}

// stop is SIGTERM: what was applied is emitted, the lease given back, and the process ends.
func (n *node) stop() {
	if n.replica == nil || n.draining || n.paused {
		return
	}
	n.w.say("%s is told to stop", n.name)
	n.unready()
	n.draining = true
	n.replica.Stop()
	n.after(drainWithin, n.leave)
	n.pump()
}

func (n *node) leave() {
	if !n.draining || n.replica == nil {
		return
	}
	gone := func() {
		n.w.say("%s has ended", n.name)
		n.fall()
		n.w.after(n.w.between(10*sale.Millisecond, 5*sale.Second), n.boot)
	}
	l := n.lease
	n.replica, n.draining = nil, false
	if l == nil {
		gone()
		return
	}
	once := within(&n.process, leaseCall, func(error) { gone() })
	l.release("", func() { once(nil) })
}
