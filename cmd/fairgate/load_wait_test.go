package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"fairgate/internal/embedded"
)

// openWait finds nginx, which a laptop may lack and CI may not.
func openWait(t testing.TB) {
	t.Helper()
	if _, err := embedded.FindNginx(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// TestLoadWait_TheOriginIsAskedNoMoreByMore runs the whole of `fairgate load wait` in small: real processes, nginx as the
// CDN, and a line of which everybody is told the truth.
func TestLoadWait_TheOriginIsAskedNoMoreByMore(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	openWait(t)
	c := waitCommand{Fans: 20_000, For: 3 * time.Second, Watching: 100}
	steps, err := c.measure(t.Context(), buildBinary(t, t.TempDir()), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	printWait(t.Output(), steps)
	if err := waitVerdict(steps); err != nil {
		t.Error(err)
	}
	for i, s := range steps {
		if s.Fans != c.sizes()[i] || s.Checked+s.Unknown < int64(s.Fans) || s.Places < waitPlaces/2 || s.Looks == 0 {
			t.Errorf("%+v proves too little", s)
		}
		// There are two documents (br, gzip), one a second each, and a look that found the CDN empty.
		if s.Origin > 4 {
			t.Errorf("%d people: %.1f requests a second reached the origin", s.Fans, s.Origin)
		}
	}
	few, many := steps[0], steps[len(steps)-1]
	if many.PerSecond < 10*few.PerSecond {
		t.Errorf("%d people look %.0f times a second, %d only %.0f", few.Fans, few.PerSecond, many.Fans, many.PerSecond)
	}
}

func TestLoadWait_ALieIsAFailure(t *testing.T) {
	for name, change := range map[string]func(*waitStep){
		"wrong": func(s *waitStep) { s.Wrong = 1 }, "older": func(s *waitStep) { s.Older = 1 }, "failed": func(s *waitStep) { s.Failed = 1 },
	} {
		var s waitStep
		change(&s)
		if err := waitVerdict([]waitStep{{}, s}); !errors.Is(err, errWaitWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := waitVerdict([]waitStep{{}}); err != nil {
		t.Error(err)
	}
}

// BenchmarkWait has 5,000, then 50,000, then 500,000 people wait on this machine.
func BenchmarkWait(b *testing.B) {
	openWait(b)
	c := waitCommand{Fans: 500_000, For: 20 * time.Second, Watching: 100}
	binary := buildBinary(b, b.TempDir())
	var steps []waitStep
	for range b.N {
		var err error
		if steps, err = c.measure(b.Context(), binary, b.Output()); err != nil {
			b.Fatal(err)
		}
		if err := waitVerdict(steps); err != nil {
			b.Fatal(err)
		}
	}
	few, some, many := steps[0], steps[1], steps[2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(few.Origin, "bench:wait.origin.5k:requests/s")
	b.ReportMetric(some.Origin, "bench:wait.origin.50k:requests/s")
	b.ReportMetric(many.Origin, "bench:wait.origin.500k:requests/s")
	b.ReportMetric(few.PerSecond, "bench:wait.looks.5k:requests/s")
	b.ReportMetric(some.PerSecond, "bench:wait.looks.50k:requests/s")
	b.ReportMetric(many.PerSecond, "bench:wait.looks.500k:requests/s")
	b.ReportMetric(float64(many.Checked), "bench:wait.positions:checked")
	b.ReportMetric(float64(many.Wrong), "bench:wait.wrong:positions")
	b.ReportMetric(many.Late.P99/1000, "bench:wait.late.p99:s")
	b.ReportMetric(many.Age.P99/1000, "bench:wait.age.p99:s")
	b.ReportMetric(many.BytesPerFan, "bench:wait.fan:bytes")
	b.ReportMetric(float64(many.Edge-few.Edge)/float64(many.Fans-few.Fans), "bench:wait.edge:bytes/fan")
	b.ReportMetric(float64(many.Processor-few.Processor)/float64(many.Fans-few.Fans), "bench:wait.rest:bytes/fan")
	b.ReportMetric(float64(many.CDN), "bench:wait.cdn:bytes")
}
