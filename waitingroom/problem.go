package waitingroom

import (
	"errors"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// retrySoon is what a fan is asked to wait when the log is away.
const retrySoon = 2 * time.Second

// problem is a problem of the waiting room: kind is the last segment of its type.
func problem(status int, kind, title, detail string) *web.Problem {
	return &web.Problem{Type: "/problems/" + kind, Status: status, Title: title, Detail: detail}
}

// safe is the answer when the log cannot be reached or does not answer: nothing is lost by waiting.
func safe() *web.Problem {
	p := problem(http.StatusServiceUnavailable, "try-again", "Please try again shortly",
		"We could not reach the line just now. Your place is saved.")
	p.RetryAfter = retrySoon
	return p
}

// arriveAgain is how an honest person gets on when what they hold is of no use any more.
const arriveAgain = " Please open the waiting room again to get a place."

// tokenProblem says what is wrong with a challenge or token. Which of two secrets did not match is not told apart.
func tokenProblem(err error, what string) error {
	switch {
	case errors.Is(err, token.ErrForm):
		return web.BadRequest(what, "the "+what+" as it was given out")
	case errors.Is(err, token.ErrKey), errors.Is(err, token.ErrMAC):
		return problem(http.StatusForbidden, "foreign-"+what, "Not from this waiting room",
			"This "+what+" was not given out here, or long ago."+arriveAgain).About(what)
	case errors.Is(err, token.ErrRoom):
		return problem(http.StatusForbidden, "other-room", "For another room",
			"This "+what+" belongs to another waiting room. Please use it there.").About(what)
	case errors.Is(err, token.ErrVisitor):
		return problem(http.StatusForbidden, "other-visitor", "Somebody else's place",
			"This "+what+" belongs to another browser. A place cannot be passed on."+arriveAgain).About(what)
	case errors.Is(err, token.ErrFuture):
		p := problem(http.StatusForbidden, "ahead-of-time", "Ahead of time",
			"This "+what+" is from the future by our clock. Please try again in a moment.").About(what)
		p.RetryAfter = retrySoon
		return p
	case errors.Is(err, token.ErrRenewed):
		return problem(http.StatusGone, "expired", "Too late", "This challenge was renewed once already."+arriveAgain).About(what)
	case errors.Is(err, token.ErrExpired) && what == "challenge":
		return problem(http.StatusGone, "expired", "Too late", "The time to answer is over. Send the challenge to arrive "+
			"once to renew it with the same place, or open the waiting room again.").About(what)
	case errors.Is(err, token.ErrExpired):
		return problem(http.StatusGone, "expired", "Too late", "This place has expired."+arriveAgain).About(what)
	}
	return err
}

// turnedDown is what the machine's refusal means to a fan.
func turnedDown(reason wire.Reason, retry time.Duration) *web.Problem {
	var p *web.Problem
	switch reason {
	case wire.ReasonNotInvited:
		p = problem(http.StatusForbidden, "not-invited", "It is not your turn yet", "Your place is saved. Please wait.")
		p.RetryAfter = retry
	case wire.ReasonGone:
		p = problem(http.StatusGone, "gone", "This place is gone",
			"It was used, given up, or its turn was missed for too long."+arriveAgain)
	case wire.ReasonTooLate:
		p = problem(http.StatusGone, "too-late", "Too late", "It took too long to join the line."+arriveAgain)
	case wire.ReasonUnknownRef:
		p = problem(http.StatusNotFound, "unknown-place", "No such place", "The line does not know this place."+arriveAgain)
	case wire.ReasonUnknownObject:
		p = problem(http.StatusNotFound, "unknown-room", "No such room", "The line for this room is not set up yet.")
	case wire.ReasonNotYours:
		p = problem(http.StatusForbidden, "other-visitor", "Somebody else's place",
			"This place belongs to another browser. A place cannot be passed on."+arriveAgain)
	case wire.ReasonClosed, wire.ReasonWrongState:
		p = problem(http.StatusConflict, "closed", "Closed", "The room is not taking that now. The page says when it opens.")
	case wire.ReasonNetworkFull:
		p = problem(http.StatusConflict, "network-full", "Too many from this network", "This network has as many places as are "+
			"given for waiting alone. With JavaScript, or from another network, you get one.")
	case wire.ReasonFull, wire.ReasonFuture, wire.ReasonExpired:
		p = safe()
	default:
		p = problem(http.StatusConflict, "turned-down", "Not possible", "The line did not take that.")
	}
	return p.With("reason", reason.String())
}

// refusal is the problem in an outcome that refuses, nil for any other.
func refusal(o wire.Outcome, retry time.Duration) *web.Problem {
	switch o.Kind {
	case wire.KindTurnedDown:
		var t wire.TurnedDown
		if o.DecodeInto(&t) == nil {
			return turnedDown(t.Reason, retry)
		}
	case wire.KindRejected:
		var r wire.Rejected
		if o.DecodeInto(&r) == nil {
			return turnedDown(r.Reason, retry)
		}
	}
	return nil
}

// away reports errors that mean: the log cannot be reached or did not answer, and nobody is to blame.
func away(err error) bool {
	return errors.Is(err, answer.ErrNoAnswer) || errors.Is(err, answer.ErrFull) || errors.Is(err, answer.ErrNotReady) ||
		errors.Is(err, eventlog.ErrNotAppended) || errors.Is(err, eventlog.ErrUnknown)
}

// kindOf is the last segment of a problem's type.
func kindOf(p *web.Problem) string {
	const prefix = "/problems/"
	if len(p.Type) > len(prefix) && p.Type[:len(prefix)] == prefix {
		return p.Type[len(prefix):]
	}
	return ""
}

// notices are the problems that the room's own page explains to a person, so that no form ends on a bare error.
func noticed(kind string) bool {
	switch kind {
	case "not-invited", "gone", "too-late", "expired", "unknown-place", "closed", "turned-down", "network-full", "presence", "try-again", "too-soon",
		"not-recorded", "place-kept", "foreign-token", "foreign-challenge", "other-visitor", "other-room", "no-place", "not-ready",
		"bad-invite", "foreign-invite", "other-room-invite", "expired-invite":
		return true
	}
	return false
}

// back serves a form as well as JSON: a person who prefers HTML is sent back to the room's page, which tells what is so
// now and, as a notice, what went wrong. Forms of other sites are refused.
func (e *Edge) back(h web.Handler) web.Handler {
	return func(ctx *fasthttp.RequestCtx) error {
		if site := ctx.Request.Header.Peek("Sec-Fetch-Site"); string(site) == "cross-site" {
			return problem(http.StatusForbidden, "other-site", "From another site", "Please use the waiting room's own page.")
		}
		err := h(ctx)
		if !web.WantsHTML(ctx) {
			return err
		}
		to := "/rooms/" + ctx.UserValue("room").(string)
		if err != nil {
			p, ok := errors.AsType[*web.Problem](err)
			if !ok || !noticed(kindOf(p)) {
				return err
			}
			to += "?notice=" + kindOf(p)
		}
		if next := nextOf(ctx); err == nil && next != "" {
			to = next
		}
		ctx.Response.ResetBody()
		ctx.Response.Header.Del(fasthttp.HeaderRetryAfter)
		ctx.Response.Header.Set(fasthttp.HeaderLocation, to)
		ctx.SetStatusCode(http.StatusSeeOther)
		return nil
	}
}

// nextKey is the user value in which a handler leaves where a person goes from here.
type nextKey struct{}

func nextOf(ctx *fasthttp.RequestCtx) string {
	next, _ := ctx.UserValue(nextKey{}).(string)
	return next
}
