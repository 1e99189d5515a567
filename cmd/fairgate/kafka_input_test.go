package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"fairgate/internal/chaos"
	"fairgate/internal/wire"
)

// foreignValues are what nobody honest puts on `orders`; nil is a tombstone.
func foreignValues(r *rig) [][]byte {
	rnd := rand.New(rand.NewPCG(r.seed, 3))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	honest := wire.AppendRecord(nil, wire.Record{Object: 1, Ref: wire.ID{1}}, &wire.Cancel{})
	newer := append([]byte(nil), honest...)
	newer[0]++
	unknown := append([]byte(nil), honest...)
	unknown[1] = 250
	all := [][]byte{nil, {}, {0}, random(1), random(71), random(72), random(4097), random(1_000_000), honest[:40], newer, unknown,
		append(honest[:len(honest):len(honest)], 0),
		wire.AppendRecord(nil, wire.Record{}, &wire.Tick{Epoch: 1 << 60, Now: 1 << 62}),
		wire.AppendRecord(nil, wire.Record{}, &wire.Epoch{Epoch: 1 << 63, Leader: wire.ID{9}}),
		wire.AppendRecord(nil, wire.Record{}, &wire.Epoch{}),
	}
	for range 100 {
		all = append(all, random(rnd.IntN(2_000)))
	}
	return all
}

// TestKafka_AnyBytesOnOrdersAreRejectedAndTheSaleGoesOn has another program write rubbish between the fans' commands.
func TestKafka_AnyBytesOnOrdersAreRejectedAndTheSaleGoesOn(t *testing.T) {
	r := newRig(t, 2, 1, nil)
	ctx, stop := context.WithCancel(t.Context())
	sold := make(chan struct{})
	go func() {
		defer close(sold)
		r.fans.Beat(ctx)
	}()
	rejected := 0
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression()} {
		c, err := r.brokers.Client(kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i, value := range foreignValues(r) {
			one := record(r, value)
			if i%2 == 0 {
				one.Key, one.Headers = []byte("key"), []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}
			}
			if err := c.ProduceSync(t.Context(), one).FirstErr(); err != nil {
				t.Fatalf("value %d of %d bytes: %v", i, len(value), err)
			}
			rejected += r.rejects(one.Offset)
		}
	}
	last := r.transact(record(r, []byte("of a stranger")))
	rejected += r.rejects(last)
	for marker := 0; marker == 0; rejected += marker { // behind it, perhaps behind some of the fans' and a tick
		last++
		marker = r.rejects(last)
	}
	if all := 2*len(foreignValues(r)) + 2; rejected != all {
		t.Errorf("%d of %d were rejected", rejected, all)
	}
	if counted := r.counted(t.Context()); counted < rejected {
		t.Errorf("%d were rejected, %d are counted", rejected, counted)
	}
	stop()
	<-sold
	_, violations := r.judge(t.Context())
	for _, v := range violations {
		t.Error(v)
	}
}

func record(r *rig, value []byte) *kgo.Record {
	return &kgo.Record{Topic: r.topic(wire.TopicOrders), Value: value}
}

// rejects waits for the outcome of the record at an offset, and is 1 if that is a rejection.
func (r *rig) rejects(offset int64) int {
	r.t.Helper()
	within, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	a, ok := r.watch.Answer(within, 0, offset)
	if !ok {
		r.t.Fatalf("offset %d: no outcome", offset)
	}
	if a.Kind == wire.KindRejected {
		return 1
	}
	return 0
}

