package simulation

import (
	"errors"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// errAway: the database did not answer, or the connection broke. What was asked for may have been done.
var errAway = errors.New("simulated: database does not answer")

// rollback is how much of its newest past a failover may lose.
const rollback = 10 * sale.Second

// key names a row.
type key struct {
	table table
	n     int64
	id    wire.ID
}

type table uint8

const (
	tableLease table = iota
	tableSnapshot
	tableSequence
	tablePosition
	tableBooking
	tableEvent
	tableType
	tableCommand
	tableOutbox
	tableHead
)

// postgres keeps rows and can lose the newest of them. Rows are never changed in place.
type postgres struct {
	w        *world
	rows     map[key]any
	undo     []change
	trimmed  int // how much of undo is too old to be undone
	down     int
	shaky    int
	skew     int64 // of its own clock
	sessions map[int32]*session
	pids     int32
	lock     *session // who has the advisory lock of the one lease
	queue    []*waiter
	live     map[wire.ID]bool // bookings with a deadline, an index
	saved    map[int64]bool   // snapshots, an index
	troubled
	rolledBack int64 // when a failover last lost something
	emptied    int64 // when everything was lost
}

// change is a row as it was before.
type change struct {
	at  int64
	key key
	old any
}

// session is one connection of ours to the server.
type session struct {
	owner *process
	life  int
	backend
	open bool
}

// backend is what a lease's row names.
type backend struct {
	PID     int32
	Started time.Time
}

// waiter waits for the advisory lock.
type waiter struct {
	s    *session
	done func(locked bool)
	over bool
}

func newPostgres(w *world) *postgres {
	return &postgres{w: w, rows: map[key]any{}, sessions: map[int32]*session{}, live: map[wire.ID]bool{}, saved: map[int64]bool{}, pids: 100}
}

// clock is what clock_timestamp() says.
func (pg *postgres) clock() time.Time { return time.UnixMicro(pg.w.truth() + pg.skew).UTC() }

func (pg *postgres) set(k key, row any) {
	pg.undo = append(pg.undo, change{pg.w.now, k, pg.rows[k]})
	pg.write(k, row)
	for pg.trimmed < len(pg.undo) && pg.undo[pg.trimmed].at < pg.w.now-rollback {
		pg.undo[pg.trimmed] = change{}
		pg.trimmed++
	}
	if pg.trimmed > 10_000 && pg.trimmed > len(pg.undo)/2 {
		pg.undo = append([]change(nil), pg.undo[pg.trimmed:]...)
		pg.trimmed = 0
	}
}

func (pg *postgres) write(k key, row any) {
	if row == nil {
		delete(pg.rows, k)
	} else {
		pg.rows[k] = row
	}
	switch k.table {
	case tableBooking:
		if b, _ := row.(*booking); b != nil && b.live() {
			pg.live[k.id] = true
		} else {
			delete(pg.live, k.id)
		}
	case tableSnapshot:
		if row != nil {
			pg.saved[k.n] = true
		} else {
			delete(pg.saved, k.n)
		}
	}
}

// failover makes a standby the primary that had not heard of the newest transactions.
func (pg *postgres) failover(lost int64) {
	pg.w.say("postgres fails over and loses %.3f s", float64(lost)/1e6)
	to := pg.w.now - lost
	for len(pg.undo) > pg.trimmed && pg.undo[len(pg.undo)-1].at > to {
		last := pg.undo[len(pg.undo)-1]
		pg.write(last.key, last.old)
		pg.undo = pg.undo[:len(pg.undo)-1]
	}
	pg.rolledBack = pg.w.now
	pg.skew = pg.w.Int64N(4*sale.Second) - 2*sale.Second
	pg.restart()
}

// forget loses everything: it was built anew, and only the log knows what was.
func (pg *postgres) forget() {
	pg.w.say("postgres is built anew, empty")
	clear(pg.rows)
	clear(pg.live)
	clear(pg.saved)
	pg.undo, pg.trimmed = nil, 0
	pg.rolledBack, pg.emptied = pg.w.now, pg.w.now
	pg.restart()
}

// restart ends every session.
func (pg *postgres) restart() {
	for _, s := range pg.sessions {
		s.open = false
	}
	clear(pg.sessions)
	pg.lock = nil
	for _, q := range pg.queue {
		q.over = true
	}
	pg.queue = nil
}

// disconnect ends the sessions of a process that died.
func (pg *postgres) disconnect(p *process) {
	for pid := int32(100); pid <= pg.pids && len(pg.sessions) > 0; pid++ {
		if s := pg.sessions[pid]; s != nil && s.owner == p {
			pg.end(s)
		}
	}
}

// end closes one session on the server's side.
func (pg *postgres) end(s *session) {
	if !s.open {
		return
	}
	s.open = false
	delete(pg.sessions, s.PID)
	if pg.lock == s {
		pg.unlock(s)
	}
}

func (pg *postgres) unlock(s *session) {
	if pg.lock != s {
		return
	}
	pg.lock = nil
	for len(pg.queue) > 0 {
		q := pg.queue[0]
		pg.queue = pg.queue[1:]
		if q.over || !q.s.open {
			continue
		}
		q.over = true
		pg.lock = q.s
		q.done(true)
		return
	}
}

// call makes the server do something for a process, over a session or, if that is nil, over any connection.
func (pg *postgres) call(p *process, s *session, do func(), done func(err error)) {
	w, life := pg.w, p.life
	if p.noPostgres {
		p.reply(life, w.between(sale.Millisecond, sale.Second), func() { done(errAway) })
		return
	}
	w.after(w.hop(), func() {
		lost := pg.shaky > 0 && w.chance(pg.shaky)
		if lost {
			p.healthy = w.now // one of its own calls failed: it cannot be blamed for what follows
		}
		switch {
		case pg.down > 0 || s != nil && !s.open || lost && w.IntN(2) == 0:
			p.reply(life, w.hop(), func() { done(errAway) })
			return
		case lost:
			do()
			p.reply(life, w.between(sale.Millisecond, sale.Second), func() { done(errAway) })
			return
		}
		do()
		p.reply(life, w.hop(), func() {
			if p.noPostgres {
				done(errAway)
			} else {
				done(nil)
			}
		})
	})
}

// connect opens a session.
func (pg *postgres) connect(p *process, done func(s *session, err error)) {
	s := &session{owner: p, life: p.life}
	pg.call(p, nil, func() {
		if !p.alive || p.life != s.life {
			return
		}
		pg.pids++
		s.PID, s.Started, s.open = pg.pids, pg.clock(), true
		pg.sessions[s.PID] = s
	}, func(err error) {
		if err != nil {
			pg.hangUp(s)
			s = nil
		}
		done(s, err)
	})
}

// hangUp closes a session on the client's side; the server hears of it, or its tcp_user_timeout ends it.
func (pg *postgres) hangUp(s *session) {
	if s == nil {
		return
	}
	wait := pg.w.hop()
	if s.owner.noPostgres {
		wait = 5 * sale.Second
	}
	pg.w.after(wait, func() { pg.end(s) })
}
