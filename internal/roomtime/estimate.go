package roomtime

import "math"

// maxDrift is how much a clock that nobody disciplines may gain or lose, in µs a second: what the kernel assumes too
// (adjtimex(2)), several times what quartz does.
const maxDrift = 500

// Exchange is one question to a source of time and its answer, in µs. Offset and Delay are those of NTP (RFC 5905, section
// 8): the source's clock less ours, if both ways take equally long, and the time that both took together.
type Exchange struct {
	At     int64 // our clock when the answer came
	Offset int64
	Delay  int64
	Error  int64 // of the source's own clock, at most
}

// Estimate is what exchanges with a source tell of a clock that runs by itself: between which two offsets the truth lies.
// However unequal the two ways of an exchange are, the truth is within half of its delay. Each exchange narrows what is
// known, and time widens it by drift, so that a source that is gone is missed slowly. It is pure and small; the zero value
// knows nothing.
type Estimate struct {
	low, high int64 // offsets, at the instant at of our clock
	at        int64
	known     bool
}

// Learn takes an exchange, not older than the last. It returns false if the exchange contradicts what was known, for
// example since one of the clocks was set: then it alone is believed.
func (e *Estimate) Learn(x Exchange) (agrees bool) {
	half := x.Delay/2 + x.Delay%2 + x.Error + drift(x.Delay)
	low, high := x.Offset-half, x.Offset+half
	if !e.known || x.At < e.at {
		*e = Estimate{low, high, x.At, true}
		return true
	}
	grown := drift(x.At - e.at)
	if agrees = low <= e.high+grown && high >= e.low-grown; agrees {
		low, high = max(low, e.low-grown), min(high, e.high+grown)
	}
	*e = Estimate{low, high, x.At, true}
	return agrees
}

// Read is what must be added to our clock at an instant of it to have the source's, and how wrong that may be. The bound
// is Unbounded as long as nothing is known.
func (e *Estimate) Read(at int64) (offset, bound int64) {
	if !e.known {
		return 0, Unbounded
	}
	width := e.high - e.low
	return e.low + width/2, width/2 + width%2 + drift(at-e.at)
}

// drift is how far a clock can have run away in a time, rounded up.
func drift(elapsed int64) int64 {
	if elapsed <= 0 {
		return 0
	}
	if elapsed > math.MaxInt64/(maxDrift+1) {
		return math.MaxInt64 / 4
	}
	// One more part in a million, since elapsed was itself measured by a clock that drifts.
	return elapsed*(maxDrift+1)/1_000_000 + 1
}
