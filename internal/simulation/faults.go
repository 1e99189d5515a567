package simulation

import (
	"fairgate/internal/sale"
	"fairgate/processor/stock"
	"fairgate/waitingroom/queue"
)

// Fault is a kind of misfortune.
type Fault int

// Kinds of faults.
const (
	FaultCrash Fault = iota
	FaultPause
	FaultStop
	FaultHandOver
	FaultNoPostgres
	FaultNoBroker
	FaultNoFetch
	FaultNoProduce
	FaultClock
	FaultProjector
	FaultGateway
	FaultPostgresDown
	FaultFailover
	FaultPostgresLost
	FaultPostgresShaky
	FaultBrokerDown
	FaultLogDown
	FaultOutcomesDown
	FaultBrokerDark
	FaultBrokerShaky
	FaultSnapshot
	FaultFullStop
	FaultLateAppend // counted where it happens
	FaultKinds
)

// String is the name in results.
func (f Fault) String() string {
	return [...]string{"crash", "pause", "stop", "hand-over", "no-postgres", "no-broker", "no-fetch", "no-produce", "clock", "projector",
		"gateway", "postgres-down", "failover", "postgres-lost", "postgres-shaky", "broker-down", "log-down", "outcomes-down",
		"broker-dark", "broker-shaky", "damaged-snapshot", "full-stop", "late-append"}[f]
}

// shape is what is drawn first and stays.
type shape struct {
	length     int64
	nodes      int
	projectors int
	gateways   int
	grain      int64 // of clocks: coarse ones meet at the very same instant
	backlog    int
	fetch      int
	batch      int
	snapshots  int64
	gap        int64 // between wishes
	burst      int
	events     int
	capacity   int
	clocks     int64  // how far hosts' clocks may be off, with nothing wrong
	encore     int64  // how long fans still come when nothing goes wrong any more
	past       uint64 // epochs that the log has seen and Postgres has not
	singleHost bool
	waiting    bool  // the log is `queue`
	between    int64 // faults; 0 for none
	kinds      [FaultLateAppend]bool
	limits     stock.Limits
	rooms      queue.Limits
	cards      bool  // events limit how many bookings one payment method may pay for
	upgrade    int64 // when every process is ended and begins again as the version that knows such limits; 0: all do from the start
}

func pick[T any](w *world, of ...T) T { return of[w.IntN(len(of))] }

func (w *world) draw() shape {
	s := shape{
		length: w.between(4*sale.Second, 24*sale.Second), nodes: pick(w, 2, 3, 3, 4), projectors: w.IntN(2) + 1, gateways: w.IntN(3) + 1,
		grain: pick(w, int64(1), 10_000, 50_000, 100_000, 100_000), backlog: pick(w, 3_000, 60_000, 1<<20), fetch: pick(w, 10, 100, 1_000),
		batch: pick(w, 4, 60, 1_000), snapshots: w.between(sale.Second, 10*sale.Second), gap: w.between(10*sale.Millisecond, 150*sale.Millisecond),
		events: w.IntN(4) + 1, capacity: pick(w, 3, 8, 40), singleHost: w.IntN(3) == 0, waiting: w.IntN(8) == 0,
		between: pick(w, int64(0), 100*sale.Millisecond, 300*sale.Millisecond, sale.Second, sale.Second, 2*sale.Second),
	}
	s.clocks = 50 * sale.Millisecond
	if s.grain == 1 && w.IntN(2) == 0 {
		s.clocks = 200 * sale.Millisecond
	}
	if w.IntN(3) == 0 {
		s.encore = 14 * sale.Second
	}
	if w.IntN(4) == 0 {
		s.past = w.Uint64N(1 << 33)
		s.past = s.past % (1 << 32)
	}
	for f := range s.kinds {
		s.kinds[f] = w.IntN(3) > 0
	}
	if w.IntN(3) == 0 {
		s.limits = stock.Limits{Events: 12, Bookings: 60, Waiting: 5, Passes: 20, Batch: 3}
	}
	if w.cfg.Heavy {
		s.length, s.nodes, s.projectors, s.gateways, s.waiting = 6*sale.Second, 2, 1, 2, false
		s.burst, s.gap, s.fetch, s.batch, s.backlog = 250, 20*sale.Millisecond, 1_000, 1_000, 8<<20
		s.events, s.capacity, s.between, s.limits = 16, 400, 2*sale.Second, stock.Limits{}
		s.snapshots = 5 * sale.Second
	}
	s.cards = w.cards.IntN(4) == 0 && !s.waiting && !w.cfg.Heavy
	if s.cards {
		s.past = max(s.past, 1) // limits need a leader who knows them
	}
	if s.cards && s.between > 0 && w.cards.IntN(3) == 0 {
		s.upgrade = s.length/4 + w.cards.Int64N(s.length/2)
	}
	return s
}

// goodClock is a host that is disciplined.
func (w *world) goodClock() clock {
	most := w.shape.clocks
	return clock{offset: w.Int64N(2*most) - most, drift: w.Int64N(200) - 100, since: w.now, spread: most + 10*sale.Millisecond}
}

// plague lets faults come at random, for as long as there is no calm.
func (w *world) plague() {
	if w.shape.between == 0 {
		return
	}
	w.after(w.between(w.shape.between/10, 2*w.shape.between), func() {
		if w.calm {
			return
		}
		if f := Fault(w.IntN(int(FaultLateAppend))); w.shape.kinds[f] {
			w.strike(f)
		}
		w.plague()
	})
}

