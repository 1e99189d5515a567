package bench

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

const (
	// rounds of the engine and the relay are taken by turns, so that a machine that is busy meanwhile is so for both.
	rounds = 2
	// roundLength is what one turn measures, after settle.
	roundLength = 5 * time.Second
	settle      = time.Second
	// warmTurns bounds how often a turn is tried until brokers are warm: until their cost falls no more. Cold ones spend
	// most of their time compiling themselves.
	warmTurns  = 8
	warmLength = 4 * time.Second
	stillFalls = 0.85
)

// callers is how many commands wait for their outcomes at once.
func callers() int { return setting("FAIRGATE_BENCH_CALLERS", 8_000) }

func setting(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// BenchmarkKafka_Decided1 decides holds through one broker, everything on this machine: callers, engine, broker, and the
// reader that tells the callers.
func BenchmarkKafka_Decided1(b *testing.B) {
	engine, relay := decided(b, 1)
	b.ReportMetric(engine.rate, "bench:kafka.decided.1:1/s")
	b.ReportMetric(engine.wait(50), "bench:kafka.decided.p50.1:ms")
	b.ReportMetric(engine.wait(99), "bench:kafka.decided.p99.1:ms")
	b.ReportMetric(engine.ours+engine.brokers, "bench:kafka.decided.cpu.1:µs")
	b.ReportMetric(engine.rate/relay.rate, "ratio:kafka.relay.1")
}

// BenchmarkKafka_Decided3 is the same with three brokers: every record on all, acknowledged by two at least.
func BenchmarkKafka_Decided3(b *testing.B) {
	engine, relay := decided(b, 3)
	b.ReportMetric(engine.rate, "bench:kafka.decided.3:1/s")
	b.ReportMetric(engine.wait(50), "bench:kafka.decided.p50.3:ms")
	b.ReportMetric(engine.wait(99), "bench:kafka.decided.p99.3:ms")
	b.ReportMetric(engine.ours+engine.brokers, "bench:kafka.decided.cpu.3:µs")
	b.ReportMetric(engine.rate/relay.rate, "ratio:kafka.relay")
}

func decided(b *testing.B, brokers int) (engine, relay figures) {
	k := startKafka(b, brokers)
	k.warm()
	for range rounds {
		engine.add(k.say("engine", k.turn(engineDecides, callers(), settle, roundLength)))
		relay.add(k.say("relay", k.turn(relayCopies, callers(), settle, roundLength)))
	}
	return engine, relay
}

// warm drives the brokers until they cost no less.
func (k *cluster) warm() {
	k.b.Helper()
	before := 0.0
	for n := range warmTurns {
		f := k.say("warming", k.turn(engineDecides, callers(), 0, warmLength))
		if n > 0 && f.brokers > stillFalls*before {
			return
		}
		before = f.brokers
	}
}

func (k *cluster) say(what string, f figures) figures {
	k.b.Helper()
	k.b.Logf("%-7s %v", what, f)
	return f
}

// figures are what one turn measured, or several.
type figures struct {
	rate          float64 // decided/s
	ours, brokers float64 // µs of processor time that a decided command cost our process, and the brokers
	waits         []time.Duration

	decided int64
	spent   spent
	took    time.Duration
	calls   [2]float64 // records a produce call carried: commands, outcomes
}

// add makes f the figures of both.
func (f *figures) add(g figures) {
	f.decided, f.took = f.decided+g.decided, f.took+g.took
	f.spent = spent{f.spent.ours + g.spent.ours, f.spent.brokers + g.spent.brokers}
	f.waits = append(f.waits, g.waits...)
	f.conclude()
}

func (f *figures) conclude() {
	f.rate = float64(f.decided) / f.took.Seconds()
	f.ours, f.brokers = per(f.spent.ours, f.decided), per(f.spent.brokers, f.decided)
	slices.Sort(f.waits)
}

// wait is a percentile of the time from append to outcome seen, in milliseconds.
func (f *figures) wait(percent int) float64 {
	if len(f.waits) == 0 {
		return 0
	}
	return float64(f.waits[len(f.waits)*percent/100].Microseconds()) / 1000
}
