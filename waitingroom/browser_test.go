package waitingroom

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"fairgate/internal/embedded/testchrome"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// listen serves the stage on a real port and returns its address.
func (s *stage) listen() string {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	server := web.NewServer(web.Config{}, web.ServerDeps{Handler: s.router.Handler})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ctx, ln) // a browser's open connections are cut
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	return "http://" + ln.Addr().String()
}

// crowd puts people in line, all before now.
func (s *stage) crowd(room int64, people int) {
	s.t.Helper()
	now := time.Now().UnixMicro()
	values := make([][]byte, people)
	for i := range values {
		var id wire.ID
		binary.BigEndian.PutUint64(id[:], uint64(i)+1)
		values[i] = wire.AppendRecord(nil, wire.Record{Object: room, Ref: id}, &wire.Join{
			Instant: now - 1_000_000 + int64(i), Edge: 99, Visitor: id, Narrow: uint64(i), Wide: uint64(i)})
	}
	if _, err := s.log.AppendBatch(context.Background(), s.names[0], 0, values); err != nil {
		s.t.Fatal(err)
	}
	s.until("the crowd is in line", func() bool {
		d := s.edge.docs.newest(room)
		return d != nil && d.doc.Joined == uint32(people)
	})
}

// withSolver is a stage whose page has the real solver, and work that takes it a moment.
func withSolver(t *testing.T, change ...func(*Config, *Deps)) *stage {
	t.Helper()
	solver, err := os.ReadFile("../botguard/puzzle/browser/solver.js")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, append(change, func(_ *Config, d *Deps) { d.SolverJS = solver })...)
	s.gate.verdict = func(Visit) Verdict {
		price := work
		price.SubPuzzles, price.Difficulty = 4, 20_000
		return Verdict{Allow: true, Status: 200, Price: price}
	}
	return s
}

// someone opens a browser with one person before a phone.
func someone(t *testing.T) *testchrome.Person {
	t.Helper()
	p := testchrome.Open(t).Person(390, 844)
	p.Shots = "waitingroom-"
	return p
}

func inPhase(name string) string { return `body[data-phase="` + name + `"]` }

// state opens or closes a room, and waits until the edge knows.
func (s *stage) state(room int64, state wire.RoomState) {
	s.t.Helper()
	s.order(room, &wire.SetRoom{State: state})
	s.until(state.String(), func() bool { d := s.edge.docs.newest(room); return d != nil && d.doc.State == state.String() })
}

// gone waits until nobody of a room is in line any more.
func (s *stage) gone(room int64) {
	s.t.Helper()
	s.until("nobody in line", func() bool { d := s.edge.docs.newest(room); return d != nil && d.doc.Waiting == 0 })
}

func TestBrowser_AFanInLineUsesAnInviteCode(t *testing.T) {
	p := someone(t)
	invites, err := token.NewInvites([]token.Key{{ID: 5, Secret: [32]byte{5}}})
	if err != nil {
		t.Fatal(err)
	}
	s := withSolver(t, func(_ *Config, d *Deps) { d.Invites = invites })
	base := s.listen()
	p.Opens(base + "/rooms/2")
	p.Has(inPhase("paused")) // the page has joined by itself, before there was a code
	uses := func(code string) {
		t.Helper()
		p.Clicks(`details:has(#invite) summary`)
		p.Types(`#code`, code+"\n")
	}
	uses("abc")
	p.Sees("not an invite code as it was given out")
	p.Has(inPhase("paused"))
	p.Opens(base + "/rooms/2")
	p.Has(inPhase("paused"))
	uses(base + "/rooms/2?invite=" + mintCode(t, invites, foyer, 8, 1, time.Hour))
	p.Sees("stand in the line for invited guests")
	p.Until("in line by invitation", func() bool {
		return p.Count(inPhase("paused")) == 1 && strings.HasPrefix(p.Text("#lane"), "You came by invitation")
	})
	p.Shoot("invited-lane")
	p.Opens(base + "/rooms/2") // a reload says the same, and offers no other code
	p.Has(`body[data-phase="paused"][data-lane="invited"]`)
	if n := p.Count("#invite"); n != 0 {
		t.Errorf("%d fields for a code", n)
	}
}

