package run

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary records what parts do, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

// part writes its start and its end, which takes the given time after the soft stop.
func (d *diary) part(name string, takes time.Duration) Part {
	started := make(chan struct{})
	return Part{Name: name, Started: started, Run: func(ctx context.Context) error {
		d.write("+" + name)
		close(started)
		<-ctx.Done()
		select {
		case <-time.After(takes):
			d.write("-" + name)
		case <-Hard(ctx).Done():
			d.write("!" + name)
		}
		return ctx.Err()
	}}
}

func (d *diary) expect(t *testing.T, want string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if got := strings.Join(d.lines, " "); got != want {
		t.Errorf("parts did %q, want %q", got, want)
	}
}

func TestGroup_StartsInOrderAndStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, stop := context.WithCancel(t.Context())
		group := NewGroup(GroupConfig{}, GroupDeps{})
		group.Add(d.part("store", 0), d.part("engine", time.Second), d.part("http", time.Second))
		time.AfterFunc(time.Minute, stop)
		if err := group.Run(ctx); err != nil {
			t.Errorf("a stop that was asked for: %v", err)
		}
		d.expect(t, "+store +engine +http -http -engine -store")
	})
}

func TestGroup_NextPartWaitsUntilThePreviousHasStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		started := make(chan struct{})
		slow := Part{Name: "slow", Started: started, Run: func(ctx context.Context) error {
			time.Sleep(3 * time.Second)
			d.write("+slow")
			close(started)
			<-ctx.Done()
			return nil
		}}
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(4*time.Second, stop)
		group := NewGroup(GroupConfig{}, GroupDeps{})
		group.Add(slow, d.part("http", 0))
		if err := group.Run(ctx); err != nil {
			t.Error(err)
		}
		d.expect(t, "+slow +http -http")
	})
}

func TestGroup_StopWhileStartingNeverStartsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		stuck := Part{Name: "stuck", Started: make(chan struct{}), Run: func(ctx context.Context) error {
			d.write("+stuck")
			<-ctx.Done()
			d.write("-stuck")
			return nil
		}}
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		group := NewGroup(GroupConfig{}, GroupDeps{})
		group.Add(d.part("store", 0), stuck, d.part("http", 0))
		if err := group.Run(ctx); err != nil {
			t.Error(err)
		}
		d.expect(t, "+store +stuck -stuck -store")
	})
}

func TestGroup_EndedContextStartsNothing(t *testing.T) {
	var d diary
	ctx, stop := context.WithCancel(t.Context())
	stop()
	group := NewGroup(GroupConfig{}, GroupDeps{})
	group.Add(d.part("store", 0))
	if err := group.Run(ctx); err != nil {
		t.Error(err)
	}
	d.expect(t, "")
}

func TestGroup_UnexpectedEndStopsAllAndNamesThePart(t *testing.T) {
	broken := errors.New("disk full")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"an error", broken, "engine: disk full"},
		{"a quiet return", nil, "engine: ended unexpectedly"},
		{"context.Canceled nobody asked for", context.Canceled, "engine: context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d diary
				ready := NewReady()
				group := NewGroup(GroupConfig{Notice: 5 * time.Second}, GroupDeps{Ready: ready})
				group.Add(d.part("store", 0), Part{Name: "engine", Run: func(context.Context) error {
					time.Sleep(time.Second)
					return test.err
				}}, d.part("http", 0))
				begin := time.Now()
				err := group.Run(t.Context())
				if err == nil || err.Error() != test.want || (test.err != nil && !errors.Is(err, test.err)) {
					t.Errorf("Run = %v, want %q", err, test.want)
				}
				if took := time.Since(begin); took != time.Second {
					t.Errorf("it took %v: no notice is due when a part has died", took)
				}
				if got := ready.Failing(t.Context()); !slices.Equal(got, []string{"stopping"}) {
					t.Errorf("readiness after the end: %v", got)
				}
				d.expect(t, "+store +http -http -store")
			})
		})
	}
}

