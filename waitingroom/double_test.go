package waitingroom

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"fairgate/internal/answer"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// twin is a second edge of a stage: keys, log and rooms are the same, everything else is its own.
func (s *stage) twin() fasthttp.RequestHandler {
	s.t.Helper()
	desk := answer.New(answer.Config{Topic: s.names[1], Partitions: 1}, answer.Deps{Events: s.log})
	deps := s.edge.deps
	deps.Answers, deps.Metrics = desk, prometheus.NewRegistry()
	config := s.edge.config
	config.Edge = int(s.edge.id) + 1
	edge, err := New(config, deps)
	if err != nil {
		s.t.Fatal(err)
	}
	router := web.NewRouter(web.NewShell(web.ShellConfig{Role: "waitingroom"}, web.ShellDeps{}))
	edge.Routes(router)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = desk.Run(ctx) })
	wg.Go(func() { _ = edge.Run(ctx) })
	s.t.Cleanup(func() { cancel(); wg.Wait() })
	s.until("the twin is ready", func() bool { return edge.Ready(ctx) == nil })
	return router.Handler
}

// submitter sends each solution to two edges at the same moment, and once more to one of them.
type submitter struct {
	t       testing.TB
	s       *stage
	edges   [2]fasthttp.RequestHandler
	again   atomic.Int64 // submissions repeated since they were not recorded
	unequal atomic.Int64 // pairs that got two different places
}

// join posts one solution to one edge until the place is recorded, and returns the token.
func (d *submitter) join(edge fasthttp.RequestHandler, visitor string, body []byte) string {
	for {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI("/rooms/2/join")
		ctx.Request.Header.SetContentType("application/json")
		ctx.Request.Header.Set(HeaderVisitor, visitor)
		ctx.Request.SetBody(body)
		edge(&ctx)
		var p placeAnswer
		if ctx.Response.StatusCode() != 200 {
			d.t.Errorf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
			return ""
		}
		if err := json.Unmarshal(ctx.Response.Body(), &p); err != nil {
			d.t.Error(err)
			return ""
		}
		if p.Recorded {
			return p.Token
		}
		d.again.Add(1)
	}
}

// pair is one visitor: a solved challenge, submitted to both edges at once.
func (d *submitter) pair(i int, instant int64) {
	var secret wire.ID
	binary.BigEndian.PutUint64(secret[:], uint64(i)+1)
	place := wire.Place{
		Room: foyer, Instant: instant, Edge: 1, Visitor: token.VisitorHash(secret), Narrow: uint64(i), Wide: uint64(i), Random: secret,
	}
	signed, err := d.s.keys.MintChallenge(place, token.Price{Algorithm: 1, SubPuzzles: 1, K: 1, Difficulty: 2})
	if err != nil {
		d.t.Error(err)
		return
	}
	ch, _, _, err := wire.ParseChallenge(signed)
	if err != nil {
		d.t.Error(err)
		return
	}
	body, err := json.Marshal(joinRequest{token.Text(signed), solved(d.t, puzzleOf(&ch))})
	if err != nil {
		d.t.Error(err)
		return
	}
	visitor := token.Text(secret[:])
	var got [2]string
	var both sync.WaitGroup
	for e := range got {
		both.Go(func() { got[e] = d.join(d.edges[e], visitor, body) })
	}
	both.Wait()
	if got[0] == "" || got[0] != got[1] {
		d.unequal.Add(1)
	}
}

// run submits pairs, so many at once, and returns how many places there are too many.
func (d *submitter) run(pairs, atOnce int) (second int64) {
	began := d.s.joined.Load()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(pairs) && !d.t.Failed(); i = next.Add(1) {
				d.pair(int(began+i), time.Now().UnixMicro())
			}
		})
	}
	wg.Wait()
	// What both edges were answered is in the log's outcomes, so it has been counted or is about to be.
	d.s.until("every place is counted", func() bool { return d.s.joined.Load() >= began+int64(pairs) })
	return d.s.joined.Load() - began - int64(pairs) + d.unequal.Load()
}

func newSubmitter(t testing.TB) *submitter {
	s := open(t)
	return &submitter{t: t, s: s, edges: [2]fasthttp.RequestHandler{s.router.Handler, s.twin()}}
}

func TestJoin_DoubleSubmissionsToTwoEdgesAreOnePlaceEach(t *testing.T) {
	d := newSubmitter(t)
	if second := d.run(1_500, 100); second != 0 {
		t.Errorf("%d second places", second)
	}
}

// BenchmarkJoin_DoubleSubmissions submits solutions to two edges at once: PAIRS of them (10,000 without), 500 at a time. It
// fails on the first second place. The log is in this process, and so is the machine that decides.
func BenchmarkJoin_DoubleSubmissions(b *testing.B) {
	pairs := 10_000
	if text := os.Getenv("PAIRS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 3_000_000 {
			b.Fatalf("PAIRS: expected 1 to 3000000, got %q", text)
		}
		pairs = n
	}
	d := newSubmitter(b)
	second := int64(0)
	for b.Loop() {
		second += d.run(pairs, 500)
	}
	if second != 0 {
		b.Fatalf("%d second places", second)
	}
	b.ReportMetric(float64(2*pairs*b.N)/b.Elapsed().Seconds(), "bench:guard.double:submissions/s")
	b.ReportMetric(float64(second), "bench:guard.second:places")
	b.Logf("%d pairs, %d submissions repeated, %d second places", pairs*b.N, d.again.Load(), second)
}

// A page draws the secret that its tabs arrive with before any of them has a cookie.
func TestArrive_WhoHasNoSecretYetMayBringOne(t *testing.T) {
	s := open(t)
	secret := token.Text(bytes.Repeat([]byte{7}, token.VisitorSize))
	tabs := [2]*fan{s.fan(), s.fan()}
	var a [2]arriveAnswer
	for i, f := range tabs {
		if f.post("/rooms/2/arrive", arriveRequest{Visitor: secret}).into(t, &a[i]); a[i].Visitor != secret {
			t.Fatalf("tab %d is %q", i, a[i].Visitor)
		}
	}
	var p placeAnswer
	tabs[0].post("/rooms/2/join", joinRequest{a[0].Challenge, solved(t, a[0].Puzzle)}).into(t, &p)
	if r := tabs[1].post("/rooms/2/join", joinRequest{a[1].Challenge, solved(t, a[1].Puzzle)}); r.kind(t) != "place-kept" || !p.Recorded {
		t.Errorf("the second tab: %d %s", r.status, r.body)
	}

	known := s.fan()
	was := known.arrive("1").Visitor
	if known.post("/rooms/2/arrive", arriveRequest{Visitor: secret}).into(t, &a[0]); a[0].Visitor != was {
		t.Errorf("who has a secret was given another")
	}
	if r := s.fan().post("/rooms/2/arrive", arriveRequest{Visitor: secret[1:]}); r.status != http.StatusBadRequest || !strings.Contains(string(r.body), `"visitor"`) {
		t.Errorf("half a secret: %d %s", r.status, r.body)
	}
	// A form may come from another site, which could make all its visitors one.
	r := s.fan().submit("/rooms/2/arrive", "lane=timed&visitor="+secret)
	if cookies := strings.Join(r.header.Values("Set-Cookie"), "\n"); !strings.Contains(cookies, CookieVisitor+"=") || strings.Contains(cookies, secret) {
		t.Errorf("a form's secret: %d, %s", r.status, cookies)
	}
}
