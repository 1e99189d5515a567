package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"
)

// maxAccept is how many media ranges of an Accept header are looked at.
const maxAccept = 32

// WriteJSON answers with v as JSON. A nil slice is written as [], members of maps are sorted. The error is a value that
// JSON cannot hold, a programming error.
func WriteJSON(ctx *fasthttp.RequestCtx, status int, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	WriteEncoded(ctx, status, body)
	return nil
}

// WriteEncoded answers with what is JSON already. The body is the caller's again afterwards.
func WriteEncoded(ctx *fasthttp.RequestCtx, status int, body []byte) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(typeJSON)
	ctx.SetBody(body)
}

// WriteHTML answers with a page. Set a Content-Security-Policy before or after: the shell's default allows nothing.
func WriteHTML(ctx *fasthttp.RequestCtx, status int, page []byte) {
	ctx.SetStatusCode(status)
	ctx.SetContentType(typeHTML)
	ctx.SetBody(page)
}

// WantsHTML reports whether the Accept header names text/html and prefers it to JSON (RFC 9110, section 12.5.1).
// Browsers do; a client without an Accept header, or with */*, gets JSON.
func WantsHTML(ctx *fasthttp.RequestCtx) bool {
	var html, structured, any float64
	accept := string(ctx.Request.Header.Peek(fasthttp.HeaderAccept))
	explicit := false
	for i := 0; i < maxAccept && accept != ""; i++ {
		var entry string
		entry, accept, _ = strings.Cut(accept, ",")
		media, q := mediaRange(entry)
		switch {
		case media == "text/html", media == "application/xhtml+xml":
			html = max(html, q)
		case media == "application/*", strings.HasSuffix(media, "/json"), strings.HasSuffix(media, "+json"):
			structured, explicit = max(structured, q), true
		case media == "*/*":
			any = q
		}
	}
	if !explicit {
		structured = any
	}
	return html > structured
}

// mediaRange splits "text/html;level=1;q=0.5" into its type and weight.
func mediaRange(entry string) (string, float64) {
	media, parameters, _ := strings.Cut(entry, ";")
	q := 1.0
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		weight, err := strconv.ParseFloat(value, 64)
		if err != nil || !(weight >= 0 && weight <= 1) {
			weight = 0
		}
		q = weight
	}
	return strings.ToLower(strings.TrimSpace(media)), q
}

// CookieOptions of SetCookie. Cookies are always HttpOnly and SameSite=Lax.
type CookieOptions struct {
	Path   string        // empty means /
	MaxAge time.Duration // zero means until the browser ends
	Secure bool          // the public side is HTTPS
}

// SetCookie sets a cookie. The value must be of characters that need no quoting, such as base64url.
func SetCookie(ctx *fasthttp.RequestCtx, name, value string, o CookieOptions) {
	cookie := newCookie(name, o)
	defer fasthttp.ReleaseCookie(cookie)
	cookie.SetValue(value)
	if o.MaxAge > 0 {
		cookie.SetMaxAge(int(o.MaxAge / time.Second))
	}
	ctx.Response.Header.SetCookie(cookie)
}

// ClearCookie makes the browser forget a cookie set with the same options.
func ClearCookie(ctx *fasthttp.RequestCtx, name string, o CookieOptions) {
	cookie := newCookie(name, o)
	defer fasthttp.ReleaseCookie(cookie)
	cookie.SetExpire(fasthttp.CookieExpireDelete)
	ctx.Response.Header.SetCookie(cookie)
}

// newCookie is a cookie no script can read and no other site can post with. The header keeps a copy: release it.
func newCookie(name string, o CookieOptions) *fasthttp.Cookie {
	cookie := fasthttp.AcquireCookie()
	cookie.SetKey(name)
	cookie.SetPath("/")
	if o.Path != "" {
		cookie.SetPath(o.Path)
	}
	cookie.SetHTTPOnly(true)
	cookie.SetSameSite(fasthttp.CookieSameSiteLaxMode)
	cookie.SetSecure(o.Secure)
	return cookie
}

// Cookie returns a copy of a cookie's value, empty if there is none.
func Cookie(ctx *fasthttp.RequestCtx, name string) string {
	return string(ctx.Request.Header.Cookie(name))
}
