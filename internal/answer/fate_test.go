package answer_test

import (
	"context"
	"fmt"
	"testing"

	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
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
