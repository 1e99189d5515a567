package booking

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// Waits that a refused caller is told.
const (
	retrySoon  = time.Second
	retryLater = 5 * time.Second
)

// kind gives a problem its type, under which clients tell refusals apart.
func kind(p *web.Problem, name, title string) *web.Problem {
	p.Type, p.Title = "/problems/"+name, title
	return p
}

// refused says why the log did nothing. lines are those of a Hold.
func (a *API) refused(e *store.Event, why refusal) *web.Problem {
	p := a.refusalProblem(e, why)
	p = p.With("reason", why.reason.String())
	if len(why.lines) == 0 {
		return p
	}
	type shortage struct {
		TicketType uint32 `json:"ticketType"`
		Name       string `json:"name"`
		Asked      uint16 `json:"asked"`
		Left       uint32 `json:"left"`
	}
	lines := make([]shortage, len(why.lines))
	for i, l := range why.lines {
		t, _ := e.Type(l.Type)
		lines[i] = shortage{l.Type, t.Name, l.Asked, l.Left}
	}
	return p.With("lines", lines)
}

func (a *API) refusalProblem(e *store.Event, why refusal) *web.Problem {
	switch why.reason {
	case wire.ReasonSoldOut:
		return kind(web.Conflict(soldOutDetail(e, why.lines)), "sold-out", "Sold out")
	case wire.ReasonUserLimit:
		return kind(web.Conflict("You hold or own as many tickets as one person may have."), "user-limit", "As many as allowed")
	case wire.ReasonNotSelling, wire.ReasonUnknownObject:
		return kind(web.Conflict("Tickets for this event are not on sale now."), "not-selling", "Not on sale")
	case wire.ReasonEventCancelled:
		return kind(web.Conflict("This event was cancelled."), "event-cancelled", "Event cancelled")
	case wire.ReasonUnknownType:
		return kind(web.Unprocessable("items", "ticket types of this event"), "unknown-ticket-type", "No such ticket")
	case wire.ReasonPassMissing:
		return a.passProblem(e, "admission-pass-required", "The admission pass has ended. Your turn comes through the waiting room.")
	case wire.ReasonPassUsed:
		return a.passProblem(e, "admission-pass-used", "This admission pass has already bought for somebody else.")
	case wire.ReasonUnknownRef:
		return web.NotFound("There is no such booking.")
	case wire.ReasonNotYours:
		return web.Forbidden("This is another user's.")
	case wire.ReasonExpired:
		return kind(web.Unavailable(retrySoon), "too-late", "Not done in time").Because("This took too long and was not done. Please try again.")
	case wire.ReasonFull:
		return web.Unavailable(retryLater)
	case wire.ReasonWrongState, wire.ReasonLapsed:
		return kind(web.Conflict("That is not possible any more."), "wrong-state", "Not possible now")
	}
	return kind(web.Conflict("That was refused."), "refused", "Refused")
}

func soldOutDetail(e *store.Event, lines []wire.Shortage) string {
	parts := []string{"There are not enough tickets."}
	for _, l := range lines {
		t, _ := e.Type(l.Type)
		parts = append(parts, fmt.Sprintf("%s: %d asked, %d left.", t.Name, l.Asked, l.Left))
	}
	return strings.Join(parts, " ")
}

// passProblem is a 403 that says where a pass comes from.
func (a *API) passProblem(e *store.Event, name, detail string) *web.Problem {
	p := kind(&web.Problem{Status: http.StatusForbidden, Detail: detail}, name, "Admission pass needed")
	if e.Room == 0 {
		return p
	}
	return p.With("room", e.Room).With("waitingRoom", a.roomURL(e.Room))
}

// roomURL is where a waiting room is.
func (a *API) roomURL(room int64) string {
	return strings.TrimSuffix(a.cfg.WaitingRoom, "/") + "/rooms/" + strconv.FormatInt(room, 10)
}

// away turns the absence of Postgres into a 503: nothing is wrong with the request, and it may work in a moment.
func away(err error) error {
	var p *web.Problem
	var connect *pgconn.ConnectError
	var state *pgconn.PgError
	var network net.Error
	switch {
	case err == nil || errors.As(err, &p):
		return err
	case errors.As(err, &state):
		// Class 08 is a lost connection, 57P a shutdown or a start (PostgreSQL, appendix A).
		if !strings.HasPrefix(state.Code, "08") && !strings.HasPrefix(state.Code, "57P") {
			return err
		}
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
	default:
		return err
	}
	return kind(web.Unavailable(retryLater), "try-again", "Try again shortly").Because("This cannot be shown at this moment.")
}
