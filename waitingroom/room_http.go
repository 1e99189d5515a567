package waitingroom

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/page"
	"fairgate/waitingroom/token"
)

// Seconds after which a page without JavaScript looks again, by phase.
const (
	refreshWaiting = 10
	refreshResting = 30 // early, paused, sold out, closed
	refreshUnknown = 3
)

// cookieLanguage keeps the language that somebody chose on the page.
const cookieLanguage = "fg_lang"

// getRoom shows where the visitor stands: to people as a page, to programs as JSON.
func (e *Edge) getRoom(ctx *fasthttp.RequestCtx) error {
	room, err := e.room(ctx)
	if err != nil {
		return err
	}
	if done, err := e.followInvite(ctx, room); done {
		return err
	}
	who, err := e.visitor(ctx)
	if err != nil {
		return err
	}
	e.remember(ctx, room)
	// Before the view: a newer document in between only means that what is kept is of no use.
	made := firstMade{e.docs.newest(room.ID), e.page.Look()}
	v, refresh := e.view(ctx, room, who)
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderVary, "Accept, Accept-Encoding, Accept-Language, Cookie, "+HeaderVisitor+", "+HeaderToken)
	if !web.WantsHTML(ctx) {
		return e.answerRoom(ctx, room, &v, refresh)
	}
	if notice := string(ctx.QueryArgs().Peek("notice")); notice == "asked" || noticed(notice) {
		v.Notice = notice
	}
	if v.Phase == page.Arriving && v.Notice == "gone" {
		v.Phase = page.Missed
	}
	v.Invites = e.deps.Invites != nil
	encoding := negotiate(ctx)
	body, err := e.rendered(ctx, made, &v, encoding)
	if err != nil {
		return err
	}
	h.Set(fasthttp.HeaderContentSecurityPolicy, page.Policy(room.Next))
	if refresh > 0 && web.Cookie(ctx, CookieScript) == "" {
		h.Set("Refresh", fmt.Sprintf("%d; url=/rooms/%d", refresh, room.ID))
	}
	if encoding != encodingPlain {
		h.Set(fasthttp.HeaderContentEncoding, encodingNames[encoding])
	}
	web.WriteHTML(ctx, http.StatusOK, body)
	return nil
}

// rendered is the page of a view, compressed. Everybody who comes for the first time gets the same one while the document
// is the same, and a crowd comes for the first time all at once: theirs is kept.
func (e *Edge) rendered(ctx *fasthttp.RequestCtx, made firstMade, v *page.View, encoding int) ([]byte, error) {
	accept := string(ctx.Request.Header.Peek(fasthttp.HeaderAcceptLanguage))
	first := len(ctx.Request.Header.Peek(fasthttp.HeaderCookie)) == 0 && len(ctx.QueryArgs().QueryString()) == 0 &&
		len(ctx.Request.Header.Peek(HeaderToken)) == 0 && len(accept) <= maxFirstAccept
	key := firstPage{v.Room, v.Name, v.Next, accept, encoding}
	if first {
		if body, ok := e.firsts.get(key, made); ok {
			return body, nil
		}
	}
	body, err := e.page.Render(*v, e.language(ctx), accept)
	if err != nil {
		return nil, err
	}
	switch encoding {
	case encodingBrotli:
		body = fasthttp.AppendBrotliBytesLevel(nil, body, brotliQuality)
	case encodingGzip:
		body = fasthttp.AppendGzipBytes(nil, body)
	}
	if first {
		e.firsts.put(key, made, body)
	}
	return body, nil
}

// language is the one that the visitor chose, by a link on the page, now or before; empty for none.
func (e *Edge) language(ctx *fasthttp.RequestCtx) string {
	if lang := string(ctx.QueryArgs().Peek("lang")); e.page.Speaks(lang) {
		e.cookie(ctx, cookieLanguage, lang, 365*24*time.Hour)
		return lang
	}
	return web.Cookie(ctx, cookieLanguage)
}

