package cases

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp"

	"fairgate/internal/conf"
	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/processor"
	"fairgate/processor/stock"
	"fairgate/workers"
	"fairgate/workers/reconcile"
)

const (
	show          = int64(41)
	stripeKey     = "sk_test_0123456789abcdef"
	webhookSecret = "whsec_0123456789abcdef0123"
	// Of the event: short, so that a test ticks through them quickly. The rules are the same at any length.
	holdLength  = 30 * time.Second
	graceLength = 60 * time.Second
	frozen      = 40 * time.Second
)

// shape is what a world's event sells.
type shape struct {
	currency string
	price    sale.Price
	capacity uint32
}

func euros() shape {
	return shape{"EUR", sale.Price{Ticket: 1000, Fee: 100, TaxRate: 200_000}, 10}
}

// world is one sale with everything that money passes through. It belongs to the test's goroutine.
type world struct {
	t      *testing.T
	shape  shape
	url    string // of the database
	db     *store.DB
	events *eventlog.Log
	orders string
	outs   string

	core *engine.Core
	tail *eventlog.Tail
	out  wire.Outcomes
	log  atomic.Int64 // log time, µs
	late atomic.Int64 // by how much the world's clock is ahead of the host's, ns

	sim    *stripesim.Sim
	simURL string
	faults faults
	told   int // events of the provider that were delivered or lost

	sweepAfter time.Duration // of the workers

	redis     *embedded.Redis
	client    *redis.Client
	pay       *payment.Service
	workers   *workers.Workers
	hook      hook
	project   func() // stops the projector
	stopRedis func()
}

// hook does something at the points of a payment's way.
type hook struct {
	mu sync.Mutex
	at func(payment.Point) error
}

func (h *hook) pass(p payment.Point) error {
	h.mu.Lock()
	at := h.at
	h.mu.Unlock()
	if at == nil {
		return nil
	}
	return at(p)
}

func (h *hook) set(at func(payment.Point) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = at
}

// faults is a policy that the test may change at any time.
type faults struct {
	mu sync.Mutex
	at func(stripesim.Call) stripesim.Fault
}

func (f *faults) At(c stripesim.Call) stripesim.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		return stripesim.Fault{}
	}
	return f.at(c)
}

// strike makes the next n calls to an endpoint fail at a point; n below zero is until the policy changes.
func (f *faults) strike(point stripesim.Point, endpoint string, n int, fault stripesim.Fault) {
	f.set(func(c stripesim.Call) stripesim.Fault {
		if n == 0 || c.Point != point || c.Endpoint != endpoint && endpoint != "" {
			return stripesim.Fault{}
		}
		n--
		return fault
	})
}

func (f *faults) set(at func(stripesim.Call) stripesim.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = at
}

func open(t *testing.T, s shape) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, shape: s, url: testpg.Migrated(t, "money", store.Migrate), sweepAfter: time.Microsecond}
	w.log.Store(time.Now().UnixMicro())
	w.events = testkafka.Log(t)
	w.orders, w.outs = testkafka.Topic(t, w.events, "orders", 1), testkafka.Topic(t, w.events, "outcomes", 1)
	w.openDB()
	w.startSim()
	var err error
	if w.redis, err = embedded.StartRedis("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	w.client = redis.NewClient(&redis.Options{Addr: w.redis.Addr(), MaxRetries: -1})
	w.stopRedis = sync.OnceFunc(func() { _ = w.redis.Close() })
	t.Cleanup(func() { _ = w.client.Close(); w.stopRedis() })
	w.restart()
	w.core = engine.NewCore(stock.New(stock.Limits{}), 0)
	w.tail = w.events.Tail(w.orders, 0, 0, eventlog.TailConfig{MaxWait: 20 * time.Millisecond})
	w.define()
	return w
}

// openDB opens the database and projects into it.
func (w *world) openDB() {
	w.t.Helper()
	db, err := store.New(w.t.Context(), store.Config{Write: conf.Secret(w.url), MaxConnections: 6})
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := processor.NewProjector(processor.ProjectorConfig{Topic: w.outs}, processor.Deps{Store: db, Events: w.events})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	w.db = db
	w.project = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		db.Close()
	})
	w.t.Cleanup(w.project)
}

