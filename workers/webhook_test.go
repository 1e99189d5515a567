package workers

import (
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"fairgate/internal/conf"
)

const fuzzSecret = "whsec_0123456789abcdef"

// FuzzReadEvent: whatever is signed, an event is read whole or refused; nothing panics and no name is endless.
func FuzzReadEvent(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"data":null}`, `{"data":{"object":null}}`, `{"data":{"object":[]}}`,
		`{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{"id":"pi_1"}}}`,
		`{"id":"evt_1","type":"charge.captured","data":{"object":{"id":"ch_1","payment_intent":"pi_1"}}}`,
		`{"id":"evt_1","type":"charge.captured","data":{"object":{"id":"ch_1","payment_intent":{"id":"pi_1"}}}}`,
		`{"id":1,"type":2,"data":{"object":{"id":3}}}`,
	} {
		f.Add([]byte(seed))
	}
	m, err := newMetrics(nil)
	if err != nil {
		f.Fatal(err)
	}
	w := &Workers{cfg: Config{Webhook: WebhookConfig{Secret: conf.Secret(fuzzSecret)}}, metrics: m}
	f.Fuzz(func(t *testing.T, body []byte) {
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: fuzzSecret, Timestamp: time.Now()})
		e, err := w.readEvent(body, signed.Header)
		if err != nil {
			return
		}
		for _, v := range []string{e.ID, e.Type, e.Object} {
			if v == "" || len(v) > maxName {
				t.Errorf("%q was read from %q", v, body)
			}
		}
	})
}

func TestWebhookConfig_OldSecretIsAcceptedWhileItIsReplaced(t *testing.T) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"id":"evt_1","type":"charge.captured","data":{"object":{"id":"ch_1","payment_intent":"pi_1"}}}`)
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: fuzzSecret, Timestamp: time.Now()})
	w := &Workers{metrics: m}
	w.cfg.Webhook = WebhookConfig{Secret: "whsec_the_new_one_000000", OldSecret: conf.Secret(fuzzSecret)}
	if e, err := w.readEvent(body, signed.Header); err != nil || e.Object != "pi_1" {
		t.Errorf("%+v %v", e, err)
	}
	w.cfg.Webhook.OldSecret = ""
	if _, err := w.readEvent(body, signed.Header); err == nil {
		t.Error("a secret that was replaced is still accepted")
	}
}

func TestPause_DoublesWithinBoundsAndNeverOverflows(t *testing.T) {
	w := &Workers{cfg: Config{}.withDefaults(), random: func() float64 { return 0.5 }}
	var last time.Duration
	for n := range 200 {
		d := w.pause(n)
		if d < last || d <= 0 || d > w.cfg.RetryMost {
			t.Fatalf("after failure %d: %s after %s", n, d, last)
		}
		last = d
	}
	if w.pause(1) != time.Second || w.pause(3) != 4*time.Second || last != w.cfg.RetryMost {
		t.Errorf("%s, %s, %s", w.pause(1), w.pause(3), last)
	}
}
