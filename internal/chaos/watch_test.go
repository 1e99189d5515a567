package chaos

import (
	"testing"
	"time"

	"fairgate/internal/wire"
)

// TestWatch_AnswersForEveryRecordAndCountsOnlyCommands: who walks along the log meets the leader's own records, too.
func TestWatch_AnswersForEveryRecordAndCountsOnlyCommands(t *testing.T) {
	w := NewWatch(1)
	w.take(0, []wire.Outcome{
		{Offset: 7, Kind: wire.KindEpochStarted, Last: true},
		{Offset: 8, Kind: wire.KindHeld},
		{Offset: 8, Index: 1, Kind: wire.KindLapsed, Last: true},
		{Offset: 9, Kind: wire.KindTicked, Last: true},
	}, time.Now())
	for offset, want := range map[int64]wire.Kind{7: wire.KindEpochStarted, 8: wire.KindHeld, 9: wire.KindTicked} {
		if a, ok := w.Answer(t.Context(), 0, offset); !ok || a.Kind != want {
			t.Errorf("offset %d: %v, %v", offset, a.Kind, ok)
		}
	}
	if commands, _ := w.Decided(); commands != 1 {
		t.Errorf("%d commands were decided", commands)
	}
}
