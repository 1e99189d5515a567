package eventlog_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

var quick = eventlog.TailConfig{MaxWait: 50 * time.Millisecond}

func TestTail_BeginsInTheMiddleOfABatch(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "middle", 1)
	must[int64](t)(l.AppendBatch(within(t), topic, 0, numbered("v", 10)))
	tail := l.Tail(topic, 0, 7, quick)
	got := must[[]eventlog.Record](t)(tail.Fetch(within(t)))
	if len(got) != 3 || got[0].Offset != 7 || string(got[0].Value) != "v7" || tail.Next() != 10 || tail.End() != 10 {
		t.Fatalf("%v, next %d, end %d", got, tail.Next(), tail.End())
	}
}

func TestTail_AnswersNothingAfterMaxWait(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "empty", 1)
	tail := l.Tail(topic, 0, 0, quick)
	if got, err := tail.Fetch(within(t)); err != nil || len(got) != 0 || tail.Next() != 0 || tail.End() != 0 {
		t.Fatalf("%v %v, next %d, end %d", got, err, tail.Next(), tail.End())
	}
}

func TestTail_WakesForANewRecord(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "wake", 1)
	tail := l.Tail(topic, 0, 0, eventlog.TailConfig{MaxWait: 5 * time.Second})
	got := make(chan []eventlog.Record, 1)
	ctx := within(t)
	go func() {
		r, err := tail.Fetch(ctx)
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	start := time.Now()
	must[int64](t)(l.AppendBatch(ctx, topic, 0, numbered("v", 1)))
	if r := <-got; len(r) != 1 || time.Since(start) > 4*time.Second {
		t.Fatalf("%v after %v", r, time.Since(start))
	}
}

func TestTail_ValuesStayWhatTheyWere(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "keep", 1)
	ctx := within(t)
	var want [][]byte
	for i := range 8 {
		batch := [][]byte{bytes.Repeat([]byte{byte(i)}, 10_000), {}, bytes.Repeat([]byte{byte(100 + i)}, 40_000)}
		want = append(want, batch...)
		must[int64](t)(l.AppendBatch(ctx, topic, 0, batch))
	}
	tail := l.Tail(topic, 0, 0, eventlog.TailConfig{MaxBytes: 1000})
	var kept []eventlog.Record
	for len(kept) < len(want) {
		kept = append(kept, must[[]eventlog.Record](t)(tail.Fetch(ctx))...)
	}
	for i := range want {
		if !bytes.Equal(kept[i].Value, want[i]) {
			t.Fatalf("value %d changed", i)
		}
		if cap(kept[i].Value) != len(kept[i].Value) {
			t.Fatalf("appending to value %d would overwrite the next", i)
		}
	}
}

func TestTail_BeyondTheEndIsOutOfRange(t *testing.T) {
	l := testkafka.Log(t)
	topic := testkafka.Topic(t, l, "beyond", 1)
	must[int64](t)(l.AppendBatch(within(t), topic, 0, numbered("v", 3)))
	tail, began := l.Tail(topic, 0, 5, quick), time.Now()
	err := ended(t, tail)
	wantErr(t, err, eventlog.ErrOutOfRange)
	if !strings.Contains(err.Error(), "ends at 3, so 2 records") {
		t.Fatal(err)
	}
	if took, least := time.Since(began), testkafka.Config(nil).LossPatience; took < least {
		t.Fatalf("believed after %v, within the patience of %v", took, least)
	}
	_, again := tail.Fetch(within(t))
	wantErr(t, again, eventlog.ErrOutOfRange)
}

// ended fetches nothing until the tail says why it cannot.
func ended(t *testing.T, tail *eventlog.Tail) error {
	t.Helper()
	for ctx := within(t); ; {
		got, err := tail.Fetch(ctx)
		if err != nil {
			return err
		}
		if len(got) > 0 || tail.Trouble() == nil {
			t.Fatalf("%d records, trouble %v", len(got), tail.Trouble())
		}
	}
}

