package crowd

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fairgate/internal/wire"
)

const (
	fakeRoom  = 7
	fakeEvent = 9
	fakeHold  = 3 * time.Second
	fakePrice = "25.00"
)

// fakeSale is a server that speaks the public interface and keeps its promises, through dropped connections too. What it
// requires of fans it checks itself.
type fakeSale struct {
	t       *testing.T
	journal string                                 // path of the crowd's journal; every promise must be in it before it is acted on
	trouble func(same string, attempt int) trouble // same: method, path, body and token
	state   wire.RoomState
	stock   int
	away    map[string]bool // users' webhooks that got lost: only the way back helps

	mu       sync.Mutex
	attempts map[string]int
	people   map[string]*fakePerson // by challenge, token and visitor
	bookings map[string]*fakeBooking
	byUser   map[string]*fakeBooking
	keys     map[string]string // user → Idempotency-Key
	peers    map[string]int    // X-Forwarded-For of arrivals
	offset   int64
}

// trouble is what becomes of a request.
type trouble int

const (
	served trouble = iota
	refused503
	dropBefore // the connection breaks before anything happened
	dropAfter  // it happened, and the answer is lost
)

type fakePerson struct {
	visitor, challenge, token, pass string
	id                              wire.ID
	instant                         int64
	renewed, told, joined           bool
	joins, asks, passUsed           int
	solution                        string
}

func (p *fakePerson) key() string {
	return wire.OrderKey{Class: 1, Key: uint64(p.instant), Token: p.id}.String()
}

func (p *fakePerson) passID() string { return wire.Hex(wire.PassID(fakeRoom, p.id, 1)) }

type fakeBooking struct {
	ID, user, status, pass string
	until                  time.Time
	payment, intent        string // of the booking; intent status: "", requires_payment_method, requires_capture, succeeded, canceled
	intentStatus           string
	looks                  int
	confirmed              int
}

func newFake(t *testing.T, stock int) *fakeSale {
	return &fakeSale{
		t: t, state: wire.RoomOpen, stock: stock, attempts: make(map[string]int), people: make(map[string]*fakePerson),
		bookings: make(map[string]*fakeBooking), byUser: make(map[string]*fakeBooking), keys: make(map[string]string),
		peers: make(map[string]int), away: make(map[string]bool),
	}
}

// serve starts the server on an address and returns its base; close ends it as a kill does.
func (s *fakeSale) serve(address string) (base string, kill func()) {
	s.t.Helper()
	var l net.Listener
	var err error
	for range 50 {
		if l, err = net.Listen("tcp", address); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: s}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	return "http://" + l.Addr().String(), func() { server.Close(); <-done }
}

