package answer_test

import (
	"context"
	"fmt"
	"testing"

	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

func TestFate_NobodyIsToldNotTakenWhileItMayBeTaken(t *testing.T) {
	for _, c := range []struct {
		err  error
		want answer.Fate
	}{
		{fmt.Errorf("%w: %w", answer.ErrNoAnswer, context.DeadlineExceeded), answer.Pending},
		{fmt.Errorf("appending: %w", eventlog.ErrUnknown), answer.Pending},
		{fmt.Errorf("appending: %w", eventlog.ErrExpired), answer.NotTaken},
		{answer.ErrFull, answer.NotTaken},
		{answer.ErrNotReady, answer.NotTaken},
		{context.Canceled, answer.Broken},
	} {
		if got := answer.FateOf(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
	if answer.FateAt(10, 10) != answer.Pending || answer.FateAt(10, 11) != answer.NotTaken {
		t.Error("a command is taken at its not-after, and not after it")
	}
}

func TestAnswers_ThatACopyCameTooLateAnswersOnlyWhoIsTooLateToo(t *testing.T) {
	rejected := func(why wire.Reason, at int64) *wire.Outcome {
		var out wire.Outcomes
		out.Begin(0, at, wire.Record{})
		out.Add(&wire.Rejected{Reason: why})
		out.End()
		o, err := wire.ParseOutcome(out.At(0))
		if err != nil {
			t.Fatal(err)
		}
		return &o
	}
	for _, c := range []struct {
		why          wire.Reason
		at, notAfter int64
		want         bool
	}{
		{wire.ReasonExpired, 11, 20, false},
		{wire.ReasonExpired, 20, 20, false},
		{wire.ReasonExpired, 21, 20, true},
		{wire.ReasonExpired, 11, 0, true},
		{wire.ReasonFull, 11, 20, false},
		{wire.ReasonInvalid, 11, 20, true},
	} {
		if got := answer.Answers(rejected(c.why, c.at), c.notAfter); got != c.want {
			t.Errorf("%s at %d answers who may wait until %d: %t", c.why, c.at, c.notAfter, got)
		}
	}
}
