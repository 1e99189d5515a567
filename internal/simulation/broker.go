package simulation

import (
	"errors"
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
)

// What appends can end with, as eventlog says it.
var (
	errUnknown     = fmt.Errorf("simulated: %w", eventlog.ErrUnknown)
	errNotAppended = fmt.Errorf("simulated: %w", eventlog.ErrNotAppended)
)

const (
	callTimeout = 2 * sale.Second // of one call of the broker
	fetchWait   = 250 * sale.Millisecond
)

// broker has the log and its outcomes. What it has acknowledged, or let anybody read, it never loses.
type broker struct {
	w        *world
	log      *topic
	outcomes *topic
	shaky    int   // one in how many calls fails; 0 for none
	late     int64 // values that landed long after everybody gave their calls up
	troubled
}

type topic struct {
	name    string
	values  [][]byte
	waiting []func()
	down    int // nothing can be appended
	dark    int // nothing can be read
	landed  func(at int, value []byte, by *process)
}

func newBroker(w *world) *broker {
	b := &broker{w: w}
	b.log = &topic{name: "log", landed: func(at int, value []byte, by *process) { w.audit.record(at, value, by) }}
	b.outcomes = &topic{name: "outcomes", landed: func(at int, value []byte, by *process) { w.audit.outcome(at, value, by) }}
	return b
}

// hop is how long a message is underway.
func (w *world) hop() int64 { return w.between(100, 3_000) }

// put appends values now.
func (b *broker) put(t *topic, values [][]byte, by *process) (base int64) {
	base = int64(len(t.values))
	t.values = append(t.values, values...)
	for i, v := range values {
		t.landed(int(base)+i, v, by)
	}
	waiting := t.waiting
	t.waiting = nil
	for _, wake := range waiting {
		wake()
	}
	return base
}

// produce makes one call for a process. done may never be called: the process may die before.
func (b *broker) produce(p *process, t *topic, values [][]byte, done func(base int64, err error)) {
	w := b.w
	values = sent(values) // what is on its way does not change any more
	life := p.life
	answer := func(delay int64, base int64, err error) {
		p.reply(life, delay, func() { done(base, err) })
	}
	if p.noProduce {
		if w.IntN(2) == 0 {
			answer(w.hop(), 0, errNotAppended)
		} else {
			answer(callTimeout, 0, errUnknown)
		}
		return
	}
	w.after(w.hop(), func() {
		switch {
		case t.down > 0 || b.shaky > 0 && w.chance(b.shaky):
			b.spoil(p, t, values, answer)
		default:
			base := b.put(t, values, p)
			answer(w.hop(), base, nil)
		}
	})
}

// spoil is a call that does not go well: it surely failed; it was lost; it was done and the answer lost; it lands long
// after everybody gave it up.
func (b *broker) spoil(p *process, t *topic, values [][]byte, answer func(int64, int64, error)) {
	w := b.w
	switch w.IntN(5) {
	case 0:
		answer(w.hop(), 0, errNotAppended)
	case 1:
		answer(w.between(1_000, callTimeout), 0, errUnknown)
	case 2:
		if t.down == 0 {
			b.put(t, values, p)
		}
		answer(w.between(1_000, callTimeout), 0, errUnknown)
	default:
		w.faults[FaultLateAppend]++
		w.after(w.between(10*sale.Millisecond, 40*sale.Second), func() {
			w.say("%d late values from %s land in %s", len(values), p.name, t.name)
			b.put(t, values, p)
			b.late += int64(len(values))
		})
		answer(w.between(1_000, callTimeout), 0, errUnknown)
	}
}

// sent copies values as a request does.
func sent(values [][]byte) [][]byte {
	n := 0
	for _, v := range values {
		n += len(v)
	}
	buf, out := make([]byte, 0, n), make([][]byte, len(values))
	for i, v := range values {
		start := len(buf)
		buf = append(buf, v...)
		out[i] = buf[start:len(buf):len(buf)]
	}
	return out
}

// fetched is what a fetch brought.
type fetched struct {
	records []eventlog.Record
	end     bool // nothing lies behind them
	started int64
}

// fetch reads on from an offset, waiting a little when there is nothing.
func (b *broker) fetch(p *process, t *topic, from int64, most int, done func(f fetched)) {
	w, started, life := b.w, b.w.now, p.life
	fail := func() {
		p.reply(life, w.between(1_000, 200_000), func() { done(fetched{started: started}) })
	}
	if p.noFetch {
		fail()
		return
	}
	answered := false
	read := func() {
		if answered {
			return
		}
		answered = true
		if t.dark > 0 || p.noFetch || b.shaky > 0 && w.chance(b.shaky) {
			fail()
			return
		}
		if from > int64(len(t.values)) {
			w.fail("%s reads %s from %d, which ends at %d", p.name, t.name, from, len(t.values))
		}
		to := min(int(from)+most, len(t.values))
		f := fetched{records: records(t.values, int(from), to), end: to == len(t.values), started: started}
		p.reply(life, w.hop(), func() { done(f) })
	}
	w.after(w.hop(), func() {
		if int64(len(t.values)) != from {
			read()
			return
		}
		t.waiting = append(t.waiting, read)
		w.after(fetchWait, read)
	})
}

func records(values [][]byte, from, to int) []eventlog.Record {
	if from >= to {
		return nil
	}
	all := make([]eventlog.Record, to-from)
	for i := range all {
		all[i] = eventlog.Record{Offset: int64(from + i), Value: values[from+i]}
	}
	return all
}

// within calls done with an error if nothing else did in time.
func within(p *process, length int64, done func(error)) func(error) {
	over := false
	once := func(err error) {
		if !over {
			over = true
			done(err)
		}
	}
	p.after(length, func() { once(errTimeout) })
	return once
}

var errTimeout = errors.New("simulated: no answer in time")
