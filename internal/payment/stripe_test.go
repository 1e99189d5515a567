package payment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

func stripeAt(t *testing.T, h http.HandlerFunc) *Stripe {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s, err := NewStripe(StripeConfig{SecretKey: "sk_test_hush", URL: srv.URL, Timeout: 200 * time.Millisecond}, StripeDeps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestStripe_FaultsSayWhatMayBeKnown(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   Fault
		passes bool // by itself
	}{
		{429, `{"error":{"type":"invalid_request_error","code":"rate_limit"}}`, FaultBusy, true},
		{409, `{"error":{"type":"idempotency_error","code":"idempotency_key_in_use"}}`, FaultBusy, true},
		{503, `{"error":{"type":"api_error"}}`, FaultBusy, true},
		{401, `{"error":{"type":"invalid_request_error"}}`, FaultBusy, true},
		{500, `{"error":{"type":"api_error"}}`, FaultStored, true},
		{400, `{"error":{"type":"invalid_request_error","code":"payment_intent_unexpected_state","payment_intent":{"id":"pi_1","object":"payment_intent","status":"canceled","client_secret":"pi_1_secret_hush"}}}`, FaultState, false},
		{402, `{"error":{"type":"card_error","code":"card_declined","decline_code":"lost_card"}}`, FaultDefinite, false},
		{404, `{"error":{"type":"invalid_request_error","code":"resource_missing"}}`, FaultDefinite, false},
		{502, `<html>bad gateway of pi_1_secret_hush</html>`, FaultUnknown, true},
		{200, `{"id": "pi_1`, FaultUnknown, true},
	} {
		s := stripeAt(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		})
		_, err := s.Capture(t.Context(), "pi_1", 100, "k")
		err = fmt.Errorf("wrapped: %w", err)
		if FaultOf(err) != c.want || errors.Is(err, ErrUnavailable) != c.passes {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}

func TestStripe_NoAnswerIsUnknown(t *testing.T) {
	s := stripeAt(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
	})
	_, err := s.Intent(t.Context(), "pi_1", ClassResolve)
	if FaultOf(err) != FaultUnknown {
		t.Error(err)
	}
	var e *CallError
	if !errors.As(err, &e) || e.Code != "timeout" {
		t.Errorf("%v", err)
	}
}

func TestStripe_SendsTheKeyItWasGiven(t *testing.T) {
	var keys []string
	s := stripeAt(t, func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		_, _ = w.Write([]byte(`{"id":"pi_1","object":"payment_intent","status":"requires_payment_method","amount":100,"currency":"eur"}`))
	})
	a := sale.UUID{1}
	for range 2 {
		if _, err := s.CreateIntent(t.Context(), IntentSpec{Attempt: a, Amount: 100, Currency: "EUR"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) != 2 || keys[0] != AttemptKey(a) || keys[1] != keys[0] {
		t.Error(keys)
	}
}

// A wallet may hide its card, and other methods have none.
func TestStripe_WhatHasNoFingerprintIsNoCard(t *testing.T) {
	for _, method := range []string{"null", `{"id":"pm_1","type":"link","link":{}}`, `{"id":"pm_1","type":"card","card":{"fingerprint":null}}`} {
		s := stripeAt(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"id":"pi_1","object":"payment_intent","status":"requires_capture","payment_method":` + method + `}`))
		})
		card, err := s.Card(t.Context(), "pi_1", ClassResolve)
		if err != nil || card != "" || (&Service{}).method(7, card) != (wire.ID{}) {
			t.Error(method, err)
		}
	}
}

func TestStripeConfig_RefusesWhatIsNoKeyWithoutRepeatingIt(t *testing.T) {
	for _, c := range []StripeConfig{
		{}, {SecretKey: "hush"}, {SecretKey: "sk_test_x", PublishableKey: "hush"}, {SecretKey: "sk_test_x", URL: "hush"},
	} {
		if err := c.Validate(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v", err)
		}
	}
}

func TestBudget_GivesARatePerEndpointAndInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewLocalBudget(BudgetConfig{PerSecond: 10, EndpointPerSecond: 5}, nil)
		start := time.Now()
		for range 15 {
			if err := b.Wait(t.Context(), "a", ClassCreate); err != nil {
				t.Fatal(err)
			}
		}
		// Five at once, then five a second.
		if d := time.Since(start); d < 1900*time.Millisecond || d > 2200*time.Millisecond {
			t.Errorf("15 calls at 5 a second took %s", d)
		}
	})
}

func TestBudget_CreateGoesBeforeReconcile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewLocalBudget(BudgetConfig{PerSecond: 2, EndpointPerSecond: 100}, nil)
		for range 2 {
			if err := b.Wait(t.Context(), "a", ClassCreate); err != nil {
				t.Fatal(err)
			}
		}
		order := make(chan Class, 8)
		take := func(c Class) {
			if err := b.Wait(t.Context(), c.String(), c); err != nil {
				t.Error(err)
			}
			order <- c
		}
		go take(ClassReconcile)
		synctest.Wait()
		for range 3 {
			go take(ClassCreate)
		}
		for n := range 4 {
			if c := <-order; (c == ClassReconcile) != (n == 3) {
				t.Errorf("number %d was %s", n, c)
			}
		}
	})
}

func TestBudget_BoundsThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewLocalBudget(BudgetConfig{PerSecond: 1, EndpointPerSecond: 1, MaxWaiting: 1}, nil)
		if err := b.Wait(t.Context(), "a", ClassCreate); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Wait(ctx, "a", ClassCreate) }()
		synctest.Wait()
		if err := b.Wait(t.Context(), "a", ClassCreate); !errors.Is(err, ErrBudget) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("the second waiter got %v", err)
		}
		cancel()
		if err := <-done; !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled waiter got %v", err)
		}
	})
}
