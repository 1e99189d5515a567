package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Lengths of an event of a campaign: short, so that holds lapse, offers end and graces run out while things die.
const (
	moneyHold   = 12 * time.Second
	moneyGrace  = 15 * time.Second
	moneyFrozen = 15 * time.Second
	// fanPatience is how long a fan comes back to a booking that is not over, and how long one tries to reach the shop.
	fanPatience = 40 * time.Second
)

// moneyShow is an event of a campaign.
type moneyShow struct {
	store.Event
	share  int           // of the purchases, in parts of the sum
	refund time.Duration // until so long before its start fans may give tickets back; 0 is never
	fees   bool          // and get their fees back
}

// Numbers of the shows that something happens to.
const (
	showScarce    = 2
	showMoved     = 5
	showCancelled = 6
)

// moneyShows are the events that so many purchases are made of: currencies with two decimals, none and three, one that
// sells out, one that is cancelled meanwhile, one whose every ticket is refunded at the end, and a free one.
func moneyShows(purchases int) []moneyShow {
	of := func(id int64, name, currency string, price sale.Price, capacity, share int) moneyShow {
		starts := time.Now().AddDate(0, 1, 0).Truncate(time.Second)
		return moneyShow{share: share, Event: store.Event{
			ID: id, Name: name, Venue: "Hall", City: "Madrid", Zone: "Europe/Madrid", StartsAt: starts, EndsAt: starts.Add(time.Hour),
			Currency: currency, Partition: int32(id % moneyPartitions), Hold: moneyHold, Offer: moneyHold, Grace: moneyGrace, Frozen: moneyFrozen,
			Types: []store.TicketType{{Type: 1, Name: "Seat", Default: true, Capacity: capacity, Price: price}},
		}}
	}
	many := 4*purchases + 100
	all := []moneyShow{
		of(1, "Plenty", "EUR", sale.Price{Ticket: 6500, Fee: 450, TaxRate: 100_000, Included: true}, many, 40),
		of(showScarce, "Scarce", "EUR", sale.Price{Ticket: 2000, Fee: 199, TaxRate: 210_000}, max(10, purchases/10), 20),
		of(3, "Yen", "JPY", sale.Price{Ticket: 8800, Fee: 330, TaxRate: 100_000, Included: true}, many, 8),
		of(4, "Dinar", "KWD", sale.Price{Ticket: 12_500, Fee: 500}, many, 8),
		of(showMoved, "Moved", "EUR", sale.Price{Ticket: 3800, Fee: 200, TaxRate: 55_000, Included: true}, many, 8),
		of(showCancelled, "Cancelled", "USD", sale.Price{Ticket: 4200, Fee: 600, TaxRate: 88_750}, many, 8),
		of(7, "Free", "BRL", sale.Price{}, many, 8),
	}
	all[0].refund, all[0].fees = time.Hour, true
	all[2].refund = time.Hour
	return all
}

// sell makes the shows' rows and tells the log of them.
func (r *moneyRig) sell(shows []moneyShow) {
	r.t.Helper()
	ctx := r.t.Context()
	// Before its first tick a log has no time to count a hold from, and before its first leader no rules of any version.
	err := settle(ctx, fanPatience, func(ctx context.Context) (begun bool, err error) {
		err = r.own.db.Write.QueryRow(ctx, `SELECT count(*) = $1 FROM projection_offsets WHERE projection = 'bookings' AND log_time > 0`, moneyPartitions).Scan(&begun)
		return begun, err
	})
	if err != nil {
		r.t.Fatalf("no leader ticks: %v", err)
	}
	for _, s := range shows {
		if _, _, err := r.own.db.CreateEvent(ctx, s.Event); err != nil {
			r.t.Fatal(err)
		}
		if err := r.own.db.SetRefundPolicy(ctx, s.ID, s.refund, s.fees); err != nil {
			r.t.Fatal(err)
		}
		kind := s.Types[0]
		for _, body := range []wire.Body{
			&wire.DefineEvent{
				Currency: [3]byte([]byte(s.Currency)), Hold: s.Hold.Microseconds(), Offer: s.Offer.Microseconds(),
				Grace: s.Grace.Microseconds(), Frozen: s.Frozen.Microseconds(),
			},
			&wire.SetMethodLimit{PerMethod: uint16(s.PerCard)},
			&wire.DefineType{Type: kind.Type, Capacity: uint32(kind.Capacity), Default: true, Price: wire.Price(kind.Price)},
		} {
			r.tell(ctx, s.Event, body)
		}
	}
}

