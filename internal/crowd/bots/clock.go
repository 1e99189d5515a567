package bots

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	workers = 256 // requests under way
	// lateMost is how late, by the clock on the wall, something may happen before time stands still for it.
	lateMost = 50 * time.Millisecond
)

// clock lets things happen at instants of a time that runs faster than the wall's. Where the machine does not keep up, it
// stands still, so that nobody's budget grows meanwhile.
type clock struct {
	mu      sync.Mutex
	start   time.Time
	stalled time.Duration // of the wall's time
	pace    float64
	due     events
	number  int
	busy    int
	wake    chan struct{}
	ended   time.Time
	late    []time.Duration // of each event, the wall's
	most    time.Duration   // that time may stand still, the wall's; 0 for ever
}

// ErrTooSlow says that the machine did not keep up with the pace of a run.
var ErrTooSlow = errors.New("this machine is too slow for that compression of time")

type event struct {
	at     time.Duration
	number int // keeps events of one instant in order
	do     func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].number < e[j].number
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(v any)   { *e = append(*e, v.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newClock(pace float64) *clock {
	return &clock{start: time.Now(), pace: pace, wake: make(chan struct{}, 1)}
}

// now is the time since the start, as it runs here.
func (c *clock) now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *clock) nowLocked() time.Duration {
	return time.Duration(float64(time.Since(c.start)-c.stalled) * c.pace)
}

// at has something happen at an instant, or at once if that is past.
func (c *clock) at(t time.Duration, do func()) {
	c.mu.Lock()
	c.number++
	heap.Push(&c.due, event{t, c.number, do})
	c.mu.Unlock()
	c.nudge()
}

func (c *clock) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run lets everything happen that is due, and what follows from it, until nothing is left or ctx ends.
func (c *clock) run(ctx context.Context) error {
	tasks := make(chan func())
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for do := range tasks {
				do()
				c.mu.Lock()
				c.busy--
				c.mu.Unlock()
				c.nudge()
			}
		})
	}
	defer wg.Wait()
	defer close(tasks)
	for {
		do, wait, done := c.next()
		switch {
		case done:
			return nil
		case c.most > 0 && c.stalled > c.most:
			return fmt.Errorf("%w: it was %v behind", ErrTooSlow, c.stalled.Round(time.Second))
		case do != nil:
			tasks <- do
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-c.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// next is what to do now, or how long to wait for it, or that nothing is left.
func (c *clock) next() (do func(), wait time.Duration, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.due) == 0 {
		return nil, time.Second, c.busy == 0
	}
	wait = time.Duration(float64(c.due[0].at-c.nowLocked()) / c.pace)
	switch {
	case wait > 0:
		return nil, wait, false
	case c.busy == workers: // whoever is ready wakes us
		return nil, time.Second, false
	}
	if c.due[0].at > 0 { // what begins the run is late by definition
		c.late = append(c.late, -wait)
		c.stalled += max(-wait-lateMost, 0)
	}
	c.busy++
	return heap.Pop(&c.due).(event).do, 0, false
}

// stop says that everything has happened.
func (c *clock) stop() { c.ended = time.Now() }

// paceKept is how many times faster than the wall's it ran, standing still included.
func (c *clock) paceKept() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.ended
	if end.IsZero() {
		end = time.Now()
	}
	whole := end.Sub(c.start)
	return c.pace * float64(whole-c.stalled) / float64(whole)
}

// lateness is how late, by the wall's clock, 99 of 100 things happened at most; beyond lateMost time stood still for them.
func (c *clock) lateness() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return percentile(c.late, 99)
}

// percentile sorts a list and returns what so many of 100 are at most; 0 for an empty list.
func percentile(list []time.Duration, of int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(len(list)*of/100, len(list)-1)]
}
