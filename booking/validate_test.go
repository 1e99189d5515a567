package booking_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"fairgate/booking"
)

// described is the OpenAPI document, ready to hold requests and answers against.
var described = sync.OnceValues(func() (validator.Validator, error) {
	document, err := libopenapi.NewDocument(booking.OpenAPI())
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document, config.WithFormatAssertions(), config.WithoutSecurityValidation())
	return v, errors.Join(errs...)
})

// validate holds every answer of every test against the OpenAPI document, and every request that was taken.
func (w *world) validate(req *http.Request, body string, r reply) {
	w.t.Helper()
	if r.StatusCode == http.StatusNotFound || r.StatusCode == http.StatusMethodNotAllowed {
		return // perhaps no address of ours
	}
	v, err := described()
	if err != nil {
		w.t.Fatal(err)
	}
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(strings.NewReader(body))
	if r.StatusCode < 300 && body != "" {
		if ok, errs := v.ValidateHttpRequestSync(req); !ok {
			for _, e := range errs {
				w.t.Errorf("%s %s was taken, but is not as described: %s", req.Method, req.URL, e)
			}
		}
	}
	if strings.Contains(r.Header.Get("Content-Type"), "json") {
		res := &http.Response{StatusCode: r.StatusCode, Header: r.Header, Body: io.NopCloser(bytes.NewReader(r.body)), Request: req}
		if ok, errs := v.ValidateHttpResponse(req, res); !ok {
			for _, e := range errs {
				w.t.Errorf("%s %s: the answer %s is not as described: %s", req.Method, req.URL, r.body, e)
			}
		}
	}
}

func TestOpenAPI_DocumentIsValid(t *testing.T) {
	v, err := described()
	if err != nil {
		t.Fatal(err)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Error(e)
		}
	}
}

func TestOpenAPI_ListsExactlyTheRoutes(t *testing.T) {
	w := newWorld(t)
	var served []string
	for _, r := range w.router.Routes() {
		served = append(served, r.Method+" "+r.Pattern)
	}
	document, err := libopenapi.NewDocument(booking.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			// Those of the waiting room and the workers are held against the whole router in cmd/fairgate.
			if !slices.Contains(operation.Tags, "waitingRoom") && !slices.Contains(operation.Tags, "workers") {
				described = append(described, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("served:\n%s\ndescribed:\n%s", strings.Join(served, "\n"), strings.Join(described, "\n"))
	}
	r := w.want(200, "GET", "/openapi.yaml", "")
	if !bytes.Equal(r.body, booking.OpenAPI()) {
		t.Error("another document is served")
	}
}

func TestPages_HoldNothingInlineAndNothingForeign(t *testing.T) {
	w := newWorld(t)
	cookie := w.guestCookie()
	b := w.want(201, "POST", "/booking", `{"eventId":101}`, "Cookie", cookie)
	inline := regexp.MustCompile(`(?i)<script>|<style|\son[a-z]+=|javascript:|style=|(src|href)="https?://`)
	assets := regexp.MustCompile(`"(/shop/[^"]+)"`)
	for _, path := range []string{"/", "/?search=nothing%20like%20it", "/events/101", "/events/102", "/events/103", "/booking/" + b.text("id"), "/me"} {
		r := w.want(200, "GET", path, "", "Accept", "text/html,*/*;q=0.8", "Cookie", cookie)
		if m := inline.Find(r.body); m != nil {
			t.Errorf("%s holds %s", path, m)
		}
		policy := r.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %s", path, policy)
		}
		for _, m := range assets.FindAllSubmatch(r.body, -1) {
			a := w.want(200, "GET", string(m[1]), "")
			if !strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
				t.Errorf("%s may not be kept", m[1])
			}
		}
	}
}