// tell appends a command about an event.
func (r *moneyRig) tell(ctx context.Context, e store.Event, body wire.Body) {
	r.t.Helper()
	value := wire.AppendRecord(nil, wire.Record{Object: e.ID}, body)
	if _, err := r.own.producer(wire.TopicOrders).Append(ctx, e.Partition, value, time.Time{}); err != nil {
		r.t.Error(err)
	}
}

// moneyFans make purchases, so many at a time. It is safe for concurrent use.
type moneyFans struct {
	rig   *moneyRig
	shows []moneyShow
	http  *http.Client

	mu     sync.Mutex
	counts map[string]int
	valid  map[string]int // bookings whose tickets a fan saw valid, and how many
	made   int
}

func newMoneyFans(r *moneyRig, shows []moneyShow, atOnce int) *moneyFans {
	return &moneyFans{
		rig: r, shows: shows, counts: map[string]int{}, valid: map[string]int{},
		http: &http.Client{
			Timeout:       8 * time.Second,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 2 * atOnce, IdleConnTimeout: 5 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// run makes the purchases and returns when every fan has seen an end or lost patience.
func (f *moneyFans) run(ctx context.Context, purchases, atOnce int) {
	defer f.http.CloseIdleConnections()
	numbers := make(chan int)
	var fans sync.WaitGroup
	for range atOnce {
		fans.Go(func() {
			for n := range numbers {
				b := &buyer{fans: f, rnd: rand.New(rand.NewPCG(f.rig.seed, uint64(n))), user: fmt.Sprintf("fan-%d", n), from: fmt.Sprintf("198.18.%d.%d", n/250%250, 1+n%250)}
				visit, cancel := context.WithTimeout(ctx, 2*fanPatience)
				f.count(b.visit(visit))
				cancel()
			}
		})
	}
	for n := range purchases {
		numbers <- n
	}
	close(numbers)
	fans.Wait()
}

func (f *moneyFans) count(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[what]++
	f.made++
}

// done is how many fans have gone.
func (f *moneyFans) done() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made
}

// sawValid notes that a fan was shown so many tickets that scan.
func (f *moneyFans) sawValid(booking string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.valid[booking] = n
}

// buyer is one fan with one thing to buy. It belongs to one goroutine.
type buyer struct {
	fans    *moneyFans
	rnd     *rand.Rand
	user    string
	from    string
	show    moneyShow
	plan    string
	refused string // what the shop said when it last refused a hold
}

// moneyPlans are what fans do, and in how many of a hundred.
var moneyPlans = []struct {
	name  string
	share int
}{
	{"pays", 46}, {"closes the tab", 12}, {"presses twice", 7}, {"pays after a declined card", 6}, {"tests cards", 2}, {"is asked by the bank", 5},
	{"leaves the bank's page", 2}, {"pays too late", 6}, {"cancels", 3}, {"cancels while paying", 3}, {"never pays", 2}, {"gives tickets back", 6},
}

func (b *buyer) choose() {
	sum := 0
	for _, s := range b.fans.shows {
		sum += s.share
	}
	n := b.rnd.IntN(sum)
	for _, s := range b.fans.shows {
		if n -= s.share; n < 0 {
			b.show = s
			break
		}
	}
	n = b.rnd.IntN(100)
	for _, p := range moneyPlans {
		if n -= p.share; n < 0 {
			b.plan = p.name
			break
		}
	}
}

// visit is everything that a fan does, and says how it ended.
func (b *buyer) visit(ctx context.Context) string {
	b.choose()
	held, ok := b.hold(ctx)
	if !ok {
		return "got nothing"
	}
	switch b.plan {
	case "cancels":
		b.cancel(ctx, held.ID)
		return "cancelled"
	case "never pays":
		return "never paid"
	case "presses twice":
		twice := part(func(context.Context) { b.pay(ctx, &held, rand.New(rand.NewPCG(1, 1))) })
		defer twice()
	}
	p, ok := b.pay(ctx, &held, b.rnd)
	if !ok {
		return "could not pay"
	}
	if p.PayURL != "" {
		b.card(ctx, &held, p)
	}
	return b.after(ctx, &held)
}

// after is the way back from the payment page, if the fan takes it.
func (b *buyer) after(ctx context.Context, held *shopBooking) string {
	switch b.plan {
	case "closes the tab", "leaves the bank's page", "cancels while paying":
		return "went away"
	}
	now := b.watch(ctx, held.ID)
	n := now.valid()
	if n == 0 {
		return "saw it " + now.Status
	}
	b.fans.sawValid(held.ID, n)
	if b.plan == "gives tickets back" && b.show.refund > 0 {
		b.send(ctx, http.MethodPost, "/booking/"+held.ID+"/refund", map[string]any{"tickets": []int{b.rnd.IntN(n)}})
		return "gave a ticket back"
	}
	return "has tickets"
}

// shopBooking is a booking as the shop shows it.
type shopBooking struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Total   string `json:"total"`
	Payment struct {
		Status  string `json:"status"`
		Refused string `json:"refused"`
	} `json:"payment"`
	Tickets []struct {
		Status string `json:"status"`
	} `json:"tickets"`
}

// valid counts the tickets that scan.
func (s *shopBooking) valid() (n int) {
	for _, t := range s.Tickets {
		if t.Status == "valid" {
			n++
		}
	}
	return n
}

// shopPayment is the answer to POST /pay.
type shopPayment struct {
	Status       string `json:"status"`
	ClientSecret string `json:"clientSecret"`
	PayURL       string `json:"payUrl"`
}

// hold books, waiting for an offer where the show is scarce.
func (b *buyer) hold(ctx context.Context) (held shopBooking, ok bool) {
	body := map[string]any{
		"userId": b.user, "eventId": b.show.ID, "items": []map[string]any{{"ticketType": 1, "quantity": 1 + b.rnd.IntN(4)}},
		"waitlist": b.show.ID == showScarce && b.rnd.IntN(2) == 0,
	}
	for ctx.Err() == nil {
		status, text := b.send(ctx, http.MethodPost, "/booking", body, "Idempotency-Key", "once-"+b.user)
		if status == http.StatusAccepted { // not decided yet: the same key asks for the same
			pauseFor(ctx, 500*time.Millisecond)
			continue
		}
		if status != http.StatusOK && status != http.StatusCreated || json.Unmarshal(text, &held) != nil {
			b.refused = fmt.Sprintf("%d %s", status, text)
			return held, false
		}
		if held.Status == "waitlisted" {
			held = b.look(ctx, held.ID, 2*moneyHold, func(s *shopBooking) bool { return s.Status != "waitlisted" })
			if held.Status != "offered" {
				b.cancel(ctx, held.ID) // nobody waits for ever
			}
		}
		return held, held.Status == "held" || held.Status == "offered"
	}
	return held, false
}

// pay starts the payment, or finds the one that is under way.
func (b *buyer) pay(ctx context.Context, held *shopBooking, rnd *rand.Rand) (p shopPayment, ok bool) {
	for end := time.Now().Add(fanPatience); time.Now().Before(end) && ctx.Err() == nil; pauseFor(ctx, time.Duration(rnd.IntN(800))*time.Millisecond) {
		status, text := b.send(ctx, http.MethodPost, "/pay", map[string]any{
			"userId": b.user, "eventId": b.show.ID, "amount": held.Total, "bookingId": held.ID,
		})
		if status == http.StatusOK || status == http.StatusCreated {
			return p, json.Unmarshal(text, &p) == nil
		}
		if status == http.StatusConflict || status == http.StatusUnprocessableEntity {
			return p, false
		}
	}
	return p, false
}

// card is what happens on the provider's page.
func (b *buyer) card(ctx context.Context, held *shopBooking, p shopPayment) {
	switch b.plan {
	case "pays after a declined card":
		b.press(ctx, p, "decline")
	case "tests cards":
		for range 7 {
			b.press(ctx, p, "decline")
		}
	case "is asked by the bank", "leaves the bank's page":
		b.press(ctx, p, "secure")
		pauseFor(ctx, time.Duration(b.rnd.IntN(2000))*time.Millisecond)
		if b.plan == "is asked by the bank" {
			b.bank(ctx, p)
		}
		return
	case "pays too late":
		pauseFor(ctx, moneyHold+time.Duration(b.rnd.Int64N(int64(moneyGrace+3*time.Second))))
	case "cancels while paying":
		cancelled := part(func(context.Context) { b.cancel(ctx, held.ID) })
		defer cancelled()
	}
	b.press(ctx, p, "pay")
	if b.plan == "presses twice" {
		b.press(ctx, p, "pay")
	}
}

// press presses a button of the provider's page, again until the page answers.
func (b *buyer) press(ctx context.Context, p shopPayment, action string) {
	at, err := url.Parse(p.PayURL)
	if err != nil {
		return
	}
	form := at.Query()
	form.Set("action", action)
	at.RawQuery = ""
	b.page(ctx, at.String(), form)
}

// bank says yes on the bank's page.
func (b *buyer) bank(ctx context.Context, p shopPayment) {
	at, err := url.Parse(p.PayURL)
	if err != nil {
		return
	}
	form := at.Query()
	form.Set("action", "complete")
	b.page(ctx, b.fans.rig.simURL+strings.Replace(at.Path, "/pay/", "/3ds/", 1), form)
}

func (b *buyer) page(ctx context.Context, at string, form url.Values) {
	for range 5 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if res, err := b.fans.http.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode < http.StatusInternalServerError && res.StatusCode != http.StatusTooManyRequests {
				return
			}
		}
		pauseFor(ctx, 300*time.Millisecond)
	}
}

