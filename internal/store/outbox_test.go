package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

func moneyDB(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.New(t.Context(), store.Config{Write: conf.Secret(testpg.Migrated(t, "schema", store.Migrate))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func oblige(t *testing.T, db *store.DB, kind, cause string) (fresh bool) {
	t.Helper()
	err := db.Money(t.Context(), func(m *store.Money) (err error) {
		fresh, err = m.Oblige(t.Context(), kind, cause, map[string]string{"bookingId": "x"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func TestOutbox_ManyClaimersNeverShareAnObligation(t *testing.T) {
	db := moneyDB(t)
	const many = 200
	for n := range many {
		oblige(t, db, "payment:void", fmt.Sprintf("orders/0/%d", n))
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				got, err := db.ClaimObligations(context.Background(), store.ClaimMoney, 7, time.Hour)
				if err != nil {
					t.Error(err)
				}
				if len(got) == 0 {
					return
				}
				mu.Lock()
				for _, o := range got {
					seen[o.Cause]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != many {
		t.Errorf("%d of %d were handed out", len(seen), many)
	}
	for cause, n := range seen {
		if n != 1 {
			t.Errorf("%s was handed out %d times", cause, n)
		}
	}
}

func TestOutbox_SameCauseIsOneObligation(t *testing.T) {
	db := moneyDB(t)
	if !oblige(t, db, "payment:void", "orders/0/1") || oblige(t, db, "payment:void", "orders/0/1") || !oblige(t, db, "payment:refund", "orders/0/1") {
		t.Error("kind and cause do not name an obligation")
	}
}

func TestOutbox_ALeaseEndsAndCountsAttempts(t *testing.T) {
	db, ctx := moneyDB(t), t.Context()
	oblige(t, db, "payment:void", "a")
	first, err := db.ClaimObligations(ctx, store.ClaimMoney, 10, 0)
	if err != nil || len(first) != 1 || first[0].Attempts != 1 || first[0].Try != 1 {
		t.Fatal(first, err)
	}
	second, err := db.ClaimObligations(ctx, store.ClaimMoney, 10, time.Hour)
	if err != nil || len(second) != 1 || second[0].Attempts != 2 {
		t.Fatal(second, err)
	}
	// The first claimer comes late: its word counts for nothing.
	if err := db.UnclaimObligation(ctx, first[0], 0); err != nil {
		t.Fatal(err)
	}
	if again, err := db.ClaimObligations(ctx, store.ClaimMoney, 10, time.Hour); err != nil || len(again) != 0 {
		t.Fatal(again, err)
	}
	if err := db.UnclaimObligation(ctx, second[0], 0); err != nil {
		t.Fatal(err)
	}
	if again, err := db.ClaimObligations(ctx, store.ClaimMoney, 10, time.Hour); err != nil || len(again) != 1 || again[0].Attempts != 2 {
		t.Fatal(again, err)
	}
}

func TestOutbox_FailureMovesTryOnlyWhenAsked(t *testing.T) {
	db, ctx := moneyDB(t), t.Context()
	oblige(t, db, "payment:void", "a")
	for n, c := range []struct {
		next, dead bool
		try        int
	}{{false, false, 1}, {true, false, 2}, {false, false, 2}} {
		if err := db.FailObligation(ctx, "payment:void", "a", "because", 0, c.next, c.dead); err != nil {
			t.Fatal(err)
		}
		if o, ok, err := db.Obligation(ctx, "payment:void", "a"); err != nil || !ok || o.Try != c.try {
			t.Errorf("%d: %+v %v %v", n, o, ok, err)
		}
	}
	if err := db.FailObligation(ctx, "payment:void", "a", "because", 0, false, true); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := db.Obligation(ctx, "payment:void", "a"); ok || err != nil {
		t.Error("a dead one is handed out", err)
	}
}

func TestWebhook_OpenOnesComeBackWhenTheirLeaseEndsOrTheyFailed(t *testing.T) {
	db, ctx := moneyDB(t), t.Context()
	e := store.WebhookEvent{ID: "evt_1", Type: "x", Object: "pi_1"}
	for n, want := range []bool{true, false} {
		if fresh, err := db.StoreWebhook(ctx, e); err != nil || fresh != want {
			t.Errorf("%d: %v %v", n, fresh, err)
		}
	}
	const wait = 50 * time.Millisecond
	if got, err := db.ClaimWebhooks(ctx, 10, wait*100, time.Hour); err != nil || len(got) != 0 {
		t.Fatal(got, err)
	}
	time.Sleep(wait)
	got, err := db.ClaimWebhooks(ctx, 10, wait, time.Hour)
	if err != nil || len(got) != 1 || got[0].Attempts != 1 || got[0].Object != "pi_1" {
		t.Fatal(got, err)
	}
	if again, err := db.ClaimWebhooks(ctx, 10, wait, time.Hour); err != nil || len(again) != 0 {
		t.Fatal("it is handed out twice", again, err)
	}
	if err := db.FailWebhook(ctx, "evt_1", "because", 0); err != nil {
		t.Fatal(err)
	}
	if again, err := db.ClaimWebhooks(ctx, 10, wait, 0); err != nil || len(again) != 1 || again[0].Attempts != 2 {
		t.Fatal("it failed and does not come back", again, err)
	}
	if again, err := db.ClaimWebhooks(ctx, 10, wait, time.Hour); err != nil || len(again) != 1 || again[0].Attempts != 3 {
		t.Fatal("its lease ended and it does not come back", again, err)
	}
	if err := db.ProcessedWebhook(ctx, "evt_1"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := db.Webhook(ctx, "evt_1"); ok || err != nil {
		t.Error("a processed one is open", err)
	}
}

func TestOutbox_PruningKeepsWhatIsNotDone(t *testing.T) {
	db, ctx := moneyDB(t), t.Context()
	for _, cause := range []string{"done", "dead", "pending"} {
		oblige(t, db, "payment:void", cause)
	}
	if err := db.Money(ctx, func(m *store.Money) error { return m.Done(ctx, "payment:void", "done") }); err != nil {
		t.Fatal(err)
	}
	if err := db.FailObligation(ctx, "payment:void", "dead", "because", 0, false, true); err != nil {
		t.Fatal(err)
	}
	if n, err := db.PruneObligations(ctx, time.Now().Add(-time.Hour), 10); err != nil || n != 0 {
		t.Error(n, err)
	}
	if n, err := db.PruneObligations(ctx, time.Now().Add(time.Hour), 10); err != nil || n != 1 {
		t.Error(n, err)
	}
}

func TestLedger_AFactIsPostedOnceAndSumsToZero(t *testing.T) {
	db, ctx := moneyDB(t), t.Context()
	_, err := db.Write.Exec(ctx, `INSERT INTO events (id, organiser_id, merchant_account_id, name, zone, starts_at, ends_at, start_date, end_date, currency, partition)
		VALUES (7, 1, 1, 'x', 'UTC', now(), now(), current_date, current_date, 'EUR', 0)`)
	if err != nil {
		t.Fatal(err)
	}
	posting := store.LedgerPosting{Fact: "capture:ch_1", Currency: "EUR", Merchant: 1, Event: 7, Booking: sale.UUID{1},
		Entries: []store.LedgerEntry{{Account: "provider", Amount: 100}, {Account: "sales", Amount: -100}}}
	post := func(p store.LedgerPosting) (posted bool, err error) {
		err = db.Money(ctx, func(m *store.Money) (err error) {
			posted, err = m.Post(ctx, p)
			return err
		})
		return posted, err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	times := 0
	for range 8 {
		wg.Go(func() {
			posted, err := post(posting)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if posted {
				times++
			}
		})
	}
	wg.Wait()
	if times != 1 {
		t.Errorf("posted %d times", times)
	}
	odd := posting
	odd.Fact, odd.Entries = "capture:ch_2", odd.Entries[:1]
	if _, err := post(odd); err == nil {
		t.Error("entries that do not sum to zero were posted")
	}
	b, err := db.Balances(ctx, 7)
	if err != nil || len(b) != 2 {
		t.Fatal(b, err)
	}
	// Money without a ticket is what invariant 4 is there to find.
	checks, err := db.CheckMoney(ctx)
	if err != nil || len(checks) != 1 || checks[0].Difference != 100 {
		t.Errorf("%+v %v", checks, err)
	}
}
