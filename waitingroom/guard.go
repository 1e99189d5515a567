package waitingroom

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/sale"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// Actions that the guard judges.
const (
	ActionArrive = "arrive"
	ActionJoin   = "join"
	ActionEnter  = "enter"
)

// Guard is what the edge asks of the bot guard. Implementations are safe for concurrent use and own no store that a
// request would wait for beyond its ctx.
type Guard interface {
	// Judge decides about one request: limits for every action, and what a place costs for arriving and joining.
	Judge(ctx context.Context, v Visit) Verdict
	// Check returns nil if solution solves the puzzle of seed at price.
	Check(seed wire.Hash, price token.Price, solution []byte) error
	// Failed notes a wrong solution of a visit.
	Failed(v Visit)
	// Algorithm is the name by which the solver knows the algorithm of a price.
	Algorithm(price token.Price) (string, error)
	// Presence is the price of entering, Difficulty 0 for none.
	Presence() token.Price
	// Issued notes that a visit was given a challenge: while it can be answered it counts as a place.
	Issued(v Visit)
	// Networks are keyed hashes of a client's networks.
	Networks(a netip.Addr) sale.Networks
	// Carrier says whether the address is in a listed carrier range.
	Carrier(a netip.Addr) bool
	// ClientAddress is the client behind a peer; header is the value of the header that Header names.
	ClientAddress(peer netip.Addr, header string) (netip.Addr, error)
	Header() string
}

// Visit is what the edge knows about a request.
type Visit struct {
	Action         string
	Address        netip.Addr
	UserAgent      string
	AcceptLanguage string
	FetchSite      string
	Visitor        wire.ID // hash of the visitor's secret; zero for none
	Returning      bool    // the visitor brought a secret

	Room int64

	// For arriving only: where it comes from, and how many places those networks have in the room.
	Networks sale.Networks
	Places   sale.NetworkPlaces
}

// Verdict is the guard's answer. When Allow is false, Status says why: 429 (come back after RetryAfter) or 403.
type Verdict struct {
	Allow      bool
	Status     int
	RetryAfter time.Duration
	Policy     string      // RateLimit-Policy header; empty for none
	RateLimit  string      // RateLimit header; empty for none
	Price      token.Price // what a place costs, for arriving
	Lane       wire.Lane   // LaneNormal or LaneShared
	AppealCode string      // what a refused person quotes
}

// visit reads what the guard wants to know. A client whose address a trusted proxy garbled is refused.
func (e *Edge) visit(ctx *fasthttp.RequestCtx, room int64, action string, who visitor) (Visit, error) {
	peer, _ := netip.AddrFromSlice(ctx.RemoteIP())
	address, err := e.deps.Guard.ClientAddress(peer.Unmap(), string(ctx.Request.Header.Peek(e.deps.Guard.Header())))
	if err != nil {
		return Visit{}, web.BadRequest(e.deps.Guard.Header(), "the client's address")
	}
	h := &ctx.Request.Header
	return Visit{
		Room: room, Action: action, Address: address, UserAgent: string(h.Peek(fasthttp.HeaderUserAgent)),
		AcceptLanguage: string(h.Peek(fasthttp.HeaderAcceptLanguage)), FetchSite: string(h.Peek("Sec-Fetch-Site")),
		Visitor: who.hash, Returning: who.known,
	}, nil
}

// judge asks the guard, within a context, and turns a refusal into a problem that offers a path.
func (e *Edge) judge(ctx *fasthttp.RequestCtx, within context.Context, v Visit) (Verdict, error) {
	verdict := e.deps.Guard.Judge(within, v)
	if verdict.Policy != "" {
		ctx.Response.Header.Set("RateLimit-Policy", verdict.Policy)
		ctx.Response.Header.Set("RateLimit", verdict.RateLimit)
	}
	if verdict.Allow {
		return verdict, nil
	}
	if verdict.Status == http.StatusForbidden {
		return verdict, problem(http.StatusForbidden, "refused", "This request was not let in",
			"It looks automated. If it was you, please try from another browser or network, or write to the organiser and "+
				"quote the code.").With("appealCode", verdict.AppealCode)
	}
	p := problem(http.StatusTooManyRequests, "too-many-requests", "Too many requests",
		"Please wait a moment. A place that you have stays yours.")
	p.RetryAfter = max(verdict.RetryAfter, time.Second)
	return verdict, p
}
