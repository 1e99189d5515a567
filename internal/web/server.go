package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"fairgate/internal/run"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// What overload and the end of a server cost at most.
const (
	retryOverload  = 2 * time.Second        // Retry-After before jitter
	drainAlone     = 10 * time.Second       // the drain of a server outside a run.Group
	afterCut       = time.Second            // what handlers get to return once their contexts are cut
	pollOpen       = 10 * time.Millisecond  // how often that is looked at
	errorWriteTime = 2 * time.Second        // to write the answer to an unreadable request
	lingerTime     = 500 * time.Millisecond // to read on, so that a client sees an answer before a reset
	lingerBytes    = 1 << 20
)

// Config is where and under which limits a Server serves. Zero values stand for the defaults.
type Config struct {
	Address        string        `yaml:"address" default:"127.0.0.1:8080" help:"where to listen (host:port)"`
	ReadTimeout    time.Duration `yaml:"readTimeout" default:"5s" help:"longest time to read a whole request"`
	WriteTimeout   time.Duration `yaml:"writeTimeout" default:"10s" help:"longest time to write an answer"`
	IdleTimeout    time.Duration `yaml:"idleTimeout" default:"60s" help:"how long a kept-alive connection may be silent"`
	RequestTimeout time.Duration `yaml:"requestTimeout" default:"10s" help:"longest time a request may be worked on"`
	MaxConns       int           `yaml:"maxConns" default:"16384" help:"most connections at once; further ones are answered 503"`
	Concurrency    int           `yaml:"concurrency" default:"4096" help:"most requests worked on at once; further ones are answered 503"`
	MaxBody        int           `yaml:"maxBody" default:"65536" help:"largest request body in bytes, at most 65536"`
}

// withDefaults fills zero values; they equal the default tags.
func (c Config) withDefaults() Config {
	for field, value := range map[*time.Duration]time.Duration{
		&c.ReadTimeout: 5 * time.Second, &c.WriteTimeout: 10 * time.Second,
		&c.IdleTimeout: 60 * time.Second, &c.RequestTimeout: 10 * time.Second,
	} {
		if *field == 0 {
			*field = value
		}
	}
	for field, value := range map[*int]int{&c.MaxConns: 16384, &c.Concurrency: 4096, &c.MaxBody: MaxBody} {
		if *field == 0 {
			*field = value
		}
	}
	return c
}

// Validate refuses an address without a port and limits that are none.
func (c Config) Validate() error {
	var errs []error
	if err := run.CheckAddress(c.Address); err != nil && c.Address != "" {
		errs = append(errs, fmt.Errorf("address: %w", err))
	}
	c = c.withDefaults()
	for _, limit := range []struct {
		key  string
		wait time.Duration
	}{
		{"readTimeout", c.ReadTimeout}, {"writeTimeout", c.WriteTimeout},
		{"idleTimeout", c.IdleTimeout}, {"requestTimeout", c.RequestTimeout},
	} {
		if limit.wait < 0 {
			errs = append(errs, fmt.Errorf("%s: expected a positive duration, got %v", limit.key, limit.wait))
		}
	}
	for _, limit := range []struct {
		key  string
		most int
	}{{"maxConns", c.MaxConns}, {"concurrency", c.Concurrency}, {"maxBody", c.MaxBody}} {
		if limit.most < 1 {
			errs = append(errs, fmt.Errorf("%s: expected a positive number, got %d", limit.key, limit.most))
		}
	}
	if c.MaxBody > MaxBody {
		errs = append(errs, fmt.Errorf("maxBody: expected at most %d, got %d", MaxBody, c.MaxBody))
	}
	return errors.Join(errs...)
}

// ServerDeps is what a Server uses. Random gives [0, 1) for jitter (nil: math/rand); Key is the configuration key of
// the address, named when the port is in use; Role labels the metrics; Metrics may be nil.
type ServerDeps struct {
	Log     *slog.Logger
	Handler fasthttp.RequestHandler
	Random  func() float64
	Metrics prometheus.Registerer
	Role    string
	Key     string
}

// Server serves one handler under limits. It serves once: Run or Serve, and then it is done.
type Server struct {
	config   Config
	deps     ServerDeps
	busy     atomic.Int64 // requests in work
	requests context.Context
	cut      context.CancelFunc // ends every RequestContext
	refused  *prometheus.CounterVec
	open     *prometheus.GaugeVec
	started  chan struct{}
	mu       sync.Mutex
	addr     net.Addr
}

// NewServer returns a server that does not listen yet. It registers fairgate_http_refused_total{role,reason} and
// fairgate_http_connections{role}.
func NewServer(c Config, d ServerDeps) *Server {
	c = c.withDefaults()
	d.Log = logger(d.Log)
	if d.Random == nil {
		d.Random = mathrand.Float64
	}
	if d.Key == "" {
		d.Key = "address"
	}
	s := &Server{config: c, deps: d, started: make(chan struct{}),
		refused: register(d.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_http_refused_total",
			Help: "Requests and connections answered before any handler saw them.",
		}, []string{"role", "reason"})),
		open: register(d.Metrics, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fairgate_http_connections",
			Help: "Open connections.",
		}, []string{"role"})),
	}
	s.requests, s.cut = context.WithCancel(context.Background())
	return s
}