func TestPages_PaymentElementGetsWhatItNeedsAndNothingElse(t *testing.T) {
	w := newWorld(t)
	cookie := w.guestCookie()
	b := w.want(201, "POST", "/booking", `{"eventId":101}`, "Cookie", cookie)
	r := w.want(200, "GET", "/booking/"+b.text("id")+"/pay", "", "Accept", "text/html", "Cookie", cookie)
	allowed := map[string]string{}
	for _, directive := range strings.Split(r.Header.Get("Content-Security-Policy"), "; ") {
		name, sources, _ := strings.Cut(directive, " ")
		allowed[name] = sources
	}
	want := map[string]string{
		"default-src": "'none'", "img-src": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'", "form-action": "'self'",
		"style-src":   "'self' 'unsafe-inline'", // the element sets styles on what it inserts
		"script-src":  "'self' https://js.stripe.com https://*.js.stripe.com",
		"connect-src": "'self' https://api.stripe.com",
		"frame-src":   "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
	}
	if !maps.Equal(allowed, want) {
		t.Errorf("policy %v, want %v", allowed, want)
	}
	foreign := regexp.MustCompile(`(src|href)="(https?:)?//[^"]+"`).FindAllString(string(r.body), -1)
	if !slices.Equal(foreign, []string{`src="https://js.stripe.com/v3/"`}) {
		t.Errorf("the page loads %v", foreign)
	}
	if m := regexp.MustCompile(`(?i)<script>|<style|\son[a-z]+=|javascript:|style=|<input[^>]+card`).Find(r.body); m != nil {
		t.Errorf("the page holds %s", m)
	}
}

// A fan without JavaScript: forms and redirects only.
func TestPages_WholeSaleByForms(t *testing.T) {
	w := newWorld(t)
	cookie := w.guestCookie()
	form := func(path, body string) reply {
		return w.call("POST", path, body, "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html",
			"Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	}
	booked := form("/booking", "eventId=101&items[0].ticketType=1&items[0].quantity=2&items[1].ticketType=2&items[1].quantity=0")
	page := booked.Header.Get("Location")
	if booked.StatusCode != 303 || !strings.HasPrefix(page, "/booking/") {
		t.Fatalf("answered %d %s", booked.StatusCode, booked.body)
	}
	shown := w.want(200, "GET", page, "", "Accept", "text/html", "Cookie", cookie)
	if !strings.Contains(string(shown.body), "Pay 53.00 EUR") || shown.Header.Get("Refresh") == "" {
		t.Errorf("the booking's page: %s", shown.body)
	}
	paid := form("/pay", "eventId=101&amount=53.00&bookingId="+strings.TrimPrefix(page, "/booking/"))
	if paid.StatusCode != 303 || !strings.HasPrefix(paid.Header.Get("Location"), w.SimURL+"/pay/") {
		t.Errorf("answered %d %s", paid.StatusCode, paid.body)
	}
	if r := form(page+"/cancel", ""); r.StatusCode != 303 || r.Header.Get("Location") != page {
		t.Errorf("answered %d %s", r.StatusCode, r.body)
	}
	shown = w.want(200, "GET", page, "", "Accept", "text/html", "Cookie", cookie)
	if !strings.Contains(string(shown.body), "Cancelled") {
		t.Errorf("the booking's page: %s", shown.body)
	}
	if r := form("/booking", "eventId=102"); r.StatusCode != 303 || r.Header.Get("Location") != "/rooms/9" {
		t.Errorf("without a pass: answered %d %s", r.StatusCode, r.body)
	}
	if r := form("/booking", "eventId=101&items[0].ticketType=2&items[0].quantity=5"); r.StatusCode != 409 ||
		!strings.Contains(string(r.body), "Join the waitlist") {
		t.Errorf("sold out: answered %d %s", r.StatusCode, r.body)
	}
	if r := form("/booking", "eventId=101&items[0].ticketType=1&items[0].quantity=0"); r.StatusCode != 422 {
		t.Errorf("nothing chosen: answered %d", r.StatusCode)
	}
}
