// Package botguard says whether a request looks like a fan or a script, and what a place in line costs: a verdict, a
// price in work, and the check of the work. It touches memory and, through botguard/limit, the shared limits; it owns
// no sockets, and it proves nobody a person.
//
// Never-harm rules: no visual puzzle; a listed carrier's crowd pays at most twice the price; what a browser looks like
// refuses nobody; a refusal carries an appeal code; and only arriving and joining can be refused, so that nobody loses
// a place to the guard.
package botguard

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/botguard/limit"
	"fairgate/botguard/puzzle"
	"fairgate/botguard/risk"
	"fairgate/internal/sale"
)

// Actions that the guard judges. Others are limited as limit.ActionDefault.
const (
	ActionArrive  = "arrive"
	ActionJoin    = "join"
	ActionEnter   = "enter"
	ActionBooking = "booking"
	ActionPay     = "pay"
	ActionLogin   = "login"
)

// Lane is where a place in line stands.
type Lane uint8

// The lanes. The first is the normal one.
const (
	LaneNormal Lane = 0
	LaneShared Lane = 1 // shared networks and the suspicious: a share of the outflow of its own
)

// Deps is what the guard is handed.
type Deps struct {
	Shared     limit.Store           // tier two of the limits; nil for none
	Algorithms puzzle.Set            // zero for SHA256 and HashWX
	Clock      func() time.Time      // nil for time.Now
	Random     io.Reader             // nil for crypto/rand
	Log        *slog.Logger          // nil for silence
	Metrics    prometheus.Registerer // nil for none
}

// Request is what the caller knows about a request.
type Request struct {
	Action         string
	Address        netip.Addr // the client's, from ClientAddress
	UserAgent      string
	AcceptLanguage string
	FetchSite      string   // the Sec-Fetch-Site header
	Visitor        [16]byte // zero for none
	Returning      bool     // the visitor brought our cookie
	User           string   // empty for none

	Room int64 // that it goes to

	// For arriving: the client's networks (Guard.Networks), and the places that they have in the room; zero where not known.
	Networks sale.Networks
	Places   sale.NetworkPlaces
}

// Verdict is the answer. When Allow is false, Status says why: 429 (come back after RetryAfter) or 403 (AppealCode).
type Verdict struct {
	Allow      bool
	Status     int            // 200, 429 or 403
	RetryAfter time.Duration  // not jittered
	Limits     limit.Decision // for the RateLimit header fields
	Price      puzzle.Params  // what a place costs this client now
	Lane       Lane
	Score      int
	Reasons    []string // for operators; never shown to the client
	AppealCode string   // what a refused person quotes; the same for an hour
}

// Guard judges. It is safe for concurrent use and owns no goroutine.
type Guard struct {
	config   Config
	base     puzzle.Params
	set      puzzle.Set
	limits   *limit.Limiter
	rules    *risk.Rules
	secret   []byte
	trusted  prefixes
	carriers prefixes
	hosting  prefixes
	origins  origins
	pending  *pending
	recent   *recent
	clock    func() time.Time
	log      *slog.Logger
	logged   atomic.Uint64 // seconds since the epoch in the high bits, lines in it in the low 16
	verdicts verdicts
	rulings  rulings // that Rulings has not given out yet
}

// verdicts counts verdicts by kind.
type verdicts struct{ allowed, limited, refused, otherLane prometheus.Counter }

// New makes a guard; Config must have a secret.
func New(c Config, d Deps) (*Guard, error) {
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("botguard: %w", err)
	}
	if err := c.Puzzle.Validate(); err != nil {
		return nil, fmt.Errorf("botguard: puzzle.%w", err)
	}
	secret := []byte(c.Secret.Reveal())
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("botguard: secret: expected at least %d characters", MinSecret)
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{
		config: c, secret: secret, trusted: newPrefixes(c.Trusted), carriers: newPrefixes(c.Carriers),
		hosting: newPrefixes(c.Hosting), recent: newRecent(), clock: d.Clock, log: d.Log,
	}
	g.pending = newPending(c.Puzzle.Life)
	var err error
	if g.origins, err = openOrigins(c.ASNTable); err != nil {
		return nil, fmt.Errorf("botguard: %w", err)
	}
	if g.set, g.base, err = c.Puzzle.base(d.Algorithms); err != nil {
		return nil, fmt.Errorf("botguard: %w", err)
	}
	if g.rules, err = c.rules(); err != nil {
		return nil, fmt.Errorf("botguard: %w", err)
	}
	if g.limits, err = limit.New(c.Limits, limit.Deps{
		Secret: secret, Shared: d.Shared, Clock: d.Clock, Random: d.Random, Log: d.Log, Metrics: d.Metrics,
	}); err != nil {
		return nil, fmt.Errorf("botguard: %w", err)
	}
	counts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairgate_botguard_verdicts_total", Help: "Verdicts by kind: allowed, limited, refused, other-lane.",
	}, []string{"kind"})
	if d.Metrics != nil {
		if err := d.Metrics.Register(counts); err != nil {
			return nil, fmt.Errorf("botguard: %w", err)
		}
	}
	of := func(kind string) prometheus.Counter { return counts.WithLabelValues(kind) }
	g.verdicts = verdicts{allowed: of("allowed"), limited: of("limited"), refused: of("refused"), otherLane: of("other-lane")}
	return g, nil
}

