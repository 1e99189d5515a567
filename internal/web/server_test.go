package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/run"

	"github.com/valyala/fasthttp"
)

// start serves a handler on a real port inside a group, and returns its address, the stop and the group's end.
func start(t *testing.T, c Config, window time.Duration, h Handler) (string, context.CancelFunc, <-chan error) {
	t.Helper()
	c.Address = "127.0.0.1:0"
	shell := NewShell(ShellConfig{Role: "test"}, ShellDeps{})
	server := NewServer(c, ServerDeps{Handler: shell.Wrap("test", h)})
	group := run.NewGroup(run.GroupConfig{Window: window}, run.GroupDeps{})
	group.Add(server.Part("http"))
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	end := make(chan error, 1)
	go func() { end <- group.Run(ctx) }()
	<-server.started
	return server.Addr().String(), stop, end
}

// dial connects to a server; the connection closes with the test.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// fine answers 200 to anything.
func fine(ctx *fasthttp.RequestCtx) error { return WriteJSON(ctx, 200, "fine") }

const getRoot = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestServer_UnreadableRequestsAreProblems(t *testing.T) {
	address, stop, end := start(t, Config{ReadTimeout: 300 * time.Millisecond}, time.Second, fine)
	for _, test := range []struct {
		name, request string
		code          int
	}{
		{"nonsense", "\x00\x01\x02\r\n\r\n", 400},
		{"no version", "GET /\r\n\r\n", 400},
		{"a negative length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		{"a broken chunk", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"an oversized body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200000), 413},
		{"oversized chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat("8000\r\n"+strings.Repeat("x", 0x8000)+"\r\n", 4) + "0\r\n\r\n", 413},
		{"oversized headers", "GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("x", 40000) + "\r\n\r\n", 431},
		{"a slow head", "GET / HTTP/1.1\r\nHost:", 408},
		{"a slow body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nxxx", 408},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, address)
			a := raw(t, c, test.request)
			if a.code != test.code {
				t.Errorf("%d %s, want %d", a.code, a.body, test.code)
			}
			a.problem(t)
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("the connection goes on")
			}
			c.Close()
		})
	}
	stop()
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestServer_OverloadIs503WithRetryAfter(t *testing.T) {
	release, working := make(chan struct{}), make(chan struct{})
	address, stop, end := start(t, Config{Concurrency: 1}, 5*time.Second, func(ctx *fasthttp.RequestCtx) error {
		close(working)
		<-release
		return fine(ctx)
	})
	first := dial(t, address)
	if _, err := io.WriteString(first, getRoot); err != nil {
		t.Fatal(err)
	}
	<-working
	a := raw(t, dial(t, address), getRoot)
	if a.problem(t); a.code != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.code, a.header)
	}
	close(release)
	if a := raw(t, first, ""); a.code != 200 {
		t.Errorf("the one that had room: %d", a.code)
	}
	stop()
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestServer_ConnectionsBeyondTheLimitAreToldToComeBack(t *testing.T) {
	address, stop, end := start(t, Config{MaxConns: 2}, 5*time.Second, fine)
	var inside []net.Conn
	for range 2 {
		c := dial(t, address)
		if a := raw(t, c, getRoot); a.code != 200 {
			t.Fatalf("a connection within the limit: %d", a.code)
		}
		inside = append(inside, c)
	}
	a := raw(t, dial(t, address), getRoot)
	if a.problem(t); a.code != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.code, a.header)
	}
	inside[0].Close()
	for deadline := time.Now().Add(5 * time.Second); ; {
		if a := raw(t, dial(t, address), getRoot); a.code == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a closed connection is never free again")
		}
	}
	stop()
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestServer_DrainLetsRequestsFinishAndRefusesNewOnes(t *testing.T) {
	working := make(chan struct{})
	address, stop, end := start(t, Config{}, 10*time.Second, func(ctx *fasthttp.RequestCtx) error {
		work, cancel := RequestContext(ctx)
		defer cancel()
		close(working)
		select {
		case <-work.Done():
			return work.Err()
		case <-time.After(300 * time.Millisecond):
			return fine(ctx)
		}
	})
	c := dial(t, address)
	if _, err := io.WriteString(c, getRoot); err != nil {
		t.Fatal(err)
	}
	<-working
	stop()
	a := raw(t, c, "")
	if a.code != 200 {
		t.Errorf("%d %v", a.code, a.header)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection goes on: %v", err)
	}
	if err := <-end; err != nil {
		t.Errorf("drain: %v", err)
	}
	if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the drain: %v", err)
	}
}

func TestServer_DrainIsCutShortAtTheHardStop(t *testing.T) {
	working := make(chan struct{})
	address, stop, end := start(t, Config{RequestTimeout: time.Hour}, time.Second, func(ctx *fasthttp.RequestCtx) error {
		work, cancel := RequestContext(ctx)
		defer cancel()
		close(working)
		<-work.Done()
		return work.Err()
	})
	if _, err := io.WriteString(dial(t, address), getRoot); err != nil {
		t.Fatal(err)
	}
	<-working
	stop()
	select {
	case err := <-end:
		if err == nil || !strings.Contains(err.Error(), "1 connections cut short") {
			t.Errorf("group: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the drain never ended")
	}
}

func TestServer_StopBeforeAnybodyCameEndsAtOnce(t *testing.T) {
	_, stop, end := start(t, Config{}, 10*time.Second, fine)
	stop()
	select {
	case err := <-end:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Fatal("it does not end")
	}
}

func TestServer_RequestContextEndsAfterRequestTimeout(t *testing.T) {
	h := open(t, Config{RequestTimeout: 50 * time.Millisecond}, func(r *Router) {
		r.Handle("GET", "/", func(ctx *fasthttp.RequestCtx) error {
			work, cancel := RequestContext(ctx)
			defer cancel()
			<-work.Done()
			return fmt.Errorf("await the outcome: %w", work.Err())
		})
	})
	if a := h.do(t, "GET", "/", ""); a.code != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.code, a.header)
	}
}

func TestServer_PortInUseNamesTheKey(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	server := NewServer(Config{Address: ln.Addr().String()}, ServerDeps{Key: "booking.http.address"})
	if err := server.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "set booking.http.address") {
		t.Errorf("Run = %v", err)
	}
}

// poor is a listener that runs out of file descriptors a few times.
type poor struct {
	net.Listener
	times atomic.Int32
}

func (p *poor) Accept() (net.Conn, error) {
	if p.times.Add(1) <= 3 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return p.Listener.Accept()
}

func TestServer_OutlivesALackOfFileDescriptors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shell := NewShell(ShellConfig{Role: "test"}, ShellDeps{})
	server := NewServer(Config{}, ServerDeps{Handler: shell.Wrap("test", fine)})
	ctx, stop := context.WithCancel(t.Context())
	var owner sync.WaitGroup
	owner.Go(func() {
		if err := server.Serve(ctx, &poor{Listener: ln}); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	c := dial(t, ln.Addr().String())
	if a := raw(t, c, getRoot); a.code != http.StatusOK {
		t.Errorf("%d", a.code)
	}
	c.Close()
	stop()
	owner.Wait()
}

func TestConfig_RefusesLimitsThatAreNone(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	for want, c := range map[string]Config{
		`address: expected host:port with a port from 0 to 65535, got "x"`: {Address: "x"},
		"maxConns: expected a positive number":                             {MaxConns: -1},
		"readTimeout: expected a positive":                                 {ReadTimeout: -1},
		"maxBody: expected at most 65536, got 65":                          {MaxBody: 65537},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}
