package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is one kind of harm. Do does it, undoes it and returns when what it hurt works again; an error ends the campaign.
type Fault struct {
	Name   string
	Weight int
	Do     func(ctx context.Context, rnd *rand.Rand) error
}

// Lane is faults that exclude each other: one after the other, with pauses of random length between them.
type Lane struct {
	Faults []Fault
	Pause  time.Duration // mean
}

// Campaign does harm in all its lanes at the same time.
type Campaign struct {
	Lanes []Lane
	Seed  uint64
	Log   *slog.Logger

	mu     sync.Mutex
	counts map[string]int
}

// Run does harm until ctx ends, finishes what it has begun, and returns the first failure to undo it.
func (c *Campaign) Run(ctx context.Context) error {
	within, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var lanes sync.WaitGroup
	for i, lane := range c.Lanes {
		lanes.Go(func() {
			if err := c.run(within, lane, rand.New(rand.NewPCG(c.Seed, uint64(i)))); err != nil {
				stop(err)
			}
		})
	}
	lanes.Wait()
	if ctx.Err() != nil && context.Cause(within) == context.Cause(ctx) {
		return nil
	}
	return context.Cause(within)
}

func (c *Campaign) run(ctx context.Context, lane Lane, rnd *rand.Rand) error {
	for {
		pause(ctx, time.Duration((0.3+0.7*rnd.ExpFloat64())*float64(lane.Pause)))
		if ctx.Err() != nil {
			return nil
		}
		f := choose(lane.Faults, rnd)
		began := time.Now()
		// What was begun is undone even if the campaign ends meanwhile.
		if err := f.Do(context.WithoutCancel(ctx), rnd); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		c.mu.Lock()
		if c.counts == nil {
			c.counts = map[string]int{}
		}
		c.counts[f.Name]++
		c.mu.Unlock()
		c.Log.Info("harm done and undone", slog.String("fault", f.Name), slog.Duration("took", time.Since(began).Round(time.Millisecond)))
	}
}

func choose(faults []Fault, rnd *rand.Rand) Fault {
	sum := 0
	for _, f := range faults {
		sum += f.Weight
	}
	n := rnd.IntN(sum)
	for _, f := range faults {
		if n -= f.Weight; n < 0 {
			return f
		}
	}
	return faults[0]
}

// Counts are how often each fault was done, as "name=n,name=n", and how many there were.
func (c *Campaign) Counts() (text string, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(c.counts)) {
		parts = append(parts, fmt.Sprintf("%s=%d", name, c.counts[name]))
		total += c.counts[name]
	}
	return strings.Join(parts, ","), total
}

// Between is a random length of time.
func Between(rnd *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rnd.Int64N(int64(most-least)+1))
}
