package workers_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/stripesim"
	"fairgate/internal/web"
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

func TestWebhook_OnlySignedBodiesAreStored(t *testing.T) {
	s := open(t, config())
	body := event("evt_1", payment.EventAuthorised, "pi_1")
	good := stripesim.Sign(body, paytest.WebhookSecret, time.Now())
	nameless := []byte(`{"id":"evt_2","object":"event","type":"x","data":{"object":{}}}`)
	long := event("evt_3", strings.Repeat("x", 300), "pi_1")
	for _, c := range []struct {
		what      string
		body      []byte
		signature string
		want      int
	}{
		{"no signature", body, "", 400},
		{"a signature that is none", body, "t=1,v1=00", 400},
		{"an endless signature", body, strings.Repeat("v1=0,", 500), 400},
		{"another secret's", body, stripesim.Sign(body, "whsec_another_secret_000", time.Now()), 400},
		{"a stale one", body, stripesim.Sign(body, paytest.WebhookSecret, time.Now().Add(-time.Hour)), 400},
		{"another body's", []byte(strings.Replace(string(body), "pi_1", "pi_2", 1)), good, 400},
		{"signed nonsense", []byte("nonsense"), stripesim.Sign([]byte("nonsense"), paytest.WebhookSecret, time.Now()), 400},
		{"an event about nothing", nameless, stripesim.Sign(nameless, paytest.WebhookSecret, time.Now()), 400},
		{"an endless type", long, stripesim.Sign(long, paytest.WebhookSecret, time.Now()), 400},
		{"a good one", body, good, 200},
		{"the same again", body, good, 200},
	} {
		if got := s.post(t, c.body, c.signature); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}
	if got := s.post(t, bytes.Repeat([]byte("x"), web.MaxBody+1), good); got != 413 {
		t.Errorf("an endless body: %d", got)
	}
	if n := paytest.One[int](s.World, `SELECT count(*) FROM webhook_inbox`); n != 1 {
		t.Errorf("%d rows", n)
	}
	if n := paytest.One[int](s.World, `SELECT count(*) FROM webhook_inbox w WHERE w::text LIKE '%hush%'`); n != 0 {
		t.Error("a client secret was stored")
	}
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
	due, err := s.DB.ClaimObligations(t.Context(), 10, time.Second)
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
	until(t, "it is dead", func() bool {
		return paytest.One[string](s.World, `SELECT status FROM outbox`) == "dead"
	})
	stats, err := s.DB.OutboxStats(t.Context())
	if err != nil || len(stats) != 1 || stats[0].Dead != 1 {
		t.Errorf("%+v %v", stats, err)
	}
	if ok, err := s.DB.ReviveObligation(t.Context(), payment.KindCapture, "orders/0/5"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	until(t, "it was tried once more", func() bool {
		return paytest.One[bool](s.World, `SELECT status = 'dead' AND attempts > 1 FROM outbox`)
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
