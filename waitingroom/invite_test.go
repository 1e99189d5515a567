package waitingroom

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// guestList is an edge that takes invite codes, and the mint of them.
func guestList(t *testing.T) (*stage, *token.Invites) {
	t.Helper()
	invites, err := token.NewInvites([]token.Key{{ID: 5, Secret: [32]byte{5}}})
	if err != nil {
		t.Fatal(err)
	}
	return open(t, func(_ *Config, d *Deps) { d.Invites = invites }), invites
}

// code mints an invite for a room, good from -1 min to until.
func mintCode(t *testing.T, v *token.Invites, room int64, number uint64, uses uint32, until time.Duration) string {
	t.Helper()
	now := time.Now()
	code, err := v.Mint(wire.Invite{Room: room, Number: number, Uses: uses, Issued: uint32(now.Add(-time.Minute).Unix()), Expires: uint32(now.Add(until).Unix())})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// joinWith joins the foyer with an arrival of one's own.
func (f *fan) joinWith(arrival map[string]string) (p placeAnswer) {
	f.s.t.Helper()
	var a arriveAnswer
	r := f.post("/rooms/2/arrive", arrival)
	if r.into(f.s.t, &a); r.status != 200 {
		f.s.t.Fatalf("arrive: %d %s", r.status, r.body)
	}
	r = f.post("/rooms/2/join", joinRequest{a.Challenge, solved(f.s.t, a.Puzzle)})
	if r.into(f.s.t, &p); r.status != 200 || !p.Recorded {
		f.s.t.Fatalf("join: %d %s", r.status, r.body)
	}
	return p
}

func (s *stage) laneOf(f *fan) string {
	s.t.Helper()
	var at standingAnswer
	f.get("/rooms/2/place").into(s.t, &at)
	return at.Lane
}

func TestInvite_ItsLaneIsFixedInTheLog(t *testing.T) {
	s, v := guestList(t)
	code := mintCode(t, v, foyer, 1, 2, time.Hour)
	for n, want := range []string{"invited", "invited", "shared"} {
		f := s.fan()
		if p := f.joinWith(map[string]string{"invite": code}); p.Lane != want {
			t.Errorf("number %d with the code is told %q, want %q", n+1, p.Lane, want)
		}
		if lane := s.laneOf(f); lane != want {
			t.Errorf("number %d with the code stands in %q, want %q", n+1, lane, want)
		}
	}
	if p := s.fan().joinWith(nil); p.Lane != "normal" {
		t.Errorf("without a code: %q", p.Lane)
	}
}

func TestInvite_ALinkKeepsTheCodeForTheArrival(t *testing.T) {
	s, v := guestList(t)
	f := s.fan()
	f.header.Set("Accept", "text/html")
	r := f.get("/rooms/2?invite=" + url.QueryEscape(mintCode(t, v, foyer, 2, 1, time.Hour)))
	if r.status != 303 || r.header.Get("Location") != "/rooms/2" || r.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", r.status, r.header)
	}
	f.header.Del("Accept")
	if p := f.joinWith(nil); p.Lane != "invited" {
		t.Errorf("stands in %q", p.Lane)
	}
}

func TestInvite_WithoutJavaScriptWaitsInsteadOfWorking(t *testing.T) {
	s, v := guestList(t)
	f := s.fan()
	var a arriveAnswer
	f.post("/rooms/2/arrive", map[string]string{"lane": "timed", "invite": mintCode(t, v, foyer, 3, 1, time.Hour)}).into(t, &a)
	if a.Puzzle.Algorithm != "timed" {
		t.Fatalf("%+v", a.Puzzle)
	}
	if r := f.post("/rooms/2/join", joinRequest{Challenge: a.Challenge}); r.kind(t) != "too-soon" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	var p placeAnswer
	s.until("the wait to end", func() bool {
		r := f.post("/rooms/2/join", joinRequest{Challenge: a.Challenge})
		if r.status == 200 {
			r.into(t, &p)
		}
		return r.status == 200
	})
	if p.Lane != "invited" {
		t.Errorf("stands in %q", p.Lane)
	}
}

