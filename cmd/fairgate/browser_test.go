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

	"github.com/chromedp/chromedp"
	"github.com/valyala/fasthttp"

	"fairgate/admin"
	"fairgate/internal/crowd"
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

// TestBrowser_AWholeSaleAsPeopleSeeIt walks a fan at a phone from the programme to valid tickets, an organiser who pauses
// the room meanwhile, and a fan whose browser runs no scripts. They share one stack, and each step is what the next one
// begins with.
func TestBrowser_AWholeSaleAsPeopleSeeIt(t *testing.T) {
	chrome := openChrome(t)
	s := openTheatre(t)
	fan, organiser, plain := chrome.person(390, 844), chrome.person(1280, 900), chrome.person(390, 844)

	fan.looksAround(s)
	fan.waitsInLine(s)
	organiser.logsIn(s)
	organiser.pauses()
	fan.sees("The line is paused", "nobody overtakes you")
	fan.shoot("fan-04-paused")
	organiser.resumesFaster()
	fan.holds()
	fan.pays()
	fan.findsTheTickets(s)
	fan.takesAFreeTicket(s)

	plain.noScripts()
	plain.opens(fmt.Sprintf("%s/events/%d", s.shopURL(), tiny))
	fan.takesTheLastOne(s)
	plain.comesTooLate(s)
	plain.buysByForms(s)
	fan.getsLost(s)
	organiser.seesTheMoney()
}

func (p person) looksAround(s *stack) {
	p.opens(s.shopURL() + "/")
	p.sees("Aurora Kings", "Hà Nội Jazz Đêm", "290,000 VND", "8.000 KWD", "Free")
	p.shoot("fan-01-programme")
	p.types(`input[name=search]`, "ha noi\n")
	p.until("one result", func() bool { return p.count(".card") == 1 })
	p.sees("Hà Nội Jazz Đêm")
	p.shoot("fan-01-search")
	p.opens(fmt.Sprintf("%s/events/%d", s.shopURL(), hanoi))
	p.sees("470,000 VND", "Hold tickets") // no waiting room
	p.shoot("fan-01-dong")
	p.opens(fmt.Sprintf("%s/events/%d", s.shopURL(), kuwait))
	p.sees("13.000 KWD")
}

func (p person) waitsInLine(s *stack) {
	p.opens(fmt.Sprintf("%s/events/%d", s.shopURL(), stadium))
	p.sees("Aurora Kings", "69.50 EUR", "waiting room")
	p.lacks("Hold tickets")
	p.shoot("fan-02-event")
	p.clicks("main a.button")
	p.has(`body[data-phase="waiting"]`)
	p.sees("You are in line", "ahead of you")
	p.until("a number of people", func() bool { return regexp.MustCompile(`^[1-9]\d*$`).MatchString(p.text("#number")) })
	p.shoot("fan-03-waiting")
}

func (p person) logsIn(s *stack) {
	p.opens(fmt.Sprintf("%s/sales/%d", s.adminURL(), stadium))
	p.sees("Password")
	p.shoot("organiser-01-login")
	p.types(`input[name=email]`, demoUser)
	p.types(`input[name=password]`, "wrong\n")
	p.has(`[role=alert]`)
	p.types(`input[name=password]`, s.secrets.Password+"\n")
	p.has(`#live[data-room-state=open]`)
	p.sees("Aurora Kings", "Waiting")
	p.until("people in line", func() bool { n := p.text(`[data-v="room.live.waiting"]`); return n != "" && n != "0" })
	p.shoot("organiser-02-sale")
}

func (p person) pauses() {
	p.clicks(`details.confirm summary`)
	p.sees("nobody is invited until you resume")
	p.shoot("organiser-03-confirm")
	p.clicks(`details.confirm[open] button.stop`)
	p.has(`#live[data-room-state=paused]`)
	p.sees("paused")
	p.shoot("organiser-04-paused")
}

func (p person) resumesFaster() {
	p.clicks(`.controls button.main`)
	p.has(`#live[data-room-state=open]`)
	p.fills(`input[name=perMinute]`, "60000")
	p.fills(`input[name=cap]`, "400")
	p.clicks(`form[action*="/outflow"] button`)
	p.until("the new cap", func() bool { return p.text(`[data-v="room.live.cap"]`) == "400" })
	p.shoot("organiser-05-resumed")
}

// holds goes on from the line: the page itself goes to the event once it is the fan's turn.
func (p person) holds() {
	p.sees("Hold tickets")
	p.shoot("fan-05-admitted")
	p.fills(`select[name="items[0].quantity"]`, "2")
	p.fills(`select[name="items[1].quantity"]`, "1")
	p.clicks(`form[action="/booking"] button`)
	p.sees("Held for you", "2 × Regular", "1 × Reduced", "182.50 EUR")
	first := p.text(`[role=timer]`)
	if !regexp.MustCompile(`^[45]:\d\d left$`).MatchString(first) {
		p.t.Errorf("the hold's countdown says %q", first)
	}
	p.until("the countdown moves", func() bool { return p.text(`[role=timer]`) != first })
	p.shoot("fan-06-held")
}