// Judge decides about one request: limits first (any action), then, for arriving and joining, risk, lane and price. ctx
// bounds the call to the shared limits. It never fails: what it cannot know does not count against anybody.
func (g *Guard) Judge(ctx context.Context, r Request) Verdict {
	r.Address = r.Address.Unmap().WithZone("")
	carrier := g.carriers.contains(r.Address)
	d := g.limits.Take(ctx, r.Action, limit.Subject{
		Address: r.Address, Carrier: carrier, Visitor: r.Visitor, User: r.User,
	})
	v := Verdict{Allow: true, Status: http.StatusOK, Limits: d}
	if !d.Allowed {
		g.recent.add(g.suspect(r, carrier), limited, g.clock())
		v.Allow, v.Status, v.RetryAfter = false, http.StatusTooManyRequests, d.RetryAfter
		v.Reasons = []string{"limit " + d.Rule}
		g.verdicts.limited.Inc()
		return v
	}
	if r.Action != ActionArrive && r.Action != ActionJoin {
		g.verdicts.allowed.Inc()
		return v
	}
	return g.weigh(r, carrier, v)
}

// weigh completes a verdict with risk, lane and price.
func (g *Guard) weigh(r Request, carrier bool, v Verdict) Verdict {
	who, now := g.suspect(r, carrier), g.clock()
	places := g.places(&r, carrier, now)
	result := g.rules.Evaluate(risk.Facts{
		Action: r.Action, UserAgent: r.UserAgent, AcceptLanguage: r.AcceptLanguage, FetchSite: r.FetchSite,
		Places: g.crowding(places, carrier), Failures: g.recent.count(who, failed, now),
		Limited: g.recent.count(who, limited, now), Carrier: carrier, Hosting: g.hosting.contains(r.Address),
		Returning: r.Returning, User: r.User != "",
	})
	v.Score, v.Price = result.Score, g.price(places, carrier, result.Factor)
	if result.Action != risk.Allow || len(result.Matches) > 0 {
		v.Reasons = result.Explain()
	}
	kind, code := g.verdicts.allowed, ""
	switch result.Action {
	case risk.Refuse:
		kind = g.verdicts.refused
		v.Allow, v.Status, v.AppealCode = false, http.StatusForbidden, g.appealCode(r, now)
		if g.tell(r.Action, v, now) {
			code = v.AppealCode
		}
	case risk.Lane:
		kind, v.Lane = g.verdicts.otherLane, LaneShared
	}
	kind.Inc()
	if len(result.Matches) > 0 {
		g.rulings.note(rulingKey{r.Room, r.Action, result.Held, result.Action, code}, sale.Ruling{Factor: result.Factor, Score: result.Score}, result.Explain, now)
	}
	return v
}

// Failed notes a wrong solution, or a challenge that is not ours. It counts against the sender's network, or visitor where many
// share an address, and as several calls.
func (g *Guard) Failed(r Request) {
	r.Address = r.Address.Unmap().WithZone("")
	carrier := g.carriers.contains(r.Address)
	g.recent.add(g.suspect(r, carrier), failed, g.clock())
	g.limits.Charge(r.Action, limit.Subject{Address: r.Address, Carrier: carrier, Visitor: r.Visitor, User: r.User})
}

// Check verifies a solution of a puzzle that this fleet issued: parameters, then work, one sub-puzzle after the other.
// Errors are those of botguard/puzzle. That seed and parameters are ours is the caller's to know.
func (g *Guard) Check(seed [32]byte, p puzzle.Params, solution []byte) error {
	return g.set.Verify(seed, p, solution)
}

// Base is the price of a place for a client who shares no crowded network.
func (g *Guard) Base() puzzle.Params { return g.base }

// Presence is the work for entering: a small part of one sub-puzzle, at a fixed price. Difficulty 0 asks for none.
func (g *Guard) Presence() puzzle.Params {
	p := g.base
	p.SubPuzzles = 1
	switch part := g.config.Puzzle.Presence; {
	case part < 0:
		return puzzle.Params{}
	default:
		p.Difficulty = max(p.Difficulty/uint32(part), puzzle.MinDifficulty)
	}
	return p
}

// Algorithm is the name by which clients know the algorithm of p; puzzle.ErrAlgorithm if there is none.
func (g *Guard) Algorithm(p puzzle.Params) (string, error) {
	a, err := g.set.Get(p.Algorithm)
	if err != nil {
		return "", err
	}
	return a.Name(), nil
}

// maxRefusalLines bounds the log lines about refusals in one second.
const maxRefusalLines = 10

// tell logs a refusal, so that an operator finds an appeal code again, and says that it did; above maxRefusalLines a second
// it does not.
func (g *Guard) tell(action string, v Verdict, now time.Time) bool {
	second := uint64(now.Unix()) << 16
	seen := g.logged.Load()
	next := second + 1
	if seen&^0xffff == second {
		if seen&0xffff >= maxRefusalLines {
			return false
		}
		next = seen + 1
	}
	if !g.logged.CompareAndSwap(seen, next) {
		return false
	}
	g.log.Info("refused", "action", action, "appealCode", v.AppealCode, "reasons", v.Reasons)
	return true
}
