package waitingroom

import (
	"context"
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// tab is one tab of a fresh chromium.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// browser opens a tab. Where there is no chromium the test is skipped, unless CI is set.
func browser(t *testing.T) tab {
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
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(t.TempDir()))...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts the browser, which must outlive the limit below
		t.Fatal(err)
	}
	ctx, end := context.WithTimeout(ctx, 40*time.Second)
	t.Cleanup(end)
	return tab{t, ctx}
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func got[T any](b tab, a chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// phase waits until the page shows it.
func phase(name string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitReady(chromedp.CSS(`body[data-phase="` + name + `"]`))
}

// shoot keeps a screenshot in a folder that git ignores.
func (b tab) shoot(name string, width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
	png := got(b, chromedp.FullScreenshot(100))
	folder := filepath.Join("..", "screenshots")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "waitingroom-"+name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

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

func TestBrowser_AFanWaitsAndIsLetIn(t *testing.T) {
	b := browser(t)
	solver, err := os.ReadFile("../botguard/puzzle/browser/solver.js")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, func(_ *Config, d *Deps) { d.SolverJS = solver })
	s.gate.verdict = func(Visit) Verdict {
		price := work
		price.SubPuzzles, price.Difficulty = 4, 20_000
		return Verdict{Allow: true, Status: 200, Price: price}
	}
	s.order(slow, &wire.DefineRoom{Cap: 10_000, PerMinute: 300})
	s.order(slow, &wire.Signal{Left: 1204, Coming: 37, Price: 1_250_000, Currency: [3]byte{'V', 'N', 'D'}, Headroom: -1, SourceSeq: 1})
	s.crowd(slow, 40)
	base := s.listen()
	b.do(chromedp.EmulateViewport(390, 844), chromedp.Navigate(base+"/rooms/7"), phase("early"),
		chromedp.WaitVisible(chromedp.CSS("#number")))
	if number := got(b, chromedp.Text(chromedp.CSS("#number"))); number != "40" {
		t.Errorf("number %q", number)
	}
	b.shoot("early", 390, 844, "light")
	s.order(slow, &wire.SetRoom{State: wire.RoomOpen})
	s.until("opened", func() bool { d := s.edge.docs.newest(slow); return d != nil && d.doc.State == "open" })
	b.do(chromedp.Reload(), phase("waiting")) // a reload keeps the place
	b.shoot("waiting", 390, 844, "light")
	b.shoot("waiting-dark", 1200, 900, "dark")
	s.order(slow, &wire.SetOutflow{PerMinute: 60_000, Cap: 10_000})
	for end := time.Now().Add(20 * time.Second); !strings.HasSuffix(got(b, chromedp.Location()), "/events/7"); {
		b.do(chromedp.Sleep(50 * time.Millisecond))
		if time.Now().After(end) {
			t.Fatalf("still at %s", got(b, chromedp.Location()))
		}
	}
	if n := s.joined.Load(); n != 41 {
		t.Errorf("%d places, want the crowd's 40 and one", n)
	}
	b.do(chromedp.Navigate(base+"/rooms/7"), phase("admitted"))
	b.shoot("admitted", 390, 844, "light")
}

func TestBrowser_WithoutJavaScriptAFanIsLetIn(t *testing.T) {
	b := browser(t)
	s := open(t, func(c *Config, _ *Deps) { c.TimedWait = 1500 * time.Millisecond })
	base := s.listen()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}), chromedp.EmulateViewport(390, 844), chromedp.Navigate(base+"/rooms/1"))
	b.shoot("join", 390, 844, "light")
	b.do(chromedp.Click(chromedp.CSS("form.new button")), phase("checking"))
	b.shoot("checking", 390, 844, "light")
	b.do(phase("ready"), chromedp.Click(chromedp.CSS("form.ready button")),
		chromedp.WaitNotPresent(chromedp.CSS(`body[data-phase="ready"]`)))
	s.until("invited", func() bool {
		b.do(chromedp.Navigate(base + "/rooms/1"))
		return got(b, chromedp.AttributeValue(chromedp.CSS("body"), "data-phase")).Value == "invited"
	})
	b.shoot("invited", 390, 844, "dark")
	b.do(chromedp.Click(chromedp.CSS("form.invited button")),
		chromedp.WaitNotPresent(chromedp.CSS(`body[data-phase="invited"]`)))
	if where := got(b, chromedp.Location()); !strings.HasSuffix(where, "/events/7") {
		t.Errorf("at the end: %s", where)
	}
}
