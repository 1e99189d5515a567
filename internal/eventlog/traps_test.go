package eventlog_test

import (
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

// What bites in the client library and in brokers, one test for each thing.

func TestProducer_AsksForAllInSyncReplicasAndSaysHowLong(t *testing.T) {
	r := newRig(t, func(c *eventlog.Config) { c.CallTimeout = 1234 * time.Millisecond })
	topic := testkafka.Topic(t, r.log, "acks", 1)
	var acks, timeout atomic.Int32
	r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		acks.Store(int32(req.(*kmsg.ProduceRequest).Acks))
		timeout.Store(req.(*kmsg.ProduceRequest).TimeoutMillis)
		return nil, nil, false
	})
	must[int64](t)(r.log.Producer(topic).Append(within(t), 0, []byte("x"), time.Time{}))
	if acks.Load() != -1 || timeout.Load() < 500 || timeout.Load() > 617 {
		t.Fatalf("acks %d (want -1, all), timeout %d ms (want half the call's 1234, as the client has it)", acks.Load(), timeout.Load())
	}
}

func TestProducer_ATimedOutBatchMayLandAfterNewerOnes(t *testing.T) {
	r := newRig(t, func(c *eventlog.Config) { c.CallTimeout = 200 * time.Millisecond })
	topic := testkafka.Topic(t, r.log, "late", 1)
	p, ctx := r.log.Producer(topic), within(t)
	gate := make(chan struct{})
	var calls atomic.Int32
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if calls.Add(1) == 1 { // only the first is held, and done later
			r.cluster.SleepControl(func() { <-gate })
		}
		return nil, nil, false
	})
	for i, value := range []string{"early", "newer"} {
		if offset := must[int64](t)(p.Append(ctx, 0, []byte(value), time.Time{})); offset != int64(i) {
			t.Fatalf("%s was acknowledged at %d", value, offset)
		}
	}
	close(gate)
	if got := readAll(t, r.log, topic, 0, 3); got[0] != "early" || got[1] != "newer" || got[2] != "early" {
		t.Fatalf("%q: the held batch must be there twice, the second time last", got)
	}
}

// threeNodes is a cluster whose partitions can move.
func threeNodes(t *testing.T) (*kfake.Cluster, *eventlog.Log) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, testkafka.Open(t, eventlog.Config{
		Brokers: c.ListenAddrs(), MetadataTTL: 100 * time.Millisecond, CallTimeout: 500 * time.Millisecond,
	})
}

func TestLog_FollowsALeaderThatMoved(t *testing.T) {
	c, l := threeNodes(t)
	topic := testkafka.Topic(t, l, "moved", 1)
	p, ctx := l.Producer(topic), within(t)
	tail := l.Tail(topic, 0, 0, quick)
	for i := range 6 {
		if err := c.MoveTopicPartition(topic, 0, (c.LeaderFor(topic, 0)+1)%3); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if offset := must[int64](t)(p.Append(ctx, 0, []byte{byte(i)}, time.Time{})); offset != int64(i) {
			t.Fatalf("record %d is at %d: the deposed leader's refusal must not count", i, offset)
		}
		for got := 0; got == 0; {
			got = len(must[[]eventlog.Record](t)(tail.Fetch(ctx)))
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("the new leader was found after %v", took)
		}
	}
}

func TestProducer_WaitsForAPartitionWithoutALeader(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "leaderless", 1)
	var away atomic.Bool
	away.Store(true)
	r.cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if !away.Load() {
			return nil, nil, false
		}
		return leaderless(req, topic), nil, true
	})
	time.Sleep(300 * time.Millisecond) // the client's layout is renewed every 100 ms
	_, err := r.log.AppendBatch(within(t), topic, 0, numbered("v", 1))
	wantErr(t, err, eventlog.ErrNotAppended)
	back := time.AfterFunc(300*time.Millisecond, func() { away.Store(false) })
	defer back.Stop()
	if offset := must[int64](t)(r.log.Producer(topic).Append(within(t), 0, []byte("x"), time.Time{})); offset != 0 {
		t.Fatalf("offset %d", offset)
	}
}

func leaderless(req kmsg.Request, topic string) kmsg.Response {
	res := req.ResponseKind().(*kmsg.MetadataResponse)
	mt, mp := kmsg.NewMetadataResponseTopic(), kmsg.NewMetadataResponseTopicPartition()
	mp.ErrorCode, mp.Leader = int16(kafka.LeaderNotAvailable), -1
	mt.Topic, mt.Partitions = kmsg.StringPtr(topic), []kmsg.MetadataResponseTopicPartition{mp}
	res.Topics = append(res.Topics, mt)
	return res
}

