package stripesim

import (
	"sync"
	"time"
)

// rateLimits counts calls of the secret key: one bucket for the account and one per endpoint. Endpoints are the closed
// list of routes, so the map stays small.
type rateLimits struct {
	rate    Rate
	mu      sync.Mutex
	total   bucket
	buckets map[string]*bucket
}

func newRateLimits(rate Rate) *rateLimits {
	return &rateLimits{rate: rate, buckets: map[string]*bucket{}}
}

// take uses up one call. It returns "" or the reason for refusing, in which case nothing is used up.
func (l *rateLimits) take(endpoint string, now time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[endpoint]
	if b == nil {
		b = &bucket{}
		l.buckets[endpoint] = b
	}
	if !l.total.has(l.rate.Total, now) {
		return "global-rate"
	}
	if !b.has(l.rate.PerEndpoint, now) {
		return "endpoint-rate"
	}
	l.total.spent++
	b.spent++
	return ""
}

// bucket refills continuously and holds one second's worth of calls.
type bucket struct {
	last  time.Time
	spent float64
}

// has says whether a call is left at rate calls per second; a negative rate is no limit.
func (b *bucket) has(rate int, now time.Time) bool {
	if rate < 0 {
		return true
	}
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.spent = max(0, b.spent-passed*float64(rate))
		b.last = now
	}
	return b.spent+1 <= float64(rate)
}
