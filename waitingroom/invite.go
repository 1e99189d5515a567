package waitingroom

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// CookieInvite keeps an invite code between the link that carried it and the arrival; then the room.
const CookieInvite = "fg_invite_"

// followInvite answers a room's link with a code in it, and the page's field for one: the code goes into a cookie, out of
// the address, which others may see. A bad code is told at once, so that nobody waits in a line that they do not expect: to
// people by the room's page, to programs as a problem. done is false for other links.
func (e *Edge) followInvite(ctx *fasthttp.RequestCtx, room Room) (done bool, err error) {
	code := inviteCode(string(ctx.QueryArgs().Peek("invite")))
	if code == "" {
		return false, nil
	}
	to := fmt.Sprintf("/rooms/%d", room.ID)
	invite, err := e.invited(room, code)
	if err != nil {
		p, ok := errors.AsType[*web.Problem](err)
		if !ok || !web.WantsHTML(ctx) {
			return true, err
		}
		to += "?notice=" + inviteNotice(p)
	} else {
		e.cookie(ctx, roomCookie(CookieInvite, room.ID), code, lives(int64(invite.Expires)*1_000_000, e.now()))
	}
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	ctx.Response.Header.Set(fasthttp.HeaderLocation, to)
	ctx.SetStatusCode(http.StatusSeeOther)
	return true, nil
}

// inviteCode is the code in what somebody typed or pasted: people paste whole links too.
func inviteCode(text string) string {
	text = strings.TrimSpace(text)
	if _, after, ok := strings.Cut(text, "invite="); ok {
		text = after
		if end := strings.IndexAny(text, "&#"); end >= 0 {
			text = text[:end]
		}
	}
	return text
}

// inviteNotice is what the page says of a bad code.
func inviteNotice(p *web.Problem) string {
	switch kind := kindOf(p); {
	case kind == "foreign-invite":
		return kind
	case kind == "other-room", kind == "expired":
		return kind + "-invite"
	case p.RetryAfter > 0:
		return "try-again"
	}
	return "bad-invite"
}

// invited reads a code, or says what is wrong with it and what to do.
func (e *Edge) invited(room Room, code string) (wire.Invite, error) {
	if e.deps.Invites == nil {
		return wire.Invite{}, web.Unprocessable("invite", "no invite code: this room gives out none")
	}
	invite, err := e.deps.Invites.Verify(code, room.ID, e.now())
	if err == nil {
		return invite, nil
	}
	e.metrics.refused.WithLabelValues("invite").Inc()
	const without = " You can join the line without a code."
	switch {
	case errors.Is(err, token.ErrForm):
		err = web.Unprocessable("invite", "the invite code as it was given out, or none")
	case errors.Is(err, token.ErrKey), errors.Is(err, token.ErrMAC):
		err = problem(http.StatusForbidden, "foreign-invite", "Not an invite of ours",
			"This invite code was not given out here, or long ago."+without).About("invite")
	case errors.Is(err, token.ErrRoom):
		err = problem(http.StatusForbidden, "other-room", "For another room",
			"This invite code belongs to another waiting room. Please use it there."+without).About("invite")
	case errors.Is(err, token.ErrFuture):
		p := problem(http.StatusForbidden, "ahead-of-time", "Ahead of time", "This invite code is from the future by our clock. Please try "+
			"again in a moment.").About("invite")
		p.RetryAfter = retrySoon
		err = p
	case errors.Is(err, token.ErrExpired):
		err = problem(http.StatusGone, "expired", "Too late", "This invite code is not good any more."+without).About("invite")
	}
	return wire.Invite{}, err
}

// inviteOf is the code of an arrival: of the request, or, for pages, of the cookie that a link left. A cookie that is not
// good any more is as good as none.
func (e *Edge) inviteOf(ctx *fasthttp.RequestCtx, room Room, in arriveRequest) (*wire.Invite, error) {
	if in.Invite != "" {
		invite, err := e.invited(room, in.Invite)
		return &invite, err
	}
	return e.carriedInvite(ctx, room), nil
}

// carriedInvite is the good invite code in the cookies of a request, or nil.
func (e *Edge) carriedInvite(ctx *fasthttp.RequestCtx, room Room) *wire.Invite {
	code := web.Cookie(ctx, roomCookie(CookieInvite, room.ID))
	if code == "" || e.deps.Invites == nil {
		return nil
	}
	invite, err := e.deps.Invites.Verify(code, room.ID, e.now())
	if err != nil {
		return nil
	}
	return &invite
}

// mayMove says that the bearer of a place has a code by which it could become one by invitation: then another arrival is
// allowed, and the log keeps whichever place is the better one.
func (e *Edge) mayMove(ctx *fasthttp.RequestCtx, room Room, t *wire.Token, in arriveRequest) bool {
	return t.Lane != wire.LaneInvited && (in.Invite != "" || e.carriedInvite(ctx, room) != nil)
}

// timedFrom is when a place that costs waiting instead of work may join, µs.
func (e *Edge) timedFrom(ch *wire.Challenge) int64 {
	return ch.Instant + e.config.TimedWait.Microseconds()
}

// timed says that a challenge costs waiting: in the timed lane, and for those with an invite code who have no JavaScript.
// Every puzzle has a difficulty.
func timed(ch *wire.Challenge) bool { return ch.Lane == wire.LaneTimed || ch.Difficulty == 0 }

// tooSoon is the answer before that.
func tooSoon(wait int64) *web.Problem {
	p := problem(http.StatusUnprocessableEntity, "too-soon", "Not yet", "Your place is saved. Please wait a few seconds "+
		"before you continue.")
	p.RetryAfter = time.Duration(wait) * time.Microsecond
	return p
}
