package stripesim

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stripe/stripe-go/v76"
)

func (b *bench) get(path string) (*http.Response, string) {
	b.t.Helper()
	return b.do(http.NewRequest("GET", b.server.URL+path, nil))
}

func (b *bench) post(path string, form url.Values) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequest("POST", b.server.URL+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return b.do(r, err)
}

func (b *bench) do(r *http.Request, err error) (*http.Response, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer, string(body)
}

const back = shop + "/done?booking=b1"

func payForm(pi *stripe.PaymentIntent, action string) url.Values {
	return url.Values{"client_secret": {pi.ClientSecret}, "return_url": {back}, "action": {action}}
}

// wantBack checks that the payer is sent to the shop with Stripe's parameters.
func wantBack(t *testing.T, answer *http.Response, pi *stripe.PaymentIntent, status string) {
	t.Helper()
	to, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.StatusCode != 303 {
		t.Fatalf("%d %v", answer.StatusCode, err)
	}
	q := to.Query()
	if to.Host != "shop.example" || q.Get("booking") != "b1" || q.Get("payment_intent") != pi.ID ||
		q.Get("payment_intent_client_secret") != pi.ClientSecret || q.Get("redirect_status") != status {
		t.Fatalf("sent to %s", to)
	}
}

func TestPage_ShowsAmountAndAllowsNothingForeign(t *testing.T) {
	b := newBench(t, nil)
	p := order(650000, "vnd")
	p.Description = stripe.String("<b>Two</b> seats")
	pi := b.create(p)
	answer, body := b.get("/pay/" + pi.ID + "?client_secret=" + pi.ClientSecret + "&return_url=" + url.QueryEscape(back))
	if answer.StatusCode != 200 || !strings.Contains(body, "650,000 VND") || strings.Contains(body, "<b>Two") ||
		!strings.Contains(body, `value="decline"`) || strings.Contains(body, "<script") {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	style := body[strings.Index(body, "<style>")+7 : strings.Index(body, "</style>")]
	sum := sha256.Sum256([]byte(style))
	policy := answer.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") ||
		!strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "form-action 'self' "+shop) {
		t.Fatalf("policy %s", policy)
	}
	if answer.Header.Get("Referrer-Policy") != "no-referrer" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%v", answer.Header)
	}
}

func TestPage_PayOnceHoweverOftenSent(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	for range 2 {
		answer, _ := b.post("/pay/"+pi.ID, payForm(pi, "pay"))
		wantBack(t, answer, pi, "succeeded")
	}
	if n := len(b.Charges()); n != 1 || b.Totals()["usd"].Authorised != 1000 {
		t.Fatalf("%d charges", n)
	}
	if _, body := b.get("/pay/" + pi.ID + "?client_secret=" + pi.ClientSecret); !strings.Contains(body, "Payment received") || strings.Contains(body, "<form") {
		t.Fatal(body)
	}
}

func TestPage_DeclineThenPay(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	answer, _ := b.post("/pay/"+pi.ID, payForm(pi, "decline"))
	wantBack(t, answer, pi, "failed")
	if got := b.PaymentIntents()[0]; got.Status != StatusRequiresPaymentMethod || got.LastError.DeclineCode != "generic_decline" {
		t.Fatalf("%+v", got)
	}
	answer, _ = b.post("/pay/"+pi.ID, payForm(pi, "pay"))
	wantBack(t, answer, pi, "succeeded")
}

