package booking_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/wire"
)

func TestBook_HoldIsAnsweredFromTheLogAndReadAtOnce(t *testing.T) {
	w := newWorld(t)
	r := w.want(201, "POST", "/booking", bodyOf("alice", concert, `,"items":[{"ticketType":1,"quantity":2},{"ticketType":"2","quantity":1}]`))
	if r.text("status") != "held" || r.text("total") != "126.80" || r.text("currency") != "EUR" || r.Header.Get("Location") != "/booking/"+r.text("id") {
		t.Errorf("answered %s", r.body)
	}
	lines := r.json["lines"].([]any)
	first := lines[0].(map[string]any)
	if first["name"] != "Standing" || first["price"] != "25.00" || first["fee"] != "1.50" || first["total"] != "53.00" || first["tax"] != "8.83" {
		t.Errorf("first line %v", first)
	}
	expires, err := time.Parse(time.RFC3339, r.text("expiresAt"))
	if left := time.Until(expires); err != nil || left < 295*time.Second || left > 301*time.Second {
		t.Errorf("expires at %s", r.text("expiresAt"))
	}
	again := w.want(200, "GET", r.Header.Get("Location"), "")
	for _, key := range []string{"id", "status", "total", "expiresAt", "log", "lines"} {
		if fmt.Sprint(again.json[key]) != fmt.Sprint(r.json[key]) {
			t.Errorf("%s: read %v, was answered %v", key, again.json[key], r.json[key])
		}
	}
}

func TestBook_DefaultIsOneTicketOfTheDefaultType(t *testing.T) {
	w := newWorld(t)
	r := w.want(201, "POST", "/booking", `{"userId":42,"eventId":"101"}`)
	if r.text("userId") != "42" || r.text("total") != "26.50" {
		t.Errorf("answered %s", r.body)
	}
}

func TestBook_SecondRequestReturnsTheHold(t *testing.T) {
	w := newWorld(t)
	first := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	second := w.want(200, "POST", "/booking", bodyOf("alice", concert, ""))
	if first.text("id") != second.text("id") {
		t.Error("a second hold")
	}
}

func TestBook_KeyAgainIsTheSameBookingAndOtherBodyIsRefused(t *testing.T) {
	w := newWorld(t)
	first := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""), "Idempotency-Key", "k-1")
	again := w.want(200, "POST", "/booking", bodyOf("alice", concert, ""), "Idempotency-Key", "k-1")
	if first.text("id") != again.text("id") {
		t.Error("another booking")
	}
	other := w.want(422, "POST", "/booking", bodyOf("alice", concert, `,"items":[{"ticketType":1,"quantity":3}]`), "Idempotency-Key", "k-1")
	if other.text("type") != "/problems/idempotency-key-reused" {
		t.Errorf("answered %s", other.body)
	}
	w.want(201, "POST", "/booking", bodyOf("bob", concert, ""), "Idempotency-Key", "k-1")
	// A refusal repeats too, even once stock is back.
	w.want(201, "POST", "/booking", bodyOf("alice", gone, ""))
	w.want(409, "POST", "/booking", bodyOf("bob", gone, ""), "Idempotency-Key", "k-2")
	r := w.want(409, "POST", "/booking", bodyOf("bob", gone, ""), "Idempotency-Key", "k-2")
	if r.text("type") != "/problems/sold-out" {
		t.Errorf("answered %s", r.body)
	}
}

func TestBook_SoldOutSaysWhatWasAskedAndWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	r := w.want(409, "POST", "/booking", bodyOf("alice", concert, `,"items":[{"ticketType":2,"quantity":5}]`))
	line := r.json["lines"].([]any)[0].(map[string]any)
	if r.text("type") != "/problems/sold-out" || r.text("reason") == "" || line["asked"] != 5.0 || line["left"] != 4.0 || line["ticketType"] != 2.0 {
		t.Errorf("answered %s", r.body)
	}
}

