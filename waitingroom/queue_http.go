package waitingroom

import (
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
)

// documentCaching lets a CDN serve everybody of one second with one request, and go on while it asks again.
const documentCaching = "public, max-age=1, stale-while-revalidate=5"

// notYet is the answer before a room's first document.
func notYet() *web.Problem {
	p := problem(http.StatusServiceUnavailable, "not-ready", "Just a moment", "The line is being prepared.")
	p.RetryAfter = time.Second
	return p
}

// getQueue serves the queue document from memory.
func (e *Edge) getQueue(ctx *fasthttp.RequestCtx) error {
	room, err := e.room(ctx)
	if err != nil {
		return err
	}
	d := e.docs.newest(room.ID)
	if d == nil {
		return notYet()
	}
	encoding := negotiate(string(ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding)))
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderCacheControl, documentCaching)
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	h.Set(fasthttp.HeaderETag, d.etags[encoding])
	if matches(string(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch)), d.etags[encoding]) {
		ctx.SetStatusCode(http.StatusNotModified)
		return nil
	}
	if encoding != encodingPlain {
		h.Set(fasthttp.HeaderContentEncoding, encodingNames[encoding])
	}
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(d.body(encoding))
	return nil
}

// negotiate picks the best encoding that an Accept-Encoding header allows (RFC 9110, section 12.5.3).
func negotiate(accept string) int {
	for i, name := range encodingNames[:encodingPlain] {
		if allows(accept, name) {
			return i
		}
	}
	return encodingPlain
}

// allows reports whether a coding is listed with a weight above 0.
func allows(accept, coding string) bool {
	for accept != "" {
		var entry string
		entry, accept, _ = strings.Cut(accept, ",")
		name, weight, _ := strings.Cut(entry, ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			weight = strings.ReplaceAll(weight, " ", "")
			return strings.Trim(strings.TrimPrefix(strings.ToLower(weight), "q="), "0.") != "" || weight == ""
		}
	}
	return false
}

// matches evaluates If-None-Match by weak comparison (RFC 9110, section 13.1.2).
func matches(header, etag string) bool {
	if header == "*" {
		return true
	}
	for header != "" {
		var entry string
		entry, header, _ = strings.Cut(header, ",")
		if strings.TrimPrefix(strings.TrimSpace(entry), "W/") == etag {
			return true
		}
	}
	return false
}