func TestPage_WithoutReturnURLShowsTheResult(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	form := payForm(pi, "decline")
	form.Del("return_url")
	if answer, body := b.post("/pay/"+pi.ID, form); answer.StatusCode != 200 || !strings.Contains(body, "Your card was declined.") {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
}

func TestPage_SecureAsksTheBank(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	answer, _ := b.post("/pay/"+pi.ID, payForm(pi, "secure"))
	bank, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.StatusCode != 303 || bank.Path != "/3ds/"+pi.ID {
		t.Fatalf("%d %v %v", answer.StatusCode, bank, err)
	}
	seen := must(t)(b.api.PaymentIntents.Get(pi.ID, nil))
	if seen.Status != stripe.PaymentIntentStatusRequiresAction || seen.NextAction.RedirectToURL.URL != bank.String() ||
		seen.NextAction.RedirectToURL.ReturnURL != back {
		t.Fatalf("%+v", seen.NextAction)
	}
	if _, body := b.get(bank.RequestURI()); !strings.Contains(body, "10.00 USD") {
		t.Fatal(body)
	}
	no := url.Values{"client_secret": {pi.ClientSecret}, "action": {"fail"}}
	answer, _ = b.post("/3ds/"+pi.ID, no)
	wantBack(t, answer, pi, "failed")
	if got := b.PaymentIntents()[0]; got.LastError.Code != "payment_intent_authentication_failure" || len(b.Charges()) != 0 {
		t.Fatalf("%+v", got)
	}
	b.post("/pay/"+pi.ID, payForm(pi, "secure"))
	yes := url.Values{"client_secret": {pi.ClientSecret}, "action": {"complete"}}
	answer, _ = b.post("/3ds/"+pi.ID, yes)
	wantBack(t, answer, pi, "succeeded")
	if got := b.PaymentIntents()[0]; got.Status != StatusRequiresCapture {
		t.Fatalf("%+v", got)
	}
}

func TestPage_SendsNobodyElsewhere(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	for _, to := range []string{
		"https://evil.example/", "//shop.example/", "javascript:alert(1)", "https://shop.example.evil.example/",
		"https://shop.example@evil.example/", "http://shop.example/", "https://shop.example:444/",
	} {
		form := payForm(pi, "pay")
		form.Set("return_url", to)
		if answer, _ := b.post("/pay/"+pi.ID, form); answer.StatusCode != 400 || answer.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", to, answer.StatusCode, answer.Header.Get("Location"))
		}
		confirm := &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa"), ReturnURL: stripe.String(to)}
		_, err := b.api.PaymentIntents.Confirm(pi.ID, confirm)
		wantError(t, err, 400, "invalid_request_error", "url_invalid")
	}
	if len(b.Charges()) != 0 {
		t.Fatal("somebody paid")
	}
}

func TestPage_NeedsTheClientSecret(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	for _, path := range []string{"/pay/" + pi.ID, "/pay/" + pi.ID + "?client_secret=x", "/3ds/" + pi.ID, "/pay/pi_no?client_secret="} {
		if answer, body := b.get(path); answer.StatusCode != 404 || strings.Contains(body, pi.ClientSecret) {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	form := payForm(pi, "rob")
	if answer, _ := b.post("/pay/"+pi.ID, form); answer.StatusCode != 400 {
		t.Fatalf("an unknown action: %d", answer.StatusCode)
	}
	form.Set("client_secret", strings.Repeat("x", maxBodyBytes))
	if answer, _ := b.post("/pay/"+pi.ID, form); answer.StatusCode != 400 {
		t.Fatalf("a huge form: %d", answer.StatusCode)
	}
}

func TestAPI_BadInputIsNeverAServerError(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	send := func(method, path, body, kind string) int {
		r, err := http.NewRequest(method, b.server.URL+path, strings.NewReader(body))
		if err == nil {
			r.SetBasicAuth(secretKey, "")
			r.Header.Set("Content-Type", kind)
		}
		answer, text := b.do(r, err)
		if !strings.Contains(text, `"error"`) {
			t.Errorf("%s %s: %s", method, path, text)
		}
		return answer.StatusCode
	}
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		method, path, body, kind string
		want                     int
	}{
		{"POST", "/v1/payment_intents", "%zz", form, 400},
		{"POST", "/v1/payment_intents", "amount=1000&currency=usd&metadata[a]=%ff", form, 400},
		{"POST", "/v1/payment_intents", `{"amount":1000}`, "application/json", 415},
		{"POST", "/v1/payment_intents", "a=" + strings.Repeat("x", maxBodyBytes), form, 413},
		{"POST", "/v1/payment_intents", "amount=1e3&currency=usd", form, 400},
		{"POST", "/v1/payment_intents", "amount=1000&amount=2000&currency=usd", form, 400},
		{"POST", "/v1/payment_intents", "amount=1000&currency=usd&metadata=x", form, 400},
		{"POST", "/v1/payment_intents/" + pi.ID + "/capture", "amount_to_capture=-1", form, 400},
		{"GET", "/v1/payment_intents?limit=0", "", "", 400},
		{"GET", "/v1/payment_intents?limit=101", "", "", 400},
		{"GET", "/v1/payment_intents/search?query=%28", "", "", 400},
		{"GET", "/v1/payment_intents?created[gte]=soon", "", "", 400},
		{"DELETE", "/v1/payment_intents/" + pi.ID, "", "", 404},
		{"GET", "/v1/customers", "", "", 404},
		{"GET", "/elsewhere", "", "", 404},
	} {
		if got := send(c.method, c.path, c.body, c.kind); got != c.want {
			t.Errorf("%s %s %.40s: %d, want %d", c.method, c.path, c.body, got, c.want)
		}
	}
}
