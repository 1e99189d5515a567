package answer

import (
	"errors"

	"fairgate/internal/eventlog"
)

// Fate is what may be said of a command that has no answer.
type Fate uint8

// Fates of a command.
const (
	// Pending: it may be in the log, or still get there. Whoever asks is told where to look, never that it was not taken.
	Pending Fate = iota
	// NotTaken: it had no effect and never will.
	NotTaken
	// Broken: an error that says nothing about the command.
	Broken
)

// FateOf says what the error of Ask means for the command.
func FateOf(err error) Fate {
	switch {
	case errors.Is(err, ErrNoAnswer), errors.Is(err, eventlog.ErrUnknown):
		return Pending
	case errors.Is(err, ErrFull), errors.Is(err, ErrNotReady), errors.Is(err, eventlog.ErrNotAppended):
		return NotTaken
	}
	return Broken
}

// FateAt says what it means that everything decided up to a log time is known and a command with a not-after is not among
// it. At its very not-after a command is still taken.
func FateAt(notAfter, logTime int64) Fate {
	if logTime > notAfter {
		return NotTaken
	}
	return Pending
}
