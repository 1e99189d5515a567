// Package roomtime is room time: the one clock that arrivals, commands and ticks are stamped with, and how wrong it may
// be. It may ask the host's kernel for both, and one source of time (NTP) where the kernel says that nobody disciplines the
// host's clock. It asks nothing else.
//
// Everybody takes it as a plain function, func() (now, bound int64), in microseconds of UTC.
package roomtime

import (
	"math"
	"sync/atomic"
	"time"
)

// Unbounded is the error bound of a clock that nobody disciplines: beyond every limit.
const Unbounded int64 = math.MaxInt64

// DefaultLimit is the error bound, in microseconds, beyond which an edge is not ready and a leader does not tick.
const DefaultLimit int64 = 250_000

// Sources of a clock, for logs and dashboards.
const (
	SourceSingleHost     = "single-host"    // all roles share this clock, so it is right by definition
	SourceKernel         = "kernel"         // the kernel's own estimate of a disciplined clock
	SourceUnsynchronised = "unsynchronised" // the kernel says that nobody disciplines it
	SourceUnknown        = "unknown"        // this system has no estimate
	SourceAsked          = "asked"          // a server, since the kernel has no estimate
)

// Host is the clock of this host.
type Host struct {
	single bool
	now    func() time.Time
	kernel func() (bound int64, source string)
	asked  *Source // nil for none
	steady Steady
}

// New returns the host's clock. With single, all roles run on this host: its clock is the source itself, its bound 0.
func New(single bool) *Host { return &Host{single: single, now: time.Now, kernel: kernelBound} }

// Follow has the host's clock corrected by a source wherever the kernel has no estimate of its own. It is called before
// the clock is read.
func (h *Host) Follow(s *Source) { h.asked = s }

// Now is room time and its error bound in microseconds. It is never cached: one call costs a system call at most.
func (h *Host) Now() (now, bound int64) {
	if h.single {
		return h.now().UnixMicro(), 0
	}
	if bound, _ = h.kernel(); bound == Unbounded && h.asked != nil {
		now, bound = h.asked.Now()
	} else {
		now = h.now().UnixMicro()
	}
	return h.steady.Hold(now, bound)
}

// Source says what the bound rests on.
func (h *Host) Source() string {
	if h.single {
		return SourceSingleHost
	}
	bound, source := h.kernel()
	if bound == Unbounded && h.asked != nil {
		return SourceAsked
	}
	return source
}

// Steady keeps a clock from going back where a better estimate, or whoever sets it, would have it so: arrivals stamped
// before must stay before. It stands still instead, and says so in the bound, which would else not hold for what is stamped
// meanwhile. It is safe for concurrent use; the zero value has seen no time.
type Steady struct{ last atomic.Int64 }

// Hold is a reading made steady, µs. A clock of which nothing is known is passed on as it is.
func (s *Steady) Hold(now, bound int64) (steady, wider int64) {
	if bound == Unbounded {
		return now, bound
	}
	for {
		last := s.last.Load()
		if now <= last {
			return last, bound + (last - now)
		}
		if s.last.CompareAndSwap(last, now) {
			return now, bound
		}
	}
}
