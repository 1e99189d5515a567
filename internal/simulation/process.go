package simulation

import (
	"math"
	"runtime/debug"

	"fairgate/internal/sale"
)

// process is one of ours: it lives, hangs, dies and lives again. What was underway for an earlier life is lost.
type process struct {
	w       *world
	name    string
	life    int
	alive   bool
	paused  bool
	stalled []func() // what came while it was paused
	clock   clock
	troubled

	noPostgres bool // packets are lost
	noProduce  bool
	noFetch    bool
}

// troubled knows since when nothing has gone wrong with something.
type troubled struct {
	troubles int   // lasting
	healthy  int64 // since when there are none
}

func (t *troubled) begin() { t.troubles++ }
func (t *troubled) end(now int64) {
	t.troubles--
	t.healthy = now
}

// fine says since when, and whether at all, nothing is wrong.
func (t *troubled) fine() (since int64, ok bool) { return t.healthy, t.troubles == 0 }

// after has something happen in this life of the process; a pause delays it, a crash drops it.
func (p *process) after(length int64, do func()) { p.reply(p.life, length, do) }

// reply is after for what an earlier moment of the process asked for: it is lost if that life is over.
func (p *process) reply(life int, length int64, do func()) {
	p.w.after(length, func() { p.meet(life, do) })
}

func (p *process) meet(life int, do func()) {
	switch {
	case p.life != life || !p.alive:
	case p.paused:
		p.stalled = append(p.stalled, func() { p.meet(life, do) })
	default:
		do()
	}
}

func (p *process) every(length int64, do func()) {
	p.after(length, func() {
		do()
		p.every(length, do)
	})
}

// pause stops it as SIGSTOP does: nobody is told, and it wakes up with what it believed.
func (p *process) pause(length int64) {
	if p.paused || !p.alive {
		return
	}
	p.w.say("%s is paused for %.3f s", p.name, float64(length)/1e6)
	p.paused = true
	p.begin()
	p.w.after(length, p.wake)
}

func (p *process) wake() {
	if !p.paused {
		return
	}
	p.w.say("%s goes on", p.name)
	p.paused = false
	p.end(p.w.now)
	stalled := p.stalled
	p.stalled = nil
	for _, do := range stalled {
		do()
	}
}

// die ends this life.
func (p *process) die() {
	p.alive = false
	p.life++
	p.stalled = nil
	p.w.postgres.disconnect(p)
	if p.paused {
		p.paused = false
		p.end(p.w.now)
	}
}

// clock is a host's idea of room time. Its published bound is honest.
type clock struct {
	offset int64 // µs ahead of the truth at since
	drift  int64 // µs per second
	since  int64
	spread int64 // bound at since
	wild   bool  // nobody disciplines it
}

// room is room time and its bound as the host sees them.
func (p *process) room() (now, bound int64) {
	c := &p.clock
	seconds := (p.w.now - c.since) / sale.Second
	ahead := c.offset + c.drift*seconds
	grain := p.w.shape.grain
	now = (p.w.truth() + ahead) / grain * grain
	bound = max(c.spread, abs(c.offset)) + abs(c.drift)*(seconds+1) + grain
	if p.w.shape.singleHost {
		bound = grain
	}
	if c.wild {
		bound = math.MaxInt64
	}
	return now, bound
}

func (p *process) unfit() bool {
	_, bound := p.room()
	return bound > boundLimit
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}

func stack() string {
	s := string(debug.Stack())
	return s[:min(len(s), 6_000)]
}
