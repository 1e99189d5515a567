package queue

import "fairgate/internal/sale"

// MaxOutages is how many outages are remembered one by one. An older one no longer helps a join that is late by it.
const MaxOutages = 64

// Outages remembers when log time stood still, so that a place's age can be told without it. The machine feeds it from
// its clock; an edge feeds its own from the outcomes Ticked (Now and Outage), and judges challenges by Between.
type Outages struct {
	now, total int64
	steps      []outage // oldest first
}

// outage is one step between two ticks that counted as an outage, for amount µs of it.
type outage struct{ from, to, amount int64 }

// Observe takes in a tick: its instant, and the sum of all outages up to it. Ticks that go back are ignored.
func (o *Outages) Observe(now, total int64) {
	if now < o.now {
		return
	}
	if grown := total - o.total; grown > 0 && o.now != 0 {
		if len(o.steps) == MaxOutages {
			o.steps = append(o.steps[:0], o.steps[1:]...)
		}
		o.steps = append(o.steps, outage{o.now, now, grown})
	}
	o.now, o.total = now, total
}

// Since is how much outage was recorded after an instant, µs.
func (o *Outages) Since(instant int64) int64 {
	sum := int64(0)
	for _, s := range o.steps {
		if s.to > instant {
			sum += min(s.amount, s.to-instant)
		}
	}
	return sum
}

// Between is Since, and what will be recorded if the next tick comes now: an edge uses it while the log is away.
func (o *Outages) Between(instant, now int64) int64 {
	sum := o.Since(instant)
	if running := now - o.now; o.now != 0 && running > sale.OutageStep {
		sum += max(0, min(running, sale.OutageCap, now-instant))
	}
	return sum
}
