package eventlog_test

import (
	"context"
	"testing"
	"time"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

// BenchmarkProducer_Append is 1,000 callers who each wait for their record of
// 100 bytes, all on one partition.
func BenchmarkProducer_Append(b *testing.B) {
	l := testkafka.Log(b)
	topic := testkafka.Topic(b, l, "bench", 1)
	p, value := l.Producer(topic), make([]byte, 100)
	ctx := context.Background()
	b.ReportAllocs()
	b.SetParallelism(500)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := p.Append(ctx, 0, value, time.Time{}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bench:eventlog.append:records/s")
}

// BenchmarkTail_Fetch reads records of 100 bytes from one partition.
func BenchmarkTail_Fetch(b *testing.B) {
	l := testkafka.Log(b)
	topic := testkafka.Topic(b, l, "bench", 1)
	ctx := context.Background()
	const stock = 200_000
	values := make([][]byte, eventlog.MaxBatchRecords)
	for i := range values {
		values[i] = make([]byte, 100)
	}
	for range stock / len(values) {
		if _, err := l.AppendBatch(ctx, topic, 0, values); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for read := 0; read < b.N; {
		tail := l.Tail(topic, 0, 0, eventlog.TailConfig{})
		for tail.Next() < stock && read < b.N {
			records, err := tail.Fetch(ctx)
			if err != nil {
				b.Fatal(err)
			}
			read += len(records)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bench:eventlog.fetch:records/s")
}