func TestBrowser_AFanWaitsAndIsLetIn(t *testing.T) {
	p := someone(t)
	s := withSolver(t)
	s.gate.presence = token.Price{Algorithm: 1, SubPuzzles: 1, K: 1, Difficulty: 5_000} // the page proves that somebody is there
	s.order(slow, &wire.DefineRoom{Cap: 10_000, PerMinute: 300})
	s.order(slow, &wire.Signal{Left: 1204, Coming: 37, Price: 1_250_000, Currency: [3]byte{'V', 'N', 'D'}, Headroom: -1, SourceSeq: 1})
	s.crowd(slow, 40)
	base := s.listen()
	p.Opens(base + "/rooms/7")
	p.Has(inPhase("early"))
	p.Until("40 ahead", func() bool { return p.Text("#number") == "40" })
	p.Shoot("early")
	s.state(slow, wire.RoomOpen)
	p.Opens(base + "/rooms/7") // a reload keeps the place
	p.Has(inPhase("waiting"))
	p.Shoot("waiting")
	s.order(slow, &wire.SetOutflow{PerMinute: 60_000, Cap: 10_000})
	p.Until("the shop", func() bool { return strings.HasSuffix(p.Location(), "/events/7") })
	if n := s.joined.Load(); n != 41 {
		t.Errorf("%d places, want the crowd's 40 and one", n)
	}
	p.Opens(base + "/rooms/7")
	p.Has(inPhase("admitted"))
	p.Shoot("admitted")
	if s.gate.failed.Load() > 0 || s.gate.checked.Load() < 2 {
		t.Errorf("%d solutions checked, %d wrong: entering took no work", s.gate.checked.Load(), s.gate.failed.Load())
	}
}

func TestBrowser_AMissedTurnIsStillGoodWithinItsGrace(t *testing.T) {
	p := someone(t)
	s := withSolver(t)
	s.order(slow, &wire.DefineRoom{Cap: 10, PerMinute: 60_000, Claim: 100_000, Grace: 600_000_000})
	s.state(slow, wire.RoomPaused)
	base := s.listen()
	p.Opens(base + "/rooms/7")
	p.Has(inPhase("paused"))
	p.Opens("about:blank") // closes the page
	s.state(slow, wire.RoomOpen)
	s.until("invited", func() bool {
		d := s.edge.docs.newest(slow)
		return len(d.doc.Lanes) > 0 && d.doc.Lanes[0].InvitedTo != ""
	})
	time.Sleep(300 * time.Millisecond) // three times the time to claim
	p.Opens(base + "/rooms/7")
	p.Until("the shop", func() bool { return strings.HasSuffix(p.Location(), "/events/7") })
}

func TestBrowser_ATurnMissedForGoodIsSaidAndANewPlaceOffered(t *testing.T) {
	p := someone(t)
	s := withSolver(t)
	s.order(slow, &wire.DefineRoom{Cap: 10, PerMinute: 60_000, Claim: 100_000, Grace: 300_000})
	s.state(slow, wire.RoomPaused)
	base := s.listen()
	p.Opens(base + "/rooms/7")
	p.Has(inPhase("paused"))
	p.Opens("about:blank")
	s.state(slow, wire.RoomOpen)
	s.gone(slow)
	s.state(slow, wire.RoomPaused)
	p.Opens(base + "/rooms/7")
	p.Has(inPhase("missed"))
	p.Sees("Your turn has passed", "missed for too long", "take a new place")
	p.Shoot("missed")
	p.Clicks("#join button")
	p.Has(inPhase("paused"))
	if n := s.joined.Load(); n != 2 {
		t.Errorf("%d places, want the missed one and the new one", n)
	}
}

