package sale

// Micros is an instant (microseconds since 1970-01-01 UTC) or a length of time in microseconds.
type Micros = int64

// Lengths of time.
const (
	Millisecond Micros = 1_000
	Second      Micros = 1_000_000
	Minute      Micros = 60 * Second
	Hour        Micros = 60 * Minute
)

const (
	// OutageStep is the longest step between two ticks that is not an outage.
	OutageStep = 2 * Second
	// OutageCap is the most that one outage adds to a partition's deadlines.
	OutageCap = 2 * Hour
)

// LogClock is the time inside a log. It moves only by ticks of the current epoch, so that every replica sees the same
// time at the same offset. Deadlines are kept in elapsed time (Elapsed), which stands still during an outage: nobody's
// five minutes burn while nothing can be decided.
type LogClock struct {
	Epoch  uint64
	Now    Micros // the newest tick's instant; 0 before the first
	Outage Micros // sum of all outages so far
	Bound  Micros // the newest tick's published error bound
	// Code is the machine's version in the leader of the current epoch. A rule that came with a version counts only in the
	// terms of leaders that have it, so that all replicas, older and newer, read one log alike.
	Code uint32
}

// Elapsed is log time without the outages. Deadlines are set and compared in it.
func (c *LogClock) Elapsed() Micros { return c.Now - c.Outage }

// Wall turns a deadline in elapsed time into the instant at which it will pass if no further outage happens.
func (c *LogClock) Wall(elapsed Micros) Micros { return elapsed + c.Outage }

// StartEpoch makes a higher epoch the current one, and the version of its leader's machine that of the rules. A lower or
// equal epoch is stale and changes nothing.
func (c *LogClock) StartEpoch(epoch uint64, code uint32) (ok bool) {
	if epoch <= c.Epoch {
		return false
	}
	c.Epoch, c.Code = epoch, code
	return true
}

// Tick moves the clock. A tick of another epoch, or one that goes back, changes nothing (ok is false). outage is how
// much of the step was recorded as an outage: all of it, up to OutageCap, when the step was longer than OutageStep.
func (c *LogClock) Tick(epoch uint64, now, bound Micros) (outage Micros, ok bool) {
	if epoch != c.Epoch || now < c.Now {
		return 0, false
	}
	if step := now - c.Now; c.Now != 0 && step > OutageStep {
		outage = min(step, OutageCap)
		c.Outage += outage
	}
	c.Now, c.Bound = now, bound
	return outage, true
}
