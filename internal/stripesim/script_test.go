package stripesim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// once puts named faults in that strike one time each.
func (b *bench) once(names ...string) {
	b.t.Helper()
	for _, name := range names {
		if err := b.Script().Add(Rule{Name: name, Times: 1}); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) intent(id string) *stripe.PaymentIntent {
	b.t.Helper()
	return must(b.t)(b.api.PaymentIntents.Get(id, nil))
}

// taken is a captured payment of 1000 US cents.
func (b *bench) taken() *stripe.PaymentIntent {
	b.t.Helper()
	pi := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	return must(b.t)(b.api.PaymentIntents.Capture(pi.ID, nil))
}

func capture(key string) *stripe.PaymentIntentCaptureParams {
	p := &stripe.PaymentIntentCaptureParams{}
	p.SetIdempotencyKey(key)
	return p
}

func TestScript_SameSeedSameFaults(t *testing.T) {
	strikes := func(seed uint64) (out []bool) {
		s, err := NewScript(seed, Rule{Name: "answer_lost", Chance: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		for range 64 {
			out = append(out, s.At(Call{Point: PointAnswer}).Drop)
		}
		return out
	}
	one := strikes(7)
	if !slices.Equal(one, strikes(7)) || slices.Equal(one, strikes(8)) || !slices.Contains(one, true) || !slices.Contains(one, false) {
		t.Fatalf("%v", one)
	}
}

func TestScript_RulesWaitTheirTurnAndEnd(t *testing.T) {
	s, err := NewScript(1, Rule{Name: "server_error", Endpoint: "POST /v1/refunds", Skip: 1, Times: 2})
	if err != nil {
		t.Fatal(err)
	}
	s.At(Call{Point: PointExecute, Endpoint: "POST /v1/payment_intents"}) // not about this
	var got []int
	for range 4 {
		got = append(got, s.At(Call{Point: PointExecute, Endpoint: "POST /v1/refunds"}).Status)
	}
	if !slices.Equal(got, []int{0, 500, 500, 0}) || s.Struck()["server_error"] != 2 || len(s.Rules()) != 0 {
		t.Fatalf("%v %v %v", got, s.Struck(), s.Rules())
	}
	for _, r := range []Rule{{Name: "nonsense", Times: 1}, {Name: "slow"}, {Name: "slow", Chance: 2}, {Name: "slow", Times: -1}} {
		if s.Add(r) == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

func TestFault_ServerErrorThatWasDoneIsReplayed(t *testing.T) {
	b := newBench(t, nil)
	b.once("server_error_done")
	for range 2 {
		_, err := b.api.PaymentIntents.New(keyed(order(1000, "usd"), "k1"))
		wantError(t, err, 500, "api_error", "")
	}
	if n := len(b.PaymentIntents()); n != 1 {
		t.Fatalf("%d intents, want the one that was made all the same", n)
	}
	b.once("server_error_done")
	_, err := b.api.PaymentIntents.Capture(b.PaymentIntents()[0].ID, nil) // cannot be done: nothing to hide
	if wantError(t, err, 500, "api_error", ""); b.intent(b.PaymentIntents()[0].ID).Status != stripe.PaymentIntentStatusRequiresPaymentMethod {
		t.Fatal("it was done")
	}
}

func TestFault_BusyAnswersAreSavedForNoKey(t *testing.T) {
	b := newBench(t, nil)
	for name, want := range map[string]struct {
		status     int
		kind, code string
	}{
		"rate_limited": {429, "invalid_request_error", "rate_limit"}, "lock_timeout": {429, "invalid_request_error", "lock_timeout"},
		"unavailable": {503, "api_error", ""},
	} {
		b.once(name)
		_, err := b.api.PaymentIntents.New(keyed(order(1000, "usd"), name))
		wantError(t, err, want.status, want.kind, want.code)
		b.create(keyed(order(1000, "usd"), name))
	}
}

func TestFault_SecureFinishedFailedAndAbandoned(t *testing.T) {
	b := newBench(t, nil)
	for name, want := range map[string]stripe.PaymentIntentStatus{
		"secure_finished": stripe.PaymentIntentStatusRequiresCapture, "secure_failed": stripe.PaymentIntentStatusRequiresPaymentMethod,
		"secure_abandoned": stripe.PaymentIntentStatusRequiresAction, "secure_late": stripe.PaymentIntentStatusRequiresAction,
	} {
		b.once(name)
		pi := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
		if pi.Status != stripe.PaymentIntentStatusRequiresAction || pi.NextAction == nil {
			t.Fatalf("%s: %s", name, pi.Status)
		}
		if b.pass(2 * time.Second); b.intent(pi.ID).Status != want {
			t.Errorf("%s ends as %s", name, b.intent(pi.ID).Status)
		}
		if name == "secure_late" {
			must(t)(b.api.PaymentIntents.Cancel(pi.ID, nil))
			if b.pass(10 * time.Minute); b.intent(pi.ID).Status != stripe.PaymentIntentStatusCanceled {
				t.Error("finished after it was cancelled")
			}
		}
	}
}

func TestFault_AuthorisationExpiresEarly(t *testing.T) {
	b := newBench(t, nil)
	b.once("authorisation_expires")
	pi := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	if b.pass(2 * time.Second); b.intent(pi.ID).Status != stripe.PaymentIntentStatusCanceled {
		t.Fatal(b.intent(pi.ID).Status)
	}
}

func TestFault_CaptureRefusedForNowAndForGood(t *testing.T) {
	b := newBench(t, nil)
	b.once("capture_declined", "capture_expired")
	pi := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	for range 2 { // the key keeps its answer
		_, err := b.api.PaymentIntents.Capture(pi.ID, capture("c1"))
		wantError(t, err, 402, "card_error", "card_declined")
	}
	if b.intent(pi.ID).Status != stripe.PaymentIntentStatusRequiresCapture {
		t.Fatal("a refused capture ended the authorisation")
	}
	_, err := b.api.PaymentIntents.Capture(pi.ID, capture("c2"))
	wantError(t, err, 400, "invalid_request_error", "charge_expired_for_capture")
	if b.intent(pi.ID).Status != stripe.PaymentIntentStatusCanceled || !strings.HasSuffix(eventTypes(b.Sim), "payment_intent.canceled charge.expired") {
		t.Fatalf("%s: %s", b.intent(pi.ID).Status, eventTypes(b.Sim))
	}
	_, err = b.api.Charges.Capture(pi.LatestCharge.ID, nil)
	wantError(t, err, 400, "invalid_request_error", "charge_already_refunded")
	_, err = b.api.Charges.Capture(b.taken().LatestCharge.ID, nil)
	wantError(t, err, 400, "invalid_request_error", "charge_already_captured")
}

func TestFault_RefundsTakeTheirCourse(t *testing.T) {
	b := newBench(t, nil)
	for name, want := range map[string][2]stripe.RefundStatus{
		"refund_pending": {"pending", "succeeded"}, "refund_pending_fails": {"pending", "failed"},
		"refund_fails": {"succeeded", "failed"}, "refund_requires_action": {"requires_action", "requires_action"},
	} {
		pi := b.taken()
		b.once(name)
		re, err := b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID})
		if err != nil || re.Status != want[0] || (re.BalanceTransaction == nil) != (want[0] == "requires_action") {
			t.Fatalf("%s: %v %+v", name, err, re)
		}
		b.pass(3 * time.Second)
		if re, err = b.api.Refunds.Get(re.ID, nil); err != nil || re.Status != want[1] {
			t.Fatalf("%s: %v %s", name, err, re.Status)
		}
		if want[1] != "requires_action" {
			continue
		}
		if re, err = b.api.Refunds.Cancel(re.ID, nil); err != nil || re.Status != "canceled" {
			t.Fatalf("%v %+v", err, re)
		}
		if ch, _ := b.api.Charges.Get(re.Charge.ID, nil); ch.AmountRefunded != 0 {
			t.Fatal("what was cancelled cannot be refunded again")
		}
	}
	if sum := b.Totals()["usd"]; sum.Refunded != 1000 {
		t.Fatalf("%+v", sum)
	}
}

func TestFault_DisputesAndDashboardRefundsComeByThemselves(t *testing.T) {
	b := newBench(t, nil)
	b.once("dispute_won", "dispute_lost", "dispute_opened", "dashboard_refund")
	for range 4 {
		b.taken()
	}
	b.pass(time.Second)
	b.pass(2 * time.Second)
	var got []string
	for _, d := range b.Disputes() {
		got = append(got, d.Status)
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"lost", "needs_response", "won"}) || len(b.Refunds()) != 1 {
		t.Fatalf("%v, %d refunds", got, len(b.Refunds()))
	}
	if sum := b.Totals()["usd"]; sum.Disputed != 2000 || sum.Refunded != 1000 || sum.Captured != 4000 {
		t.Fatalf("%+v", sum)
	}
}

func TestFault_WebhooksLostDoubledEarlyAndOfAnotherVersion(t *testing.T) {
	b, shop := newBench(t, nil), newReceiver(t)
	defer b.run()()
	if err := b.SetEndpoint(shop.URL, webhookSecret); err != nil {
		t.Fatal(err)
	}
	b.once("webhook_lost")
	b.create(order(1000, "usd"))
	for end := time.Now().Add(5 * time.Second); b.UndeliveredWebhooks() > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	b.once("webhook_early", "webhook_doubled")
	b.create(order(1000, "usd"))
	if len(shop.got) != 2 {
		t.Fatalf("%d webhooks before the answer, want one twice", len(shop.got))
	}
	shop.wait(t, 2)
	b.once("webhook_other_version")
	b.create(order(1000, "usd"))
	<-shop.got
	if len(shop.bad) != 1 || !strings.Contains(shop.bad[0].Error(), "2022-11-15") {
		t.Fatalf("%v", shop.bad)
	}
}

func TestPlans_SurviveARestart(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Dir = t.TempDir() })
	b.once("secure_finished", "dispute_opened")
	pi := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	old, next := b.Sim, b.restart()
	sameState(t, old, next)
	b.Sim = next
	b.handler.Store(next.Handler())
	if b.pass(2 * time.Second); b.intent(pi.ID).Status != stripe.PaymentIntentStatusRequiresCapture {
		t.Fatal(b.intent(pi.ID).Status)
	}
	b.restart()
}

