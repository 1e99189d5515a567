package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/valyala/fasthttp"
)

// failing registers a route per way to fail.
func failing(r *Router) {
	shared := Conflict("Sold out.").With("left", 0).With("status", "forged")
	ways := map[string]Handler{
		"/problem": func(ctx *fasthttp.RequestCtx) error {
			SetCookie(ctx, "guest", "v1.abc", CookieOptions{Secure: true, MaxAge: time.Hour})
			ctx.SetBodyString("half an answer")
			return fmt.Errorf("hold: %w", shared)
		},
		"/unknown":  func(*fasthttp.RequestCtx) error { return errors.New("pq: password secret-of-postgres refused") },
		"/panic":    func(*fasthttp.RequestCtx) error { panic("secret-of-the-stack") },
		"/timeout":  func(*fasthttp.RequestCtx) error { return fmt.Errorf("await: %w", context.DeadlineExceeded) },
		"/busy":     func(*fasthttp.RequestCtx) error { return TooMany(10 * time.Second) },
		"/who":      func(*fasthttp.RequestCtx) error { return Unauthorized("A token is needed.") },
		"/nil":      func(*fasthttp.RequestCtx) error { var p *Problem; return p },
		"/fine":     func(ctx *fasthttp.RequestCtx) error { return WriteJSON(ctx, 200, map[string]int64{"id": 7}) },
		"/nonsense": func(ctx *fasthttp.RequestCtx) error { return WriteJSON(ctx, 200, func() {}) },
	}
	for path, way := range ways {
		r.Handle(http.MethodGet, path, way)
	}
}

func TestShell_ErrorsBecomeProblemsWithoutInternals(t *testing.T) {
	h := open(t, Config{}, failing)
	for path, code := range map[string]int{
		"/problem": 409, "/unknown": 500, "/panic": 500, "/timeout": 503, "/busy": 429, "/who": 401, "/nil": 500,
		"/nonsense": 500, "/nowhere": 404,
	} {
		a := h.do(t, "GET", path, "")
		if a.code != code {
			t.Errorf("GET %s = %d, want %d", path, a.code, code)
		}
		document := a.problem(t)
		if instance := document["instance"]; instance != "urn:fairgate:request:"+a.header.Get("X-Request-Id") {
			t.Errorf("GET %s: instance %v", path, instance)
		}
		if strings.Contains(a.body, "secret") || strings.Contains(a.body, "goroutine") {
			t.Errorf("GET %s tells internals: %s", path, a.body)
		}
	}
	for _, once := range []string{"secret-of-postgres", `"handler panicked"`} {
		if n := strings.Count(h.logs.String(), once); n != 1 {
			t.Errorf("%q is logged %d times", once, n)
		}
	}
}

func TestShell_ProblemKeepsExtrasAndCookiesAndDropsTheBody(t *testing.T) {
	h := open(t, Config{}, failing)
	a := h.do(t, "GET", "/problem", "")
	document := a.problem(t)
	if document["left"] != 0.0 || document["title"] != "Conflict" || document["type"] != "about:blank" ||
		strings.Contains(a.body, "half") {
		t.Errorf("document %s", a.body)
	}
	want := "guest=v1.abc; max-age=3600; path=/; HttpOnly; secure; SameSite=Lax"
	if got := a.header.Get("Set-Cookie"); !strings.EqualFold(got, want) {
		t.Errorf("cookie %q, want %q", got, want)
	}
}

func TestShell_RetryAfterIsJitteredAndRoundedUp(t *testing.T) {
	h := open(t, Config{}, failing)
	if got := h.do(t, "GET", "/busy", "").header.Get("Retry-After"); got != "13" {
		t.Errorf("Retry-After %q, want 10 s stretched by a quarter, rounded up", got)
	}
	for random, want := range map[float64]time.Duration{0: 10 * time.Second, 0.999999: 15 * time.Second} {
		got := Jitter(10*time.Second, func() float64 { return random })
		if got < want-time.Millisecond || got > want {
			t.Errorf("Jitter at %v = %v", random, got)
		}
	}
}

func TestShell_PageForThosePreferringHTML(t *testing.T) {
	h := open(t, Config{}, failing)
	a := h.do(t, "GET", "/busy", "", "Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	if a.code != 429 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") ||
		a.header.Get("Refresh") != "13" || !strings.Contains(a.body, "Too Many Requests") {
		t.Errorf("%d %v %s", a.code, a.header, a.body)
	}
	if !strings.Contains(a.header.Get("Content-Security-Policy"), "style-src 'sha256-") {
		t.Errorf("policy %q", a.header.Get("Content-Security-Policy"))
	}
}

func TestProblem_PageEscapesWhatClientsSent(t *testing.T) {
	page := string(BadRequest("<script>x</script>", "a number").page())
	if strings.Contains(page, "<script>") {
		t.Error(page)
	}
}

