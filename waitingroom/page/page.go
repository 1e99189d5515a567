// Package page is the waiting page: its template, style, script and words, embedded, and the looks that organisers give
// it. It touches neither clock nor network; what it shows comes in as a View.
//
// The page works without JavaScript: every step is a form, and the server renders where the visitor stands. The script
// makes it better and never makes it different.
package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/tdewolff/minify/v2"
	"github.com/tdewolff/minify/v2/css"
	"github.com/tdewolff/minify/v2/js"
)

//go:embed room.html
var roomHTML string

//go:embed room.css
var roomCSS []byte

//go:embed room.js
var roomJS []byte

// bellJS shows notifications where only a service worker may: on Android.
//
//go:embed bell.js
var bellJS []byte

// Phase is what a visitor sees: where they are on their way.
type Phase string

// Phases. Those from waiting to admitted belong to a place in line.
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
	Missed   Phase = "missed" // had a place, which is over
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
	// Until is when the admission ends, for Admitted, when the room opens, for Early, or takes the first joins, for Closed;
	// 0 for not known.
	Until   int64
	Doors   int64 // when a closed room opens, if that is later than Until
	Invites bool  // the room takes invite codes
	Coded   bool  // the visitor brought one, which is not spent yet
}

// InLine says that a place waits for its turn.
func (p Phase) InLine() bool { return p == Waiting || p == Early || p == Paused || p == SoldOut }

// Line is what the queue document says to everybody.
type Line struct {
	Known             bool
	Draw              bool // early arrivals are drawn
	Waiting           uint32
	PerMinute         uint32
	Left, Coming      int64 // -1 unknown
	Price, Currency   string
	RateLow, RateHigh int64 // of the visitor's lane, thousandths of people a minute
}

// Page renders views. It is safe for any number of goroutines.
type Page struct {
	template *template.Template
	messages catalog
	style    []byte            // minified
	scripts  map[string]*Asset // by language
	bell     *Asset
	solver   *Asset
	assets   map[string]*Asset
	looks    atomic.Pointer[looks]
}

// looks is one reading of the brands.
type looks struct {
	brands Brands
	plain  *Asset           // style of a page without a brand
	styles map[int64]*Asset // by room, 0 for the default brand
	assets map[string]*Asset
	before *looks // pages that were rendered with it may still ask for its files
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
	p := &Page{template: t, messages: messages, scripts: make(map[string]*Asset), assets: make(map[string]*Asset)}
	small := minify.New()
	small.AddFunc("css", css.Minify)
	small.AddFunc("js", js.Minify)
	if p.style, err = small.Bytes("css", roomCSS); err != nil {
		return nil, fmt.Errorf("waiting page: room.css: %w", err)
	}
	script, err := small.Bytes("js", roomJS)
	if err != nil {
		return nil, fmt.Errorf("waiting page: room.js: %w", err)
	}
	for _, w := range messages.all {
		// The script is a function of the words: one file, one request, one compression.
		whole := bytes.Join([][]byte{bytes.TrimRight(script, ";\n"), []byte("("), w.json, []byte(");")}, nil)
		p.scripts[w.lang] = p.add("room-"+w.lang+".js", typeScript, whole)
	}
	p.bell = p.add("bell.js", typeScript, bellJS)
	if len(solver) > 0 {
		p.solver = p.add("solver.js", typeScript, solver)
	}
	p.Dress(nil)
	return p, nil
}

const (
	typeScript = "text/javascript; charset=utf-8"
	typeStyle  = "text/css; charset=utf-8"
)

func (p *Page) add(name, kind string, body []byte) *Asset {
	a := newAsset(name, kind, body)
	p.assets[a.Name] = a
	return a
}

// Dress gives rooms their looks, in place of those before.
func (p *Page) Dress(brands Brands) {
	l := &looks{brands: brands, styles: make(map[int64]*Asset), assets: make(map[string]*Asset), before: p.looks.Load()}
	if l.before != nil {
		l.before = &looks{assets: l.before.assets} // one generation is enough
	}
	add := func(a *Asset) *Asset {
		l.assets[a.Name] = a
		return a
	}
	l.plain = add(newAsset("room.css", typeStyle, p.style))
	for room, b := range brands {
		l.styles[room] = l.plain
		if b.style != "" {
			l.styles[room] = add(newAsset("room.css", typeStyle, append(bytes.Clone(p.style), b.style...)))
		}
		if b.logo != nil {
			add(b.logo)
		}
	}
	p.looks.Store(l)
}

// Look is a value that changes whenever rooms are dressed anew: what was rendered under another one is out of date.
func (p *Page) Look() any { return p.looks.Load() }

