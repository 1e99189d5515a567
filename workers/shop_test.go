package workers_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp/fasthttputil"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testredis"
	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/sale"
	"fairgate/internal/stripesim"
	"fairgate/internal/web"
	"fairgate/workers"
	"fairgate/workers/reconcile"
)

// patience bounds every wait; nothing waits that long when all is well.
const patience = 20 * time.Second

// shop is a world with workers in it.
type shop struct {
	*paytest.World
	w       *workers.Workers
	metrics *prometheus.Registry
	redis   *redis.Client
	server  *testredis.Server
	client  *http.Client
	stop    func()
}

func config() workers.Config {
	return workers.Config{
		Webhook:    workers.WebhookConfig{Secret: conf.Secret(paytest.WebhookSecret)},
		RelayEvery: 20 * time.Millisecond, Lease: 2 * time.Second, TaskTimeout: time.Second, SweepAfter: 300 * time.Millisecond,
		RetryFrom: 20 * time.Millisecond, RetryMost: 200 * time.Millisecond, Concurrency: 8,
		Reconcile: reconcile.Config{Every: -1},
	}
}

func open(t *testing.T, cfg workers.Config) *shop { return openWith(t, cfg, nil) }

// openWith is open with a logger for everything; nil is none.
func openWith(t *testing.T, cfg workers.Config, log *slog.Logger) *shop {
	t.Helper()
	t.Parallel()
	s := &shop{World: paytest.New(t), server: testredis.Start(t), metrics: prometheus.NewRegistry()}
	if log != nil {
		s.Logger = log
		s.Service = s.NewService()
	}
	s.redis = redis.NewClient(&redis.Options{Addr: s.server.Addr(), MaxRetries: -1, DialTimeout: time.Second})
	t.Cleanup(func() { _ = s.redis.Close() })
	var err error
	s.w, err = workers.New(cfg, workers.Deps{Store: s.DB, Redis: s.redis, Payments: s.Service, Log: log, Metrics: s.metrics})
	if err != nil {
		t.Fatal(err)
	}
	s.serve(t)
	return s
}

// serve puts the webhook behind a socket in memory.
func (s *shop) serve(t *testing.T) {
	router := web.NewRouter(web.NewShell(web.ShellConfig{Role: "workers"}, web.ShellDeps{}))
	s.w.Routes(router)
	ln := fasthttputil.NewInmemoryListener()
	srv := web.NewServer(web.Config{}, web.ServerDeps{Handler: router.Handler, Role: "workers"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	s.client = &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
	}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// run starts the workers until the test ends or stop is called.
func (s *shop) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.w.Run(ctx) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
}

// post sends a body with a signature and returns the status.
func (s *shop) post(t *testing.T, body []byte, signature string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://workers/webhooks/stripe", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if signature != "" {
		req.Header.Set("Stripe-Signature", signature)
	}
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// tell sends an event about an intent as the provider would.
func (s *shop) tell(t *testing.T, id, kind, object string) int {
	t.Helper()
	body := event(id, kind, object)
	return s.post(t, body, stripesim.Sign(body, paytest.WebhookSecret, time.Now()))
}

func event(id, kind, object string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":"2019-01-01","type":%q,"data":{"object":{"id":%q,"client_secret":"hush"}}}`, id, kind, object)
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

// metric reads a metric with one label's value; 0 if it is not there.
func (s *shop) metric(t *testing.T, name, value string) float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == value {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func (s *shop) open(kind string) int {
	return paytest.One[int](s.World, `SELECT count(*) FROM outbox WHERE kind = $1 AND status <> 'done'`, kind)
}

// authorised starts a payment and pays it on the hosted page.
func (s *shop) authorised(t *testing.T, amount int64) (payment.Receipt, sale.UUID) {
	t.Helper()
	r, err := s.Service.Start(t.Context(), s.Hold(amount))
	if err != nil {
		t.Fatal(err)
	}
	s.Pay(r, "pay")
	id, _ := s.Attempt(r.Payment)
	return r, id
}

func (s *shop) status(r payment.Receipt) string {
	return paytest.One[string](s.World, `SELECT status FROM payments WHERE id = $1`, r.Payment)
}

func (s *shop) captured(t *testing.T, seq string) (payment.Receipt, sale.UUID) {
	t.Helper()
	r, a := s.authorised(t, 2000)
	s.Confirm(r, a, seq)
	until(t, "the money is captured", func() bool { return s.status(r) == "captured" })
	return r, a
}

func (s *shop) total() stripesim.Totals { return s.Sim.Totals()["eur"] }
