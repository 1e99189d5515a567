package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/admin"
	"fairgate/internal/crowd"
	"fairgate/internal/embedded/testchrome"
	"fairgate/internal/store"
)

// ids of the demo's programme, and of an event with one ticket that the test adds.
const (
	stadium = 1 // behind the waiting room
	hanoi   = 2
	kuwait  = 7
	free    = 12
	tiny    = 13
)

// person is somebody in front of a screen.
type person struct{ *testchrome.Person }

// looks keeps pictures of a page in both schemes and holds it against the rules of accessibility.
func (p person) looks(name string) {
	p.T.Helper()
	for _, scheme := range []string{"light", "dark"} {
		p.Prefers("prefers-color-scheme", scheme)
		p.Accessible(name + ", " + scheme)
		p.Shoot(name + "-" + scheme)
	}
	p.Prefers()
}

// TestBrowser_AWholeSaleAsPeopleSeeIt walks a fan at a phone from the programme to valid tickets, an organiser who pauses
// the room meanwhile, and a fan whose browser runs no scripts. They share one stack, and each step is what the next one
// begins with.
func TestBrowser_AWholeSaleAsPeopleSeeIt(t *testing.T) {
	chrome := testchrome.Open(t)
	s := openTheatre(t)
	at := func(width, height int64) person {
		p := person{chrome.Person(width, height)}
		p.Shots = "sale-"
		return p
	}
	fan, organiser, plain := at(390, 844), at(1280, 900), at(390, 844)

	fan.looksAround(s)
	fan.waitsInLine(s)
	organiser.logsIn(s)
	organiser.pauses()
	fan.Sees("The line is paused", "nobody overtakes you")
	fan.looks("fan-04-paused")
	organiser.resumesFaster()
	fan.holds()
	fan.pays()
	fan.findsTheTickets(s)
	fan.takesAFreeTicket(s)

	plain.NoScripts()
	plain.Opens(fmt.Sprintf("%s/events/%d", s.shopURL(), tiny))
	fan.takesTheLastOne(s)
	plain.comesTooLate(s)
	plain.buysByForms(s)
	fan.getsLost(s)
	organiser.seesTheMoney()
}

func (p person) looksAround(s *stack) {
	p.Opens(s.shopURL() + "/")
	p.Sees("Aurora Kings", "Hà Nội Jazz Đêm", "290,000 VND", "8.000 KWD", "Free")
	p.looks("fan-01-programme")
	p.Types(`input[name=search]`, "ha noi\n")
	p.Until("one result", func() bool { return p.Count(".card") == 1 })
	p.Sees("Hà Nội Jazz Đêm")
	p.looks("fan-01-search")
	p.Opens(fmt.Sprintf("%s/events/%d", s.shopURL(), hanoi))
	p.Sees("470,000 VND", "Hold tickets") // no waiting room
	p.looks("fan-01-dong")
	p.Opens(fmt.Sprintf("%s/events/%d", s.shopURL(), kuwait))
	p.Sees("13.000 KWD")
}

func (p person) waitsInLine(s *stack) {
	p.Opens(fmt.Sprintf("%s/events/%d", s.shopURL(), stadium))
	p.Sees("Aurora Kings", "69.50 EUR", "waiting room")
	p.Lacks("Hold tickets")
	p.looks("fan-02-event")
	p.Clicks("main a.button")
	p.Has(`body[data-phase="waiting"]`)
	p.Sees("You are in line", "ahead of you")
	p.Until("a number of people", func() bool { return regexp.MustCompile(`^[1-9]\d*$`).MatchString(p.Text("#number")) })
	p.looks("fan-03-waiting")
}

func (p person) logsIn(s *stack) {
	p.Opens(fmt.Sprintf("%s/sales/%d", s.adminURL(), stadium))
	p.Sees("Password")
	p.Shoot("organiser-01-login")
	p.Types(`input[name=email]`, demoUser)
	p.Types(`input[name=password]`, "wrong\n")
	p.Has(`[role=alert]`)
	p.Types(`input[name=password]`, s.secrets.Password+"\n")
	p.Has(`#live[data-room-state=open]`)
	p.Sees("Aurora Kings", "Waiting")
	p.Until("people in line", func() bool { n := p.Text(`[data-v="room.live.waiting"]`); return n != "" && n != "0" })
	p.Shoot("organiser-02-sale")
}

func (p person) pauses() {
	p.Clicks(`details.confirm summary`)
	p.Sees("nobody is invited until you resume")
	p.Shoot("organiser-03-confirm")
	p.Clicks(`details.confirm[open] button.stop`)
	p.Has(`#live[data-room-state=paused]`)
	p.Sees("paused")
	p.Shoot("organiser-04-paused")
}

