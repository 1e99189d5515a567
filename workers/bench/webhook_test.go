package bench_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp"

	"fairgate/internal/conf"
	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testredis"
	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/internal/web"
	"fairgate/workers"
)

const (
	// offered is how many events a second the provider sends, for benchTime, over at most benchConns connections.
	offered    = 3000
	benchTime  = 2 * time.Second
	benchConns = 64
)

// BenchmarkWebhook sends signed events to the endpoint over TCP: first as many as it takes, then at a steady rate that
// does not wait for answers. An event counts when it was answered 200, that is when Postgres (fsync and
// synchronous_commit on) has it. Latency runs from the instant at which an event was due to be sent. Sender, endpoint,
// Redis and Postgres share this machine.
func BenchmarkWebhook(b *testing.B) {
	h := newHook(b)
	for b.Loop() {
		most := h.closed(b)
		late := h.steady(b)
		b.ReportMetric(most, "bench:webhook.durable:1/s")
		b.ReportMetric(float64(late[len(late)*99/100].Microseconds())/1000, "bench:webhook.p99:ms")
		b.ReportMetric(float64(late[len(late)/2].Microseconds())/1000, "bench:webhook.p50:ms")
		b.ReportMetric(float64(len(late))/benchTime.Seconds(), "bench:webhook.steady:1/s")
	}
	var stored int64
	if err := h.db.Write.QueryRow(b.Context(), `SELECT count(*) FROM webhook_inbox`).Scan(&stored); err != nil || stored != h.taken.Load() {
		b.Fatalf("%d events are in the inbox, %d were answered 200 (%v)", stored, h.taken.Load(), err)
	}
}

// hook is the endpoint on a socket, over a database that keeps what it says it keeps.
type hook struct {
	db     *store.DB
	client *fasthttp.HostClient
	next   atomic.Int64
	taken  atomic.Int64
}

func newHook(b *testing.B) *hook {
	b.Helper()
	pg, err := embedded.StartPostgres(b.Context(), embedded.PostgresConfig{Dir: b.TempDir(), Databases: []string{"bench"}})
	if errors.Is(err, embedded.ErrNoPostgres) && os.Getenv("CI") != "true" {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			b.Error(err)
		}
	})
	if err := store.Migrate(b.Context(), pg.URL("bench")); err != nil {
		b.Fatal(err)
	}
	h := &hook{}
	if h.db, err = store.New(b.Context(), store.Config{Write: conf.Secret(pg.URL("bench"))}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.db.Close)
	for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on"} {
		var is string
		if err := h.db.Write.QueryRow(b.Context(), "SHOW "+setting).Scan(&is); err != nil || is != want {
			b.Fatalf("%s is %q (%v)", setting, is, err)
		}
	}
	rdb := redis.NewClient(&redis.Options{Addr: testredis.Start(b).Addr()})
	b.Cleanup(func() { _ = rdb.Close() })
	h.serve(b, rdb)
	return h
}

// serve puts the workers' routes on a socket of loopback.
func (h *hook) serve(b *testing.B, rdb *redis.Client) {
	stripe, err := payment.NewStripe(payment.StripeConfig{SecretKey: "sk_test_0123456789abcdef", URL: "http://127.0.0.1:1"}, payment.StripeDeps{})
	if err != nil {
		b.Fatal(err)
	}
	service, err := payment.NewService(payment.Config{}, payment.Deps{Store: h.db, Stripe: stripe})
	if err != nil {
		b.Fatal(err)
	}
	w, err := workers.New(workers.Config{Webhook: workers.WebhookConfig{Secret: conf.Secret(paytest.WebhookSecret)}}, workers.Deps{Store: h.db, Redis: rdb, Payments: service})
	if err != nil {
		b.Fatal(err)
	}
	router := web.NewRouter(web.NewShell(web.ShellConfig{Role: "workers"}, web.ShellDeps{}))
	w.Routes(router)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := web.NewServer(web.Config{}, web.ServerDeps{Handler: router.Handler, Role: "workers"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- srv.Serve(ctx, ln) }()
	// Redis is told of every event meanwhile, as it is in production; what is done about them is not measured.
	for _, p := range w.Parts() {
		if p.Name == "webhook announcer" {
			go func() { done <- p.Run(ctx) }()
		}
	}
	h.client = &fasthttp.HostClient{Addr: ln.Addr().String(), MaxConns: benchConns}
	b.Cleanup(func() {
		h.client.CloseIdleConnections()
		cancel()
		for range cap(done) {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
	})
}

// letter is a signed event on its way.
type letter struct {
	body      []byte
	signature string
	due       time.Time
}

// letters writes and signs n events before the clock runs: that is the provider's work. They are as long as Stripe's.
func (h *hook) letters(n int) []letter {
	out := make([]letter, n)
	now := time.Now()
	for i := range out {
		id := h.next.Add(1)
		body := fmt.Appendf(nil, `{"id":"evt_%024d","object":"event","api_version":"2023-10-16","type":"payment_intent.amount_capturable_updated",`+
			`"data":{"object":{"id":"pi_%024d","object":"payment_intent","amount":2000,"metadata":{"filler":%q}}}}`, id, id, strings.Repeat("x", 2000))
		out[i] = letter{body: body, signature: stripesim.Sign(body, paytest.WebhookSecret, now)}
	}
	return out
}

func (h *hook) send(l letter) error {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.SetRequestURI("http://workers/webhooks/stripe")
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/json")
	req.Header.Set("Stripe-Signature", l.signature)
	req.SetBodyRaw(l.body)
	if err := h.client.Do(req, res); err != nil {
		return err
	}
	if res.StatusCode() != fasthttp.StatusOK {
		return fmt.Errorf("answered %d", res.StatusCode())
	}
	h.taken.Add(1)
	return nil
}

// senders drains letters over all connections and says how late each answer was.
func (h *hook) senders(b *testing.B, in <-chan letter, each func(letter)) {
	var all sync.WaitGroup
	for range benchConns {
		all.Go(func() {
			for l := range in {
				if err := h.send(l); err != nil {
					b.Error(err)
					return
				}
				each(l)
			}
		})
	}
	all.Wait()
}

// closed sends as fast as answers come and returns how many a second were taken.
func (h *hook) closed(b *testing.B) float64 {
	letters := h.letters(4 * offered)
	in := make(chan letter, len(letters))
	for _, l := range letters {
		in <- l
	}
	close(in)
	start := time.Now()
	h.senders(b, in, func(letter) {})
	return float64(len(letters)) / time.Since(start).Seconds()
}

// steady sends at the offered rate whatever the answers do, and returns the latencies in order.
func (h *hook) steady(b *testing.B) []time.Duration {
	letters := h.letters(int(offered * benchTime.Seconds()))
	in := make(chan letter, len(letters))
	var mu sync.Mutex
	var late []time.Duration
	go func() {
		defer close(in)
		start := time.Now()
		for i, l := range letters {
			l.due = start.Add(time.Duration(i) * time.Second / offered)
			time.Sleep(time.Until(l.due))
			in <- l
		}
	}()
	h.senders(b, in, func(l letter) {
		d := time.Since(l.due)
		mu.Lock()
		late = append(late, d)
		mu.Unlock()
	})
	slices.Sort(late)
	return late
}