func (w *world) startSim() {
	var err error
	w.sim, err = stripesim.New(stripesim.Config{
		SecretKey: stripeKey, PublishableKey: "pk_test_0123456789abcdef", WebhookSecret: webhookSecret,
		AllowedReturnOrigins: []string{"http://shop.test"}, PublicURL: "http://sim.test",
		Rate: stripesim.Rate{Total: -1, PerEndpoint: -1}, SearchLag: -1, RefundDelay: time.Minute,
	}, stripesim.Deps{Faults: &w.faults, Clock: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	srv := httptest.NewServer(w.sim.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.sim.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		srv.Close()
		if err := w.sim.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.simURL = srv.URL
}

// now is the world's wall clock.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.late.Load())) }

// restart makes service and workers anew, as a process that comes back: they know only what is in the stores.
func (w *world) restart() {
	w.t.Helper()
	w.hook.set(nil)
	stripe, err := payment.NewStripe(payment.StripeConfig{
		SecretKey: stripeKey, PublishableKey: "pk_test_0123456789abcdef", URL: w.simURL, Timeout: 3 * time.Second,
		Budget: payment.BudgetConfig{PerSecond: 100_000, EndpointPerSecond: 100_000},
	}, payment.StripeDeps{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(stripe.Close)
	w.pay, err = payment.NewService(payment.Config{ShopURL: "http://shop.test", HostedPage: w.simURL}, payment.Deps{
		Store: w.db, Stripe: stripe, Orders: w.events.Producer(w.orders), Now: w.now, At: w.hook.pass,
		RoomTime: func() (int64, int64) { return w.log.Load(), 0 },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.workers, err = workers.New(workers.Config{
		Webhook: workers.WebhookConfig{Secret: webhookSecret}, SweepAfter: w.sweepAfter, RelayBatch: 50,
		Lease: 2 * time.Second, TaskTimeout: time.Second, RetryFrom: time.Millisecond, RetryMost: 20 * time.Millisecond,
		MaxAttempts: 200, Reconcile: reconcile.Config{Every: -1},
	}, workers.Deps{Store: w.db, Redis: w.client, Payments: w.pay, Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
}

// define makes the event's row and tells the log of it.
func (w *world) define() {
	w.exec(`INSERT INTO events (id, organiser_id, merchant_account_id, name, zone, starts_at, ends_at, start_date, end_date, currency, partition)
		VALUES ($1, 1, 1, 'Night of Lights', 'UTC', now() + interval '30 days', now() + interval '31 days', current_date, current_date, $2, 0)`,
		show, w.shape.currency)
	w.exec(`INSERT INTO ticket_types (event_id, type, name, is_default, price, capacity, target) VALUES ($1, 1, 'Seat', true, 1, 0, 0)`, show)
	w.append(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: wire.ID{1}, Code: stock.Code})
	w.append(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.log.Load()})
	var currency [3]byte
	copy(currency[:], w.shape.currency)
	w.append(wire.Record{Object: show}, &wire.DefineEvent{
		Currency: currency, Hold: holdLength.Microseconds(), Offer: holdLength.Microseconds(),
		Grace: graceLength.Microseconds(), Frozen: frozen.Microseconds(),
	})
	w.append(wire.Record{Object: show}, &wire.DefineType{Type: 1, Capacity: w.shape.capacity, Default: true, Price: wire.Price(w.shape.price)})
	w.run()
}

func (w *world) append(r wire.Record, body wire.Body) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := w.events.Producer(w.orders).Append(ctx, 0, wire.AppendRecord(nil, r, body), time.Time{}); err != nil {
		w.t.Fatal(err)
	}
}

// run applies what is in the log, emits the outcomes, and waits until they are projected. It returns how many records
// there were.
func (w *world) run() (n int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		_, next, err := w.events.Bounds(ctx, w.orders, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		if w.core.Next() >= next {
			break
		}
		records, err := w.tail.Fetch(ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range records {
			if err := w.core.Apply(r.Offset, r.Value, &w.out); err != nil {
				w.t.Fatal(err)
			}
			n++
		}
		w.emit(ctx)
	}
	for w.projected(ctx) <= w.core.Seq() {
		if ctx.Err() != nil {
			w.t.Fatal("the projector does not keep up")
		}
		time.Sleep(time.Millisecond)
	}
	return n
}

func (w *world) emit(ctx context.Context) {
	w.t.Helper()
	values := make([][]byte, w.out.Len())
	for i := range values {
		values[i] = append([]byte(nil), w.out.At(i)...)
	}
	for len(values) > 0 {
		n := min(len(values), 1000)
		if _, err := w.events.AppendBatch(ctx, w.outs, 0, values[:n]); err != nil {
			w.t.Fatal(err)
		}
		values = values[n:]
	}
	w.out.Reset()
}

func (w *world) projected(ctx context.Context) uint64 {
	at, err := w.db.Projected(ctx, store.ProjectionBookings, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return at.NextSeq
}

// wait lets time pass for the log and everybody else.
func (w *world) wait(d time.Duration) {
	w.t.Helper()
	w.late.Add(int64(d))
	for end := w.log.Load() + d.Microseconds(); w.log.Load() < end; {
		w.log.Store(min(w.log.Load()+2*sale.Second, end))
		w.append(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.log.Load()})
	}
	w.run()
}

// post sends an event of the provider to the webhook.
func (w *world) post(e stripesim.Event) {
	w.t.Helper()
	body := fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":"2023-10-16","type":%q,"data":{"object":%s}}`, e.ID, e.Type, objectOf(e))
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(http.MethodPost)
	ctx.Request.SetRequestURI("/webhooks/stripe")
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.Header.Set("Stripe-Signature", stripesim.Sign(body, webhookSecret, time.Now()))
	ctx.Request.SetBody(body)
	router := web.NewRouter(web.NewShell(web.ShellConfig{Role: "workers"}, web.ShellDeps{}))
	w.workers.Routes(router)
	router.Handler(&ctx)
	if got := ctx.Response.StatusCode(); got != http.StatusOK {
		w.t.Fatalf("the webhook answered %d: %s", got, ctx.Response.Body())
	}
}

func objectOf(e stripesim.Event) string {
	switch {
	case e.Intent != nil:
		return fmt.Sprintf(`{"id":%q}`, e.Intent.ID)
	case e.Charge != nil:
		return fmt.Sprintf(`{"id":%q,"payment_intent":%q}`, e.Charge.ID, e.Charge.Intent)
	case e.Refund != nil:
		return fmt.Sprintf(`{"id":%q,"payment_intent":%q}`, e.Refund.ID, e.Refund.Intent)
	}
	return fmt.Sprintf(`{"id":%q,"payment_intent":%q}`, e.Dispute.ID, e.Dispute.Intent)
}
