package waitingroom

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// errLogAway is how the log says that it cannot be reached.
var errLogAway = fmt.Errorf("no leader: %w", eventlog.ErrNotAppended)

func puzzleOf(ch *wire.Challenge) puzzleAnswer {
	seed := ch.Seed()
	return puzzleAnswer{SubPuzzles: ch.Sub, Difficulty: ch.Difficulty, Seed: fmt.Sprintf("%x", seed[:])}
}

// refused fails unless a reply is a problem of the client's making.
func refused(t *testing.T, what string, r reply) {
	t.Helper()
	if r.status < 400 || r.status > 499 {
		t.Errorf("%s: %d %s", what, r.status, r.body)
		return
	}
	r.kind(t)
}

func TestJoin_EveryByteOfTheChallengeTamperedIsRefused(t *testing.T) {
	s := open(t)
	f := s.fan()
	a := f.arrive("2")
	raw, err := base64.RawURLEncoding.DecodeString(a.Challenge)
	if err != nil {
		t.Fatal(err)
	}
	solution := solved(t, a.Puzzle)
	for i := range raw {
		raw[i] ^= 0x11
		refused(t, fmt.Sprintf("byte %d", i), f.post("/rooms/2/join", joinRequest{token.Text(raw), solution}))
		raw[i] ^= 0x11
	}
	for _, n := range []int{0, 1, len(raw) / 2, len(raw) - 1} {
		refused(t, fmt.Sprintf("cut to %d", n), f.post("/rooms/2/join", joinRequest{token.Text(raw[:n]), solution}))
	}
	refused(t, "one byte longer", f.post("/rooms/2/join", joinRequest{token.Text(append(raw, 0)), solution}))
	if n := s.joined.Load(); n != 0 {
		t.Errorf("%d places", n)
	}
}

func TestEnter_EveryByteOfTheTokenTamperedIsRefused(t *testing.T) {
	s := open(t)
	f := s.fan()
	p := f.join("2")
	raw, err := base64.RawURLEncoding.DecodeString(p.Token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 0x40
		f.header.Set(HeaderToken, token.Text(raw))
		r := f.post("/rooms/2/enter", nil)
		refused(t, fmt.Sprintf("byte %d", i), r)
		if r.kind(t) == "not-invited" {
			t.Errorf("byte %d: taken for a place", i)
		}
		raw[i] ^= 0x40
	}
}

// keyOfProblem is what a problem of a kind names, at a path; empty where nothing in the request is wrong.
func keyOfProblem(kind, path string) string {
	switch kind {
	case "not-solved":
		return "solution"
	case "no-place":
		return HeaderToken
	case "foreign-challenge", "foreign-token", "other-room", "other-visitor", "expired", "ahead-of-time":
		if strings.HasSuffix(path, "/enter") {
			return "token"
		}
		return "challenge"
	}
	return ""
}

// header is what a request of the table carries.
type header map[string]string

