package booking_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairgate/booking"
)

// Every endpoint answers what nobody should send with the right 4xx and a problem, never with a 5xx.
func TestInput_WhatNobodyShouldSendIsA4xx(t *testing.T) {
	w := newWorld(t)
	held := w.want(201, "POST", "/booking", bodyOf("alice", concert, "")).text("id")
	big := `{"userId":"` + strings.Repeat("a", 70_000) + `","eventId":101}`
	items := func(s string) string { return bodyOf("bob", concert, `,"items":`+s) }
	unknown := "0197f1d0-0000-7000-8000-000000000000"
	guest := w.guestCookie()
	for _, c := range []struct {
		name, method, path, body string
		want                     int
		headers                  []string
	}{
		{"no body", "POST", "/booking", "", 415, nil},
		{"empty", "POST", "/booking", " ", 400, nil},
		{"not JSON", "POST", "/booking", "{", 400, nil},
		{"an array", "POST", "/booking", "[]", 400, nil},
		{"trailing", "POST", "/booking", bodyOf("bob", concert, "") + "{}", 400, nil},
		{"unknown field", "POST", "/booking", bodyOf("bob", concert, `,"price":"0.00"`), 400, nil},
		{"twice", "POST", "/booking", bodyOf("bob", concert, `,"userId":"eve"`), 400, nil},
		{"case", "POST", "/booking", `{"userid":"bob","eventId":101}`, 400, nil},
		{"too big", "POST", "/booking", big, 413, nil},
		{"deep", "POST", "/booking", strings.Repeat("[", 5000), 400, nil},
		{"type", "POST", "/booking", bodyOf("bob", concert, ""), 415, []string{"Content-Type", "text/plain"}},
		{"no user", "POST", "/booking", `{"eventId":101}`, 422, nil},
		{"user with space", "POST", "/booking", `{"userId":"b o b","eventId":101}`, 422, nil},
		{"user with NUL", "POST", "/booking", `{"userId":"b\u0000b","eventId":101}`, 422, nil},
		{"user too long", "POST", "/booking", bodyOf(strings.Repeat("u", 129), concert, ""), 422, nil},
		{"user fraction", "POST", "/booking", `{"userId":1.5,"eventId":101}`, 400, nil},
		{"user object", "POST", "/booking", `{"userId":{},"eventId":101}`, 400, nil},
		{"invalid UTF-8", "POST", "/booking", "{\"userId\":\"\xff\",\"eventId\":101}", 400, nil},
		{"no event", "POST", "/booking", `{"userId":"bob"}`, 422, nil},
		{"event text", "POST", "/booking", `{"userId":"bob","eventId":"abc"}`, 400, nil},
		{"event negative", "POST", "/booking", `{"userId":"bob","eventId":-1}`, 422, nil},
		{"event huge", "POST", "/booking", `{"userId":"bob","eventId":99999999999999999999}`, 400, nil},
		{"event unknown", "POST", "/booking", `{"userId":"bob","eventId":404}`, 404, nil},
		{"items object", "POST", "/booking", items(`{}`), 400, nil},
		{"item unknown field", "POST", "/booking", items(`[{"ticketType":1,"quantity":1,"seat":4}]`), 400, nil},
		{"quantity 0", "POST", "/booking", items(`[{"ticketType":1,"quantity":0}]`), 422, nil},
		{"quantity -1", "POST", "/booking", items(`[{"ticketType":1,"quantity":-1}]`), 422, nil},
		{"quantity 101", "POST", "/booking", items(`[{"ticketType":1,"quantity":101}]`), 422, nil},
		{"quantity text", "POST", "/booking", items(`[{"ticketType":1,"quantity":"two"}]`), 400, nil},
		{"quantity fraction", "POST", "/booking", items(`[{"ticketType":1,"quantity":1.5}]`), 400, nil},
		{"type unknown", "POST", "/booking", items(`[{"ticketType":77,"quantity":1}]`), 422, nil},
		{"type 0", "POST", "/booking", items(`[{"ticketType":0,"quantity":1}]`), 422, nil},
		{"type beyond 32 bits", "POST", "/booking", items(`[{"ticketType":4294967297,"quantity":1}]`), 422, nil},
		{"nine items", "POST", "/booking", items(`[` + strings.Repeat(`{"ticketType":1,"quantity":1},`, 8) + `{"ticketType":1,"quantity":1}]`), 422, nil},
		{"waitlist text", "POST", "/booking", bodyOf("bob", concert, `,"waitlist":"yes"`), 400, nil},
		{"key empty", "POST", "/booking", bodyOf("bob", concert, ""), 400, []string{"Idempotency-Key", " "}},
		{"key long", "POST", "/booking", bodyOf("bob", concert, ""), 400, []string{"Idempotency-Key", strings.Repeat("k", 256)}},
		{"key binary", "POST", "/booking", bodyOf("bob", concert, ""), 400, []string{"Idempotency-Key", "k\u00e9"}},
		{"another's cookie", "POST", "/booking", bodyOf("bob", concert, ""), 403, []string{"Cookie", guest}},
		{"forged cookie", "POST", "/booking", bodyOf("bob", concert, ""), 401, []string{"Cookie", "fg_guest=bob.AAAA"}},
		{"wrong service key", "POST", "/booking", bodyOf("bob", concert, ""), 401, []string{"Service-Key", "guess"}},
		{"another site", "POST", "/booking", bodyOf("bob", concert, ""), 403, []string{"Sec-Fetch-Site", "cross-site"}},
		{"another origin", "POST", "/booking", bodyOf("bob", concert, ""), 403, []string{"Origin", "https://evil.example"}},
		{"origin null", "POST", "/booking", bodyOf("bob", concert, ""), 403, []string{"Origin", "null"}},
		{"method", "PUT", "/booking", bodyOf("bob", concert, ""), 405, nil},

		{"id garbage", "GET", "/booking/abc", "", 400, nil},
		{"id unknown", "GET", "/booking/" + unknown, "", 404, nil},
		{"id bytes", "GET", "/booking/%ff%00", "", 400, nil},
		{"id of another", "GET", "/booking/" + held, "", 403, []string{"Cookie", guest}},
		{"command event", "GET", "/booking/" + strings.Repeat("0", 32) + "?event=x", "", 400, nil},
		{"command until", "GET", "/booking/" + strings.Repeat("0", 32) + "?until=-5", "", 400, nil},
		{"command until huge", "GET", "/booking/" + strings.Repeat("0", 32) + "?until=99999999999999999999", "", 400, nil},
		{"command parameter", "GET", "/booking/" + strings.Repeat("0", 32) + "?x=1", "", 400, nil},
		{"give back unknown", "DELETE", "/booking/" + unknown, "", 404, nil},
		{"give back another's", "DELETE", "/booking/" + held, "", 403, []string{"Cookie", guest}},
		{"give back from another site", "POST", "/booking/" + held + "/cancel", "", 403, []string{"Sec-Fetch-Site", "same-site"}},
		{"paid unknown", "GET", "/booking/" + unknown + "/paid", "", 404, nil},
		{"pay page unknown", "GET", "/booking/" + unknown + "/pay", "", 404, nil},

		{"pay empty", "POST", "/pay", "{}", 422, nil},
		{"pay number", "POST", "/pay", bodyOf("alice", concert, `,"amount":26.5`), 400, nil},
		{"pay no amount", "POST", "/pay", bodyOf("alice", concert, ""), 422, nil},
		{"pay unknown event", "POST", "/pay", bodyOf("alice", 404, `,"amount":"26.50"`), 404, nil},
		{"pay booking id", "POST", "/pay", bodyOf("alice", concert, `,"amount":"26.50","bookingId":"x"`), 422, nil},
		{"pay for another", "POST", "/pay", bodyOf("alice", concert, `,"amount":"26.50"`), 403, []string{"Cookie", guest}},

		{"search limit", "GET", "/events?limit=0", "", 400, nil},
		{"search limit high", "GET", "/events?limit=101", "", 400, nil},
		{"search limit text", "GET", "/events?limit=ten", "", 400, nil},
		{"search date", "GET", "/events?start_date=tomorrow", "", 400, nil},
		{"search date 30 Feb", "GET", "/events?end_date=2027-02-30", "", 400, nil},
		{"search dates swapped", "GET", "/events?start_date=2027-02-02&end_date=2027-02-01", "", 422, nil},
		{"search parameter", "GET", "/events?serach=x", "", 400, nil},
		{"search twice", "GET", "/events?name=a&name=b", "", 400, nil},
		{"search long", "GET", "/events?search=" + strings.Repeat("a", 201), "", 400, nil},
		{"search NUL", "GET", "/events?search=a%00b", "", 400, nil},
		{"search bytes", "GET", "/events?search=%ff", "", 400, nil},
		{"search escape", "GET", "/events?search=%zz", "", 400, nil},
		{"search cursor", "GET", "/events?cursor=AAAA", "", 400, nil},
		{"search cursor date", "GET", "/events?cursor=eCAx", "", 400, nil},
		{"event garbage", "GET", "/events/abc", "", 400, nil},
		{"event zero", "GET", "/events/0", "", 400, nil},
		{"event nowhere", "GET", "/events/404", "", 404, nil},

		{"user bytes", "GET", "/users/%ff/bookings", "", 400, nil},
		{"user space", "GET", "/users/a%20b/bookings", "", 400, nil},
		{"bookings of another", "GET", "/users/alice/bookings", "", 403, []string{"Cookie", guest}},
		{"notifications of another", "GET", "/users/alice/notifications", "", 403, []string{"Cookie", guest}},
		{"bookings cursor", "GET", "/users/alice/bookings?cursor=eCAx", "", 400, nil},
		{"notifications cursor", "GET", "/users/alice/notifications?cursor=eCAx", "", 400, nil},
		{"asset", "GET", "/shop/..%2fbooking.go", "", 404, nil},
		{"nowhere", "GET", "/admin", "", 404, nil},
	} {
		r := w.call(c.method, c.path, c.body, c.headers...)
		if r.StatusCode != c.want || r.Header.Get("Content-Type") != "application/problem+json" || r.json["status"] != float64(c.want) {
			t.Errorf("%s: answered %d %s, want %d: %s", c.name, r.StatusCode, r.Header.Get("Content-Type"), c.want, r.body)
		}
	}
}

