package stripesim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"
)

func keyed(p *stripe.PaymentIntentParams, key string) *stripe.PaymentIntentParams {
	p.SetIdempotencyKey(key)
	return p
}

func TestKey_RepeatedGetsTheSavedAnswer(t *testing.T) {
	b := newBench(t, nil)
	first := b.create(keyed(paidWith(order(1000, "usd"), "pm_card_visa"), "k1"))
	must(t)(b.api.PaymentIntents.Capture(first.ID, nil))
	again := b.create(keyed(paidWith(order(1000, "usd"), "pm_card_visa"), "k1"))
	if again.ID != first.ID || again.Status != first.Status || again.LastResponse.Header.Get("Idempotent-Replayed") != "true" ||
		again.LastResponse.Header.Get("Original-Request") != first.LastResponse.RequestID {
		t.Fatalf("%+v", again)
	}
	_, err := b.api.PaymentIntents.New(keyed(paidWith(order(1001, "usd"), "pm_card_visa"), "k1"))
	wantError(t, err, 400, "idempotency_error", "")
	cancel := &stripe.PaymentIntentCancelParams{}
	cancel.SetIdempotencyKey("k1")
	_, err = b.api.PaymentIntents.Cancel(first.ID, cancel)
	wantError(t, err, 400, "idempotency_error", "")
	if n := len(b.PaymentIntents()); n != 1 {
		t.Fatalf("%d intents", n)
	}
}

func TestKey_DeclineIsSavedAndBadParametersAreNot(t *testing.T) {
	b := newBench(t, nil)
	for range 2 {
		_, err := b.api.PaymentIntents.New(keyed(paidWith(order(1000, "usd"), "pm_card_chargeDeclined"), "k1"))
		wantError(t, err, 402, "card_error", "card_declined")
	}
	if n := len(b.Charges()); n != 1 {
		t.Fatalf("the card was asked %d times", n)
	}
	_, err := b.api.PaymentIntents.New(keyed(order(1, "usd"), "k2"))
	wantError(t, err, 400, "invalid_request_error", "amount_too_small")
	b.create(keyed(order(1000, "usd"), "k2"))
}

func TestKey_IsForgottenAfterADay(t *testing.T) {
	b := newBench(t, nil)
	first := b.create(keyed(order(1000, "usd"), "k1"))
	b.ahead.Add(int64(keyRetention - 2*time.Second))
	if again := b.create(keyed(order(1000, "usd"), "k1")); again.ID != first.ID {
		t.Fatal("forgotten too early")
	}
	b.ahead.Add(int64(3 * time.Second))
	if later := b.create(keyed(order(1000, "usd"), "k1")); later.ID == first.ID {
		t.Fatal("not forgotten")
	}
}

// faultFunc makes a function a policy.
type faultFunc func(Call) Fault

func (f faultFunc) At(c Call) Fault { return f(c) }

func TestKey_InFlightConflicts(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	var once sync.Once
	b := newBench(t, func(_ *Config, d *Deps) {
		d.Faults = faultFunc(func(c Call) Fault {
			if c.Point == PointExecute {
				once.Do(func() { entered <- true; <-leave })
			}
			return Fault{}
		})
	})
	first := make(chan error)
	go func() {
		_, err := b.api.PaymentIntents.New(keyed(order(1000, "usd"), "k1"))
		first <- err
	}()
	<-entered
	_, err := b.api.PaymentIntents.New(keyed(order(1000, "usd"), "k1"))
	wantError(t, err, 409, "idempotency_error", "idempotency_key_in_use")
	leave <- true
	if err := <-first; err != nil {
		t.Fatal(err)
	}
}

func TestKey_SavedServerErrorIsReplayed(t *testing.T) {
	var once sync.Once
	b := newBench(t, func(_ *Config, d *Deps) {
		d.Faults = faultFunc(func(c Call) (f Fault) {
			if c.Point == PointExecute {
				once.Do(func() { f.Status = 500 })
			}
			return f
		})
	})
	for range 3 {
		_, err := b.api.PaymentIntents.New(keyed(order(1000, "usd"), "k1"))
		wantError(t, err, 500, "api_error", "")
	}
	b.create(keyed(order(1000, "usd"), "k2"))
	if n := len(b.PaymentIntents()); n != 1 {
		t.Fatalf("%d intents", n)
	}
}

