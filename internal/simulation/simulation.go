// Package simulation is the whole of an event's sale as one goroutine that a seed decides: engines, gateways, projectors,
// the election, the broker, Postgres and everybody's clock, with everything that can go wrong among them. It supports
// tests: it may import the engine, the stock and queue machines, the projector and the verifier's model, and touches
// nothing outside.
//
// What decides is production code: engine.Replica and engine.Core, both machines, store.Candidate, processor.Projecting,
// follow.Cursor, answer.FateOf. What only carries out (sockets, files, goroutines) is replaced by what is in this
// package: it does what real brokers, databases and processes do on their worst day. The promises that are checked all
// the time are in audit.go, those of the end in finish.go.
package simulation

import (
	"fmt"
	"io"
	"math/rand/v2"

	"fairgate/internal/sale"
)

// Config says which world to run. The zero value is the first short one.
type Config struct {
	Seed uint64
	// Heavy worlds have few faults and very many commands; the others the reverse.
	Heavy bool
	// Trace, if there is one, is told what happens, line by line.
	Trace io.Writer
}

// Result is what became of a world.
type Result struct {
	Commands  int64 // records that gateways had appended
	Outcomes  int64
	Simulated int64 // µs
	Faults    [FaultKinds]int64
	Violation string // empty: every promise was kept
}

// Run lives through a world from its first record to its last check.
func Run(cfg Config) (r Result) {
	w := newWorld(cfg)
	defer func() {
		if v := recover(); v != nil {
			broken, ok := v.(violation)
			if !ok {
				// Production code must survive whatever this world does to it.
				broken = violation(fmt.Sprintf("panic: %v\n%s", v, stack()))
			}
			r.Violation = string(broken)
		}
		r.Commands, r.Outcomes, r.Simulated, r.Faults = w.commands, int64(w.audit.seq), w.now, w.faults
	}()
	w.live()
	return r
}

// violation ends a world.
type violation string

// begin is true room time when a world begins, in µs.
const begin = 1_800_000_000 * sale.Second

// world is everything there is. Everything in it happens in one goroutine, in the order of queue.
type world struct {
	*rand.Rand
	cards *rand.Rand // of who pays by what; its own, so that worlds without limits per method stay as they were
	cfg   Config
	trace io.Writer
	now   int64 // true time since the beginning, µs
	queue agenda
	calm  bool // no faults any more

	shape    shape
	broker   *broker
	postgres *postgres
	nodes    []*node
	writers  []*projector
	gateways []*gateway
	crowd    *crowd
	audit    *audit

	commands int64
	faults   [FaultKinds]int64
}

func newWorld(cfg Config) *world {
	w := &world{
		Rand: rand.New(rand.NewPCG(cfg.Seed, 0x6661697267617465)), cards: rand.New(rand.NewPCG(cfg.Seed, 0x6361726473)),
		cfg: cfg, trace: cfg.Trace,
	}
	w.shape = w.draw()
	w.broker = newBroker(w)
	w.postgres = newPostgres(w)
	w.audit = newAudit(w)
	w.crowd = newCrowd(w)
	return w
}

// live is the story of a world.
func (w *world) live() {
	w.say("a world of %+v", w.shape)
	w.crowd.define()
	for i := range w.shape.nodes {
		w.nodes = append(w.nodes, newNode(w, i))
	}
	if !w.shape.waiting {
		for i := range w.shape.projectors {
			w.writers = append(w.writers, newProjector(w, i))
		}
	}
	for i := range w.shape.gateways {
		w.gateways = append(w.gateways, newGateway(w, i))
	}
	w.crowd.start()
	if w.shape.upgrade > 0 {
		w.after(w.shape.upgrade, w.stopAll)
	}
	w.plague()
	w.every(500*sale.Millisecond, w.audit.available)
	w.until(w.shape.length, func() bool { return false })
	w.heal()
	w.finish()
}

// until lets things happen until a time from now, or until done.
func (w *world) until(length int64, done func() bool) bool {
	for end := w.now + length; ; {
		e, ok := w.queue.first()
		if !ok || e.at > end {
			w.now = end
			return done()
		}
		w.queue.take()
		w.now = e.at
		e.do()
		if done() {
			return true
		}
	}
}

// after has something happen later.
func (w *world) after(length int64, do func()) { w.queue.add(w.now+max(length, 0), do) }

// every has something happen again and again.
func (w *world) every(length int64, do func()) {
	w.after(length, func() {
		do()
		w.every(length, do)
	})
}

// say tells the trace. Nothing is formatted without one.
func (w *world) say(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%12.6f %s\n", float64(w.now)/1e6, fmt.Sprintf(format, args...))
	}
}

// fail ends the world: a promise was broken.
func (w *world) fail(format string, args ...any) {
	text := fmt.Sprintf("after %.6f s: ", float64(w.now)/1e6) + fmt.Sprintf(format, args...)
	w.say("VIOLATION %s", text)
	panic(violation(text))
}

// chance is true with a probability of one in n, while there are faults.
func (w *world) chance(n int) bool { return !w.calm && n > 0 && w.IntN(n) == 0 }

// between draws a length of time; short ones are as likely as long ones by order of magnitude.
func (w *world) between(from, to int64) int64 {
	for to/4 > from && w.IntN(2) == 0 {
		to /= 4
	}
	return from + w.Int64N(max(to-from, 1))
}

// truth is room time as a perfect clock would show it.
func (w *world) truth() int64 { return begin + w.now }

// Replay is the command that lives through a world again and tells what happens.
func Replay(seed uint64, heavy bool) string {
	text := fmt.Sprintf("go run ./internal/simulation/campaign -trace -seed=%d", seed)
	if heavy {
		text += " -heavy"
	}
	return text
}
