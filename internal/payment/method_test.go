package payment_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

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

// Reconciliation finds what webhooks missed in lists, which hold the id of a payment method and not its card.
func TestMethod_OfAListedIntentIsLookedUp(t *testing.T) {
	w := paytest.New(t)
	limited(w)
	first := paidBy(t, w, "pay", nil)
	listed := paidBy(t, w, "pay", func(intent string) {
		err := w.Service.Stripe().EachIntent(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), func(i payment.Intent) error {
			if i.ID != intent {
				return nil
			}
			if i.Seen {
				t.Error("the list shows the card: this test tests nothing")
			}
			_, err := w.Service.ResolveIntent(t.Context(), i)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if listed != first {
		t.Errorf("%x, by a list %x", first, listed)
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
	i, err := s.Stripe().Intent(t.Context(), out.Intent, payment.ClassResolve)
	if err != nil || i.Card == "" {
		t.Fatal("no fingerprint", err)
	}
	w.Logger.Info("as careless as can be", "intent", i, "card", i.Card)
	if _, err := s.ResolveIntent(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	if text := logged.String(); text == "" || strings.Contains(text, i.Card.Reveal()) {
		t.Errorf("logged: %s", text)
	}
	for _, rec := range w.Records() {
		if bytes.Contains(rec.Body, []byte(i.Card.Reveal())) {
			t.Error("the log knows the fingerprint")
		}
	}
}

func TestMethod_IsUnknownWhereTheProviderGivesNoFingerprint(t *testing.T) {
	w := paytest.New(t)
	limited(w)
	m := paidBy(t, w, "pay", func(intent string) {
		i, err := w.Service.Stripe().Intent(context.Background(), intent, payment.ClassResolve)
		if err != nil {
			t.Fatal(err)
		}
		i.Card = "" // as a wallet's or another method's
		if _, err := w.Service.ResolveIntent(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	})
	if m != (wire.ID{}) || w.Count(wire.KindAuthorised) != 1 {
		t.Errorf("%x", m)
	}
}

func TestConfig_AShortMethodKeyIsRefused(t *testing.T) {
	err := payment.Config{MethodKey: "too short"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "methodKey") || strings.Contains(err.Error(), "too short") {
		t.Error(err)
	}
}
