package simulation

import (
	"bytes"

	"fairgate/internal/engine"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

const (
	// patience is how long nothing may be decided while a healthy node could: a lease's TTL, a contention, a boot's reading,
	// and what slow messages add.
	patience = 8 * sale.Second
	// readOn is what a fetch may take, both ways and a turn of the reader included: a world of small fetches reads long
	// what landed late, since each such call repeats thousands of outcomes.
	readOn = 10 * sale.Millisecond
	// burn is how much elapsed log time may pass while nothing is decided: one tick that was under way, and one step that
	// is just not an outage, with the bounds of two clocks.
	burn = 2*2*sale.Second + 2*boundLimit + 2*sale.Second
	// steady is for how long a leader must have been well before its replacement needs a reason.
	steady = leaseTTL + 3*sale.Second
)

// audit knows what really happened, and holds every promise against it at once.
type audit struct {
	w     *world
	model *model.Partition

	// Of the log.
	clock   sale.LogClock // derived here once more, on purpose
	leader  wire.ID
	terms   int64
	wonAt   int64
	leaders map[wire.ID]*node
	asked   map[wire.ID]int64 // when a leader's epoch record was first appended

	// Of the outcomes.
	seq        uint64
	offsets    []int32 // by sequence number less 1: where it lies in the topic
	group      [][]byte
	decidedAt  int64 // when the last new outcome landed
	tickedAt   int64 // when the last Ticked landed
	elapsed    int64 // at that Ticked
	duplicates int64
	outages    int64
	firsts     map[wire.ID]first
	fold       *fold
}

// first is the outcome that decided a command.
type first struct {
	seq      uint64
	kind     wire.Kind
	notAfter int64
	offset   int64
}

func newAudit(w *world) *audit {
	a := &audit{w: w, leaders: map[wire.ID]*node{}, asked: map[wire.ID]int64{}, firsts: map[wire.ID]first{}, fold: newFold()}
	a.model = model.NewOrders(0, model.Limits(w.shape.limits))
	if w.shape.waiting {
		a.model = model.NewQueue(0)
	}
	return a
}

// appending looks at what a node wants in the log: a tick may not run ahead of the truth by more than the clock's bound.
func (a *audit) appending(n *node, value []byte) {
	r, err := wire.ParseRecord(value)
	if err != nil {
		a.w.fail("%s appends what is no record: %v", n.name, err)
	}
	var t wire.Tick
	if r.DecodeInto(&t) == nil {
		a.w.say("%s ticks to %d of epoch %d", n.name, t.Now-begin, t.Epoch)
		if ahead := t.Now - a.w.truth(); ahead > boundLimit+a.w.shape.grain {
			a.w.fail("%s ticks %.3f s ahead of room time", n.name, float64(ahead)/1e6)
		}
	}
	var e wire.Epoch
	if r.DecodeInto(&e) == nil {
		if a.leaders[e.Leader] == nil {
			a.leaders[e.Leader], a.asked[e.Leader] = n, a.w.now
		}
		a.w.say("%s appends epoch %d", n.name, e.Epoch)
	}
}

// record takes in what landed in the log.
func (a *audit) record(at int, value []byte, by *process) {
	r, err := wire.ParseRecord(value)
	if err != nil {
		return
	}
	switch r.Kind {
	case wire.KindTick:
		var t wire.Tick
		if r.DecodeInto(&t) == nil && t.Epoch == a.clock.Epoch && t.Now >= a.clock.Now {
			if step := t.Now - a.clock.Now; a.clock.Now != 0 && step > 2*sale.Second {
				a.clock.Outage += min(step, 2*sale.Hour)
			}
			a.clock.Now = t.Now
		}
	case wire.KindEpoch:
		var e wire.Epoch
		if r.DecodeInto(&e) == nil && e.Epoch > a.clock.Epoch && e.Epoch-a.clock.Epoch <= 1<<32 {
			a.term(e)
		}
	}
}

// term is a new leader. One that leads and is well is never replaced, whatever happens to Postgres.
func (a *audit) term(e wire.Epoch) {
	w, old, now := a.w, a.leaders[a.leader], a.leaders[e.Leader]
	a.w.say("epoch %d begins", e.Epoch)
	defer func() {
		a.clock.Epoch, a.leader, a.wonAt = e.Epoch, e.Leader, w.now
		a.terms++
	}()
	if old == nil || now == nil || old.role != engine.Leading {
		return
	}
	// What counts is how it was when the other one won; its record may have taken a while.
	when := a.asked[e.Leader]
	since, well := old.fine()
	brokerSince, brokerWell := w.broker.fine()
	postgresSince, _ := w.postgres.fine()
	switch {
	case !well || when-since < steady:
	case old.gave > a.wonAt && when-postgresSince < steady:
		// It gave the lease away while Postgres was not there to hear it.
	case !brokerWell || when-brokerSince < steady:
	case a.wonAt > w.postgres.rolledBack-rollback-steady && w.postgres.rolledBack != 0 && w.now-w.postgres.rolledBack < 2*rollback:
		// Postgres may have forgotten that it has the lease.
	case w.postgres.emptied > a.wonAt:
		// Postgres surely has: nobody holds a lease that has no row.
	default:
		w.fail("%s replaces %s, which was well for %.3f s", now.name, old.name, float64(w.now-since)/1e6)
	}
}

// outcome takes in what landed in the outcomes topic.
func (a *audit) outcome(at int, value []byte, by *process) {
	w := a.w
	o, err := wire.ParseOutcome(value)
	switch {
	case err != nil:
		w.fail("%s emits what is no outcome: %v", by.name, err)
	case o.Seq <= a.seq:
		if !bytes.Equal(w.broker.outcomes.values[a.offsets[o.Seq-1]], value) {
			w.fail("%s emits another outcome %d than was emitted before: replicas disagree", by.name, o.Seq)
		}
		a.duplicates++
		return
	case o.Seq > a.seq+1:
		w.fail("%s emits outcome %d after %d: a gap for every consumer", by.name, o.Seq, a.seq)
	}
	a.seq++
	a.offsets = append(a.offsets, int32(at))
	a.group = append(a.group, value)
	a.stall()
	if o.Last {
		a.judge(o.Offset)
	}
}

// judge holds a whole record with its outcomes against the simple model, and learns what fans may be told.
func (a *audit) judge(offset int64) {
	w, group := a.w, a.group
	a.group = a.group[:0]
	if offset >= int64(len(w.broker.log.values)) {
		w.fail("an outcome of record %d, which is not in the log", offset)
	}
	record := w.broker.log.values[offset]
	a.story(offset, record, group)
	for _, f := range a.model.Check(offset, record, group) {
		w.fail("invariant %d: record %d: %s", f.Invariant, offset, f.Explain)
	}
	for i, value := range group {
		o, _ := wire.ParseOutcome(value)
		if i == 0 && o.Command != (wire.ID{}) {
			a.decided(o, record)
		}
		switch o.Kind {
		case wire.KindTicked:
			var t wire.Ticked
			_ = o.DecodeInto(&t)
			a.tickedAt, a.elapsed = w.now, t.Now-t.Outage
		case wire.KindExtended:
			a.outages++
		}
		if !w.shape.waiting {
			a.fold.take(o)
		}
		w.crowd.hear(o)
	}
}

// story tells the trace of a record and what was decided.
func (a *audit) story(offset int64, record []byte, group [][]byte) {
	if a.w.trace == nil {
		return
	}
	wanted, body, decided := wire.NewOrder, wire.Body(nil), wire.NewOrderOutcome
	if a.w.shape.waiting {
		wanted, decided = wire.NewQueueRecord, wire.NewQueueOutcome
	}
	r, err := wire.ParseRecord(record)
	if body = wanted(r.Kind); err != nil || body == nil || r.DecodeInto(body) != nil {
		a.w.say("record %d: %d bytes of nothing known", offset, len(record))
	} else {
		a.w.say("record %d: %d/%x %s", offset, r.Object, r.Ref[8:12], model.Text(body))
	}
	for _, value := range group {
		o, _ := wire.ParseOutcome(value)
		if body := decided(o.Kind); body != nil && o.DecodeInto(body) == nil {
			a.w.say("    outcome %d: %d/%x %s", o.Seq, o.Object, o.Ref[8:12], model.Text(body))
		}
	}
}

// decided notes what decided a command: exactly one outcome, repetitions aside.
func (a *audit) decided(o wire.Outcome, record []byte) {
	if o.Kind == wire.KindRepeated || o.Kind == wire.KindRejected {
		return
	}
	r, _ := wire.ParseRecord(record)
	if r.NotAfter == 0 {
		return // idempotent by its state
	}
	if f, ok := a.firsts[o.Command]; ok {
		a.w.fail("command %s was decided twice, by outcomes %d and %d", wire.Hex(o.Command), f.seq, o.Seq)
	}
	a.firsts[o.Command] = first{o.Seq, o.Kind, r.NotAfter, o.Offset}
}

// stall looks at a pause in deciding that has just ended: nobody's five minutes may have burnt meanwhile.
func (a *audit) stall() {
	pause := a.w.now - a.decidedAt
	a.decidedAt = a.w.now
	if pause <= burn || a.elapsed == 0 {
		return
	}
	if burnt := a.clock.Now - a.clock.Outage - a.elapsed; burnt > burn {
		a.w.fail("nothing was decided for %.3f s, and deadlines came %.3f s closer", float64(pause)/1e6, float64(burnt)/1e6)
	}
}

// available looks whether somebody could decide and nobody does.
func (a *audit) available() {
	w := a.w
	brokerSince, ok := w.broker.fine()
	if !ok {
		return
	}
	postgresSince, ok := w.postgres.fine()
	if !ok {
		return
	}
	nodesSince := w.now
	for _, n := range w.nodes {
		if since, ok := n.fine(); ok && !n.unfit() {
			nodesSince = min(nodesSince, max(since, n.clock.since))
		}
	}
	if idle := w.now - max(a.tickedAt, brokerSince, postgresSince, nodesSince); idle > patience+w.broker.late/int64(w.shape.fetch)*readOn {
		w.fail("nothing was decided for %.3f s, and somebody could", float64(idle)/1e6)
	}
	for _, n := range w.nodes {
		if n.replica != nil && n.role == engine.Leading && n.unfit() && !n.paused {
			n.pump()
		}
	}
}

// counted looks at a snapshot that from now on is trusted: after a full stop nobody derives what lies below it.
func (a *audit) counted(s store.Snapshot) {
	if s.NextSeq > a.seq+1 {
		a.w.fail("snapshot %d counts from outcome %d on, and only %d were emitted", s.ID, s.NextSeq, a.seq)
	}
}

// projected looks at where the projection stands now.
func (a *audit) projected(at store.Projected) {
	if at.NextSeq > a.seq+1 {
		a.w.fail("the projection is at outcome %d of %d", at.NextSeq, a.seq)
	}
	if at.NextSeq < 2 {
		return
	}
	value := a.w.broker.outcomes.values[a.offsets[at.NextSeq-2]]
	if o, _ := wire.ParseOutcome(value); o.Hash != at.Hash {
		a.w.fail("the projection knows another hash after outcome %d", at.NextSeq-1)
	}
}