// roomAnswer is the page for programs. Counts that are not known are left out.
type roomAnswer struct {
	Room     int64             `json:"room"`
	Name     string            `json:"name"`
	Phase    page.Phase        `json:"phase"`
	Place    string            `json:"place,omitempty"`
	OrderKey string            `json:"orderKey,omitempty"`
	Lane     string            `json:"lane,omitempty"`
	Low      *uint32           `json:"low,omitempty"`       // people before it, at least
	High     *uint32           `json:"high,omitempty"`      // and at most
	About    bool              `json:"about,omitzero"`      // the rank may still grow
	Early    string            `json:"earlyFrom,omitempty"` // when a closed room takes the first joins
	Opens    string            `json:"opensAt,omitempty"`
	Expires  string            `json:"expires,omitempty"` // of the admission
	Retry    int               `json:"retryAfter,omitzero"`
	Next     string            `json:"next,omitempty"`
	Links    map[string]string `json:"links"`
}

func (e *Edge) answerRoom(ctx *fasthttp.RequestCtx, room Room, v *page.View, refresh int) error {
	out := roomAnswer{
		Room: room.ID, Name: room.Name, Phase: v.Phase, Place: v.Place, OrderKey: v.Key, Lane: v.Lane, About: v.Young,
		Retry: refresh, Links: make(map[string]string, len(roomLinks)),
	}
	if v.Known {
		out.Low, out.High = &v.Low, &v.High
	}
	switch {
	case v.Phase == page.Admitted:
		out.Expires, out.Next = instantText(v.Until), room.Next
	case v.Phase == page.Closed:
		out.Early, out.Opens = instantOrNone(v.Until), instantOrNone(v.Doors)
	default:
		out.Opens = instantOrNone(v.Until)
	}
	for _, name := range roomLinks {
		out.Links[name] = fmt.Sprintf("/rooms/%d/%s", room.ID, name)
	}
	if refresh > 0 {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(refresh))
	}
	return web.WriteJSON(ctx, http.StatusOK, out)
}

// instantOrNone is an instant's text, empty for 0.
func instantOrNone(micros int64) string {
	if micros <= 0 {
		return ""
	}
	return instantText(micros)
}

// roomLinks are the steps below a room's path.
var roomLinks = [...]string{"arrive", "join", "queue", "place", "enter", "leave"}

// view finds out the visitor's phase and what to show, and after how many seconds a page without JavaScript looks again
// (0 for never).
func (e *Edge) view(ctx *fasthttp.RequestCtx, room Room, who visitor) (page.View, int) {
	v := page.View{Room: room.ID, Name: room.Name, Next: room.Next, Phase: page.Arriving, Line: page.Line{Left: -1, Coming: -1}}
	d := e.docs.newest(room.ID)
	e.line(&v, d, wire.LaneNormal)
	if ends, ok := e.admitted(ctx, room, who); ok {
		v.Phase, v.Until = page.Admitted, ends
		v.Next = e.next(ctx, room, web.Cookie(ctx, roomCookie(CookiePass, room.ID)))
		return v, 0
	}
	if d != nil && d.doc.State == wire.RoomEnded.String() {
		v.Phase = page.Ended
		return v, 0
	}
	v.Coded = e.carriedInvite(ctx, room) != nil
	if t, err := e.token(ctx, room.ID, who); err == nil {
		at := v
		if refresh := e.viewPlace(&at, room, d, &t); !v.Coded || t.Lane == wire.LaneInvited || !at.Phase.InLine() {
			at.Coded = false
			return at, refresh
		}
		// With an invite code they may join once more: the better place is kept.
	}
	if v.Coded {
		v.Notice = "invite"
	}
	if d != nil && d.doc.State == wire.RoomClosed.String() {
		v.Phase, v.Until, v.Doors = page.Closed, d.doc.EarlyFrom, d.doc.OpensAt
		if v.Until == 0 {
			v.Until, v.Doors = v.Doors, 0
		}
		return v, refreshResting
	}
	return v, e.viewChallenge(ctx, &v, room, who)
}