func (p person) resumesFaster() {
	p.Clicks(`.controls button.main`)
	p.Has(`#live[data-room-state=open]`)
	p.Fills(`input[name=perMinute]`, "60000")
	p.Fills(`input[name=cap]`, "400")
	p.Clicks(`form[action*="/outflow"] button`)
	p.Until("the new cap", func() bool { return p.Text(`[data-v="room.live.cap"]`) == "400" })
	p.Shoot("organiser-05-resumed")
}

// holds goes on from the line: the page itself goes to the event once it is the fan's turn.
func (p person) holds() {
	p.Sees("Hold tickets")
	p.looks("fan-05-admitted")
	p.Fills(`select[name="items[0].quantity"]`, "2")
	p.Fills(`select[name="items[1].quantity"]`, "1")
	p.Clicks(`form[action="/booking"] button`)
	p.Sees("Held for you", "2 × Regular", "1 × Reduced", "182.50 EUR")
	first := p.Text(`[role=timer]`)
	if !regexp.MustCompile(`^[45]:\d\d left$`).MatchString(first) {
		p.T.Errorf("the hold's countdown says %q", first)
	}
	p.Until("the countdown moves", func() bool { return p.Text(`[role=timer]`) != first })
	p.looks("fan-06-held")
}

// pays is declined first, as cards are.
func (p person) pays() {
	p.Clicks(`form[action="/pay"] button`)
	p.Sees("Pay 182.50 EUR", "no money moves")
	p.looks("fan-07-pay")
	p.Clicks(`button[value=decline]`)
	p.Has(`form[action="/pay"]`)
	p.Sees("Held for you", "declined")
	p.looks("fan-08-declined")
	p.Clicks(`form[action="/pay"] button`)
	p.Clicks(`button[value=pay]`)
	p.Sees("Your tickets are ready", "182.50 EUR")
	p.Until("three valid tickets", func() bool { return p.Count(`.tickets .good`) == 3 })
	p.looks("fan-09-confirmed")
}

func (p person) findsTheTickets(s *stack) {
	p.Opens(s.shopURL() + "/me")
	p.Sees("Aurora Kings", "Confirmed", "Messages", "Tickets ready: Aurora Kings")
	p.looks("fan-10-my-tickets")
}

func (p person) takesAFreeTicket(s *stack) {
	p.Opens(fmt.Sprintf("%s/events/%d", s.shopURL(), free))
	p.Sees("Free")
	p.looks("fan-11-free")
	p.Clicks(`form[action="/booking"] button`)
	p.Sees("Held for you", "Nothing to pay")
	p.looks("fan-12-free-held")
	p.Clicks(`form[action="/pay"] button`)
	p.Sees("Your tickets are ready") // without a look at the payment page
	if here := p.Location(); !strings.HasPrefix(here, s.shopURL()) {
		p.T.Errorf("a free ticket led to %s", here)
	}
	p.looks("fan-12-free-confirmed")
}

func (p person) takesTheLastOne(s *stack) {
	p.Opens(fmt.Sprintf("%s/events/%d", s.shopURL(), tiny))
	p.Clicks(`form[action="/booking"] button`)
	p.Sees("Held for you")
}

// comesTooLate begins on the event's page, which the last ticket has left meanwhile.
func (p person) comesTooLate(s *stack) {
	p.Clicks(`form[action="/booking"] button`)
	p.Sees("Sold out", "Join the waitlist", "Back to the event")
	p.Shoot("plain-01-too-late")
	p.Until("sold out", func() bool { // a page may be a second old
		p.Opens(fmt.Sprintf("%s/events/%d", s.shopURL(), tiny))
		return strings.Contains(p.Text("body"), "Sold out for now")
	})
	p.Shoot("plain-01-sold-out")
	p.Clicks(`form[action="/booking"] button`)
	p.Sees("On the waitlist")
	p.Shoot("plain-02-waitlisted")
	p.Until("sold out in the programme", func() bool {
		p.Opens(s.shopURL() + "/")
		return strings.Contains(p.Text("body"), "Sold out")
	})
}

