package simulation

import (
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

const (
	leaseTTL  = 1500 * sale.Millisecond
	leaseWait = 250 * sale.Millisecond // for the lock, in the server
	leaseCall = sale.Second            // one renewal or release
	// contendAgain is the pause before a contention whose connection failed is begun anew.
	contendAgain = 200 * sale.Millisecond
)

// leaseRow is the row of the one lease.
type leaseRow struct {
	epoch   uint64
	holder  wire.ID
	session store.Session
	renewed time.Time
}

var leaseKey = key{table: tableLease}

func (pg *postgres) lease() leaseRow {
	r, _ := pg.rows[leaseKey].(leaseRow)
	return r
}

// seen is the row as a candidate sees it.
func (r leaseRow) seen() store.LeaseRow {
	s := store.LeaseRow{Epoch: int64(r.epoch), PID: r.session.PID, Renewed: r.renewed}
	if r.holder != (wire.ID{}) {
		s.Holder = append([]byte(nil), r.holder[:]...)
	}
	if r.session.PID != 0 {
		s.Started = &r.session.Started
	}
	return s
}

// lease is store.Lease: one that was won, or is contended for.
type lease struct {
	w      *world
	n      *node
	id     wire.ID
	s      *session // nil while the database is away
	epoch  uint64
	locked bool
	over   bool

	candidate store.Candidate
	origin    int64
	sight     store.Sight
	cancelled bool
	ended     func(won bool)
}

// contend does what store.Contend does; ended is told once, unless the node dies.
func contend(n *node, id wire.ID, ended func(l *lease, won bool)) *lease {
	l := &lease{w: n.w, n: n, id: id, candidate: store.NewCandidate(time.Duration(leaseTTL) * time.Microsecond), origin: n.w.now}
	l.ended = func(won bool) {
		if !won {
			l.close()
		}
		ended(l, won)
	}
	n.w.postgres.connect(&n.process, func(s *session, err error) {
		if l.s = s; err != nil {
			l.ended(false)
			return
		}
		l.call(func() {}, l.look)
	})
	return l
}

func (l *lease) close() {
	l.w.postgres.hangUp(l.s)
	l.s = nil
}

// call does something in the database and goes on, or ends the contention.
func (l *lease) call(do, then func()) {
	if l.cancelled {
		l.ended(false)
		return
	}
	s := l.s
	l.w.postgres.call(&l.n.process, s, func() {
		if s.open {
			do()
		}
	}, func(err error) {
		if err != nil || l.cancelled {
			l.ended(false)
			return
		}
		then()
	})
}

func (l *lease) look() {
	l.call(func() { l.sight.Row = l.w.postgres.lease().seen() }, func() {
		l.sight.At = l.w.now - l.origin
		if l.candidate.Sees(l.sight) {
			l.take()
			return
		}
		l.stepBack()
	})
}

// stepBack gives the lock to a holder that lives.
func (l *lease) stepBack() {
	if !l.sight.Locked {
		l.lock()
		return
	}
	s := l.s
	l.call(func() { l.w.postgres.unlock(s) }, func() { l.n.after(leaseWait/5, l.lock) })
}

// lock waits for the lock, and looks at who has it.
func (l *lease) lock() {
	pg, s, row := l.w.postgres, l.s, l.sight.Row
	locked, held := false, false
	l.call(func() {
		if pg.lock == nil {
			pg.lock, locked = s, true
			return
		}
		held = row.Names(pg.lock.Session)
	}, func() {
		l.sight.Locked, l.sight.Held = locked, held
		if locked {
			l.look()
			return
		}
		l.wait(s)
	})
}

func (l *lease) wait(s *session) {
	pg := l.w.postgres
	told := false
	tell := func(locked bool) {
		if told {
			return
		}
		told = true
		l.n.after(l.w.hop(), func() {
			if l.cancelled || s != l.s {
				l.ended(false)
				return
			}
			l.sight.Locked = locked
			l.look()
		})
	}
	l.call(func() {
		if pg.lock == nil {
			pg.lock = s
			tell(true)
			return
		}
		q := &waiter{s: s, done: tell}
		pg.queue = append(pg.queue, q)
		l.w.after(leaseWait, func() {
			q.over = true
			tell(false)
		})
	}, func() {})
}

// take makes the row ours if it still is as it was seen.
func (l *lease) take() {
	pg, s, seen, locked := l.w.postgres, l.s, l.sight.Row, l.sight.Locked
	won := false
	l.call(func() {
		if old := pg.sessions[seen.PID]; !locked && old != nil && old != s && seen.Names(old.Session) {
			pg.end(old)
		}
	}, func() {
		l.call(func() {
			row := pg.lease()
			now := row.seen()
			if now.Epoch != seen.Epoch || string(now.Holder) != string(seen.Holder) || !now.Renewed.Equal(seen.Renewed) {
				return
			}
			won = true
			l.epoch = row.epoch + 1
			pg.set(leaseKey, leaseRow{l.epoch, l.id, s.Session, pg.clock()})
			pg.w.say("%s takes the lease, epoch %d (free=%t locked=%t)", l.n.name, l.epoch, seen.Free(), locked)
		}, func() {
			if !won {
				l.stepBack()
				return
			}
			l.locked = locked
			l.ended(true)
		})
	})
}

// renew does what store.Lease.Renew does. lost says that the row is somebody else's.
func (l *lease) renew(epoch uint64, done func(lost bool, err error)) {
	pg := l.w.postgres
	if l.over {
		done(true, nil)
		return
	}
	if l.s == nil {
		l.locked = false
		pg.connect(&l.n.process, func(s *session, err error) {
			switch {
			case err != nil:
				done(false, err)
			case l.over:
				pg.hangUp(s)
				done(true, nil)
			default:
				l.s = s
				l.update(epoch, done)
			}
		})
		return
	}
	l.update(epoch, done)
}

func (l *lease) update(epoch uint64, done func(lost bool, err error)) {
	pg, s := l.w.postgres, l.s
	lost, locked := false, false
	pg.call(&l.n.process, s, func() {
		row := pg.lease()
		if lost = row.holder != l.id; !lost {
			pg.set(leaseKey, leaseRow{max(row.epoch, epoch), l.id, s.Session, pg.clock()})
		}
	}, func(err error) {
		if err != nil || lost || l.locked {
			l.ifBroken(err)
			done(lost, err)
			return
		}
		pg.call(&l.n.process, s, func() {
			if s.open && (pg.lock == nil || pg.lock == s) {
				pg.lock, locked = s, true
			}
		}, func(err error) {
			l.locked = err == nil && locked
			l.ifBroken(err)
			done(false, err)
		})
	})
}

func (l *lease) ifBroken(err error) {
	if err != nil {
		l.close()
	}
}

// release gives it back.
func (l *lease) release(done func()) {
	pg := l.w.postgres
	if l.s == nil || l.over {
		l.abandon()
		done()
		return
	}
	pg.call(&l.n.process, l.s, func() {
		if row := pg.lease(); row.holder == l.id {
			pg.set(leaseKey, leaseRow{epoch: row.epoch, renewed: row.renewed})
			pg.w.say("%s gives the lease back", l.n.name)
		}
	}, func(error) {
		l.abandon()
		done()
	})
}

func (l *lease) abandon() {
	l.over = true
	l.close()
}
