package waitingroom

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// guarded is a stage that counts what reaches the log, and a fan with a challenge and its solution.
type guarded struct {
	*stage
	fan       *fan
	challenge wire.Challenge
	mac       []byte
	solution  string
	appended  *atomic.Int64
}

func openGuarded(t *testing.T) guarded {
	t.Helper()
	s := open(t)
	f := s.fan()
	a := f.arrive("2")
	raw, err := token.FromText(a.Challenge, wire.ChallengeSize)
	if err != nil {
		t.Fatal(err)
	}
	ch, _, mac, err := wire.ParseChallenge(raw)
	if err != nil {
		t.Fatal(err)
	}
	g := guarded{stage: s, fan: f, challenge: ch, mac: mac, solution: solved(t, a.Puzzle), appended: &atomic.Int64{}}
	s.queue.set(func() (bool, error) { g.appended.Add(1); return false, nil })
	t.Cleanup(func() {
		if n := g.appended.Load(); n != 0 {
			t.Errorf("%d records reached the log", n)
		}
	})
	return g
}

// text is a challenge with the fan's own MAC, whatever it says.
func (g guarded) text(ch wire.Challenge) string {
	return token.Text(append(wire.AppendChallenge(nil, &ch), g.mac...))
}

// signed is a challenge that we signed.
func (g guarded) signed(place wire.Place, price token.Price) (string, wire.Challenge) {
	g.t.Helper()
	b, err := g.keys.MintChallenge(place, price)
	if err != nil {
		g.t.Fatal(err)
	}
	ch, _, _, err := wire.ParseChallenge(b)
	if err != nil {
		g.t.Fatal(err)
	}
	return token.Text(b), ch
}

// turnsAway fails unless a join is refused with a status and a kind of problem.
func (g guarded) turnsAway(what, challenge, solution string, status int, kind string) {
	g.t.Helper()
	r := g.fan.post("/rooms/2/join", joinRequest{challenge, solution})
	if r.status != status {
		g.t.Errorf("%s: %d %s, want %d", what, r.status, r.body, status)
	} else if got := r.kind(g.t); got != kind {
		g.t.Errorf("%s: %s, want %s", what, got, kind)
	}
}

func TestJoin_EveryFieldOfTheChallengeTamperedIsRefused(t *testing.T) {
	g := openGuarded(t)
	for name, change := range map[string]func(*wire.Challenge){
		"key":        func(c *wire.Challenge) { c.KeyID++ },
		"room":       func(c *wire.Challenge) { c.Room = hall },
		"lane":       func(c *wire.Challenge) { c.Lane = wire.LaneTimed },
		"instant":    func(c *wire.Challenge) { c.Instant -= 1_000_000 },
		"edge":       func(c *wire.Challenge) { c.Edge++ },
		"visitor":    func(c *wire.Challenge) { c.Visitor[0]++ },
		"narrow":     func(c *wire.Challenge) { c.Narrow++ },
		"broad":      func(c *wire.Challenge) { c.Broad++ },
		"origin":     func(c *wire.Challenge) { c.Origin++ },
		"wide":       func(c *wire.Challenge) { c.Wide++ },
		"carrier":    func(c *wire.Challenge) { c.Carrier = !c.Carrier },
		"random":     func(c *wire.Challenge) { c.Random[0]++ },
		"expires":    func(c *wire.Challenge) { c.Expires += 1_000_000 },
		"renewed":    func(c *wire.Challenge) { c.Renewed = true },
		"algorithm":  func(c *wire.Challenge) { c.Algorithm++ },
		"sub":        func(c *wire.Challenge) { c.Sub = 1 },
		"k":          func(c *wire.Challenge) { c.K++ },
		"difficulty": func(c *wire.Challenge) { c.Difficulty = 2 },
	} {
		ch := g.challenge
		change(&ch)
		g.turnsAway(name+", the old solution", g.text(ch), g.solution, http.StatusForbidden, "foreign-challenge")
		g.turnsAway(name+", solved anew", g.text(ch), solved(t, puzzleOf(&ch)), http.StatusForbidden, "foreign-challenge")
	}
}

