package answer

import (
	"context"
	"errors"
	"testing"
	"time"

	"fairgate/internal/wire"
)

// soon asks with a producer that says what became of the command by calling done, or does not.
func (s *stage) soon(id wire.ID, p Patience, produce func(done func(int64, error)) error) (wire.Outcome, bool, error) {
	return s.AskSoon(p, produce, id)
}

const brief = 20 * time.Millisecond

func TestAskSoon_TheOutcomeWakesTheCallerWhateverTheLogSaid(t *testing.T) {
	s := newStage(t, 0)
	s.run()
	for i, said := range []func(done func(int64, error)){
		func(done func(int64, error)) { done(1, nil) },
		func(func(int64, error)) {}, // the outcome is quicker than the acknowledgement
	} {
		id := wire.ID{1, byte(i)}
		o, acked, err := s.soon(id, Patience{time.Minute, time.Minute}, func(done func(int64, error)) error {
			said(done)
			s.emit(1, id, 1)
			return nil
		})
		if err != nil || !acked || o.Command != id {
			t.Errorf("case %d: %+v %v %v", i, o, acked, err)
		}
	}
	if s.waiting != 0 || len(s.waiters) != 0 {
		t.Errorf("%d still wait", s.waiting)
	}
}

func TestAskSoon_PatienceIsFirstWithTheLogThenWithTheOutcome(t *testing.T) {
	s := newStage(t, 0)
	s.run()
	_, acked, err := s.soon(wire.ID{1}, Patience{brief, time.Minute}, func(func(int64, error)) error { return nil })
	if acked || !errors.Is(err, ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the log is silent: %v %v", acked, err)
	}
	_, acked, err = s.soon(wire.ID{2}, Patience{time.Minute, brief}, func(done func(int64, error)) error { done(1, nil); return nil })
	if !acked || !errors.Is(err, ErrNoAnswer) {
		t.Errorf("the log has it, the outcome is late: %v %v", acked, err)
	}
	if s.waiting != 0 {
		t.Errorf("%d still wait", s.waiting)
	}
}

func TestAskSoon_WhatFailsIsSaidAtOnce(t *testing.T) {
	s := newStage(t, 0)
	s.run()
	bad := errors.New("bad")
	for name, produce := range map[string]func(done func(int64, error)) error{
		"refused":          func(func(int64, error)) error { return bad },
		"failed":           func(done func(int64, error)) error { done(0, bad); return nil },
		"failed meanwhile": func(done func(int64, error)) error { go done(0, bad); return nil },
	} {
		if _, acked, err := s.soon(wire.ID{1}, Patience{time.Minute, time.Minute}, produce); acked || !errors.Is(err, bad) || s.waiting != 0 {
			t.Errorf("%s: %v %v, %d wait", name, acked, err, s.waiting)
		}
	}
}
