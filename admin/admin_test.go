package admin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"fairgate/admin"
	"fairgate/internal/embedded/testredis"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

func TestLogin_UnknownAndWrongAnswerAlike(t *testing.T) {
	w := newWorld(t)
	w.user(operator, store.RoleOperator)
	wrong := w.form("/login", url.Values{"email": {operator}, "password": {"not the password"}})
	unknown := w.form("/login", url.Values{"email": {"nobody@venue.example"}, "password": {"not the password"}})
	if wrong.StatusCode != 401 || unknown.StatusCode != 401 {
		t.Fatalf("answered %d and %d", wrong.StatusCode, unknown.StatusCode)
	}
	a := strings.ReplaceAll(string(wrong.body), operator, "X")
	if b := strings.ReplaceAll(string(unknown.body), "nobody@venue.example", "X"); a != b {
		t.Errorf("the answers tell users apart:\n%s\n%s", a, b)
	}
	if len(wrong.Cookies()) != 0 {
		t.Error("a failed login set a cookie")
	}
}

func TestLogin_CookieIsStrictAndEndsWithLogout(t *testing.T) {
	w := newWorld(t)
	if err := admin.AddUser(t.Context(), w.db, operator, password, store.RoleOperator); err != nil {
		t.Fatal(err)
	}
	w.want(401, w.api("/api/events", nil))
	r := w.want(303, w.form("/login", url.Values{"email": {" Boss@Venue.example "}, "password": {password}, "next": {"//evil.example/"}}))
	if to := r.Header.Get("Location"); to != "/" {
		t.Errorf("login leads to %q", to)
	}
	c := r.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Errorf("cookie %v", c)
	}
	var kept int
	if err := w.db.Write.QueryRow(t.Context(), `SELECT count(*) FROM admin_sessions WHERE encode(token_hash, 'base64') LIKE $1`,
		c.Value[:8]+"%").Scan(&kept); err != nil || kept != 0 {
		t.Errorf("the token itself is stored (%d, %v)", kept, err)
	}
	w.want(200, w.api("/api/events", nil))
	w.want(303, w.form("/logout", nil))
	w.want(401, w.do("GET", "/api/events", "", "", "Cookie", c.Name+"="+c.Value))
}

func TestLogin_ChangingThePasswordEndsSessions(t *testing.T) {
	w := newWorld(t)
	in := w.user(operator, store.RoleOperator)
	if err := admin.AddUser(t.Context(), w.db, operator, password, store.RoleOperator); err != nil {
		t.Fatal(err)
	}
	in.want(200, in.api("/api/events", nil)) // the same again changes nothing
	if err := admin.AddUser(t.Context(), w.db, operator, password+"!", store.RoleOperator); err != nil {
		t.Fatal(err)
	}
	in.want(401, in.api("/api/events", nil))
}

func TestLogin_GuessesAreLimited(t *testing.T) {
	w := newWorld(t)
	for i := range 8 {
		w.want(401, w.form("/login", url.Values{"email": {fmt.Sprintf("u%d@venue.example", i)}, "password": {"guess"}}))
	}
	r := w.want(429, w.form("/login", url.Values{"email": {"u9@venue.example"}, "password": {"guess"}}))
	if r.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestOrigin_ForeignFormsAreRefused(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		r := w.do("POST", "/logout", "application/x-www-form-urlencoded", "", headers...)
		if r.StatusCode != 403 || r.text("type") != "/problems/foreign-origin" {
			t.Errorf("%v: answered %d %s", headers, r.StatusCode, r.body)
		}
	}
	w.want(200, w.api("/api/events", nil))
}

