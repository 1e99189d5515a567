package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// join puts places into a room's line.
func (w *world) join(room int64, n int) {
	w.t.Helper()
	for i := range n {
		at, _ := now()
		r := wire.Record{Object: room, Ref: wire.ID{byte(i + 1), 7}}
		body := &wire.Join{Instant: at - int64(n-i), Visitor: wire.ID{byte(i + 1), 9}, Narrow: uint64(i), Wide: uint64(i)}
		if _, err := w.log.Producer(w.queue).Append(w.t.Context(), 0, wire.AppendRecord(nil, r, body), time.Time{}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestBadInput_IsAlwaysAProblemOfTheCaller(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	event, room := w.create(nil), w.createRoom(nil)
	e, rm := fmt.Sprintf("/api/events/%d", event), fmt.Sprintf("/api/rooms/%d", room)
	seq := w.changedSeq(event)
	types := func(change m) m {
		t := m{"name": "A", "capacity": 1, "price": "1.00", "tax": "included"}
		for k, v := range change {
			t[k] = v
		}
		return concert(m{"ticketTypes": []m{t}})
	}
	lots := func(change m) m {
		b := m{"name": "x", "cap": 1, "perMinute": 1, "mode": "draw", "drawClosesAt": "2027-01-01T12:00:00Z", "publicSource": "a beacon"}
		for k, v := range change {
			b[k] = v
		}
		return b
	}
	for _, c := range []struct {
		path   string
		body   any
		status int
		key    string
	}{
		{"/api/events", m{"nom": "x"}, 400, ""},
		{"/api/events", m{"name": 7}, 400, "name"},
		{"/api/events", concert(m{"name": ""}), 422, "name"},
		{"/api/events", concert(m{"name": strings.Repeat("x", 201)}), 422, "name"},
		{"/api/events", concert(m{"zone": "Middle/Earth"}), 422, "zone"},
		{"/api/events", concert(m{"startsAt": "tomorrow"}), 422, "startsAt"},
		{"/api/events", concert(m{"startsAt": nil}), 422, "startsAt"},
		{"/api/events", concert(m{"endsAt": "2020-01-01T00:00:00Z"}), 422, "endsAt"},
		{"/api/events", concert(m{"currency": "eur"}), 422, "currency"},
		{"/api/events", concert(m{"perUser": -1}), 422, "perUser"},
		{"/api/events", concert(m{"perCard": -1}), 422, "perCard"},
		{"/api/events", concert(m{"perCard": 65_536}), 422, "perCard"},
		{"/api/events", concert(m{"perCard": "two"}), 400, "perCard"},
		{"/api/events", concert(m{"room": 4711}), 422, "room"},
		{"/api/events", concert(m{"partition": "9"}), 422, "partition"},
		{"/api/events", concert(m{"ticketTypes": []m{}}), 422, "ticketTypes"},
		{"/api/events", concert(m{"defaultType": 5}), 422, "ticketTypes"},
		{"/api/events", types(m{"price": "1.0"}), 422, "ticketTypes[0].price"},
		{"/api/events", types(m{"price": "0.20", "fee": "0.10"}), 422, "ticketTypes[0].price"}, // less than a card is charged for
		{"/api/events", types(m{"fee": "-1.00"}), 422, "ticketTypes[0].fee"},
		{"/api/events", types(m{"taxRate": "101"}), 422, "ticketTypes[0].taxRate"},
		{"/api/events", types(m{"tax": "none"}), 422, "ticketTypes[0].tax"},
		{"/api/events", types(m{"capacity": 10_000_001}), 422, "ticketTypes[0].capacity"},
		{e + "/price", m{"changedSeq": seq, "ticketType": 77, "price": "1.00", "tax": "included"}, 422, "ticketType"},
		{e + "/price", m{"ticketType": 1, "price": "1.00", "tax": "included"}, 422, "changedSeq"},
		{e + "/capacity", m{"changedSeq": seq, "ticketType": 1, "capacity": -1}, 422, "capacity"},
		{e + "/capacity", m{"changedSeq": "many", "ticketType": 1, "capacity": 1}, 400, "changedSeq"},
		{e + "/card-limit", m{"changedSeq": seq, "perCard": -1}, 422, "perCard"},
		{e + "/card-limit", m{"changedSeq": seq, "perCard": 65_536}, 422, "perCard"},
		{e + "/card-limit", m{"changedSeq": seq}, 422, "perCard"},
		{e + "/card-limit", m{"perCard": 2}, 422, "changedSeq"},
		{"/api/events/99999/card-limit", m{"changedSeq": 1, "perCard": 2}, 404, ""},
		{e + "/details", m{"name": "x"}, 422, ""},
		{e + "/cancel", m{"changedSeq": seq}, 422, "confirm"},
		{"/api/events/0/price", m{}, 400, ""},
		{"/api/events/99999/selling", m{"changedSeq": 1}, 404, ""},
		{"/api/rooms", m{"name": "x", "cap": 0, "perMinute": 1}, 422, "cap"},
		{"/api/rooms", m{"name": "x", "cap": 1, "perMinute": 1, "mode": "draw"}, 422, "drawClosesAt"},
		{"/api/rooms", lots(m{"publicSource": ""}), 422, "publicSource"},
		{"/api/rooms", lots(m{"publicSource": strings.Repeat("ü", 128)}), 422, "publicSource"},
		{"/api/rooms", lots(m{"drawClosesAt": "noon"}), 422, "drawClosesAt"},
		{"/api/rooms", lots(m{"earlyFrom": "2027-01-01T12:00:00Z"}), 422, "drawClosesAt"},
		{"/api/rooms", lots(m{"opensAt": "2027-01-01T12:03:59Z"}), 422, "opensAt"},
		{"/api/rooms", lots(m{"mode": "fcfs"}), 422, "mode"},
		{"/api/rooms", lots(m{"seed": "00"}), 400, "seed"},
		{"/api/rooms", m{"name": "x", "cap": 1, "perMinute": 1, "mode": "auction"}, 422, "mode"},
		{"/api/rooms", m{"name": "x", "cap": 1, "perMinute": 1, "lateSeconds": 241}, 422, "lateSeconds"},
		{"/api/rooms", m{"name": "x", "cap": 1, "perMinute": 1, "opensAt": "2027-01-01T00:00:00Z", "earlyFrom": "2027-01-02T00:00:00Z"}, 422, "earlyFrom"},
		{rm + "/state", m{"state": "ajar"}, 422, "state"},
		{rm + "/outflow", m{"perMinute": 0, "cap": 1}, 422, "perMinute"},
		{rm + "/invites", m{"count": 0}, 422, "count"}, {rm + "/invites", m{"count": 10_001}, 422, "count"},
		{rm + "/invites", m{"count": 1, "uses": 100_001}, 422, "uses"}, {rm + "/invites", m{"count": 1, "days": 401}, 422, "days"},
		{rm + "/invites", m{"count": 1}, 409, ""}, {"/api/rooms/77777/invites", m{"count": 1}, 404, ""},
		{"/api/rooms", m{"name": "x", "cap": 1, "perMinute": 1, "invitedShare": 1001}, 422, "invitedShare"},
		{"/api/rooms", m{"name": "x", "cap": 1, "perMinute": 1, "invitedShare": 600, "sharedShare": 401}, 422, "invitedShare"},
		{rm + "/reveal", m{"publicValue": "x"}, 409, ""}, {rm + "/reveal", m{"seed": "00", "publicValue": "x"}, 400, ""},
		{"/api/rooms/77777/state", m{"state": "open"}, 404, ""},
		{"/api/nothing", m{}, 404, ""},
	} {
		r := w.api(c.path, c.body)
		if r.StatusCode != c.status || r.Header.Get("Content-Type") != "application/problem+json" || c.key != "" && r.text("key") != c.key {
			t.Errorf("%s %v: answered %d %s, want %d for %q", c.path, c.body, r.StatusCode, r.body, c.status, c.key)
		}
	}
	for _, c := range []struct {
		method, path, contentType, body string
		status                          int
	}{
		{"POST", "/api/events", "application/json", "{", 400},
		{"POST", "/api/events", "application/json", `{"name":"a","name":"b"}`, 400},
		{"POST", "/api/events", "text/plain", "{}", 415},
		{"POST", "/api/events", "application/json", `{"name":"` + strings.Repeat("x", 70_000) + `"}`, 413},
		{"POST", "/events", "application/json", `{}`, 415},
		{"DELETE", "/api/events", "", "", 405},
		{"GET", "/api/audit?before=x", "", "", 400},
		{"GET", "/api/events/-1", "", "", 400},
		{"GET", "/assets/layout.html", "", "", 404},
		{"GET", "/assets/..%2fadmin.go", "", "", 404},
	} {
		r := w.do(c.method, c.path, c.contentType, c.body)
		if r.StatusCode != c.status || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: answered %d %s, want %d", c.method, c.path, r.StatusCode, r.body, c.status)
		}
	}
}

// said are the outcomes of the log so far, of one kind.
func said[B any, P interface {
	*B
	wire.Body
}](w *world) (all []B) {
	w.t.Helper()
	first, next, err := w.log.Bounds(w.t.Context(), w.queueOuts, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	for tail := w.log.Tail(w.queueOuts, 0, first, eventlog.TailConfig{}); tail.Next() < next; {
		records, err := tail.Fetch(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range records {
			var b B
			if o, err := wire.ParseOutcome(r.Value); err == nil && o.Kind == P(&b).Kind() && o.DecodeInto(P(&b)) == nil {
				all = append(all, b)
			}
		}
	}
	return all
}

func (w *world) invited() []wire.InvitedUpTo { return said[wire.InvitedUpTo](w) }

// defined is the newest definition of a room in the log, of any.
func (w *world) defined() wire.DefineRoom {
	all := said[wire.RoomDefined](w)
	return all[len(all)-1].Room
}
