package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairgate/internal/embedded/testkafka"
)

// BenchmarkAppend1 is callers who each wait for their record of 100 bytes, one partition, one broker.
func BenchmarkAppend1(b *testing.B) {
	few, many := appends(b, 1)
	b.ReportMetric(few.rate, "bench:eventlog.append.1000.1:records/s")
	b.ReportMetric(few.wait(50), "bench:eventlog.append.1000.p50.1:ms")
	b.ReportMetric(few.wait(99), "bench:eventlog.append.1000.p99.1:ms")
	b.ReportMetric(many.rate, "bench:eventlog.append.4000.1:records/s")
	b.ReportMetric(many.wait(50), "bench:eventlog.append.4000.p50.1:ms")
	b.ReportMetric(many.wait(99), "bench:eventlog.append.4000.p99.1:ms")
}

// BenchmarkAppend3 is the same with three brokers, two of which at least have each record before its caller goes on.
func BenchmarkAppend3(b *testing.B) {
	few, many := appends(b, 3)
	b.ReportMetric(few.rate, "bench:eventlog.append.1000.3:records/s")
	b.ReportMetric(few.wait(50), "bench:eventlog.append.1000.p50.3:ms")
	b.ReportMetric(few.wait(99), "bench:eventlog.append.1000.p99.3:ms")
	b.ReportMetric(many.rate, "bench:eventlog.append.4000.3:records/s")
	b.ReportMetric(many.wait(50), "bench:eventlog.append.4000.p50.3:ms")
	b.ReportMetric(many.wait(99), "bench:eventlog.append.4000.p99.3:ms")
}

func appends(b *testing.B, brokers int) (few, many figures) {
	k := startKafka(b, brokers)
	k.warm()
	for range rounds {
		few.add(k.say("1,000", k.appendAll(1_000)))
		many.add(k.say("4,000", k.appendAll(4_000)))
	}
	return few, many
}

// appendAll measures callers who append one record after the other.
func (k *cluster) appendAll(callers int) (f figures) {
	k.b.Helper()
	topic := testkafka.Topic(k.b, k.log, "append", 1)
	producer, value := k.log.Producer(topic), make([]byte, 100)
	ctx, stop := context.WithTimeout(context.Background(), settle+roundLength)
	defer stop()
	var sampling atomic.Bool
	var count atomic.Int64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			var own []time.Duration
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				if _, err := producer.Append(context.Background(), 0, value, time.Time{}); err != nil {
					k.b.Error(err)
					return
				}
				count.Add(1)
				if n%sampled == 0 && sampling.Load() {
					own = append(own, time.Since(began))
				}
			}
			mu.Lock()
			f.waits = append(f.waits, own...)
			mu.Unlock()
		})
	}
	time.Sleep(settle)
	pids := k.pids()
	sampling.Store(true)
	before, at, start := cpu(k.b, pids), count.Load(), time.Now()
	<-ctx.Done()
	f.decided, f.took = count.Load()-at, time.Since(start)
	after := cpu(k.b, pids)
	all.Wait()
	f.spent = spent{after.ours - before.ours, after.brokers - before.brokers}
	f.calls = [2]float64{k.perCall(topic), 0}
	k.drop(topic)
	f.conclude()
	return f
}