func TestBook_WaitlistIsOfferedWhatComesBack(t *testing.T) {
	w := newWorld(t)
	first := w.want(201, "POST", "/booking", bodyOf("alice", gone, ""))
	waiting := w.want(201, "POST", "/booking", bodyOf("bob", gone, `,"waitlist":true`))
	if waiting.text("status") != "waitlisted" || waiting.json["expiresAt"] != nil || waiting.text("currency") != "USD" || waiting.text("ahead") != "0" {
		t.Errorf("answered %s", waiting.body)
	}
	gone := w.want(200, "DELETE", "/booking/"+first.text("id"), "")
	if gone.text("status") != "cancelled" {
		t.Errorf("answered %s", gone.body)
	}
	w.eventually("the offer", func() bool { return w.call("GET", "/booking/"+waiting.text("id"), "").text("status") == "offered" })
	w.eventually("the projection", func() bool {
		r := w.call("GET", "/users/bob/bookings", "")
		return strings.Contains(string(r.body), `"status":"offered"`)
	})
	w.want(200, "DELETE", "/booking/"+first.text("id"), "") // again is no harm
}

func TestBook_LimitIsRefusedByName(t *testing.T) {
	w := newWorld(t)
	r := w.want(409, "POST", "/booking", bodyOf("alice", concert, `,"items":[{"ticketType":1,"quantity":7}]`))
	if r.text("type") != "/problems/user-limit" {
		t.Errorf("answered %s", r.body)
	}
}

func TestBook_GuardedEventNeedsAPassOfItsOwner(t *testing.T) {
	w := newWorld(t)
	body := bodyOf("alice", guarded, "")
	for name, c := range map[string]struct {
		pass string
		kind string
	}{
		"none":        {"", "required"},
		"garbage":     {"not.a.pass", "invalid"},
		"expired":     {w.pass(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), "expired"},
		"other room":  {w.pass(func(c jwt.MapClaims) { c["aud"] = []string{"room:8"} }), "invalid"},
		"room claim":  {w.pass(func(c jwt.MapClaims) { c["room"] = 8 }), "invalid"},
		"issuer":      {w.pass(func(c jwt.MapClaims) { c["iss"] = "somebody" }), "invalid"},
		"no expiry":   {w.pass(func(c jwt.MapClaims) { delete(c, "exp") }), "invalid"},
		"short id":    {w.pass(func(c jwt.MapClaims) { c["jti"] = "abcd" }), "invalid"},
		"tampered":    {tamper(w.pass(nil)), "invalid"},
		"very long":   {strings.Repeat("a", 5000), "invalid"},
		"unprintable": {"\u00ff\u00ff", "invalid"},
	} {
		headers := []string{}
		if c.pass != "" {
			headers = []string{"Admission-Pass", c.pass}
		}
		r := w.want(403, "POST", "/booking", body, headers...)
		if r.text("type") != "/problems/admission-pass-"+c.kind || r.text("room") != "9" || r.text("waitingRoom") != "/rooms/9" {
			t.Errorf("%s: answered %s", name, r.body)
		}
	}
	pass := w.pass(nil)
	r := w.want(403, "POST", "/booking", body, "Admission-Pass", pass, "Queue-Visitor", "AAAAAAAAAAAAAAAAAAAAAA")
	if r.text("type") != "/problems/admission-pass-foreign" {
		t.Errorf("foreign: answered %s", r.body)
	}
	if got := w.want(201, "POST", "/booking", body, "Admission-Pass", pass); got.text("total") != "9000" {
		t.Errorf("answered %s", got.body)
	}
	if r := w.want(403, "POST", "/booking", bodyOf("mallory", guarded, ""), "Admission-Pass", pass); r.text("type") != "/problems/admission-pass-used" {
		t.Errorf("used: answered %s", r.body)
	}
	w.want(201, "POST", "/booking", bodyOf("carol", guarded, ""), "Cookie", "fg_pass_9="+w.pass(nil))
}

func tamper(pass string) string {
	parts := strings.Split(pass, ".")
	parts[1] = parts[1][:10] + "A" + parts[1][11:]
	return strings.Join(parts, ".")
}

func TestBook_OutcomeNotInTimeIs202AndTheLocationResolves(t *testing.T) {
	w := newWorld(t, func(w *world) { w.cfg.AnswerWait = 300 * time.Millisecond })
	w.Mute(func() {
		r := w.want(202, "POST", "/booking", bodyOf("alice", concert, ""))
		location := r.Header.Get("Location")
		if r.Header.Get("Retry-After") == "" || !strings.HasPrefix(location, "/booking/") {
			t.Fatalf("location %q", location)
		}
		w.want(202, "GET", location, "")
		w.location = location
	})
	w.eventually("the outcome", func() bool { return w.call("GET", w.location, "").StatusCode == 200 })
	r := w.want(200, "GET", w.location, "")
	if r.text("status") != "held" || r.Header.Get("Content-Location") != "/booking/"+r.text("id") {
		t.Errorf("answered %s", r.body)
	}
	bare, _, _ := strings.Cut(w.location, "?")
	w.want(200, "GET", bare, "")
}

