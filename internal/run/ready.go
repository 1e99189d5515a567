package run

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// checkTimeout is how long one readiness check may take; a longer one counts as failing.
const checkTimeout = 2 * time.Second

// stopping is the name under which Ready fails once the shutdown has begun.
const stopping = "stopping"

// Ready is the set of named conditions under which a role wants traffic. All methods are safe for concurrent use.
type Ready struct {
	mu      sync.Mutex
	checks  map[string]func(context.Context) error
	stopped bool
}

// NewReady returns a set without conditions, which is ready.
func NewReady() *Ready { return &Ready{checks: make(map[string]func(context.Context) error)} }

// Add adds a condition; one of the same name is replaced. The check must obey its context and tell nil for good; its
// error is not shown to anybody.
func (r *Ready) Add(name string, check func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks[name] = check
}

// Stop makes the set fail for good, as "stopping": the shutdown has begun.
func (r *Ready) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// Failing runs all checks at once, each for at most two seconds, and returns the sorted names of those that fail.
// It waits for every check to return.
func (r *Ready) Failing(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
	)
	checks, failing := r.snapshot()
	for name, check := range checks {
		group.Go(func() {
			if check(ctx) == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			failing = append(failing, name)
		})
	}
	group.Wait()
	slices.Sort(failing)
	return failing
}

// snapshot copies the checks; once stopped there is nothing left to check.
func (r *Ready) snapshot() (map[string]func(context.Context) error, []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return nil, []string{stopping}
	}
	checks := make(map[string]func(context.Context) error, len(r.checks))
	for name, check := range r.checks {
		checks[name] = check
	}
	return checks, []string{}
}

// Handler answers 200 when ready, else 503, with {"failing":["name",…]}.
func (r *Ready) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		failing := r.Failing(request.Context())
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if len(failing) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string][]string{"failing": failing})
	})
}
