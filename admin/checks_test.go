package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fairgate/internal/embedded/testchrome"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

// ruled has the guard refuse somebody of a room, and make others pay more.
func ruled(w *world, room int64) {
	w.t.Helper()
	now := time.Now()
	refused := sale.Ruling{
		Room: room, Action: "join", Outcome: "refuse", Factor: 1, Score: 180, Reasons: []string{"+180 guesses: <junk> instead of solutions", "score 180: refuse"},
		AppealCode: "ABCDE-23456", Times: 1, First: now.UnixMicro(), Last: now.UnixMicro(),
	}
	dear := sale.Ruling{
		Room: room, Action: "arrive", Outcome: "price", Factor: 2, Score: 30, Reasons: []string{"+30 hosting: a data centre", "score 30: price, price x2"},
		Times: 1234, First: now.UnixMicro(), Last: now.UnixMicro(),
	}
	if err := w.db.NoteRulings(w.t.Context(), []sale.Ruling{refused, dear}); err != nil {
		w.t.Fatal(err)
	}
}

func TestChecks_SayWhatTheGuardsRulesDidAndWhatACodeStandsFor(t *testing.T) {
	w := newWorld(t).user(operator, store.RoleOperator)
	room, other := w.createRoom(nil), w.createRoom(m{"name": "Elsewhere"})
	ruled(w, room)
	path := fmt.Sprintf("/rooms/%d/checks", room)
	page := string(w.want(200, w.api(path+"?code=+abcde-23456", nil)).body)
	for _, part := range []string{"Refused", "&lt;junk&gt;", "ABCDE-23456", "Price × 2", "1,234", "&#43;30 hosting"} {
		if !strings.Contains(page, part) {
			t.Errorf("%q is not on the page", part)
		}
	}
	if page := string(w.want(200, w.api(path+"?code=AAAAA-22222", nil)).body); !strings.Contains(page, "is not known in this room") {
		t.Error("an unknown code is not said to be unknown")
	}
	elsewhere := string(w.want(200, w.api(fmt.Sprintf("/api/rooms/%d/checks?code=ABCDE-23456", other), nil)).body)
	if strings.Contains(elsewhere, "junk") || strings.Contains(elsewhere, "hosting") {
		t.Errorf("another room shows %s", elsewhere)
	}
	if bad := string(w.want(422, w.api("/api"+path+"?code=1'%20OR%201", nil)).body); !strings.Contains(bad, `"code"`) {
		t.Errorf("a bad code gets %s", bad)
	}
}

func TestBrowser_AnAppealCodeIsLookedUpOnThePage(t *testing.T) {
	b := testchrome.Open(t).Person(1280, 900)
	b.Shots = "admin-"
	w := newWorld(t).user(operator, store.RoleOperator)
	room := w.createRoom(nil)
	ruled(w, room)
	b.Opens(fmt.Sprintf("%s/rooms/%d", w.server.URL, room))
	b.Has(`input[name=password]`)
	b.Types(`input[name=email]`, operator)
	b.Types(`input[name=password]`, password+"\n")
	b.Clicks(`a[href$="/checks"]`)
	b.Types(`input[name=code]`, "abcde-23456\n")
	b.Has(`[data-found]`)
	b.Shoot("checks")
	b.Size(390, 844)
	b.Shoot("checks-phone")
}