func TestPages_NeedALoginAndLoadNothingForeign(t *testing.T) {
	w := newWorld(t)
	r := w.want(303, w.do("GET", "/audit?object=room/3", "", "", "Accept", "text/html"))
	if to := r.Header.Get("Location"); to != "/login?next=%2Faudit%3Fobject%3Droom%2F3" {
		t.Errorf("leads to %q", to)
	}
	in := w.user(operator, store.RoleOperator)
	room := in.createRoom(nil)
	event := in.create(m{"room": room})
	pages := []string{"/", "/events/new", fmt.Sprintf("/events/%d", event), fmt.Sprintf("/sales/%d", event), "/rooms", "/rooms/new", fmt.Sprintf("/rooms/%d", room), "/audit"}
	for _, path := range pages {
		r := in.want(200, in.do("GET", path, "", "", "Accept", "text/html"))
		policy := r.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		for _, bad := range []string{"http://", "https://", " style=", " onclick=", "<script>", "ZgotmplZ", "%!"} {
			if strings.Contains(string(r.body), bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
	}
}

func TestEvent_IsCreatedPublishedAndChangedThroughTheLog(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	id := w.create(nil)
	path := fmt.Sprintf("/api/events/%d", id)
	r := w.want(200, w.api(path, nil))
	if r.text("state") != "selling" || r.text("startsAt") != "2027-06-04T18:00:00Z" {
		t.Errorf("created %s", r.body)
	}
	seq := w.changedSeq(id)
	r = w.want(200, w.api(path+"/price", m{"changedSeq": seq, "ticketType": 2, "price": "95.50", "fee": "1.00", "taxRate": "8.875", "tax": "added"}))
	if r.json["seq"].(float64) <= float64(seq) {
		t.Errorf("answer %s", r.body)
	}
	w.eventually("the price", func() bool {
		e, err := w.db.LatestEvent(t.Context(), id)
		p := e.Types[1].Price
		return err == nil && p.Ticket == 9550 && p.Fee == 100 && p.TaxRate == 88_750 && !p.Included
	})
	w.want(200, w.api(path+"/capacity", m{"changedSeq": w.changedSeq(id), "ticketType": 1, "capacity": 70}))
	w.eventually("the capacity", func() bool {
		e, err := w.db.LatestEvent(t.Context(), id)
		return err == nil && e.Types[0].Capacity == 70 && e.Types[0].Free == 70
	})
	w.want(200, w.api(path+"/types", m{"name": "Box", "capacity": 4, "price": "300.00", "tax": "included"}))
	w.eventually("the new type to come back from the log", func() bool {
		e, err := w.db.LatestEvent(t.Context(), id)
		return err == nil && len(e.Types) == 3 && e.Types[2].Type == 3 && e.Types[2].ChangedSeq > 0
	})
	w.want(422, w.api(path+"/cancel", m{"changedSeq": w.changedSeq(id), "confirm": "night of lights"}))
	w.want(200, w.api(path+"/cancel", m{"changedSeq": w.changedSeq(id), "confirm": "Night of Lights"}))
	w.eventually("the cancellation", func() bool { return w.api(path, nil).text("state") == "cancelled" })
	r = w.want(409, w.api(path+"/selling", m{"changedSeq": w.changedSeq(id), "selling": true}))
	if r.text("type") != "/problems/event-cancelled" {
		t.Errorf("answered %s", r.body)
	}
}

func TestEvent_LimitPerCardIsKnownBeforeATicketIsAndCanBeChanged(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	id := w.create(m{"perCard": 2})
	e, err := w.db.LatestEvent(t.Context(), id)
	if err != nil || e.PerCard != 2 || e.PerCardSeq == 0 {
		t.Fatalf("%+v %v", e, err)
	}
	for _, kind := range e.Types {
		if kind.ChangedSeq < e.PerCardSeq {
			t.Errorf("ticket type %d was on sale before the limit", kind.Type)
		}
	}
	path := fmt.Sprintf("/api/events/%d", id)
	r := w.want(200, w.api(path+"/card-limit", m{"changedSeq": w.changedSeq(id), "perCard": 1}))
	if !strings.Contains(string(r.body), "One card may pay for one booking.") {
		t.Errorf("answered %s", r.body)
	}
	w.eventually("the limit to be projected", func() bool { return w.api(path, nil).json["perCard"] == 1.0 })
	seen := w.changedSeq(id)
	w.want(303, w.form(fmt.Sprintf("/events/%d/card-limit", id), url.Values{"changedSeq": {fmt.Sprint(seen)}, "perCard": {"0"}}))
	if got := w.api(path, nil).json["perCard"]; got != 0.0 {
		t.Errorf("right after the form the limit is %v", got)
	}
	r = w.want(409, w.api(path+"/card-limit", m{"changedSeq": seen, "perCard": 5}))
	if r.text("type") != "/problems/moved" {
		t.Errorf("answered %s", r.body)
	}
}

// A crash between the definition and the limit leaves an event that the sweep mends, unless an operator was quicker.
func TestSweep_TellsTheLogOfALimitPerCardOnce(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	id := w.create(nil)
	w.exec(`UPDATE events SET per_card = 3 WHERE id = $1`, id)
	w.eventually("the sweep to tell the log", func() bool {
		e, err := w.db.LatestEvent(t.Context(), id)
		return err == nil && e.PerCardSeq != 0 && e.PerCard == 3
	})
	w.want(200, w.api(fmt.Sprintf("/api/events/%d/card-limit", id), m{"changedSeq": w.changedSeq(id), "perCard": 7}))
	w.eventually("the change to be projected", func() bool {
		e, err := w.db.LatestEvent(t.Context(), id)
		return err == nil && e.PerCard == 7 && e.PerCardSeq == e.ChangedSeq
	})
}

// Somebody changed the event after its row was read: its limit is not known then, and nothing of it may be sold before it is.
func TestPublisher_WithoutItsLimitPerCardNothingGoesOnSale(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	e, err := w.db.LatestEvent(t.Context(), w.create(nil))
	if err != nil {
		t.Fatal(err)
	}
	late := store.TicketType{Type: 9, Name: "Late", Capacity: 5}
	e.PerCard, e.ChangedSeq, e.Types = 2, e.ChangedSeq-1, append(e.Types, late)
	e.PerUser++ // an operator changed the definition too: the log keeps its own
	if err := (&admin.Publisher{Store: w.db, Commands: w.commands}).Event(t.Context(), &e); err != nil {
		t.Fatal(err)
	}
	if _, err := w.commands.Event(t.Context(), e.Partition, e.ID, 0, &wire.DefineType{Type: 9, Capacity: 6}); err != nil {
		t.Error("the ticket type is on sale: ", err)
	}
}

func TestEvent_MovedShowsWhatChanged(t *testing.T) {
	w := newWorld(t)
	maria, boss := w.user(organiser, store.RoleOrganiser), w.user(operator, store.RoleOperator)
	id := maria.create(nil)
	path := fmt.Sprintf("/api/events/%d", id)
	seen := maria.changedSeq(id)
	boss.want(200, boss.api(path+"/capacity", m{"changedSeq": seen, "ticketType": 1, "capacity": 90}))
	price := m{"changedSeq": seen, "ticketType": 1, "price": "50.00", "taxRate": "13", "tax": "included"}
	r := maria.want(409, maria.api(path+"/price", price))
	if r.text("type") != "/problems/moved" || r.text("reason") != wire.ReasonMoved.String() {
		t.Fatalf("answered %s", r.body)
	}
	changes := r.json["changes"].([]any)
	if len(changes) != 1 || changes[0].(m)["by"] != operator || !strings.Contains(changes[0].(m)["said"].(string), "90") {
		t.Errorf("changes: %v", changes)
	}
	e, err := w.db.LatestEvent(t.Context(), id)
	if err != nil || e.Types[0].Price.Ticket != 4500 {
		t.Errorf("the price is %v (%v)", e.Types[0].Price, err)
	}
	page := maria.form(fmt.Sprintf("/events/%d/price", id), url.Values{"changedSeq": {fmt.Sprint(seen)}, "ticketType": {"1"},
		"price": {"50.00"}, "fee": {""}, "taxRate": {"13"}, "tax": {"included"}})
	if page.StatusCode != 409 || !strings.Contains(string(page.body), operator) || !strings.Contains(string(page.body), "Changed meanwhile") {
		t.Errorf("the page answered %d: %s", page.StatusCode, page.body)
	}
}

func TestForms_DoTheSameAndSayIt(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	r := w.want(303, w.form("/events", url.Values{
		"name": {"Fado"}, "zone": {"Europe/Lisbon"}, "startsAt": {"2027-01-02T19:00"}, "endsAt": {""}, "currency": {"EUR"}, "perUser": {"4"}, "room": {"0"},
		"venue": {""}, "city": {"Lisboa"}, "description": {""}, "partition": {""}, "defaultType": {"1"},
		"ticketTypes[0].name": {"Floor"}, "ticketTypes[0].capacity": {"10"}, "ticketTypes[0].price": {"20.00"}, "ticketTypes[0].fee": {""},
		"ticketTypes[0].taxRate": {""}, "ticketTypes[0].tax": {"included"}, "ticketTypes[0].perUser": {""},
		"ticketTypes[1].name": {"Balcony"}, "ticketTypes[1].capacity": {"5"}, "ticketTypes[1].price": {"30.00"}, "ticketTypes[1].fee": {"1.00"},
		"ticketTypes[1].taxRate": {"6"}, "ticketTypes[1].tax": {"added"}, "ticketTypes[1].perUser": {"2"},
		"ticketTypes[2].name": {""}, "ticketTypes[2].capacity": {""}, "ticketTypes[2].price": {""}, "ticketTypes[2].tax": {"included"},
	}))
	to := r.Header.Get("Location")
	page := w.want(200, w.do("GET", to, "", "", "Accept", "text/html"))
	if !strings.Contains(string(page.body), "“Fado” was created") {
		t.Errorf("%s does not say what was done: %s", to, page.body)
	}
	var id int64
	if _, err := fmt.Sscanf(to, "/events/%d?done=", &id); err != nil {
		t.Fatal(to, err)
	}
	e, err := w.db.LatestEvent(t.Context(), id)
	if err != nil || len(e.Types) != 2 || e.Types[0].Default || !e.Types[1].Default || e.Types[1].PerUser != 2 || e.StartsAt.UTC().Hour() != 19 {
		t.Fatalf("created %+v (%v)", e, err)
	}
	w.eventually("the event to be known", func() bool { return w.changedSeq(id) > 2 })
	w.want(303, w.form(fmt.Sprintf("/events/%d/selling", id), url.Values{"changedSeq": {fmt.Sprint(w.changedSeq(id))}}))
	if state := w.api(fmt.Sprintf("/api/events/%d", id), nil).text("state"); state != "stopped" {
		t.Errorf("right after the form the event is %s", state)
	}
}

func TestRoom_LifeByOrder(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	id := w.createRoom(nil)
	path := fmt.Sprintf("/api/rooms/%d", id)
	state := func(want string, body m) {
		t.Helper()
		w.want(200, w.api(path+"/state", body))
		w.eventually("the room to be "+want, func() bool { return w.roomState(id) == want })
	}
	state("open", m{"state": "open"})
	state("paused", m{"state": "paused"})
	if r := w.want(409, w.api(path+"/state", m{"state": "paused"})); r.text("type") != "/problems/wrong-state" {
		t.Errorf("answered %s", r.body)
	}
	state("open", m{"state": "open"})
	w.want(200, w.api(path+"/outflow", m{"perMinute": 300, "cap": 70, "seenPerMinute": 120, "seenCap": 50}))
	w.eventually("the new cap in the document", func() bool {
		live, _ := w.api(path, nil).json["live"].(m)
		return live != nil && live["cap"].(float64) == 70
	})
	if r := w.want(409, w.api(path+"/outflow", m{"perMinute": 10, "cap": 10, "seenPerMinute": 120, "seenCap": 50})); r.text("type") != "/problems/moved" {
		t.Errorf("answered %s", r.body)
	}
	w.want(422, w.api(path+"/state", m{"state": "ended"}))
	state("ended", m{"state": "ended", "confirm": "Main line"})
}

func TestSale_ShowsLineStockAndMoney(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	room := w.createRoom(nil)
	id := w.create(m{"room": room})
	w.want(200, w.api(fmt.Sprintf("/api/rooms/%d/state", room), m{"state": "open"}))
	w.join(room, 3)
	w.eventually("three places in the view", func() bool {
		r := w.want(200, w.api(fmt.Sprintf("/api/sales/%d", id), nil))
		line, _ := r.json["room"].(m)
		live, _ := line["live"].(m)
		return live != nil && line["state"] == "open" && live["joined"].(float64) == 3
	})
	r := w.want(200, w.api(fmt.Sprintf("/api/sales/%d", id), nil))
	if sum := r.json["totals"].(m); sum["capacity"].(float64) != 120 || sum["free"].(float64) != 120 || sum["taken"] != "0.00" {
		t.Errorf("totals %v", sum)
	}
}

func TestRoom_ShowsWhatBecameOfItsLine(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	room := w.createRoom(nil)
	w.want(200, w.api(fmt.Sprintf("/api/rooms/%d/state", room), m{"state": "open"}))
	w.join(room, 20)
	put := func(place int, body wire.Body) {
		t.Helper()
		r := wire.Record{Object: room, Ref: wire.ID{byte(place + 1), 7}}
		if _, err := w.log.Producer(w.queue).Append(t.Context(), 0, wire.AppendRecord(nil, r, body), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	live := m{}
	is := func(fact string, n float64) bool { return live[fact] == n }
	for n := range 3 {
		put(n, &wire.Leave{Visitor: wire.ID{byte(n + 1), 9}})
	}
	// Who is invited asks until let in.
	w.eventually("three who left and one who was let in", func() bool {
		put(5, &wire.Ask{Visitor: wire.ID{6, 9}})
		live, _ = w.want(200, w.api(fmt.Sprintf("/api/rooms/%d", room), nil)).json["live"].(m)
		return is("givenUp", 3) && is("admitted", 1)
	})
	if !is("joined", 20) || !is("missed", 0) || !is("clockBoundMicros", 180) {
		t.Errorf("%v", live)
	}
	page := string(w.want(200, w.do("GET", fmt.Sprintf("/rooms/%d", room), "", "", "Accept", "text/html")).body)
	for _, fact := range []string{`givenUp">3<`, `admitted">1<`, `missed">0<`, "Of the invited, expected to come", "within the promised wait", "wrong by, on average"} {
		if !strings.Contains(page, fact) {
			t.Errorf("the page does not say %s", fact)
		}
	}
}

func TestAudit_KeepsWhoWhatAndOutcome(t *testing.T) {
	w := newWorld(t).user(organiser, store.RoleOrganiser)
	id := w.create(nil)
	w.want(200, w.api(fmt.Sprintf("/api/events/%d/selling", id), m{"changedSeq": w.changedSeq(id), "selling": false}))
	w.want(409, w.api(fmt.Sprintf("/api/events/%d/selling", id), m{"changedSeq": 1, "selling": true}))
	entries, err := w.db.Audit(t.Context(), store.AuditQuery{Object: fmt.Sprintf("event/%d", id), Limit: 10})
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, want := range []struct{ action, part string }{{"set-selling", `"moved"`}, {"set-selling", `"seq": `}, {"create-event", `"done"`}} {
		if e := entries[i]; e.Email != organiser || e.Action != want.action || !strings.Contains(string(e.Detail), want.part) {
			t.Errorf("entry %d: %s %s %s", i, e.Email, e.Action, e.Detail)
		}
	}
}

func TestOrganisers_SeeTheirOwnAlone(t *testing.T) {
	w := newWorld(t)
	boss := w.user(operator, store.RoleOperator)
	id, room := boss.create(nil), boss.createRoom(nil)
	maria := w.user(organiser, store.RoleOrganiser)
	maria.want(200, maria.api(fmt.Sprintf("/api/events/%d", id), nil))
	if _, err := w.db.Write.Exec(t.Context(), `INSERT INTO organisers (id, name) VALUES (2, 'Other')`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Write.Exec(t.Context(), `UPDATE admin_users SET organiser_id = 2 WHERE email = $1`, organiser); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/events/%d", "/api/sales/%d"} {
		maria.want(404, maria.api(fmt.Sprintf(path, id), nil))
	}
	maria.want(404, maria.api(fmt.Sprintf("/api/events/%d/selling", id), m{"changedSeq": 3, "selling": false}))
	maria.want(404, maria.api(fmt.Sprintf("/api/rooms/%d/state", room), m{"state": "open"}))
	for _, path := range []string{"/rooms/%d/checks", "/api/rooms/%d/checks"} {
		maria.want(404, maria.api(fmt.Sprintf(path, room), nil))
	}
	maria.want(422, maria.api("/api/events", concert(m{"room": room})))
	if r := maria.want(200, maria.api("/api/events", nil)); string(r.body) != "[]\n" {
		t.Errorf("sees %s", r.body)
	}
	if r := maria.want(200, maria.api("/api/audit", nil)); string(r.body) != "[]\n" {
		t.Errorf("sees %s", r.body)
	}
}

func TestServiceKey_OpensTheAPIAlone(t *testing.T) {
	w := newWorld(t)
	w.want(200, w.do("GET", "/api/events", "", "", "Authorization", "Bearer "+serviceKey))
	w.want(401, w.do("GET", "/api/events", "", "", "Authorization", "Bearer "+serviceKey+"x"))
	w.want(401, w.do("GET", "/rooms", "", "", "Authorization", "Bearer "+serviceKey))
}

func TestQueues_AreForOperatorsUnderTheirOwnPolicy(t *testing.T) {
	redis := testredis.Addr(t)
	w := newWorld(t, func(_ *admin.Config, d *admin.Deps) { d.Redis = asynq.RedisClientOpt{Addr: redis} })
	w.want(401, w.do("GET", "/ops/queues/api/queues", "", ""))
	maria := w.user(organiser, store.RoleOrganiser)
	maria.want(403, maria.do("GET", "/ops/queues/api/queues", "", ""))
	boss := w.user(operator, store.RoleOperator)
	boss.want(200, boss.do("GET", "/ops/queues/api/queues", "", ""))
	for _, path := range []string{"/ops/queues", "/ops/queues/"} {
		r := boss.want(200, boss.do("GET", path, "", "", "Accept", "text/html"))
		if !strings.Contains(string(r.body), "FLAG_ROOT_PATH") || !strings.Contains(r.Header.Get("Content-Security-Policy"), "script-src 'self' 'unsafe-inline'") {
			t.Errorf("%s: %s", path, r.body)
		}
	}
}

func TestPublisher_DefinesWhatACrashLeftOut(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	id := w.create(nil)
	// A crash came between the row of a new type and its definition: the sweep of Run finds it.
	if err := w.db.AddType(t.Context(), id, store.TicketType{Type: 9, Name: "Late", Capacity: 3}); err != nil {
		t.Fatal(err)
	}
	// One row that can never be defined keeps none from it.
	if _, err := w.db.Write.Exec(t.Context(), `INSERT INTO rooms (organiser_id, name, partition, mode, draw_closes_at, cap, per_minute)
		VALUES (1, 'Draw', 0, 'draw', now(), 5, 5)`); err != nil {
		t.Fatal(err)
	}
	w.eventually("the type to be defined", func() bool {
		e, err := w.db.LatestEvent(t.Context(), id)
		return err == nil && e.Types[len(e.Types)-1].ChangedSeq > 0
	})
	p := &admin.Publisher{Store: w.db, Commands: w.commands}
	if err := p.Define(t.Context(), id); err != nil {
		t.Errorf("defining again: %v", err)
	}
}
