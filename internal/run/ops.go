package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the operations server, which only operators and Prometheus reach.
const (
	opsReadTimeout    = 5 * time.Second
	opsWriteTimeout   = 60 * time.Second // a CPU profile takes 30 s
	opsMaxHeader      = 16 << 10
	opsMaxScrapes     = 8
	opsScrapeDeadline = 10 * time.Second
	opsDrain          = 5 * time.Second
)

// OpsConfig is where a role shows its inside. The zero value listens nowhere useful; see the defaults.
type OpsConfig struct {
	Address string `yaml:"address" default:"127.0.0.1:9100" help:"where /metrics, /healthz and /readyz are served (host:port)"`
	Pprof   bool   `yaml:"pprof" default:"false" help:"serve Go profiles under /debug/pprof/ on the same address"`
}

// Validate names the key that cannot work.
func (c OpsConfig) Validate() error {
	if err := CheckAddress(c.Address); err != nil && c.Address != "" {
		return fmt.Errorf("address: %w", err)
	}
	return nil
}

// OpsDeps is what Ops shows. Ready may be nil: always ready. Key is the configuration key of the address, named in the
// error when the port is in use ("ops.address" if empty).
type OpsDeps struct {
	Log      *slog.Logger
	Gatherer prometheus.Gatherer
	Ready    *Ready
	Key      string
}

// Ops is the operations server: /metrics, /healthz (the process is alive), /readyz (it wants traffic).
type Ops struct {
	config  OpsConfig
	deps    OpsDeps
	started chan struct{}
	mu      sync.Mutex
	addr    net.Addr
}

// NewOps returns a server that does not listen yet.
func NewOps(c OpsConfig, d OpsDeps) *Ops {
	if d.Key == "" {
		d.Key = "ops.address"
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Ready == nil {
		d.Ready = NewReady()
	}
	return &Ops{config: c, deps: d, started: make(chan struct{})}
}

// NewRegistry returns a registry that holds the collectors of the Go runtime, the process and the build.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return registry
}

// Part is the server as a part of a Group. Add it first: it then answers until everything else has stopped.
func (o *Ops) Part() Part { return Part{Name: "ops", Run: o.Run, Started: o.started} }

// Addr returns the address it listens on, nil before it does.
func (o *Ops) Addr() net.Addr {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addr
}

// Run listens and serves until ctx ends, then finishes what it is answering. It may be called once.
func (o *Ops) Run(ctx context.Context) error {
	listener, err := Listen(o.config.Address, o.deps.Key)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.addr = listener.Addr()
	o.mu.Unlock()
	close(o.started)
	o.deps.Log.Info("operations server listening", "address", listener.Addr().String())
	return o.serve(ctx, listener)
}

// serve owns the server's accept loop.
func (o *Ops) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:        o.Handler(),
		ReadTimeout:    opsReadTimeout,
		WriteTimeout:   opsWriteTimeout,
		MaxHeaderBytes: opsMaxHeader,
		ErrorLog:       slog.NewLogLogger(o.deps.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve operations: %w", err)
	case <-ctx.Done():
	}
	hard, cancel := HardWithin(ctx, opsDrain)
	defer cancel()
	err := server.Shutdown(hard)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	<-ended
	return err
}

// Handler serves the same paths without the listener, for a process that has one already.
func (o *Ops) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.deps.Gatherer, promhttp.HandlerOpts{
		MaxRequestsInFlight: opsMaxScrapes,
		Timeout:             opsScrapeDeadline,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /readyz", o.deps.Ready.Handler())
	if o.config.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}