func TestTail_BelowTheStartIsOutOfRange(t *testing.T) {
	brokers := testkafka.Brokers(t)
	l := testkafka.Open(t, testkafka.Config(brokers))
	topic := testkafka.Topic(t, l, "below", 1)
	must[int64](t)(l.AppendBatch(within(t), topic, 0, numbered("v", 10)))
	deleteBefore(t, brokers, topic, 6)
	_, err := l.Tail(topic, 0, 2, quick).Fetch(within(t))
	wantErr(t, err, eventlog.ErrOutOfRange)
	if !strings.Contains(err.Error(), "begins at 6") {
		t.Fatal(err)
	}
	if first, next, err := l.Bounds(within(t), topic, 0); err != nil || first != 6 || next != 10 {
		t.Fatalf("bounds %d %d %v", first, next, err)
	}
	if got := must[[]eventlog.Record](t)(l.Tail(topic, 0, 6, quick).Fetch(within(t))); len(got) != 4 {
		t.Fatal(got)
	}
}

func deleteBefore(t *testing.T, brokers []string, topic string, offset int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5_000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rt.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: offset}}
	req.Topics = append(req.Topics, rt)
	if _, err := req.RequestWith(within(t), client); err != nil {
		t.Fatal(err)
	}
}

// recreate deletes topic and makes it again with n records.
func recreate(t *testing.T, l *eventlog.Log, brokers []string, topic string, n int) {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: &kafka.Transport{}}
	defer client.Transport.(*kafka.Transport).CloseIdleConnections()
	ctx := within(t)
	if _, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}}); err != nil {
		t.Fatal(err)
	}
	// The client's own layout must first forget the old topic.
	time.Sleep(600 * time.Millisecond)
	for ctx.Err() == nil {
		err := l.EnsureTopics(ctx, []eventlog.Topic{{Name: topic, Partitions: 1, RetentionForever: true}})
		if err == nil {
			break
		}
	}
	for ctx.Err() == nil {
		if _, err := l.AppendBatch(ctx, topic, 0, numbered("new", n)); err == nil {
			return
		}
	}
	t.Fatal("topic does not come back")
}

func TestTail_RecreatedTopicIsNoticed(t *testing.T) {
	brokers := testkafka.Brokers(t)
	l := testkafka.Open(t, testkafka.Config(brokers))
	topic := testkafka.Topic(t, l, "again", 1)
	ctx := within(t)
	id := must[[16]byte](t)(l.TopicID(ctx, topic))
	must[int64](t)(l.AppendBatch(ctx, topic, 0, numbered("old", 5)))
	shorter := l.Tail(topic, 0, 0, quick)
	must[[]eventlog.Record](t)(shorter.Fetch(ctx))
	if shorter.TopicID() != id {
		t.Fatalf("tail learned id %x, topic has %x", shorter.TopicID(), id)
	}

	recreate(t, l, brokers, topic, 3)
	if now := must[[16]byte](t)(l.TopicID(ctx, topic)); now == id {
		t.Fatal("a new topic has the old id")
	}
	// The new log is shorter than what was read, or long enough to be
	// mistaken for the old one.
	_, err := shorter.Fetch(ctx)
	wantErr(t, err, eventlog.ErrRecreated)
	_, err = l.Tail(topic, 0, 2, eventlog.TailConfig{TopicID: id}).Fetch(ctx)
	wantErr(t, err, eventlog.ErrRecreated)
}

func TestTail_OutageIsWaitedOutAndShown(t *testing.T) {
	r := newRig(t, nil)
	topic := testkafka.Topic(t, r.log, "outage", 1)
	must[int64](t)(r.log.AppendBatch(within(t), topic, 0, numbered("v", 1)))
	tail := r.log.Tail(topic, 0, 0, quick)
	down := true
	r.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		if !down {
			return nil, nil, false
		}
		r.cluster.KeepControl()
		return nil, context.DeadlineExceeded, true // closes the connection
	})
	start := time.Now()
	got, err := tail.Fetch(within(t))
	if err != nil || len(got) != 0 || tail.Trouble() == nil {
		t.Fatalf("%v %v, trouble %v", got, err, tail.Trouble())
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Fatalf("an outage kept Fetch for %v", took)
	}
	r.cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, false })
	down = false
	for len(got) == 0 && err == nil {
		got, err = tail.Fetch(within(t))
	}
	if err != nil || len(got) != 1 || tail.Trouble() != nil {
		t.Fatalf("%v %v, trouble %v", got, err, tail.Trouble())
	}
}

func TestTail_EndsWithItsContext(t *testing.T) {
	l := testkafka.Open(t, eventlog.Config{Brokers: []string{"127.0.0.1:1"}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	tail := l.Tail("any", 0, 0, eventlog.TailConfig{MaxWait: 10 * time.Second})
	_, err := tail.Fetch(ctx)
	wantErr(t, err, context.DeadlineExceeded)
}
