package schema

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// maxExchanges bounds what a Recorder keeps.
const maxExchanges = 4096

// Exchange is a call of the API with its answer.
type Exchange struct {
	Origin string // the test that made it
	Method string
	Path   string
	Query  string
	Body   string
	Status int // 0 if the connection was cut
	Answer []byte
}

// String names the call without the values of its parameters.
func (e Exchange) String() string {
	return e.Origin + ": " + e.Method + " " + template(e.Path) + " " + strings.Join(e.names(), ",")
}

// names are the parameters' names, sorted; what stands in brackets of metadata is left out.
func (e Exchange) names() []string {
	seen := map[string]bool{}
	for _, raw := range []string{e.Query, e.Body} {
		values, err := url.ParseQuery(raw)
		if err != nil {
			seen["unreadable"] = true
		}
		for name := range values {
			if base, _, nested := strings.Cut(name, "["); nested && base == "metadata" {
				name = base
			}
			seen[name] = true
		}
	}
	var out []string
	for name := range seen {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// template is a path without its ids.
func template(path string) string {
	return regexp.MustCompile(`/(pi|ch|re|txn|dp|evt|acct)_[^/]*`).ReplaceAllString(path, "/{id}")
}

// Recorder keeps one exchange of each shape: method, path, names of parameters, class of status.
type Recorder struct {
	mu   sync.Mutex
	seen map[string]Exchange
}

// NewRecorder returns an empty one.
func NewRecorder() *Recorder { return &Recorder{seen: map[string]Exchange{}} }

// Wrap records the calls of the API on their way to next. Pages, and calls with a publishable key, are none of ours.
func (r *Recorder) Wrap(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		if !strings.HasPrefix(hr.URL.Path, "/v1/") || !strings.Contains(hr.Header.Get("Authorization"), "sk_test_") {
			next.ServeHTTP(w, hr)
			return
		}
		e := Exchange{Origin: origin, Method: hr.Method, Path: hr.URL.Path, Query: hr.URL.RawQuery}
		body, err := io.ReadAll(io.LimitReader(hr.Body, maxAnswer))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.Body = string(body)
		hr.Body = io.NopCloser(bytes.NewReader(body))
		tee := &teeWriter{ResponseWriter: w}
		defer func() { r.keep(e, tee) }() // also when the fault policy cuts the connection by a panic
		next.ServeHTTP(tee, hr)
	})
}

func (r *Recorder) keep(e Exchange, tee *teeWriter) {
	e.Status, e.Answer = tee.status, tee.body.Bytes()
	shape := e.Method + " " + template(e.Path) + " " + strings.Join(e.names(), ",") + " " + strconv.Itoa(e.Status/100)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.seen[shape]; !known && len(r.seen) < maxExchanges {
		r.seen[shape] = e
	}
}

// Exchanges are those kept, in the order of their shapes.
func (r *Recorder) Exchanges() []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	var shapes []string
	for shape := range r.seen {
		shapes = append(shapes, shape)
	}
	sort.Strings(shapes)
	var out []Exchange
	for _, shape := range shapes {
		out = append(out, r.seen[shape])
	}
	return out
}

// teeWriter keeps what goes out.
type teeWriter struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (t *teeWriter) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (t *teeWriter) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	t.body.Write(b)
	return t.ResponseWriter.Write(b)
}
