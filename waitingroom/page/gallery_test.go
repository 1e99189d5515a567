package page

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"fairgate/internal/embedded/testchrome"
)

// gallery serves one room for each state of the page, with the real script over the answers of an edge in that state.
type gallery struct {
	t      *testing.T
	url    string
	page   *Page
	states []state
	asked  atomic.Int64          // for the queue document
	admits atomic.Bool           // asks are answered with a pass
	line   atomic.Pointer[state] // overrides the document of every room
}

// state is what an edge says of a room; its number is its index and one.
type state struct {
	name     string
	view     View
	document map[string]any // of the queue; nil for none
}

// The middle of 40 places in the order of arrival: keys are class, instant and id.
const place = "01000000000000002800000000000000000000000000000028"

func document(change map[string]any) map[string]any {
	key := func(i int) string { return fmt.Sprintf("01%016x", i) }
	rows := [][2]any{}
	for i := range 40 {
		rows = append(rows, [2]any{key(i + 1), i})
	}
	d := map[string]any{
		"version": 1, "state": "open", "at": time.Now().UnixMicro(), "offset": 1, "mode": "fcfs", "waiting": 12_345, "perMinute": 37,
		"left": 1204, "coming": 37, "price": "1250.50", "currency": "EUR", "allowance": 1, "nextPoll": 60,
		"lanes": []any{map[string]any{"lane": "normal", "invitedUpTo": "", "waiting": 40, "rateLow": 1_500, "rateHigh": 3_000, "table": rows}},
	}
	maps.Copy(d, change)
	return d
}

// viewOf is a place that the document puts behind 39 others.
func viewOf(phase Phase) View {
	return View{
		Name: "Mùa Hè Festival – Saturday", Phase: phase, Key: place, Lane: "normal", Place: place[18:], Instant: "2026-05-01T10:00:00Z",
		Next: "/events/7", Known: true, Low: 39, High: 39, Line: Line{Known: true, Waiting: 12_345, PerMinute: 37, Left: 1204, Coming: 37,
			Price: "1250.50", Currency: "EUR", RateLow: 1_500, RateHigh: 3_000},
	}
}

func allStates() []state {
	soon := time.Now().Add(40 * time.Minute).Truncate(time.Minute).UnixMicro()
	with := func(phase Phase, change func(*View)) View {
		v := viewOf(phase)
		change(&v)
		return v
	}
	none := func(phase Phase) View {
		return with(phase, func(v *View) { v.Key, v.Place, v.Lane, v.Instant, v.Known = "", "", "", "", false })
	}
	next := document(nil)
	next["lanes"].([]any)[0].(map[string]any)["invitedUpTo"] = fmt.Sprintf("01%016x", 39)
	next["lanes"].([]any)[0].(map[string]any)["table"] = [][2]any{{place, 0}, {place + "0", 0}}
	turn := document(nil)
	turn["lanes"].([]any)[0].(map[string]any)["invitedUpTo"] = fmt.Sprintf("01%016x", 400)
	return []state{
		{"new", none(Arriving), nil},
		{"checking", none(Checking), nil},
		{"ready", none(Ready), nil},
		{"waiting", viewOf(Waiting), document(nil)},
		{"waiting-young", with(Waiting, func(v *View) { v.Young, v.Lane = true, "shared" }), document(map[string]any{"allowance": 1e18})},
		{"waiting-next", with(Waiting, func(v *View) { v.Low, v.High = 0, 0 }), next},
		{"early", with(Early, func(v *View) { v.Until = soon }), document(map[string]any{"state": "early", "opensAt": soon})},
		{"early-draw", with(Early, func(v *View) { v.Until, v.Drawn, v.Line.Draw = soon, true, true }),
			document(map[string]any{"state": "early", "mode": "draw", "opensAt": soon})},
		{"paused", viewOf(Paused), document(map[string]any{"state": "paused"})},
		{"soldOut", with(SoldOut, func(v *View) { v.Line.Left = 0 }), document(map[string]any{"state": "soldOut", "left": 0})},
		{"invited", with(Invited, func(v *View) { v.Low, v.High = 0, 0 }), turn},
		{"admitted", with(Admitted, func(v *View) { v.Until = soon }), nil},
		{"missed", with(Missed, func(v *View) { v.Key, v.Known, v.Notice = "", false, "gone" }), nil},
		{"closed", with(Closed, func(v *View) { v.Key, v.Known, v.Until = "", false, soon }), document(map[string]any{"state": "closed", "opensAt": soon})},
		{"closed-early", with(Closed, func(v *View) { v.Key, v.Known, v.Until, v.Doors = "", false, soon, soon+3_600_000_000 }),
			document(map[string]any{"state": "closed", "earlyFrom": soon, "opensAt": soon + 3_600_000_000})},
		{"coded", with(Arriving, func(v *View) {
			v.Key, v.Place, v.Lane, v.Instant, v.Known, v.Coded, v.Notice = "", "", "", "", false, true, "invite"
		}), nil},
		{"bad-code", with(Waiting, func(v *View) { v.Notice = "foreign-invite" }), document(nil)},
		{"ended", with(Ended, func(v *View) { v.Key, v.Known = "", false }), document(map[string]any{"state": "ended"})},
		{"away", with(Waiting, func(v *View) { v.Notice = "try-again" }), nil},
		{"branded", with(Waiting, func(v *View) {}), document(nil)},
	}
}

