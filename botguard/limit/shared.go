package limit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	openAfter   = 3                // failures in a row that stop the calls
	firstPause  = time.Second      // first time without calls; doubles
	longest     = 15 * time.Second // up to this
	logEvery    = time.Minute      // one line about an absent store in this time
	maxInFlight = 256              // calls waiting for the store; one more is decided by tier one
)

// Count is a window's state after a call.
type Count struct {
	Reached   bool          // the call is above the limit
	Remaining int64         // calls left in the window
	Reset     time.Duration // until the window ends
}

// Store counts calls in fixed windows that all servers share. An implementation honours ctx, keeps nothing longer than
// the window, and never panics because its server is away.
type Store interface {
	// Take counts one call against key: at most limit in a window that begins with the first.
	Take(ctx context.Context, key string, limit int64, window time.Duration) (Count, error)
}

// shared asks a Store under a deadline and stops asking while it is away, so that a dead store costs one caller a
// deadline now and then, and everybody else nothing.
type shared struct {
	store    Store
	timeout  time.Duration
	clock    func() time.Time
	log      *slog.Logger
	metrics  *metrics
	inFlight atomic.Int64
	breaker  breaker
}

func newShared(s Store, timeout time.Duration, clock func() time.Time, log *slog.Logger, m *metrics) *shared {
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &shared{store: s, timeout: timeout, clock: clock, log: log, metrics: m}
}

// take returns ok false when the store was not asked or could not say; tier one has decided then.
func (s *shared) take(ctx context.Context, key string, limit int64, window time.Duration) (c Count, ok bool) {
	if s.inFlight.Add(1) > maxInFlight {
		s.inFlight.Add(-1)
		s.metrics.skipped.Inc()
		return Count{}, false
	}
	defer s.inFlight.Add(-1)
	probe, ok := s.breaker.enter(s.clock())
	if !ok {
		s.metrics.skipped.Inc()
		return Count{}, false
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	c, err := s.store.Take(limited, key, limit, window)
	cancel()
	if err != nil && ctx.Err() != nil {
		s.breaker.abandon(probe) // the caller went away: that says nothing about the store
		return Count{}, false
	}
	tell := s.breaker.leave(s.clock(), probe, err != nil)
	if err != nil {
		s.metrics.failures.Inc()
		if tell {
			s.log.Warn("shared limits are away, in-process limits decide alone", "error", err)
		}
		return Count{}, false
	}
	return c, true
}

// breaker stops calls after openAfter failures in a row; after a pause one call probes.
type breaker struct {
	mu       sync.Mutex
	failures int
	pause    time.Duration // 0 while calls are let through
	until    time.Time
	probing  bool
	told     time.Time
}

// enter says whether a call may be made; each that may ends in leave or abandon.
func (b *breaker) enter(now time.Time) (probe, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return false, true
	}
	if b.probing || now.Before(b.until) {
		return false, false
	}
	b.probing = true
	return true, true
}

// abandon ends a call that has no result.
func (b *breaker) abandon(probe bool) {
	if !probe {
		return
	}
	b.mu.Lock()
	b.probing = false
	b.mu.Unlock()
}

// leave ends a call; tell is true when the failure is worth a log line.
func (b *breaker) leave(now time.Time, probe, failed bool) (tell bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	} else if b.pause > 0 {
		return false // began before the calls were stopped: the probes decide
	}
	if !failed {
		b.failures, b.pause = 0, 0
		return false
	}
	b.failures++
	if b.failures >= openAfter {
		b.pause = min(max(2*b.pause, firstPause), longest)
		b.until = now.Add(b.pause)
	}
	if b.told.IsZero() || now.Sub(b.told) >= logEvery {
		b.told = now
		return true
	}
	return false
}

// metrics of the limiter; label sets are closed by the configured actions.
type metrics struct {
	decisions                  *prometheus.CounterVec
	crowded, failures, skipped prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_limit_decisions_total", Help: "Rate limit decisions by action and result.",
		}, []string{"action", "result"}),
		crowded:  counter("fairgate_limit_crowded_total", "Calls counted in their network's bucket because the table was full."),
		failures: counter("fairgate_limit_shared_failures_total", "Calls to the shared limits that failed; in-process limits decided."),
		skipped:  counter("fairgate_limit_shared_skipped_total", "Calls not made to the shared limits because they are away or busy."),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.decisions, m.crowded, m.failures, m.skipped} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