func TestCommand_UnknownOneIs404OnceItCannotHappen(t *testing.T) {
	w := newWorld(t)
	path := fmt.Sprintf("/booking/%032x?event=%d&until=", 7, concert)
	w.want(202, "GET", path+fmt.Sprint(time.Now().Add(9*time.Second).UnixMicro()), "")
	w.want(404, "GET", path+fmt.Sprint(time.Now().Add(-time.Minute).UnixMicro()), "")
	w.want(404, "GET", fmt.Sprintf("/booking/%032x", 7), "")
	w.want(400, "GET", path+fmt.Sprint(time.Now().Add(time.Hour).UnixMicro()), "")
}

func TestPay_HoldToTickets(t *testing.T) {
	w := newWorld(t)
	b := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	r := w.want(201, "POST", "/pay", bodyOf("alice", concert, `,"amount":"26.50"`))
	if r.text("bookingId") != b.text("id") || r.text("amount") != "26.50" || r.text("status") != "started" || r.text("payUrl") == "" || r.text("clientSecret") == "" {
		t.Errorf("answered %s", r.body)
	}
	again := w.want(200, "POST", "/pay", bodyOf("alice", concert, `,"amount":"26.50","bookingId":"`+b.text("id")+`"`))
	if again.text("id") != r.text("id") {
		t.Error("another payment")
	}
	w.Pay(payment.Receipt{PayURL: r.text("payUrl")}, "pay")
	// No webhook reaches anybody here: the fan's return is enough.
	back := w.want(303, "GET", "/booking/"+b.text("id")+"/paid?payment_intent=x", "")
	if back.Header.Get("Location") != "/booking/"+b.text("id") {
		t.Errorf("location %s", back.Header.Get("Location"))
	}
	w.eventually("the confirmation", func() bool {
		got := w.call("GET", "/booking/"+b.text("id"), "")
		tickets, _ := got.json["tickets"].([]any)
		return got.text("status") == "confirmed" && len(tickets) == 1
	})
	// Paid once more: the latest paid booking's payment.
	last := w.want(200, "POST", "/pay", bodyOf("alice", concert, `,"amount":"26.50"`))
	if last.text("id") != r.text("id") || last.json["payUrl"] != nil {
		t.Errorf("answered %s", last.body)
	}
	w.eventually("the notification", func() bool {
		n := w.want(200, "GET", "/users/alice/notifications", "")
		return strings.Contains(string(n.body), `"kind":"confirmed"`)
	})
}

// oneBookingPerCard lets a card pay for one booking of the concert from now on.
func (w *world) oneBookingPerCard() {
	w.t.Helper()
	w.tell(concert, &wire.SetMethodLimit{PerMethod: 1})
	w.eventually("the limit to be projected", func() bool {
		return paytest.One[int](w.World, `SELECT per_card FROM events WHERE id = $1`, concert) == 1
	})
}

// turnedAway is a booking of the concert whose card has paid for another one already. Nobody has voided what was refused.
func (w *world) turnedAway(user string) (id string) {
	w.t.Helper()
	for _, u := range []string{user + "-before", user} {
		id = w.want(201, "POST", "/booking", bodyOf(u, concert, "")).text("id")
		p := w.want(201, "POST", "/pay", bodyOf(u, concert, `,"amount":"26.50"`))
		w.Pay(payment.Receipt{PayURL: p.text("payUrl")}, "pay")
		w.want(303, "GET", "/booking/"+id+"/paid", "")
		w.eventually("the log's word", func() bool {
			r := w.call("GET", "/booking/"+id, "")
			p, _ := r.json["payment"].(map[string]any)
			return r.text("status") == "confirmed" || p["refused"] == "method-limit"
		})
	}
	return id
}

