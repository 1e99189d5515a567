package waitingroom

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

func TestEdge_AFanArrivesJoinsEntersAndIsAdmitted(t *testing.T) {
	s := open(t)
	f := s.fan()
	p := f.join("1")
	if p.Lane != "normal" || len(p.OrderKey) != 50 || p.Place != p.OrderKey[18:] {
		t.Errorf("place %+v", p)
	}
	var in enterAnswer
	s.until("admitted", func() bool {
		r := f.post("/rooms/1/enter", map[string]string{})
		if r.status == http.StatusForbidden {
			if r.kind(t) != "not-invited" || r.header.Get("Retry-After") == "" {
				t.Fatalf("before the turn: %s", r.body)
			}
			return false
		}
		if r.status == http.StatusAccepted {
			return false
		}
		if r.status != 200 {
			t.Fatalf("enter: %d %s", r.status, r.body)
		}
		r.into(t, &in)
		if !strings.Contains(strings.Join(r.header.Values("Set-Cookie"), "\n"), "fg_pass_1="+in.Pass) {
			t.Error("the pass is in no cookie")
		}
		return true
	})
	claims, err := s.passes.Verify(in.Pass, hall, time.Now())
	if err != nil || claims.Place != p.Place || in.Next != "/events/7" {
		t.Errorf("pass %+v, %v, next %s", claims, err, in.Next)
	}
	again := f.post("/rooms/1/enter", map[string]string{})
	var same enterAnswer
	again.into(t, &same)
	if same != in {
		t.Errorf("asked again: %+v, first %+v", same, in)
	}
}

func TestEdge_AnAPIClientNeedsNoCookies(t *testing.T) {
	s := open(t)
	f := s.fan()
	f.client.Jar = nil
	a := f.arrive("1")
	f.header.Set(HeaderVisitor, a.Visitor)
	r := f.post("/rooms/1/join", joinRequest{a.Challenge, solved(t, a.Puzzle)})
	var p placeAnswer
	r.into(t, &p)
	if r.status != 200 || !p.Recorded {
		t.Fatalf("join: %d %s", r.status, r.body)
	}
	f.header.Set(HeaderToken, p.Token)
	s.until("admitted", func() bool { return f.post("/rooms/1/enter", nil).status == 200 })
}

