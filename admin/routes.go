package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/web"
)

const (
	// requestTimeout is the longest that a request is worked on; a command waits CommandLife for its answer.
	requestTimeout = CommandLife + 5*time.Second
	queuesPath     = "/ops/queues"
)

// What pages may load: our own files and nothing else. asynqmon's page brings scripts and styles inside it.
const (
	pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	queuesPolicy = "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"font-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)

type metrics struct {
	requests *prometheus.HistogramVec
	logins   *prometheus.CounterVec
	actions  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fairgate_admin_request_seconds", Help: "Time to answer a request of the dashboard.",
			Buckets: []float64{.005, .025, .1, .5, 2, 10},
		}, []string{"route", "code"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_admin_logins_total", Help: "Logins to the dashboard by result.",
		}, []string{"result"}),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_admin_actions_total", Help: "What operators did, by action and result.",
		}, []string{"action", "result"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.logins, m.actions)
	}
	return m
}

func (a *Admin) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{file}", a.pages.asset)
	mux.HandleFunc("GET /login", a.loginPage)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("POST /logout", a.logout)
	a.readers(mux)
	a.doers(mux)
	if a.deps.Redis != nil {
		queues := asynqmon.New(asynqmon.Options{RootPath: queuesPath, RedisConnOpt: a.deps.Redis})
		a.queues = queues
		mux.Handle(queuesPath+"/", a.operatorsOnly(queues))
		mux.Handle("GET "+queuesPath, a.operatorsOnly(queues))
	}
	cross := http.NewCrossOriginProtection()
	for _, o := range a.cfg.Origins {
		if err := cross.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("origins: %w", err)
		}
	}
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, kind(web.Forbidden("This request was sent by another site."), "foreign-origin", "Sent by another site"))
	}))
	return a.shell(cross.Handler(known(mux, a))), nil
}

// known serves the mux, and answers what it does not know as everything else is answered.
func known(mux *http.ServeMux, a *Admin) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		asked := httptest.NewRecorder()
		h.ServeHTTP(asked, r)
		if allow := asked.Header().Get("Allow"); asked.Code == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", allow)
			a.fail(w, r, &web.Problem{Status: asked.Code, Detail: "Allowed here: " + allow})
			return
		}
		a.fail(w, r, web.NotFound("There is no such page."))
	})
}

// shell sets what every answer has, measures, and turns a panic into a 500.
func (a *Admin) shell(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := a.deps.Clock()
		h := w.Header()
		policy := pagePolicy
		if r.URL.Path == queuesPath || strings.HasPrefix(r.URL.Path, queuesPath+"/") {
			policy = queuesPolicy
		}
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // not "no-referrer": browsers then send "Origin: null" with forms
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Robots-Tag", "noindex")
		if a.cfg.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		out := &answered{ResponseWriter: w, code: http.StatusOK}
		r = r.WithContext(ctx)
		defer func() {
			if p := recover(); p != nil {
				a.deps.Log.Error("a handler panicked", "panic", fmt.Sprint(p), "path", r.URL.Path)
				(&web.Problem{Status: 500, Detail: "The error was noted."}).WriteHTTP(out)
			}
			a.metrics.requests.WithLabelValues(r.Pattern, strconv.Itoa(out.code)).Observe(a.deps.Clock().Sub(began).Seconds())
		}()
		next.ServeHTTP(out, r)
	})
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	code int
}

// WriteHeader notes the status.
func (w *answered) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w *answered) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// wantsPage says whether a person will read the answer.
func wantsPage(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/api/") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// fail answers with an error: a page for people, problem+json for programs. What nobody expected goes into the log, not
// into the answer.
func (a *Admin) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, expected := problemOf(err)
	if !expected {
		a.deps.Log.Error("a request failed", "route", r.Pattern, "error", err)
	}
	if !wantsPage(r) {
		p.WriteHTTP(w)
		return
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.RetryAfter.Seconds())))
	}
	who, _ := a.who(r)
	a.pages.problem(w, r, who, p)
}