func TestPay_ACardThatPaidOftenEnoughLeavesTheHoldToAnother(t *testing.T) {
	w := newWorld(t)
	w.oneBookingPerCard()
	if e := w.want(200, "GET", "/events/101", ""); e.json["perCard"] != 1.0 {
		t.Errorf("the event does not say it: %s", e.body)
	}
	id := w.turnedAway("fan")
	page := string(w.want(200, "GET", "/booking/"+id, "", "Accept", "text/html").body)
	for _, want := range []string{"Held for you", "as many bookings of this event as one card may", "still held until", `action="/pay"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q: %s", want, page)
		}
	}
	if n := w.want(200, "GET", "/users/fan/notifications", ""); !strings.Contains(string(n.body), "cardLimit") {
		t.Errorf("the fan is not told: %s", n.body)
	}
	p := w.want(200, "POST", "/pay", bodyOf("fan", concert, `,"amount":"26.50"`))
	w.Pay(payment.Receipt{PayURL: p.text("payUrl")}, "other")
	w.want(303, "GET", "/booking/"+id+"/paid", "")
	w.eventually("tickets", func() bool { return w.call("GET", "/booking/"+id, "").text("status") == "confirmed" })
	if b := w.call("GET", "/booking/"+id, ""); strings.Contains(string(b.body), "method-limit") {
		t.Errorf("it goes on saying so: %s", b.body)
	}
}

func TestPay_NobodyIsAskedForAnotherCardOnceTheHoldIsOver(t *testing.T) {
	w := newWorld(t)
	w.oneBookingPerCard()
	id := w.turnedAway("fan")
	w.want(200, "POST", "/booking/"+id+"/cancel", `{"userId":"fan"}`)
	w.eventually("the end of the hold", func() bool { return w.call("GET", "/booking/"+id, "").text("status") == "cancelled" })
	if b := w.call("GET", "/booking/"+id, ""); strings.Contains(string(b.body), "method-limit") {
		t.Errorf("answered %s", b.body)
	}
}

func TestPay_WrongAmountNamesTheRightOne(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	for _, amount := range []string{"26.5", "26.51", "-26.50", "26,50", "", "1e1", "026.50", strings.Repeat("9", 40)} {
		r := w.want(422, "POST", "/pay", bodyOf("alice", concert, `,"amount":"`+amount+`"`))
		if r.text("amount") != "26.50" || r.text("currency") != "EUR" || r.text("key") != "amount" {
			t.Errorf("%q: answered %s", amount, r.body)
		}
	}
}

func TestPay_NothingHeldIs409(t *testing.T) {
	w := newWorld(t)
	w.want(409, "POST", "/pay", bodyOf("alice", concert, `,"amount":"26.50"`))
	b := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	w.want(409, "POST", "/pay", bodyOf("alice", concert, `,"amount":"26.50","bookingId":"0197f1d0-0000-7000-8000-000000000000"`))
	w.want(200, "DELETE", "/booking/"+b.text("id"), "")
	w.want(409, "POST", "/pay", bodyOf("alice", concert, `,"amount":"26.50"`))
}

func TestUsers_PagesFollowTheLinkHeader(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		b := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
		w.want(200, "DELETE", "/booking/"+b.text("id"), "")
	}
	w.eventually("the projection", func() bool {
		return paytest.One[int](w.World, `SELECT count(*) FROM bookings WHERE user_id = 'alice' AND status = 'cancelled'`) == 3
	})
	seen := map[string]bool{}
	for path := "/users/alice/bookings?limit=1"; path != ""; {
		r := w.want(200, "GET", path, "")
		if i := strings.Index(string(r.body), `"id":"`); i > 0 {
			seen[string(r.body[i:i+42])] = true
		}
		path = next(r)
	}
	if len(seen) != 3 {
		t.Errorf("%d bookings", len(seen))
	}
	n := 0
	for path := "/users/alice/notifications?limit=2"; path != ""; n++ {
		path = next(w.want(200, "GET", path, ""))
	}
	if n < 2 {
		t.Errorf("%d pages of notifications", n)
	}
}

// next is the address in a Link header.
func next(r reply) string {
	link := r.Header.Get("Link")
	if link == "" {
		return ""
	}
	return link[1:strings.Index(link, ">")]
}

func TestBook_GoesOnWhilePostgresIsAway(t *testing.T) {
	w := newWorld(t)
	w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	w.DB.Write.Close()
	time.Sleep(1100 * time.Millisecond) // the catalogue's copy is stale now
	r := w.want(201, "POST", "/booking", bodyOf("bob", concert, ""))
	if got := w.want(200, "GET", r.Header.Get("Location"), ""); got.text("status") != "held" {
		t.Errorf("answered %s", got.body)
	}
	w.want(200, "DELETE", r.Header.Get("Location"), "")
}
