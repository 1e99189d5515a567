package waitingroom

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"fairgate/internal/wire"
	"fairgate/waitingroom/page"
	"fairgate/waitingroom/token"
)

// phase is what a page shows.
func (f *fan) phase(room string) (phase string, page string, r reply) {
	f.s.t.Helper()
	f.header.Set("Accept", "text/html")
	r = f.get("/rooms/" + room)
	page = string(r.body)
	m := regexp.MustCompile(`data-phase="(\w+)"`).FindStringSubmatch(page)
	if r.status != 200 || m == nil {
		f.s.t.Fatalf("page: %d %s", r.status, page)
	}
	return m[1], page, r
}

func TestRoom_WithoutJavaScriptAFanGetsIn(t *testing.T) {
	s := open(t, func(c *Config, _ *Deps) { c.TimedWait = 200 * time.Millisecond })
	f := s.fan()
	if phase, page, r := f.phase("1"); phase != "new" || !strings.Contains(page, "Join the line") || r.header.Get("Refresh") != "" {
		t.Fatalf("first: %s %v", phase, r.header)
	}
	r := f.submit("/rooms/1/arrive", "lane=timed")
	if r.status != http.StatusSeeOther || r.header.Get("Location") != "/rooms/1" {
		t.Fatalf("arrive: %d %v %s", r.status, r.header, r.body)
	}
	if phase, _, r := f.phase("1"); phase != "checking" || !strings.HasPrefix(r.header.Get("Refresh"), "1;") {
		t.Errorf("then: %s, refresh %q", phase, r.header.Get("Refresh"))
	}
	s.until("ready", func() bool { phase, _, _ := f.phase("1"); return phase == "ready" })
	if r = f.submit("/rooms/1/join", ""); r.status != http.StatusSeeOther || r.header.Get("Location") != "/rooms/1" {
		t.Fatalf("join: %d %v %s", r.status, r.header, r.body)
	}
	s.until("invited", func() bool {
		phase, _, r := f.phase("1")
		if phase == "waiting" && r.header.Get("Refresh") == "" {
			t.Error("waiting without a Refresh header")
		}
		return phase == "invited"
	})
	s.until("admitted", func() bool {
		r = f.submit("/rooms/1/enter", "")
		return r.status == http.StatusSeeOther && r.header.Get("Location") == "/events/7"
	})
	if phase, page, _ := f.phase("1"); phase != "admitted" || !strings.Contains(page, `href="/events/7"`) {
		t.Errorf("at the end: %s", phase)
	}
}

func TestRoom_AFormThatFailsEndsOnThePageWithTheReason(t *testing.T) {
	s := open(t)
	f := s.fan()
	f.join("2")
	r := f.submit("/rooms/2/enter", "")
	if r.status != http.StatusSeeOther || r.header.Get("Location") != "/rooms/2?notice=not-invited" {
		t.Fatalf("%d %v", r.status, r.header)
	}
	f.header.Set("Accept", "text/html")
	if r = f.get("/rooms/2?notice=not-invited"); !strings.Contains(string(r.body), "It is not your turn yet. Your place is saved.") {
		t.Errorf("%s", r.body)
	}
	if r = f.get("/rooms/2?notice=<script>"); strings.Contains(string(r.body), "<script>&") || strings.Contains(string(r.body), "&lt;script&gt;") {
		t.Error("a notice from the address is shown")
	}
}

func TestRoom_ThePageOfAPlaceTellsWhatIsSo(t *testing.T) {
	s := open(t)
	s.fan().join("2")
	f := s.fan()
	p := f.join("2")
	s.until("in the document", func() bool {
		_, page, _ := f.phase("2")
		return strings.Contains(page, ">1</strong>")
	})
	phase, page, r := f.phase("2")
	for _, want := range []string{"Foyer", "The line is paused", "1,204 tickets, 37 more on hold", "from 1,250,000\u00a0VND",
		"2 people", `data-key="` + p.OrderKey + `"`, p.Place, "person ahead of you"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if phase != "paused" || r.header.Get("Refresh") == "" {
		t.Errorf("%s, %v", phase, r.header)
	}
	if csp := r.header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %s", csp)
	}
	f.header.Set("Cookie", "fg_js=1") // beside those of the jar
	if _, _, r := f.phase("2"); r.header.Get("Refresh") != "" {
		t.Error("a page whose script runs is refreshed")
	}
}

