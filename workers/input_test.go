package workers_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fairgate/internal/embedded/testlog"
	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/stripesim"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/workers"
)

// signed is the signature of a body by the endpoint's secret at an instant.
func signed(body []byte, at time.Time) string { return stripesim.Sign(body, paytest.WebhookSecret, at) }

// nothingStored fails the test if any event was taken.
func (s *shop) nothingStored(t *testing.T) {
	t.Helper()
	if n := paytest.One[int](s.World, `SELECT count(*) FROM webhook_inbox`); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

func TestWebhook_ForgedIsRefused(t *testing.T) {
	s := open(t, config())
	body := event("evt_1", payment.EventAuthorised, "pi_1")
	good := signed(body, time.Now())
	for what, c := range map[string]struct {
		body      []byte
		signature string
	}{
		"no signature":             {body, ""},
		"a signature that is none": {body, "t=1,v1=00"},
		"an endless signature":     {body, strings.Repeat("v1=0,", 500)},
		"another secret's":         {body, stripesim.Sign(body, "whsec_another_secret_000", time.Now())},
		"another body's":           {[]byte(strings.Replace(string(body), "pi_1", "pi_2", 1)), good},
		"the body in other bytes":  {append([]byte(" "), body...), good},
	} {
		if got := s.post(t, c.body, c.signature); got != 400 {
			t.Errorf("%s: %d, want 400", what, got)
		}
	}
	s.nothingStored(t)
}

func TestWebhook_StaleIsRefused(t *testing.T) {
	s := open(t, config())
	body := event("evt_1", payment.EventAuthorised, "pi_1")
	for _, age := range []time.Duration{time.Hour, 301 * time.Second} {
		if got := s.post(t, body, signed(body, time.Now().Add(-age))); got != 400 {
			t.Errorf("%s old: %d, want 400", age, got)
		}
	}
	s.nothingStored(t)
	if got := s.post(t, body, signed(body, time.Now().Add(-200*time.Second))); got != 200 {
		t.Errorf("200 s old: %d, want 200", got)
	}
}

func TestWebhook_OversizedIsRefused(t *testing.T) {
	s := open(t, config())
	endless := bytes.Repeat([]byte("x"), web.MaxBody+1)
	if got := s.post(t, endless, signed(endless, time.Now())); got != 413 {
		t.Errorf("an endless body: %d, want 413", got)
	}
	for what, body := range map[string][]byte{
		"type": event("evt_1", strings.Repeat("x", 300), "pi_1"), "id": event("evt_"+strings.Repeat("1", 300), "x", "pi_1"),
		"object": event("evt_1", "x", "pi_"+strings.Repeat("1", 300)),
	} {
		if got := s.post(t, body, signed(body, time.Now())); got != 400 {
			t.Errorf("an endless %s: %d, want 400", what, got)
		}
	}
	s.nothingStored(t)
}

func TestWebhook_SignedNonsenseIsRefused(t *testing.T) {
	s := open(t, config())
	for what, text := range map[string]string{
		"no JSON": "nonsense", "no object": `[]`, "an event about nothing": `{"id":"evt_2","object":"event","type":"x","data":{"object":{}}}`,
		"a name that no text may hold": `{"id":"evt_\u0000","type":"x","data":{"object":{"id":"pi_1"}}}`,
	} {
		if got := s.post(t, []byte(text), signed([]byte(text), time.Now())); got != 400 {
			t.Errorf("%s: %d, want 400", what, got)
		}
	}
	s.nothingStored(t)
}

func TestWebhook_ReplayedIsActedUponOnce(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, _ := s.authorised(t, 2000)
	body := event("evt_1", payment.EventAuthorised, r.Intent)
	signature := signed(body, time.Now())
	for range 3 {
		if got := s.post(t, body, signature); got != 200 {
			t.Fatalf("%d, want 200", got)
		}
	}
	until(t, "the event is processed", func() bool {
		return paytest.One[int](s.World, `SELECT count(*) FROM webhook_inbox WHERE processed_at IS NOT NULL`) == 1
	})
	if got := s.post(t, body, signature); got != 200 { // after it was acted upon, too
		t.Fatalf("%d, want 200", got)
	}
	if n := paytest.One[int](s.World, `SELECT count(*) FROM webhook_inbox`); n != 1 {
		t.Errorf("%d events were stored", n)
	}
	if n := s.Count(wire.KindAuthorised); n != 1 {
		t.Errorf("the log heard of it %d times", n)
	}
}

func TestWebhook_UnknownTypeIsTakenAndChangesNothing(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, _ := s.authorised(t, 2000)
	for i, kind := range []string{"invoice.paid", "payment_intent.whatever_comes_next", "x"} {
		if got := s.tell(t, fmt.Sprintf("evt_%d", i), kind, r.Intent); got != 200 {
			t.Errorf("%s: %d, want 200: the provider would send it again for days", kind, got)
		}
	}
	until(t, "all are closed", func() bool {
		return paytest.One[int](s.World, `SELECT count(*) FROM webhook_inbox WHERE processed_at IS NOT NULL`) == 3
	})
	if n := s.Count(wire.KindAuthorised); n != 0 {
		t.Errorf("the log heard of %d authorisations", n)
	}
}

// TestWebhook_OfAnotherAPIVersionIsTakenAndCounted: it only names an object, which is fetched anew at our version.
func TestWebhook_OfAnotherAPIVersionIsTakenAndCounted(t *testing.T) {
	s := open(t, config())
	s.run(t)
	r, _ := s.authorised(t, 2000)
	body := fmt.Appendf(nil, `{"id":"evt_1","object":"event","account":"acct_7","api_version":"2031-01-01.nobody","type":%q,"data":{"object":{"id":%q,"is":"of a shape of its own"}}}`,
		payment.EventAuthorised, r.Intent)
	if got := s.post(t, body, signed(body, time.Now())); got != 200 {
		t.Fatalf("%d, want 200", got)
	}
	until(t, "it is acted upon", func() bool { return s.Count(wire.KindAuthorised) == 1 })
	if got := s.metric(t, "fairgate_webhooks_total", "other_version"); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if got := paytest.One[string](s.World, `SELECT account || ' ' || type || ' ' || object_id || ' ' || api_version FROM webhook_inbox`); got !=
		"acct_7 "+payment.EventAuthorised+" "+r.Intent+" 2031-01-01.nobody" {
		t.Errorf("stored %q", got)
	}
}

func TestWebhook_StoresNoClientSecret(t *testing.T) {
	s := open(t, config())
	if got := s.tell(t, "evt_1", payment.EventAuthorised, "pi_1"); got != 200 { // its body has one
		t.Fatal(got)
	}
	if n := paytest.One[int](s.World, `SELECT count(*) FROM webhook_inbox w WHERE w::text LIKE '%hush%'`); n != 0 {
		t.Error("a client secret was stored")
	}
}

// TestLog_HoldsNoSecretAndNoClientSecret sends payments through every kind of failure with everything logged that can be.
func TestLog_HoldsNoSecretAndNoClientSecret(t *testing.T) {
	said := &testlog.Buffer{}
	s := openWith(t, config(), slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug})))
	s.run(t)
	var secrets []string
	for i, f := range []stripesim.Fault{
		{}, {Status: 500}, {Status: 500, Done: true}, {Drop: true}, {Status: 429, Code: "rate_limit"}, {Status: 402, Code: "card_declined"},
	} {
		point := stripesim.PointExecute
		if f.Status == 429 {
			point = stripesim.PointArrive
		} else if f.Drop {
			point = stripesim.PointAnswer
		}
		r, a := s.authorised(t, 2000)
		secrets = append(secrets, r.ClientSecret)
		s.Faults.Once(point, "POST /v1/payment_intents/{id}/capture", 2, f)
		s.Confirm(r, a, fmt.Sprint(5+i))
		until(t, "the capture is over", func() bool { return s.open(payment.KindCapture) == 0 })
		s.Faults.Set(nil)
	}
	if got := s.post(t, event("evt_9", "x", "pi_1"), "t=1,v1=00"); got != 400 {
		t.Fatal(got)
	}
	_ = s.tell(t, "evt_10", payment.EventAuthorised, "pi_of_nobody")
	until(t, "a failure is logged", func() bool { return said.String() != "" })
	s.stop()
	stored := paytest.One[string](s.World, `SELECT string_agg(t, '') FROM (SELECT o::text FROM outbox o UNION ALL SELECT w::text FROM webhook_inbox w
		UNION ALL SELECT a::text FROM payment_attempts a UNION ALL SELECT p::text FROM payments p UNION ALL SELECT n::text FROM notifications n) x (t)`)
	for _, secret := range append(secrets, "_secret_", paytest.WebhookSecret, "sk_test_", "hush") {
		if secret == "" {
			t.Fatal("a payment had no client secret: the test proves nothing")
		}
		if strings.Contains(said.String(), secret) {
			t.Errorf("%.12s… was logged", secret)
		}
		if strings.Contains(stored, secret) {
			t.Errorf("%.12s… was stored", secret)
		}
	}
}

