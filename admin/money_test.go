package admin_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"fairgate/internal/embedded/testchrome"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// sold makes an event with one booking of two tickets whose money was taken, and returns both ids.
func (w *world) sold(as *world) (event string, booking sale.UUID) {
	w.t.Helper()
	made := as.want(200, as.api("/api/events", map[string]any{
		"name": "Fado", "zone": "Europe/Lisbon", "startsAt": "2031-06-01T20:00", "endsAt": "2031-06-01T23:00", "currency": "EUR",
		"defaultType": 0, "ticketTypes": []map[string]any{{"name": "Seat", "price": "29.00", "fee": "1.00", "tax": "included", "capacity": 10}},
	}))
	event = strings.TrimPrefix(made.text("object"), "event/")
	id, err := sale.ParseID(event)
	if err != nil {
		w.t.Fatal(err)
	}
	ref := wire.ID{1: 1, 6: 0x70, 8: 0x80, 15: 1}
	booking = sale.UUID(ref)
	w.order(id, ref, &wire.Hold{
		Subject: []byte("fan"), UserKey: sale.UserKey("fan"), TicketBase: wire.ID{1: 2, 6: 0x70, 8: 0x80}, Lines: []wire.Line{{Type: 1, Quantity: 2}},
	})
	attempt, payment := sale.UUID{1: 3, 6: 0x70, 8: 0x80, 15: 3}, sale.UUID{1: 4, 6: 0x70, 8: 0x80, 15: 4}
	w.exec(`INSERT INTO payments (id, booking_id, event_id, merchant_account_id, user_id, amount, currency, status)
		VALUES ($1, $2, $3, 1, 'fan', 6000, 'EUR', 'authorised')`, payment, booking, id)
	w.exec(`INSERT INTO payment_attempts (id, payment_id, number, intent, status) VALUES ($1, $2, 1, 'pi_1', 'authorised')`, attempt, payment)
	w.order(id, ref, &wire.Authorised{Attempt: wire.ID(attempt), Amount: 6000, Currency: [3]byte{'E', 'U', 'R'}, Intent: []byte("pi_1")})
	w.eventually("the tickets", func() bool {
		live, err := w.db.LiveNumbers(w.t.Context(), booking)
		return err == nil && len(live) == 2
	})
	return event, booking
}

