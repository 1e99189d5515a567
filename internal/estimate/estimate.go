// Package estimate says how good the waits are that queue documents promise: every few seconds what a document promises to
// the middle and to the end of each lane is written down, and held against the moment at which the invitation gets there. It
// touches nothing but the documents that it is shown.
package estimate

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

// Record is what became of the promises of all rooms. A promise holds while its room stays open: a pause voids it. It is safe
// for concurrent use; New makes one.
type Record struct {
	mu     sync.Mutex
	most   int // rooms
	byRoom map[int64]*room
}

// Score is how good a room's promises were: how many turns came within the promised band (P10 to P90), before and after it,
// and, in µs, the sums of the waits and of how far these were from the middle of their bands.
type Score struct {
	Within, Early, Late uint64
	Waited, Off         int64
}

// room is what is known of one room.
type room struct {
	Score
	open []promise
	last int64 // when the newest were written down
}

type promise struct {
	lane, key string
	at        int64
	low, high int64 // µs
}

// New returns an empty record of at most so many rooms.
func New(rooms int) *Record { return &Record{most: rooms, byRoom: make(map[int64]*room)} }

// Observe takes in a room's newest document, tables included.
func (p *Record) Observe(d *wire.QueueDocument) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.byRoom[d.Room]
	if r == nil {
		if len(p.byRoom) >= p.most {
			return
		}
		r = new(room)
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
func (r *room) settle(d *wire.QueueDocument) {
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
			r.Early++
		case waited > m.high+second:
			r.Late++
		default:
			r.Within++
		}
		middle := (m.low + m.high) / 2
		r.Waited += waited
		r.Off += max(waited-middle, middle-waited)
	}
	r.open = rest
}

// write notes what each lane's document promises to the middle and the end of its line.
func (r *room) write(d *wire.QueueDocument) {
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

// Of is how good a room's promises were so far.
func (p *Record) Of(id int64) Score {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.byRoom[id]; r != nil {
		return r.Score
	}
	return Score{}
}