func TestConfig_AMissingWebhookSecretIsNamed(t *testing.T) {
	c := config()
	c.Webhook.Secret = ""
	if _, err := workers.New(c, workers.Deps{}); err == nil || !strings.Contains(err.Error(), "webhook.secret") {
		t.Errorf("started without a secret: %v", err)
	}
}

// TestRelay_MoneyDoesNotWaitBehindMails leaves more mails than can be handed out at once before one capture.
func TestRelay_MoneyDoesNotWaitBehindMails(t *testing.T) {
	cfg := config()
	cfg.RelayBatch = 5
	s := open(t, cfg)
	s.Exec(`INSERT INTO outbox (kind, cause, next_at) SELECT 'notify:mail', 'orders/0/' || n, now() - interval '1 hour' FROM generate_series(1000, 3000) n`)
	r, a := s.authorised(t, 2000)
	s.Confirm(r, a, "5")
	s.run(t)
	until(t, "the money is captured", func() bool { return s.status(r) == "captured" })
	if left := s.open(payment.KindMail); left < 1000 {
		t.Errorf("%d mails were left: they were not the many that it takes", left)
	}
	if over := paytest.One[int](s.World, `SELECT count(*) FROM outbox WHERE kind = 'notify:mail' AND attempts > 1`); over > 0 {
		t.Errorf("%d mails were handed out again while they waited in asynq", over)
	}
}
