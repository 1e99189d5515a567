package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"fairgate/internal/embedded/testchrome"
)

// waysToLook bring every two of phone and desk, light and dark, left to right and right to left together.
var waysToLook = []struct {
	lang, scheme  string
	width, height int64
}{
	{"en", "light", 360, 740}, {"ar", "dark", 360, 740}, {"en", "dark", 1280, 900}, {"ar", "light", 1280, 900},
}

func TestBrowser_EveryStateIsAccessibleInEveryWay(t *testing.T) {
	g := newGallery(t, nil)
	chrome := testchrome.Open(t)
	for _, way := range waysToLook {
		p := chrome.Person(way.width, way.height)
		p.Shots = fmt.Sprintf("room-%s-%s-%d-", way.lang, way.scheme, way.width)
		p.Prefers("prefers-color-scheme", way.scheme, "prefers-reduced-motion", "reduce")
		for _, s := range g.states {
			p.Opens(g.room(s.name) + "?lang=" + way.lang)
			g.settled(p, s.name)
			if out := testchrome.Eval[bool](p, "(() => {const b = document.querySelector('main').getBoundingClientRect(); return b.left < 0 || b.right > innerWidth || b.width < 300})()"); out {
				t.Errorf("%s in %s is not within the window", s.name, way.lang)
			}
			p.Accessible(s.name + " in " + way.lang + ", " + way.scheme)
			if wide := testchrome.Eval[int](p, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
				t.Errorf("%s in %s is %d pixels too wide for %d", s.name, way.lang, wide, way.width)
			}
			p.Shoot(s.name)
			if s.name == "waiting" || s.name == "closed" {
				p.Clicks(`details:has(#invite) summary`)
				p.Accessible(s.name + " with the field for a code in " + way.lang + ", " + way.scheme)
				p.Shoot(s.name + "-code")
			}
		}
	}
}

