package workers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"fairgate/internal/store"
)

const (
	// intakeBatch is how many events share a commit at most.
	intakeBatch = 256
	// intakeCommits is how many commits are under way at once. More than one, so that one that waits for a slow disk or
	// standby does not stop the rest; few, so that under load events share commits.
	intakeCommits = 4
	// intakeWait bounds a commit, the wait for its turn included; the provider sends again what it did not cover.
	intakeWait = 8 * time.Second
)

// intake makes events durable. Those that arrive while others are being written share the next commit: with nothing to
// do an event is written at once and alone, under load hundreds cost as much as one. It has no goroutine of its own: the
// first event of a batch writes it for the others.
//
// Crash story: nobody is answered before the commit, so what a crash takes with it the provider sends again.
type intake struct {
	write func(context.Context, []store.WebhookEvent) ([]bool, error)
	turns chan struct{}

	mu   sync.Mutex
	open *batch // takes more events until its turn comes; nil if there is none
}

// batch is a set of events that share a commit. What the commit says may be read once done is closed.
type batch struct {
	events []store.WebhookEvent
	done   chan struct{}
	fresh  map[string]bool // by id; whoever takes it first is the fresh one
	err    error
}

func newIntake(write func(context.Context, []store.WebhookEvent) ([]bool, error)) *intake {
	return &intake{write: write, turns: make(chan struct{}, intakeCommits)}
}

// store returns when the event is durable, and says whether it was not there before. ctx ends the wait of one that
// follows; one that leads writes for the others too and goes on.
func (in *intake) store(ctx context.Context, e store.WebhookEvent) (fresh bool, err error) {
	b, leads := in.join(e)
	if leads {
		in.lead(context.WithoutCancel(ctx), b)
	} else {
		select {
		case <-b.done:
		case <-ctx.Done():
			return false, fmt.Errorf("waiting for the commit: %w", ctx.Err())
		}
	}
	if b.err != nil {
		return false, b.err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	fresh = b.fresh[e.ID]
	delete(b.fresh, e.ID)
	return fresh, nil
}

// join puts an event into the open batch, or opens one, which it then leads.
func (in *intake) join(e store.WebhookEvent) (b *batch, leads bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if leads = in.open == nil || len(in.open.events) == intakeBatch; leads {
		in.open = &batch{done: make(chan struct{})}
	}
	in.open.events = append(in.open.events, e)
	return in.open, leads
}

// lead waits for a turn, closes the batch to others and writes it.
func (in *intake) lead(ctx context.Context, b *batch) {
	defer close(b.done)
	ctx, cancel := context.WithTimeout(ctx, intakeWait)
	defer cancel()
	var turn bool
	select {
	case in.turns <- struct{}{}:
		turn = true
		defer func() { <-in.turns }()
	case <-ctx.Done():
	}
	in.mu.Lock()
	if in.open == b {
		in.open = nil
	}
	in.mu.Unlock()
	if !turn {
		b.err = fmt.Errorf("waiting for a turn to commit: %w", ctx.Err())
		return
	}
	// Sorted, so that two commits with the same events do not wait for each other in a circle.
	slices.SortFunc(b.events, func(x, y store.WebhookEvent) int { return cmp.Compare(x.ID, y.ID) })
	fresh, err := in.write(ctx, b.events)
	if err != nil {
		b.err = err
		return
	}
	b.fresh = make(map[string]bool, len(fresh))
	for i, e := range b.events {
		b.fresh[e.ID] = b.fresh[e.ID] || fresh[i]
	}
}
