// Package web is the HTTP shell of everything fans and Stripe reach: routing, strict decoding of bodies, errors as
// problem documents (RFC 9457), limits and a draining server, on fasthttp. It may touch sockets it is given an address
// for and the clock; it knows no store, no log and no rule of a sale.
//
// A role writes Handlers, which return errors. A [Shell] turns a Handler into a fasthttp handler: it answers errors as
// problems, recovers panics, measures, and sets the headers that every answer has. A [Router] maps methods and
// patterns to Handlers through one Shell. A [Server] serves a Router under limits and drains at the end.
//
// Nothing of a fasthttp.RequestCtx may be kept after a Handler returns, and RequestCtx must not be used as a
// context.Context: it ends when a drain begins. Use [RequestContext].
package web

import "github.com/valyala/fasthttp"

// Limits of a request. fasthttp reads the head of a request into one buffer, so a longer head is refused (431).
const (
	MaxBody   = 64 << 10 // bytes of a body
	MaxHeader = 16 << 10 // bytes of request line and headers together
	MaxDepth  = 16       // objects and lists within each other in a JSON body
)

// Handler serves one request. If it returns an error, what it has written so far is dropped, but for cookies and
// other headers, and the error is answered: as it is if it is or wraps a *Problem, as 503 if it wraps
// context.DeadlineExceeded, else as an opaque 500.
type Handler func(ctx *fasthttp.RequestCtx) error
