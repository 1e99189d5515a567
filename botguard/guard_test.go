package botguard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairgate/botguard/limit"
	"fairgate/botguard/puzzle"
	"fairgate/botguard/risk"
	"fairgate/internal/conf"
	"fairgate/internal/sale"
)

// wall is a clock that tests move by hand.
type wall struct{ ns atomic.Int64 }

func newWall() *wall { w := &wall{}; w.ns.Store(1_800_000_000_000_000_000); return w }

func (w *wall) now() time.Time          { return time.Unix(0, w.ns.Load()) }
func (w *wall) advance(d time.Duration) { w.ns.Add(int64(d)) }

const secret = "0123456789abcdef0123456789abcdef"

func prefixList(texts ...string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func newGuard(t testing.TB, c Config, d Deps) *Guard {
	t.Helper()
	c.Secret = conf.Secret(secret)
	g, err := New(c, d)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func arriving(address string) Request {
	return Request{
		Action: ActionArrive, Address: netip.MustParseAddr(address),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", AcceptLanguage: "en",
	}
}

func TestGuard_OrdinaryArrivalIsAllowedAtBasePrice(t *testing.T) {
	v := newGuard(t, Config{}, Deps{}).Judge(t.Context(), arriving("192.0.2.1"))
	want := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 4, K: 32768, Difficulty: 90_000}
	if !v.Allow || v.Status != 200 || v.Price != want || v.Lane != LaneNormal || len(v.Reasons) != 0 {
		t.Fatalf("%+v", v)
	}
	if policy, limit := v.Limits.Headers(); !strings.Contains(policy, ";q=20;") || !strings.Contains(limit, ";r=19;") {
		t.Errorf("%s %s", policy, limit)
	}
}

func TestGuard_PriceFollowsTheCrowdOfTheNetwork(t *testing.T) {
	c := Config{Carriers: prefixList("203.0.113.0/24"), Puzzle: PuzzleConfig{Difficulty: 1000}}
	g := newGuard(t, c, Deps{})
	for _, v := range []struct {
		address string
		places  sale.NetworkPlaces
		want    uint32
	}{
		{"192.0.2.1", sale.NetworkPlaces{}, 1000},
		{"192.0.2.1", sale.NetworkPlaces{Narrow: 1}, 1250},
		{"192.0.2.1", sale.NetworkPlaces{Narrow: 4}, 2000},
		{"192.0.2.1", sale.NetworkPlaces{Narrow: 4, Wide: 32}, 3000},
		{"192.0.2.1", sale.NetworkPlaces{Narrow: 28}, 8000},
		{"192.0.2.1", sale.NetworkPlaces{Narrow: 1 << 62, Wide: 1 << 62}, 8000},
		{"192.0.2.1", sale.NetworkPlaces{Narrow: -5, Wide: -5}, 1000},
		{"203.0.113.5", sale.NetworkPlaces{Narrow: 100, Wide: 10_000}, 1500},
		{"203.0.113.5", sale.NetworkPlaces{Narrow: 10_000}, 2000},
		{"203.0.113.5", sale.NetworkPlaces{Broad: 1 << 40, Origin: 1 << 40}, 1000},
		{"2a00:1::1", sale.NetworkPlaces{Broad: 4_000}, 2000},
		{"2a00:1::1", sale.NetworkPlaces{Broad: 4_000, Origin: 60_000}, 4000},
	} {
		r := arriving(v.address)
		r.Places = v.places
		got := g.Judge(t.Context(), r)
		if got.Price.Difficulty != v.want {
			t.Errorf("%s %+v: %d, want %d", v.address, v.places, got.Price.Difficulty, v.want)
		}
	}
}

func TestGuard_ChallengesThatCanStillBeAnsweredCountAsPlaces(t *testing.T) {
	w := newWall()
	g := newGuard(t, Config{Carriers: prefixList("203.0.113.0/24"), Puzzle: PuzzleConfig{Difficulty: 1000}}, Deps{Clock: w.now})
	ask := func(address string, room int64) uint32 {
		r := arriving(address)
		r.Room, r.Networks = room, g.Networks(r.Address)
		v := g.Judge(t.Context(), r)
		if !v.Allow {
			t.Fatalf("%s: %+v", address, v)
		}
		g.Issued(r)
		return v.Price.Difficulty
	}
	for n, want := range []uint32{1000, 1250, 1500, 1750, 2000} {
		if got := ask("192.0.2.1", 1); got != want {
			t.Errorf("challenge %d of an address costs %d, want %d", n+1, got, want)
		}
	}
	if got := ask("192.0.2.2", 1); got != 1310 { // five of the sixteen people expected in its /24
		t.Errorf("its neighbour pays %d", got)
	}
	if got := ask("192.0.2.1", 2); got != 1000 {
		t.Errorf("in another room: %d", got)
	}
	for range 5 {
		if got := ask("203.0.113.5", 1); got != 1000 {
			t.Errorf("a listed carrier's address pays %d for what others asked for", got)
		}
	}
	w.advance(3 * time.Minute)
	if got := ask("192.0.2.1", 1); got != 1000 {
		t.Errorf("when none can be answered any more: %d", got)
	}
}

func TestGuard_PriceNeverLeavesTheAlgorithmsRange(t *testing.T) {
	g := newGuard(t, Config{Puzzle: PuzzleConfig{Difficulty: puzzle.MaxDifficulty}}, Deps{})
	r := arriving("192.0.2.1")
	r.Places.Narrow = 1000
	if p := g.Judge(t.Context(), r).Price; p.Difficulty != puzzle.MaxDifficulty {
		t.Fatalf("%+v", p)
	}
}

func TestGuard_AboveTheLimitIs429WithATime(t *testing.T) {
	w := newWall()
	g := newGuard(t, Config{Limits: limit.Config{Actions: map[string][]limit.Rule{
		ActionLogin: {{Name: "l", Key: limit.KeyAddress, Rate: 6, Burst: 2}}}}}, Deps{Clock: w.now})
	r := arriving("192.0.2.1")
	r.Action = ActionLogin
	for range 2 {
		if v := g.Judge(t.Context(), r); !v.Allow {
			t.Fatalf("%+v", v)
		}
	}
	v := g.Judge(t.Context(), r)
	if v.Allow || v.Status != 429 || v.RetryAfter != 10*time.Second || v.AppealCode != "" {
		t.Fatalf("%+v", v)
	}
	w.advance(v.RetryAfter)
	if v := g.Judge(t.Context(), r); !v.Allow {
		t.Fatalf("after RetryAfter: %+v", v)
	}
}

// refusing refuses whoever sent three wrong solutions.
func refusing() Config {
	return Config{Risk: risk.Document{
		Version: 1,
		Rules:   []risk.Rule{{Name: "wrong", Fact: "failures", Is: "atLeast", Value: "3", Score: 10, Why: "wrong solutions"}},
		Steps:   []risk.Step{{At: 10, Action: risk.Refuse}},
	}}
}

func TestGuard_RefusalHasAnAppealCodeThatTheLogFinds(t *testing.T) {
	var log bytes.Buffer
	w := newWall()
	g := newGuard(t, refusing(), Deps{Clock: w.now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	r := arriving("192.0.2.1")
	for range 3 {
		if v := g.Judge(t.Context(), r); !v.Allow {
			t.Fatalf("%+v", v)
		}
		g.Failed(r)
	}
	v := g.Judge(t.Context(), r)
	if v.Allow || v.Status != 403 || len(v.AppealCode) != 11 || len(v.Reasons) == 0 {
		t.Fatalf("%+v", v)
	}
	if !strings.Contains(log.String(), v.AppealCode) || strings.Contains(log.String(), "192.0.2.1") {
		t.Errorf("log: %s", log.String())
	}
	if again := g.Judge(t.Context(), r); again.AppealCode != v.AppealCode {
		t.Error("another code within the hour")
	}
	if other := g.Judge(t.Context(), arriving("192.0.2.2")); !other.Allow {
		t.Error("a neighbour is refused too")
	}
	r.Action = ActionEnter
	if v := g.Judge(t.Context(), r); !v.Allow {
		t.Error("somebody lost a place to the guard")
	}
	w.advance(2 * recentSpan)
	if v := g.Judge(t.Context(), arriving("192.0.2.1")); !v.Allow {
		t.Error("still refused long after")
	}
}

func TestGuard_RefusalsCannotFloodTheLog(t *testing.T) {
	var log bytes.Buffer
	c := refusing()
	c.Risk.Rules[0].Fact, c.Risk.Rules[0].Is, c.Risk.Rules[0].Value = "userAgent", "contains", "bad"
	g := newGuard(t, c, Deps{Clock: newWall().now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 100 {
		r := arriving(netip.AddrFrom4([4]byte{10, byte(i), 0, 1}).String())
		r.UserAgent = "bad"
		g.Judge(t.Context(), r)
	}
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != maxRefusalLines {
		t.Fatalf("%d lines", n)
	}
}

func TestGuard_WhoeverSendsJunkHasNoCallsLeftAndNobodyElseSuffers(t *testing.T) {
	w := newWall()
	g := newGuard(t, Config{Carriers: prefixList("203.0.113.0/24")}, Deps{Clock: w.now})
	worked := func(address string, calls int) (n int) {
		for i := range calls {
			r := arriving(address)
			r.Action, r.Visitor = ActionJoin, [16]byte{byte(i)} // a fresh visitor each time is no help
			if g.Judge(t.Context(), r).Allow {
				n++
				g.Failed(r)
			}
		}
		return n
	}
	joins := func(address string, calls int) (n int) {
		for range calls {
			r := arriving(address)
			if r.Action = ActionJoin; g.Judge(t.Context(), r).Allow {
				n++
			}
		}
		return n
	}
	if n := worked("192.0.2.1", 1000); n > 4 {
		t.Errorf("%d wrong solutions of one address were worked on", n)
	}
	if n := joins("192.0.2.2", 40); n != 40 {
		t.Errorf("a neighbour of the /24 has %d joins", n)
	}
	w.advance(11 * time.Second)
	if n := worked("192.0.2.1", 1000); n != 1 {
		t.Errorf("%d more after 11 s", n)
	}
	all := 0
	for host := range 250 {
		all += worked(fmt.Sprintf("198.51.100.%d", host+1), 10)
	}
	if all > 110 { // the /24's 600 calls, six a time, and what refills meanwhile
		t.Errorf("%d wrong solutions of one /24 were worked on", all)
	}
	if n := worked("203.0.113.9", 500); n < 150 {
		t.Errorf("a listed carrier's address was shut after %d wrong solutions of strangers", n)
	}
}

func TestGuard_CarrierNeighboursDoNotAnswerForEachOther(t *testing.T) {
	c := refusing()
	c.Carriers = prefixList("203.0.113.0/24")
	g := newGuard(t, c, Deps{Clock: newWall().now})
	bad, good := arriving("203.0.113.5"), arriving("203.0.113.5")
	bad.Visitor, good.Visitor = [16]byte{1}, [16]byte{2}
	for range 5 {
		g.Failed(bad)
	}
	if g.Judge(t.Context(), bad).Allow || !g.Judge(t.Context(), good).Allow {
		t.Fatal("failures do not follow the visitor")
	}
}

func TestGuard_CheckTakesOnlySolutionsOfTheirPuzzle(t *testing.T) {
	for _, algorithm := range []string{"sha256", "hashwx"} {
		g := newGuard(t, Config{Puzzle: PuzzleConfig{Algorithm: algorithm, Difficulty: 200, K: 64}}, Deps{})
		p := g.Judge(t.Context(), arriving("192.0.2.1")).Price
		if name, err := g.Algorithm(p); err != nil || name != algorithm {
			t.Fatal(name, err)
		}
		set, err := puzzle.NewSet(puzzle.SHA256{}, puzzle.NewHashWX())
		if err != nil {
			t.Fatal(err)
		}
		seed := sha256.Sum256([]byte(algorithm))
		solution, err := set.Solve(seed, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Check(seed, p, solution); err != nil {
			t.Error(err)
		}
		seed[0]++
		if err := g.Check(seed, p, solution); !errors.Is(err, puzzle.ErrUnsolved) {
			t.Error(err)
		}
		p.Algorithm = 77
		if err := g.Check(seed, p, solution); !errors.Is(err, puzzle.ErrAlgorithm) {
			t.Error(err)
		}
	}
}

func TestGuard_JunkCostsOneSubPuzzle(t *testing.T) {
	g := newGuard(t, Config{Puzzle: PuzzleConfig{Difficulty: puzzle.MaxDifficulty}}, Deps{})
	err := g.Check(sha256.Sum256([]byte("junk")), g.Base(), make([]byte, g.Base().Size()))
	if !errors.Is(err, puzzle.ErrUnsolved) || !strings.HasSuffix(err.Error(), "sub-puzzle 0") {
		t.Errorf("all four are junk, found out at: %v", err)
	}
}

// untouchable is a store that nobody may ask.
type untouchable struct{ t *testing.T }

func (u untouchable) Take(context.Context, string, int64, time.Duration) (limit.Count, error) {
	u.t.Error("a store was touched")
	return limit.Count{}, nil
}

func TestGuard_ArrivingAndJoiningTouchNoStore(t *testing.T) {
	g := newGuard(t, Config{Puzzle: PuzzleConfig{Difficulty: 20, K: 64}}, Deps{Shared: untouchable{t}})
	for _, action := range []string{ActionArrive, ActionJoin} {
		for i := range byte(200) { // beyond every limit of one address
			r := arriving("192.0.2.1")
			r.Action, r.Visitor = action, [16]byte{i}
			g.Judge(t.Context(), r)
			g.Failed(r)
		}
	}
	seed := sha256.Sum256([]byte("no store"))
	solution, err := puzzle.NewHashWX().Solve(seed, g.Base(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(seed, g.Base(), solution); err != nil {
		t.Error(err)
	}
}

func TestNew_WrongConfigurationNamesTheKey(t *testing.T) {
	for want, c := range map[string]Config{
		"secret":                   {},
		"secret: expected at":      {Secret: "short"},
		"puzzle.algorithm":         {Secret: secret, Puzzle: PuzzleConfig{Algorithm: "md5"}},
		"puzzle.difficulty":        {Secret: secret, Puzzle: PuzzleConfig{Difficulty: 1}},
		"carriers":                 {Secret: secret, Carriers: []netip.Prefix{{}}},
		"limit: actions.join":      {Secret: secret, Limits: limit.Config{Actions: map[string][]limit.Rule{"join": {}}}},
		"risk rules: version":      {Secret: secret, Risk: risk.Document{Version: 3}},
		"keys: expected 1 to 3200": {Secret: secret, Limits: limit.Config{Keys: -1}},
	} {
		_, err := New(c, Deps{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "short") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func BenchmarkGuard_JudgeArrive(b *testing.B) {
	g := newGuard(b, Config{}, Deps{})
	r := arriving("192.0.2.1")
	ctx := b.Context()
	for i := 0; b.Loop(); i++ {
		r.Address = netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		g.Judge(ctx, r)
	}
}

// BenchmarkGuard_CheckHashWX is the whole work of an honest solution: four sub-puzzles.
func BenchmarkGuard_CheckHashWX(b *testing.B) {
	g := newGuard(b, Config{Puzzle: PuzzleConfig{Algorithm: "hashwx", Difficulty: 100}}, Deps{})
	seed := sha256.Sum256([]byte("bench"))
	solution, err := puzzle.NewHashWX().Solve(seed, g.base, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Check(seed, g.base, solution); err != nil {
			b.Fatal(err)
		}
	}
}
