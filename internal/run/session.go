package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// running is a part and its state. err may be read once done is closed.
type running struct {
	Part
	soft     context.Context
	softStop context.CancelFunc
	started  bool
	done     chan struct{}
	err      error
}

// session is one Run of a group. Only Run's goroutine calls its methods, but for run.
type session struct {
	parts    []*running
	hard     context.Context
	hardStop context.CancelFunc

	failed   chan struct{} // closed by the first unexpected end
	failOnce sync.Once
	left     atomic.Int32  // parts that have not ended
	idle     chan struct{} // closed when the last one has
}

// newSession detaches the parts from ctx, so that they stop in order and not all at once.
func newSession(ctx context.Context, parts []Part) *session {
	s := &session{failed: make(chan struct{}), idle: make(chan struct{})}
	s.left.Store(int32(len(parts)))
	s.hard, s.hardStop = context.WithCancel(context.WithoutCancel(ctx))
	for _, p := range parts {
		soft := context.WithValue(context.WithoutCancel(ctx), hardKey{}, s.hard)
		r := &running{Part: p, done: make(chan struct{})}
		r.soft, r.softStop = context.WithCancel(soft)
		s.parts = append(s.parts, r)
	}
	return s
}

// start starts the parts in order and returns early when the stop has already begun.
func (s *session) start(ctx context.Context, log *slog.Logger) {
	for _, r := range s.parts {
		select {
		case <-ctx.Done():
			return
		case <-s.failed:
			return
		default:
		}
		log.Debug("starting part", "part", r.Name)
		r.started = true
		go s.run(r)
		if r.Started == nil {
			continue
		}
		select {
		case <-r.Started:
		case <-r.done:
		case <-s.failed:
		case <-ctx.Done():
		}
	}
}

// run runs one part to its end, expected or not.
func (s *session) run(r *running) {
	defer close(r.done)
	err := r.Run(r.soft)
	stopping := r.soft.Err() != nil
	switch {
	case err != nil && !(stopping && errors.Is(err, context.Canceled)):
		r.err = fmt.Errorf("%s: %w", r.Name, err)
	case err == nil && !stopping && !r.MayEnd:
		r.err = fmt.Errorf("%s: ended unexpectedly", r.Name)
	}
	if r.err != nil {
		s.failOnce.Do(func() { close(s.failed) })
	}
	if s.left.Add(-1) == 0 {
		close(s.idle)
	}
}

// wait returns when the group has to stop, and whether that was asked for or nothing is left to run.
func (s *session) wait(ctx context.Context) (asked bool) {
	select {
	case <-s.failed:
		return false
	default:
	}
	select {
	case <-ctx.Done():
		return true
	case <-s.idle:
		return false
	case <-s.failed:
		return false
	}
}

// serveOn goes on for the notice, unless a part ends meanwhile.
func (s *session) serveOn(notice time.Duration) {
	timer := time.NewTimer(notice)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.failed:
	case <-s.idle:
	}
}

// stop stops the parts in reverse order, cuts short at hardStop % of the window and gives up at its end.
func (s *session) stop(began time.Time, window time.Duration, log *slog.Logger) error {
	cut := time.NewTimer(time.Until(began.Add(window * hardStop / 100)))
	defer cut.Stop()
	end := time.NewTimer(time.Until(began.Add(window)))
	defer end.Stop()
	if !s.stopInOrder(cut.C, log) {
		log.Warn("cutting work short", "parts", s.names())
		s.release()
	}
	for _, r := range s.parts {
		if !r.started {
			continue
		}
		select {
		case <-r.done:
		case <-end.C:
			return s.result(window)
		}
	}
	return s.result(window)
}

// stopInOrder stops one part after the other, last one first, and reports whether all of them ended before the cut.
func (s *session) stopInOrder(cut <-chan time.Time, log *slog.Logger) bool {
	for _, r := range slices.Backward(s.parts) {
		r.softStop()
		if !r.started {
			continue
		}
		log.Debug("stopping part", "part", r.Name)
		select {
		case <-r.done:
		case <-cut:
			return false
		}
	}
	return true
}

// release ends every context, soft and hard.
func (s *session) release() {
	s.hardStop()
	for _, r := range s.parts {
		r.softStop()
	}
}

// names lists the parts that still run.
func (s *session) names() []string {
	var names []string
	for _, r := range s.parts {
		if r.started && !r.ended() {
			names = append(names, r.Name)
		}
	}
	return names
}

// result joins what went wrong, in the order of the parts.
func (s *session) result(window time.Duration) error {
	var errs []error
	for _, r := range s.parts {
		switch {
		case !r.started:
		case !r.ended():
			errs = append(errs, fmt.Errorf("%s: still running after the shutdown window of %v", r.Name, window))
		case r.err != nil:
			errs = append(errs, r.err)
		}
	}
	return errors.Join(errs...)
}

// ended reports whether the part has returned.
func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}
