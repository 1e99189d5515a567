package store

import "time"

// leaseRow is what a candidate saw of a lease in one look: the row, and what Postgres said of it in the same moment.
type leaseRow struct {
	epoch   int64
	holder  []byte
	pid     int32
	started *time.Time
	renewed time.Time

	at       time.Time // Postgres' clock
	manned   bool      // the very backend that the row names has the session lock
	reserved bool      // it was given back in favour of another candidate, whose moment is not over
	favoured bool      // it was given back in favour of this candidate
}

// free says that the holder gave the lease back, or that there never was one.
func (r leaseRow) free() bool { return len(r.holder) == 0 }

// same says that nobody has touched the row.
func (r leaseRow) same(o leaseRow) bool {
	return r.renewed.Equal(o.renewed) && r.session(o) && r.epoch == o.epoch
}

// session says that both rows name the same session of the same holder.
func (r leaseRow) session(o leaseRow) bool {
	return string(r.holder) == string(o.holder) && r.pid == o.pid &&
		(r.started == nil) == (o.started == nil) && (r.started == nil || r.started.Equal(*o.started))
}

// election is what a candidate has seen of a lease over one unbroken connection, and decides whether it may take it. It
// is pure.
type election struct {
	ttl     time.Duration
	first   leaseRow      // as it became what it is now
	since   time.Duration // on the candidate's clock
	manned  bool          // the session that the row names was seen with the lock
	yielded bool          // to those who lead less, once for each chance
	began   bool
}

// choice is what a candidate does next.
type choice uint8

const (
	keepWaiting choice = iota
	stepAside          // give the lock to whoever has a better right to it, and wait a moment
	yield              // give the lock to whoever leads less, and wait for one's handicap
	takeLease
)

// see judges one look. locked says that the candidate has the session lock; now is a clock that never jumps; handicap is
// how long those who should rather lead are let go first.
//
// A fresh connection that finds the lock free proves nothing: the database itself may have restarted under a living
// holder. Nor does a lock that some other candidate had for a moment: only the holder's own session counts.
func (e *election) see(row leaseRow, locked bool, now, handicap time.Duration) choice {
	if !e.began || !row.same(e.first) {
		e.manned = e.manned && row.session(e.first)
		e.yielded = e.yielded && row.session(e.first)
		e.began, e.first, e.since = true, row, now
	}
	e.manned = e.manned || row.manned
	died := e.manned && !row.free()
	switch {
	case locked && row.reserved:
		return stepAside
	case locked && (row.free() || died):
		if handicap > 0 && !e.yielded && !row.favoured {
			e.yielded = true
			return yield
		}
		return takeLease
	case e.hung(row, now, handicap):
		return takeLease
	case locked:
		return stepAside
	}
	return keepWaiting
}

// hung says that nobody renewed the row for a whole TTL, by Postgres' clock and by ours: the one may jump, and the other
// runs on while we were stopped ourselves.
func (e *election) hung(row leaseRow, now, handicap time.Duration) bool {
	return row.at.Sub(e.first.at) >= e.ttl && now-e.since >= e.ttl+handicap
}
