package waitingroom

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
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
	for _, want := range []string{"Foyer", "The line is paused", "1,204 tickets, 37 more on hold", "from 1,250,000 VND",
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

func TestRoom_FirstPaintIsSmall(t *testing.T) {
	solver, err := os.ReadFile("../botguard/puzzle/browser/solver.js")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, func(_ *Config, d *Deps) { d.SolverJS = solver })
	f := s.fan()
	_, page, _ := f.phase("1")
	total := 0
	pack := func(b []byte) int {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(b)
		_ = w.Close()
		return out.Len()
	}
	total += pack([]byte(page))
	for _, path := range regexp.MustCompile(`(?:href|src)="(/rooms/assets/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		r := f.get(path[1])
		if r.status != 200 || !strings.Contains(r.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path[1], r.status, r.header)
		}
		total += pack(r.body)
	}
	if total > 14<<10 {
		t.Errorf("%d bytes", total)
	}
	t.Logf("first paint: %d bytes compressed", total)
}
