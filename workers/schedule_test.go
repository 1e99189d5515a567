package workers_test

import (
	"testing"
	"time"

	"fairgate/internal/payment/paytest"
	"fairgate/workers"
	"fairgate/workers/reconcile"
)

func TestReconcile_ManyWorkersCompareOnce(t *testing.T) {
	const every = time.Second
	cfg := config()
	cfg.Reconcile = reconcile.Config{Every: every}
	s := open(t, cfg)
	began := time.Now().Truncate(every)
	s.run(t)
	other, err := workers.New(cfg, workers.Deps{Store: s.DB, Redis: s.redis, Payments: s.Service})
	if err != nil {
		t.Fatal(err)
	}
	first := s.w
	s.w = other
	stopFirst := s.stop
	s.run(t)
	s.w = first
	count := func() int { return paytest.One[int](s.World, `SELECT count(*) FROM reconciliations`) }
	until(t, "it was compared a few times", func() bool { return count() >= 4 })
	s.stop()
	stopFirst()
	if n, most := count(), int(time.Since(began)/every)+1; n > most {
		t.Errorf("%d comparisons within %d intervals", n, most)
	}
}

func TestReport_EveryOrganiserIsToldOfADayOnce(t *testing.T) {
	cfg := config()
	cfg.ReportAt = time.Nanosecond
	s := open(t, cfg)
	s.Exec(`INSERT INTO organisers (id, name) VALUES (2, 'without events')`)
	yesterday := time.Now().UTC().AddDate(0, 0, -1)
	s.Exec(`INSERT INTO ledger (fact, entry, account, amount, currency, merchant_account_id, event_id, booking_id, at) VALUES
		('capture:ch_1', 0, 'provider', 2000, 'EUR', 1, $1, gen_random_uuid(), $2), ('capture:ch_1', 1, 'sales', -2000, 'EUR', 1, $1, gen_random_uuid(), $2),
		('capture:ch_2', 0, 'provider', 999, 'EUR', 1, $1, gen_random_uuid(), $3), ('capture:ch_2', 1, 'sales', -999, 'EUR', 1, $1, gen_random_uuid(), $3)`,
		paytest.Event, yesterday, time.Now().UTC())
	told := func() int {
		return paytest.One[int](s.World, `SELECT count(*) FROM notifications WHERE kind = 'dailyReport'`)
	}
	s.run(t)
	until(t, "it is told", func() bool { return told() == 1 })
	if got := paytest.One[string](s.World, `SELECT user_id || ' ' || (data ->> 'day') || ' ' || (data -> 'lines' ->> 0) FROM notifications`); got !=
		"organiser/1 "+yesterday.Format(time.DateOnly)+" EUR: 1 payments, 20.00 taken; 0 refunds, 0.00 given back; 0.00 disputed; 0.00 kept by the payment provider" {
		t.Errorf("told: %s", got)
	}
	s.stop()
	s.run(t) // another process, the same day
	time.Sleep(2500 * time.Millisecond)
	if n := told(); n != 1 {
		t.Errorf("told %d times", n)
	}
}