func TestInvite_BadCodesSayWhatToDo(t *testing.T) {
	s, v := guestList(t)
	people := s.fan() // who type it into the page's field
	people.header.Set("Accept", "text/html")
	foreign, _ := token.NewInvites([]token.Key{{ID: 5, Secret: [32]byte{6}}})
	good := mintCode(t, v, foyer, 9, 1, time.Hour)
	for _, c := range []struct {
		name, code   string
		status       int
		kind, notice string
	}{
		{"nonsense", "abc", 422, "", "bad-invite"},
		{"cut", good[:len(good)-2], 422, "", "bad-invite"},
		{"a queue token", s.fan().join("2").Token, 422, "", "bad-invite"},
		{"tampered", good[:30] + "A" + good[31:], 403, "foreign-invite", "foreign-invite"},
		{"signed by somebody else", mintCode(t, foreign, foyer, 9, 1, time.Hour), 403, "foreign-invite", "foreign-invite"},
		{"for another room", mintCode(t, v, hall, 9, 1, time.Hour), 403, "other-room", "other-room-invite"},
		{"expired", mintCode(t, v, foyer, 9, 1, -time.Second), 410, "expired", "expired-invite"},
	} {
		f := s.fan()
		r := f.post("/rooms/2/arrive", map[string]string{"invite": c.code})
		if kind := r.kind(t); r.status != c.status || c.kind != "" && kind != c.kind {
			t.Errorf("%s: %d %s, want %d %s", c.name, r.status, r.body, c.status, c.kind)
		}
		if r := f.get("/rooms/2?invite=" + url.QueryEscape(c.code)); r.status != c.status {
			t.Errorf("%s, as a link: %d %s", c.name, r.status, r.body)
		}
		r = people.get("/rooms/2?invite=" + url.QueryEscape(c.code))
		if to := r.header.Get("Location"); r.status != 303 || to != "/rooms/2?notice="+c.notice {
			t.Errorf("%s, typed: %d to %s", c.name, r.status, to)
		}
		if r := people.get("/rooms/2?notice=" + c.notice); !strings.Contains(string(r.body), `id="invite"`) || strings.Contains(string(r.body), `id="notice" class="notice" hidden`) {
			t.Errorf("%s: the page does not say so, or takes no other code", c.name)
		}
		// A cookie that is not good any more stops nobody from joining.
		f.header.Set("Cookie", fmt.Sprintf("%s=%s", roomCookie(CookieInvite, foyer), c.code))
		if p := f.joinWith(nil); p.Lane == "invited" {
			t.Errorf("%s, as a cookie: %q", c.name, p.Lane)
		}
	}
}

// Who stands in line already and gets a code may use it: with a page that works without JavaScript, by its forms alone.
func TestInvite_APlaceInLineBecomesOneByInvitation(t *testing.T) {
	s, v := guestList(t)
	code := mintCode(t, v, foyer, 4, 1, time.Hour)
	f, g := s.fan(), s.fan()
	for _, person := range []*fan{f, g} {
		if p := person.joinWith(nil); p.Lane != "normal" {
			t.Fatalf("%+v", p)
		}
	}
	takes := func(person *fan) {
		person.header.Set("Accept", "text/html")
		defer person.header.Del("Accept")
		link := "https://wait.example/rooms/2?lang=vi&invite=" + code + "#top" // pasted whole
		if r := person.get("/rooms/2?invite=" + url.QueryEscape(" "+link)); r.status != 303 || r.header.Get("Location") != "/rooms/2" {
			t.Fatalf("%d %v", r.status, r.header)
		}
		shows := func(phase string) func() bool {
			return func() bool {
				return strings.Contains(string(person.get("/rooms/2").body), `data-phase="`+phase+`"`)
			}
		}
		if !shows("new")() {
			t.Fatal("the page does not offer to join with the code")
		}
		person.post("/rooms/2/arrive", map[string]string{"lane": "timed"})
		s.until("the wait to end", shows("ready"))
		person.post("/rooms/2/join", nil)
		if !shows("paused")() {
			t.Fatalf("joined, the page shows %s", person.get("/rooms/2").body)
		}
	}
	takes(f)
	if lane := s.laneOf(f); lane != "invited" {
		t.Errorf("with the code: %q", lane)
	}
	takes(g) // the code is used up
	if lane := s.laneOf(g); lane != "normal" {
		t.Errorf("with a code that was used up: %q", lane)
	}
}