// What was rendered must not change its looks when the script takes over: both have plural forms, figures and steps of
// the wait from different libraries.
func TestBrowser_TheScriptSaysWhatTheServerSays(t *testing.T) {
	g := newGallery(t, nil)
	p := testchrome.Open(t).Person(320, 640)
	p.Shots = "room-320-"
	for _, lang := range []string{"en", "vi", "es", "fr", "ja", "ar"} {
		p.Opens(g.room("waiting") + "?lang=" + lang)
		g.settled(p, "waiting")
		rendered := `fetch(location.href).then((r) => r.text()).then((t) => {
			const page = new DOMParser().parseFromString(t, "text/html"), other = [];
			for (const id of ["headline", "todo", "number", "number-label", "wait", "left", "price", "line", "pace", "lane", "proof", "tell"]) {
				// Libraries differ in which of the narrow spaces groups French digits.
				const [a, b] = [page, document].map((d) => d.getElementById(id).textContent.replace(/\s/g, " "));
				if (a !== b) other.push(id + ": " + a + " / " + b);
			}
			return other.join("\n");
		})`
		other, err := chromedp.Run(p.Context, chromedp.Evaluate[string](rendered, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		if other != "" {
			t.Errorf("%s, server / script:\n%s", lang, other)
		}
		if wide := testchrome.Eval[int](p, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
			t.Errorf("%s is %d pixels too wide for a small phone", lang, wide)
		}
		p.Shoot(lang)
		t.Logf("%s: %s %s | %s | %s | %s", lang, p.Text("#number"), p.Text("#number-label"), p.Text("#wait"), p.Text("#turn"), p.Text("#left"))
	}
}

func TestBrowser_RightToLeftIsMirrored(t *testing.T) {
	g := newGallery(t, nil)
	p := testchrome.Open(t).Person(360, 740)
	p.Opens(g.room("waiting") + "?lang=ar")
	g.settled(p, "waiting")
	side := func(id string) string {
		return testchrome.Eval[string](p, `(() => {const r = document.createRange(); r.selectNodeContents(document.getElementById("`+id+`"));
			const b = r.getBoundingClientRect(); return innerWidth - b.right < b.left ? "right" : "left"})()`)
	}
	if side("number") != "right" || side("headline") != "right" || side("left") != "left" {
		t.Errorf("number %s, headline %s, left %s", side("number"), side("headline"), side("left"))
	}
	p.Opens(g.room("waiting") + "?lang=en")
	g.settled(p, "waiting")
	if side("number") != "left" || side("left") != "right" {
		t.Errorf("in English: number %s, left %s", side("number"), side("left"))
	}
}

func TestBrowser_DarkModeIsDark(t *testing.T) {
	g := newGallery(t, nil)
	p := testchrome.Open(t).Person(360, 740)
	p.Prefers("prefers-color-scheme", "dark")
	p.Opens(g.room("waiting"))
	g.settled(p, "waiting")
	if back := testchrome.Eval[string](p, "getComputedStyle(document.querySelector('main')).backgroundColor"); back != "rgb(27, 27, 34)" {
		t.Errorf("background %s", back)
	}
}

// moves serves a line in which ahead people stand before the place; each document is newer than the last.
func (g *gallery) moves(offset, ahead int) {
	d := document(map[string]any{"offset": offset, "nextPoll": 0.05})
	lane := d["lanes"].([]any)[0].(map[string]any)
	lane["waiting"], lane["table"] = ahead+1, [][2]any{{place[:17], ahead}, {place + "0", ahead}}
	lane["table"] = [][2]any{{place, ahead}, {place + "0", ahead}}
	g.line.Store(&state{document: d})
}

func TestBrowser_AScreenReaderHearsNewsNotEveryNumber(t *testing.T) {
	g := newGallery(t, nil)
	p := testchrome.Open(t).Person(360, 740)
	g.moves(1, 1000)
	p.Opens(g.room("paused"))
	p.Has(`body[data-phase="waiting"]`)
	testchrome.Eval[bool](p, `(window.heard = [], new MutationObserver(() => heard.push(document.getElementById("status").textContent))
		.observe(document.getElementById("status"), {childList: true, characterData: true, subtree: true}), true)`)
	offset := 1
	for _, ahead := range []int{990, 930, 870, 800, 760, 700, 650, 600, 550, 480, 470, 300, 260, 241, 3, 2, 1, 0} {
		offset++
		g.moves(offset, ahead)
		want := map[bool]string{true: fmt.Sprint(ahead), false: ""}[ahead > 0]
		p.Until(fmt.Sprintf("%d ahead", ahead), func() bool { return p.Text("#number") == want })
	}
	heard := testchrome.Eval[[]string](p, "heard")
	for i, want := range []string{"480 people ahead", "3 people ahead", "1 person ahead", "You are next"} {
		if i >= len(heard) || !strings.HasPrefix(heard[i], want) {
			t.Fatalf("heard %q, want %q", heard, want)
		}
	}
	if len(heard) != 4 {
		t.Errorf("heard %d things: %q", len(heard), heard)
	}
}

func TestBrowser_ARankNeverGrowsOnceItIsFinal(t *testing.T) {
	g := newGallery(t, nil)
	p := testchrome.Open(t).Person(360, 740)
	g.moves(1, 100)
	p.Opens(g.room("waiting"))
	p.Until("100 ahead", func() bool { return p.Text("#number") == "100" })
	g.moves(2, 120) // a coarser table
	p.Until("the document", func() bool { return g.asked.Load() > 4 })
	if n := p.Text("#number"); n != "100" {
		t.Errorf("grew to %s", n)
	}
	g.moves(3, 90)
	p.Until("90 ahead", func() bool { return p.Text("#number") == "90" })
}

// hide makes the script believe that the tab is hidden or seen; headless tabs are always seen.
func hide(p *testchrome.Person, hidden bool) {
	p.T.Helper()
	testchrome.Eval[bool](p, fmt.Sprintf(`(Object.defineProperty(document, "hidden", {configurable: true, get: () => %v}),
		document.dispatchEvent(new Event("visibilitychange")), true)`, hidden))
}

func TestBrowser_AHiddenPageRestsAndCatchesUp(t *testing.T) {
	g := newGallery(t, nil)
	p := testchrome.Open(t).Person(360, 740)
	g.moves(1, 100)
	p.Opens(g.room("waiting"))
	p.Until("looking often", func() bool { return g.asked.Load() > 5 })
	hide(p, true)
	time.Sleep(500 * time.Millisecond) // the look under way and the next one
	before := g.asked.Load()
	time.Sleep(1500 * time.Millisecond) // thirty looks, were it seen
	if after := g.asked.Load(); after > before {
		t.Errorf("hidden, it looked %d times", after-before)
	}
	g.moves(2, 50)
	hide(p, false)
	p.Until("caught up", func() bool { return p.Text("#number") == "50" })
}

func TestBrowser_TheTurnIsToldToThoseWhoAskedForIt(t *testing.T) {
	g := newGallery(t, nil)
	p := testchrome.Open(t).Person(360, 740)
	g.moves(1, 5)
	p.Opens(g.room("waiting"))
	p.Until("5 ahead", func() bool { return p.Text("#number") == "5" })
	testchrome.Eval[bool](p, `(window.told = [], window.tones = 0,
		window.Notification = class { constructor(title, how) { told.push(title + "|" + how.body + "|" + how.lang); }
			static permission = "default"; static async requestPermission() { Notification.permission = "granted"; } },
		window.AudioContext = class { currentTime = 0; destination = {}; resume() {}
			createOscillator() { tones++; return {frequency: {}, connect: (x) => x, start() {}, stop() {}}; }
			createGain() { return {gain: {setValueAtTime() {}, exponentialRampToValueAtTime() {}}, connect: (x) => x}; } }, true)`)
	if on := p.Count(`#tell[aria-pressed=false]`); on != 1 {
		t.Error("on without having been asked for")
	}
	p.Clicks("#tell")
	p.Has(`#tell[aria-pressed=true]`)
	before := testchrome.Eval[int](p, "tones") // heard once, so that one knows what to listen for
	p.Until("leave to notify", func() bool { return testchrome.Eval[string](p, "Notification.permission") == "granted" })
	hide(p, true)
	g.admits.Store(true)
	g.line.Store(&state{document: g.states[g.number("invited")-1].document})
	hide(p, false) // looks at once
	hide(p, true)
	p.Has(`body[data-phase="admitted"]`)
	p.Until("the sound", func() bool { return testchrome.Eval[int](p, "tones") > before })
	p.Until("the notification", func() bool {
		told := testchrome.Eval[[]string](p, "told")
		return len(told) == 1 && told[0] == "It is your turn|Mùa Hè Festival – Saturday|en"
	})
	if here := p.Location(); here != g.room("waiting") {
		t.Errorf("went to %s while nobody looked", here)
	}
	hide(p, false) // and on, when the fan is back
	p.Until("the shop", func() bool { return p.Location() == g.room("new") })

	g.line.Store(nil)
	p.Opens(g.room("waiting")) // it was remembered
	p.Has(`#tell[aria-pressed=true]`)
	p.Clicks("#tell")
	p.Has(`#tell[aria-pressed=false]`)
}

func TestBrowser_LeavingByKeyboardKeepsTheFocusWhereTheNewsIs(t *testing.T) {
	g := newGallery(t, nil)
	p := testchrome.Open(t).Person(360, 740)
	p.Opens(g.room("waiting"))
	g.settled(p, "waiting")
	p.Clicks(`details:has(#leave) summary`)
	p.Sees("Your place will be lost")
	testchrome.Eval[bool](p, `(document.querySelector("#leave button").focus(), true)`)
	p.Do(chromedp.KeyEvent("\r"))
	p.Has(`body[data-phase="left"]`)
	if id := testchrome.Eval[string](p, "document.activeElement.id"); id != "headline" {
		t.Errorf("the focus is at %q", id)
	}
	p.Accessible("left")
	p.Shots = "room-"
	p.Shoot("left")
}

func TestBrowser_ARefusedFanIsToldWhatToDo(t *testing.T) {
	g := newGallery(t, []byte("solver"))
	p := testchrome.Open(t).Person(360, 740)
	p.Opens(g.room("new"))
	p.Has(`body[data-phase="trouble"]`)
	p.Sees("quote 7KQ2 to the organiser")
	p.Accessible("refused")
	p.Shots = "room-"
	p.Shoot("refused")
}
