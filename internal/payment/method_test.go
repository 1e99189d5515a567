package payment_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"fairgate/internal/conf"
	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/wire"
)

// paidBy holds, pays with a button of the hosted page, resolves by do, and returns what the log was told of the method.
func paidBy(t *testing.T, w *paytest.World, action string, do func(intent string)) wire.ID {
	t.Helper()
	out := start(t, w, w.Hold(2000))
	w.Pay(out, action)
	if do == nil {
		do = func(intent string) {
			if _, err := w.Service.Resolve(t.Context(), intent); err != nil {
				t.Fatal(err)
			}
		}
	}
	do(out.Intent)
	for _, rec := range w.Records() {
		var a wire.AuthorisedBy
		if rec.Kind == wire.KindAuthorisedBy && rec.DecodeInto(&a) == nil && string(a.Intent) == out.Intent {
			if a.Amount != 2000 || rec.Ref != wire.ID(out.Booking) || string(a.Currency[:]) != "EUR" {
				t.Errorf("%+v %+v", rec, a)
			}
			return a.Method
		}
	}
	return wire.ID{}
}

func limited(w *paytest.World) {
	w.Exec(`UPDATE events SET per_card = 2, per_card_seq = 1 WHERE id = $1`, paytest.Event)
}

func TestMethod_OneCardIsOneMethodWhereTheEventLimitsIt(t *testing.T) {
	w := paytest.New(t)
	if m := paidBy(t, w, "pay", nil); m != (wire.ID{}) {
		t.Error("the log of an event without a limit knows cards")
	}
	limited(w)
	first, again, other := paidBy(t, w, "pay", nil), paidBy(t, w, "pay", nil), paidBy(t, w, "other", nil)
	if first == (wire.ID{}) || first != again || other == (wire.ID{}) || first == other {
		t.Errorf("%x, %x, another card %x", first, again, other)
	}
	if w.Count(wire.KindAuthorised) != 1 || w.Count(wire.KindAuthorisedBy) != 3 {
		t.Error("an authorisation is in the log twice, or not at all")
	}
}

func TestMethod_TwoServicesOfOneConfigurationAgreeAndAKeyOfOnesOwnChangesIt(t *testing.T) {
	w := paytest.New(t)
	limited(w)
	first := paidBy(t, w, "pay", nil)
	by := func(s *payment.Service) func(string) {
		return func(intent string) {
			if _, err := s.Resolve(t.Context(), intent); err != nil {
				t.Fatal(err)
			}
		}
	}
	if m := paidBy(t, w, "pay", by(w.NewService())); m != first {
		t.Errorf("another process says %x, not %x", m, first)
	}
	own, err := payment.NewService(payment.Config{MethodKey: conf.Secret(strings.Repeat("k", 32))}, payment.Deps{
		Store: w.DB, Stripe: w.Service.Stripe(), Orders: w.Log.Producer(w.Topic), RoomTime: func() (int64, int64) { return 1, 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	if m := paidBy(t, w, "pay", by(own)); m == first || m == (wire.ID{}) {
		t.Errorf("under another key it is %x", m)
	}
}

func TestMethod_TheFingerprintIsNowhereInLogs(t *testing.T) {
	w := paytest.New(t)
	limited(w)
	var logged bytes.Buffer
	w.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := w.NewService()
	out := start(t, w, w.Hold(2000))
	w.Pay(out, "pay")
	card, err := s.Stripe().Card(t.Context(), out.Intent, payment.ClassResolve)
	if err != nil || card == "" {
		t.Fatal("no fingerprint", err)
	}
	w.Logger.Info("as careless as can be", "card", card)
	if _, err := s.Resolve(t.Context(), out.Intent); err != nil {
		t.Fatal(err)
	}
	if text := logged.String(); text == "" || strings.Contains(text, card.Reveal()) {
		t.Errorf("logged: %s", text)
	}
	for _, rec := range w.Records() {
		if bytes.Contains(rec.Body, []byte(card.Reveal())) {
			t.Error("the log knows the fingerprint")
		}
	}
}

// restricted is a service whose key may not read payment methods, and how often it tried.
func restricted(t *testing.T, w *paytest.World) (s *payment.Service, tried *atomic.Int32) {
	t.Helper()
	target, err := url.Parse(w.SimURL)
	if err != nil {
		t.Fatal(err)
	}
	tried = new(atomic.Int32)
	provider := httputil.NewSingleHostReverseProxy(target)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "payment_method") {
			tried.Add(1)
			rw.WriteHeader(http.StatusForbidden)
			_, _ = rw.Write([]byte(`{"error":{"type":"invalid_request_error","message":"The provided key does not have the required permissions"}}`))
			return
		}
		provider.ServeHTTP(rw, r)
	}))
	t.Cleanup(srv.Close)
	stripe, err := payment.NewStripe(payment.StripeConfig{SecretKey: "sk_test_0123456789abcdef", URL: srv.URL}, payment.StripeDeps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stripe.Close)
	s, err = payment.NewService(payment.Config{}, payment.Deps{
		Store: w.DB, Stripe: stripe, Orders: w.Log.Producer(w.Topic), RoomTime: func() (int64, int64) { return 1, 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, tried
}

func TestMethod_OnlyALimitNeedsTheRightToReadCards(t *testing.T) {
	w := paytest.New(t)
	s, tried := restricted(t, w)
	paidBy(t, w, "pay", func(intent string) {
		if _, err := s.Resolve(t.Context(), intent); err != nil {
			t.Error(err)
		}
	})
	if n := tried.Load(); n != 0 || w.Count(wire.KindAuthorised) != 1 {
		t.Fatalf("without a limit it was tried %d times", n)
	}
	limited(w)
	paidBy(t, w, "pay", func(intent string) {
		if _, err := s.Resolve(t.Context(), intent); !errors.Is(err, payment.ErrUnavailable) || tried.Load() == 0 {
			t.Error(err)
		}
	})
	if w.Count(wire.KindExtend) != 1 {
		t.Error("the hold runs out while an operator mends the key")
	}
}

func TestConfig_AShortMethodKeyIsRefused(t *testing.T) {
	err := payment.Config{MethodKey: "too short"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "methodKey") || strings.Contains(err.Error(), "too short") {
		t.Error(err)
	}
}
