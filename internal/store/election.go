package store

import (
	"time"

	"fairgate/internal/wire"
)

// LeaseRow is what a candidate saw of a lease in one look: the row, and what Postgres said of it in the same moment.
type LeaseRow struct {
	Epoch   int64
	Holder  []byte
	PID     int32
	Started *time.Time
	Renewed time.Time
	Giver   []byte // who gave it back, while nobody holds it

	At       time.Time     // Postgres' clock
	Manned   bool          // the very backend that the row names has the session lock
	Reserved time.Duration // it was given back in favour of another candidate, who has it to itself so long yet
	Favoured bool          // it was given back in favour of this candidate
}

// Free says that the holder gave the lease back, or that there never was one.
func (r LeaseRow) Free() bool { return len(r.Holder) == 0 }

// usurped says that the lease is not the leader's and was not given back by it. Somebody won it while the leader's epoch
// record was under way, or while it could not renew; until that one leads, to replace the leader is a pause for nothing.
func (r LeaseRow) usurped(led wire.ID) bool {
	last := r.Holder
	if r.Free() {
		last = r.Giver
	}
	return led != (wire.ID{}) && string(last) != string(led[:])
}

// same says that nobody has touched the row.
func (r LeaseRow) same(o LeaseRow) bool {
	return r.Renewed.Equal(o.Renewed) && r.session(o) && r.Epoch == o.Epoch
}

// session says that both rows name the same session of the same holder.
func (r LeaseRow) session(o LeaseRow) bool {
	return string(r.Holder) == string(o.Holder) && r.PID == o.PID &&
		(r.Started == nil) == (o.Started == nil) && (r.Started == nil || r.Started.Equal(*o.Started))
}

// Election is what a candidate has seen of a lease over one unbroken connection, and decides whether it may take it. It
// is pure: Contend drives it, and so does a simulation of it.
type Election struct {
	ttl     time.Duration
	first   LeaseRow      // as it became what it is now
	since   time.Duration // on the candidate's clock
	manned  bool          // the session that the row names was seen with the lock
	yielded bool          // to those who lead less, once for each chance
	began   bool
}

// NewElection has seen nothing yet.
func NewElection(ttl time.Duration) Election { return Election{ttl: ttl} }

// Choice is what a candidate does next.
type Choice uint8

// What a candidate may do.
const (
	KeepWaiting Choice = iota
	StepAside          // give the lock to whoever has a better right to it, and wait a moment
	Yield              // give the lock to whoever leads less, and wait for one's handicap
	TakeLease
)

// leaderFirst is for how many TTLs a leader that lost its lease has it to itself: it learns of that with its next renewal,
// and a whole TTL may pass before it may take the lease from whoever has it and does not lead.
const leaderFirst = 2

// See judges one look. locked says that the candidate has the session lock; now is a clock that never jumps; handicap is
// how long those who should rather lead are let go first; led is whom the log shows alive and leading with a lease won
// under that id, zero for nobody or the candidate itself.
//
// A fresh connection that finds the lock free proves nothing: the database itself may have restarted under a living
// holder. Nor does a lock that some other candidate had for a moment: only the holder's own session counts.
func (e *Election) See(row LeaseRow, locked bool, now, handicap time.Duration, led wire.ID) Choice {
	if !e.began || !row.same(e.first) {
		e.manned = e.manned && row.session(e.first)
		e.yielded = e.yielded && row.session(e.first)
		e.began, e.first, e.since = true, row, now
	}
	e.manned = e.manned || row.Manned
	died := e.manned && !row.Free()
	switch {
	case locked && row.Reserved > 0 && now-e.since < e.ttl: // however Postgres' clock jumps
		return StepAside
	case row.usurped(led) && now-e.since < leaderFirst*e.ttl:
		if locked {
			return StepAside
		}
		return KeepWaiting
	case locked && (row.Free() || died):
		if handicap > 0 && !e.yielded && !row.Favoured {
			e.yielded = true
			return Yield
		}
		return TakeLease
	case e.hung(row, now, handicap):
		return TakeLease
	case locked:
		return StepAside
	}
	return KeepWaiting
}

// hung says that nobody renewed the row for a whole TTL, by Postgres' clock and by ours: the one may jump, and the other
// runs on while we were stopped ourselves.
func (e *Election) hung(row LeaseRow, now, handicap time.Duration) bool {
	return row.At.Sub(e.first.At) >= e.ttl && now-e.since >= e.ttl+handicap
}
