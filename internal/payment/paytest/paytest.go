// Package paytest builds a small world for tests of money: a migrated Postgres with one event, the Stripe simulator
// behind HTTP, a log, and a payment service over them. It may start all of these for one test.
package paytest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/eventlog"
	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/internal/stripesim/schema"
	"fairgate/internal/wire"
)

// Event and User are what a World's bookings belong to.
const (
	Event         = 7
	User          = "fan-1"
	WebhookSecret = "whsec_0123456789abcdef0123"
)

// recorded is every shape of call that this binary's tests sent to the simulator. Test support is the one place where the
// process is the owner.
var recorded = schema.NewRecorder()

// Checked runs a binary's tests and then holds whatever they sent to the simulator, and it answered, against Stripe's
// own schema. Every package that uses a World calls it in its TestMain.
func Checked(m *testing.M) schema.Tests { return schema.Checked(m, recorded) }

// World is what a payment lives in.
type World struct {
	T       testing.TB
	DB      *store.DB
	URL     string // of the database
	Sim     *stripesim.Sim
	SimURL  string
	Faults  *Faults
	Log     *eventlog.Log
	Topic   string
	Service *payment.Service
	Logger  *slog.Logger // of services made from now on; nil is none
	pages   *http.Client
}

// Faults is a policy of the simulator that a test may change at any time.
type Faults struct {
	mu sync.Mutex
	at func(stripesim.Call) stripesim.Fault
}

// At implements stripesim.Faults.
func (f *Faults) At(c stripesim.Call) stripesim.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		return stripesim.Fault{}
	}
	return f.at(c)
}

// Set replaces the policy; nil is none.
func (f *Faults) Set(at func(stripesim.Call) stripesim.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = at
}

// Once strikes the next n calls to an endpoint at a point.
func (f *Faults) Once(point stripesim.Point, endpoint string, n int, fault stripesim.Fault) {
	f.Set(func(c stripesim.Call) stripesim.Fault {
		if n > 0 && c.Point == point && strings.HasPrefix(c.Endpoint, endpoint) {
			n--
			return fault
		}
		return stripesim.Fault{}
	})
}

// New starts everything; it ends with the test.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{T: t, Faults: &Faults{}}
	w.URL = testpg.Migrated(t, "schema", store.Migrate)
	ctx := t.Context()
	var err error
	if w.DB, err = store.New(ctx, store.Config{Write: conf.Secret(w.URL)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.DB.Close)
	w.Exec(`INSERT INTO events (id, organiser_id, merchant_account_id, name, zone, starts_at, ends_at, start_date, end_date, currency, partition)
		VALUES ($1, 1, 1, 'Night of Lights', 'Europe/Vienna', now(), now(), current_date, current_date, 'EUR', 0)`, Event)
	w.startSim()
	w.Log = testkafka.Log(t)
	w.Topic = testkafka.Topic(t, w.Log, "orders", 1)
	w.Service = w.NewService()
	return w
}

func (w *World) startSim() {
	t := w.T
	var err error
	w.Sim, err = stripesim.New(stripesim.Config{
		SecretKey: "sk_test_0123456789abcdef", PublishableKey: "pk_test_0123456789abcdef", WebhookSecret: WebhookSecret,
		AllowedReturnOrigins: []string{"http://shop.test"}, PublicURL: "http://sim.test",
		Rate: stripesim.Rate{Total: -1, PerEndpoint: -1}, SearchLag: -1, RefundDelay: 10 * time.Millisecond,
	}, stripesim.Deps{Faults: w.Faults})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(recorded.Wrap(t.Name(), w.Sim.Handler()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Sim.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		srv.Close()
		if err := w.Sim.Close(); err != nil {
			t.Error(err)
		}
	})
	w.SimURL = srv.URL
	w.pages = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(w.pages.CloseIdleConnections)
}

// NewService makes another service over the same world, as another process would.
func (w *World) NewService() *payment.Service {
	w.T.Helper()
	stripe, err := payment.NewStripe(payment.StripeConfig{
		SecretKey: "sk_test_0123456789abcdef", PublishableKey: "pk_test_0123456789abcdef", URL: w.SimURL, Timeout: 3 * time.Second,
		Budget: payment.BudgetConfig{PerSecond: 10_000, EndpointPerSecond: 10_000},
	}, payment.StripeDeps{})
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(stripe.Close)
	s, err := payment.NewService(payment.Config{ShopURL: "http://shop.test", HostedPage: w.SimURL}, payment.Deps{
		Store: w.DB, Stripe: stripe, Orders: w.Log.Producer(w.Topic),
		RoomTime: func() (int64, int64) { return time.Now().UnixMicro(), 0 }, Log: w.Logger,
	})
	if err != nil {
		w.T.Fatal(err)
	}
	return s
}

// Exec runs a statement.
func (w *World) Exec(sql string, args ...any) {
	w.T.Helper()
	if _, err := w.DB.Write.Exec(context.Background(), sql, args...); err != nil {
		w.T.Fatal(err)
	}
}

