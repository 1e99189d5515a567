package scaler

import (
	"fmt"
	"math"
	"time"
)

// Observation is one measured load. The zero value is "nothing measured".
type Observation struct {
	Value float64   // the query's value, in the rule's unit
	At    time.Time // when it was measured
	Known bool      // false: missing, ambiguous or too old
}

func (o Observation) usable() bool { return o.Known && o.Value >= 0 && !math.IsInf(o.Value, 0) }

// History is what a rule remembers from one decision to the next. The zero value is a rule that never moved.
type History struct {
	LastUp     time.Time // last increase
	LastDown   time.Time // last decrease
	LowerSince time.Time // since when the load has wanted fewer without interruption; zero if it does not
}

// Decision is how many replicas a role should have from now on.
type Decision struct {
	Role     string
	Current  int    // replicas running
	Replicas int    // replicas wanted; the same as Current means keep
	Reason   string // one clause for people
}

// Moves says whether the decision changes anything.
func (d Decision) Moves() bool { return d.Replicas != d.Current }

// Decide applies a rule to one observation and returns the decision with the history to hand in next time. It is pure.
//
// Without a known observation it never goes down, and goes up only to the floor. Increases wait for CooldownUp and go
// by at most StepUp, except up to the floor, which is reached at once. Decreases wait until the load has wanted fewer
// for CooldownDown without interruption and nothing moved for as long.
func Decide(r Rule, o Observation, current int, now time.Time, h History) (Decision, History) {
	r = r.withDefaults()
	floor, floorWhy := r.floor(now)
	want, why := wanted(r, o, current)
	if want < floor {
		want, why = floor, fmt.Sprintf("%s, floor %d (%s)", why, floor, floorWhy)
	}
	if want > r.Max && o.usable() {
		want, why = r.Max, fmt.Sprintf("%s, max %d", why, r.Max)
	}
	d := Decision{Role: r.Role, Current: current, Replicas: current, Reason: why}
	if want >= current {
		h.LowerSince = time.Time{}
	} else if h.LowerSince.IsZero() {
		h.LowerSince = now
	}
	switch {
	case want > current:
		return up(r, d, h, want, floor, now)
	case want < current:
		return down(r, d, h, want, now)
	}
	return d, h
}

// wanted is what the load alone asks for.
func wanted(r Rule, o Observation, current int) (replicas int, why string) {
	if !o.usable() {
		return current, "load unknown"
	}
	need := o.Value / r.PerReplica
	why = fmt.Sprintf("load %.6g at %.6g a replica", o.Value, r.PerReplica)
	if current > 0 && math.Abs(need-float64(current)) <= r.Tolerance*float64(current) {
		return current, why
	}
	// A little less than a whole replica is not worth one: 3.0000001 is rounding, not load.
	return int(min(math.Ceil(need-1e-6), MaxReplicas)), why
}

func up(r Rule, d Decision, h History, want, floor int, now time.Time) (Decision, History) {
	reach := max(d.Current, floor)
	if now.Sub(h.LastUp) >= r.CooldownUp {
		reach = max(reach, d.Current+r.StepUp)
	}
	d.Replicas = min(want, reach)
	if !d.Moves() {
		d.Reason += fmt.Sprintf(", wants %d, cooling down", want)
		return d, h
	}
	if d.Replicas < want {
		d.Reason += fmt.Sprintf(", wants %d, step %d", want, r.StepUp)
	}
	h.LastUp = now
	return d, h
}

func down(r Rule, d Decision, h History, want int, now time.Time) (Decision, History) {
	since := h.LowerSince
	for _, t := range []time.Time{h.LastUp, h.LastDown} {
		if t.After(since) {
			since = t
		}
	}
	if now.Sub(since) < r.CooldownDown {
		d.Reason += fmt.Sprintf(", wants %d, cooling down", want)
		return d, h
	}
	d.Replicas = max(want, d.Current-r.StepDown)
	if d.Replicas > want {
		d.Reason += fmt.Sprintf(", wants %d, step %d", want, r.StepDown)
	}
	h.LastDown = now
	return d, h
}