func TestGroup_ReadinessFailsForTheNoticeWhileAllStillServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ready := NewReady()
		group := NewGroup(GroupConfig{Window: 10 * time.Second, Notice: 3 * time.Second}, GroupDeps{Ready: ready})
		group.Add(d.part("http", 0))
		ctx, stop := context.WithCancel(t.Context())
		end := make(chan error)
		go func() { end <- group.Run(ctx) }()
		synctest.Wait()
		if got := ready.Failing(t.Context()); len(got) > 0 {
			t.Errorf("not ready before the stop: %v", got)
		}
		stop()
		time.Sleep(2 * time.Second)
		if got := ready.Failing(t.Context()); !slices.Equal(got, []string{"stopping"}) {
			t.Errorf("readiness during the notice: %v", got)
		}
		d.expect(t, "+http")
		if err := <-end; err != nil {
			t.Error(err)
		}
		d.expect(t, "+http -http")
	})
}

func TestGroup_HardStopComesAtEightyPercentOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, stop := context.WithCancel(t.Context())
		group := NewGroup(GroupConfig{Window: 10 * time.Second}, GroupDeps{})
		group.Add(d.part("store", 0), d.part("engine", time.Hour), d.part("http", time.Second))
		var stopped time.Time
		time.AfterFunc(time.Second, func() { stopped = time.Now(); stop() })
		if err := group.Run(ctx); err != nil {
			t.Errorf("parts that obey the hard stop: %v", err)
		}
		if took := time.Since(stopped); took != 8*time.Second {
			t.Errorf("the stop took %v, want 8s", took)
		}
		if want := []string{"+store", "+engine", "+http", "-http"}; !slices.Equal(d.lines[:4], want) {
			t.Errorf("parts did %v before the cut, want %v", d.lines[:4], want)
		}
		if !slices.Contains(d.lines, "!engine") {
			t.Errorf("the engine was not cut short: %v", d.lines)
		}
	})
}

func TestGroup_PartThatNeverEndsIsNamedAtTheEndOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		group := NewGroup(GroupConfig{Window: 10 * time.Second}, GroupDeps{})
		group.Add(Part{Name: "stone", Run: func(context.Context) error { <-forever; return nil }})
		time.AfterFunc(time.Second, stop)
		begin := time.Now()
		err := group.Run(ctx)
		if err == nil || !strings.Contains(err.Error(), "stone: still running") {
			t.Errorf("Run = %v", err)
		}
		if took := time.Since(begin); took != 11*time.Second {
			t.Errorf("Run returned after %v, want 1s + the window", took)
		}
		close(forever)
	})
}

func TestGroup_ErrorsWhileStoppingAreReturnedInOrderOfParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := func(name string) Part {
			return Part{Name: name, Run: func(ctx context.Context) error {
				<-ctx.Done()
				return errors.New("flush failed")
			}}
		}
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		group := NewGroup(GroupConfig{}, GroupDeps{})
		group.Add(failing("first"), failing("second"))
		if err := group.Run(ctx); err == nil || err.Error() != "first: flush failed\nsecond: flush failed" {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestGroup_PartThatMayEndStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, stop)
		group := NewGroup(GroupConfig{}, GroupDeps{})
		group.Add(Part{Name: "seed", MayEnd: true, Run: func(context.Context) error { return nil }}, d.part("http", 0))
		begin := time.Now()
		if err := group.Run(ctx); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("Run = %v after %v", err, time.Since(begin))
		}
	})
}

func TestGroup_ReturnsWhenEveryPartHasEnded(t *testing.T) {
	group := NewGroup(GroupConfig{}, GroupDeps{})
	group.Add(Part{Name: "seed", MayEnd: true, Run: func(context.Context) error { return nil }})
	if err := group.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestGroupConfig_NoticeLeavesTimeToStop(t *testing.T) {
	for c, ok := range map[GroupConfig]bool{
		{}:                                     true,
		{Window: time.Second}:                  true,
		{Notice: 5 * time.Second}:              true,
		{Window: -1}:                           false,
		{Notice: -1}:                           false,
		{Window: 4 * time.Second, Notice: 3e9}: false,
	} {
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestHard_OutsideAGroupIsTheContextItself(t *testing.T) {
	if Hard(t.Context()) != t.Context() {
		t.Error("another context")
	}
}

func TestHardWithin_OutlivesAnEndedContextOutsideAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, stop := context.WithCancel(t.Context())
		stop()
		hard, cancel := HardWithin(ended, time.Second)
		defer cancel()
		if hard.Err() != nil {
			t.Fatal("it ended with its parent")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if hard.Err() == nil {
			t.Error("it outlived its limit")
		}
	})
}
