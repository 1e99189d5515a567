package scaler

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Driver is an orchestrator: it knows how many replicas run and can be told how many should.
type Driver interface {
	// Replicas returns how many replicas of a role run; known is false when the driver cannot tell, and Prometheus is
	// asked instead.
	Replicas(ctx context.Context, role string) (n int, known bool, err error)
	// Apply carries out a decision. It is called for every decision, also for one that keeps things as they are, and
	// must be idempotent.
	Apply(ctx context.Context, d Decision) error
}

// DryRun is the driver that changes nothing: it writes one line for each decision.
type DryRun struct {
	mu  sync.Mutex
	out io.Writer
	now func() time.Time
}

// NewDryRun returns a DryRun that writes to out, stamping lines by the clock.
func NewDryRun(out io.Writer, now func() time.Time) *DryRun {
	return &DryRun{out: out, now: now}
}

// Replicas never knows.
func (d *DryRun) Replicas(context.Context, string) (int, bool, error) { return 0, false, nil }

// Apply writes the decision: instant, role, what would be done, why.
func (d *DryRun) Apply(_ context.Context, x Decision) error {
	what := fmt.Sprintf("would scale %d -> %d", x.Current, x.Replicas)
	if !x.Moves() {
		what = fmt.Sprintf("would keep %d", x.Current)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := fmt.Fprintf(d.out, "%s %s: %s (%s)\n", d.now().UTC().Format(time.RFC3339), x.Role, what, x.Reason)
	if err != nil {
		return fmt.Errorf("write decision: %w", err)
	}
	return nil
}
