package workers_test

import (
	"encoding/json"
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/wire"
	"fairgate/workers/reconcile"
)

func TestReconcile_RepairsALostWebhookAndAForgottenCapture(t *testing.T) {
	s := open(t, config())
	lost, _ := s.authorised(t, 2000)
	forgotten, a := s.authorised(t, 2000)
	s.Confirm(forgotten, a, "5")
	s.Exec(`DELETE FROM outbox`)
	later := func() time.Time { return time.Now().Add(time.Hour) }
	rec, err := reconcile.New(reconcile.Config{}, reconcile.Deps{Store: s.DB, Payments: s.Service, Now: later})
	if err != nil {
		t.Fatal(err)
	}
	found := func() map[string]string {
		rep, err := rec.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, f := range rep.Findings {
			out[f.Object] = f.Reason
		}
		return out
	}
	got := found()
	if len(got) != 2 || got[lost.Intent] != reconcile.MissedWebhook || got[forgotten.Intent] != reconcile.ForgottenCapture {
		t.Fatalf("%v", got)
	}
	if s.Count(wire.KindAuthorised) != 1 {
		t.Error("the lost authorisation is not in the log")
	}
	s.run(t)
	until(t, "the forgotten money is captured", func() bool { return s.status(forgotten) == "captured" })
	if got := found(); len(got) != 0 {
		t.Errorf("found again: %v", got)
	}
	if n := paytest.One[int](s.World, `SELECT count(*) FROM ledger WHERE fact LIKE 'cost:%'`); n != 2 {
		t.Errorf("the provider's fee has %d entries", n)
	}
	s.Balanced()
}

func TestReconcile_ReportsWhatTheDashboardDid(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, _ := s.captured(t, "5")
	id, err := s.Service.NewID()
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Service.Stripe().Refund(t.Context(), payment.RefundSpec{Intent: r.Intent, Refund: id, Amount: 500, Key: "dashboard"})
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(`INSERT INTO ledger (fact, entry, account, amount, currency, merchant_account_id, event_id, booking_id, at)
		SELECT 'capture:ch_ghost', n, account, n * 2 - 1, 'EUR', 1, $1, $2, now() FROM (VALUES (0, 'sales'), (1, 'provider')) v (n, account)`,
		paytest.Event, r.Booking)
	rec, err := reconcile.New(reconcile.Config{}, reconcile.Deps{
		Store: s.DB, Payments: s.Service, Now: func() time.Time { return time.Now().Add(time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := rec.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{g.ID: reconcile.RefundNotPosted, "capture:ch_ghost": reconcile.CaptureNotAtProvider}
	for _, f := range rep.Findings {
		if want[f.Object] != f.Reason || f.Repaired {
			t.Errorf("%+v", f)
		}
		delete(want, f.Object)
	}
	if len(want) != 0 {
		b, _ := json.Marshal(rep)
		t.Errorf("not found: %v in %s", want, b)
	}
}