// strike does one thing wrong.
func (w *world) strike(f Fault) {
	w.faults[f]++
	n := w.nodes[w.IntN(len(w.nodes))]
	if w.IntN(2) == 0 {
		n = w.leaderOr(n)
	}
	short, long := w.between(10*sale.Millisecond, 10*sale.Second), w.between(sale.Second, 25*sale.Second)
	switch f {
	case FaultCrash:
		n.crash(short)
	case FaultPause:
		n.pause(short)
	case FaultStop:
		n.stop()
	case FaultHandOver:
		n.handOver(w.nodes[w.IntN(len(w.nodes))].name)
	case FaultNoPostgres:
		w.cut(&n.process, &n.noPostgres, short)
	case FaultNoBroker:
		w.cut(&n.process, &n.noFetch, short)
		w.cut(&n.process, &n.noProduce, short)
	case FaultNoFetch:
		w.cut(&n.process, &n.noFetch, long)
	case FaultNoProduce:
		w.cut(&n.process, &n.noProduce, long)
	case FaultClock:
		w.upset(n)
	case FaultSnapshot:
		w.postgres.damage()
	case FaultFullStop:
		w.stopAll()
	case FaultProjector, FaultGateway:
		w.strikeOther(f, short)
	case FaultLogDown, FaultOutcomesDown, FaultBrokerDark:
		w.strikeServer(f, long)
	default:
		w.strikeServer(f, short)
	}
}

func (w *world) leaderOr(n *node) *node {
	if l := w.audit.leaders[w.audit.leader]; l != nil {
		return l
	}
	return n
}

// cut loses the packets of one process for a while.
func (w *world) cut(p *process, which *bool, length int64) {
	if *which {
		return
	}
	w.say("%s is cut off for %.3f s", p.name, float64(length)/1e6)
	*which = true
	p.begin()
	w.after(length, func() {
		if *which {
			*which = false
			p.end(w.now)
		}
	})
}

// upset spoils a host's clock: it jumps, and says so as the kernel does; or it drifts and is held over.
func (w *world) upset(n *node) {
	c := &n.clock
	if w.shape.singleHost {
		return // it is the source of all
	}
	*c = clock{offset: c.offset, since: w.now, spread: c.spread}
	if w.IntN(2) == 0 {
		c.offset, c.wild = w.Int64N(40*sale.Second)-20*sale.Second, true
	} else {
		c.drift = w.Int64N(80_000) - 40_000
	}
	w.say("%s has a bad clock: %+v", n.name, *c)
	n.begin()
	w.after(w.between(sale.Second, 15*sale.Second), func() {
		*c = w.goodClock()
		n.end(w.now)
	})
}

func (w *world) strikeOther(f Fault, length int64) {
	if f == FaultGateway {
		g := w.gateways[w.IntN(len(w.gateways))]
		switch w.IntN(3) {
		case 0:
			g.pause(length)
		case 1:
			g.clock = clock{offset: w.Int64N(20*sale.Second) - 10*sale.Second, since: w.now}
		default:
			g.crash(length)
		}
		return
	}
	if len(w.writers) == 0 {
		return
	}
	if p := w.writers[w.IntN(len(w.writers))]; w.IntN(2) == 0 {
		p.pause(length)
	} else {
		p.crash(length)
	}
}

// strikeServer spoils what everybody shares.
func (w *world) strikeServer(f Fault, length int64) {
	pg, b := w.postgres, w.broker
	switch f {
	case FaultPostgresDown, FaultFailover, FaultPostgresLost:
		w.lasting(f, &pg.troubled, &pg.down, min(length, 4*sale.Second))
		switch f {
		case FaultFailover:
			pg.failover(w.between(1, rollback))
		case FaultPostgresLost:
			pg.forget()
		default:
			pg.restart()
		}
	case FaultPostgresShaky:
		pg.shaky = pick(w, 3, 10, 30)
		w.lasting(f, &pg.troubled, nil, length)
		w.after(length, func() { pg.shaky = 0 })
	case FaultBrokerShaky:
		b.shaky = pick(w, 3, 10, 30)
		w.lasting(f, &b.troubled, nil, length)
		w.after(length, func() { b.shaky = 0 })
	case FaultBrokerDown:
		w.lasting(f, &b.troubled, &b.log.down, length)
		w.lasting(f, &b.troubled, &b.outcomes.down, length)
	case FaultLogDown:
		w.lasting(f, &b.troubled, &b.log.down, length)
	case FaultOutcomesDown:
		w.lasting(f, &b.troubled, &b.outcomes.down, length)
	case FaultBrokerDark:
		w.lasting(f, &b.troubled, pick(w, &b.log.dark, &b.outcomes.dark), length)
	}
}

// lasting is a trouble that ends.
func (w *world) lasting(f Fault, t *troubled, count *int, length int64) {
	w.say("%s for %.3f s", f, float64(length)/1e6)
	t.begin()
	if count != nil {
		*count++
	}
	w.after(length, func() {
		w.say("%s is over", f)
		t.end(w.now)
		if count != nil {
			*count--
		}
	})
}

// stopAll ends every process at once; what was durable is all that is left.
func (w *world) stopAll() {
	w.say("everything stops")
	for _, n := range w.nodes {
		n.crash(w.between(sale.Millisecond, 5*sale.Second))
	}
	for _, p := range w.writers {
		p.crash(w.between(sale.Millisecond, 5*sale.Second))
	}
	for _, g := range w.gateways {
		g.crash(w.between(sale.Millisecond, 5*sale.Second))
	}
}
