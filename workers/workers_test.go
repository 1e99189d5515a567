package workers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/workers"
)

func TestSale_AttemptPagesWebhookLogCaptureLedger(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, a := s.authorised(t, 2000)
	if got := s.tell(t, "evt_1", payment.EventAuthorised, r.Intent); got != 200 {
		t.Fatal(got)
	}
	until(t, "the authorisation is in the log", func() bool { return s.Count(wire.KindAuthorised) == 1 })
	until(t, "the webhook is closed", func() bool {
		return paytest.One[bool](s.World, `SELECT processed_at IS NOT NULL FROM webhook_inbox WHERE id = 'evt_1'`)
	})
	s.Confirm(r, a, "5")
	until(t, "the money is captured", func() bool { return s.status(r) == "captured" })
	until(t, "every obligation is met", func() bool { return s.open(payment.KindCapture)+s.open(payment.KindMail) == 0 })
	if n := paytest.One[int](s.World, `SELECT count(*) FROM tickets WHERE status = 'valid'`); n != 2 {
		t.Errorf("%d tickets scan", n)
	}
	want := map[string]int64{"provider": 2000, "sales": -1850, "fees": -100, "tax": -50}
	balances, err := s.DB.Balances(t.Context(), paytest.Event)
	if err != nil || len(balances) != len(want) {
		t.Fatalf("%+v %v", balances, err)
	}
	for _, b := range balances {
		if b.Amount != want[b.Account] {
			t.Errorf("%s has %d, want %d", b.Account, b.Amount, want[b.Account])
		}
	}
	if s.total().Captured != 2000 {
		t.Errorf("%+v", s.total())
	}
	s.Balanced()
}

func TestWebhook_IsDurableWithoutRedisAndProcessedWhenItIsBack(t *testing.T) {
	s := open(t, config())
	s.server.Kill()
	r, _ := s.authorised(t, 2000)
	if got := s.tell(t, "evt_1", payment.EventAuthorised, r.Intent); got != 200 {
		t.Fatal(got)
	}
	s.server.Restart()
	s.run(t)
	until(t, "the authorisation is in the log", func() bool { return s.Count(wire.KindAuthorised) == 1 })
}

func TestRelay_RedisLosingEverythingLosesNothing(t *testing.T) {
	s := open(t, config())
	r, a := s.authorised(t, 2000)
	s.Confirm(r, a, "5")
	// Handed to Redis by a relay whose Redis is emptied before any worker looks.
	due, err := s.DB.ClaimObligations(t.Context(), store.ClaimMoney, 10, time.Second)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	if err := s.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.run(t)
	until(t, "the lease ends and the money is captured", func() bool { return s.status(r) == "captured" })
	if s.total().Captured != 2000 {
		t.Errorf("%+v", s.total())
	}
	s.Balanced()
}

func TestRelay_RedisEmptiedWhileTheWorkersWork(t *testing.T) {
	s := open(t, config())
	const many = 10
	for n := range many {
		r, a := s.authorised(t, 2000)
		s.Confirm(r, a, fmt.Sprint(100+n))
	}
	s.run(t)
	for range 10 {
		if err := s.redis.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // not a wait for anything: the pace of the faults
	}
	until(t, "all money is captured", func() bool {
		return paytest.One[int](s.World, `SELECT count(*) FROM payments WHERE status = 'captured'`) == many
	})
	if n := len(s.Sim.BalanceTransactions()); n != many || s.total().Captured != many*2000 {
		t.Errorf("%d movements, %+v", n, s.total())
	}
	s.Balanced()
}

func TestObligation_DiesVisiblyAndCanBeRevived(t *testing.T) {
	s := open(t, config())
	s.run(t)
	s.Oblige(payment.KindCapture, "orders/0/5", payment.Task{})
	until(t, "it is dead", func() bool { // beside it there may be the mail of the daily report, in the morning
		return paytest.One[string](s.World, `SELECT status FROM outbox WHERE cause = 'orders/0/5'`) == "dead"
	})
	stats, err := s.DB.OutboxStats(t.Context())
	if err != nil || !slices.ContainsFunc(stats, func(o store.OutboxStats) bool { return o.Kind == payment.KindCapture && o.Dead == 1 }) {
		t.Errorf("%+v %v", stats, err)
	}
	if ok, err := s.DB.ReviveObligation(t.Context(), payment.KindCapture, "orders/0/5"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	until(t, "it was tried once more", func() bool {
		return paytest.One[bool](s.World, `SELECT status = 'dead' AND attempts > 0 FROM outbox WHERE cause = 'orders/0/5'`)
	})
}

func TestConfig_NamesTheKeyAndNoSecret(t *testing.T) {
	for key, change := range map[string]func(*workers.Config){
		"webhook.secret": func(c *workers.Config) { c.Webhook.Secret = "hush" },
		"taskTimeout":    func(c *workers.Config) { c.TaskTimeout = time.Hour },
		"mail.server":    func(c *workers.Config) { c.Mail.Server = "nowhere" },
		"relayBatch":     func(c *workers.Config) { c.RelayBatch = -1 },
	} {
		c := config()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := config().Validate(); err != nil {
		t.Error(err)
	}
}