func TestJoin_SplicedExpiryIsRefused(t *testing.T) {
	g := openGuarded(t)
	_, later := g.signed(wire.Place{Room: foyer, Visitor: g.challenge.Visitor, Instant: time.Now().UnixMicro() + 1_000_000}, work)
	ch := g.challenge
	ch.Expires = later.Expires
	g.turnsAway("the expiry of a later challenge", g.text(ch), g.solution, http.StatusForbidden, "foreign-challenge")
}

func TestJoin_ASolutionThatIgnoresTheSeedIsRefused(t *testing.T) {
	g := openGuarded(t)
	own, _ := g.signed(g.challenge.Place, token.Price{Algorithm: 1, SubPuzzles: 2, K: 1, Difficulty: 5_000})
	for name, seed := range map[string]string{
		"no seed": strings.Repeat("0", 64), "the seed of another challenge": puzzleOf(&g.challenge).Seed,
	} {
		p := puzzleAnswer{SubPuzzles: 2, Difficulty: 5_000, Seed: seed}
		g.turnsAway(name, own, solved(t, p), http.StatusUnprocessableEntity, "not-solved")
	}
}

func TestJoin_AForeignRoomsChallengeIsRefused(t *testing.T) {
	g := openGuarded(t)
	text, ch := g.signed(wire.Place{Room: hall, Visitor: g.challenge.Visitor, Instant: time.Now().UnixMicro()}, work)
	g.turnsAway("of the hall in the foyer", text, solved(t, puzzleOf(&ch)), http.StatusForbidden, "other-room")
}

func TestJoin_AForeignVisitorsChallengeIsRefused(t *testing.T) {
	g := openGuarded(t)
	text, ch := g.signed(wire.Place{Room: foyer, Visitor: wire.ID{1}, Instant: time.Now().UnixMicro()}, work)
	g.turnsAway("somebody else's", text, solved(t, puzzleOf(&ch)), http.StatusForbidden, "other-visitor")
}

func TestJoin_AClientCannotChooseTheDifficulty(t *testing.T) {
	g := openGuarded(t)
	hard, ch := g.signed(g.challenge.Place, token.Price{Algorithm: 1, SubPuzzles: 4, K: 1, Difficulty: 1 << 30})
	easy := puzzleOf(&ch)
	easy.Difficulty = 2
	g.turnsAway("solved at the client's own price", hard, solved(t, easy), http.StatusUnprocessableEntity, "not-solved")
	fewer := puzzleOf(&ch)
	fewer.SubPuzzles, fewer.Difficulty = 1, 2
	g.turnsAway("one sub-puzzle of four", hard, solved(t, fewer), http.StatusUnprocessableEntity, "not-solved")
	for _, path := range []string{"arrive", "join"} {
		r := g.fan.post("/rooms/2/"+path, map[string]any{"difficulty": 2})
		if r.status != http.StatusBadRequest || !strings.Contains(string(r.body), "difficulty") {
			t.Errorf("%s with a difficulty: %d %s", path, r.status, r.body)
		}
	}
}

func TestJoin_AForeignAlgorithmIsRefused(t *testing.T) {
	g := openGuarded(t)
	r := g.fan.post("/rooms/2/arrive", map[string]any{"algorithm": "md5"})
	if r.status != http.StatusBadRequest || !strings.Contains(string(r.body), "algorithm") {
		t.Errorf("arriving with an algorithm: %d %s", r.status, r.body)
	}
	ch := g.challenge
	ch.Algorithm = 77
	g.turnsAway("of the client's choice", g.text(ch), g.solution, http.StatusForbidden, "foreign-challenge")
}

