package main

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
	"github.com/chromedp/chromedp"
)

// chrome is a browser process; every person in it has cookies of their own.
type chrome struct {
	t   *testing.T
	ctx context.Context
}

// openChrome starts Debian's chromium. Where there is none the test is skipped, unless CI is set.
func openChrome(t *testing.T) chrome {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	must(t, chromedp.Do(ctx))
	return chrome{t, ctx}
}

// person is somebody in front of a screen.
type person struct {
	t   *testing.T
	ctx context.Context
}

func (c chrome) person(width, height int64) person {
	c.t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext())
	c.t.Cleanup(cancel)
	must(c.t, chromedp.Do(ctx)) // the tab ends with the context of its first step
	p := person{c.t, ctx}
	p.do(chromedp.EmulateViewport(width, height))
	return p
}

// patience is how long a person waits for something to appear: without scripts the line looks again every ten seconds.
const patience = 25 * time.Second

func (p person) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.fail("%v", err)
	}
}

// fail ends the test, with a picture of what the person saw.
func (p person) fail(format string, args ...any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	if png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100)); err == nil {
		p.save("failed", png)
	}
	p.t.Fatalf("at %s: %s\nthe page says: %s", p.location(), fmt.Sprintf(format, args...), p.text("body"))
}

func (p person) noScripts() {
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
}

func (p person) opens(url string) { p.t.Helper(); p.do(chromedp.Navigate(url)) }

func (p person) clicks(selector string) {
	p.t.Helper()
	p.do(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

func (p person) types(selector, text string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (p person) fills(selector, value string) {
	p.t.Helper()
	p.do(chromedp.SetValue(chromedp.CSS(selector), value))
}

func (p person) has(selector string) {
	p.t.Helper()
	p.do(chromedp.WaitReady(chromedp.CSS(selector)))
}

// until waits for a condition; the page may be replaced while it is looked at.
func (p person) until(what string, met func() bool) {
	p.t.Helper()
	err := settle(p.ctx, patience, func(context.Context) (bool, error) { return met(), nil })
	if err != nil {
		p.fail("waited in vain for %s", what)
	}
}

// sees waits until all texts are on the page, in whatever case the style shows them.
func (p person) sees(texts ...string) {
	p.t.Helper()
	for _, want := range texts {
		p.until(want, func() bool { return strings.Contains(p.text("body"), want) })
	}
}

func (p person) lacks(texts ...string) {
	p.t.Helper()
	page := p.text("body")
	for _, bad := range texts {
		if strings.Contains(page, bad) {
			p.fail("the page shows %q", bad)
		}
	}
}

// text is what an element shows now; empty while there is none.
func (p person) text(selector string) string {
	return look(p, chromedp.Evaluate[string](fmt.Sprintf(`(document.querySelector(%q) || {innerText: ""}).innerText`, selector)))
}

func (p person) count(selector string) int {
	return look(p, chromedp.Evaluate[int](fmt.Sprintf(`document.querySelectorAll(%q).length`, selector)))
}

func (p person) location() string { return look(p, chromedp.Location()) }

// look reads from the page; the zero value while it is being replaced.
func look[T any](p person, a chromedp.Action[T]) T {
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
	defer cancel()
	v, _ := chromedp.Run(ctx, a)
	return v
}

// shoot keeps a screenshot.
func (p person) shoot(name string) {
	p.t.Helper()
	var png []byte
	p.until("a picture", func() bool {
		png = look(p, chromedp.FullScreenshot(100))
		return len(png) > 0
	})
	p.save(name, png)
}

// save writes into a folder that git ignores.
func (p person) save(name string, png []byte) {
	p.t.Helper()
	folder := filepath.Join("..", "..", "screenshots")
	must(p.t, os.MkdirAll(folder, 0o755))
	must(p.t, os.WriteFile(filepath.Join(folder, "sale-"+name+".png"), png, 0o644))
}