// Part is the server as a part of a run.Group; add it last, so that it comes up last and goes down first.
func (s *Server) Part(name string) run.Part {
	return run.Part{Name: name, Run: s.Run, Started: s.started}
}

// Addr returns the address it listens on, nil before it does.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Run listens on the configured address and serves until ctx ends; see Serve.
func (s *Server) Run(ctx context.Context) error {
	listener, err := run.Listen(s.config.Address, s.deps.Key)
	if err != nil {
		return err
	}
	return s.Serve(ctx, listener)
}

// Serve serves ln until ctx ends, then drains: it accepts nothing new, closes idle connections and lets requests in
// work finish until run.Hard(ctx) ends (10 s outside a run.Group). Then their RequestContexts end and their
// connections are closed, which is an error. Serve closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer s.cut()
	s.mu.Lock()
	s.addr = ln.Addr()
	s.mu.Unlock()
	door := newDoor(ln, s)
	server := s.build()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(door) }()
	close(s.started)
	s.deps.Log.Info("listening", "address", ln.Addr().String())
	select {
	case err := <-ended:
		return errors.Join(fmt.Errorf("serve %s: %w", ln.Addr(), err), door.shut())
	case <-ctx.Done():
	}
	hard, cancel := run.HardWithin(ctx, drainAlone)
	defer cancel()
	err := server.ShutdownWithContext(hard)
	if err != nil {
		// Not wrapped: it is context.Canceled, which a run.Group takes for a stop that went well.
		err = fmt.Errorf("drain %s: %d connections cut short", ln.Addr(), s.cutShort(server, door))
	}
	// A shutdown that overtakes Serve does not know the listener yet: the door ends it in any case.
	err = errors.Join(err, door.shut())
	<-ended
	return err
}

// cutShort ends requests and connections and gives handlers a moment to return. It returns how many there were.
func (s *Server) cutShort(server *fasthttp.Server, door *door) int {
	s.cut()
	cut := door.cut()
	patience := time.NewTimer(afterCut)
	defer patience.Stop()
	poll := time.NewTicker(pollOpen)
	defer poll.Stop()
	for server.GetOpenConnectionsCount() > 0 {
		select {
		case <-poll.C:
		case <-patience.C:
			return cut
		}
	}
	return cut
}

// build is the fasthttp server behind the door. Its own limit of connections is above the door's, whose refusal is a
// problem document.
func (s *Server) build() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 s.unreadable,
		Concurrency:                  s.config.MaxConns + 1,
		ReadBufferSize:               MaxHeader,
		ReadTimeout:                  s.config.ReadTimeout,
		WriteTimeout:                 s.config.WriteTimeout,
		IdleTimeout:                  s.config.IdleTimeout,
		MaxRequestBodySize:           s.config.MaxBody,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		CloseOnShutdown:              true,
		Logger:                       slog.NewLogLogger(s.deps.Log.Handler(), slog.LevelDebug),
	}
}

// handle gives a request to the handler if there is room.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer s.busy.Add(-1)
	if s.busy.Add(1) > int64(s.config.Concurrency) {
		s.refused.WithLabelValues(s.deps.Role, "busy").Inc()
		s.overloaded().Write(ctx)
		return
	}
	ctx.SetUserValue(serverKey{}, s)
	s.deps.Handler(ctx)
}

// overloaded is what is said when there is no room.
func (s *Server) overloaded() *Problem { return Unavailable(Jitter(retryOverload, s.deps.Random)) }

// unreadable answers what fasthttp could not read as a request; the connection ends after it.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	s.refused.WithLabelValues(s.deps.Role, "unreadable").Inc()
	if c, ok := ctx.Conn().(*visitor); ok {
		_ = c.SetWriteDeadline(time.Now().Add(errorWriteTime))
		c.linger.Store(true)
	}
	ctx.Response.Reset()
	var timeout net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		tooLarge().Write(ctx)
	case isA[*fasthttp.ErrSmallBuffer](err):
		(&Problem{Status: http.StatusRequestHeaderFieldsTooLarge, Key: "headers",
			Expected: fmt.Sprintf("at most %d KiB", MaxHeader>>10), Detail: "The headers are too large."}).Write(ctx)
	case errors.As(err, &timeout) && timeout.Timeout():
		said(http.StatusRequestTimeout, "The request did not arrive in time.").Write(ctx)
	default:
		BadRequest("request", "HTTP/1.1").Write(ctx)
	}
}

// isA reports whether err is or wraps an E.
func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// serverKey is the user value that holds the server of a request.
type serverKey struct{}

// RequestContext returns the context to work on a request under. It ends after the server's RequestTimeout, or when a
// drain is cut short; unlike RequestCtx itself it does not end when a drain begins. Cancel it before the handler
// returns.
func RequestContext(ctx *fasthttp.RequestCtx) (context.Context, context.CancelFunc) {
	if s, ok := ctx.UserValue(serverKey{}).(*Server); ok {
		return context.WithTimeout(s.requests, s.config.RequestTimeout)
	}
	return context.WithTimeout(context.Background(), Config{}.withDefaults().RequestTimeout)
}