func TestShell_EveryAnswerCarriesSecurityHeaders(t *testing.T) {
	h := open(t, Config{}, failing)
	for _, path := range []string{"/fine", "/panic", "/nowhere"} {
		a := h.do(t, "GET", path, "", "X-Request-Id", "gateway-1")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"Content-Security-Policy":   "default-src 'none'; frame-ancestors 'none'",
			"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "X-Request-Id": "gateway-1", "Server": "",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("GET %s: %s %q, want %q", path, name, got, want)
			}
		}
	}
	if got := h.do(t, "GET", "/fine", "", "X-Request-Id", "a b").header.Get("X-Request-Id"); got == "a b" || got == "" {
		t.Errorf("a foreign request id became %q", got)
	}
}

// samples returns the counts of a metric by its labels.
func samples(t *testing.T, g prometheus.Gatherer, name string) map[string]uint64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			counts[labels(m)] = m.GetHistogram().GetSampleCount() + uint64(m.GetCounter().GetValue())
		}
	}
	return counts
}

// labels joins a metric's label values.
func labels(m *dto.Metric) string {
	var values []string
	for _, pair := range m.GetLabel() {
		values = append(values, pair.GetValue())
	}
	return strings.Join(values, "|")
}

func TestShell_MeasuresByPatternNeverByPath(t *testing.T) {
	h := open(t, Config{}, func(r *Router) {
		r.Handle("GET", "/booking/{id}", func(ctx *fasthttp.RequestCtx) error {
			id, err := PathInt64(ctx, "id")
			if err != nil {
				return err
			}
			return WriteJSON(ctx, 200, id)
		})
		r.Handle("GET", "/panic", func(*fasthttp.RequestCtx) error { panic("x") })
	})
	for _, path := range []string{"/booking/1", "/booking/2", "/booking/x", "/a", "/b", "/panic"} {
		h.do(t, "GET", path, "")
	}
	got := samples(t, h.metrics, "fairgate_http_request_seconds")
	for key, n := range map[string]uint64{
		"200|test|GET /booking/{id}": 2, "400|test|GET /booking/{id}": 1, "404|test|unknown": 2, "500|test|GET /panic": 1,
	} {
		if got[key] != n {
			t.Errorf("%s counted %d times, want %d (all: %v)", key, got[key], n, got)
		}
	}
	if panics := samples(t, h.metrics, "fairgate_http_panics_total"); panics["test"] != 1 {
		t.Errorf("panics %v", panics)
	}
}

func TestShell_RolesShareARegistry(t *testing.T) {
	registry := prometheus.NewRegistry()
	for _, role := range []string{"booking", "waitingroom"} {
		shell := NewShell(ShellConfig{Role: role}, ShellDeps{Metrics: registry})
		shell.Wrap("GET /", func(*fasthttp.RequestCtx) error { return nil })(&fasthttp.RequestCtx{})
	}
	if got := samples(t, registry, "fairgate_http_request_seconds"); len(got) != 2 {
		t.Errorf("series %v", got)
	}
}

func TestRouter_AnswersHEADOptionsAndBothSpellings(t *testing.T) {
	h := open(t, Config{}, func(r *Router) {
		r.Handle("GET", "/events/", func(ctx *fasthttp.RequestCtx) error { return WriteJSON(ctx, 200, []int(nil)) })
		r.Handle("GET", "/booking/{id}", func(ctx *fasthttp.RequestCtx) error {
			id, err := PathParam(ctx, "id")
			if err != nil {
				return err
			}
			return WriteJSON(ctx, 200, id)
		})
		r.Handle("DELETE", "/booking/{id}", func(*fasthttp.RequestCtx) error { return nil })
	})
	for _, path := range []string{"/events/?search=x", "/events?search=x"} {
		if a := h.do(t, "GET", path, ""); a.code != 200 || a.body != "[]" {
			t.Errorf("GET %s = %d %s", path, a.code, a.body)
		}
	}
	if a := h.do(t, "HEAD", "/events/", ""); a.code != 200 || a.body != "" || a.header.Get("Content-Length") != "2" {
		t.Errorf("HEAD = %d %v", a.code, a.header)
	}
	if a := h.do(t, "OPTIONS", "/events/", ""); a.code != 204 || a.header.Get("Allow") == "" {
		t.Errorf("OPTIONS = %d %v", a.code, a.header)
	}
	a := h.do(t, "PUT", "/booking/1", "")
	if a.code != 405 || a.header.Get("Allow") != "DELETE, GET, HEAD, OPTIONS" {
		t.Errorf("PUT = %d, Allow %q", a.code, a.header.Get("Allow"))
	}
	a.problem(t)
	if a := h.do(t, "GET", "/booking/H%C3%A0%20N%E1%BB%99i", ""); a.body != `"Hà Nội"` {
		t.Errorf("parameter %s", a.body)
	}
	if a := h.do(t, "GET", "/EVENTS/", ""); a.code != 404 {
		t.Errorf("another case = %d", a.code)
	}
	want := []Route{{"GET", "/events/"}, {"GET", "/booking/{id}"}, {"DELETE", "/booking/{id}"}}
	if got := h.router.Routes(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("routes %v", got)
	}
}

