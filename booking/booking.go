// Package booking is the public API and the shop: finding events, holding tickets, paying, and seeing what became of it.
// It may append commands to the log `orders` and hear their outcomes, read Postgres, cache in Redis, and ask the payment
// service; it decides nothing about stock or money itself.
//
// A command's answer is its outcome in the log, so nobody waits for the projection: what was just held is shown from
// the outcome, and from then on from whichever is newer, Postgres or this process' memory of the newest
// 32,768 bookings (see recent).
package booking

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp"

	"fairgate/internal/answer"
	"fairgate/internal/conf"
	"fairgate/internal/eventlog"
	"fairgate/internal/payment"
	"fairgate/internal/receipt"
	"fairgate/internal/store"
	"fairgate/internal/web"
)

// How callers prove who they are.
const (
	AuthNone = "none" // a signed guest cookie stands for the user; callers without one may act as whom they name (demo)
	AuthJWT  = "jwt"  // bearer tokens checked against a JWKS document; the subject is the user
)

// Limits that are part of how the API behaves.
const (
	// CommandLife is how long after its making a command may still take effect.
	CommandLife = 10 * time.Second
	// MaxIdempotencyKey is the longest Idempotency-Key, in bytes of printable ASCII.
	MaxIdempotencyKey = 255
	// minGuestKey is the least length of the secret that signs guest cookies, in bytes.
	minGuestKey = 16
)

// Config is how the API behaves. Zero values stand for the defaults; auth none needs a GuestKey.
type Config struct {
	Auth        string        `yaml:"auth" default:"none" help:"who a user is: none (demo: a signed guest cookie) or jwt (bearer tokens)"`
	JWKSURL     string        `yaml:"jwksURL" help:"address of the JWKS document with the keys of bearer tokens (auth: jwt)"`
	Issuer      string        `yaml:"issuer" help:"iss that bearer tokens must have; empty for any"`
	Audience    string        `yaml:"audience" help:"aud that bearer tokens must have; empty for any"`
	ServiceKey  conf.Secret   `yaml:"serviceKey" help:"key with which a trusted service may act for any user (header Service-Key); empty for none"`
	GuestKey    conf.Secret   `yaml:"guestKey" help:"secret that signs guest cookies (auth: none); at least 16 bytes; needed there"`
	PublicURL   string        `yaml:"publicURL" help:"public address of the shop (https://shop.example); empty: what the browser says"`
	WaitingRoom string        `yaml:"waitingRoom" help:"public address of the waiting room; empty when it is the shop's own"`
	PayOrigin   string        `yaml:"payOrigin" help:"origin of the hosted payment page (https://pay.example), for the policy of the page whose form leads there; empty: any"`
	AnswerWait  time.Duration `yaml:"answerWait" default:"4s" help:"how long a request waits for the log's outcome before it is answered 202"`
	SearchCache time.Duration `yaml:"searchCache" default:"2s" help:"how long a page of event search is cached"`
}

// Validate names the key that cannot work.
func (c Config) Validate() error {
	var errs []error
	switch c.Auth {
	case "", AuthNone:
		if len(c.GuestKey.Reveal()) < minGuestKey {
			errs = append(errs, fmt.Errorf("guestKey: expected a secret of at least %d bytes with auth none", minGuestKey))
		}
	case AuthJWT:
		if !isURL(c.JWKSURL) {
			errs = append(errs, errors.New("jwksURL: expected https://… with auth jwt"))
		}
	default:
		errs = append(errs, fmt.Errorf("auth: expected %s or %s", AuthNone, AuthJWT))
	}
	for _, u := range []struct{ key, value string }{{"publicURL", c.PublicURL}, {"waitingRoom", c.WaitingRoom}, {"payOrigin", c.PayOrigin}} {
		if u.value != "" && !isURL(u.value) {
			errs = append(errs, fmt.Errorf("%s: expected http://… or https://…", u.key))
		}
	}
	if k := len(c.ServiceKey.Reveal()); k > 0 && k < minGuestKey {
		errs = append(errs, fmt.Errorf("serviceKey: expected at least %d bytes", minGuestKey))
	}
	if c.AnswerWait < 0 || c.AnswerWait > CommandLife {
		errs = append(errs, fmt.Errorf("answerWait: expected at most %s", CommandLife))
	}
	if c.SearchCache < 0 || c.SearchCache > time.Minute {
		errs = append(errs, errors.New("searchCache: expected at most 1m"))
	}
	return errors.Join(errs...)
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// Call is a request that the guard may limit.
type Call struct {
	Action string // ActionBooking, ActionPay
	Peer   netip.Addr
	Header func(name string) string
	User   string
}

// Actions that the guard limits.
const (
	ActionBooking = "booking"
	ActionPay     = "pay"
)

// Guard limits expensive calls. A refused call may be made again after wait; headers are set on the answer.
type Guard interface {
	Allow(ctx context.Context, c Call) (allowed bool, wait time.Duration, headers map[string]string)
}

// Payments starts and resolves payments; *payment.Service is one.
type Payments interface {
	Start(ctx context.Context, r payment.StartRequest) (payment.Receipt, error)
	Resolve(ctx context.Context, intent string) (payment.Resolution, error)
}

// Deps is what the API is handed. Redis, Guard, Random, Log and Metrics may be nil, and Payments where nothing is paid.
type Deps struct {
	Store    *store.DB
	Redis    redis.UniversalClient // caches searches; without it they are only slower
	Orders   *eventlog.Producer    // of the topic `orders`
	Events   *eventlog.Log         // where receipts read a record that this process did not append itself
	Topic    string                // name of the topic `orders`, prefix included
	Receipts *receipt.Signer       // signs receipts; needed
	Desk     *answer.Desk          // on the topic `outcomes`; New listens on it, so it must not run yet
	RoomTime func() (now, bound int64)
	Passes   jwt.Keyfunc // public keys of admission passes
	Payments Payments
	Guard    Guard
	Client   *http.Client // fetches the JWKS document; nil for one with a deadline
	Random   io.Reader    // nil for crypto/rand
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// API is the public API and the shop.
type API struct {
	cfg      Config
	deps     Deps
	recent   *recent
	receipts *receipts
	events   *catalogue
	search   *searcher
	users    *bearer // nil with auth none
	guests   *guests // nil with auth jwt
	pages    *pages
	metrics  *metrics
}

// New prepares the API; it listens on the desk and starts nothing.
func New(cfg Config, deps Deps) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("booking: %w", err)
	}
	if deps.Receipts == nil {
		return nil, errors.New("booking: keys of receipts are needed")
	}
	defaults(&cfg, &deps)
	pages, err := newPages()
	if err != nil {
		return nil, fmt.Errorf("booking: %w", err)
	}
	a := &API{cfg: cfg, deps: deps, recent: newRecent(), pages: pages, metrics: newMetrics(deps.Metrics)}
	a.receipts = newReceipts(deps.Events, deps.Topic, deps.Receipts)
	a.events = newCatalogue(deps.Store, time.Now)
	a.search = newSearcher(deps.Store, deps.Redis, cfg.SearchCache, a.metrics)
	if cfg.Auth == AuthJWT {
		a.users = newBearer(cfg, deps.Client, a.now)
	} else {
		a.guests = newGuests(cfg.GuestKey, deps.Random)
	}
	deps.Desk.Listen(a.recent.hear)
	return a, nil
}