func newGallery(t *testing.T, solver []byte) *gallery {
	t.Helper()
	p, err := New(solver)
	if err != nil {
		t.Fatal(err)
	}
	g := &gallery{t: t, page: p, states: allStates()}
	brands, err := LoadBrands(fstest.MapFS{
		fmt.Sprint(g.number("branded"), ".yaml"): {Data: []byte("title: {en: Sol y Sombra}\nlogo: logo.svg\nlogoAlt: Sol y Sombra\n" +
			"text: {en: \"Doors open at 19:00. Please bring an ID.\\n\\nQuestions? help@example.org\", ar: \"تُفتح الأبواب في السابعة مساءً. يُرجى إحضار الهوية.\"}\n" +
			"light: {accent: \"#ffb000\", background: \"#fff3d6\"}\ndark: {background: \"#2a1600\", surface: \"#3a2408\"}")},
		"logo.svg": {Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 48"><circle cx="24" cy="24" r="20" fill="#ffb000"/>` +
			`<text x="56" y="32" font-family="sans-serif" font-size="24" font-weight="700" fill="#c26a00">SOL</text></svg>`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Dress(brands)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// number is the room of a state.
func (g *gallery) number(name string) int {
	for i, s := range g.states {
		if s.name == name {
			return i + 1
		}
	}
	g.t.Fatalf("no state %q", name)
	return 0
}

func (g *gallery) room(name string) string { return fmt.Sprintf("%s/rooms/%d", g.url, g.number(name)) }

func (g *gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, AssetPath); ok {
		a, ok := g.page.Asset(name)
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", a.Type)
		_, _ = w.Write(a.Body)
		return
	}
	parts := strings.Split(r.URL.Path, "/")
	n, err := strconv.Atoi(parts[min(2, len(parts)-1)])
	if err != nil || n < 1 || n > len(g.states) {
		http.NotFound(w, r)
		return
	}
	s := g.states[n-1]
	if len(parts) == 3 {
		s.view.Room, s.view.Invites = int64(n), true
		body, err := g.page.Render(s.view, r.URL.Query().Get("lang"), r.Header.Get("Accept-Language"))
		if err != nil {
			g.t.Error(err)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", Policy(s.view.Next))
		_, _ = w.Write(body)
		return
	}
	g.step(w, parts[3], s)
}

// step answers what the script asks of the edge.
func (g *gallery) step(w http.ResponseWriter, step string, s state) {
	w.Header().Set("Content-Type", "application/json")
	switch step {
	case "queue":
		g.asked.Add(1)
		if other := g.line.Load(); other != nil {
			s = *other
		}
		if s.document != nil {
			_ = json.NewEncoder(w).Encode(s.document)
			return
		}
	case "enter":
		if g.admits.Load() {
			_, _ = fmt.Fprintf(w, `{"pass":"x","expires":%q,"next":"/rooms/1"}`, time.Now().Add(5*time.Minute).Format(time.RFC3339))
			return
		}
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"status":"asked","ahead":3,"retryAfter":60}`))
		return
	case "leave":
		_, _ = w.Write([]byte(`{"status":"left"}`))
		return
	case "arrive":
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"type":"/problems/refused","detail":"It looks automated.","appealCode":"7KQ2"}`))
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{}`))
}

// settled waits until the script has shown its state: it puts "data-offset" on the body with the first document.
func (g *gallery) settled(p *testchrome.Person, name string) {
	g.t.Helper()
	s := g.states[g.number(name)-1]
	p.Has(fmt.Sprintf(`body[data-js][data-phase=%q]`, s.view.Phase))
	if s.document != nil && s.view.Phase != Closed && s.view.Phase != Invited {
		p.Has("body[data-offset]")
	}
}