func TestArrive_InstantsIncreaseStrictly(t *testing.T) {
	s := open(t)
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 16 {
		f := s.fan()
		wg.Go(func() {
			for range 16 {
				a := f.arrive("2")
				mu.Lock()
				if seen[a.Instant] {
					t.Errorf("two arrivals at %s", a.Instant)
				}
				seen[a.Instant] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestArrive_AVisitorWithAPlaceGetsItBack(t *testing.T) {
	s := open(t)
	f := s.fan()
	p := f.join("2")
	r := f.post("/rooms/2/arrive", map[string]string{})
	var back placeAnswer
	r.into(t, &back)
	if r.status != 200 || back.Token != p.Token || back.OrderKey != p.OrderKey || !back.Recorded {
		t.Errorf("got back %s, had %+v", r.body, p)
	}
}

func TestArrive_RenewsOnceWithTheSameInstant(t *testing.T) {
	s := open(t)
	f := s.fan()
	a := f.arrive("2")
	var b, c arriveAnswer
	f.post("/rooms/2/arrive", arriveRequest{Challenge: a.Challenge}).into(t, &b)
	if b.Instant != a.Instant || b.Challenge == a.Challenge || b.Puzzle.Seed == a.Puzzle.Seed {
		t.Errorf("renewed %+v from %+v", b, a)
	}
	r := f.post("/rooms/2/arrive", arriveRequest{Challenge: b.Challenge})
	if r.status != http.StatusGone || r.kind(t) != "expired" {
		t.Errorf("renewed twice: %d %s", r.status, r.body)
	}
	// Old and renewed challenge are one place.
	f.post("/rooms/2/join", joinRequest{a.Challenge, solved(t, a.Puzzle)}).into(t, &struct{}{})
	r = f.post("/rooms/2/join", joinRequest{b.Challenge, solved(t, b.Puzzle)})
	r.into(t, &c)
	if r.status != 200 || s.joined.Load() != 1 {
		t.Errorf("both joined: %d %s, %d places", r.status, r.body, s.joined.Load())
	}
}

func TestArrive_AClosedRoomSaysWhenItOpens(t *testing.T) {
	s := open(t)
	// Its own document comes every ten seconds only.
	if err := s.edge.docs.take([]byte(`{"version":1,"room":3,"state":"closed","opensAt":1800000000000000}`)); err != nil {
		t.Fatal(err)
	}
	r := s.fan().post("/rooms/3/arrive", map[string]string{})
	var p struct{ OpensAt string }
	r.into(t, &p)
	if r.status != http.StatusConflict || r.kind(t) != "closed" || p.OpensAt == "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestArrive_TheGuardsRefusalOffersAPath(t *testing.T) {
	s := open(t)
	s.gate.verdict = func(v Visit) Verdict {
		if v.Address.String() == "192.0.2.1" {
			return Verdict{Status: 429, RetryAfter: 3 * time.Second, Policy: `"a";q=1;w=1`, RateLimit: `"a";r=0;t=1`}
		}
		return Verdict{Status: 403, AppealCode: "ABCDE-FGHIJ"}
	}
	f := s.fan()
	r := f.post("/rooms/1/arrive", map[string]string{})
	if r.status != 403 || !strings.Contains(string(r.body), "ABCDE-FGHIJ") || r.kind(t) != "refused" {
		t.Errorf("%d %s", r.status, r.body)
	}
	f.header.Set("X-Forwarded-For", "192.0.2.1")
	r = f.post("/rooms/1/arrive", map[string]string{})
	if r.status != 429 || r.header.Get("Retry-After") == "" || r.header.Get("RateLimit") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
}

func TestJoin_ReplayedFromManyConnectionsIsOnePlace(t *testing.T) {
	s := open(t)
	f := s.fan()
	a := f.arrive("2")
	solution := solved(t, a.Puzzle)
	var wg sync.WaitGroup
	tokens := make([]string, 64)
	for i := range tokens {
		g := s.fan()
		g.header.Set(HeaderVisitor, a.Visitor)
		wg.Go(func() {
			var p placeAnswer
			r := g.post("/rooms/2/join", joinRequest{a.Challenge, solution})
			r.into(t, &p)
			if !p.Recorded {
				t.Errorf("not recorded: %d %s", r.status, r.body)
			}
			tokens[i] = p.Token
		})
	}
	wg.Wait()
	for _, got := range tokens {
		if got != tokens[0] {
			t.Error("two tokens for one challenge")
		}
	}
	if n := s.joined.Load(); n != 1 {
		t.Errorf("%d places", n)
	}
}

func TestJoin_AVisitorsSecondTabKeepsTheEarlierPlace(t *testing.T) {
	s := open(t)
	f := s.fan()
	a := f.arrive("2")
	b := f.arrive("2")
	var first, second placeAnswer
	f.post("/rooms/2/join", joinRequest{a.Challenge, solved(t, a.Puzzle)}).into(t, &first)
	r := f.post("/rooms/2/join", joinRequest{b.Challenge, solved(t, b.Puzzle)})
	r.into(t, &second)
	if r.status != 200 || second.Token != first.Token || second.Place != first.Place {
		t.Errorf("second tab: %d %s", r.status, r.body)
	}
	// Without the first tab's token there is nothing to give back.
	g := s.fan()
	g.header.Set(HeaderVisitor, b.Visitor)
	r = g.post("/rooms/2/join", joinRequest{b.Challenge, solved(t, b.Puzzle)})
	if r.status != http.StatusConflict || r.kind(t) != "place-kept" || !strings.Contains(string(r.body), first.Place) {
		t.Errorf("without the token: %d %s", r.status, r.body)
	}
}

func TestJoin_WhileTheLogIsAwayNothingIsLost(t *testing.T) {
	s := open(t)
	f := s.fan()
	a := f.arrive("2")
	solution := solved(t, a.Puzzle)
	s.queue.set(func() (bool, error) { return true, errLogAway })
	r := f.post("/rooms/2/join", joinRequest{a.Challenge, solution})
	var p, q placeAnswer
	r.into(t, &p)
	if r.status != 200 || p.Recorded || p.Token == "" || r.header.Get("Retry-After") == "" {
		t.Fatalf("while away: %d %s", r.status, r.body)
	}
	if strings.Contains(strings.Join(r.header.Values("Set-Cookie"), "\n"), "fg_token_2=") {
		t.Error("a place that is not recorded must not look like one")
	}
	s.queue.set(func() (bool, error) { return false, nil })
	f.post("/rooms/2/join", joinRequest{a.Challenge, solution}).into(t, &q)
	if !q.Recorded || q.Token != p.Token {
		t.Errorf("afterwards: %+v", q)
	}
}

// aged is a renewed challenge whose instant lies back, with its solution.
func (s *stage) aged(f *fan, room int64, back time.Duration) (challenge, solution string) {
	s.t.Helper()
	visitor := wire.ID{7}
	f.header.Set(HeaderVisitor, token.Text(visitor[:]))
	now := time.Now().UnixMicro()
	place := wire.Place{Room: room, Instant: now - back.Microseconds(), Visitor: token.VisitorHash(visitor), Random: wire.ID{1}}
	old, err := s.keys.MintChallenge(place, work)
	if err != nil {
		s.t.Fatal(err)
	}
	b, ch, err := s.keys.Renew(old, room, place.Visitor, now, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return token.Text(b), solved(s.t, puzzleOf(&ch))
}

func TestJoin_IsNotSentOnceTheFanIsAskedToSendItAgain(t *testing.T) {
	s := open(t, func(c *Config, _ *Deps) { c.NotAfter, c.JoinWait = 10*time.Second, 3*time.Second })
	before := time.Now()
	s.fan().join("1")
	last := s.queue.last.Load()
	var r wire.Record
	if err := r.Parse(last.value); err != nil {
		t.Fatal(err)
	}
	if ahead := time.UnixMicro(r.NotAfter).Sub(last.sentBy); ahead != 7*time.Second {
		t.Errorf("sent until %v before it has no effect any more, want 7 s", ahead)
	}
	if most := time.Now().Add(3 * time.Second); last.sentBy.After(most) || last.sentBy.Before(before) {
		t.Errorf("sent until %v, want at most %v", last.sentBy, most)
	}
}

func TestJoin_LateAcknowledgementAloneIsNotEnough(t *testing.T) {
	s := open(t)
	f := s.fan()
	challenge, solution := s.aged(f, foyer, 234*time.Second)
	s.queue.set(func() (bool, error) { return true, nil }) // acknowledged, but no outcome comes
	var p placeAnswer
	f.post("/rooms/2/join", joinRequest{challenge, solution}).into(t, &p)
	if p.Recorded {
		t.Error("recorded by the acknowledgement alone, 234 s after the instant")
	}
	s.queue.set(func() (bool, error) { return false, nil })
	f.post("/rooms/2/join", joinRequest{challenge, solution}).into(t, &p)
	if !p.Recorded {
		t.Error("its Joined outcome makes it recorded")
	}
	g := s.fan()
	challenge, solution = s.aged(g, hall, 225*time.Second)
	s.queue.set(func() (bool, error) { return true, nil })
	g.post("/rooms/1/join", joinRequest{challenge, solution}).into(t, &p)
	if !p.Recorded {
		t.Error("225 s after the instant the acknowledgement is enough")
	}
}

func TestJoin_TheTimedLaneCostsWaiting(t *testing.T) {
	s := open(t, func(c *Config, _ *Deps) { c.TimedWait = 300 * time.Millisecond })
	f := s.fan()
	var a arriveAnswer
	f.post("/rooms/2/arrive", arriveRequest{Lane: "timed"}).into(t, &a)
	if a.Puzzle.Algorithm != "timed" || a.Puzzle.NotBefore == "" {
		t.Fatalf("%+v", a)
	}
	r := f.post("/rooms/2/join", joinRequest{Challenge: a.Challenge})
	if r.status != http.StatusUnprocessableEntity || r.kind(t) != "too-soon" || r.header.Get("Retry-After") == "" {
		t.Fatalf("at once: %d %s", r.status, r.body)
	}
	var p placeAnswer
	s.until("joined", func() bool {
		r := f.post("/rooms/2/join", joinRequest{Challenge: a.Challenge})
		r.into(t, &p)
		return r.status == 200
	})
	if !p.Recorded || p.Lane != "timed" {
		t.Errorf("%+v", p)
	}
}

func TestEnter_FromManyConnectionsAtOnceIsOneAdmission(t *testing.T) {
	s := open(t)
	f := s.fan()
	p := f.join("6")
	waiting := s.fan()
	waiting.join("6")
	s.until("invited", func() bool {
		d := s.edge.docs.newest(small)
		return d != nil && d.doc.Joined == 2 && d.doc.Lanes[0].Waiting == 0
	})
	s.order(small, &wire.SetOutflow{PerMinute: 60_000, Cap: 1})
	s.until("capped", func() bool { return s.edge.docs.newest(small).doc.Cap == 1 })
	s.until("admitted", func() bool { return f.post("/rooms/6/enter", nil).status == 200 })
	var wg sync.WaitGroup
	passes := make([]string, 64)
	for i := range passes {
		g := s.fan()
		g.client.Jar = f.client.Jar
		wg.Go(func() {
			var in enterAnswer
			r := g.post("/rooms/6/enter", nil)
			r.into(t, &in)
			passes[i] = in.Pass
		})
	}
	wg.Wait()
	for _, pass := range passes {
		if pass == "" || pass != passes[0] {
			t.Fatal("two passes for one place")
		}
	}
	// The cap is 1: the next one's ask is recorded and waits.
	s.until("asked", func() bool {
		r := waiting.post("/rooms/6/enter", nil)
		if r.status == 200 {
			t.Fatalf("admitted above the cap, beside %s", p.Place)
		}
		var asked askedAnswer
		if r.status == http.StatusAccepted {
			r.into(t, &asked)
			return asked.Status == "asked" && asked.RetryAfter > 0
		}
		return false
	})
}

func TestEnter_BeforeTheTurnSaysThatThePlaceIsSaved(t *testing.T) {
	s := open(t)
	f := s.fan()
	f.join("2")
	before := s.queue.fail.Load()
	s.queue.set(func() (bool, error) { t.Error("the log was asked"); return true, errLogAway })
	r := f.post("/rooms/2/enter", nil)
	s.queue.fail.Store(before)
	if r.status != 403 || r.kind(t) != "not-invited" || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestEnter_AnUnknownPlaceIsForgotten(t *testing.T) {
	s := open(t)
	f := s.fan()
	visitor := wire.ID{9}
	f.header.Set(HeaderVisitor, token.Text(visitor[:]))
	ch := wire.Challenge{Place: wire.Place{Room: hall, Instant: 1_000_000 + time.Now().Add(-time.Hour).UnixMicro(),
		Visitor: token.VisitorHash(visitor)}}
	b, err := s.keys.TokenFor(&ch)
	if err != nil {
		t.Fatal(err)
	}
	s.fan().join("1")
	s.until("somebody is invited", func() bool { _, ok := s.edge.heard.invitedTo(hall, wire.LaneNormal); return ok })
	f.header.Set(HeaderToken, token.Text(b))
	r := f.post("/rooms/1/enter", nil)
	if r.status != http.StatusNotFound || r.kind(t) != "unknown-place" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if !strings.Contains(strings.Join(r.header.Values("Set-Cookie"), "\n"), "fg_token_1=;") {
		t.Errorf("the cookie stays: %v", r.header.Values("Set-Cookie"))
	}
}

func TestEnter_WhileTheLogIsAwayThePlaceIsSafe(t *testing.T) {
	s := open(t, func(c *Config, _ *Deps) { c.AskWait = 100 * time.Millisecond })
	f := s.fan()
	f.join("1")
	s.until("admitted", func() bool { return f.post("/rooms/1/enter", nil).status == 200 })
	for name, fail := range map[string]func() (bool, error){
		"not appended": func() (bool, error) { return true, errLogAway },
		"no answer":    func() (bool, error) { return true, nil },
	} {
		s.queue.set(fail)
		r := f.post("/rooms/1/enter", nil)
		if r.status != 503 || r.kind(t) != "try-again" || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	s.queue.set(func() (bool, error) { return false, nil })
	if r := f.post("/rooms/1/enter", nil); r.status != 200 {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
}

func TestLeave_GivesThePlaceUp(t *testing.T) {
	s := open(t)
	f := s.fan()
	p := f.join("2")
	if r := f.post("/rooms/2/leave", nil); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := f.get("/rooms/2/place"); r.status != 403 || r.kind(t) != "no-place" {
		t.Errorf("after leaving: %d %s", r.status, r.body)
	}
	if q := f.join("2"); q.Place == p.Place {
		t.Error("the same place again")
	}
}

func TestPlace_CountsThoseAhead(t *testing.T) {
	s := open(t)
	for range 3 {
		s.fan().join("2")
	}
	f := s.fan()
	f.join("2")
	var at standingAnswer
	s.until("in the document", func() bool {
		f.get("/rooms/2/place").into(t, &at)
		return at.Low == 3 && at.High == 3
	})
	if at.Invited || at.Exact || !at.About || at.Lane != "normal" {
		t.Errorf("%+v", at)
	}
}

func TestReady_NotWithABadClock(t *testing.T) {
	s := open(t)
	if err := s.edge.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.bound.Store(251_000)
	if err := s.edge.Ready(t.Context()); err == nil {
		t.Error("ready with a clock that may be wrong by 251 ms")
	}
}

func TestKeys_TheJWKSVerifiesPasses(t *testing.T) {
	s := open(t)
	r := s.fan().get("/.well-known/jwks.json")
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(r.body, &set); err != nil || len(set.Keys) != 1 || set.Keys[0]["crv"] != "Ed25519" {
		t.Errorf("%s %v", r.body, err)
	}
}

type leader func(room int64, id wire.ID) (Standing, error)

func (l leader) Place(_ context.Context, room int64, id wire.ID) (Standing, error) {
	return l(room, id)
}

func TestPlace_TheLeaderKnowsExactly(t *testing.T) {
	var answer atomic.Pointer[error]
	s := open(t, func(_ *Config, d *Deps) {
		d.Places = leader(func(room int64, id wire.ID) (Standing, error) {
			if err := answer.Load(); err != nil {
				return Standing{}, *err
			}
			return Standing{Key: wire.OrderKey{Class: 1, Key: 5, Token: id}, Lane: wire.LaneShared, Ahead: 17, State: "waiting"}, nil
		})
	})
	f := s.fan()
	f.join("2")
	var at standingAnswer
	f.get("/rooms/2/place").into(t, &at)
	if !at.Exact || at.Low != 17 || at.High != 17 || at.Lane != "shared" || at.State != "waiting" {
		t.Errorf("%+v", at)
	}
	answer.Store(&ErrNoPlace)
	if r := f.get("/rooms/2/place"); r.status != http.StatusNotFound || r.kind(t) != "unknown-place" {
		t.Errorf("%d %s", r.status, r.body)
	}
	away := errors.New("no leader")
	answer.Store(&away)
	s.until("in the document", func() bool {
		r := f.get("/rooms/2/place")
		r.into(t, &at)
		return r.status == 200 && !at.Exact && at.Lane == "normal"
	})
}