func TestJoin_NoncesAreEightBytesAndNothingElse(t *testing.T) {
	g := openGuarded(t)
	challenge := g.text(g.challenge)
	for name, solution := range map[string]string{
		"negative": `-1`, "fractional": `0.5`, "huge": `1e400`, "a list": `[1, 2]`, "hex digits": `["00000000000000ff"]`, "null": `{}`,
		"text of a negative": `"-1"`, "text of a fraction": `"0.5"`, "text of a huge one": `"9999999999999999999999999999999"`,
		"other base64": `"////////////////////=="`, "blanks": `" AAAAAAAAAAAAAAAAAAAAA"`, "not canonical": `"AAAAAAAAAAAAAAAAAAAAAB"`,
	} {
		r := g.fan.do("POST", "/rooms/2/join", "application/json", fmt.Appendf(nil, `{"challenge":%q,"solution":%s}`, challenge, solution))
		if r.status != http.StatusBadRequest || !strings.Contains(string(r.body), "solution") {
			t.Errorf("%s: %d %s", name, r.status, r.body)
			continue
		}
		r.kind(t)
	}
}

func TestJoin_AnOversizedSolutionIsRefusedUnread(t *testing.T) {
	g := openGuarded(t)
	checked := g.gate.checked.Load()
	for size, status := range map[int]int{136: 400, 1 << 10: 400, 30 << 10: 400, 512 << 10: 413} {
		text := base64.RawURLEncoding.EncodeToString(make([]byte, size))
		r := g.fan.post("/rooms/2/join", joinRequest{g.text(g.challenge), text})
		if r.status != status {
			t.Errorf("%d bytes: %d %s", size, r.status, r.body)
		}
		r.kind(t)
	}
	if g.gate.checked.Load() != checked {
		t.Error("an oversized solution was worked on")
	}
}

func TestJoin_ChecksInTheOrderOfCost(t *testing.T) {
	g := openGuarded(t)
	past := time.Now().Add(-10 * time.Minute).UnixMicro()
	old, oldCh := g.signed(wire.Place{Room: hall, Visitor: wire.ID{1}, Instant: past}, work)
	unsigned := oldCh
	unsigned.Difficulty = 2
	foreign, _ := g.signed(wire.Place{Room: hall, Visitor: wire.ID{1}, Instant: time.Now().UnixMicro()}, work)
	other, _ := g.signed(wire.Place{Room: foyer, Visitor: wire.ID{1}, Instant: time.Now().UnixMicro()}, work)
	own, _ := g.signed(g.challenge.Place, token.Price{Algorithm: 1, SubPuzzles: 2, K: 1, Difficulty: 1 << 30})
	junk := token.Text(make([]byte, 16))
	// Each one has everything wrong that comes later, too.
	for _, c := range []struct {
		what, challenge, solution string
		status                    int
		kind                      string
		works                     int64 // checks of work
	}{
		{"shape", old[1:], "!", http.StatusBadRequest, "", 0},
		{"shape of the solution", g.text(unsigned), "!", http.StatusBadRequest, "", 0},
		{"signature", g.text(unsigned), junk, http.StatusForbidden, "foreign-challenge", 0},
		{"expiry", old, junk, http.StatusGone, "expired", 0},
		{"room", foreign, junk, http.StatusForbidden, "other-room", 0},
		{"visitor", other, junk, http.StatusForbidden, "other-visitor", 0},
		{"work", own, junk, http.StatusUnprocessableEntity, "not-solved", 1},
	} {
		before := g.gate.checked.Load()
		r := g.fan.post("/rooms/2/join", joinRequest{c.challenge, c.solution})
		if r.status != c.status || (c.kind != "" && r.kind(t) != c.kind) {
			t.Errorf("%s: %d %s, want %d %s", c.what, r.status, r.body, c.status, c.kind)
		}
		if n := g.gate.checked.Load() - before; n != c.works {
			t.Errorf("%s: work was checked %d times, want %d", c.what, n, c.works)
		}
	}
}