func (b *buyer) cancel(ctx context.Context, booking string) {
	for ctx.Err() == nil {
		status, _ := b.send(ctx, http.MethodDelete, "/booking/"+booking, nil)
		if status != http.StatusAccepted {
			return
		}
		pauseFor(ctx, 500*time.Millisecond) // not decided yet
	}
}

// watch comes back from the payment page and looks until the booking is settled one way or the other.
func (b *buyer) watch(ctx context.Context, booking string) shopBooking {
	b.send(ctx, http.MethodGet, "/booking/"+booking+"/paid", nil)
	return b.look(ctx, booking, fanPatience, func(s *shopBooking) bool {
		switch s.Status {
		case "closed", "cancelled", "revoked", "refunded":
			return true
		}
		return s.Status == "confirmed" && (s.valid() > 0 && s.valid() == len(s.Tickets))
	})
}

// look looks at a booking until something holds.
func (b *buyer) look(ctx context.Context, booking string, patience time.Duration, until func(*shopBooking) bool) (s shopBooking) {
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; {
		status, text := b.send(ctx, http.MethodGet, "/booking/"+booking, nil)
		if status == http.StatusOK && json.Unmarshal(text, &s) == nil && until(&s) {
			return s
		}
		pauseFor(ctx, time.Duration(500+b.rnd.IntN(1500))*time.Millisecond)
	}
	return s
}

