package engine

import "fairgate/internal/wire"

// LeaseWon tells that the lease is ours: leader is the id it was won under, epoch the least that may be used.
func (r *Replica) LeaseWon(leader wire.ID, epoch uint64, now int64) {
	r.holding, r.leaseEpoch, r.renewedAt = true, epoch, now
	if r.role == Leading || r.stopping {
		r.releasing = r.stopping
		return // we led without it while Postgres was away
	}
	r.role = Electing
	r.own = leader
	r.term = wire.Epoch{Epoch: max(epoch, r.core.clock.Epoch+1), Leader: leader, Code: r.core.Code()}
	r.sent, r.retryAt, r.progress = r.backlog.seen, now, false
}

// LeaseGone tells that the lease is somebody else's or was given back. It ends no term: the log does.
func (r *Replica) LeaseGone() {
	r.holding, r.releasing, r.renewing = false, false, false
	if r.role == Electing {
		r.stepDown()
	}
}

// Renewed tells that a renewal ended; failed ones are tried again at the next sign of life.
func (r *Replica) Renewed(now int64) { r.renewing, r.renewedAt = false, now }

// Appended tells how the append of Todo.Append ended: known says that it surely is, or surely is not, in the log.
func (r *Replica) Appended(ok, known bool, now int64) {
	was := r.appending
	r.appending = appendNothing
	switch {
	case was == appendEpoch:
		// Acknowledged, it comes back from the log. Otherwise the same record is sent again: a second one is stale.
		if !ok {
			r.retryAt = now + r.rules.RetryEvery
		} else {
			r.retryAt = 1<<63 - 1
		}
	case was == appendTick && r.tick.out && !ok:
		r.tick.unknown, r.tick.since = true, now
		if known {
			r.tick.out, r.tick.unknown = false, false
		}
	}
}

// Emitted tells that the batch in flight was acknowledged (ok) or given up.
func (r *Replica) Emitted(first uint64, n int, ok bool) {
	r.flying = 0
	if ok {
		r.sent = max(r.sent, first+uint64(n)-1)
		r.progress = true
	}
}

// Stop ends the taking of records, ticks and terms; what was applied is still emitted by a leader.
func (r *Replica) Stop() { r.stopping = true }

// Drained says that a stopping replica has emitted all it should.
func (r *Replica) Drained() bool {
	return r.role == Standby || r.flying == 0 && r.sent >= r.core.Seq()
}

// lagAllowed is how long ago, in microseconds, a candidate may have been caught up.
const lagAllowed = 2_000_000

// Claim is the id to contend under: fresh, or that of the term, so that the lease names whom the log shows leading.
func (r *Replica) Claim(fresh wire.ID) wire.ID {
	if r.role == Leading {
		return r.own
	}
	return fresh
}

// ticksMissed is how many ticks in a row a leader that is well may miss in the eyes of another.
const ticksMissed = 4

// Led is the leader that the log shows at work, zero if there is none or it is this replica. Whoever leads after it
// replaces it all the same; only who has the better right to a lease that nobody uses depends on it.
func (r *Replica) Led(now int64) wire.ID {
	if r.core.Leader() == r.own || now-r.ledAt > ticksMissed*r.rules.TickEvery {
		return wire.ID{}
	}
	return r.core.Leader()
}

// Next is what the replica wants done now.
func (r *Replica) Next(now Now) Todo {
	var t Todo
	fit := now.Bound <= r.rules.BoundLimit
	if !fit && r.role != Standby {
		// A leader whose clock may be wrong hands over: the log's time must not follow it.
		r.stepDown()
	}
	if r.CaughtUp() {
		r.caught, r.caughtAt = true, now.Mono
	}
	// A standby is never quite caught up while records stream in; to begin the contention anew each time would cost it
	// what it has seen of the lock.
	able := r.role == Leading || r.caught && now.Mono-r.caughtAt <= lagAllowed
	t.Contend = !r.holding && !r.stopping && fit && able && !r.handing(now.Mono)
	if r.releasing {
		r.releasing = false
		t.Release = true
		return t
	}
	if r.role == Standby {
		return t
	}
	t.Emit, t.EmitFirst = r.emit(), r.sent+1
	if r.stopping {
		return t
	}
	t.Append = r.record(now)
	t.Renew = r.renew(now)
	t.Documents = r.role == Leading && r.documents(now)
	return t
}

// emit is the next batch of outcomes. A crash after it was sent leaves a batch that the next leader reads back, or sends
// again under the same numbers: readers drop what they have seen.
func (r *Replica) emit() [][]byte {
	if r.flying > 0 || r.sent >= r.core.Seq() || r.role == Electing && !r.outcomesEnd {
		return nil
	}
	batch := r.backlog.batch(r.sent + 1)
	r.flying = len(batch)
	return batch
}

// record is the epoch record of our term until it was acknowledged, and then a tick whenever one is due. A tick waits for
// its predecessor to come back, and for every outcome before that to be acknowledged: whatever delays us shows as a
// long step between two ticks, and is an outage, not time taken from anybody.
func (r *Replica) record(now Now) []byte {
	if r.appending != appendNothing {
		return nil
	}
	if r.role == Electing {
		if now.Mono < r.retryAt {
			return nil
		}
		r.appending = appendEpoch
		return wire.AppendRecord(nil, wire.Record{}, &r.term)
	}
	if r.tick.out || r.sent < r.tick.need || now.Mono-r.tickedAt < r.rules.TickEvery {
		return nil
	}
	r.appending, r.tickedAt = appendTick, now.Mono
	r.tick.out, r.tick.now = true, max(now.Room, r.core.clock.Now)
	return wire.AppendRecord(nil, wire.Record{}, &wire.Tick{Epoch: r.term.Epoch, Now: r.tick.now, Bound: now.Bound})
}

// renew asks for a renewal only after a sign of life: our own tick was read back, or outcomes were acknowledged. A leader
// that hangs inside gives none, and is replaced.
func (r *Replica) renew(now Now) uint64 {
	if !r.holding || r.renewing || !r.progress || now.Mono-r.renewedAt < r.rules.RenewEvery {
		return 0
	}
	r.renewing, r.progress = true, false
	return r.term.Epoch
}

func (r *Replica) documents(now Now) bool {
	if r.rules.DocsEvery == 0 || !r.docsDue || now.Mono-r.docsAt < r.rules.DocsEvery {
		return false
	}
	r.docsDue, r.docsAt = false, now.Mono
	return true
}
