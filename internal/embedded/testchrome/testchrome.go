// Package testchrome opens Debian's chromium for tests: a browser, and people in it who share no cookies. It may touch
// the child process and a folder for screenshots that git ignores; only tests import it.
package testchrome

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Patience is how long a person waits for something to appear: without scripts a page looks again every ten seconds.
const Patience = 25 * time.Second

// glance is how long reading from a page may take.
const glance = 2 * time.Second

// Browser is one chromium process. It ends with the test.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Open starts chromium. Where there is none the test is skipped, and fails if CI is set.
func Open(t testing.TB, flags ...string) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium is not installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.UserDataDir(t.TempDir()))
	for _, f := range flags {
		name, value, _ := strings.Cut(f, "=")
		options = append(options, chromedp.Flag(name, value))
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	return &Browser{t, ctx}
}

// missing skips a test that needs a program, or fails it where everything has to be there.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Person is somebody in front of a tab. Methods fail the test, with a picture of what was seen.
type Person struct {
	T       testing.TB
	Context context.Context // of the tab; steps beside the methods run in it
	Shots   string          // beginning of the names of screenshots
	browser *Browser

	width, height int64
}

// Person opens a tab of the given size in CSS pixels, with cookies and storage of its own.
func (b *Browser) Person(width, height int64) *Person {
	b.t.Helper()
	return b.tab(b.ctx, width, height, chromedp.WithNewBrowserContext())
}

// Tab opens another tab of the same person.
func (p *Person) Tab(width, height int64) *Person {
	p.T.Helper()
	tab := p.browser.tab(p.Context, width, height)
	tab.Shots = p.Shots
	return tab
}

func (b *Browser) tab(parent context.Context, width, height int64, options ...chromedp.ContextOption) *Person {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	b.t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the tab ends with the context of its first step
		b.t.Fatalf("a tab does not open: %v", err)
	}
	p := &Person{T: b.t, Context: ctx, browser: b}
	p.Size(width, height)
	return p
}

// Do takes steps.
func (p *Person) Do(steps ...chromedp.Action[chromedp.Void]) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.Context, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.Fail("%v", err)
	}
}

// Fail ends the test, with a picture of what the person saw.
func (p *Person) Fail(format string, args ...any) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.Context, 5*time.Second)
	defer cancel()
	if png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100)); err == nil {
		p.save("failed", png)
	}
	p.T.Fatalf("at %s: %s\nthe page says: %s", p.Location(), fmt.Sprintf(format, args...), p.Text("body"))
}

// Size sets the window's inner size in CSS pixels.
func (p *Person) Size(width, height int64) {
	p.T.Helper()
	p.width, p.height = width, height
	p.Do(chromedp.EmulateViewport(width, height))
}

// Prefers sets media features in pairs: "prefers-color-scheme", "dark", ….
func (p *Person) Prefers(features ...string) {
	p.T.Helper()
	params := emulation.SetEmulatedMediaParams{}
	for i := 0; i+1 < len(features); i += 2 {
		params.Features = append(params.Features, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, params)
		return err
	}))
}

// NoScripts switches JavaScript off, from the next page on.
func (p *Person) NoScripts() {
	p.T.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

// Before runs a script in every page from the next one on, before the page's own.
func (p *Person) Before(script string) {
	p.T.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
}

// Speaks sets the Accept-Language header and the script's languages.
func (p *Person) Speaks(languages string) {
	p.T.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		agent, err := chromedp.Run(ctx, chromedp.Evaluate[string]("navigator.userAgent"))
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, t, emulation.SetUserAgentOverride,
			emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: languages})
		return err
	}))
}

// Opens goes to an address.
func (p *Person) Opens(url string) { p.T.Helper(); p.Do(chromedp.Navigate(url)) }

// Clicks clicks what a selector finds, once it is visible.
func (p *Person) Clicks(selector string) {
	p.T.Helper()
	p.Do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// Types sends keys.
func (p *Person) Types(selector, text string) {
	p.T.Helper()
	p.Do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Fills sets the value of a field.
func (p *Person) Fills(selector, value string) {
	p.T.Helper()
	p.Do(chromedp.SetValue(chromedp.CSS(selector), value))
}

// Has waits for an element.
func (p *Person) Has(selector string) { p.T.Helper(); p.Do(chromedp.WaitReady(chromedp.CSS(selector))) }

// Until waits for a condition; the page may be replaced while it is looked at.
func (p *Person) Until(what string, met func() bool) {
	p.T.Helper()
	for end := time.Now().Add(Patience); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.Fail("waited in vain for %s", what)
		}
	}
}

// Sees waits until all texts are on the page, in whatever case the style shows them.
func (p *Person) Sees(texts ...string) {
	p.T.Helper()
	for _, want := range texts {
		p.Until(want, func() bool { return strings.Contains(p.Text("body"), want) })
	}
}

// Lacks fails if one of the texts is on the page.
func (p *Person) Lacks(texts ...string) {
	p.T.Helper()
	page := p.Text("body")
	for _, bad := range texts {
		if strings.Contains(page, bad) {
			p.Fail("the page shows %q", bad)
		}
	}
}

// Text is what an element shows now; empty while there is none.
func (p *Person) Text(selector string) string {
	return Eval[string](p, fmt.Sprintf(`(document.querySelector(%q) || {innerText: ""}).innerText`, selector))
}

// Count is how many elements there are.
func (p *Person) Count(selector string) int {
	return Eval[int](p, fmt.Sprintf(`document.querySelectorAll(%q).length`, selector))
}

// Location is the address of the page.
func (p *Person) Location() string { return look(p, chromedp.Location()) }

// Eval is the value of an expression; the zero value while the page is being replaced.
func Eval[T any](p *Person, expression string) T { return look(p, chromedp.Evaluate[T](expression)) }

func look[T any](p *Person, a chromedp.Action[T]) T {
	ctx, cancel := context.WithTimeout(p.Context, glance)
	defer cancel()
	v, _ := chromedp.Run(ctx, a)
	return v
}

// Shoot keeps a screenshot of the whole page: the window grows to it, since chromium shifts a page from right to left that
// it captures beyond its window.
func (p *Person) Shoot(name string) {
	p.T.Helper()
	tall := Eval[int64](p, "document.documentElement.scrollHeight")
	p.Do(chromedp.EmulateViewport(p.width, max(tall, p.height)))
	var png []byte
	p.Until("a picture", func() bool {
		png = look(p, chromedp.CaptureScreenshot())
		return len(png) > 0
	})
	p.Do(chromedp.EmulateViewport(p.width, p.height))
	p.save(name, png)
}

// save writes into a folder that git ignores.
func (p *Person) save(name string, png []byte) {
	p.T.Helper()
	folder := filepath.Join(root(p.T), "screenshots")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		p.T.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, p.Shots+name+".png"), png, 0o644); err != nil {
		p.T.Fatal(err)
	}
}

// root is the folder of the module.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}
