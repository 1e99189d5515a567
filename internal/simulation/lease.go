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
	heirFirst = 150 * sale.Millisecond
	asideFor  = 40 * sale.Millisecond
	// contendAgain is the pause before a contention whose connection failed is begun anew.
	contendAgain = 200 * sale.Millisecond
)

// leaseRow is the row of the one lease.
type leaseRow struct {
	epoch   uint64
	holder  wire.ID
	session backend
	renewed time.Time
	heir    string // the node that may take it first, until
	until   time.Time
	giver   wire.ID // who gave it back
}

var leaseKey = key{table: tableLease}

func (pg *postgres) lease() leaseRow {
	r, _ := pg.rows[leaseKey].(leaseRow)
	return r
}

// seen is the row as a candidate sees it.
func (pg *postgres) seen(by *node) store.LeaseRow {
	r := pg.lease()
	s := store.LeaseRow{Epoch: int64(r.epoch), Giver: r.giver[:], PID: r.session.PID, Renewed: r.renewed, At: pg.clock()}
	if r.holder != (wire.ID{}) {
		s.Holder = append([]byte(nil), r.holder[:]...)
	} else if r.heir != "" {
		s.Favoured = r.heir == by.name
		if !s.Favoured {
			s.Reserved = r.until.Sub(s.At)
		}
	}
	if r.session.PID != 0 {
		s.Started = &r.session.Started
		s.Manned = pg.lock != nil && pg.lock.PID == r.session.PID && pg.lock.Started.Equal(r.session.Started)
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

	election  store.Election
	began     int64
	handicap  int64
	cancelled bool
	winning   bool // the row is ours
	told      bool
	ended     func(won bool)
}

// contend does what store.Contend does; ended is told once, unless the node dies.
func contend(n *node, id wire.ID, ended func(l *lease, won bool)) *lease {
	l := &lease{w: n.w, n: n, id: id, election: store.NewElection(duration(leaseTTL)), began: n.w.now, handicap: n.handicap}
	l.ended = func(won bool) {
		if l.told {
			return
		}
		l.told = true
		if !won {
			l.close()
		}
		ended(l, won || l.winning)
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
	l.locked = false
	l.w.postgres.hangUp(l.s)
	l.s = nil
}

// call does something in the database and goes on, or ends the contention.
func (l *lease) call(do, then func()) {
	s := l.s
	if l.cancelled || s == nil { // it may have ended while the answer to an earlier call was under way
		l.ended(false)
		return
	}
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

func duration(micros int64) time.Duration { return time.Duration(micros) * time.Microsecond }

func (l *lease) look() {
	var row store.LeaseRow
	l.call(func() { row = l.w.postgres.seen(l.n) }, func() {
		switch l.election.See(row, l.locked, duration(l.w.now-l.began), duration(l.handicap), l.led()) {
		case store.TakeLease:
			l.take(row)
		case store.StepAside:
			l.letGo(max(asideFor, min(row.Reserved.Microseconds(), leaseTTL)))
		case store.Yield:
			l.letGo(l.handicap)
		default:
			l.lock(l.look)
		}
	})
}

func (l *lease) led() wire.ID {
	if l.n.replica == nil {
		return wire.ID{}
	}
	return l.n.replica.Led(l.w.now)
}

// letGo gives the lock to others, waits, and begins again.
func (l *lease) letGo(wait int64) {
	again := func() { l.n.after(wait, func() { l.lock(l.look) }) }
	if !l.locked {
		again()
		return
	}
	s := l.s
	l.call(func() { l.w.postgres.unlock(s) }, func() {
		l.locked = false
		again()
	})
}

// lock waits for the lock, but not for long.
func (l *lease) lock(then func()) {
	if l.locked {
		then()
		return
	}
	pg, s := l.w.postgres, l.s
	if s == nil {
		l.ended(false)
		return
	}
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
			l.locked = locked
			then()
		})
	}
	l.call(func() {
		if pg.lock == nil || pg.lock == s {
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

// take makes the row ours if it still is as it was seen, and then ends the session that hangs.
func (l *lease) take(seen store.LeaseRow) {
	pg, s, locked := l.w.postgres, l.s, l.locked
	won := false
	l.call(func() {
		row, now := pg.lease(), pg.seen(l.n)
		if now.Epoch != seen.Epoch || string(now.Holder) != string(seen.Holder) || !now.Renewed.Equal(seen.Renewed) {
			return
		}
		won = true
		l.epoch = row.epoch + 1
		pg.set(leaseKey, leaseRow{epoch: l.epoch, holder: l.id, session: s.backend, renewed: pg.clock()})
		pg.w.say("%s takes the lease, epoch %d (free=%t locked=%t)", l.n.name, l.epoch, seen.Free(), locked)
		if old := pg.sessions[seen.PID]; !locked && old != nil && old != s && seen.Started != nil && old.Started.Equal(*seen.Started) {
			pg.end(old)
		}
	}, func() {
		if !won {
			l.letGo(0)
			return
		}
		l.winning = true
		l.lock(func() { l.ended(true) })
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
			pg.set(leaseKey, leaseRow{epoch: max(row.epoch, epoch), holder: l.id, session: s.backend, renewed: pg.clock()})
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
func (l *lease) release(heir string, done func()) {
	pg := l.w.postgres
	if l.s == nil || l.over {
		l.abandon()
		done()
		return
	}
	pg.call(&l.n.process, l.s, func() {
		if row := pg.lease(); row.holder == l.id {
			pg.set(leaseKey, leaseRow{epoch: row.epoch, renewed: row.renewed, giver: l.id, heir: heir, until: pg.clock().Add(duration(heirFirst))})
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
