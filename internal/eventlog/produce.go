package eventlog

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
)

// AppendBatch makes exactly one produce call and never tries again: the
// engine decides what an unknown result means. values[i] gets offset base+i.
// The values must not be changed afterwards, whatever the result. The error
// is ErrUnknown or ErrNotAppended by errors.Is; without a deadline in ctx the
// call ends after CallTimeout.
func (l *Log) AppendBatch(ctx context.Context, topic string, partition int32, values [][]byte) (base int64, err error) {
	size := 0
	for _, v := range values {
		size += len(v) + recordOverhead
	}
	if len(values) == 0 {
		return 0, fmt.Errorf("appending to %s/%d: no values: %w", topic, partition, ErrNotAppended)
	}
	if len(values) > MaxBatchRecords || size > MaxBatchBytes {
		return 0, fmt.Errorf("appending to %s/%d: %d records, %d bytes (at most %d, %d): %w",
			topic, partition, len(values), size, MaxBatchRecords, MaxBatchBytes, ErrTooLarge)
	}
	if l.ctx.Err() != nil {
		return 0, ErrClosed
	}
	base, f, err := l.produce(ctx, topic, partition, values, size)
	if err != nil {
		return 0, fmt.Errorf("appending to %s/%d: %w", topic, partition, failed(f, err))
	}
	return base, nil
}

// produce makes one call. On error, fate says what became of the values.
func (l *Log) produce(ctx context.Context, topic string, partition int32, values [][]byte, size int) (int64, fate, error) {
	records := &valueReader{values: values}
	start := l.now()
	res, err := l.appender.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: int(partition), RequiredAcks: kafka.RequireAll, Records: records,
	})
	if err == nil {
		err = res.Error
	}
	l.metrics.produced(topic, len(values), size, l.now().Sub(start), err)
	if err == nil {
		return res.BaseOffset, 0, nil
	}
	// A request whose encoding never began was never sent: there was no
	// leader, or no connection.
	if records.seal() {
		return 0, unsent, err
	}
	return 0, produceFate(err), err
}

// valueReader feeds values to the client's encoder without allocating per
// record. It is read by a goroutine of the client that may outlive the call,
// so the first read and the seal exclude each other.
type valueReader struct {
	values [][]byte
	next   int
	state  atomic.Int32 // 0 untouched, 1 read, 2 sealed
	record kafka.Record
	value  valueBytes
}

func (r *valueReader) seal() bool { return r.state.CompareAndSwap(0, 2) }

func (r *valueReader) ReadRecord() (*kafka.Record, error) {
	if r.next == 0 && !r.state.CompareAndSwap(0, 1) {
		return nil, errSealed
	}
	if r.next == len(r.values) {
		return nil, io.EOF
	}
	r.value.rest = r.values[r.next]
	r.next++
	r.record.Value = &r.value
	return &r.record, nil
}

// valueBytes is kafka.Bytes over a slice; WriteTo spares the copy buffer.
type valueBytes struct{ rest []byte }

func (b *valueBytes) Close() error { return nil }
func (b *valueBytes) Len() int     { return len(b.rest) }

func (b *valueBytes) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *valueBytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.rest)
	b.rest = b.rest[n:]
	return int64(n), err
}
