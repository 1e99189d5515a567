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
	encoding := negotiate(ctx)
	has := ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch)
	d.answer(encoding, len(has) > 0 && matches(string(has), d.etags[encoding])).Write(ctx)
	return nil
}

// negotiate picks the best encoding that a request allows (RFC 9110, section 12.5.3).
func negotiate(ctx *fasthttp.RequestCtx) int {
	accept := ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding)
	switch string(accept) {
	case "gzip, deflate, br, zstd", "gzip, deflate, br", "br": // of browsers, and of CDNs that ask for one form at a time
		return encodingBrotli
	}
	return best(string(accept))
}

func best(accept string) int {
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