// ServeHTTP makes trouble around the real answer.
func (s *fakeSale) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	body.ReadFrom(r.Body)
	what := trouble(served)
	if s.trouble != nil {
		// What is the same request again is up to its content, as for a server.
		same := r.Method + " " + r.URL.Path + " " + body.String() + r.Header.Get("Queue-Token")
		s.mu.Lock()
		s.attempts[same]++
		what = s.trouble(same, s.attempts[same])
		s.mu.Unlock()
	}
	switch what {
	case refused503:
		s.problem(w, 503, "try-again", 1)
		return
	case dropBefore:
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer http.ResponseWriter = w
	if what == dropAfter {
		answer = discard{http.Header{}}
	}
	s.route(answer, r, body.Bytes())
	if what == dropAfter {
		panic(http.ErrAbortHandler)
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func (s *fakeSale) route(w http.ResponseWriter, r *http.Request, body []byte) {
	room := fmt.Sprintf("/rooms/%d", fakeRoom)
	path := r.URL.Path
	var in map[string]any
	if len(body) > 0 && r.Header.Get("Content-Type") == "application/json" {
		if err := json.Unmarshal(body, &in); err != nil {
			s.t.Errorf("%s %s: body %q", r.Method, path, body)
		}
	}
	text := func(k string) string { v, _ := in[k].(string); return v }
	switch {
	case path == room+"/arrive":
		s.arrive(w, r, text("challenge"))
	case path == room+"/join":
		s.join(w, r, text("challenge"), text("solution"))
	case path == room+"/queue":
		s.document(w, r)
	case path == room+"/place":
		p := s.people[r.Header.Get("Queue-Token")]
		s.json(w, 200, map[string]any{"place": wire.Hex(p.id), "orderKey": p.key(), "lane": "normal"})
	case path == room+"/enter":
		s.enter(w, r)
	case r.Method == "POST" && path == "/booking":
		s.book(w, r, text("userId"), in["waitlist"] == true)
	case path == "/pay":
		s.pay(w, text("userId"), text("amount"), text("bookingId"))
	case strings.HasPrefix(path, "/booking/"):
		s.booking(w, r, strings.TrimPrefix(path, "/booking/"))
	case strings.HasPrefix(path, "/v1/payment_intents/"):
		s.intent(w, r, strings.TrimPrefix(path, "/v1/payment_intents/"), string(body))
	default:
		s.t.Errorf("unexpected %s %s", r.Method, path)
		s.problem(w, 404, "not-found", 0)
	}
}

func (s *fakeSale) json(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (s *fakeSale) problem(w http.ResponseWriter, status int, kind string, retry int) {
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	s.json(w, status, map[string]any{"type": "/problems/" + kind, "status": status})
}

// noted requires that the journal has a promise before a fan acts on it.
func (s *fakeSale) noted(kind Kind, id, before string) {
	if s.journal == "" {
		return
	}
	b, err := os.ReadFile(s.journal)
	if err != nil {
		s.t.Error(err)
		return
	}
	entries, err := ReadJournal(bytes.NewReader(b))
	if err != nil {
		s.t.Error(err)
	}
	has := slices.ContainsFunc(entries, func(e Entry) bool {
		return e.Kind == kind && (e.Place == id || e.Pass == id || e.Booking == id)
	})
	if !has {
		s.t.Errorf("%s before the %s %s was in the journal", before, kind, id)
	}
}

func (s *fakeSale) arrive(w http.ResponseWriter, r *http.Request, old string) {
	var p *fakePerson
	if old != "" {
		p = s.people[old]
		if p == nil || p.visitor != r.Header.Get("Queue-Visitor") {
			s.t.Error("a renewal without its visitor")
		}
		p.renewed = true // the same however often: a renewal whose answer was lost is asked for again
	} else {
		n := len(s.people)
		sum := sha256.Sum256([]byte(strconv.Itoa(n)))
		p = &fakePerson{visitor: fmt.Sprintf("visitor-%d", n), id: wire.ID(sum[:16]), instant: 1_700_000_000_000_000 + int64(n)}
		s.peers[r.Header.Get("X-Forwarded-For")]++
		p.token = "token-" + wire.Hex(p.id)
		s.people[p.token] = p
	}
	p.challenge = fmt.Sprintf("challenge-%s-%v", wire.Hex(p.id), p.renewed)
	s.people[p.challenge] = p
	seed := sha256.Sum256([]byte(p.challenge))
	s.json(w, 200, map[string]any{
		"challenge": p.challenge, "visitor": p.visitor, "instant": time.UnixMicro(p.instant).UTC().Format(time.RFC3339Nano),
		"puzzle": map[string]any{"algorithm": "fake", "subPuzzles": 2, "k": 1, "difficulty": 3, "seed": hex.EncodeToString(seed[:])},
	})
}

// fakeSolve is the fake's puzzle: no work, and wrong for any other seed.
func fakeSolve(algorithm string, seed [32]byte, sub int, k, difficulty uint32) ([]byte, error) {
	if algorithm != "fake" || k != 1 || difficulty != 3 {
		return nil, fmt.Errorf("not the puzzle that was posed: %s %d %d", algorithm, k, difficulty)
	}
	sum := sha256.Sum256(append(seed[:], byte(sub)))
	return sum[:8], nil
}

func (s *fakeSale) join(w http.ResponseWriter, r *http.Request, challenge, solution string) {
	p := s.people[challenge]
	if p == nil || p.visitor != r.Header.Get("Queue-Visitor") {
		s.problem(w, 403, "other-visitor", 0)
		s.t.Error("a join without its visitor")
		return
	}
	if p.id[0]%5 == 0 && !p.renewed {
		s.problem(w, 410, "expired", 0) // a slow phone
		return
	}
	seed := sha256.Sum256([]byte(challenge))
	one, _ := fakeSolve("fake", seed, 0, 1, 3)
	two, _ := fakeSolve("fake", seed, 1, 1, 3)
	if want := base64.RawURLEncoding.EncodeToString(append(bytes.Clone(one), two...)); solution != want {
		s.t.Errorf("solution %q, want %q", solution, want)
	}
	if p.solution != "" && p.solution != solution {
		s.t.Error("another solution was sent for the same place")
	}
	p.solution = solution
	p.joins++
	p.told = p.joins > 1 || p.id[1]%2 == 0 // some hear at first that it is not recorded
	p.joined = true
	s.json(w, 200, map[string]any{
		"token": p.token, "place": wire.Hex(p.id), "orderKey": p.key(), "lane": "shared", "recorded": p.told, // place says "normal"
	})
}

func (s *fakeSale) document(w http.ResponseWriter, r *http.Request) {
	s.offset++
	d := wire.QueueDocument{Version: wire.Version, Room: fakeRoom, State: s.state.String(), Epoch: 1, Offset: s.offset, NextPoll: 0, Left: int64(s.stock)}
	lane := wire.LaneDocument{Lane: "normal"}
	if s.state == wire.RoomOpen {
		lane.InvitedTo = strings.Repeat("f", 50)
	}
	d.Lanes = []wire.LaneDocument{lane, {Lane: "shared"}}
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, s.offset))
	s.json(w, 200, d)
}

func (s *fakeSale) enter(w http.ResponseWriter, r *http.Request) {
	p := s.people[r.Header.Get("Queue-Token")]
	if p == nil || !p.joined || p.visitor != r.Header.Get("Queue-Visitor") {
		s.t.Error("entering without a place")
		s.problem(w, 403, "no-place", 0)
		return
	}
	s.noted(EntryPlace, wire.Hex(p.id), "enter")
	p.asks++
	switch p.asks {
	case 1:
		s.problem(w, 403, "not-invited", 1)
		return
	case 2:
		s.json(w, 202, map[string]any{"status": "asked", "retryAfter": 1})
		return
	}
	claims := fmt.Sprintf(`{"jti":"%s","exp":1900000000}`, p.passID())
	p.pass = "x." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".y"
	s.people[p.pass] = p
	s.json(w, 200, map[string]any{"pass": p.pass, "expires": "2030-03-17T17:46:40Z", "next": "/"})
}

func (s *fakeSale) view(b *fakeBooking) map[string]any {
	v := map[string]any{
		"id": b.ID, "status": b.status, "currency": "EUR", "total": fakePrice, "lines": []map[string]any{{"quantity": 1}},
		"expiresAt": b.until.UTC().Format(time.RFC3339Nano),
	}
	if b.payment != "" {
		status := map[string]string{"requires_capture": "authorised", "succeeded": "captured", "canceled": "voided"}[b.intentStatus]
		v["payment"] = map[string]any{"id": b.payment, "status": status}
	}
	if b.confirmed > 0 {
		status := "confirmed"
		if b.intentStatus == "succeeded" {
			status = "valid"
		}
		v["tickets"] = []map[string]any{{"status": status}}
	}
	return v
}

func (s *fakeSale) book(w http.ResponseWriter, r *http.Request, user string, waitlist bool) {
	p := s.people[r.Header.Get("Admission-Pass")]
	if p == nil {
		s.t.Error("booking without a pass")
		s.problem(w, 403, "admission-pass-required", 0)
		return
	}
	s.noted(EntryPass, p.passID(), "booking")
	key := r.Header.Get("Idempotency-Key")
	if first, again := s.keys[user]; key == "" || again && first != key {
		s.t.Errorf("%s booked with key %q after %q", user, key, first)
	}
	s.keys[user] = key
	b := s.byUser[user]
	if b == nil && s.stock == 0 && !waitlist {
		s.problem(w, 409, "sold-out", 0)
		return
	}
	if b == nil {
		n := len(s.bookings) + 1
		b = &fakeBooking{ID: fmt.Sprintf("booking-%d", n), user: user, status: "held", until: time.Now().Add(fakeHold), pass: p.passID()}
		if s.stock == 0 {
			b.status = "waitlisted"
		} else {
			s.stock--
			p.passUsed++
		}
		s.bookings[b.ID], s.byUser[user] = b, b
		if n%3 == 0 { // not answered in time
			w.Header().Set("Location", "/booking/"+b.ID+"?event=9&until=1")
			w.Header().Set("Retry-After", "1")
			s.json(w, 202, map[string]any{"status": "pending"})
			return
		}
	}
	s.json(w, 201, s.view(b))
}

// pass of time: a hold lapses, an authorised payment is confirmed and captured.
func (s *fakeSale) move(b *fakeBooking, returned bool) {
	if b.status == "held" && b.intentStatus == "requires_capture" && (returned || !s.away[b.user]) {
		b.status, b.confirmed, b.looks = "confirmed", b.confirmed+1, 0
	}
	if b.status == "confirmed" {
		if b.looks++; b.looks > 1 {
			b.intentStatus = "succeeded"
		}
	}
	if b.status == "held" && time.Now().After(b.until) {
		b.status = "lapsed"
		s.stock++
	}
}

func (s *fakeSale) booking(w http.ResponseWriter, r *http.Request, rest string) {
	id, page, _ := strings.Cut(rest, "/")
	b := s.bookings[id]
	if b == nil {
		s.t.Errorf("unknown booking %q", id)
		s.problem(w, 404, "unknown-booking", 0)
		return
	}
	s.move(b, page == "paid")
	switch {
	case page == "paid":
		s.noted(EntryAuthorised, id, "the way back")
		w.Header().Set("Location", "/booking/"+id)
		w.WriteHeader(303)
		return
	case r.Method == "DELETE" && (b.status == "held" || b.status == "waitlisted"):
		if b.status == "held" {
			s.noted(EntryHold, id, "cancelling")
			s.stock++
		}
		b.status = "cancelled"
	case r.Method == "DELETE" && b.status != "cancelled":
		s.problem(w, 409, "wrong-state", 0)
		return
	}
	s.json(w, 200, s.view(b))
}

func (s *fakeSale) pay(w http.ResponseWriter, user, amount, id string) {
	b := s.byUser[user]
	if b == nil || b.ID != id || amount != fakePrice {
		s.t.Errorf("%s pays %s for %q", user, amount, id)
		s.problem(w, 422, "wrong-amount", 0)
		return
	}
	s.noted(EntryHold, id, "paying")
	if s.move(b, false); b.status != "held" && b.status != "confirmed" {
		s.problem(w, 409, "nothing-to-pay", 0)
		return
	}
	if b.payment == "" {
		b.payment, b.intent, b.intentStatus = "payment-"+id, "pi_"+id, "requires_payment_method"
	}
	s.json(w, 201, map[string]any{
		"id": b.payment, "bookingId": id, "amount": fakePrice, "currency": "EUR", "status": "started", "publishableKey": "pk_test",
		"clientSecret": b.intent + "_secret_x", "payUrl": "http://pay/pay/x?return_url=" + url.QueryEscape("http://shop/booking/"+id+"/paid"),
	})
}

func (s *fakeSale) intent(w http.ResponseWriter, r *http.Request, rest, body string) {
	id, what, _ := strings.Cut(rest, "/")
	b := s.bookings[strings.TrimPrefix(id, "pi_")]
	form, _ := url.ParseQuery(body)
	secret := r.URL.Query().Get("client_secret") + form.Get("client_secret")
	if b == nil || secret != b.intent+"_secret_x" || r.Header.Get("Authorization") != "Bearer pk_test" {
		s.t.Errorf("%s %s without its secrets", r.Method, r.URL)
		w.WriteHeader(401)
		return
	}
	if what != "confirm" {
		s.json(w, 200, map[string]any{"status": b.intentStatus})
		return
	}
	if !strings.HasSuffix(form.Get("return_url"), "/paid") || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		s.t.Errorf("confirm with %q", body)
	}
	switch {
	case b.intentStatus != "requires_payment_method":
		s.json(w, 400, map[string]any{"error": map[string]any{"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}})
	case form.Get("payment_method") == "pm_card_chargeDeclined":
		s.json(w, 402, map[string]any{"error": map[string]any{"type": "card_error", "code": "card_declined"}})
	default:
		b.intentStatus = "requires_capture"
		s.json(w, 200, map[string]any{"status": b.intentStatus})
	}
}

// facts are what an operator would read from the fake's logs.
func (s *fakeSale) facts() Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := Facts{
		Now: 0, Places: make(map[string]PlaceFact), Passes: make(map[string]PassFact), Bookings: make(map[string]BookingFact),
		Payments: make(map[string]PaymentFact),
	}
	for _, p := range s.people {
		if p.joined {
			f.Places[wire.Hex(p.id)] = PlaceFact{Room: fakeRoom, OrderKey: p.key(), Joined: 1}
		}
		if p.pass != "" {
			f.Passes[p.passID()] = PassFact{Place: wire.Hex(p.id), Expires: 1_900_000_000_500_000, Claimed: 1, Used: p.passUsed}
		}
	}
	for id, b := range s.bookings {
		tickets := 0
		if b.intentStatus == "succeeded" {
			tickets = 1
		}
		f.Bookings[id] = BookingFact{
			Event: fakeEvent, User: b.user, Total: fakePrice, Currency: "EUR", Logged: b.status, Stored: b.status,
			Expires: b.until.UnixMicro(), Made: 1, Confirmed: b.confirmed, Tickets: tickets,
		}
		if b.payment != "" {
			f.Payments[b.payment] = PaymentFact{
				Booking: id, Status: "captured", Amount: fakePrice, Currency: "EUR", Captures: tickets, Captured: fakePrice,
				Voided: tickets == 0,
			}
		}
	}
	return f
}
