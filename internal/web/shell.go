package web

import (
	"context"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// Shell limits and defaults.
const (
	maxRequestID    = 64
	headerRequestID = "X-Request-Id"
	retryTimedOut   = 2 * time.Second
)

// ShellConfig is the part of an answer that depends on where a role runs.
type ShellConfig struct {
	Role   string // label of the metrics: waitingroom, booking, …
	Secure bool   // the public side is HTTPS: answers carry Strict-Transport-Security
}

// ShellDeps is what a Shell uses. Random gives [0, 1) for jitter (nil: math/rand), Clock measures (nil: time.Now).
type ShellDeps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Random  func() float64
	Clock   func() time.Time
}

// Shell turns Handlers into fasthttp handlers. It is safe for concurrent use.
type Shell struct {
	config   ShellConfig
	deps     ShellDeps
	duration *prometheus.HistogramVec
	panics   *prometheus.CounterVec
	defaults []header
}

// header is a header in canonical form: fasthttp then neither checks nor copies its name.
type header struct{ name, value []byte }

// everyAnswer is what every answer carries unless its handler says something else.
func everyAnswer() []header {
	return []header{
		{[]byte(fasthttp.HeaderXContentTypeOptions), []byte("nosniff")},
		{[]byte(fasthttp.HeaderXFrameOptions), []byte("DENY")},
		{[]byte(fasthttp.HeaderReferrerPolicy), []byte("same-origin")},
		{[]byte(fasthttp.HeaderContentSecurityPolicy), []byte("default-src 'none'; frame-ancestors 'none'")},
		{[]byte(fasthttp.HeaderCacheControl), []byte("no-store")},
	}
}

// NewShell registers fairgate_http_request_seconds{role,route,code} and fairgate_http_panics_total{role}; several
// shells may share a registerer.
func NewShell(c ShellConfig, d ShellDeps) *Shell {
	d.Log = logger(d.Log)
	if d.Random == nil {
		d.Random = mathrand.Float64
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	defaults := everyAnswer()
	if c.Secure {
		defaults = append(defaults, header{[]byte(fasthttp.HeaderStrictTransportSecurity), []byte("max-age=31536000; includeSubDomains")})
	}
	return &Shell{config: c, deps: d, defaults: defaults,
		duration: register(d.Metrics, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "fairgate_http_request_seconds",
			Help:    "Time from the parsed request to the finished answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"role", "route", "code"})),
		panics: register(d.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_http_panics_total",
			Help: "Requests whose handler panicked.",
		}, []string{"role"})),
	}
}

// Wrap returns h as a fasthttp handler. route labels its metrics and comes from a closed set, never from a request.
func (s *Shell) Wrap(route string, h Handler) fasthttp.RequestHandler {
	durations := durations{of: func(code int) prometheus.Observer {
		return s.duration.WithLabelValues(s.config.Role, route, strconv.Itoa(code))
	}}
	return func(ctx *fasthttp.RequestCtx) {
		begin := s.deps.Clock()
		id := requestID(ctx)
		if err := s.call(ctx, route, id, h); err != nil {
			s.problem(route, id, err).Write(ctx)
		}
		s.headers(ctx, id)
		durations.get(ctx.Response.StatusCode()).Observe(s.deps.Clock().Sub(begin).Seconds())
	}
}

// durations keeps a route's histograms by status code: to find one by its labels costs as much as some handlers.
type durations struct {
	of   func(code int) prometheus.Observer
	kept [600]atomic.Pointer[prometheus.Observer]
}

func (d *durations) get(code int) prometheus.Observer {
	if code < 0 || code >= len(d.kept) {
		return d.of(code)
	}
	if o := d.kept[code].Load(); o != nil {
		return *o
	}
	o := d.of(code)
	d.kept[code].Store(&o)
	return o
}

// errPanicked stands for a panic, which call has already logged with its stack.
var errPanicked = errors.New("the handler panicked")

// call runs the handler; a panic costs this request and no other.
func (s *Shell) call(ctx *fasthttp.RequestCtx, route, id string, h Handler) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.panics.WithLabelValues(s.config.Role).Inc()
			s.deps.Log.Error("handler panicked", "route", route, "request", id,
				"cause", cause, "stack", string(debug.Stack()))
			err = errPanicked
		}
	}()
	return h(ctx)
}

// problem decides what the client sees. The caller's Problem is never changed: it may be shared.
func (s *Shell) problem(route, id string, err error) *Problem {
	p := &Problem{Status: http.StatusInternalServerError, Detail: "Something went wrong on our side."}
	if known, ok := errors.AsType[*Problem](err); ok && known != nil {
		copied := *known
		p = &copied
	} else if errors.Is(err, context.DeadlineExceeded) {
		p = Unavailable(retryTimedOut)
		s.deps.Log.Warn("request timed out", "route", route, "request", id, "error", err)
	} else if !errors.Is(err, errPanicked) {
		s.deps.Log.Error("request failed", "route", route, "request", id, "error", err)
	}
	p.RetryAfter = Jitter(p.RetryAfter, s.deps.Random)
	if p.Instance == "" {
		p.Instance = "urn:fairgate:request:" + id
	}
	return p
}

// headers sets what every answer carries; what the handler has set stays.
func (s *Shell) headers(ctx *fasthttp.RequestCtx, id string) {
	h := &ctx.Response.Header
	h.SetCanonical([]byte(headerRequestID), []byte(id))
	for _, d := range s.defaults {
		if len(h.PeekCanonical(d.name)) == 0 {
			h.SetCanonical(d.name, d.value)
		}
	}
}

// requestID takes over a sane id from the gateway, else draws one.
func requestID(ctx *fasthttp.RequestCtx) string {
	given := ctx.Request.Header.PeekCanonical([]byte(headerRequestID))
	if len(given) == 0 || len(given) > maxRequestID {
		return newRequestID()
	}
	for _, c := range given {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_', c == '.':
		default:
			return newRequestID()
		}
	}
	return string(given)
}

// newRequestID draws 120 bits. They tell requests apart and are no secret.
func newRequestID() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var id [24]byte
	for half := range 2 {
		bits := mathrand.Uint64()
		for i := range 12 {
			id[12*half+i] = letters[bits&31]
			bits >>= 5
		}
	}
	return string(id[:])
}

// logger is l, or one that discards.
func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// register registers c, or returns the equal collector that is already there: roles in one process share a registry.
// Without a registerer the collector counts for nobody.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		panic("web: register metrics: " + err.Error())
	}
	return c
}