// send sends a request to the shop until it has an answer that is neither a failure of the shop nor a limit.
func (b *buyer) send(ctx context.Context, method, path string, body any, header ...string) (status int, text []byte) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, nil
	}
	wait := 200 * time.Millisecond
	for end := time.Now().Add(fanPatience); time.Now().Before(end) && ctx.Err() == nil; pauseFor(ctx, wait) {
		req, err := http.NewRequestWithContext(ctx, method, "http://"+b.fans.rig.shop+path, bytes.NewReader(raw))
		if err != nil {
			return 0, nil
		}
		if body == nil {
			req.Body, req.ContentLength = http.NoBody, 0
		} else {
			req.Header.Set("Content-Type", "application/json")
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Service-Key", moneyServiceKey)
		req.Header.Set("X-Forwarded-For", b.from)
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := b.fans.http.Do(req)
		if err != nil {
			continue
		}
		text, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = res.Body.Close()
		if err == nil && res.StatusCode < http.StatusInternalServerError && res.StatusCode != http.StatusTooManyRequests {
			return res.StatusCode, text
		}
		wait = min(2*wait, 2*time.Second)
	}
	return 0, nil
}

// takeBack orders refunds of sold bookings now and then until ctx ends, as an organiser does.
func (r *moneyRig) takeBack(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(r.seed, 99))
	for ; ctx.Err() == nil; pauseFor(ctx, time.Duration(100+rnd.IntN(900))*time.Millisecond) {
		var id sale.UUID
		err := r.own.db.Write.QueryRow(ctx, `SELECT id FROM bookings WHERE status = 'confirmed' AND event_id <> $1 ORDER BY random() LIMIT 1`, showScarce).Scan(&id)
		if err != nil {
			continue // nothing is sold yet, or Postgres is away
		}
		r.takeBackOne(ctx, rnd, id)
	}
}

func (r *moneyRig) takeBackOne(ctx context.Context, rnd *rand.Rand, booking sale.UUID) {
	live, err := r.own.db.LiveNumbers(ctx, booking)
	if err != nil || len(live) == 0 {
		return
	}
	if rnd.IntN(3) > 0 {
		live = live[:1]
	}
	r.orderRefund(ctx, booking, live, rnd.IntN(2) == 0, rnd.IntN(3) == 0)
	if rnd.IntN(4) == 0 { // two operators at once
		r.orderRefund(ctx, booking, live, false, false)
	}
}

// judgeDisputes gives the bank's word on every dispute that is open, and the payee's on every refund that waits.
func (r *moneyRig) judgeDisputes() (found int) {
	for i, d := range r.sim.Disputes() {
		if d.Status == "won" || d.Status == "lost" {
			continue
		}
		found++
		if err := r.sim.DecideDispute(d.ID, []string{"won", "lost"}[i%2]); err != nil {
			r.t.Error(err)
		}
	}
	for i, re := range r.sim.Refunds() {
		if re.Status != "requires_action" {
			continue
		}
		found++
		if err := r.sim.FinishRefund(re.ID, []string{"succeeded", "canceled", "failed"}[i%3]); err != nil {
			r.t.Error(err)
		}
	}
	return found
}
