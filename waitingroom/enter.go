package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// Bounds of the pause between two asks, in seconds.
const (
	leastPause = 1
	mostPause  = 30
)

type enterAnswer struct {
	Pass    string `json:"pass"`
	Expires string `json:"expires"`
	Next    string `json:"next"`
}

type askedAnswer struct {
	Status     string `json:"status"`
	Ahead      uint32 `json:"ahead"`
	RetryAfter int    `json:"retryAfter"` // seconds
}

// postEnter asks the log for admission. Asking again is always safe: the place is the log's, not the connection's.
func (e *Edge) postEnter(ctx *fasthttp.RequestCtx) error {
	in, err := enterInput(ctx)
	if err != nil {
		return err
	}
	room, t, visit, err := e.placeFor(ctx, ActionEnter)
	if err != nil {
		return err
	}
	if e.surelyNotInvited(room.ID, &t) {
		return turnedDown(wire.ReasonNotInvited, e.pause(room.ID))
	}
	if err := e.present(room, &t, in.Presence, visit); err != nil {
		return err
	}
	o, err := e.command(ctx, room, &t, &wire.Ask{Visitor: t.Visitor})
	if err != nil {
		return err
	}
	switch o.Kind {
	case wire.KindClaimed, wire.KindPassReturned:
		return e.admit(ctx, room, &t, o)
	case wire.KindAsked:
		var asked wire.Asked
		if err := o.DecodeInto(&asked); err != nil {
			return err
		}
		e.metrics.asks.WithLabelValues("asked").Inc()
		pause := e.pause(room.ID)
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, fmt.Sprint(int(pause.Seconds())))
		return web.WriteJSON(ctx, http.StatusAccepted,
			askedAnswer{Status: "asked", Ahead: asked.Ahead, RetryAfter: int(pause.Seconds())})
	}
	return e.refuseAsk(ctx, room, o)
}

// refuseAsk turns the machine's refusal into a problem. A place that is no more is forgotten, so that the fan can come
// again.
func (e *Edge) refuseAsk(ctx *fasthttp.RequestCtx, room Room, o wire.Outcome) error {
	e.metrics.asks.WithLabelValues("refused").Inc()
	p := refusal(o, e.pause(room.ID))
	if p == nil {
		return fmt.Errorf("an ask was answered by an outcome of kind %d", o.Kind)
	}
	if kind := kindOf(p); kind == "gone" || kind == "unknown-place" {
		e.dropCookie(ctx, roomCookie(CookieToken, room.ID))
	}
	return p
}

// admit mints the pass that an outcome of the log grants.
func (e *Edge) admit(ctx *fasthttp.RequestCtx, room Room, t *wire.Token, o wire.Outcome) error {
	pass, err := PassOf(o)
	if err != nil {
		return err
	}
	if pass.Place != t.ID || pass.Visitor != t.Visitor || pass.Room != room.ID {
		return errors.New("an ask was answered with somebody else's pass")
	}
	text, err := e.deps.Passes.Mint(pass)
	if err != nil {
		return err
	}
	now := e.now()
	e.metrics.asks.WithLabelValues("admitted").Inc()
	// The shop reads the pass, so this cookie goes everywhere.
	web.SetCookie(ctx, roomCookie(CookiePass, room.ID), text,
		web.CookieOptions{MaxAge: lives(pass.Expires, now), Secure: e.config.Secure})
	next := e.next(ctx, room, text)
	ctx.SetUserValue(nextKey{}, next)
	return web.WriteJSON(ctx, http.StatusOK,
		enterAnswer{Pass: text, Expires: instantText(pass.Expires / 1_000_000 * 1_000_000), Next: next})
}

