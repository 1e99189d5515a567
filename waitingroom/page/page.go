// Package page is the waiting page: its template, style, script and words, embedded, and nothing else. It touches
// neither clock nor network; what it shows comes in as a View.
//
// The page works without JavaScript: every step is a form, and the server renders where the visitor stands. The script
// makes it better and never makes it different.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/url"
	"path"
	"strings"
)

//go:embed room.html
var roomHTML string

//go:embed room.css
var roomCSS []byte

//go:embed room.js
var roomJS []byte

// AssetPath is where assets are served: below it, under names that change with their content.
const AssetPath = "/rooms/assets/"

// Phase is what a visitor sees: where they are on their way.
type Phase string

// Phases. Those from waiting to soldOut belong to a place in line.
const (
	Arriving Phase = "new"      // has no place
	Checking Phase = "checking" // has a challenge, waits for its time to pass
	Ready    Phase = "ready"    // may continue to join
	Waiting  Phase = "waiting"
	Early    Phase = "early"
	Paused   Phase = "paused"
	SoldOut  Phase = "soldOut"
	Invited  Phase = "invited"
	Admitted Phase = "admitted"
	Closed   Phase = "closed"
	Ended    Phase = "ended"
)

// View is one visitor's page. Numbers are people, times µs.
type View struct {
	Room    int64
	Name    string
	Phase   Phase
	Notice  string // kind of a problem, empty for none; unknown kinds show nothing
	Key     string // text of the order key; empty without a place
	Lane    string
	Drawn   bool   // a draw will decide the key: see wire.QueueDocument for how a browser computes it from seed and publicValue
	Place   string // token id in hex
	Instant string // RFC 3339
	Next    string // where admission leads

	Known     bool // Low and High are known
	Low, High uint32
	Young     bool // the rank may still grow
	Line      Line
	// Until is when the admission ends, for Admitted, or when the room opens, for Closed and Early; 0 for not known.
	Until int64
}

// Line is what the queue document says to everybody.
type Line struct {
	Known             bool
	Waiting           uint32
	PerMinute         uint32
	Left, Coming      int64 // -1 unknown
	Price, Currency   string
	RateLow, RateHigh int64 // of the visitor's lane, thousandths of people a minute
}

// Page renders views. It is immutable, and safe for any number of goroutines.
type Page struct {
	template *template.Template
	messages catalog
	assets   map[string]Asset
	style    string
	script   string
	solver   string
}

// Asset is a file of the page. Its content never changes under its name.
type Asset struct {
	Type string
	Body []byte
}

// New prepares the page. solver is the puzzle's worker script; without it the script leaves joining to the form.
func New(solver []byte) (*Page, error) {
	messages, err := loadMessages()
	if err != nil {
		return nil, fmt.Errorf("waiting page: %w", err)
	}
	t, err := template.New("room").Parse(roomHTML)
	if err != nil {
		return nil, fmt.Errorf("waiting page: %w", err)
	}
	p := &Page{template: t, messages: messages, assets: make(map[string]Asset)}
	p.style = p.add("room.css", "text/css; charset=utf-8", roomCSS)
	p.script = p.add("room.js", "text/javascript; charset=utf-8", roomJS)
	if len(solver) > 0 {
		p.solver = p.add("solver.js", "text/javascript; charset=utf-8", solver)
	}
	return p, nil
}

// add names a file by its content and returns its path.
func (p *Page) add(name, kind string, body []byte) string {
	sum := sha256.Sum256(body)
	ext := path.Ext(name)
	hashed := strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext
	p.assets[hashed] = Asset{Type: kind, Body: body}
	return AssetPath + hashed
}

// Asset finds a file by its name below AssetPath.
func (p *Page) Asset(name string) (Asset, bool) {
	a, ok := p.assets[name]
	return a, ok
}

// Policy is the page's Content-Security-Policy: nothing but its own files, no inline script. next may be another site,
// to which the form that enters redirects.
func Policy(next string) string {
	forms := "'self'"
	if u, err := url.Parse(next); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
		forms += " " + u.Scheme + "://" + u.Host
	}
	return "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
		"form-action " + forms + "; base-uri 'none'; frame-ancestors 'none'"
}

// rendered is what the template reads.
type rendered struct {
	View
	words                         *words
	Lang, Dir                     string
	Title, Headline, Todo         string
	Notice                        string
	Number, NumberLabel           string
	About                         bool
	UntilMicros                   int64
	Wait, Left, Price, Line, Pace string
	Style, Script, Solver         string
	Messages                      template.JS
}

// T is a text without values, for the template.
func (r *rendered) T(key string) string { return r.words.text(key, 0, nil) }

// Render writes the page in the best language for an Accept-Language header.
func (p *Page) Render(v View, acceptLanguage string) ([]byte, error) {
	w := p.messages.pick(acceptLanguage)
	r := &rendered{View: v, words: w, Lang: w.lang, Dir: w.text("dir", 0, nil), Style: p.style, Script: p.script,
		Solver: p.solver, Messages: template.JS(w.json)}
	r.Headline = w.text("headline."+string(v.Phase), 0, nil)
	r.Title = w.text("title", 0, map[string]string{"headline": r.Headline, "name": v.Name})
	r.Todo = w.todo(&v)
	if v.Notice != "" {
		r.Notice = w.text("notice."+v.Notice, 0, nil)
	}
	r.Number, r.NumberLabel, r.About = w.number(&v)
	r.UntilMicros = v.Until
	if v.Known {
		r.Wait = w.wait(v.Line, int64(v.Low)+1, int64(v.High)+1)
	}
	if v.Line.Known {
		r.Left, r.Price = w.left(v.Line), w.price(v.Line)
		r.Line = w.text("line.people", int64(v.Line.Waiting), nil)
	}
	if v.Line.PerMinute > 0 {
		r.Pace = w.text("pace.minute", int64(v.Line.PerMinute), nil)
	}
	var out bytes.Buffer
	if err := p.template.Execute(&out, r); err != nil {
		return nil, fmt.Errorf("waiting page: %w", err)
	}
	return out.Bytes(), nil
}
