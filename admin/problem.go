package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// retrySoon is the wait that a caller is told when the log or the database was not there.
const retrySoon = 2 * time.Second

// kind gives a problem its type, under which programs tell refusals apart.
func kind(p *web.Problem, name, title string) *web.Problem {
	p.Type, p.Title = "/problems/"+name, title
	return p
}

// problemOf classifies an error for a client; known is false for what only the log may tell.
func problemOf(err error) (p *web.Problem, known bool) {
	var field *store.FieldError
	var refusal *Refusal
	switch {
	case errors.As(err, &p):
		return p, true
	case errors.As(err, &field):
		return web.Unprocessable(field.Field, field.Expected), true
	case errors.As(err, &refusal):
		return refused(refusal), true
	case errors.Is(err, store.ErrNotFound):
		return web.NotFound("There is no such thing, or it belongs to another organiser."), true
	case errors.Is(err, answer.ErrNoAnswer), errors.Is(err, eventlog.ErrUnknown):
		return kind(web.Unavailable(retrySoon), "outcome-unknown", "Not known yet").
			Because("The command was sent and no answer came in time. It may still be done: look before you repeat it."), true
	case errors.Is(err, answer.ErrNotReady), errors.Is(err, answer.ErrFull), errors.Is(err, eventlog.ErrNotAppended),
		errors.Is(err, context.DeadlineExceeded):
		return web.Unavailable(retrySoon).Because("This cannot be done right now, and nothing was done. Please try again shortly."), false
	}
	return &web.Problem{Status: 500, Title: "Something went wrong", Detail: "The error was noted. Please try again."}, false
}

// refused says why a machine did nothing.
func refused(r *Refusal) *web.Problem {
	p := refusalProblem(r.Reason)
	return p.With("reason", r.Reason.String())
}

func refusalProblem(reason wire.Reason) *web.Problem {
	switch reason {
	case wire.ReasonMoved:
		return kind(web.Conflict("Somebody changed this since you looked, so nothing was done. Look at what it is now and decide again."),
			"moved", "Changed meanwhile")
	case wire.ReasonUnknownObject:
		return kind(web.Conflict("The log does not know this yet. It will in a few seconds."), "not-published", "Not published yet")
	case wire.ReasonUnknownType:
		return kind(web.Conflict("The log does not know this ticket type."), "unknown-ticket-type", "No such ticket type")
	case wire.ReasonEventCancelled:
		return kind(web.Conflict("The event was cancelled, which is for good."), "event-cancelled", "Event cancelled")
	case wire.ReasonWrongState:
		return kind(web.Conflict("That is not possible in the state it is in."), "wrong-state", "Not possible now")
	case wire.ReasonInvalid, wire.ReasonUndecodable:
		return kind(&web.Problem{Status: 422, Detail: "A value is out of its range."}, "out-of-range", "Out of range")
	case wire.ReasonExists:
		return kind(web.Conflict("It exists already, with other values."), "exists", "Exists already")
	case wire.ReasonFull:
		return kind(web.Conflict("A limit of the system is reached."), "full", "Limit reached")
	case wire.ReasonExpired:
		return kind(web.Unavailable(retrySoon), "too-late", "Not done in time").Because("This took too long and was not done. Please try again.")
	}
	return kind(web.Conflict(fmt.Sprintf("The log refused it (%s).", reason)), "refused", "Refused")
}