// One reads one value.
func One[T any](w *World, sql string, args ...any) (v T) {
	w.T.Helper()
	if err := w.DB.Write.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		w.T.Fatalf("%s: %v", sql, err)
	}
	return v
}

// Hold projects a held booking of two tickets that cost amount in all, fees of 100 and tax of 50 among it.
func (w *World) Hold(amount int64) payment.StartRequest {
	w.T.Helper()
	id, err := w.Service.NewID()
	if err != nil {
		w.T.Fatal(err)
	}
	w.Exec(`INSERT INTO bookings (id, event_id, user_id, user_key, status, currency, total, ticket_base, partition, log_offset,
			first_seq, last_seq, created_at, updated_at)
		VALUES ($1, $2, $3, '\x00', 'held', 'EUR', $4, $1, 0, 0, 1, 1, now(), now())`, id, Event, User, amount)
	w.Exec(`INSERT INTO booking_lines (booking_id, line, type, quantity, fee, tax, total) VALUES ($1, 0, 1, 2, 50, 50, $2)`, id, amount)
	return payment.StartRequest{Booking: id, Event: Event, User: User, Amount: amount, Currency: "EUR"}
}

// Pay presses a button of the hosted page: pay, decline or secure.
func (w *World) Pay(r payment.Receipt, action string) {
	w.T.Helper()
	u, err := url.Parse(r.PayURL)
	if err != nil {
		w.T.Fatal(err)
	}
	form := u.Query()
	form.Set("action", action)
	u.RawQuery = ""
	req, err := http.NewRequestWithContext(w.T.Context(), http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		w.T.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := w.pages.Do(req)
	if err != nil {
		w.T.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		w.T.Fatalf("the payment page answered %d", res.StatusCode)
	}
}

// Records reads back what is in the log.
func (w *World) Records() []wire.Record {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, next, err := w.Log.Bounds(ctx, w.Topic, 0)
	if err != nil {
		w.T.Fatal(err)
	}
	var all []wire.Record
	tail := w.Log.Tail(w.Topic, 0, 0, eventlog.TailConfig{MaxWait: 50 * time.Millisecond})
	for tail.Next() < next {
		records, err := tail.Fetch(ctx)
		if err != nil {
			w.T.Fatal(err)
		}
		for _, r := range records {
			p, err := wire.ParseRecord(r.Value)
			if err != nil {
				w.T.Fatal(err)
			}
			all = append(all, p)
		}
	}
	return all
}

// Count says how many records of a kind are in the log.
func (w *World) Count(k wire.Kind) (n int) {
	w.T.Helper()
	for _, r := range w.Records() {
		if r.Kind == k {
			n++
		}
	}
	return n
}

// Confirm does what the projector does for a Confirmed outcome with this sequence number.
func (w *World) Confirm(r payment.Receipt, attempt sale.UUID, seq string) {
	w.T.Helper()
	cause := "orders/0/" + seq
	w.Exec(`UPDATE bookings SET status = 'confirmed' WHERE id = $1`, r.Booking)
	w.Exec(`UPDATE payment_attempts SET status = 'confirmed' WHERE id = $1`, attempt)
	w.Exec(`UPDATE payments SET status = 'confirmed' WHERE id = $1`, r.Payment)
	for n := range 2 {
		w.Exec(`INSERT INTO tickets (id, booking_id, number, event_id, type, status, amount) VALUES (gen_random_uuid(), $1, $2, $3, 1, 'confirmed', $4)`,
			r.Booking, n, Event, r.Amount/2)
	}
	w.Oblige(payment.KindCapture, cause, payment.Task{
		Event: Event, Booking: r.Booking, Attempt: attempt, Intent: r.Intent, Amount: r.Amount, Currency: r.Currency,
	})
}

// Oblige adds an obligation.
func (w *World) Oblige(kind, cause string, task any) {
	w.T.Helper()
	err := w.DB.Money(context.Background(), func(m *store.Money) error {
		_, err := m.Oblige(context.Background(), kind, cause, task)
		return err
	})
	if err != nil {
		w.T.Fatal(err)
	}
}

// Attempt reads a payment's newest attempt.
func (w *World) Attempt(paymentID sale.UUID) (id sale.UUID, status string) {
	w.T.Helper()
	err := w.DB.Write.QueryRow(context.Background(), `SELECT id, status FROM payment_attempts WHERE payment_id = $1 ORDER BY number DESC LIMIT 1`,
		paymentID).Scan(&id, &status)
	if err != nil {
		w.T.Fatal(err)
	}
	return id, status
}

// Balanced fails the test unless the ledger and invariant 4 add up.
func (w *World) Balanced() {
	w.T.Helper()
	checks, err := w.DB.CheckMoney(context.Background())
	if err != nil {
		w.T.Fatal(err)
	}
	for _, c := range checks {
		if c.Difference != 0 {
			w.T.Errorf("money is off: %+v", c)
		}
	}
	if facts, err := w.DB.UnbalancedFacts(context.Background(), 10); err != nil || len(facts) > 0 {
		w.T.Errorf("facts that do not sum to zero: %v %v", facts, err)
	}
}
