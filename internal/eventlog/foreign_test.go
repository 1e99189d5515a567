package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

// foreign is a client of another make, for a topic of its own.
func foreign(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// anyBytes are values that nobody honest sends; nil is a tombstone.
func anyBytes() [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	large := make([]byte, 900_000)
	for i := range large {
		large[i] = byte(rnd.Uint32())
	}
	return [][]byte{nil, {}, {0}, []byte("{}"), bytes.Repeat([]byte{0xff}, 300), large, nil, bytes.Repeat([]byte("long "), 100_000), {1}}
}

func TestTail_ReadsWhateverAnyProducerWrote(t *testing.T) {
	brokers := testkafka.Brokers(t)
	l := testkafka.Open(t, testkafka.Config(brokers))
	topic := testkafka.Topic(t, l, "foreign", 1)
	var want [][]byte
	for _, codec := range []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	} {
		c := foreign(t, brokers, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(1_000_000))
		for i, value := range anyBytes() {
			r := &kgo.Record{Topic: topic, Value: value, Key: []byte("key"), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("x")}, {Key: ""}}}
			if i%2 == 0 {
				r.Key, r.Headers = nil, nil
			}
			if err := c.ProduceSync(within(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			want = append(want, value)
		}
	}
	for i, got := range readAll(t, l, topic, 0, len(want)) {
		if got != string(want[i]) {
			t.Fatalf("offset %d: %d bytes, written were %d", i, len(got), len(want[i]))
		}
	}
}

// TestTail_AStrangersTransactionTakesOffsetsAndMeansNothing: brokers write a marker behind each transaction, at an offset
// of the log, and aborted records stay where they are.
func TestTail_AStrangersTransactionTakesOffsetsAndMeansNothing(t *testing.T) {
	brokers := testkafka.Brokers(t)
	l := testkafka.Open(t, testkafka.Config(brokers))
	topic := testkafka.Topic(t, l, "transactions", 1)
	c := foreign(t, brokers, kgo.TransactionalID(topic))
	var want []string
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{"a", "b"} {
			if err := c.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			want = append(want, value)
		}
		if err := c.EndTransaction(within(t), end); err != nil {
			t.Fatal(err)
		}
		want = append(want, "") // the marker
	}
	must[int64](t)(l.AppendBatch(within(t), topic, 0, numbered("v", 1)))
	// A marker may come a moment after the transaction has ended, so behind our record.
	got := readAll(t, l, topic, 0, len(want)+1)
	if ours := slices.Index(got, "v0"); ours < len(want)-1 || !slices.Equal(slices.Delete(slices.Clone(got), ours, ours+1), want) {
		t.Fatalf("%q, want %q with v0 behind the last record", got, want)
	}
}

// TestTail_NothingGrowsWithoutBound: brokers unpack what they are sent, so a small batch that is huge inside is refused.
func TestTail_NothingGrowsWithoutBound(t *testing.T) {
	if os.Getenv(testkafka.Env) == "" {
		t.Skip("the broker in this process stores batches as they come")
	}
	brokers := testkafka.Brokers(t)
	l := testkafka.Open(t, testkafka.Config(brokers))
	topic := testkafka.Topic(t, l, "bomb", 1)
	c := foreign(t, brokers, kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(64<<20), kgo.BrokerMaxWriteBytes(128<<20))
	err := c.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: make([]byte, 40<<20)}).FirstErr()
	if err == nil {
		t.Fatal("40 MiB in a small batch were accepted")
	}
	if _, next, err := l.Bounds(within(t), topic, 0); err != nil || next != 0 {
		t.Fatal(next, err)
	}
}

// TestTail_SaysWhatIsWrongWithATruncatedLog deletes records below an offset, as an operator may.
func TestTail_SaysWhatIsWrongWithATruncatedLog(t *testing.T) {
	brokers := testkafka.Brokers(t)
	l := testkafka.Open(t, testkafka.Config(brokers))
	topic := testkafka.Topic(t, l, "cut", 1)
	for range 10 {
		must[int64](t)(l.Producer(topic).Append(within(t), 0, []byte("v"), time.Now().Add(patience)))
	}
	_, end, err := l.Bounds(within(t), topic, 0) // more than ten, if an answer was lost on the way
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5_000
	cut, partition := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
	cut.Topic, partition.Offset = topic, 7
	cut.Partitions = append(cut.Partitions, partition)
	req.Topics = append(req.Topics, cut)
	if _, err := req.RequestWith(within(t), foreign(t, brokers)); err != nil {
		t.Fatal(err)
	}
	tail := l.Tail(topic, 0, 3, eventlog.TailConfig{})
	_, err = fetchSome(within(t), tail)
	wantErr(t, err, eventlog.ErrOutOfRange)
	for _, s := range []string{"begins at 7", "snapshot at or after 7", "retention.ms=-1"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	records, err := fetchSome(within(t), l.Tail(topic, 0, 7, eventlog.TailConfig{}))
	if err != nil || len(records) != int(end-7) {
		t.Fatalf("%d records, %v", len(records), err)
	}
	_, err = fetchSome(within(t), l.Tail(topic, 0, end+1, eventlog.TailConfig{}))
	wantErr(t, err, eventlog.ErrOutOfRange)
	if !strings.Contains(err.Error(), fmt.Sprintf("ends at %d", end)) {
		t.Error(err)
	}
}

// fetchSome fetches until there is something, or an end.
func fetchSome(ctx context.Context, tail *eventlog.Tail) ([]eventlog.Record, error) {
	for {
		records, err := tail.Fetch(ctx)
		if len(records) > 0 || err != nil {
			return records, err
		}
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), tail.Trouble())
		}
	}
}