// pays is declined first, as cards are.
func (p person) pays() {
	p.clicks(`form[action="/pay"] button`)
	p.sees("Pay 182.50 EUR", "no money moves")
	p.shoot("fan-07-pay")
	p.clicks(`button[value=decline]`)
	p.has(`form[action="/pay"]`)
	p.sees("Held for you", "declined")
	p.shoot("fan-08-declined")
	p.clicks(`form[action="/pay"] button`)
	p.clicks(`button[value=pay]`)
	p.sees("Your tickets are ready", "182.50 EUR")
	p.until("three valid tickets", func() bool { return p.count(`.tickets .good`) == 3 })
	p.shoot("fan-09-confirmed")
}

func (p person) findsTheTickets(s *stack) {
	p.opens(s.shopURL() + "/me")
	p.sees("Aurora Kings", "Confirmed", "Messages", "Tickets ready: Aurora Kings")
	p.shoot("fan-10-my-tickets")
}

func (p person) takesAFreeTicket(s *stack) {
	p.opens(fmt.Sprintf("%s/events/%d", s.shopURL(), free))
	p.sees("Free")
	p.shoot("fan-11-free")
	p.clicks(`form[action="/booking"] button`)
	p.sees("Held for you", "Nothing to pay")
	p.shoot("fan-12-free-held")
	p.clicks(`form[action="/pay"] button`)
	p.sees("Your tickets are ready") // without a look at the payment page
	if here := p.location(); !strings.HasPrefix(here, s.shopURL()) {
		p.t.Errorf("a free ticket led to %s", here)
	}
	p.shoot("fan-12-free-confirmed")
}

func (p person) takesTheLastOne(s *stack) {
	p.opens(fmt.Sprintf("%s/events/%d", s.shopURL(), tiny))
	p.clicks(`form[action="/booking"] button`)
	p.sees("Held for you")
}

// comesTooLate begins on the event's page, which the last ticket has left meanwhile.
func (p person) comesTooLate(s *stack) {
	p.clicks(`form[action="/booking"] button`)
	p.sees("Sold out", "Join the waitlist", "Back to the event")
	p.shoot("plain-01-too-late")
	p.until("sold out", func() bool { // a page may be a second old
		p.opens(fmt.Sprintf("%s/events/%d", s.shopURL(), tiny))
		return strings.Contains(p.text("body"), "Sold out for now")
	})
	p.shoot("plain-01-sold-out")
	p.clicks(`form[action="/booking"] button`)
	p.sees("On the waitlist")
	p.shoot("plain-02-waitlisted")
	p.until("sold out in the programme", func() bool {
		p.opens(s.shopURL() + "/")
		return strings.Contains(p.text("body"), "Sold out")
	})
}

// buysByForms follows forms, links and Refresh headers only.
func (p person) buysByForms(s *stack) {
	p.opens(fmt.Sprintf("%s/events/%d", s.shopURL(), stadium))
	p.clicks("main a.button")
	p.sees("Join the line")
	p.shoot("plain-03-join")
	p.clicks(`form.new button`)
	p.sees("Your place is saved")
	p.shoot("plain-04-checking")
	p.clicks(`form.ready button`)
	p.clicks(`form.invited button`)
	p.sees("Hold tickets")
	p.clicks(`form[action="/booking"] button`)
	p.sees("Held for you", "69.50 EUR", "until") // no countdown without scripts
	p.shoot("plain-05-held")
	p.clicks(`form[action="/pay"] button`)
	p.clicks(`button[value=secure]`)
	p.sees("Your bank asks")
	p.shoot("plain-06-bank")
	p.clicks(`button[value=complete]`)
	p.sees("Your tickets are ready")
	p.shoot("plain-07-confirmed")
}

func (p person) getsLost(s *stack) {
	for name, path := range map[string]string{
		"event": "/events/999", "booking": "/booking/0197f1d0-0000-7000-8000-000000000000", "room": "/rooms/999", "address": "/nowhere",
	} {
		p.opens(s.shopURL() + path)
		p.has(`a[href="/"]`)
		p.lacks("{", "urn:ietf", "panic")
		p.shoot("lost-" + name)
	}
}

func (p person) seesTheMoney() {
	p.until("sold tickets", func() bool { n := p.text(`[data-v="totals.sold"]`); return n != "" && n != "0" })
	p.has(`[data-counts=payments] .captured`)
	p.shoot("organiser-06-sold")
	p.do(chromedp.EmulateViewport(390, 844))
	p.shoot("organiser-07-phone")
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