func TestJoin_WhoIsAboveALimitIsRefusedUnparsed(t *testing.T) {
	g := openGuarded(t)
	g.gate.verdict = func(Visit) Verdict { return Verdict{Status: http.StatusTooManyRequests, RetryAfter: 3 * time.Second} }
	for _, body := range []string{`{`, `{"challenge":"", "solution":""}`, strings.Repeat("x", 60_000)} {
		r := g.fan.do("POST", "/rooms/2/join", "application/json", []byte(body))
		if r.status != http.StatusTooManyRequests || r.kind(t) != "too-many-requests" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

func TestJoin_AForgedChallengeCountsAsAFailure(t *testing.T) {
	g := openGuarded(t)
	forged, late := g.challenge, g.challenge.Place
	forged.Instant--
	late.Instant -= token.ChallengeLife
	expired, _ := g.signed(late, work)
	for i, c := range []struct {
		challenge string
		kind      string
		status    int
		failures  int64
	}{{g.text(forged), "foreign-challenge", http.StatusForbidden, 1}, {expired, "expired", http.StatusGone, 1}} {
		g.turnsAway(c.kind, c.challenge, g.solution, c.status, c.kind)
		if n := g.gate.failed.Load(); n != c.failures {
			t.Errorf("%d: %d failures, want %d", i, n, c.failures)
		}
	}
}

func TestArrive_AnExpiredChallengeIsRenewedOnceAndNotTwice(t *testing.T) {
	g := openGuarded(t)
	old := g.challenge.Place
	old.Instant -= (token.ChallengeLife + 1_000_000)
	price := work
	price.Difficulty = 1000 // no solution fits another seed by chance
	expired, ch := g.signed(old, price)
	g.turnsAway("expired", expired, solved(t, puzzleOf(&ch)), http.StatusGone, "expired")
	var once arriveAnswer
	r := g.fan.post("/rooms/2/arrive", arriveRequest{Challenge: expired})
	r.into(t, &once)
	if r.status != 200 || once.Instant != instantText(old.Instant) || once.Puzzle.Seed == puzzleOf(&ch).Seed {
		t.Fatalf("renewed: %d %s", r.status, r.body)
	}
	if secret, err := token.FromText(once.Visitor, 16); err != nil || token.VisitorHash([16]byte(secret)) != old.Visitor {
		t.Errorf("the renewal came with another cookie: %v", err)
	}
	r = g.fan.post("/rooms/2/arrive", arriveRequest{Challenge: once.Challenge})
	if r.status != http.StatusGone || r.kind(t) != "expired" {
		t.Errorf("renewed twice: %d %s", r.status, r.body)
	}
	g.turnsAway("the solution of the expired one", once.Challenge, solved(t, puzzleOf(&ch)), http.StatusUnprocessableEntity, "not-solved")
}

// errTouched is what a store says that nobody should ask.
var errTouched = errors.New("a store was touched")

func TestJoin_UntilTheWorkIsRightNoStoreIsTouched(t *testing.T) {
	s := open(t)
	f := s.fan()
	// The log is the only store that the edge writes to, and it is down.
	s.queue.set(func() (bool, error) { return true, errTouched })
	a := f.arrive("2")
	var b arriveAnswer
	f.post("/rooms/2/arrive", arriveRequest{Challenge: a.Challenge}).into(t, &b)
	if b.Challenge == "" || b.Instant != a.Instant || b.Visitor != a.Visitor {
		t.Errorf("renewed without a store: %+v", b)
	}
	if r := f.post("/rooms/2/join", joinRequest{b.Challenge, unsolved(t, b.Puzzle)}); r.status != http.StatusUnprocessableEntity {
		t.Errorf("junk: %d %s", r.status, r.body)
	}
	if r := f.post("/rooms/2/join", joinRequest{b.Challenge, solved(t, b.Puzzle)}); r.status < 500 {
		t.Errorf("solved, it goes to the log, which is down: %d %s", r.status, r.body)
	}
}
