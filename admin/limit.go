package admin

import (
	"sync"
	"time"
)

// Limits of logins in one process. A guard may know more.
const (
	loginBurst   = 8                // attempts at once, per address and per user
	loginEvery   = 15 * time.Second // one more attempt
	loginEntries = 10_000           // keys remembered; the rest share one
)

// attempts are token buckets by key. Those that are full again are forgotten when room is needed; when none is, strangers
// share a bucket, so that a flood of keys slows logins and not memory.
type attempts struct {
	mu      sync.Mutex
	next    map[string]time.Time // when the bucket is full again
	entries int
}

func newAttempts(entries int) *attempts {
	return &attempts{next: make(map[string]time.Time), entries: entries}
}

// take uses one attempt of every key, or none and says when to try again.
func (l *attempts) take(now time.Time, keys ...string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, k := range keys {
		keys[i] = l.key(now, k)
		full := later(l.next[keys[i]], now)
		wait = max(wait, full.Sub(now)-(loginBurst-1)*loginEvery)
	}
	if wait > 0 {
		return wait
	}
	for _, k := range keys {
		l.next[k] = later(l.next[k], now).Add(loginEvery)
	}
	return 0
}

func (l *attempts) key(now time.Time, k string) string {
	if _, known := l.next[k]; known || len(l.next) < l.entries {
		return k
	}
	for old, full := range l.next {
		if !full.After(now) {
			delete(l.next, old)
		}
	}
	if len(l.next) < l.entries {
		return k
	}
	return ""
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