// packed is a file as a browser gets it, in bytes; what it holds must be what a browser without compression gets.
func (f *fan) packed(path, encoding string) int {
	f.s.t.Helper()
	f.header.Del("Accept-Encoding")
	plain := f.get(path).body
	f.header.Set("Accept-Encoding", encoding)
	r := f.get(path)
	f.header.Del("Accept-Encoding")
	if r.status != 200 || r.header.Get("Content-Encoding") != encoding {
		f.s.t.Fatalf("%s: %d %v", path, r.status, r.header)
	}
	var unpacked io.Reader = brotli.NewReader(bytes.NewReader(r.body))
	if encoding == "gzip" {
		var err error
		if unpacked, err = gzip.NewReader(bytes.NewReader(r.body)); err != nil {
			f.s.t.Fatal(err)
		}
	}
	if got, err := io.ReadAll(unpacked); err != nil || !bytes.Equal(got, plain) {
		f.s.t.Errorf("%s in %s is not what it is: %v", path, encoding, err)
	}
	return len(r.body)
}

// TestRoom_FirstPaintIsSmall adds up what is needed until everything is shown and runs: page, style and script.
func TestRoom_FirstPaintIsSmall(t *testing.T) {
	const limit = 14 << 10
	solver, err := os.ReadFile("../botguard/puzzle/browser/solver.js")
	if err != nil {
		t.Fatal(err)
	}
	invites, err := token.NewInvites([]token.Key{{ID: 5, Secret: [32]byte{5}}})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, func(_ *Config, d *Deps) { d.SolverJS, d.Invites = solver, invites })
	f := s.fan()
	f.join("2") // a page with a place says most
	for _, lang := range []string{"en", "vi", "es", "fr", "ja", "ar"} {
		f.header.Set("Accept-Language", lang)
		_, page, _ := f.phase("2")
		for _, encoding := range []string{"br", "gzip"} {
			total := f.packed("/rooms/2", encoding)
			files := regexp.MustCompile(`<(?:link rel="stylesheet" href|script src)="(/rooms/assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
			if len(files) != 2 {
				t.Fatalf("files: %v", files)
			}
			for _, path := range files {
				if cache := f.get(path[1]).header.Get("Cache-Control"); !strings.Contains(cache, "immutable") {
					t.Errorf("%s: %s", path[1], cache)
				}
				total += f.packed(path[1], encoding)
			}
			t.Logf("first paint in %s, %s: %d bytes", lang, encoding, total)
			if total > limit {
				t.Errorf("%s, %s: %d bytes, at most %d", lang, encoding, total, limit)
			}
		}
	}
}

func TestRoom_TheLanguageChosenStays(t *testing.T) {
	s := open(t)
	f := s.fan()
	f.header.Set("Accept-Language", "fr")
	if _, page, _ := f.phase("1"); !strings.Contains(page, `<html lang="fr" dir="ltr">`) {
		t.Errorf("%.80s", page)
	}
	f.header.Set("Accept", "text/html")
	f.get("/rooms/1?lang=ar")
	f.get("/rooms/1?lang=<b>") // changes nothing
	if _, page, _ := f.phase("1"); !strings.Contains(page, `<html lang="ar" dir="rtl">`) {
		t.Errorf("%.80s", page)
	}
}

func TestRoom_APlaceThatIsOverIsSaidToBeOver(t *testing.T) {
	s := open(t)
	f := s.fan()
	f.header.Set("Accept", "text/html")
	page := string(f.get("/rooms/1?notice=gone").body)
	for _, want := range []string{`data-phase="missed"`, "Your turn has passed", "its turn was missed for too long", "Join the line"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestRoom_EveryAcceptHeaderOfAProgramGetsJSON sends what clients of all kinds send, and takes each step with it.
func TestRoom_EveryAcceptHeaderOfAProgramGetsJSON(t *testing.T) {
	s := open(t)
	for _, accept := range []string{
		"", "*/*", "application/json", "application/json, text/plain, */*", "application/*", "application/problem+json",
		"application/vnd.shop.v2+json, */*;q=0.1", "text/plain", "application/json;charset=utf-8", "text/html;q=0.4, application/json",
	} {
		f := s.fan()
		f.client.Jar = nil // as apps do it: all in headers
		f.header["Accept"] = []string{accept}
		get := func(path string, want int, into any) {
			t.Helper()
			r := f.get(path)
			if kind := r.header.Get("Content-Type"); r.status != want || !strings.HasSuffix(kind, "json") {
				t.Fatalf("Accept %q: %s: %d %s %s", accept, path, r.status, kind, r.body)
			}
			r.into(t, into)
		}
		var room roomAnswer
		get("/rooms/1", 200, &room)
		if room.Phase != "new" || room.Links["arrive"] != "/rooms/1/arrive" {
			t.Errorf("Accept %q: %+v", accept, room)
		}
		a := f.arrive("1")
		f.header.Set("Queue-Visitor", a.Visitor)
		r := f.post("/rooms/1/join", joinRequest{a.Challenge, solved(t, a.Puzzle)})
		var p placeAnswer
		r.into(t, &p)
		f.header.Set("Queue-Token", p.Token)
		get("/rooms/1", 200, &room)
		if room.Place != p.Place || room.OrderKey != p.OrderKey {
			t.Errorf("Accept %q: %+v", accept, room)
		}
		var entered enterAnswer
		s.until("admitted", func() bool {
			r = f.post("/rooms/1/enter", map[string]string{})
			if kind := r.header.Get("Content-Type"); !strings.HasSuffix(kind, "json") {
				t.Fatalf("Accept %q: enter: %s %s", accept, kind, r.body)
			}
			return r.status == 200
		})
		if r.into(t, &entered); entered.Pass == "" || entered.Next != "/events/7" {
			t.Errorf("Accept %q: %+v", accept, entered)
		}
	}
}

func TestRoom_BrandsChangeWithoutARestart(t *testing.T) {
	folder := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(folder, "1.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("title: First\nlogo: logo.svg")
	if err := os.WriteFile(filepath.Join(folder, "logo.svg"), []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, func(c *Config, _ *Deps) { c.Brands, c.Refresh = folder, 100*time.Millisecond })
	f := s.fan()
	says := func(want string) bool { _, page, _ := f.phase("1"); return strings.Contains(page, want) }
	if !says(">First</p>") {
		t.Fatal("no brand")
	}
	_, page, _ := f.phase("1")
	logo := f.get(regexp.MustCompile(`/rooms/assets/logo-\w+\.svg`).FindString(page))
	if logo.status != 200 || logo.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(logo.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("logo: %d %v", logo.status, logo.header)
	}
	write("title: Second one")
	s.until("the new title", func() bool { return says(">Second one</p>") })
	write("titel: Third") // a mistake leaves what was
	time.Sleep(300 * time.Millisecond)
	if !says(">Second one</p>") {
		t.Error("a broken file took the brand away")
	}
}

func TestEdge_ABrokenBrandStopsTheStartWithItsName(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "1.yaml"), []byte("light: {accent: red}"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &Edge{config: Config{Brands: folder}}
	if err := e.dress(); err == nil || !strings.Contains(err.Error(), "1.yaml: light.accent: expected a colour") {
		t.Errorf("%v", err)
	}
}

// TestRoom_FirstComersShareAPageAndNobodyElseGetsIt holds the kept page against what is rendered for each.
func TestRoom_FirstComersShareAPageAndNobodyElseGetsIt(t *testing.T) {
	s := open(t)
	look := func(f *fan, lang string) string {
		f.header.Set("Accept", "text/html")
		f.header.Set("Accept-Language", lang)
		return string(f.get("/rooms/2").body)
	}
	s.state(foyer, wire.RoomPaused)
	if a, b := look(s.fan(), "fr"), look(s.fan(), "en"); !strings.Contains(a, `lang="fr"`) || !strings.Contains(b, `<html lang="en"`) {
		t.Error("a language was mixed up with another")
	}
	insider := s.fan()
	insider.join("2")
	if page := look(insider, "en"); !strings.Contains(page, `data-phase="paused"`) {
		t.Error("a fan with a place got the page of newcomers")
	}
	if page := look(s.fan(), "en"); !strings.Contains(page, `data-phase="new"`) {
		t.Error("a newcomer got somebody's page")
	}
	s.state(foyer, wire.RoomEnded)
	if page := look(s.fan(), "en"); !strings.Contains(page, `data-phase="ended"`) {
		t.Error("the page of an older document")
	}
	kept := &s.edge.firsts
	for i := range 2 * maxFirsts {
		kept.put(firstPage{accept: strconv.Itoa(i)}, firstMade{}, []byte("x"))
	}
	if n := len(kept.pages); n > maxFirsts {
		t.Errorf("%d pages are kept", n)
	}
}

// BenchmarkRoom_FirstPage is one client that fetches the page of newcomers, over and over.
func BenchmarkRoom_FirstPage(b *testing.B) {
	s := open(b)
	f := s.fan()
	f.client.Jar = nil
	f.header.Set("Accept", "text/html")
	f.header.Set("Accept-Encoding", "br")
	for b.Loop() {
		if r := f.get("/rooms/2"); r.status != 200 {
			b.Fatal(r.status)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bench:edge.page:requests/s")
}

func TestRoom_TheSolverMayCompileAndThePageMayNot(t *testing.T) {
	s := open(t, func(_ *Config, d *Deps) { d.SolverJS = []byte("self.onmessage = null;") })
	f := s.fan()
	_, html, r := f.phase("1")
	if csp := r.header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "worker-src 'self'") {
		t.Errorf("the page's policy: %s", csp)
	}
	m := regexp.MustCompile(`data-solver="([^"]+)"`).FindStringSubmatch(html)
	if m == nil {
		t.Fatal("no solver")
	}
	if csp := f.get(m[1]).header.Get("Content-Security-Policy"); csp != page.SolverPolicy {
		t.Errorf("the solver's policy: %q", csp)
	}
}
