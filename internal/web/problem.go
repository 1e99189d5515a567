package web

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"
)

// Media types this package reads and writes.
const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
	typeForm    = "application/x-www-form-urlencoded"
	typeHTML    = "text/html; charset=utf-8"
)

// Problem is an error that a client may see (RFC 9457). It holds nothing internal.
type Problem struct {
	Type       string         // a URI reference naming the kind of problem; empty means about:blank
	Title      string         // the kind in words; empty means the status in words
	Status     int            // the HTTP status; zero means 500
	Detail     string         // what happened this time, for people
	Instance   string         // a URI reference naming this occurrence; a Shell fills it from the request id
	Key        string         // what in the request is wrong: "items[0].quantity", "start_date"
	Expected   string         // what was expected there: "a whole number"
	Extra      map[string]any // further members, camelCase; names of the members above are ignored
	RetryAfter time.Duration  // when to try again, rounded up to a second; zero means not said
}

// BadRequest is a 400: the request cannot be understood. key names the member, parameter or header.
func BadRequest(key, expected string) *Problem { return wrong(http.StatusBadRequest, key, expected) }

// Unprocessable is a 422: understood, but key does not hold what it must.
func Unprocessable(key, expected string) *Problem {
	return wrong(http.StatusUnprocessableEntity, key, expected)
}

// Unauthorized is a 401: who is asking is not known.
func Unauthorized(detail string) *Problem { return said(http.StatusUnauthorized, detail) }

// Forbidden is a 403: known, and not allowed.
func Forbidden(detail string) *Problem { return said(http.StatusForbidden, detail) }

// NotFound is a 404.
func NotFound(detail string) *Problem { return said(http.StatusNotFound, detail) }

// Conflict is a 409: not in the present state of things.
func Conflict(detail string) *Problem { return said(http.StatusConflict, detail) }

// Gone is a 410: it was there once.
func Gone(detail string) *Problem { return said(http.StatusGone, detail) }

// TooMany is a 429: this client asks too often.
func TooMany(retryAfter time.Duration) *Problem {
	return &Problem{Status: http.StatusTooManyRequests, RetryAfter: retryAfter,
		Detail: "Too many requests. Please try again a little later."}
}

// Unavailable is a 503: we cannot do it now.
func Unavailable(retryAfter time.Duration) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, RetryAfter: retryAfter,
		Detail: "We cannot do this right now. Please try again shortly."}
}

// wrong is a problem with one key of the request.
func wrong(status int, key, expected string) *Problem {
	return &Problem{Status: status, Key: key, Expected: expected, Detail: fmt.Sprintf("%s: expected %s", key, expected)}
}

// said is a problem described by its detail.
func said(status int, detail string) *Problem { return &Problem{Status: status, Detail: detail} }

// With returns a copy with one further member.
func (p *Problem) With(name string, value any) *Problem {
	q := *p
	q.Extra = make(map[string]any, len(p.Extra)+1)
	for k, v := range p.Extra {
		q.Extra[k] = v
	}
	q.Extra[name] = value
	return &q
}

// About returns a copy that names what in the request is wrong.
func (p *Problem) About(key string) *Problem {
	q := *p
	q.Key = key
	return &q
}

// Because returns a copy with another detail.
func (p *Problem) Because(detail string) *Problem {
	q := *p
	q.Detail = detail
	return &q
}

// Error says the status and the detail, for logs and tests.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%d %s", p.status(), p.title())
	}
	return fmt.Sprintf("%d %s: %s", p.status(), p.title(), p.Detail)
}

// Write answers the request with the problem: as a page if the client prefers text/html, else as problem+json.
// Headers set before, cookies among them, stay.
func (p *Problem) Write(ctx *fasthttp.RequestCtx) {
	ctx.Response.ResetBody()
	ctx.Response.Header.Del(fasthttp.HeaderETag)
	ctx.Response.Header.Del(fasthttp.HeaderContentEncoding)
	ctx.SetStatusCode(p.status())
	p.headers(ctx.Response.Header.Set)
	if !WantsHTML(ctx) {
		ctx.SetContentType(typeProblem)
		ctx.SetBody(p.document())
		return
	}
	ctx.SetContentType(typeHTML)
	ctx.Response.Header.Set(fasthttp.HeaderContentSecurityPolicy, errorPagePolicy())
	if p.RetryAfter > 0 && ctx.IsGet() {
		ctx.Response.Header.Set("Refresh", seconds(p.RetryAfter))
	}
	ctx.SetBody(p.page())
}

// WriteHTTP answers a net/http request with problem+json.
func (p *Problem) WriteHTTP(w http.ResponseWriter) {
	p.headers(w.Header().Set)
	w.Header().Set("Content-Type", typeProblem)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.status())
	_, _ = w.Write(p.document())
}

// headers sets what a problem needs beside its body.
func (p *Problem) headers(set func(name, value string)) {
	set(fasthttp.HeaderCacheControl, "no-store")
	if p.RetryAfter > 0 {
		set(fasthttp.HeaderRetryAfter, seconds(p.RetryAfter))
	}
	if p.status() == http.StatusUnauthorized {
		set(fasthttp.HeaderWWWAuthenticate, `Bearer realm="fairgate"`)
	}
}

// document is the problem as JSON. A value in Extra that JSON cannot hold costs the extras, not the answer.
func (p *Problem) document() []byte {
	if len(p.Extra) == 0 {
		return p.plain()
	}
	members := make(map[string]any, len(p.Extra)+7)
	for name, value := range p.Extra {
		members[name] = value
	}
	members["type"] = p.kind()
	members["title"] = p.title()
	members["status"] = p.status()
	for name, value := range map[string]string{
		"detail": p.Detail, "instance": p.Instance, "key": p.Key, "expected": p.Expected,
	} {
		delete(members, name)
		if value != "" {
			members[name] = value
		}
	}
	body, err := json.Marshal(members, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return p.plain()
	}
	return body
}

// plain is the document of a problem without extras, members in the same order. Floods are answered with these.
func (p *Problem) plain() []byte {
	b := append(make([]byte, 0, 512), '{')
	text := func(name, value string) {
		if value == "" {
			return
		}
		b = append(append(append(b, '"'), name...), `":`...)
		b, _ = jsontext.AppendQuote(b, value) // the error says that invalid UTF-8 was replaced
		b = append(b, ',')
	}
	text("detail", p.Detail)
	text("expected", p.Expected)
	text("instance", p.Instance)
	text("key", p.Key)
	b = append(strconv.AppendInt(append(b, `"status":`...), int64(p.status()), 10), ',')
	text("title", p.title())
	text("type", p.kind())
	b[len(b)-1] = '}'
	return b
}

// kind is Type with its default.
func (p *Problem) kind() string {
	if p.Type == "" {
		return "about:blank"
	}
	return p.Type
}

// title is Title with its default.
func (p *Problem) title() string {
	if p.Title == "" {
		return http.StatusText(p.status())
	}
	return p.Title
}

// status is Status with its default.
func (p *Problem) status() int {
	if p.Status < 400 || p.Status > 599 {
		return http.StatusInternalServerError
	}
	return p.Status
}

// seconds renders a Retry-After: whole seconds, at least one.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

// Jitter stretches a Retry-After by up to a half, so that those refused together do not return together. random gives
// [0, 1).
func Jitter(d time.Duration, random func() float64) time.Duration {
	return d + time.Duration(float64(d)*random()/2)
}
