package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp refreshes its Date header from one goroutine per process and keeps it; the cleaner of a worker pool
		// looks only every ten seconds whether it should end.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// house is a shell, a router and a served listener for one test.
type house struct {
	router  *Router
	metrics *prometheus.Registry
	logs    bytes.Buffer
	client  *http.Client
	server  *Server
}

// open builds a house on an in-memory listener; routes registers what the test needs.
func open(t *testing.T, c Config, routes func(*Router)) *house {
	t.Helper()
	h := &house{metrics: prometheus.NewRegistry()}
	shell := NewShell(ShellConfig{Role: "test", Secure: true}, ShellDeps{
		Log: slog.New(slog.NewTextHandler(&h.logs, nil)), Metrics: h.metrics, Random: func() float64 { return 0.5 },
	})
	h.router = NewRouter(shell)
	routes(h.router)
	h.server = NewServer(c, ServerDeps{Handler: h.router.Handler, Metrics: h.metrics, Role: "test",
		Random: func() float64 { return 0.5 }})
	ln := fasthttputil.NewInmemoryListener()
	ctx, stop := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- h.server.Serve(ctx, ln) }()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}
	h.client = &http.Client{Transport: transport, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-end; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return h
}

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	body   string
}

// problem reads the answer as a problem document.
func (a answer) problem(t *testing.T) map[string]any {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != typeProblem {
		t.Fatalf("Content-Type %q of %d %s", got, a.code, a.body)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(a.body), &document); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	if document["status"] != float64(a.code) {
		t.Errorf("the document says %v, the answer %d", document["status"], a.code)
	}
	return document
}

// do sends a request; headers are pairs.
func (h *house) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://fairgate.test"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := h.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

// read reads a response to its end.
func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{code: response.StatusCode, header: response.Header, body: string(body)}
}

// raw sends bytes over a connection and reads one answer.
func raw(t *testing.T, c net.Conn, bytes string) answer {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, bytes); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}