// postLeave gives a place up.
func (e *Edge) postLeave(ctx *fasthttp.RequestCtx) error {
	if err := decode(ctx, &struct{}{}); err != nil {
		return err
	}
	room, t, _, err := e.placeFor(ctx, ActionEnter)
	if err != nil {
		return err
	}
	o, err := e.command(ctx, room, &t, &wire.Leave{Visitor: t.Visitor})
	if err != nil {
		return err
	}
	if p := refusal(o, retrySoon); p != nil && kindOf(p) != "gone" && kindOf(p) != "unknown-place" {
		return p
	}
	e.dropCookie(ctx, roomCookie(CookieToken, room.ID))
	e.dropCookie(ctx, roomCookie(CookieChallenge, room.ID))
	return web.WriteJSON(ctx, http.StatusOK, map[string]string{"status": "left", "place": wire.Hex(t.ID)})
}

// placeFor is what enter and leave begin with: the room, the limits, and the token with its visitor.
func (e *Edge) placeFor(ctx *fasthttp.RequestCtx, action string) (room Room, t wire.Token, visit Visit, err error) {
	if room, err = e.room(ctx); err != nil {
		return room, t, visit, err
	}
	who, err := e.visitor(ctx)
	if err != nil {
		return room, t, visit, err
	}
	if visit, err = e.visit(ctx, room.ID, action, who); err != nil {
		return room, t, visit, err
	}
	within, cancel := web.RequestContext(ctx)
	defer cancel()
	if _, err = e.judge(ctx, within, visit); err != nil {
		return room, t, visit, err
	}
	t, err = e.token(ctx, room.ID, who)
	return room, t, visit, err
}

// command sends a fan's command about a place through the log and waits for its outcome. When none comes the answer is
// 503: whatever became of it, sending it again is harmless.
func (e *Edge) command(ctx *fasthttp.RequestCtx, room Room, t *wire.Token, body wire.Body) (wire.Outcome, error) {
	id, err := e.random128()
	if err != nil {
		return wire.Outcome{}, err
	}
	notAfter := e.now() + e.config.NotAfter.Microseconds()
	value := wire.AppendRecord(nil, wire.Record{Object: room.ID, Ref: t.ID, Command: id, NotAfter: notAfter}, body)
	within, cancel := web.RequestContext(ctx)
	defer cancel()
	within, cancelWait := context.WithTimeout(within, e.config.AskWait)
	defer cancelWait()
	o, err := e.deps.Answers.Ask(within, func(ctx context.Context) error {
		_, err := e.deps.Queue.Append(ctx, room.Partition, value, time.UnixMicro(notAfter))
		return err
	}, id)
	if err != nil && (away(err) || within.Err() != nil) {
		e.metrics.asks.WithLabelValues("unanswered").Inc()
		return o, safe()
	}
	return o, err
}

// surelyNotInvited spares the log an ask that it would turn down: by the document and what was heard since, no lane that
// the place may stand in is invited so far. In doubt it is false, and the log decides.
func (e *Edge) surelyNotInvited(room int64, t *wire.Token) bool {
	d := e.docs.newest(room)
	if d == nil || len(d.doc.Lanes) == 0 || d.doc.State == wire.RoomEnded.String() {
		return false
	}
	fact := e.factOf(t.ID, &t.Place)
	if fact.drawn {
		return false
	}
	key := fact.key.String()
	for i := range d.doc.Lanes {
		if key <= d.doc.Lanes[i].InvitedTo {
			return false
		}
	}
	for lane := wire.Lane(0); lane < wire.Lanes; lane++ {
		if to, ok := e.heard.invitedTo(room, lane); ok && !to.Less(fact.key) {
			return false
		}
	}
	return true
}

// pause is how long to wait before asking again: what the document says.
func (e *Edge) pause(room int64) time.Duration {
	seconds := leastPause
	if d := e.docs.newest(room); d != nil {
		seconds = min(max(d.doc.NextPoll, leastPause), mostPause)
	}
	return time.Duration(seconds) * time.Second
}

// getKeys serves the public keys of the passes.
func (e *Edge) getKeys(ctx *fasthttp.RequestCtx) error {
	ctx.SetContentType("application/jwk-set+json")
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "public, max-age=300")
	ctx.Response.SetBodyRaw(e.deps.Passes.JWKS())
	return nil
}