// buysByForms follows forms, links and Refresh headers only.
func (p person) buysByForms(s *stack) {
	p.Opens(fmt.Sprintf("%s/events/%d", s.shopURL(), stadium))
	p.Clicks("main a.button")
	p.Sees("Join the line")
	p.Shoot("plain-03-join")
	p.Clicks(`form.new button`)
	p.Sees("Your place is saved")
	p.Shoot("plain-04-checking")
	p.Clicks(`form.ready button`)
	p.Clicks(`form.invited button`)
	p.Sees("Hold tickets")
	p.Clicks(`form[action="/booking"] button`)
	p.Sees("Held for you", "69.50 EUR", "until") // no countdown without scripts
	p.Shoot("plain-05-held")
	p.Clicks(`form[action="/pay"] button`)
	p.Clicks(`button[value=secure]`)
	p.Sees("Your bank asks")
	p.Shoot("plain-06-bank")
	p.Clicks(`button[value=complete]`)
	p.Sees("Your tickets are ready")
	p.Shoot("plain-07-confirmed")
}

func (p person) getsLost(s *stack) {
	for name, path := range map[string]string{
		"event": "/events/999", "booking": "/booking/0197f1d0-0000-7000-8000-000000000000", "room": "/rooms/999", "address": "/nowhere",
	} {
		p.Opens(s.shopURL() + path)
		p.Has(`a[href="/"]`)
		p.Lacks("{", "urn:ietf", "panic")
		p.Shoot("lost-" + name)
	}
}

func (p person) seesTheMoney() {
	p.Until("sold tickets", func() bool { n := p.Text(`[data-v="totals.sold"]`); return n != "" && n != "0" })
	p.Has(`[data-counts=payments] .captured`)
	p.Shoot("organiser-06-sold")
	p.Size(390, 844)
	p.Shoot("organiser-07-phone")
}

// openTheatre runs the whole stack with the demo's programme. A few fans stand before a door that lets in hardly anybody,
// so that there is a line to see.
func openTheatre(t *testing.T) *stack {
	t.Helper()
	dir, remove, err := scratch()
	must(t, err)
	t.Cleanup(remove)
	options := stackOptions{dir: dir, overlay: func(c *Config) {
		c.Botguard.Puzzle.Difficulty = 500
		c.Waitingroom.Refresh, c.Waitingroom.TimedWait = 200*time.Millisecond, 1500*time.Millisecond
		c.Workers.RelayEvery = 50 * time.Millisecond
	}}
	for _, to := range []*string{&options.shop, &options.admin, &options.pay, &options.ops} {
		*to, err = freeAddress()
		must(t, err)
	}
	ctx, end := context.WithCancel(context.Background())
	s, err := openStack(ctx, options, slog.New(slog.DiscardHandler))
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Errorf("the stack ended: %v", err)
		}
	})
	must(t, s.whenReady(ctx))
	_, _, err = s.db.CreateRoom(ctx, store.Room{ID: stadium, Name: programme[0].name, Cap: 2, PerMinute: 30, Pass: 3 * time.Minute})
	must(t, err)
	_, err = seedDemo(ctx, s.db, s.publisher(), time.Now())
	must(t, err)
	must(t, admin.AddUser(ctx, s.db, demoUser, s.secrets.Password, store.RoleOperator))
	s.addTiny(t)
	must(t, s.roomServed(ctx))
	s.sendFans(t, 20)
	return s
}

// addTiny adds an event with a single ticket.
func (s *stack) addTiny(t *testing.T) {
	t.Helper()
	e, err := show{
		name: "Living Room Concert", venue: "Upstairs", city: "Berlin", zone: "Europe/Berlin", currency: "EUR", days: 2, hour: 20,
		length: time.Hour, price: 1000, capacity: 1,
	}.event(tiny, 0, time.Now())
	must(t, err)
	e.Types = e.Types[:1]
	_, _, err = s.db.CreateEvent(t.Context(), e)
	must(t, err)
	must(t, s.publisher().Sweep(t.Context()))
}

// sendFans keeps fans in front of the stadium until the test ends, and returns when most of them stand in line.
func (s *stack) sendFans(t *testing.T, n int) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = crowd.Keep(ctx, crowd.Config{
			BaseURL: s.shopURL(), PayURL: s.payURL(), Room: stadium, Event: stadium, Fans: n, Rate: 20, Seed: 1, SharedDocument: true,
		}, crowd.Deps{Solve: solve, Log: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() { stop(); <-over })
	must(t, settle(ctx, 15*time.Second, func(context.Context) (bool, error) {
		status, body, err := fasthttp.Get(nil, fmt.Sprintf("%s/rooms/%d/queue", s.shopURL(), stadium))
		if err != nil || status != fasthttp.StatusOK {
			return false, err
		}
		var line struct{ Waiting int }
		err = json.Unmarshal(body, &line)
		return line.Waiting >= n/2, err
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