func (w *world) order(event int64, ref wire.ID, body wire.Body) {
	w.t.Helper()
	value := wire.AppendRecord(nil, wire.Record{Object: event, Ref: ref}, body)
	if _, err := w.log.Producer(w.orders).Append(w.t.Context(), 0, value, time.Time{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Write.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

func TestMoney_OneTicketIsRefundedAndNoTicketTwice(t *testing.T) {
	w := newWorld(t)
	boss := w.user(operator, store.RoleOperator)
	event, booking := w.sold(boss)
	path := "/api/events/" + event + "/refund"
	for name, c := range map[string]struct {
		body   map[string]any
		status int
	}{
		"no booking's id":     {map[string]any{"booking": "7"}, 422},
		"a stranger's":        {map[string]any{"booking": "01234567-89ab-7cde-8f01-23456789abcd"}, 422},
		"words for tickets":   {map[string]any{"booking": booking.String(), "tickets": "the first"}, 422},
		"a ticket too many":   {map[string]any{"booking": booking.String(), "tickets": "2"}, 422},
		"a member nobody has": {map[string]any{"booking": booking.String(), "ticket": "0"}, 400},
	} {
		if got := boss.api(path, c.body); got.StatusCode != c.status {
			t.Errorf("%s: %d, want %d: %s", name, got.StatusCode, c.status, got.body)
		}
	}
	one := map[string]any{"booking": booking.String(), "tickets": "0", "fees": false, "return": true}
	boss.want(200, boss.api(path, one))
	boss.want(409, boss.api(path, one)) // a second operator
	w.eventually("its refund, the fee kept", func() bool {
		var n, retained int64
		err := w.db.Write.QueryRow(t.Context(), `SELECT count(*), coalesce(sum(retained), 0)::bigint FROM refunds`).Scan(&n, &retained)
		return err == nil && n == 1 && retained == 100
	})
	boss.want(200, boss.api(path, map[string]any{"booking": booking.String(), "fees": true})) // all that is left
	w.eventually("the end of the booking", func() bool {
		b, err := w.db.Booking(t.Context(), booking)
		return err == nil && b.Status == "refunded"
	})
	boss.want(409, boss.api(path, map[string]any{"booking": booking.String()}))
	if got := boss.want(200, boss.api("/api/audit", nil)); !strings.Contains(string(got.body), `"refund"`) {
		t.Errorf("the audit does not know of it: %s", got.body)
	}
}

func TestMoney_WholeEventIsRefundedOnceAndByNameOnly(t *testing.T) {
	w := newWorld(t)
	boss := w.user(operator, store.RoleOperator)
	event, _ := w.sold(boss)
	path := "/api/events/" + event + "/refund-all"
	boss.want(422, boss.api(path, map[string]any{"confirm": "fado"}))
	boss.want(200, boss.api(path, map[string]any{"confirm": "Fado", "fees": true}))
	boss.want(409, boss.api(path, map[string]any{"confirm": "Fado"}))
	got := boss.want(200, boss.api("/api/money", nil))
	if runs := fmt.Sprint(got.json["runs"]); !strings.Contains(runs, "Fado") {
		t.Errorf("the page does not show it: %s", got.body)
	}
	w.exec(`INSERT INTO refund_orders (id, booking_id, by, run_id) SELECT gen_random_uuid(), gen_random_uuid(), 'organiser', id FROM refund_runs`)
	w.exec(`UPDATE refund_runs SET total = 7`)
	if page := boss.want(200, boss.do("GET", "/money", "", "", "Accept", "text/html")); !strings.Contains(string(page.body), "1 of 7") {
		t.Errorf("the page does not show how far it is: %s", page.body)
	}
}

func TestMoney_RefundPolicyIsWithinAYear(t *testing.T) {
	w := newWorld(t)
	boss := w.user(operator, store.RoleOperator)
	event, _ := w.sold(boss)
	path := "/api/events/" + event + "/refund-policy"
	for _, hours := range []int{-1, 366*24 + 1} {
		boss.want(422, boss.api(path, map[string]any{"untilHours": hours}))
	}
	boss.want(200, boss.api(path, map[string]any{"untilHours": 48, "fees": true}))
	id, _ := sale.ParseID(event)
	if p, err := w.db.RefundPolicy(t.Context(), id); err != nil || p.Until != 48*time.Hour || !p.Fees {
		t.Errorf("%+v %v", p, err)
	}
	page := boss.want(200, boss.do("GET", "/events/"+event, "", "", "Accept", "text/html"))
	if !strings.Contains(string(page.body), `value="48"`) {
		t.Error("the event's page does not show it")
	}
}

func TestMoney_OnlyAFailedRefundIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	boss := w.user(operator, store.RoleOperator)
	event, booking := w.sold(boss)
	boss.want(200, boss.api("/api/events/"+event+"/refund", map[string]any{"booking": booking.String(), "fees": true}))
	var id sale.UUID
	w.eventually("the refund", func() bool {
		return w.db.Write.QueryRow(t.Context(), `SELECT id FROM refunds`).Scan(&id) == nil
	})
	again := func(refund string) reply {
		return boss.api("/api/events/"+event+"/refund-retry", map[string]any{"refund": refund})
	}
	boss.want(422, again("x"))
	boss.want(409, again(id.String())) // it did not fail
	w.exec(`UPDATE refunds SET status = 'failed', reason = 'lost_or_stolen_card', provider = 're_1'`)
	if got := boss.want(200, boss.api("/api/money", nil)); !strings.Contains(string(got.body), "lost_or_stolen_card") {
		t.Errorf("the page does not show it: %s", got.body)
	}
	boss.want(200, again(id.String()))
	var status string
	if err := w.db.Write.QueryRow(t.Context(), `SELECT status FROM refunds`).Scan(&status); err != nil || status != "due" {
		t.Error(status, err)
	}
}

// TestMoney_ShowsDisputesWithTheirDeadline: who misses it has lost the money.
func TestMoney_ShowsDisputesWithTheirDeadline(t *testing.T) {
	w := newWorld(t)
	boss := w.user(operator, store.RoleOperator)
	w.sold(boss)
	w.exec(`INSERT INTO disputes (id, payment_id, attempt_id, booking_id, event_id, amount, covered, currency, reason, status, provider, due_by)
		SELECT 'dp_1', p.id, a.id, p.booking_id, p.event_id, 6000, 6000, 'EUR', 'fraudulent', 'open', 'needs_response', '2031-03-05 12:30Z'
		FROM payments p JOIN payment_attempts a ON a.payment_id = p.id`)
	got := boss.want(200, boss.do("GET", "/money", "", "", "Accept", "text/html"))
	for _, text := range []string{"dp_1", "60.00 EUR", "fraudulent", "Wed 5 Mar 2031, 12:30 UTC"} {
		if !strings.Contains(string(got.body), text) {
			t.Errorf("the page does not show %s", text)
		}
	}
	if got := boss.want(200, boss.api("/api/money", nil)); !strings.Contains(string(got.body), "2031-03-05T12:30:00Z") {
		t.Errorf("the deadline is not told: %s", got.body)
	}
}

func TestMoney_DeadObligationsAreTheOperators(t *testing.T) {
	w := newWorld(t)
	boss, maria := w.user(operator, store.RoleOperator), w.user(organiser, store.RoleOrganiser)
	w.exec(`INSERT INTO outbox (kind, cause, status, attempts, last_error) VALUES ('payment:void', 'stray/pi_1', 'dead', 40, 'no such intent')`)
	body := map[string]any{"kind": "payment:void", "cause": "stray/pi_1"}
	maria.want(403, maria.api("/api/obligations/revive", body))
	if got := maria.want(200, maria.api("/api/money", nil)); strings.Contains(string(got.body), "stray/pi_1") {
		t.Errorf("an organiser sees it: %s", got.body)
	}
	if got := boss.want(200, boss.api("/api/money", nil)); !strings.Contains(string(got.body), "no such intent") {
		t.Errorf("the operator does not see why: %s", got.body)
	}
	boss.want(200, boss.api("/api/obligations/revive", body))
	boss.want(409, boss.api("/api/obligations/revive", body)) // it is not dead any more
	var status string
	if err := w.db.Write.QueryRow(t.Context(), `SELECT status FROM outbox`).Scan(&status); err != nil || status != "pending" {
		t.Error(status, err)
	}
}

func TestMoney_ShowsTheLastComparisonAndTheInbox(t *testing.T) {
	w := newWorld(t)
	boss, maria := w.user(operator, store.RoleOperator), w.user(organiser, store.RoleOrganiser)
	w.sold(boss)
	now := time.Now().UTC()
	if err := w.db.SaveReconciliation(t.Context(), store.Reconciliation{
		Since: now.Add(-time.Hour), Until: now, Intents: 12, Moves: 34, Open: 1, Repaired: 2, Findings: []store.Difference{{Reason: "paid-without-row", Object: "pi_7"}},
	}); err != nil {
		t.Fatal(err)
	}
	reports, err := w.db.DailyReports(t.Context(), now.Truncate(24*time.Hour))
	if err != nil || len(reports) != 1 || reports[0].Open != 1 {
		t.Fatal(reports, err)
	}
	for i, want := range []bool{true, false} {
		if told, err := w.db.TellDay(t.Context(), reports[0]); err != nil || told != want {
			t.Errorf("telling a day for the %d. time: %v %v", i+1, told, err)
		}
	}
	got := boss.want(200, boss.api("/api/money", nil))
	for _, text := range []string{"pi_7", "dailyReport", `"repaired":2`} {
		if !strings.Contains(string(got.body), text) {
			t.Errorf("%s is not shown: %s", text, got.body)
		}
	}
	if got := maria.want(200, maria.api("/api/money", nil)); strings.Contains(string(got.body), "pi_7") || !strings.Contains(string(got.body), "dailyReport") {
		t.Errorf("an organiser sees %s", got.body)
	}
	if page := maria.want(200, maria.do("GET", "/money", "", "", "Accept", "text/html")); !strings.Contains(string(page.body), "differences that need somebody: 1") {
		t.Errorf("the page: %s", page.body)
	}
}

func TestSettings_SellerIsItsOrganisers(t *testing.T) {
	w := newWorld(t)
	boss, maria := w.user(operator, store.RoleOperator), w.user(organiser, store.RoleOrganiser)
	w.exec(`INSERT INTO organisers (id, name) VALUES (2, 'Other'); INSERT INTO merchant_accounts (id, organiser_id, name) VALUES (2, 2, 'other')`)
	good := map[string]any{"legalName": "Venue Ltd", "address": "1 Street\nLisbon", "taxNumber": "PT1", "email": "money@venue.example"}
	maria.want(404, maria.api("/api/sellers/2", good))
	for key, bad := range map[string]string{"email": "nobody", "legalName": strings.Repeat("x", 201), "taxNumber": strings.Repeat("x", 51)} {
		body := map[string]any{}
		for k, v := range good {
			body[k] = v
		}
		body[key] = bad
		if got := maria.want(422, maria.api("/api/sellers/1", body)); got.text("key") != key {
			t.Errorf("%s: %s", key, got.body)
		}
	}
	maria.want(303, maria.form("/sellers/1", url.Values{"legalName": {"Venue Ltd"}, "address": {"1 Street\r\nLisbon"}, "taxNumber": {"PT1"}, "email": {"money@venue.example"}}))
	found, err := w.db.Merchants(t.Context(), 1)
	if err != nil || len(found) != 1 || found[0].Seller != (store.Seller{Name: "Venue Ltd", Address: "1 Street\nLisbon", TaxNumber: "PT1"}) || found[0].Email != "money@venue.example" {
		t.Errorf("%+v %v", found, err)
	}
	boss.want(200, boss.api("/api/sellers/2", good))
	if got := maria.want(200, maria.do("GET", "/settings", "", "", "Accept", "text/html")); !strings.Contains(string(got.body), "Venue Ltd") || strings.Contains(string(got.body), "sellers/2") {
		t.Errorf("the page: %s", got.body)
	}
}

// TestBrowser_OrganiserMendsMoney uses the forms as people do.
func TestBrowser_OrganiserMendsMoney(t *testing.T) {
	b := testchrome.Open(t).Person(1280, 900)
	b.Shots = "admin-"
	w := newWorld(t).user(operator, store.RoleOperator)
	event, booking := w.sold(w)
	id, err := sale.ParseID(event)
	if err != nil {
		t.Fatal(err)
	}
	w.exec(`INSERT INTO outbox (kind, cause, status, attempts, last_error) VALUES ('payment:void', 'stray/pi_7', 'dead', 40, 'payment: payment_intents.cancel: definite (status 404): resource_missing')`)
	w.exec(`INSERT INTO disputes (id, payment_id, attempt_id, booking_id, event_id, amount, covered, currency, reason, status, provider, due_by)
		SELECT 'dp_1', p.id, a.id, p.booking_id, p.event_id, 6000, 6000, 'EUR', 'fraudulent', 'open', 'needs_response', now() + interval '7 days'
		FROM payments p JOIN payment_attempts a ON a.payment_id = p.id`)
	w.exec(`INSERT INTO notifications (user_id, kind, event_id, data, cause) VALUES ('organiser/1', 'disputeOpened', $1, '{"amount":"60.00","currency":"EUR","reason":"fraudulent"}', 'x')`, id)
	w.exec(`INSERT INTO ledger (fact, entry, account, amount, currency, merchant_account_id, event_id, booking_id)
		VALUES ('capture:ch_1', 0, 'provider', 6000, 'EUR', 1, $1, $2), ('capture:ch_1', 1, 'sales', -6000, 'EUR', 1, $1, $2)`, id, booking)
	now := time.Now().UTC()
	if err := w.db.SaveReconciliation(t.Context(), store.Reconciliation{
		Since: now.Add(-26 * time.Hour), Until: now, Intents: 1204, Moves: 1311, Open: 1, Repaired: 2, Findings: []store.Difference{{Reason: "paid-without-row", Object: "pi_3S0b2oz8o5dyVlmTOZhtgzFk"}},
	}); err != nil {
		t.Fatal(err)
	}
	reports, err := w.db.DailyReports(t.Context(), now.Truncate(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.TellDay(t.Context(), reports[0]); err != nil {
		t.Fatal(err)
	}
	b.Opens(w.server.URL + "/settings")
	b.Has(`input[name=password]`)
	b.Types(`input[name=email]`, operator)
	b.Types(`input[name=password]`, password+"\n")
	b.Has(`input[name=legalName]`)
	b.Types(`input[name=legalName]`, "Casa do Fado, Lda.")
	b.Types(`textarea[name=address]`, "Rua da Saudade 7\nLisboa")
	b.Types(`input[name=email]`, "money@venue.example")
	b.Shoot("settings")
	b.Clicks(`form.grid button`)
	b.Has(`p.done`)
	if found, err := w.db.Merchants(t.Context(), 1); err != nil || found[0].Seller.Name != "Casa do Fado, Lda." || found[0].Seller.Address != "Rua da Saudade 7\nLisboa" {
		t.Errorf("%+v %v", found, err)
	}
	b.Opens(w.server.URL + "/money")
	b.Has(`main h1`)
	b.Shoot("money")
	b.Prefers("prefers-color-scheme", "dark")
	b.Shoot("money-dark")
	b.Size(390, 844)
	b.Prefers()
	b.Shoot("money-phone")
	b.Size(1280, 900)
	b.Clicks(`form[action="/obligations/revive"] button`)
	b.Has(`p.done`)

	w.exec(`UPDATE disputes SET status = 'won'`)
	b.Opens(w.server.URL + "/events/" + event)
	b.Clicks(`form[action$="/refund"] summary, details:has(form[action$="/refund"]) summary`)
	b.Types(`input[name=booking]`, booking.String())
	b.Types(`input[name=tickets]`, "0")
	b.Shoot("event-refunds")
	b.Size(390, 844)
	b.Prefers("prefers-color-scheme", "dark")
	b.Shoot("event-refunds-phone")
	b.Size(1280, 900)
	b.Prefers()
	b.Clicks(`form[action$="/refund"] button`)
	b.Has(`p.done:not(.bad)`)
	w.eventually("one ticket is refunded", func() bool {
		live, err := w.db.LiveNumbers(t.Context(), booking)
		return err == nil && len(live) == 1
	})
}