func TestFault_DroppedAnswerHasHappened(t *testing.T) {
	var once sync.Once
	b := newBench(t, func(_ *Config, d *Deps) {
		d.Faults = faultFunc(func(c Call) (f Fault) {
			if c.Point == PointAnswer {
				once.Do(func() { f.Drop = true })
			}
			return f
		})
	})
	if _, err := b.api.PaymentIntents.New(keyed(order(1000, "usd"), "k1")); err == nil {
		t.Fatal("the answer should have been lost")
	}
	if again := b.create(keyed(order(1000, "usd"), "k1")); again.LastResponse.Header.Get("Idempotent-Replayed") != "true" {
		t.Fatal("it had not happened")
	}
}

// receiver is a shop's webhook endpoint that checks every signature.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	fail   int // answer 500 this many times
	events []stripe.Event
	bad    []error
	got    chan string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{got: make(chan string, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		body, _ := io.ReadAll(hr.Body)
		e, err := webhook.ConstructEvent(body, hr.Header.Get("Stripe-Signature"), webhookSecret)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			r.bad = append(r.bad, err)
		}
		if r.fail > 0 {
			r.fail--
			w.WriteHeader(500)
			return
		}
		r.events = append(r.events, e)
		r.got <- string(e.Type)
	}))
	t.Cleanup(r.Close)
	return r
}

// wait returns the next n event types as a set.
func (r *receiver) wait(t *testing.T, n int) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for range n {
		select {
		case kind := <-r.got:
			seen[kind]++
		case <-time.After(5 * time.Second):
			t.Fatalf("only got %v", seen)
		}
	}
	if len(r.bad) > 0 {
		t.Fatal(r.bad)
	}
	return seen
}

func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	}
}

func TestWebhook_SignedAndTriedUntilTaken(t *testing.T) {
	b, shop := newBench(t, nil), newReceiver(t)
	shop.fail = 3
	defer b.run()()
	b.create(order(1000, "usd")) // before the first endpoint: never sent
	if err := b.SetEndpoint(shop.URL, webhookSecret); err != nil {
		t.Fatal(err)
	}
	pi := b.create(paidWith(order(2000, "usd"), "pm_card_visa"))
	seen := shop.wait(t, 3)
	if seen["payment_intent.created"] != 1 || seen["charge.succeeded"] != 1 || seen["payment_intent.amount_capturable_updated"] != 1 {
		t.Fatalf("%v", seen)
	}
	for _, e := range shop.events {
		if e.Type == "payment_intent.amount_capturable_updated" {
			var about stripe.PaymentIntent
			if err := json.Unmarshal(e.Data.Raw, &about); err != nil || about.ID != pi.ID || about.AmountCapturable != 2000 || e.Request.ID == "" {
				t.Fatalf("%v %+v", err, e)
			}
		}
	}
	for deadline := time.Now().Add(5 * time.Second); b.UndeliveredWebhooks() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still undelivered")
		}
	}
	if err := b.SetEndpoint("ftp://x", webhookSecret); err == nil {
		t.Fatal("took a bad endpoint")
	}
}

func TestWebhook_GivenUpAfterItsAttempts(t *testing.T) {
	b, shop := newBench(t, func(c *Config, _ *Deps) { c.WebhookAttempts = 2 }), newReceiver(t)
	shop.fail = 2
	if err := b.SetEndpoint(shop.URL, webhookSecret); err != nil {
		t.Fatal(err)
	}
	b.create(order(1000, "usd"))
	defer b.run()()
	for deadline := time.Now().Add(5 * time.Second); b.UndeliveredWebhooks() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never given up")
		}
	}
	if len(shop.events) != 0 {
		t.Fatal("delivered all the same")
	}
}

func TestWebhook_FaultsLoseDelayAndDouble(t *testing.T) {
	shop := newReceiver(t)
	b := newBench(t, func(c *Config, d *Deps) {
		c.WebhookURL, c.WebhookSecret = shop.URL, webhookSecret
		d.Faults = faultFunc(func(c Call) Fault {
			switch {
			case c.Point != PointWebhook:
				return Fault{}
			case c.Attempt == 1:
				return Fault{Drop: true}
			}
			return Fault{Repeat: 1, Delay: time.Millisecond}
		})
	})
	defer b.run()()
	b.create(order(1000, "usd"))
	if seen := shop.wait(t, 2); seen["payment_intent.created"] != 2 {
		t.Fatalf("%v", seen)
	}
}

// restart opens the folder again without the old simulator having been closed, as after a kill; only the folder's
// lock is given back, as the kernel would.
func (b *bench) restart() *Sim {
	b.t.Helper()
	b.Sim.journal.lock.Close()
	next, err := New(b.cfg, b.deps)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { next.Close() })
	return next
}

// sameState compares everything that two simulators know, as the journal would write it.
func sameState(t *testing.T, a, b *Sim) {
	t.Helper()
	one, two := snapshotOf(t, a), snapshotOf(t, b)
	if !reflect.DeepEqual(one, two) {
		t.Fatalf("the state differs: %d and %d lines", len(one), len(two))
	}
}