func TestControl_SetsFaultsAndActsByHand(t *testing.T) {
	b := newBench(t, nil)
	handler, err := b.Control("control-0123456789")
	if err != nil {
		t.Fatal(err)
	}
	call := func(method, path, key string, body any) (int, map[string]any) {
		t.Helper()
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(method, path, bytes.NewReader(raw))
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		out := map[string]any{}
		_ = json.Unmarshal(w.Body.Bytes(), &out)
		return w.Code, out
	}
	const key = "control-0123456789"
	if code, _ := call("GET", "/faults", secretKey, nil); code != http.StatusUnauthorized {
		t.Fatalf("with another key: %d", code)
	}
	if code, out := call("POST", "/faults", key, []Rule{{Name: "server_error", Times: 1}}); code != 200 {
		t.Fatalf("%d %v", code, out)
	}
	_, err = b.api.PaymentIntents.New(order(1000, "usd"))
	wantError(t, err, 500, "api_error", "")
	pi := b.create(order(1000, "usd"))
	for _, step := range []struct {
		path string
		body any
		want int
	}{
		{"/intents/" + pi.ID + "/pay", map[string]any{"card": "authenticationRequired"}, 200},
		{"/intents/" + pi.ID + "/pay", map[string]any{"card": "visa"}, 400},
		{"/intents/" + pi.ID + "/secure", map[string]any{"complete": true}, 200},
		{"/intents/" + pi.ID + "/capture", map[string]any{"amount": 600}, 200},
		{"/intents/" + pi.ID + "/refund", map[string]any{"amount": 700}, 400},
		{"/intents/" + pi.ID + "/refund", map[string]any{"amount": 100}, 200},
		{"/intents/" + pi.ID + "/refund", map[string]any{"amout": 100}, 400},
		{"/advance", map[string]any{"seconds": 86400}, 200},
		{"/faults", []Rule{{Name: "nothing", Times: 1}}, 400},
	} {
		if code, out := call("POST", step.path, key, step.body); code != step.want {
			t.Fatalf("%s: %d %v", step.path, code, out)
		}
	}
	if sum := b.Totals()["usd"]; sum.Captured != 600 || sum.Refunded != 100 {
		t.Fatalf("%+v", sum)
	}
	if _, out := call("GET", "/faults", key, nil); out["struck"].(map[string]any)["server_error"] != 1.0 {
		t.Fatalf("%v", out)
	}
	for _, path := range []string{"/faults", "/v1/faults", "/intents/" + pi.ID + "/expire"} {
		if answer, _ := b.get(path); answer.StatusCode < 400 {
			t.Errorf("%s is served beside the API", path)
		}
	}
	if _, err := b.Control("short"); err == nil {
		t.Error("a short key was taken")
	}
}

func FuzzControl_NeverPanics(f *testing.F) {
	f.Add("POST", "/faults", `[{"name":"slow","times":1}]`)
	f.Add("POST", "/intents/pi_1/pay", `{"card":"visa"}`)
	f.Add("POST", "/advance", `{"seconds":-1e300}`)
	f.Add("DELETE", "/faults", ``)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		s, err := New(Config{SecretKey: secretKey, PublishableKey: publishableKey, PublicURL: "http://localhost:1"}, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		handler, err := s.Control("control-0123456789")
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequest(method, "http://sim/"+strings.TrimLeft(path, "/"), strings.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Authorization", "Bearer control-0123456789")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