func TestBadInput_IsAProblemThatSaysWhatToDo(t *testing.T) {
	s := open(t)
	f := s.fan()
	a := f.arrive("2")
	solution := solved(t, a.Puzzle)
	p := s.fan().join("2")
	other := s.fan().arrive("2")
	foreign, _ := testKeys(t, 77).MintChallenge(wire.Place{Room: foyer, Instant: time.Now().UnixMicro()}, work)
	mine, _ := token.FromText(a.Visitor, 16)
	hash := token.VisitorHash([16]byte(mine))
	minted := func(back time.Duration) string {
		b, err := s.keys.MintChallenge(wire.Place{Room: foyer, Visitor: hash,
			Instant: time.Now().Add(-back).UnixMicro()}, work)
		if err != nil {
			t.Fatal(err)
		}
		return token.Text(b)
	}
	// held is a token of the fan's own that a ring of keys has signed for an arrival so long ago.
	held := func(keys *token.Keys, back time.Duration) string {
		place := wire.Place{Room: foyer, Visitor: hash, Instant: time.Now().Add(-back).UnixMicro()}
		b, err := keys.TokenFor(&wire.Challenge{Place: place})
		if err != nil {
			t.Fatal(err)
		}
		return token.Text(b)
	}
	own := func(token string) header { return header{HeaderVisitor: a.Visitor, HeaderToken: token} }
	for _, c := range []struct {
		name, method, path, body string
		header                   header
		status                   int
		kind                     string
	}{
		{"unknown room", "GET", "/rooms/5/queue", "", nil, 404, "unknown-room"},
		{"no room", "GET", "/rooms/x/queue", "", nil, 400, ""},
		{"huge room", "GET", "/rooms/99999999999999999999/queue", "", nil, 400, ""},
		{"negative room", "POST", "/rooms/-1/arrive", "{}", nil, 400, ""},
		{"unknown member", "POST", "/rooms/2/arrive", `{"difficulty":1}`, nil, 400, ""},
		{"wrong type", "POST", "/rooms/2/arrive", `{"lane":7}`, nil, 400, ""},
		{"no JSON", "POST", "/rooms/2/arrive", `{`, nil, 400, ""},
		{"other media type", "POST", "/rooms/2/arrive", `<x/>`, header{"Content-Type": "text/xml"}, 415, ""},
		{"oversized body", "POST", "/rooms/2/arrive", `{"lane":"` + strings.Repeat("x", 70_000) + `"}`, nil, 413, ""},
		{"unknown lane", "POST", "/rooms/2/arrive", `{"lane":"vip"}`, nil, 422, ""},
		{"an invite where there are none", "POST", "/rooms/2/arrive", `{"invite":"abc"}`, nil, 422, ""},
		{"renewing nonsense", "POST", "/rooms/2/arrive", `{"challenge":"abc"}`, nil, 400, ""},
		{"renewing another's", "POST", "/rooms/2/arrive", `{"challenge":"` + other.Challenge + `"}`, nil, 403, "other-visitor"},
		{"bad visitor", "POST", "/rooms/2/arrive", "{}", header{HeaderVisitor: "abc"}, 400, ""},
		{"bad address", "POST", "/rooms/2/arrive", "{}", header{"X-Forwarded-For": "nobody"}, 400, ""},
		{"join with nothing", "POST", "/rooms/2/join", "{}", nil, 400, ""},
		{"no solution", "POST", "/rooms/2/join", `{"challenge":"` + a.Challenge + `"}`, nil, 422, "not-solved"},
		{"wrong solution", "POST", "/rooms/2/join", `{"challenge":"` + a.Challenge + `","solution":"` + unsolved(t, a.Puzzle) + `"}`, nil, 422, "not-solved"},
		{"short solution", "POST", "/rooms/2/join", `{"challenge":"` + a.Challenge + `","solution":"` + token.Text(make([]byte, 8)) + `"}`, nil, 422, "not-solved"},
		{"odd solution", "POST", "/rooms/2/join", `{"challenge":"` + a.Challenge + `","solution":"AAA"}`, nil, 400, ""},
		{"oversized solution", "POST", "/rooms/2/join", `{"challenge":"` + a.Challenge + `","solution":"` + token.Text(make([]byte, 136)) + `"}`, nil, 400, ""},
		{"another room's challenge", "POST", "/rooms/1/join", `{"challenge":"` + a.Challenge + `","solution":"` + solution + `"}`, nil, 403, "other-room"},
		{"another visitor's challenge", "POST", "/rooms/2/join", `{"challenge":"` + other.Challenge + `","solution":"` + solution + `"}`, nil, 403, "other-visitor"},
		{"a foreign key's challenge", "POST", "/rooms/2/join", `{"challenge":"` + token.Text(foreign) + `","solution":"` + solution + `"}`, nil, 403, "foreign-challenge"},
		{"an expired challenge", "POST", "/rooms/2/join", `{"challenge":"` + minted(125*time.Second) + `","solution":"` + solution + `"}`, nil, 410, "expired"},
		{"a challenge from the future", "POST", "/rooms/2/join", `{"challenge":"` + minted(-time.Minute) + `","solution":"` + solution + `"}`, nil, 403, "ahead-of-time"},
		{"a challenge too old to renew", "POST", "/rooms/2/arrive", `{"challenge":"` + minted(241*time.Second) + `"}`, nil, 410, "expired"},
		{"a token for a challenge", "POST", "/rooms/2/join", `{"challenge":"` + p.Token + `","solution":"` + solution + `"}`, nil, 400, ""},
		{"enter without a place", "POST", "/rooms/2/enter", "{}", nil, 403, "no-place"},
		{"enter with somebody's token", "POST", "/rooms/2/enter", "{}", header{HeaderToken: p.Token}, 403, "other-visitor"},
		{"enter with another room's token", "POST", "/rooms/1/enter", "{}", header{HeaderToken: p.Token}, 403, "other-room"},
		{"enter with an expired token", "POST", "/rooms/2/enter", "{}", own(held(s.keys, token.Life*time.Microsecond+time.Second)), 410, "expired"},
		{"enter with a token from the future", "POST", "/rooms/2/enter", "{}", own(held(s.keys, -time.Minute)), 403, "ahead-of-time"},
		{"enter with a foreign key's token", "POST", "/rooms/2/enter", "{}", own(held(testKeys(t, 77), 0)), 403, "foreign-token"},
		{"enter with a challenge", "POST", "/rooms/2/enter", "{}", header{HeaderToken: a.Challenge}, 400, ""},
		{"enter with members", "POST", "/rooms/2/enter", `{"room":1}`, nil, 400, ""},
		{"leave without a place", "POST", "/rooms/2/leave", "{}", nil, 403, "no-place"},
		{"place without a place", "GET", "/rooms/2/place", "", nil, 403, "no-place"},
		{"from another site", "POST", "/rooms/2/arrive", "{}", header{"Sec-Fetch-Site": "cross-site"}, 403, "other-site"},
		{"no such asset", "GET", "/rooms/assets/x.js", "", nil, 404, ""},
		{"wrong method", "PUT", "/rooms/2/enter", "{}", nil, 405, ""},
	} {
		f.header = map[string][]string{}
		for k, v := range c.header {
			f.header.Set(k, v)
		}
		var body []byte
		if c.body != "" {
			body = []byte(c.body)
		}
		r := f.do(c.method, c.path, "application/json", body)
		if r.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, r.status, r.body, c.status)
			continue
		}
		if kind := r.kind(t); c.kind != "" && kind != c.kind {
			t.Errorf("%s: problem %q, want %q", c.name, kind, c.kind)
		}
		var said struct{ Detail, Key, Expected string }
		if r.into(t, &said); said.Detail == "" && (said.Key == "" || said.Expected == "") {
			t.Errorf("%s: nobody is told what to do: %s", c.name, r.body)
		}
		if about := keyOfProblem(c.kind, c.path); c.kind != "" && said.Key != about {
			t.Errorf("%s: the problem names %q, want %q", c.name, said.Key, about)
		}
	}
}