func defaults(cfg *Config, deps *Deps) {
	if cfg.Auth == "" {
		cfg.Auth = AuthNone
	}
	if cfg.AnswerWait == 0 {
		cfg.AnswerWait = 4 * time.Second
	}
	if cfg.SearchCache == 0 {
		cfg.SearchCache = 2 * time.Second
	}
	if deps.Random == nil {
		deps.Random = rand.Reader
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Client == nil {
		deps.Client = &http.Client{Timeout: jwksTimeout}
	}
}

// Routes registers every path of the API and the shop.
func (a *API) Routes(r *web.Router) {
	handle := func(method, pattern string, h web.Handler) {
		r.Handle(method, pattern, func(ctx *fasthttp.RequestCtx) error { return away(h(ctx)) })
	}
	handle("GET", "/", a.home)
	handle("GET", "/events", a.listEvents)
	handle("GET", "/events/{id}", a.showEvent)
	handle("POST", "/booking", a.book)
	handle("GET", "/booking/{id}", a.showBooking)
	handle("DELETE", "/booking/{id}", a.ofBooking(a.cancelBooking))
	handle("POST", "/booking/{id}/cancel", a.ofBooking(a.cancelBooking))
	handle("POST", "/booking/{id}/refund", a.ofBooking(a.refundBooking))
	handle("GET", "/booking/{id}/documents", a.ofBooking(a.documents))
	handle("GET", "/booking/{id}/pay", a.ofBooking(a.payPage))
	handle("GET", "/booking/{id}/paid", a.ofBooking(a.paid))
	handle("GET", "/booking/{id}/receipt", a.ofBooking(a.showReceipt))
	handle("POST", "/pay", a.pay)
	handle("GET", "/users/{id}/bookings", ofUser(a, a.bookingsOf))
	handle("GET", "/users/{id}/notifications", ofUser(a, a.notificationsOf))
	handle("GET", "/me", a.me)
	handle("GET", "/openapi.yaml", a.openAPI)
	handle("GET", ReceiptKeysPath, a.receiptKeys)
	handle("GET", "/shop/{file}", a.asset)
}

// Run keeps the keys of bearer tokens fresh, and watches that the log stays the one that receipts name, until ctx ends,
// which is nil. It ends by itself with eventlog.ErrRecreated.
func (a *API) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var both sync.WaitGroup
	defer both.Wait()
	defer cancel()
	if a.users != nil {
		both.Go(func() { a.users.run(ctx, a.deps.Log) })
	}
	if err := a.receipts.run(ctx); err != nil {
		return fmt.Errorf("booking: %w", err)
	}
	return nil
}

// Ready says whether a booking could be answered now.
func (a *API) Ready(ctx context.Context) error {
	if a.users != nil && !a.users.ready() {
		return errors.New("the keys of bearer tokens were not fetched yet")
	}
	if err := a.receipts.ready(); err != nil {
		return err
	}
	return a.deps.Desk.Ready(ctx)
}

// now is room time.
func (a *API) now() time.Time {
	now, _ := a.deps.RoomTime()
	return time.UnixMicro(now)
}
