package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestSignals_FirstEndsTheContextSecondCallsTheHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		hooked := 0
		ctx, stop := watch(t.Context(), signals, func() { hooked++ })
		defer stop()
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatal("ended before any signal")
		}
		signals <- syscall.SIGTERM
		synctest.Wait()
		if ctx.Err() == nil || hooked != 0 {
			t.Errorf("after the first: err %v, hooked %d", ctx.Err(), hooked)
		}
		signals <- os.Interrupt
		synctest.Wait()
		if hooked != 1 {
			t.Errorf("after the second: hooked %d", hooked)
		}
	})
}

func TestSignals_RealSignalArrives(t *testing.T) {
	ctx, stop := Signals(t.Context(), func() {})
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Error("SIGTERM did not end the context")
	}
}

func TestInterval_WaitsAfterEachCallAndNeverOverlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		var at []time.Duration
		begin := time.Now()
		Interval(ctx, 2*time.Second, 0, func(context.Context) {
			at = append(at, time.Since(begin))
			time.Sleep(time.Second)
		})
		want := []time.Duration{0, 3 * time.Second, 6 * time.Second, 9 * time.Second}
		if len(at) != len(want) {
			t.Fatalf("called at %v, want %v", at, want)
		}
		for i := range at {
			if at[i] != want[i] {
				t.Errorf("called at %v, want %v", at, want)
			}
		}
	})
}

func TestInterval_JitterStaysBelowItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		last, calls := time.Now(), 0
		Interval(ctx, time.Second, time.Second, func(context.Context) {
			since := time.Since(last)
			last = time.Now()
			if calls++; calls > 1 && (since < time.Second || since >= 2*time.Second) {
				t.Errorf("called after %v", since)
			}
			if calls == 50 {
				stop()
			}
		})
	})
}

func TestNewLogger_RefusesWhatItDoesNotKnowByName(t *testing.T) {
	for _, test := range []struct{ format, level, want string }{
		{"xml", "info", `format: expected text or json, got "xml"`},
		{"json", "loud", `level: expected debug, info, warn or error, got "loud"`},
	} {
		if _, err := NewLogger(io.Discard, test.format, test.level); err == nil || err.Error() != test.want {
			t.Errorf("NewLogger(%q, %q) = %v", test.format, test.level, err)
		}
	}
}

func TestNewLogger_WritesFromItsLevelOnInUTC(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("heard", "at", time.Date(2026, 1, 2, 3, 0, 0, 0, time.FixedZone("ICT", 7*3600)))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if line["msg"] != "heard" || line["at"] != "2026-01-01T20:00:00Z" {
		t.Errorf("line %v", line)
	}
}

func TestCheckAddress_WantsHostAndPort(t *testing.T) {
	for _, good := range []string{"127.0.0.1:8080", ":0", "[::1]:65535", "localhost:1"} {
		if err := CheckAddress(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:http", "::1:80", ":-1"} {
		if CheckAddress(bad) == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestListen_PortInUseNamesAddressAndKey(t *testing.T) {
	first, err := Listen("127.0.0.1:0", "a.address")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = Listen(first.Addr().String(), "booking.address")
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), first.Addr().String()) ||
		!strings.Contains(err.Error(), "set booking.address") {
		t.Errorf("Listen = %v", err)
	}
	if _, err = Listen("nowhere", "booking.address"); err == nil || !strings.Contains(err.Error(), "booking.address") {
		t.Errorf("Listen on nonsense = %v", err)
	}
}

func TestReady_NamesWhatFails(t *testing.T) {
	ready := NewReady()
	ready.Add("redis", func(context.Context) error { return errors.New("secret address refused") })
	ready.Add("kafka", func(context.Context) error { return errors.New("no") })
	ready.Add("postgres", func(context.Context) error { return nil })
	answer := httptest.NewRecorder()
	ready.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if answer.Code != 503 || strings.TrimSpace(answer.Body.String()) != `{"failing":["kafka","redis"]}` {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}

func TestReady_CheckThatHangsCountsAsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ready := NewReady()
		ready.Add("postgres", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		begin := time.Now()
		if got := ready.Failing(t.Context()); len(got) != 1 || time.Since(begin) != checkTimeout {
			t.Errorf("failing %v after %v", got, time.Since(begin))
		}
	})
}

// get fetches a path of a running Ops.
func get(t *testing.T, o *Ops, path string) (int, string) {
	t.Helper()
	response, err := http.Get("http://" + o.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestOps_ServesMetricsAndHealthAndHidesProfiles(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	ready := NewReady()
	ops := NewOps(OpsConfig{Address: "127.0.0.1:0"}, OpsDeps{Gatherer: NewRegistry(), Ready: ready})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	end := make(chan error, 1)
	go func() { end <- ops.Run(ctx) }()
	<-ops.Part().Started
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/debug/pprof/": 404} {
		if code, _ := get(t, ops, path); code != want {
			t.Errorf("GET %s = %d, want %d", path, code, want)
		}
	}
	if _, body := get(t, ops, "/metrics"); !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "go_build_info") {
		t.Error("the runtime's metrics are missing")
	}
	ready.Stop()
	if code, body := get(t, ops, "/readyz"); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("GET /readyz while stopping = %d %s", code, body)
	}
	stop()
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestOps_ProfilesOnRequest(t *testing.T) {
	ops := NewOps(OpsConfig{Pprof: true}, OpsDeps{Gatherer: NewRegistry()})
	answer := httptest.NewRecorder()
	ops.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/debug/pprof/cmdline", nil))
	if answer.Code != 200 {
		t.Errorf("GET /debug/pprof/cmdline = %d", answer.Code)
	}
}
