package waitingroom

import (
	"sync"

	"fairgate/internal/wire"
)

const (
	// promiseEvery is how often a room's promises are written down, in µs of log time.
	promiseEvery = 5_000_000
	// maxPromises bounds those of one room that wait to be kept.
	maxPromises = 512
)

// promises says how good the estimates are that fans are shown: every few seconds what the document promises to the middle
// and to the end of each lane is written down, and held against the moment at which the invitation gets there. A promise
// holds while the room stays open: a pause voids it.
type promises struct {
	mu     *sync.Mutex
	byRoom map[int64]*promised
}

// promised is what is known of one room.
type promised struct {
	open                []promise
	last                int64 // when the newest were written down
	within, early, late uint64
	waited, off         int64 // µs, of all that were kept: sums of the waits, and of how far they were from the band's middle
}

type promise struct {
	lane, key string
	at        int64
	low, high int64 // µs
}

func newPromises() promises {
	return promises{mu: new(sync.Mutex), byRoom: make(map[int64]*promised)}
}

// observe takes in a room's newest document.
func (p *promises) observe(d *wire.QueueDocument) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.byRoom[d.Room]
	if r == nil {
		if len(p.byRoom) >= MaxRooms {
			return
		}
		r = new(promised)
		p.byRoom[d.Room] = r
	}
	if d.State != wire.RoomOpen.String() {
		r.open = r.open[:0]
		return
	}
	r.settle(d)
	if d.At-r.last >= promiseEvery {
		r.last = d.At
		r.write(d)
	}
}

// settle counts the promises that the invitation has reached.
func (r *promised) settle(d *wire.QueueDocument) {
	rest := r.open[:0]
	for _, m := range r.open {
		lane := laneNamed(d, m.lane)
		if lane == nil || lane.InvitedTo < m.key {
			rest = append(rest, m)
			continue
		}
		waited := d.At - m.at
		const second = 1_000_000 // documents come so often
		switch {
		case waited < m.low-second:
			r.early++
		case waited > m.high+second:
			r.late++
		default:
			r.within++
		}
		middle := (m.low + m.high) / 2
		r.waited += waited
		r.off += max(waited-middle, middle-waited)
	}
	r.open = rest
}

// write notes what each lane's document promises to the middle and the end of its line.
func (r *promised) write(d *wire.QueueDocument) {
	for i := range d.Lanes {
		l := &d.Lanes[i]
		if l.RateLow <= 0 || l.RateHigh <= 0 || len(l.Table) < 2 {
			continue
		}
		for _, row := range []wire.RankRow{l.Table[len(l.Table)/2], l.Table[len(l.Table)-1]} {
			if len(r.open) == maxPromises {
				return
			}
			ahead := int64(row.Before) + 1
			const perMinute = 60_000 * 1_000_000 // rates are thousandths a minute
			r.open = append(r.open, promise{l.Lane, row.Key, d.At, ahead * perMinute / l.RateHigh, ahead * perMinute / l.RateLow})
		}
	}
}

func laneNamed(d *wire.QueueDocument, name string) *wire.LaneDocument {
	for i := range d.Lanes {
		if d.Lanes[i].Lane == name {
			return &d.Lanes[i]
		}
	}
	return nil
}

// kept is a copy of a room's counts.
func (p *promises) kept(room int64) promised {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.byRoom[room]; r != nil {
		return promised{within: r.within, early: r.early, late: r.late, waited: r.waited, off: r.off}
	}
	return promised{}
}
