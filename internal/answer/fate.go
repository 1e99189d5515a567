package answer

import (
	"errors"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
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

// Binding says whether an outcome is what its command came to. One that was rejected because it came too late, or because
// no more ids could be remembered, came to nothing: sent again under the same id, with a later not-after, it may yet be
// decided.
func Binding(o *wire.Outcome) bool {
	var r wire.Rejected
	return o.DecodeInto(&r) != nil || r.Reason != wire.ReasonExpired && r.Reason != wire.ReasonFull
}

// Answers says whether an outcome of a command answers a caller who sent it with a not-after (0: whichever it has). That
// another copy of it was too late says something of the caller's own only when that is too late as well.
func Answers(o *wire.Outcome, notAfter int64) bool {
	return notAfter == 0 || Binding(o) || FateAt(notAfter, o.At) == NotTaken
}
