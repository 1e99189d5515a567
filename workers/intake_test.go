package workers

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fairgate/internal/store"
)

// disk is a store whose commits take a while.
type disk struct {
	took    time.Duration
	fails   atomic.Bool
	commits atomic.Int64
	mu      sync.Mutex
	has     map[string]bool
}

func (d *disk) write(ctx context.Context, events []store.WebhookEvent) ([]bool, error) {
	d.commits.Add(1)
	select {
	case <-time.After(d.took):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.fails.Load() {
		return nil, errors.New("the disk is full")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := make([]bool, len(events))
	for i, e := range events {
		fresh[i] = !d.has[e.ID]
		d.has[e.ID] = true
	}
	return fresh, nil
}

func newDisk(took time.Duration) *disk { return &disk{took: took, has: map[string]bool{}} }

func TestIntake_EventsShareCommitsAndNoneIsAnsweredEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(5 * time.Millisecond)
		in := newIntake(d.write)
		const each = 1000
		var all sync.WaitGroup
		var fresh atomic.Int64
		for n := range 2 * each { // every event comes twice
			all.Go(func() {
				id := "evt_" + strconv.Itoa(n%each)
				first, err := in.store(t.Context(), store.WebhookEvent{ID: id})
				d.mu.Lock()
				durable := d.has[id]
				d.mu.Unlock()
				if err != nil || !durable {
					t.Errorf("%s answered, durable %v, %v", id, durable, err)
				}
				if first {
					fresh.Add(1)
				}
			})
		}
		all.Wait()
		if fresh.Load() != each || len(d.has) != each || d.commits.Load() > 2*2*each/intakeBatch {
			t.Errorf("%d fresh, %d stored, %d commits", fresh.Load(), len(d.has), d.commits.Load())
		}
	})
}

func TestIntake_AloneItDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIntake(newDisk(time.Millisecond).write)
		start := time.Now()
		if fresh, err := in.store(t.Context(), store.WebhookEvent{ID: "evt_1"}); !fresh || err != nil || time.Since(start) != time.Millisecond {
			t.Errorf("%v %v after %s", fresh, err, time.Since(start))
		}
	})
}

func TestIntake_AFailedCommitFailsAllOfItAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(time.Millisecond)
		d.fails.Store(true)
		in := newIntake(d.write)
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				if _, err := in.store(t.Context(), store.WebhookEvent{ID: strconv.Itoa(n)}); err == nil {
					t.Error("answered though it is not durable")
				}
			})
		}
		all.Wait()
		d.fails.Store(false)
		if fresh, err := in.store(t.Context(), store.WebhookEvent{ID: "1"}); !fresh || err != nil {
			t.Errorf("%v %v", fresh, err)
		}
	})
}

func TestIntake_AStuckStoreEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIntake(newDisk(time.Hour).write)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for n := range 10 * intakeCommits {
			all.Go(func() {
				if _, err := in.store(ctx, store.WebhookEvent{ID: strconv.Itoa(n)}); err == nil {
					t.Error("answered though it is not durable")
				}
			})
		}
		start := time.Now()
		all.Wait()
		if d := time.Since(start); d > 2*intakeWait {
			t.Errorf("waited %s", d)
		}
	})
}