// guestCookie visits the shop as a browser does.
func (w *world) guestCookie() string {
	w.t.Helper()
	r := w.want(200, "GET", "/", "", "Accept", "text/html")
	for _, c := range r.Cookies() {
		if c.Name == booking.CookieGuest {
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
				w.t.Error("a script, or another site, may use the guest cookie")
			}
			return c.Name + "=" + c.Value
		}
	}
	w.t.Fatal("no guest cookie")
	return ""
}

// limits refuses everything, or nothing.
type limits struct{ calls []booking.Call }

func (l *limits) Allow(_ context.Context, c booking.Call) (bool, time.Duration, map[string]string) {
	l.calls = append(l.calls, c)
	return c.User != "greedy", 3 * time.Second, map[string]string{"RateLimit": fmt.Sprintf("%q;r=0", c.Action)}
}

func TestGuard_RefusedCallsAre429WithAWait(t *testing.T) {
	guard := &limits{}
	w := newWorld(t, func(w *world) { w.guard = guard })
	for _, path := range []string{"/booking", "/pay"} {
		r := w.want(429, "POST", path, bodyOf("greedy", concert, ""))
		if r.Header.Get("Retry-After") == "" || r.Header.Get("RateLimit") == "" {
			t.Errorf("%s: headers %v", path, r.Header)
		}
	}
	w.want(201, "POST", "/booking", bodyOf("modest", concert, ""))
	if len(guard.calls) != 3 || guard.calls[0].Action != booking.ActionBooking || guard.calls[1].Action != booking.ActionPay {
		t.Errorf("calls %+v", guard.calls)
	}
}