// Tabs that can neither take turns nor hear one another, as when the browser starves one of them, arrive at once without a
// cookie. The answer that comes last must not make them another visitor.
func TestBrowser_TabsThatArriveAtOnceAreOneVisitor(t *testing.T) {
	first := someone(t)
	second := first.Tab(390, 844)
	s := withSolver(t)
	verdict, held, arrived := s.gate.verdict, make(chan struct{}), atomic.Int32{}
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	s.gate.verdict = func(v Visit) Verdict {
		if v.Action == ActionArrive && arrived.Add(1) == 1 {
			<-held
		}
		return verdict(v)
	}
	s.order(slow, &wire.DefineRoom{Cap: 10, PerMinute: 60_000})
	s.state(slow, wire.RoomPaused)
	base := s.listen()
	for _, p := range []*testchrome.Person{first, second} {
		p.Before(`Object.defineProperty(Navigator.prototype, "locks", {value: undefined}); delete window.BroadcastChannel`)
		p.Opens(base + "/rooms/7")
		s.until("arrived", func() bool { return arrived.Load() > 0 })
	}
	second.Has(inPhase("paused"))
	release()
	first.Has(inPhase("paused"))
	proof := func(p *testchrome.Person) string {
		return testchrome.Eval[string](p, `document.getElementById("proof").textContent`)
	}
	if a, b := proof(first), proof(second); a == "" || a != b {
		t.Errorf("places %q and %q", a, b)
	}
	if n := s.joined.Load(); n != 1 {
		t.Errorf("%d places", n)
	}
}

// A fan's cookie is for all rooms: the answer of one that comes last must not lose the place in another.
func TestBrowser_RoomsThatAreOpenedAtOnceKnowOneVisitor(t *testing.T) {
	first := someone(t)
	second := first.Tab(390, 844)
	s := withSolver(t)
	verdict, held, arrived := s.gate.verdict, make(chan struct{}), make(chan struct{})
	release, come := sync.OnceFunc(func() { close(held) }), sync.OnceFunc(func() { close(arrived) })
	defer release()
	s.gate.verdict = func(v Visit) Verdict {
		if v.Action == ActionArrive && v.Room == slow {
			come()
			<-held
		}
		return verdict(v)
	}
	s.order(slow, &wire.DefineRoom{Cap: 10, PerMinute: 60_000})
	s.state(slow, wire.RoomPaused)
	base := s.listen()
	first.Opens(base + "/rooms/7")
	<-arrived
	second.Opens(base + "/rooms/2")
	second.Has(inPhase("paused"))
	proof := func() string {
		return testchrome.Eval[string](second, `document.getElementById("proof").textContent`)
	}
	before := proof()
	release()
	first.Has(inPhase("paused"))
	second.Opens(base + "/rooms/2")
	second.Has(inPhase("paused"))
	if after := proof(); after == "" || after != before {
		t.Errorf("place %q became %q", before, after)
	}
	if n := s.joined.Load(); n != 2 {
		t.Errorf("%d places, want one in each room", n)
	}
	if kept := testchrome.Eval[bool](second, `"fairgate-visitor" in localStorage`); kept {
		t.Error("the secret is kept where scripts read it after the cookie has it")
	}
}

// Without locks two tabs may both see that there is no secret, and both store one: the one that is there then is everybody's.
func TestBrowser_TheVisitorsSecretIsTheOneThatWasStoredLast(t *testing.T) {
	p := someone(t)
	s := withSolver(t)
	base := s.listen()
	p.Before(`{
		const set = Storage.prototype.setItem, send = fetch;
		Storage.prototype.setItem = function (key, value) {
			set.call(this, key, key === "fairgate-visitor" ? JSON.stringify("AAAAAAAAAAAAAAAAAAAAAA") : value);
		};
		fetch = (url, init) => {
			if (url.endsWith("/arrive")) window.visitor = JSON.parse(init.body).visitor;
			return send(url, init);
		};
	}`)
	p.Opens(base + "/rooms/2")
	p.Has(inPhase("paused"))
	if sent := testchrome.Eval[string](p, "visitor"); sent != "AAAAAAAAAAAAAAAAAAAAAA" {
		t.Errorf("the page sent %q, which another tab does not know", sent)
	}
}