func snapshotOf(t *testing.T, s *Sim) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.state.lines() {
		raw, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(raw))
	}
	return out
}

func someHistory(b *bench) *stripe.PaymentIntent {
	b.t.Helper()
	kept := b.create(keyed(paidWith(order(1000, "usd"), "pm_card_visa"), "k1"))
	sold := b.create(paidWith(order(20000, "vnd"), "pm_card_visa"))
	must(b.t)(b.api.PaymentIntents.Capture(sold.ID, nil))
	if _, err := b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &sold.ID, Amount: stripe.Int64(5000)}); err != nil {
		b.t.Fatal(err)
	}
	b.api.PaymentIntents.New(paidWith(order(1000, "usd"), "pm_card_chargeDeclined"))
	return kept
}

func TestRestart_KeepsEverythingAnswered(t *testing.T) {
	b, shop := newBench(t, func(c *Config, _ *Deps) { c.Dir = t.TempDir() }), newReceiver(t)
	if err := b.SetEndpoint(shop.URL, webhookSecret); err != nil {
		t.Fatal(err)
	}
	kept := someHistory(b)
	events := len(b.Events())
	old, next := b.Sim, b.restart()
	sameState(t, old, next)
	if next.UndeliveredWebhooks() != events {
		t.Fatalf("%d of %d webhooks survived", next.UndeliveredWebhooks(), events)
	}
	b.Sim = next
	b.handler.Store(next.Handler())
	if again := b.create(keyed(paidWith(order(1000, "usd"), "pm_card_visa"), "k1")); again.ID != kept.ID {
		t.Fatal("the key was forgotten")
	}
	if err := next.SetEndpoint(shop.URL, webhookSecret); err != nil {
		t.Fatal(err)
	}
	defer b.run()()
	shop.wait(t, events)
}

func TestRestart_TornLastLineIsDropped(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Dir = t.TempDir() })
	someHistory(b)
	name := filepath.Join(b.cfg.Dir, "journal-1.jsonl")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	last := len(whole) - 1 - strings.LastIndex(string(whole[:len(whole)-1]), "\n")
	for _, cut := range []int{1, last / 2, last - 1} {
		if err := os.WriteFile(name, whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		next := b.restart()
		if got, want := len(next.PaymentIntents()), len(b.PaymentIntents())-1; got != want {
			t.Fatalf("cut %d: %d intents, want %d", cut, got, want)
		}
		if err := next.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(name, append([]byte(formatHeader+"{\"pi\":[\n"), whole[len(formatHeader):]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(b.cfg, b.deps); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Fatalf("damage in the middle: %v", err)
	}
}

func TestRestart_AfterCompaction(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Dir, c.CompactBytes = t.TempDir(), 20<<10 })
	for range 5 {
		someHistory(&bench{Sim: b.Sim, t: t, api: b.api, server: b.server})
	}
	b.compaction.Wait()
	b.create(order(1000, "usd"))
	snapshots, _ := filepath.Glob(filepath.Join(b.cfg.Dir, "snapshot-*.jsonl"))
	journals, _ := filepath.Glob(filepath.Join(b.cfg.Dir, "journal-*.jsonl"))
	if len(snapshots) != 1 || len(journals) > 2 {
		t.Fatalf("%v %v", snapshots, journals)
	}
	sameState(t, b.Sim, b.restart())
}

func TestFolder_OneSimulatorAtATime(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Dir = t.TempDir() })
	if _, err := New(b.cfg, b.deps); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("%v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := b.api.PaymentIntents.New(order(1000, "usd"))
	var e *stripe.Error
	if !errors.As(err, &e) || e.HTTPStatusCode != 500 {
		t.Fatalf("after Close: %v", err)
	}
}

func TestLimits_FullIsSaidAndOldestEventsGo(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.MaxIntents, c.MaxEvents, c.MaxKeys = 3, 2, 5 })
	for range 3 {
		b.create(order(1000, "usd"))
	}
	_, err := b.api.PaymentIntents.New(order(1000, "usd"))
	wantError(t, err, 503, "api_error", "")
	if n := len(b.Events()); n != 2 {
		t.Fatalf("%d events", n)
	}
	for n, key := range []string{"a", "b", "c"} {
		cancel := &stripe.PaymentIntentCancelParams{}
		cancel.SetIdempotencyKey(key)
		_, err := b.api.PaymentIntents.Cancel(b.PaymentIntents()[n].ID, cancel)
		if n < 2 && err != nil {
			t.Fatal(err)
		}
		if n == 2 {
			wantError(t, err, 503, "api_error", "")
		}
	}
}
