package admin_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// tab is one tab of a fresh chromium.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// browser opens a tab. Where there is no chromium the test is skipped, unless CI is set.
func browser(t *testing.T) tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts the browser, which must outlive the limit below
		t.Fatal(err)
	}
	ctx, end := context.WithTimeout(ctx, 40*time.Second)
	t.Cleanup(end)
	return tab{t, ctx}
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b tab) shows(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 12*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitReady(chromedp.CSS(selector))); err != nil {
		b.shoot("failed", 1280, 900, "light")
		b.t.Fatalf("waited in vain for %s: %v", selector, err)
	}
}

func (b tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// shoot keeps a screenshot in a folder that git ignores.
func (b tab) shoot(name string, width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	folder := filepath.Join("..", "screenshots")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "admin-"+name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// hold puts the bookings of the first n guests into the log, and the payments of the first few.
func (w *world) hold(event int64, n, paid int) {
	w.t.Helper()
	prices := map[uint32]sale.Price{1: {Ticket: 4500, Fee: 250, TaxRate: 130_000, Included: true}, 2: {Ticket: 8000, Included: true}}
	for i := range n {
		user, booking := fmt.Sprintf("guest-%02d", i), wire.ID{0x01, 0x93, byte(i), 0, 0, 1, 0x70, 0, 0x80}
		put := func(body wire.Body) {
			w.t.Helper()
			r := wire.Record{Object: event, Ref: booking}
			if _, err := w.log.Producer(w.orders).Append(w.t.Context(), 0, wire.AppendRecord(nil, r, body), time.Time{}); err != nil {
				w.t.Fatal(err)
			}
		}
		tickets := booking
		tickets[9] = 1
		line := wire.Line{Type: uint32(1 + i%2), Quantity: uint16(1 + i%3)}
		put(&wire.Hold{Subject: []byte(user), UserKey: sale.UserKey(user), TicketBase: tickets, Lines: []wire.Line{line}})
		if i < paid {
			put(&wire.Authorised{
				Attempt: wire.ID{byte(i + 1), 3}, Amount: sale.LineOf(prices[line.Type], int64(line.Quantity), 0).Total,
				Currency: [3]byte([]byte("EUR")), Intent: fmt.Appendf(nil, "pi_%d", i),
			})
		}
	}
}

func TestBrowser_OrganiserWatchesAndPauses(t *testing.T) {
	b := browser(t)
	w := newWorld(t).user(operator, store.RoleOperator)
	room := w.createRoom(nil)
	event := w.create(nil)
	if _, err := w.db.Write.Exec(t.Context(), `UPDATE events SET room_id = $2 WHERE id = $1`, event, room); err != nil {
		t.Fatal(err) // the log's event needs no pass, so that the test may hold tickets without one
	}
	w.want(200, w.api(fmt.Sprintf("/api/rooms/%d/state", room), m{"state": "open"}))
	w.join(room, 40)
	w.hold(event, 9, 6)
	b.do(chromedp.Navigate(fmt.Sprintf("%s/sales/%d", w.server.URL, event)))
	b.shows(`input[name=password]`)
	b.shoot("login", 1280, 800, "light")
	b.do(chromedp.SendKeys(chromedp.CSS(`input[name=email]`), operator), chromedp.SendKeys(chromedp.CSS(`input[name=password]`), password+"\n"))
	b.shows(`#live[data-room-state=open]`)
	b.shows(`[data-counts=bookings] .confirmed`)
	b.shoot("sale", 1280, 900, "light")
	b.shoot("sale-dark", 1280, 900, "dark")
	b.shoot("sale-phone", 390, 844, "light")
	b.do(chromedp.EmulateViewport(1280, 900))

	// The page follows by itself what somebody else does.
	w.hold(event, 12, 0)
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](`document.querySelector('[data-v="totals.held"]').textContent === "12"`)); err != nil {
		t.Fatal(err)
	}
	b.click(`details.confirm summary`)
	b.shoot("sale-confirm", 1280, 900, "light")
	b.click(`details.confirm[open] button.stop`)
	b.shows(`#live[data-room-state=paused]`)
	if state := w.roomState(room); state != "paused" {
		t.Errorf("the room is %s", state)
	}
	b.shoot("sale-paused", 1280, 900, "light")
	b.click(`.controls button.main`)
	b.shows(`#live[data-room-state=open]`)
	for name, path := range map[string]string{
		"home": "/", "event": fmt.Sprintf("/events/%d", event), "new-event": "/events/new", "rooms": "/rooms", "room": fmt.Sprintf("/rooms/%d", room),
		"new-room": "/rooms/new", "audit": "/audit", "problem": "/events/4711",
	} {
		b.do(chromedp.Navigate(w.server.URL + path))
		b.shows(`main h1`)
		b.shoot(name, 1280, 900, "light")
	}
}

func TestBrowser_TheDrawIsRevealedOnThePage(t *testing.T) {
	b := browser(t)
	w := newWorld(t).user(operator, store.RoleOperator)
	room, _ := w.drawRoom(m{"publicSource": "Lotto 6 of 49 of 5 June 2027, numbers ascending"})
	w.join(room, 7)
	w.drawIs(room, "closed")
	b.do(chromedp.Navigate(fmt.Sprintf("%s/rooms/%d", w.server.URL, room)))
	b.shows(`input[name=password]`)
	b.do(chromedp.SendKeys(chromedp.CSS(`input[name=email]`), operator), chromedp.SendKeys(chromedp.CSS(`input[name=password]`), password+"\n"))
	b.shows(`[data-draw=closed] input[name=publicValue]`)
	b.shoot("draw-closed", 1280, 900, "light")
	b.do(chromedp.SendKeys(chromedp.CSS(`input[name=publicValue]`), "3 11 19 27 38 42\n"))
	b.shows(`[data-draw=revealed]`)
	b.shoot("draw-revealed", 390, 844, "light")
	b.do(chromedp.Navigate(w.server.URL + "/rooms/new"))
	b.shows(`input[name=publicSource]`)
	b.shoot("newroom", 1280, 1100, "light")
}
