package admin_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"fairgate/admin"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

func TestInvites_AreMintedOnceAndKeptNowhere(t *testing.T) {
	invites, err := token.NewInvites([]token.Key{{ID: 5, Secret: [32]byte{5}}})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(_ *admin.Config, d *admin.Deps) {
		d.Inviter, d.ShopURL = invites.Mint, "https://shop.example/"
	}).user(operator, store.RoleOperator)
	room := w.createRoom(m{"invitedShare": 300, "sharedShare": 0})
	at, _ := now()
	codes := map[uint64]bool{}
	good := func(code string, uses uint32) {
		t.Helper()
		i, err := invites.Verify(code, room, at)
		if err != nil || i.Uses != uses || codes[i.Number] {
			t.Fatalf("%q: %+v, %v", code, i, err)
		}
		codes[i.Number] = true
	}
	r := w.want(200, w.api(fmt.Sprintf("/api/rooms/%d/invites", room), m{"count": 3, "uses": 2}))
	list, _ := r.json["codes"].([]any)
	if len(list) != 3 {
		t.Fatalf("answered %s", r.body)
	}
	for _, code := range list {
		good(code.(string), 2)
	}
	f := w.want(200, w.form(fmt.Sprintf("/rooms/%d/invites", room), url.Values{"count": {"2"}, "uses": {"1"}, "days": {"7"}}))
	lines := strings.Fields(string(f.body))
	if len(lines) != 2 || !strings.HasPrefix(f.Header.Get("Content-Disposition"), "attachment") {
		t.Fatalf("%v %s", f.Header, f.body)
	}
	for _, line := range lines {
		link, err := url.Parse(line)
		if err != nil || link.Host != "shop.example" || link.Path != fmt.Sprintf("/rooms/%d", room) {
			t.Fatalf("link %q", line)
		}
		good(link.Query().Get("invite"), 1)
	}
	entries, err := w.db.Audit(t.Context(), store.AuditQuery{Object: fmt.Sprintf("room/%d", room), Limit: 10})
	if err != nil || len(entries) != 3 || entries[0].Action != "mint-invites" {
		t.Fatalf("%+v, %v", entries, err)
	}
	for _, e := range entries {
		if strings.Contains(string(e.Detail), list[0].(string)) {
			t.Error("a code is in the audit")
		}
	}
	if d := w.defined(); d.Shares != [wire.Lanes]uint16{wire.LaneNormal: 680, wire.LaneInvited: 300, wire.LaneTimed: 20} {
		t.Errorf("shares %v", d.Shares)
	}
}
