package simulation

import (
	"bytes"

	"fairgate/internal/answer"
	"fairgate/internal/engine"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// settleWithin is how long a calm world may need until everything is done.
const settleWithin = 90 * sale.Second

// heal ends every fault. What is lasting ends by itself within seconds.
func (w *world) heal() {
	w.say("calm")
	w.calm = true
	w.postgres.shaky, w.broker.shaky = 0, 0
	w.until(w.shape.encore, func() bool { return false })
	w.crowd.quiet = true
}

// finish waits until everything is done, and checks what can only be said at the end: now, and once more after
// everything has stopped and begun again.
func (w *world) finish() {
	w.settle()
	w.conclude()
	if w.shape.between == 0 {
		w.undisturbed()
	}
	if w.IntN(3) == 0 {
		w.stopAll()
		w.settle()
		w.conclude()
	}
}

func (w *world) settle() {
	var left string
	if !w.until(settleWithin, func() bool { left = w.left(); return left == "" }) {
		w.fail("in calm for %d s, and still %s", settleWithin/sale.Second, left)
	}
}

// left is what is not done yet.
func (w *world) left() string {
	leaders := 0
	for _, n := range w.nodes {
		switch {
		case n.replica == nil:
			return n.name + " does not run"
		case n.replica.Core().Next() < int64(len(w.broker.log.values)):
			return n.name + " has not applied all"
		case n.replica.Seen() < n.replica.Core().Seq():
			return "outcomes are missing"
		case n.replica.Role() == engine.Leading:
			leaders++
		}
	}
	if leaders != 1 {
		return "there is not one leader"
	}
	if !w.shape.waiting {
		if at := w.postgres.projected(); at.NextSeq != w.audit.seq+1 {
			return "the projection is behind"
		}
	}
	for _, p := range w.crowd.order {
		if !p.over && w.audit.clock.Now > 0 {
			return "a payment was not answered"
		}
	}
	for _, g := range w.gateways {
		if !g.alive || g.flying || len(g.queue) > 0 {
			return "a gateway has not sent all"
		}
	}
	return ""
}

// conclude checks everybody's state against the log alone.
func (w *world) conclude() {
	if diff := w.audit.fold.compare(w.postgres); diff != "" && !w.shape.waiting {
		w.fail("the projection is not the fold of the outcomes: %s", diff)
	}
	replay := engine.NewCore(w.machine(), 0)
	var out wire.Outcomes
	for i, value := range w.broker.log.values {
		if err := replay.Apply(int64(i), value, &out); err != nil {
			w.fail("replaying: %v", err)
		}
		out.Reset()
	}
	want := replay.Snapshot(nil)
	for _, n := range w.nodes {
		if core := n.replica.Core(); core.Next() == replay.Next() && !bytes.Equal(core.Snapshot(nil), want) {
			w.fail("%s has another state than a replay of the log", n.name)
		}
	}
	w.promises()
}

// promises holds against the log what people were told.
func (w *world) promises() {
	c := w.crowd
	for _, p := range c.promises {
		if f, ok := w.audit.firsts[p.command]; ok && p.broken(f) {
			w.fail("command %s was called not taken, and outcome %d decided it", wire.Hex(p.command), f.seq)
		}
	}
	if w.shape.waiting {
		return
	}
	logTime := w.postgres.projected().LogTime
	for _, a := range c.pending {
		id := a.cmd.head.Command
		row, known := w.postgres.rows[key{table: tableCommand, id: id}].(commandRow)
		f, decided := w.audit.firsts[id]
		switch {
		case known && decided && row.seq != f.seq:
			w.fail("command %s was decided by outcome %d and is answered by %d", wire.Hex(id), f.seq, row.seq)
		case !known && decided:
			w.fail("the answer to command %s is lost", wire.Hex(id))
		case !known && answer.FateAt(a.until, logTime) != answer.NotTaken && logTime > a.until+sale.Second:
			w.fail("nobody says what became of command %s", wire.Hex(id))
		}
	}
}

// undisturbed is what must be true where nothing went wrong: one term, no outage, nothing twice.
func (w *world) undisturbed() {
	past := int64(0)
	if w.shape.past > 0 {
		past = 1
	}
	switch {
	case w.audit.terms-past != 1:
		w.fail("nothing went wrong, and there were %d terms", w.audit.terms-past)
	case w.audit.duplicates != 0:
		w.fail("nothing went wrong, and %d outcomes were emitted twice", w.audit.duplicates)
	case w.audit.clock.Outage != 0:
		w.fail("nothing went wrong, and there was an outage of %.3f s", float64(w.audit.clock.Outage)/1e6)
	}
}
