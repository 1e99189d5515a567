package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

func TestProducer_OffsetIsWhereTheRecordIsReadBack(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "append", 2)
	p, ctx := l.Producer(topic), within(t)
	const n = 2_000
	offsets := make([]int64, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			if offsets[i], err = p.Append(ctx, 1, fmt.Append(nil, i), time.Time{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := readAll(t, l, topic, 1, n)
	for i, at := range offsets {
		if got[at] != fmt.Sprint(i) {
			t.Fatalf("offset %d was promised to %d and holds %s", at, i, got[at])
		}
	}
}

func TestProducer_OneCallersRecordsKeepTheirOrder(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "order", 1)
	p := r.log.Producer(topic)
	r.answer(2, kafka.NotEnoughReplicas)
	const n = 5_000
	var acked sync.WaitGroup
	acked.Add(n)
	for i := range n {
		err := p.AppendAsync(0, fmt.Append(nil, i), time.Time{}, func(offset int64, err error) {
			defer acked.Done()
			if err != nil || offset != int64(i) {
				t.Errorf("record %d: offset %d, %v", i, offset, err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	acked.Wait()
	for i, v := range readAll(t, r.log, topic, 0, n) {
		if v != fmt.Sprint(i) {
			t.Fatalf("offset %d holds %s", i, v)
		}
	}
}

func TestProducer_CallsCarryWhatQueuedUpMeanwhile(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "batch", 1)
	p := r.log.Producer(topic)
	calls := r.produces()
	arrived, release := r.hold(t)
	var acked sync.WaitGroup
	send := func() {
		acked.Add(1)
		err := p.AppendAsync(0, []byte("x"), time.Time{}, func(_ int64, err error) {
			defer acked.Done()
			if err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	send()
	<-arrived
	for range eventlog.MaxBatchRecords + 500 {
		send()
	}
	release()
	acked.Wait()
	if n := calls.Load(); n != 3 {
		t.Fatalf("%d calls; want 1 for the first record, 1 full, 1 for the rest", n)
	}
}

func TestProducer_CallsStayBelowTheByteLimit(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "bytes", 1)
	p := l.Producer(topic)
	value := bytes.Repeat([]byte("x"), 300_000)
	var acked sync.WaitGroup
	for range 10 {
		acked.Add(1)
		if err := p.AppendAsync(0, value, time.Time{}, func(_ int64, err error) {
			defer acked.Done()
			if err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Append(within(t), 0, make([]byte, eventlog.MaxValueBytes), time.Time{}); err != nil {
		t.Errorf("largest value: %v", err)
	}
	_, err := p.Append(within(t), 0, make([]byte, eventlog.MaxValueBytes+1), time.Time{})
	wantErr(t, err, eventlog.ErrTooLarge, eventlog.ErrNotAppended)
	acked.Wait()
	readAll(t, l, topic, 0, 11)
}

func TestProducer_ExpiredRecordIsNeverSent(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "expired", 1)
	calls := r.produces()
	_, err := r.log.Producer(topic).Append(within(t), 0, []byte("late"), time.Now().Add(-time.Millisecond))
	wantErr(t, err, eventlog.ErrExpired, eventlog.ErrNotAppended)
	if errors.Is(err, eventlog.ErrUnknown) || calls.Load() != 0 {
		t.Fatalf("%v after %d calls", err, calls.Load())
	}
}

func TestProducer_ExpiresWhileTheBrokerRefuses(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "refused", 1)
	r.answer(1_000, kafka.NotEnoughReplicas)
	_, err := r.log.Producer(topic).Append(within(t), 0, []byte("x"), time.Now().Add(100*time.Millisecond))
	wantErr(t, err, eventlog.ErrExpired)
}

func TestProducer_UnknownWhenATryMayHaveLanded(t *testing.T) {
	for _, code := range []kafka.Error{kafka.NotLeaderForPartition, kafka.RequestTimedOut, kafka.NotEnoughReplicasAfterAppend} {
		r := newRig(t, nil)
		topic := testkafka.Topic(t, r.log, "unknown", 1)
		r.answer(1, code)
		r.answer(1_000, kafka.NotEnoughReplicas)
		_, err := r.log.Producer(topic).Append(within(t), 0, []byte("x"), time.Now().Add(100*time.Millisecond))
		wantErr(t, err, eventlog.ErrUnknown)
		if errors.Is(err, eventlog.ErrNotAppended) {
			t.Fatalf("%v: both unknown and surely not appended: %v", code, err)
		}
	}
}

func TestProducer_SendsAgainAfterALostAnswer(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "lost", 1)
	r.lose.Store(1)
	offset, err := r.log.Producer(topic).Append(within(t), 0, []byte("x"), time.Time{})
	if err != nil || offset != 1 {
		t.Fatalf("offset %d, %v; the lost try has 0, the acknowledged one 1", offset, err)
	}
	if got := readAll(t, r.log, topic, 0, 2); got[0] != "x" || got[1] != "x" {
		t.Fatal(got)
	}
}

func TestProducer_ExpiryAfterALostAnswerIsUnknown(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "lost", 1)
	r.lose.Store(1_000_000)
	_, err := r.log.Producer(topic).Append(within(t), 0, []byte("x"), time.Now().Add(50*time.Millisecond))
	wantErr(t, err, eventlog.ErrUnknown)
	if first, next, err := r.log.Bounds(within(t), topic, 0); err != nil || first != 0 || next < 1 {
		t.Fatalf("bounds %d %d %v: the try must have landed", first, next, err)
	}
}

func TestProducer_ForbiddenIsNotTriedAgain(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "forbidden", 1)
	r.answer(1, kafka.TopicAuthorizationFailed)
	p := r.log.Producer(topic)
	_, err := p.Append(within(t), 0, []byte("x"), time.Time{})
	wantErr(t, err, eventlog.ErrNotAppended, kafka.TopicAuthorizationFailed)
	if offset, err := p.Append(within(t), 0, []byte("y"), time.Time{}); err != nil || offset != 0 {
		t.Fatalf("the next record: offset %d, %v", offset, err)
	}
}

func TestProducer_CallerWhoLeavesKnowsWhatMayHaveHappened(t *testing.T) {
	r := newRig(t, func(c *eventlog.Config) { c.CallTimeout = 5 * time.Second })
	topic := testkafka.Topic(t, r.log, "leave", 1)
	p := r.log.Producer(topic)
	arrived, release := r.hold(t)
	type answer struct{ err error }
	leave := func(before <-chan struct{}) <-chan answer {
		ctx, cancel := context.WithCancel(within(t))
		out := make(chan answer, 1)
		started := make(chan struct{})
		go func() {
			close(started)
			_, err := p.Append(ctx, 0, []byte("x"), time.Time{})
			out <- answer{err}
		}()
		<-started
		if before != nil {
			<-before
		} else {
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
		return out
	}
	inFlight := <-leave(arrived)
	wantErr(t, inFlight.err, eventlog.ErrUnknown, context.Canceled)
	queued := <-leave(nil)
	wantErr(t, queued.err, eventlog.ErrNotAppended, context.Canceled)
	release()
	if _, err := p.Append(within(t), 0, []byte("last"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, r.log, topic, 0, 2); got[0] != "x" || got[1] != "last" {
		t.Fatalf("%q: the record whose caller left the queue must not be there", got)
	}
}

func TestProducer_FullQueueRefuses(t *testing.T) {
	r := newRig(t, func(c *eventlog.Config) { c.QueueRecords, c.QueueBytes = 10, 100 })
	topic := testkafka.Topic(t, r.log, "full", 2)
	p := r.log.Producer(topic)
	arrived, release := r.hold(t)
	var done atomic.Int32
	send := func(partition int32, size int) error {
		return p.AppendAsync(partition, make([]byte, size), time.Time{}, func(int64, error) { done.Add(1) })
	}
	for partition := range int32(2) {
		if err := send(partition, 1); err != nil {
			t.Fatal(err)
		}
		<-arrived
	}
	for i := range 10 {
		if err := send(0, 1); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	wantErr(t, send(0, 1), eventlog.ErrFull, eventlog.ErrNotAppended)
	if err := send(1, 60); err != nil {
		t.Fatal(err)
	}
	wantErr(t, send(1, 60), eventlog.ErrFull)
	release()
	r.log.Close()
	if done.Load() != 13 {
		t.Fatalf("%d callbacks for 13 accepted records", done.Load())
	}
}

func TestLog_CloseFlushesWhatIsQueued(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "flush", 1)
	p := r.log.Producer(topic)
	var acked atomic.Int32
	for range 3_000 {
		if err := p.AppendAsync(0, []byte("x"), time.Time{}, func(_ int64, err error) {
			if err == nil {
				acked.Add(1)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.log.Close()
	if acked.Load() != 3_000 {
		t.Fatalf("%d of 3000 flushed", acked.Load())
	}
	_, err := p.Append(within(t), 0, []byte("x"), time.Time{})
	wantErr(t, err, eventlog.ErrClosed, eventlog.ErrNotAppended)
	wantErr(t, p.AppendAsync(0, nil, time.Time{}, nil), eventlog.ErrClosed)
	_, err = r.log.AppendBatch(within(t), topic, 0, numbered("x", 1))
	wantErr(t, err, eventlog.ErrClosed)
	_, err = r.log.Tail(topic, 0, 0, eventlog.TailConfig{}).Fetch(within(t))
	wantErr(t, err, eventlog.ErrClosed)
	r.log.Close()
}

func TestLog_CloseGivesUpInTime(t *testing.T) {
	r := newRig(t, func(c *eventlog.Config) { c.CloseTimeout = 200 * time.Millisecond })
	topic := testkafka.Topic(t, r.log, "giveup", 1)
	p := r.log.Producer(topic)
	arrived, _ := r.hold(t)
	results := make(chan error, 2)
	note := func(_ int64, err error) { results <- err }
	if err := p.AppendAsync(0, []byte("flying"), time.Time{}, note); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := p.AppendAsync(0, []byte("queued"), time.Time{}, note); err != nil {
		t.Fatal(err)
	}
	r.log.Close()
	wantErr(t, <-results, eventlog.ErrUnknown)
	wantErr(t, <-results, eventlog.ErrClosed)
}

func TestProducer_PartitionOutOfRange(t *testing.T) {
	l := testkafka.Log(t)
	for _, partition := range []int32{-1, eventlog.MaxPartitions} {
		_, err := l.Producer("any").Append(within(t), partition, nil, time.Time{})
		wantErr(t, err, eventlog.ErrNotAppended)
	}
}