func FuzzRouter_AnyPathGetsAnAnswer(f *testing.F) {
	for _, seed := range []string{"/", "", "//", "/events", "/booking/", "/booking/%zz", "/booking/%2F..", "/\x00", "*", "/{id}"} {
		f.Add(seed)
	}
	shell := NewShell(ShellConfig{Role: "fuzz"}, ShellDeps{})
	router := NewRouter(shell)
	router.Handle("GET", "/booking/{id}", func(ctx *fasthttp.RequestCtx) error {
		_, err := PathInt64(ctx, "id")
		return err
	})
	router.Handle("GET", "/assets/{path:*}", func(*fasthttp.RequestCtx) error { return nil })
	f.Fuzz(func(t *testing.T, path string) {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod("GET")
		ctx.Request.SetRequestURI(path)
		router.Handler(&ctx)
		if code := ctx.Response.StatusCode(); code >= 500 {
			t.Errorf("GET %q = %d", path, code)
		}
	})
}

func TestPathInt64_TakesOnlyCanonicalPositiveNumbers(t *testing.T) {
	for text, ok := range map[string]bool{"1": true, "9223372036854775807": true, "0": false, "-1": false, "01": false,
		"+1": false, "1e3": false, "9223372036854775808": false, "": false, "%31": true, "%zz": false} {
		var ctx fasthttp.RequestCtx
		ctx.SetUserValue("id", text)
		if _, err := PathInt64(&ctx, "id"); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWantsHTML_FollowsTheAcceptHeader(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/html": true, "application/json": false, "text/html, application/json": false,
		"text/html;q=0.9, application/json;q=0.8": true, "text/html;q=0.1, */*": false, "TEXT/HTML": true,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
		"text/html;q=0": false, "text/html;q=nan": false, "text/html;q=2": false,
		"application/problem+json, text/html;q=0.5":     false,
		"application/vnd.shop.v2+json, text/html;q=0.5": false, "text/html, application/json;q=0.9": true, "text/plain": false,
	} {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.Set("Accept", accept)
		if got := WantsHTML(&ctx); got != want {
			t.Errorf("Accept %q: %v", accept, got)
		}
	}
}

func TestProblem_WriteHTTPSaysTheSame(t *testing.T) {
	w := httptest.NewRecorder()
	Unavailable(1500 * time.Millisecond).WriteHTTP(w)
	a := answer{code: w.Code, header: w.Header(), body: w.Body.String()}
	if a.problem(t); a.code != 503 || a.header.Get("Retry-After") != "2" {
		t.Errorf("%d %v", a.code, a.header)
	}
}

func TestProblem_WithoutExtrasItIsTheSameDocument(t *testing.T) {
	for _, p := range []*Problem{{}, Conflict("taken"), BadRequest("a\"b", "<c>\n"), Unavailable(time.Second), NotFound("\xff\u2028é"),
		{Status: 422, Type: "/problems/x", Title: "X", Instance: "urn:x", Key: "k", Expected: "e", Detail: "d"}} {
		plain := string(p.document())
		q := *p
		q.Extra = map[string]any{"detail": "ignored"} // the long way, and nothing more to say
		if long := string(q.document()); plain != long {
			t.Errorf("%s, want %s", plain, long)
		}
	}
}

func TestProblem_UnwritableExtraCostsTheExtraOnly(t *testing.T) {
	if got := string(Conflict("x").With("f", func() {}).document()); !strings.Contains(got, `"status":409`) {
		t.Error(got)
	}
	if got := string(BadRequest("\xff", "y").document()); !strings.Contains(got, `"status":400`) || !strings.Contains(got, "expected") {
		t.Error(got)
	}
}

func TestCookie_ClearedWithTheSameAttributes(t *testing.T) {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetCookie("guest", "abc")
	if Cookie(&ctx, "guest") != "abc" || Cookie(&ctx, "other") != "" {
		t.Error("cookies of the request")
	}
	ClearCookie(&ctx, "guest", CookieOptions{Path: "/rooms"})
	got := ctx.Response.Header.String()
	if !strings.Contains(got, "path=/rooms") || !strings.Contains(got, "expires=Tue, 10 Nov 2009") {
		t.Error(got)
	}
}
