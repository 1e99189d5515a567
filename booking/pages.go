package booking

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
)

//go:embed page
var pageFiles embed.FS

// pages are the shop's templates and assets. An asset's name carries a hash of its bytes, so it may be kept forever.
type pages struct {
	templates map[string]*template.Template
	assets    map[string]assetFile // by public name
	names     map[string]string    // file → public name
}

type assetFile struct {
	mime string
	body []byte
}

func newPages() (*pages, error) {
	p := &pages{templates: map[string]*template.Template{}, assets: map[string]assetFile{}, names: map[string]string{}}
	for file, mime := range map[string]string{
		"shop.css": "text/css; charset=utf-8", "shop.js": "text/javascript; charset=utf-8", "pay.js": "text/javascript; charset=utf-8",
	} {
		body, err := pageFiles.ReadFile("page/" + file)
		if err != nil {
			return nil, fmt.Errorf("reading the page's files: %w", err)
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(file)
		name := strings.TrimSuffix(file, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		p.assets[name], p.names[file] = assetFile{mime, body}, name
	}
	funcs := template.FuncMap{"asset": func(file string) string { return "/shop/" + p.names[file] }, "when": when, "clock": clock, "iso": iso, "count": count, "zero": zero,
		"money": money, "ticketWord": ticketWord, "grouped": grouped[int], "number": grouped[int64],
		"more": func(n int) int { return n + 1 }, "short": func(id string) string { return id[max(0, len(id)-8):] }}
	for _, name := range []string{"home", "event", "booking", "me", "pending", "problem", "pay", "documents"} {
		t, err := template.New("layout.html").Funcs(funcs).ParseFS(pageFiles, "page/layout.html", "page/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("reading the page %s: %w", name, err)
		}
		p.templates[name] = t
	}
	return p, nil
}

// when writes an instant for people, in a zone.
func when(t time.Time, zone string) string {
	z, err := time.LoadLocation(zone)
	if err != nil {
		z = time.UTC
	}
	return t.In(z).Format("Mon 2 Jan 2006, ") + clock(t, zone)
}

// clock writes the time of an instant's day, in a zone.
func clock(t time.Time, zone string) string {
	z, err := time.LoadLocation(zone)
	if err != nil {
		z = time.UTC
	}
	t = t.In(z)
	name, _ := t.Zone()
	if strings.ContainsAny(name[:1], "+-") {
		name = "UTC" + name // the zone has no abbreviation
	}
	return t.Format("15:04 ") + name
}

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// zero says whether an amount is nothing.
func zero(amount string) bool { return strings.Trim(amount, "0.") == "" }

// money writes an amount for people: "290,000 VND", or "Free".
func money(amount, currency string) string {
	if zero(amount) {
		return "Free"
	}
	whole, fraction, found := strings.Cut(amount, ".")
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil {
		whole = grouped(n)
	}
	if found {
		whole += "." + fraction
	}
	return whole + " " + currency
}

// grouped writes a count with its thousands apart.
func grouped[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// count gives the quantities a page offers: 0 to n.
func count(n int) []int {
	all := make([]int, n+1)
	for i := range all {
		all[i] = i
	}
	return all
}

// asset is GET /shop/{file}.
func (a *API) asset(ctx *fasthttp.RequestCtx) error {
	name, err := web.PathParam(ctx, "file")
	if err != nil {
		return err
	}
	f, ok := a.pages.assets[name]
	if !ok {
		return web.NotFound("There is no such file.")
	}
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "public, max-age=31536000, immutable")
	ctx.SetContentType(f.mime)
	ctx.SetBody(f.body)
	return nil
}

// Policies of the pages: their own files, nothing inline, nothing from elsewhere; where the provider's Payment Element is,
// what it loads, frames and calls, and the styles that it sets on its own elements. Card data stays in its frames.
const (
	policyBase = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'"
	policyStripe = "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' https://js.stripe.com https://*.js.stripe.com; " +
		"img-src 'self'; " +
		"connect-src 'self' https://api.stripe.com; frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com; " +
		"base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)

// policy is the Content-Security-Policy of a page. A form's redirect counts as its action, so where a booking is paid
// elsewhere that place must be allowed.
func (a *API) policy(page string) string {
	switch {
	case page == "pay":
		return policyStripe
	case page != "booking":
		return policyBase + "; form-action 'self'"
	case a.cfg.PayOrigin == "":
		return policyBase
	}
	return policyBase + "; form-action 'self' " + a.cfg.PayOrigin
}

// frame is what every page has.
type frame struct {
	Title string
	Page  string // the template, for the navigation
	Guest string // the visitor's subject; empty if pages know none
	Now   time.Time
	Data  any
}

// render answers with a page; visitors without a cookie get one.
func (a *API) render(ctx *fasthttp.RequestCtx, status int, page, title string, data any) error {
	c, err := a.visitor(ctx)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	f := frame{Title: title, Page: page, Guest: c.subject, Now: a.now(), Data: data}
	if err := a.pages.templates[page].Execute(&out, f); err != nil {
		return fmt.Errorf("rendering the page %s: %w", page, err)
	}
	ctx.Response.Header.Set(fasthttp.HeaderContentSecurityPolicy, a.policy(page))
	web.WriteHTML(ctx, status, out.Bytes())
	return nil
}

// fail shows a browser what went wrong within the shop; other clients get the problem itself.
func (a *API) fail(ctx *fasthttp.RequestCtx, err error) error {
	if err == nil || !web.WantsHTML(ctx) {
		return err
	}
	var p *web.Problem
	if !errors.As(err, &p) || p.Status >= fasthttp.StatusInternalServerError {
		return err
	}
	if isForm(ctx) && strings.HasPrefix(p.Type, "/problems/admission-pass-") {
		if url, ok := p.Extra["waitingRoom"].(string); ok {
			return seeOther(ctx, url)
		}
	}
	view := struct {
		*web.Problem
		Heading string
		Back    string // the event's page
		Event   string // its id, where waiting for returned tickets may help
	}{Problem: p, Heading: p.Title}
	if view.Heading == "" {
		view.Heading = fasthttp.StatusMessage(p.Status)
	}
	if event := string(ctx.FormValue("eventId")); isForm(ctx) && onlyDigits(event) {
		view.Back = "/events/" + event
		if p.Type == "/problems/sold-out" {
			view.Event = event
		}
	}
	return a.render(ctx, p.Status, "problem", view.Heading, view)
}

func onlyDigits(s string) bool {
	return s != "" && len(s) < 20 && strings.Trim(s, "0123456789") == ""
}
