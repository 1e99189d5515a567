package waitingroom

import (
	"bytes"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// Names under which a visitor carries what it was given: cookies for browsers, headers for API clients.
const (
	CookieVisitor   = "fg_visitor"
	CookieToken     = "fg_token_"     // then the room
	CookieChallenge = "fg_challenge_" // then the room; for pages without JavaScript
	CookiePass      = "fg_pass_"      // then the room
	CookieScript    = "fg_js"         // set by the page's script: it needs no Refresh header
	HeaderVisitor   = "Queue-Visitor"
	HeaderToken     = "Queue-Token"
)

// cookiePath is where all cookies but the pass are sent.
const cookiePath = "/rooms"

// visitor is who a request comes from.
type visitor struct {
	secret [token.VisitorSize]byte
	hash   wire.ID
	known  bool // a secret was presented
}

// visitor reads the secret; a malformed header is the client's mistake, a malformed cookie is as good as none.
func (e *Edge) visitor(ctx *fasthttp.RequestCtx) (visitor, error) {
	text, fromHeader := string(ctx.Request.Header.Peek(HeaderVisitor)), true
	if text == "" {
		text, fromHeader = web.Cookie(ctx, CookieVisitor), false
	}
	if text == "" {
		return visitor{}, nil
	}
	b, err := token.FromText(text, token.VisitorSize)
	if err != nil {
		if fromHeader {
			return visitor{}, web.BadRequest(HeaderVisitor, "the visitor secret as it was given out")
		}
		return visitor{}, nil
	}
	v := visitor{secret: [token.VisitorSize]byte(b), known: true}
	v.hash = token.VisitorHash(v.secret)
	return v, nil
}

// firstTime is the visitor of a request without a secret. Tabs that come together have no cookie yet, and whichever answer came
// last would decide whose they are: so a page draws the secret for all of them. Only JSON may bring one, which no other
// site can send.
func (e *Edge) firstTime(ctx *fasthttp.RequestCtx, in arriveRequest) (visitor, error) {
	if in.Visitor == "" || !bytes.HasPrefix(ctx.Request.Header.ContentType(), []byte("application/json")) {
		return e.newVisitor()
	}
	b, err := token.FromText(in.Visitor, token.VisitorSize)
	if err != nil {
		return visitor{}, web.BadRequest("visitor", "16 random bytes in base64url, without padding")
	}
	v := visitor{secret: [token.VisitorSize]byte(b)}
	v.hash = token.VisitorHash(v.secret)
	return v, nil
}

// newVisitor draws a secret.
func (e *Edge) newVisitor() (visitor, error) {
	id, err := e.random128()
	if err != nil {
		return visitor{}, err
	}
	v := visitor{secret: id, known: false}
	v.hash = token.VisitorHash(v.secret)
	return v, nil
}

// tokenText is the queue token that a request carries, empty for none.
func tokenText(ctx *fasthttp.RequestCtx, room int64) string {
	if text := ctx.Request.Header.Peek(HeaderToken); len(text) > 0 {
		return string(text)
	}
	return web.Cookie(ctx, roomCookie(CookieToken, room))
}

// token verifies the queue token of a request against its visitor.
func (e *Edge) token(ctx *fasthttp.RequestCtx, room int64, who visitor) (wire.Token, error) {
	text := tokenText(ctx, room)
	if text == "" {
		return wire.Token{}, problem(fasthttp.StatusForbidden, "no-place", "No place in line",
			"The request carries no queue token."+arriveAgain).About(HeaderToken)
	}
	b, err := token.FromText(text, wire.TokenSize)
	if err != nil {
		return wire.Token{}, tokenProblem(err, "token")
	}
	t, err := e.deps.Keys.VerifyToken(b, room, who.hash, e.now())
	if err != nil {
		return wire.Token{}, tokenProblem(err, "token")
	}
	return t, nil
}

func roomCookie(name string, room int64) string { return name + strconv.FormatInt(room, 10) }

func (e *Edge) cookie(ctx *fasthttp.RequestCtx, name, value string, life time.Duration) {
	web.SetCookie(ctx, name, value, web.CookieOptions{Path: cookiePath, MaxAge: life, Secure: e.config.Secure})
}

func (e *Edge) dropCookie(ctx *fasthttp.RequestCtx, name string) {
	web.ClearCookie(ctx, name, web.CookieOptions{Path: cookiePath, Secure: e.config.Secure})
}

// lives turns the rest of a time in µs into a cookie's age, at least a second.
func lives(until, now int64) time.Duration {
	return max(time.Duration(until-now)*time.Microsecond, time.Second)
}

// instantText is an instant in RFC 3339 with microseconds, UTC.
func instantText(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z")
}