// transact writes a record in a transaction, behind which the broker writes a marker at an offset of its own, and returns
// the record's.
func (r *rig) transact(one *kgo.Record) int64 {
	r.t.Helper()
	c, err := r.brokers.Client(kgo.TransactionalID("stranger"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if err := c.BeginTransaction(); err != nil {
		r.t.Fatal(err)
	}
	if err := c.ProduceSync(r.t.Context(), one).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
	if err := c.EndTransaction(r.t.Context(), kgo.TryCommit); err != nil {
		r.t.Fatal(err)
	}
	return one.Offset
}

// counted is how many rejections the processors' metrics tell of; each replica counts all of them.
func (r *rig) counted(ctx context.Context) int {
	most := 0
	for _, p := range r.procs {
		most = max(most, int(p.Metric(ctx, "fairgate_engine_rejected_total", r.topic(wire.TopicOrders), 0)))
	}
	return most
}

// TestKafka_AWrongTopicIsRefusedWithWhatToSet changes a topic's settings behind the back of a processor.
func TestKafka_AWrongTopicIsRefusedWithWhatToSet(t *testing.T) {
	r := newRig(t, 1, 1, nil)
	r.end(0, syscall.SIGTERM)
	c, err := r.brokers.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, change := range []struct{ key, bad, good string }{
		{"retention.ms", "3600000", "-1"}, {"cleanup.policy", "compact", "delete"}, {"retention.bytes", "1000000", "-1"},
		{"min.insync.replicas", "1", "2"}, {"min.insync.replicas", "3", "2"}, {"unclean.leader.election.enable", "true", "false"},
		{"max.message.bytes", "100000", "1048576"}, {"compression.type", "producer", "uncompressed"},
	} {
		r.alter(c, change.key, change.bad)
		out, err := r.try("processor", "--config", r.config)
		if err == nil {
			t.Fatalf("%s=%s was accepted", change.key, change.bad)
		}
		for _, want := range []string{
			r.topic(wire.TopicOrders) + ": " + change.key + " is " + change.bad, "set it to " + change.good,
			"kafka-configs.sh --bootstrap-server ", "--add-config " + change.key + "=" + change.good,
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%s=%s: expected %q in\n%s", change.key, change.bad, want, out)
			}
		}
		r.alter(c, change.key, change.good)
	}
	if out, err := r.try("processor", "--config", r.config, "--set", "kafka.ordersPartitions=2"); err == nil || !strings.Contains(out, "partitions are 1, configured are 2") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := r.procs[0].Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.awaitReady(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

// alter sets one setting of the topic of orders and waits until the brokers tell of it.
func (r *rig) alter(c *kgo.Client, key, value string) {
	r.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res, set := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, r.topic(wire.TopicOrders)
	set.Name, set.Value = key, kmsg.StringPtr(value)
	res.Configs = append(res.Configs, set)
	req.Resources = append(req.Resources, res)
	if _, err := req.RequestWith(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
	pauseFor(r.t.Context(), 500*time.Millisecond)
}

// TestKafka_ALogThatIsNotWhatItWasHaltsWithAnExplanation takes the log away under a running processor, and from one that
// starts.
func TestKafka_ALogThatIsNotWhatItWasHaltsWithAnExplanation(t *testing.T) {
	for _, harm := range []struct {
		name string
		do   func(*rig, *kgo.Client)
		live bool // a running processor notices, too
		says []string
	}{
		{"recreated", (*rig).recreate, true, []string{"topic was recreated", "restore the topic's data"}},
		{"truncated", (*rig).truncate, false, []string{"offset out of range", "the log begins at", "start from a snapshot at or after", "retention.ms=-1"}},
	} {
		t.Run(harm.name, func(t *testing.T) {
			r := newRig(t, 1, 1, func(c *Config) {
				c.Processor.Engine.SnapshotEvery = time.Hour
				if harm.live {
					c.Processor.Engine.SnapshotEvery = time.Second
				}
			})
			ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
			defer stop()
			r.fans.Beat(ctx)
			c, err := r.brokers.Client()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			r.watching()
			r.ready[0].Store(false) // it may end now
			if !harm.live {
				r.end(0, syscall.SIGKILL)
			}
			harm.do(r, c)
			if harm.live {
				r.expect(r.procs[0], harm.says)
			}
			out, err := r.try("processor", "--config", r.config)
			if err == nil {
				t.Errorf("it starts as if nothing were")
			}
			for _, want := range harm.says {
				if !strings.Contains(out, want) {
					t.Errorf("expected %q in\n%s", want, out)
				}
			}
		})
	}
}

// expect waits until a processor has ended by itself, with these words.
func (r *rig) expect(p *chaos.Processor, says []string) {
	r.t.Helper()
	err := settle(r.t.Context(), time.Minute, func(context.Context) (bool, error) { return !p.Running(), nil })
	if err != nil {
		r.t.Fatalf("%s goes on: %v", p.Name, err)
	}
	for _, want := range says {
		if said := p.Said(4 << 10); !strings.Contains(said, want) {
			r.t.Errorf("expected %q in\n%s", want, said)
		}
	}
}

// recreate deletes the topic of orders and makes it again.
func (r *rig) recreate(c *kgo.Client) {
	r.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = kmsg.StringPtr(r.topic(wire.TopicOrders))
	req.Topics, req.TopicNames, req.TimeoutMillis = append(req.Topics, topic), append(req.TopicNames, *topic.Topic), 10_000
	if _, err := req.RequestWith(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
	err := settle(r.t.Context(), time.Minute, func(context.Context) (bool, error) {
		_, err := r.try("migrate", "--config", r.config)
		return err == nil, nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// truncate deletes the first records of orders.
func (r *rig) truncate(c *kgo.Client) {
	r.t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	topic, partition := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
	topic.Topic, partition.Offset = r.topic(wire.TopicOrders), 50
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(r.t.Context(), c)
	if err == nil && res.Topics[0].Partitions[0].ErrorCode != 0 {
		err = fmt.Errorf("error code %d", res.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