// style is the style sheet of a room.
func (l *looks) style(room int64) *Asset {
	for _, id := range []int64{room, 0} {
		if a, ok := l.styles[id]; ok {
			return a
		}
	}
	return l.plain
}

// Asset finds a file by its name below AssetPath.
func (p *Page) Asset(name string) (*Asset, bool) {
	if a, ok := p.assets[name]; ok {
		return a, true
	}
	for l := p.looks.Load(); l != nil; l = l.before {
		if a, ok := l.assets[name]; ok {
			return a, true
		}
	}
	return nil, false
}

// Speaks reports whether the page has a language, by its tag.
func (p *Page) Speaks(lang string) bool { return p.messages.has(lang) }

// Policy is the page's Content-Security-Policy: nothing but its own files, no inline script. next may be another site,
// to which the form that enters redirects.
func Policy(next string) string {
	forms := "'self'"
	if u, err := url.Parse(next); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
		forms += " " + u.Scheme + "://" + u.Host
	}
	return "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"form-action " + forms + "; base-uri 'none'; frame-ancestors 'none'"
}

// ImagePolicy is the Content-Security-Policy of logos: opened by itself, an SVG runs no script.
const ImagePolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

// SolverPolicy is the Content-Security-Policy of the puzzle's worker script: a worker obeys the policy of its own response,
// and this one compiles WebAssembly. The page itself may not.
const SolverPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"

// rendered is what the template reads.
type rendered struct {
	View
	reader
	Lang, Dir, Locale             string
	Title, Headline, Todo, Lead   string
	Notice                        string
	Number, NumberLabel           string
	About                         bool
	UntilMicros                   int64
	Wait, Left, Price, Line, Pace string
	LaneText                      string
	Draw                          bool
	Style, Script, Solver, Bell   string
	Logo, LogoAlt                 string
	Text                          []string // paragraphs of the organiser
	Languages                     []languageLink
}

// languageLink leads to the page in another language.
type languageLink struct {
	Lang, Dir, Name string
	Current         bool
}

// T is a text without values, for the template.
func (r *rendered) T(key string) string { return r.text(key, nil) }

// Render writes the page in the language chosen, if there is one, else in the best for an Accept-Language header.
func (p *Page) Render(v View, chosen, acceptLanguage string) ([]byte, error) {
	r := &rendered{View: v, reader: p.messages.pick(chosen, acceptLanguage)}
	r.Lang, r.Dir, r.Locale = r.lang, r.text("dir", nil), r.locale
	l := p.looks.Load()
	r.Style, r.Script, r.Solver, r.Bell = l.style(v.Room).Path(), p.scripts[r.lang].Path(), p.solver.Path(), p.bell.Path()
	r.brand(l.brands.For(v.Room))
	r.say()
	for _, w := range p.messages.all {
		r.Languages = append(r.Languages, languageLink{w.lang, w.fixed["dir"], w.fixed["name"], w == r.words})
	}
	var out bytes.Buffer
	if err := p.template.Execute(&out, r); err != nil {
		return nil, fmt.Errorf("waiting page: %w", err)
	}
	return out.Bytes(), nil
}

// brand puts the organiser's title, logo and text on the page.
func (r *rendered) brand(b *Brand) {
	if b == nil {
		return
	}
	if title := b.title.in(r.lang); title != "" {
		r.Name = title
	}
	for paragraph := range strings.SplitSeq(b.text.in(r.lang), "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph != "" {
			r.Text = append(r.Text, paragraph)
		}
	}
	r.Logo, r.LogoAlt = b.logo.Path(), b.logoAlt.in(r.lang)
}

// say puts the view into words.
func (r *rendered) say() {
	v := &r.View
	r.Headline = r.text("headline."+string(v.Phase), nil)
	r.Title = r.text("title", map[string]string{"headline": r.Headline, "name": r.Name})
	r.Todo = r.todo(v)
	if v.Notice != "" {
		r.Notice = r.text("notice."+v.Notice, nil)
	}
	r.Number, r.NumberLabel, r.About = r.number(v)
	r.UntilMicros, r.Draw = v.Until, v.Drawn || v.Line.Draw
	r.LaneText = r.text("lane."+v.Lane, nil)
	if v.Known {
		r.Wait = r.wait(v.Line, int64(v.Low)+1, int64(v.High)+1)
	}
	if v.Line.Known {
		r.Left, r.Price = r.left(v.Line), r.price(v.Line)
		r.Line = r.count("line.people", int64(v.Line.Waiting), nil)
	}
	if v.Line.PerMinute > 0 {
		r.Pace = r.count("pace.minute", int64(v.Line.PerMinute), nil)
	}
}
