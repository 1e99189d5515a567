package eventlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
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
	start := l.now()
	set := l.sets.Get().(*sealedSet)
	set.fill(values, size, start.UnixMilli())
	res, err := l.appender.RawProduce(ctx, &kafka.RawProduceRequest{
		Topic: topic, Partition: int(partition), RequiredAcks: kafka.RequireAll, RawRecords: protocol.RawRecordSet{Reader: set},
	})
	if err == nil {
		err = res.Error
	}
	l.metrics.produced(topic, len(values), size, l.now().Sub(start), err)
	if err == nil {
		l.sets.Put(set)
		return res.BaseOffset, 0, nil
	}
	// A request whose encoding never began was never sent: there was no
	// leader, or no connection.
	if set.seal() {
		return 0, unsent, err
	}
	return 0, produceFate(err), err
}

// sealedSet feeds an encoded record set to the client. It is read by a goroutine of the client that may outlive the call,
// so the read and the seal exclude each other, and a set whose call failed is never used again.
type sealedSet struct {
	bytes []byte
	state atomic.Int32 // 0 untouched, 1 read, 2 sealed
}

// fill encodes values, of which size was counted with their overhead, behind the set's own length.
func (s *sealedSet) fill(values [][]byte, size int, now int64) {
	s.state.Store(0)
	s.bytes = append(slices.Grow(s.bytes[:0], size+batchHeader+4), 0, 0, 0, 0)
	s.bytes = appendRecordSet(s.bytes, values, now)
	binary.BigEndian.PutUint32(s.bytes, uint32(len(s.bytes)-4))
}

func (s *sealedSet) seal() bool { return s.state.CompareAndSwap(0, 2) }

// WriteTo writes all at once; the client prefers it to Read.
func (s *sealedSet) WriteTo(w io.Writer) (int64, error) {
	if !s.state.CompareAndSwap(0, 1) {
		return 0, errSealed
	}
	n, err := w.Write(s.bytes)
	return int64(n), err
}

// Read makes a sealedSet an io.Reader, as the client wants it; it is not called.
func (s *sealedSet) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }
