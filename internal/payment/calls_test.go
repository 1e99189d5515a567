package payment_test

import (
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
)

// Every call that production makes, made once. TestMain then holds them against Stripe's own schema.
func TestStripe_EveryCallIsOneThatStripeTakes(t *testing.T) {
	w := paytest.New(t)
	s := w.Service.Stripe()
	pay := func() payment.Receipt {
		out := start(t, w, w.Hold(2000))
		w.Pay(out, "pay")
		return out
	}
	taken, void := pay(), pay()
	if i, err := s.Intent(t.Context(), taken.Intent, payment.ClassResolve); err != nil || i.Status != payment.IntentRequiresCapture || !i.Ours() {
		t.Fatalf("%+v %v", i, err)
	}
	if i, err := s.Capture(t.Context(), taken.Intent, 2000, "capture"); err != nil || i.Received != 2000 {
		t.Fatalf("%+v %v", i, err)
	}
	if i, err := s.Cancel(t.Context(), void.Intent, "void"); err != nil || i.Status != payment.IntentCanceled {
		t.Fatalf("%+v %v", i, err)
	}
	id, err := w.Service.NewID()
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Refund(t.Context(), payment.RefundSpec{Intent: taken.Intent, Refund: id, Amount: 500, Currency: "EUR", Key: "refund"})
	if err != nil || g.Refund != id || g.Currency != "EUR" {
		t.Fatalf("%+v %v", g, err)
	}
	if one, err := s.Giveback(t.Context(), g.ID); err != nil || one != g {
		t.Fatalf("%+v %v", one, err)
	}
	if all, err := s.Givebacks(t.Context(), taken.Intent); err != nil || len(all) != 1 || all[0] != g {
		t.Fatalf("%+v %v", all, err)
	}
	dispute, err := w.Sim.OpenDispute(g.Charge, "fraudulent")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Complaint(t.Context(), dispute); err != nil || c.Intent != taken.Intent || c.Amount != 2000 || !c.Withdrawn {
		t.Fatalf("%+v %v", c, err)
	}
	if all, err := s.Complaints(t.Context(), taken.Intent); err != nil || len(all) != 1 || all[0].ID != dispute || all[0].Intent != taken.Intent {
		t.Fatalf("%+v %v", all, err)
	}
	intents, moves := 0, 0
	since, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if err := s.EachIntent(t.Context(), since, until, func(payment.Intent) error { intents++; return nil }); err != nil {
		t.Fatal(err)
	}
	swept := 0
	if err := s.SweepIntents(t.Context(), since, until, func(page []payment.Intent) error { swept += len(page); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.SweepMovements(t.Context(), since, until, func(page []payment.Movement) error { moves += len(page); return nil }); err != nil {
		t.Fatal(err)
	}
	if swept != intents || intents != 2 || moves != 3 {
		t.Errorf("%d intents, %d movements", intents, moves)
	}
}
