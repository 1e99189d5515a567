package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/chaos"
	"fairgate/internal/wire"
)

// takeoversEnv is how often takeovers are measured; the defaults of the benchmarks follow.
const (
	takeoversEnv    = "FAIRGATE_TEST_TAKEOVERS"
	takeoverKills   = 100
	takeoverHangs   = 10
	takeoverBrokers = 5
	// takeoverWarm is how long commands flow before anything dies: the brokers were started a moment ago.
	takeoverWarm = 5 * time.Second
)

// takeovers measures how long it takes from harm until a command sent after it is seen decided. Commands are sent all the
// time, and fans buy beside.
type takeovers struct {
	*rig
	rnd  *rand.Rand
	next chan time.Time // harm done: the first outcome of a command sent after it is wanted
	seen chan time.Time
	stop func()
}

func newTakeovers(t testing.TB) *takeovers {
	t.Helper()
	m := &takeovers{rig: newRig(t, 3, 1, nil), next: make(chan time.Time, 1), seen: make(chan time.Time, 1)}
	m.rnd = rand.New(rand.NewPCG(m.seed, 7))
	var want time.Time
	m.watch.Listen(0, func(_ wire.ID, at, sent time.Time) {
		select {
		case want = <-m.next:
		default:
		}
		if !want.IsZero() && sent.After(want) {
			want = time.Time{}
			m.seen <- at
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.fans.Beat(ctx)
	}()
	m.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(m.stop)
	pauseFor(t.Context(), takeoverWarm)
	return m
}

// measure does harm, which must not take long, and returns the time from then until the first outcome of a command that
// was sent after it.
func (m *takeovers) measure(harm func() error) (time.Duration, error) {
	if err := harm(); err != nil {
		return 0, err
	}
	began := time.Now()
	m.next <- began
	select {
	case at := <-m.seen:
		return at.Sub(began), nil
	case <-time.After(time.Minute):
		return 0, fmt.Errorf("nothing was decided for a minute")
	}
}

// settled waits until everybody is ready and somebody leads, and then for a moment that differs each time.
func (m *takeovers) settled(ctx context.Context) (leader int, err error) {
	for i := range m.procs {
		if err := m.awaitReady(ctx, i); err != nil {
			return 0, err
		}
	}
	pauseFor(ctx, chaos.Between(m.rnd, 200*time.Millisecond, 700*time.Millisecond))
	err = settle(ctx, rigReady, func(ctx context.Context) (bool, error) {
		leader = m.leader(ctx, 0)
		return leader >= 0, nil
	})
	return leader, err
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// kills measures takeovers after SIGKILL of the active processor.
func (m *takeovers) kills(ctx context.Context, n int) (took []time.Duration, err error) {
	for range n {
		leader, err := m.settled(ctx)
		if err != nil {
			return took, err
		}
		m.ready[leader].Store(false)
		d, err := m.measure(m.procs[leader].Kill)
		if err != nil {
			return took, err
		}
		took = append(took, d)
		m.end(leader, syscall.SIGKILL) // and wait for it
		if err := m.procs[leader].Start(); err != nil {
			return took, err
		}
	}
	return took, nil
}

// hangs measures takeovers after SIGSTOP of the active processor, which wakes up again afterwards.
func (m *takeovers) hangs(ctx context.Context, n int) (took []time.Duration, err error) {
	for range n {
		leader, err := m.settled(ctx)
		if err != nil {
			return took, err
		}
		d, err := m.measure(func() error { return m.procs[leader].Signal(syscall.SIGSTOP) })
		if err != nil {
			return took, err
		}
		took = append(took, d)
		if err := m.procs[leader].Signal(syscall.SIGCONT); err != nil {
			return took, err
		}
	}
	return took, nil
}

// brokerKills measures the pause after SIGKILL of the broker that leads the partition, its outcomes and the quorum.
func (m *takeovers) brokerKills(ctx context.Context, n int) (took []time.Duration, err error) {
	client, err := m.brokers.Client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	topics := []string{m.topic(wire.TopicOrders), m.topic(wire.TopicOutcomes)}
	for range n {
		if _, err := m.settled(ctx); err != nil {
			return took, err
		}
		victim := 0
		err := settle(ctx, rigReady, func(ctx context.Context) (bool, error) {
			controller, err := m.brokers.Controller(ctx, client)
			if err != nil {
				return false, nil // it may be about to be elected
			}
			leaders, healed, err := m.brokers.Healed(ctx, client, topics)
			if err != nil || !healed {
				return false, nil
			}
			victim = controller
			if leaders[topics[0]] == controller && leaders[topics[1]] == controller {
				return true, nil
			}
			return false, m.brokers.Lead(ctx, client, topics, controller)
		})
		if err != nil {
			return took, fmt.Errorf("having the controller lead: %w", err)
		}
		pauseFor(ctx, time.Second)
		pid, err := m.brokers.Pid(ctx, victim)
		if err != nil {
			return took, err
		}
		d, err := m.measure(func() error { return syscall.Kill(pid, syscall.SIGKILL) })
		if err != nil {
			return took, err
		}
		took = append(took, d)
		if err := m.brokers.Start(ctx); err != nil {
			return took, err
		}
	}
	return took, nil
}

// percentile of unsorted durations.
func percentile(of []time.Duration, percent int) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, (len(sorted)*percent+99)/100-1)]
}

// finish judges the whole run.
func (m *takeovers) finish(t testing.TB) {
	t.Helper()
	m.stop()
	if _, violations := m.judge(t.Context()); len(violations) > 0 {
		for _, v := range violations {
			t.Error(v)
		}
	}
}

func benchmarkTakeover(b *testing.B, n int, measure func(*takeovers, context.Context, int) ([]time.Duration, error)) []time.Duration {
	m := newTakeovers(b)
	took, err := measure(m, b.Context(), int(numberFromEnv(b, takeoversEnv, int64(n))))
	b.Logf("%d takeovers: %v", len(took), took)
	if err != nil {
		b.Fatal(err)
	}
	m.finish(b)
	b.ReportMetric(0, "ns/op")
	return took
}

// BenchmarkTakeoverKill kills the active processor a hundred times under load.
func BenchmarkTakeoverKill(b *testing.B) {
	took := benchmarkTakeover(b, takeoverKills, (*takeovers).kills)
	b.ReportMetric(percentile(took, 50).Seconds(), "bench:takeover.kill.p50:s")
	b.ReportMetric(percentile(took, 99).Seconds(), "bench:takeover.kill.p99:s")
	b.ReportMetric(percentile(took, 100).Seconds(), "bench:takeover.kill.max:s")
}

// BenchmarkTakeoverHang freezes it.
func BenchmarkTakeoverHang(b *testing.B) {
	took := benchmarkTakeover(b, takeoverHangs, (*takeovers).hangs)
	b.ReportMetric(percentile(took, 50).Seconds(), "bench:takeover.hang.p50:s")
	b.ReportMetric(percentile(took, 100).Seconds(), "bench:takeover.hang.max:s")
}

// BenchmarkTakeoverBroker kills the broker that leads the log and the quorum.
func BenchmarkTakeoverBroker(b *testing.B) {
	took := benchmarkTakeover(b, takeoverBrokers, (*takeovers).brokerKills)
	b.ReportMetric(percentile(took, 50).Seconds(), "bench:takeover.broker.p50:s")
	b.ReportMetric(percentile(took, 100).Seconds(), "bench:takeover.broker.max:s")
}
