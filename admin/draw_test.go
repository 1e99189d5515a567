package admin_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"fairgate/admin"
	"fairgate/internal/embedded/testlog"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// drawRoom creates a room whose draw closes in a moment; joins may be late by a second.
func (w *world) drawRoom(more m) (id int64, closes time.Time) {
	w.t.Helper()
	closes = time.Now().Add(1500 * time.Millisecond)
	b := m{"mode": "draw", "drawClosesAt": closes.UTC().Format(time.RFC3339Nano), "publicSource": "drand round 7", "lateSeconds": 1}
	for k, v := range more {
		b[k] = v
	}
	return w.createRoom(b), closes
}

func (w *world) draw(room int64) m {
	w.t.Helper()
	d, _ := w.want(200, w.api(fmt.Sprintf("/api/rooms/%d", room), nil)).json["draw"].(m)
	return d
}

func (w *world) drawIs(room int64, stage string) {
	w.t.Helper()
	w.eventually("the draw to be "+stage, func() bool { return w.draw(room)["stage"] == stage })
}

func TestDraw_FromPromiseToOpening(t *testing.T) {
	logged := &testlog.Buffer{}
	w := newWorld(t, func(_ *admin.Config, d *admin.Deps) {
		d.Log = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}).user(operator, store.RoleOperator)
	room, closes := w.drawRoom(nil)
	path := fmt.Sprintf("/api/rooms/%d", room)
	w.join(room, 5)

	// Promised before: the hash and the source, in the document that every fan sees. Not the seed.
	w.eventually("the promise in the document", func() bool { return w.roomState(room) == "early" })
	seed, err := w.db.DrawSeed(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	promised := w.draw(room)
	if want := sha256.Sum256([]byte(seed.Reveal())); promised["commitment"] != hex.EncodeToString(want[:]) || promised["seed"] != nil {
		t.Fatalf("promised %v", promised)
	}
	for _, refused := range []struct {
		path, kind string
		body       m
	}{
		{"/reveal", "draw-open", m{"publicValue": "known too early"}},
		{"/state", "not-revealed", m{"state": "open"}},
	} {
		if r := w.want(409, w.api(path+refused.path, refused.body)); r.text("type") != "/problems/"+refused.kind {
			t.Errorf("%s answered %s", refused.path, r.body)
		}
	}

	w.eventually("the draw to close", func() bool { return time.Since(closes) > time.Second && w.draw(room)["stage"] == "closed" })
	w.want(200, w.api(path+"/reveal", m{"publicValue": "13 17 21"}))
	w.drawIs(room, "revealed")
	if r := w.want(409, w.api(path+"/reveal", m{"publicValue": "another"})); r.text("type") != "/problems/revealed" {
		t.Errorf("answered %s", r.body)
	}
	w.want(200, w.api(path+"/state", m{"state": "open"}))
	w.drawIs(room, "held")
	if d := w.draw(room); d["seed"] != hex.EncodeToString([]byte(seed.Reveal())) || d["publicValue"] != "13 17 21" {
		t.Errorf("published %v", d)
	}

	entries, err := w.db.Audit(t.Context(), store.AuditQuery{Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for _, secret := range []string{seed.Reveal(), hex.EncodeToString([]byte(seed.Reveal()))} {
			if strings.Contains(string(e.Detail), secret) || strings.Contains(logged.String(), secret) {
				t.Fatal("the seed is in the audit or in the log")
			}
		}
	}
}

// TestDraw_OpensBySchedule also proves that everybody's first place is the one that seed and public value say.
func TestDraw_OpensBySchedule(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	opens := time.Now().Add(4 * time.Second)
	room, closes := w.drawRoom(m{"opensAt": opens.UTC().Format(time.RFC3339Nano)})
	w.join(room, 9)
	w.eventually("the draw to close", func() bool { return time.Since(closes) > time.Second })

	// A crash after the value was kept and before the log was told: the sweep tells it.
	if given, err := w.db.GiveDrawPublic(t.Context(), room, "block 900000"); !given || err != nil {
		t.Fatal(given, err)
	}
	if err := (&admin.Publisher{Store: w.db, Commands: w.commands}).Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.drawIs(room, "held")
	if early := time.Until(opens); early > 0 {
		t.Errorf("opened %v before its time", early)
	}
	seed, err := w.db.DrawSeed(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256([]byte(seed.Reveal() + "block 900000"))
	var first wire.ID
	var least []byte
	for i := range 9 {
		id := wire.ID{byte(i + 1), 7}
		mac := hmac.New(sha256.New, key[:])
		mac.Write(id[:])
		if value := mac.Sum(nil)[:8]; least == nil || bytes.Compare(value, least) < 0 {
			first, least = id, value
		}
	}
	w.eventually("somebody to be invited", func() bool { return len(w.invited()) > 0 })
	if got := w.invited()[0]; got.Key.Token != first || got.Key.Class != 0 {
		t.Errorf("invited %v first, want %v", got.Key, first)
	}
}

func TestDraw_ARevealThatTheRowMissedIsNoted(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	room, closes := w.drawRoom(nil)
	w.eventually("the draw to close", func() bool { return time.Since(closes) > time.Second })
	seed, err := w.db.DrawSeed(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	// The log took it, and a crash came before the row did. Then somebody gave another value, in vain.
	w.eventually("the log to take it", func() bool {
		_, err := w.commands.Room(t.Context(), 0, room, 0, &wire.Reveal{Seed: wire.Hash([]byte(seed.Reveal())), Public: []byte("first")})
		return err == nil
	})
	if _, err := w.db.GiveDrawPublic(t.Context(), room, "second"); err != nil {
		t.Fatal(err)
	}
	w.eventually("the row to follow the log", func() bool {
		r, err := w.db.LatestRoom(t.Context(), room)
		return err == nil && r.Draw.Revealed && r.Draw.Public == "first"
	})
}

func TestDraw_TheFormsShowPromiseAndResult(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	closes := time.Now().UTC().Add(-time.Minute).Truncate(time.Minute)
	r := w.want(303, w.form("/rooms", url.Values{"name": {"Lots"}, "cap": {"5"}, "perMinute": {"60"}, "mode": {"draw"}, "zone": {"UTC"},
		"drawClosesAt": {closes.Format("2006-01-02T15:04")}, "publicSource": {"Lotto <6 of 49>"}, "lateSeconds": {"1"}}))
	page, _, _ := strings.Cut(r.Header.Get("Location"), "?")
	show := func() string { return string(w.want(200, w.do("GET", page, "", "", "Accept", "text/html")).body) }
	w.eventually("the room's form", func() bool { return strings.Contains(show(), `data-draw="closed"`) })
	if got := show(); !strings.Contains(got, "Lotto &lt;6 of 49&gt;") || !strings.Contains(got, "/reveal") {
		t.Errorf("the page shows %s", got)
	}
	w.eventually("early arrivals", func() bool { return strings.Contains(show(), `data-state="early"`) })
	w.want(303, w.form(page+"/reveal", url.Values{"publicValue": {"1 2 3 4 5 6"}}))
	w.eventually("the result", func() bool {
		got := show()
		return strings.Contains(got, `data-draw="revealed"`) && strings.Contains(got, "1 2 3 4 5 6")
	})
}