// viewChallenge shows a visitor whose challenge waits to be answered.
func (e *Edge) viewChallenge(ctx *fasthttp.RequestCtx, v *page.View, room Room, who visitor) (refresh int) {
	b, err := token.FromText(web.Cookie(ctx, roomCookie(CookieChallenge, room.ID)), wire.ChallengeSize)
	if err != nil {
		return 0
	}
	now := e.now()
	ch, err := e.deps.Keys.VerifyChallenge(b, room.ID, who.hash, now, 0)
	if err != nil || !timed(&ch) || v.Coded && ch.Lane != wire.LaneInvited {
		return 0
	}
	wait := e.timedFrom(&ch) - now
	if wait <= 0 {
		v.Phase = page.Ready
		return 0
	}
	v.Phase = page.Checking
	return int(wait/1_000_000) + 1
}

// viewPlace shows a place in line.
func (e *Edge) viewPlace(v *page.View, room Room, d *document, t *wire.Token) (refresh int) {
	fact := e.factOf(t.ID, &t.Place)
	v.Key, v.Lane, v.Drawn = fact.key.String(), fact.lane.String(), fact.drawn
	v.Place, v.Instant, v.Young = wire.Hex(t.ID), instantText(t.Instant), e.about(room, t.Instant)
	v.Phase = page.Waiting
	low, high, known := e.position(room.ID, fact)
	if !known {
		return refreshUnknown
	}
	e.line(v, d, fact.lane)
	v.Known, v.Low, v.High = true, max(low, 1)-1, max(high, 1)-1
	switch {
	case d.doc.State == wire.RoomEarly.String() || d.doc.State == wire.RoomClosed.String():
		v.Phase, v.Until = page.Early, d.doc.OpensAt
		return refreshResting
	case high == 0:
		v.Phase = page.Invited
		return 0
	case d.doc.State == wire.RoomPaused.String():
		v.Phase = page.Paused
		return refreshResting
	case d.doc.State == wire.RoomSoldOut.String():
		v.Phase = page.SoldOut
		return refreshResting
	}
	return refreshWaiting
}

// line copies what the document tells everybody.
func (e *Edge) line(v *page.View, d *document, lane wire.Lane) {
	if d == nil {
		return
	}
	v.Line = page.Line{
		Known: true, Draw: d.doc.Mode == "draw", Waiting: d.doc.Waiting, PerMinute: d.doc.PerMinute, Left: d.doc.Left, Coming: d.doc.Coming,
		Price: d.doc.Price, Currency: d.doc.Currency,
	}
	if l := laneOf(&d.doc, lane); l != nil {
		v.Line.RateLow, v.Line.RateHigh = l.RateLow, l.RateHigh
	}
}

// admitted reports whether the visitor carries a pass that is still good, and when it ends, µs.
func (e *Edge) admitted(ctx *fasthttp.RequestCtx, room Room, who visitor) (ends int64, ok bool) {
	text := web.Cookie(ctx, roomCookie(CookiePass, room.ID))
	if text == "" || !who.known {
		return 0, false
	}
	claims, err := e.deps.Passes.Verify(text, room.ID, time.UnixMicro(e.now()))
	if err != nil || claims.Subject != wire.Hex(who.hash) {
		return 0, false
	}
	return claims.ExpiresAt.UnixMicro(), true
}

// getAsset serves a file of the page for good: its name changes with its content.
func (e *Edge) getAsset(ctx *fasthttp.RequestCtx) error {
	name, err := web.PathParam(ctx, "name")
	if err != nil {
		return err
	}
	asset, ok := e.page.Asset(name)
	if !ok {
		return web.NotFound("There is no such file.")
	}
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderCacheControl, "public, max-age=31536000, immutable")
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	if strings.HasPrefix(asset.Type, "image/") {
		h.Set(fasthttp.HeaderContentSecurityPolicy, page.ImagePolicy)
	}
	if strings.HasPrefix(name, "solver-") {
		h.Set(fasthttp.HeaderContentSecurityPolicy, page.SolverPolicy)
	}
	ctx.SetContentType(asset.Type)
	encoding := negotiate(ctx)
	if encoding != encodingPlain {
		h.Set(fasthttp.HeaderContentEncoding, encodingNames[encoding])
	}
	switch encoding {
	case encodingBrotli:
		ctx.Response.SetBodyRaw(asset.Brotli())
	case encodingGzip:
		ctx.Response.SetBodyRaw(asset.Gzip())
	default:
		ctx.Response.SetBodyRaw(asset.Body)
	}
	return nil
}