// A broker that was frozen while another took over leads on in its own eyes until it hears of that, and its log is shorter.
func TestTail_ADeposedLeaderIsNotBelieved(t *testing.T) {
	r := newRig(t, func(c *eventlog.Config) { c.LossPatience = time.Minute })
	topic := testkafka.Topic(t, r.log, "deposed", 1)
	must[int64](t)(r.log.AppendBatch(within(t), topic, 0, numbered("v", 5)))
	tail := r.log.Tail(topic, 0, 0, quick)
	must[[]eventlog.Record](t)(tail.Fetch(within(t)))
	must[int64](t)(r.log.AppendBatch(within(t), topic, 0, numbered("w", 2)))

	var deposed atomic.Bool
	deposed.Store(true)
	const itsEnd = 3
	for key, answer := range map[kmsg.Key]func(kmsg.Request) kmsg.Response{
		kmsg.Fetch:       func(req kmsg.Request) kmsg.Response { return refuseFetch(req, kafka.OffsetOutOfRange, itsEnd) },
		kmsg.ListOffsets: func(req kmsg.Request) kmsg.Response { return endsAt(req, itsEnd) },
	} {
		r.cluster.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			r.cluster.KeepControl()
			if !deposed.Load() {
				return nil, nil, false
			}
			return answer(req), nil, true
		})
	}
	for range 5 {
		if got := must[[]eventlog.Record](t)(tail.Fetch(within(t))); len(got) > 0 || tail.Trouble() == nil {
			t.Fatalf("%d records, trouble %v", len(got), tail.Trouble())
		}
	}
	deposed.Store(false)
	for got := 0; got < 2; {
		got += len(must[[]eventlog.Record](t)(tail.Fetch(within(t))))
	}
	if tail.Trouble() != nil || tail.Next() != 7 {
		t.Fatalf("next %d, trouble %v", tail.Next(), tail.Trouble())
	}
}

func refuseFetch(req kmsg.Request, code kafka.Error, end int64) kmsg.Response {
	f := req.(*kmsg.FetchRequest)
	res := f.ResponseKind().(*kmsg.FetchResponse)
	rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
	rp.ErrorCode, rp.HighWatermark = int16(code), end
	rt.Topic, rt.Partitions = f.Topics[0].Topic, []kmsg.FetchResponseTopicPartition{rp}
	res.Topics = append(res.Topics, rt)
	return res
}

// endsAt answers a request for the bounds of one partition.
func endsAt(req kmsg.Request, end int64) kmsg.Response {
	l := req.(*kmsg.ListOffsetsRequest)
	res := l.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, topic := range l.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = topic.Topic
		for _, p := range topic.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Timestamp = p.Partition, -1
			if p.Timestamp == kafka.LastOffset {
				rp.Offset = end
			} else {
				rp.Offset = 0
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		res.Topics = append(res.Topics, rt)
	}
	return res
}

func TestTail_ABrokerThatHangsIsLeftInTime(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "hangs", 1)
	must[int64](t)(r.log.AppendBatch(within(t), topic, 0, numbered("v", 1)))
	gate := make(chan struct{})
	defer close(gate)
	r.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	tail, began := r.log.Tail(topic, 0, 0, quick), time.Now()
	got, err := tail.Fetch(within(t))
	if took := time.Since(began); err != nil || took > 3*time.Second || len(got) == 0 && tail.Trouble() == nil {
		t.Fatalf("%d records, %v, trouble %v after %v", len(got), err, tail.Trouble(), took)
	}
}

func TestTail_GathersForMaxWaitAtMost(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "gather", 1)
	must[int64](t)(l.AppendBatch(within(t), topic, 0, numbered("v", 3)))
	tail := l.Tail(topic, 0, 0, eventlog.TailConfig{MaxWait: 300 * time.Millisecond})
	tail.Gather(1 << 20)
	began := time.Now()
	got := must[[]eventlog.Record](t)(tail.Fetch(within(t)))
	if took := time.Since(began); len(got) != 3 || tail.Next() != tail.End() || took > 2*time.Second {
		t.Fatalf("%d records after %v", len(got), took)
	}
}

// answerFetch makes the broker answer the next fetch with a record set.
func answerFetch(r *rig, set []byte) {
	r.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f := req.(*kmsg.FetchRequest)
		res := f.ResponseKind().(*kmsg.FetchResponse)
		rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		rp.HighWatermark, rp.RecordBatches = 100, set
		rt.Topic, rt.Partitions = f.Topics[0].Topic, []kmsg.FetchResponseTopicPartition{rp}
		res.Topics = append(res.Topics, rt)
		return res, nil, true
	})
}

// odd is a batch of offsets 0 to last that says count records are left of it, and holds none of them.
func odd(last, count uint32, attributes uint16) []byte {
	b := make([]byte, 61)
	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	be.PutUint16(b[21:], attributes)
	be.PutUint32(b[23:], last)
	be.PutUint32(b[57:], count)
	be.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestTail_CompactedTopicHalts(t *testing.T) {
	const control = 0x20
	for name, set := range map[string][]byte{
		"records compacted away":  odd(4, 0, 0),
		"a marker compacted away": odd(0, 0, control),
	} {
		r := newRig(t, nil)
		topic := testkafka.Topic(t, r.log, "odd", 1)
		answerFetch(r, set)
		tail := r.log.Tail(topic, 0, 0, quick)
		_, err := tail.Fetch(within(t))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantErr(t, err, eventlog.ErrGap)
		_, again := tail.Fetch(within(t))
		wantErr(t, again, eventlog.ErrGap)
	}
}

func TestTail_DamagedAnswerIsAskedForAgain(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "damaged", 1)
	must[int64](t)(r.log.AppendBatch(within(t), topic, 0, numbered("v", 2)))
	set := odd(0, 1, 0)
	set[30]++ // of what the checksum covers
	answerFetch(r, set)
	tail, got := r.log.Tail(topic, 0, 0, quick), 0
	for got < 2 {
		got += len(must[[]eventlog.Record](t)(tail.Fetch(within(t))))
	}
}
