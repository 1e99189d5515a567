package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fairgate/internal/embedded/testchrome"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

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
	b := testchrome.Open(t).Person(1280, 900)
	b.Shots = "admin-"
	w := newWorld(t).user(operator, store.RoleOperator)
	room := w.createRoom(nil)
	event := w.create(nil)
	if _, err := w.db.Write.Exec(t.Context(), `UPDATE events SET room_id = $2 WHERE id = $1`, event, room); err != nil {
		t.Fatal(err) // the log's event needs no pass, so that the test may hold tickets without one
	}
	w.want(200, w.api(fmt.Sprintf("/api/rooms/%d/state", room), m{"state": "open"}))
	w.join(room, 40)
	w.hold(event, 9, 6)
	b.Opens(fmt.Sprintf("%s/sales/%d", w.server.URL, event))
	b.Has(`input[name=password]`)
	b.Shoot("login")
	b.Types(`input[name=email]`, operator)
	b.Types(`input[name=password]`, password+"\n")
	b.Has(`#live[data-room-state=open]`)
	b.Has(`[data-counts=bookings] .confirmed`)
	b.Shoot("sale")
	b.Prefers("prefers-color-scheme", "dark")
	b.Shoot("sale-dark")
	b.Prefers()
	b.Size(390, 844)
	b.Shoot("sale-phone")
	b.Size(1280, 900)

	// The page follows by itself what somebody else does.
	w.hold(event, 12, 0)
	b.Until("the holds of others", func() bool { return b.Text(`[data-v="totals.held"]`) == "12" })
	b.Clicks(`details.confirm summary`)
	b.Shoot("sale-confirm")
	b.Clicks(`details.confirm[open] button.stop`)
	b.Has(`#live[data-room-state=paused]`)
	if state := w.roomState(room); state != "paused" {
		t.Errorf("the room is %s", state)
	}
	b.Shoot("sale-paused")
	b.Clicks(`.controls button.main`)
	b.Has(`#live[data-room-state=open]`)
	for name, path := range map[string]string{
		"home": "/", "event": fmt.Sprintf("/events/%d", event), "new-event": "/events/new", "rooms": "/rooms", "room": fmt.Sprintf("/rooms/%d", room),
		"new-room": "/rooms/new", "audit": "/audit", "problem": "/events/4711",
	} {
		b.Opens(w.server.URL + path)
		b.Has(`main h1`)
		b.Shoot(name)
	}
}

func TestBrowser_TheDrawIsRevealedOnThePage(t *testing.T) {
	b := testchrome.Open(t).Person(1280, 900)
	b.Shots = "admin-"
	w := newWorld(t).user(operator, store.RoleOperator)
	room, _ := w.drawRoom(m{"publicSource": "Lotto 6 of 49 of 5 June 2027, numbers ascending"})
	w.join(room, 7)
	w.drawIs(room, "closed")
	b.Opens(fmt.Sprintf("%s/rooms/%d", w.server.URL, room))
	b.Has(`input[name=password]`)
	b.Types(`input[name=email]`, operator)
	b.Types(`input[name=password]`, password+"\n")
	b.Has(`[data-draw=closed] input[name=publicValue]`)
	b.Shoot("draw-closed")
	b.Types(`input[name=publicValue]`, "3 11 19 27 38 42\n")
	b.Has(`[data-draw=revealed]`)
	b.Size(390, 844)
	b.Shoot("draw-revealed")
	b.Size(1280, 1100)
	b.Opens(w.server.URL + "/rooms/new")
	b.Has(`input[name=publicSource]`)
	b.Shoot("newroom")
}

func TestBrowser_TheLimitPerCardIsSetOnThePage(t *testing.T) {
	b := testchrome.Open(t).Person(1280, 1500)
	b.Shots = "admin-"
	w := newWorld(t).user(operator, store.RoleOperator)
	id := w.create(m{"perCard": 3})
	b.Opens(fmt.Sprintf("%s/events/%d", w.server.URL, id))
	b.Has(`input[name=password]`)
	b.Types(`input[name=email]`, operator)
	b.Types(`input[name=password]`, password+"\n")
	b.Sees("One card may pay for at most 3 bookings")
	b.Fills(`form[action$=card-limit] input[name=perCard]`, "1")
	b.Clicks(`form[action$=card-limit] button`)
	b.Sees("One card may pay for one booking.")
	b.Sees("One card may pay for at most 1 booking,")
	b.Shoot("card-limit")
	b.Size(390, 1500)
	b.Shoot("card-limit-phone")
	if e, err := w.db.LatestEvent(t.Context(), id); err != nil || e.PerCard != 1 {
		t.Errorf("the limit is %d (%v)", e.PerCard, err)
	}
	b.Size(1280, 1100)
	b.Opens(w.server.URL + "/events/new")
	b.Has(`input[name=perCard]`)
	b.Shoot("new-event-card-limit")
}

func TestBrowser_TheLookOfARoomIsSetOnThePage(t *testing.T) {
	b := testchrome.Open(t).Person(1280, 900)
	b.Shots = "admin-"
	w := newWorld(t, stylist).user(operator, store.RoleOperator)
	room := w.createRoom(nil)
	b.Opens(fmt.Sprintf("%s/rooms/%d/look", w.server.URL, room))
	b.Has(`input[name=password]`)
	b.Types(`input[name=email]`, operator)
	b.Types(`input[name=password]`, password+"\n")
	b.Has(`input[name="words.0.title"]`)
	b.Types(`input[name="words.0.title"]`, "Summer Festival")
	b.Types(`input[name="light.accent"]`, "#b00020")
	b.Clicks(`form button.main`)
	b.Sees("The waiting page looks so within seconds")
	b.Shoot("look")
	b.Size(390, 844)
	b.Shoot("look-phone")
	if kept, err := w.db.Look(t.Context(), room); err != nil || !strings.Contains(string(kept.Brand), "Summer Festival") {
		t.Errorf("%v %s", err, kept.Brand)
	}
}