func TestBrowser_TabsShareOnePlace(t *testing.T) {
	first := someone(t)
	s := withSolver(t)
	s.order(slow, &wire.DefineRoom{Cap: 10, PerMinute: 60_000})
	s.state(slow, wire.RoomPaused)
	base := s.listen()
	second := first.Tab(390, 844)
	done := make(chan struct{})
	go func() { // both at once, before either has a cookie
		defer close(done)
		second.Opens(base + "/rooms/7")
	}()
	first.Opens(base + "/rooms/7")
	<-done
	number := func(p *testchrome.Person) string {
		p.Has(inPhase("paused"))
		return p.Text("#proof") + testchrome.Eval[string](p, `document.getElementById("proof").textContent`)
	}
	if a, b := number(first), number(second); a == "" || a != b {
		t.Errorf("places %q and %q", a, b)
	}
	third := first.Tab(390, 844)
	third.Opens(base + "/rooms/7")
	if a, b := number(first), number(third); a != b {
		t.Errorf("places %q and %q", a, b)
	}
	// A tab may not see yet what another one stored a moment ago, and then take a challenge of its own: as the same visitor, of
	// whose places the earlier one stays.
	n := 0
	s.people.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d visitors", n)
	}
	s.state(slow, wire.RoomOpen)
	tabs := []*testchrome.Person{first, second, third}
	in := func() (gone, told int) {
		for _, p := range tabs {
			if strings.HasSuffix(p.Location(), "/events/7") {
				gone++
			} else if p.Count(inPhase("admitted")) == 1 {
				told++
			}
		}
		return gone, told
	}
	first.Until("one tab in the shop, the others told", func() bool { gone, told := in(); return gone == 1 && told == 2 })
	if d := s.edge.docs.newest(slow); d.doc.Inside > 1 {
		t.Errorf("%d inside", d.doc.Inside)
	}
}

func TestBrowser_LeavingInOneTabIsKnownInTheOther(t *testing.T) {
	first := someone(t)
	s := withSolver(t)
	s.order(slow, &wire.DefineRoom{Cap: 10, PerMinute: 60_000})
	s.state(slow, wire.RoomPaused)
	base := s.listen()
	first.Opens(base + "/rooms/7")
	first.Has(inPhase("paused"))
	second := first.Tab(390, 844)
	second.Opens(base + "/rooms/7")
	second.Has(inPhase("paused"))
	second.Clicks("details:has(#leave) summary")
	second.Clicks("#leave button")
	second.Has(inPhase("left"))
	first.Has(inPhase("left"))
}

func TestBrowser_WithoutJavaScriptAFanIsLetIn(t *testing.T) {
	p := someone(t)
	s := open(t, func(c *Config, _ *Deps) { c.TimedWait = 1500 * time.Millisecond })
	s.gate.presence = token.Price{Algorithm: 1, SubPuzzles: 1, K: 1, Difficulty: 5_000} // which nobody can do without scripts
	base := s.listen()
	p.NoScripts()
	p.Opens(base + "/rooms/1")
	p.Shoot("join")
	p.Clicks("form.new button")
	p.Has(inPhase("checking"))
	p.Shoot("checking")
	p.Has(inPhase("ready")) // by the Refresh header
	p.Clicks("form.ready button")
	p.Until("a place", func() bool { return p.Count("#proof") == 1 && p.Count(inPhase("ready")) == 0 })
	p.Until("invited", func() bool {
		_ = chromedp.Do(p.Context, chromedp.Navigate(base+"/rooms/1")) // the Refresh header may come in between
		return p.Count(inPhase("invited")) == 1
	})
	p.Shoot("invited")
	p.Clicks("form.invited button")
	p.Until("the shop", func() bool { return strings.HasSuffix(p.Location(), "/events/7") })
}

func TestBrowser_WithoutJavaScriptAMissedTurnIsSaid(t *testing.T) {
	p := someone(t)
	s := open(t, func(c *Config, _ *Deps) { c.TimedWait = 100 * time.Millisecond })
	s.order(slow, &wire.DefineRoom{Cap: 10, PerMinute: 60_000, Claim: 100_000, Grace: 300_000})
	s.state(slow, wire.RoomPaused)
	base := s.listen()
	p.NoScripts()
	p.Opens(base + "/rooms/7")
	p.Clicks("form.new button")
	p.Has(inPhase("ready"))
	p.Clicks("form.ready button")
	p.Has(inPhase("paused"))
	p.Opens("about:blank")
	s.state(slow, wire.RoomOpen)
	s.gone(slow)
	p.Opens(base + "/rooms/7")
	p.Clicks("form.invited button")
	p.Has(inPhase("missed"))
	p.Sees("Your turn has passed", "missed for too long")
}
