package eventlog_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

func TestEnsureTopics_CreatesAndAcceptsItsOwn(t *testing.T) {
	brokers := testkafka.Brokers(t)
	topics := []eventlog.Topic{
		{Name: testkafka.Unique("orders"), Partitions: 3, RetentionForever: true},
		{Name: testkafka.Unique("documents"), Partitions: 1, RetentionMS: 600_000},
	}
	// Several roles start at the same time.
	var wg sync.WaitGroup
	for range 3 {
		l := testkafka.Open(t, testkafka.Config(brokers))
		ctx := within(t)
		wg.Go(func() {
			for range 2 {
				if err := l.EnsureTopics(ctx, topics); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l := testkafka.Open(t, testkafka.Config(brokers))
	if _, err := l.AppendBatch(within(t), topics[0].Name, 2, numbered("v", 1)); err != nil {
		t.Fatalf("a topic just made takes no records: %v", err)
	}
}

func TestEnsureTopics_RefusesWhatIsNotSafe(t *testing.T) {
	brokers := testkafka.Brokers(t)
	l := testkafka.Open(t, testkafka.Config(brokers))
	good := []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "-1"}, {ConfigName: "cleanup.policy", ConfigValue: "delete"}}
	for name, tc := range map[string]struct {
		partitions int
		entries    []kafka.ConfigEntry
		change     func(*eventlog.Config)
		says       []string
	}{
		"partitions": {partitions: 2, entries: good, says: []string{"partitions are 2", "configured are 3", "configure 2"}},
		"retention":  {partitions: 3, entries: good[1:], says: []string{"retention.ms is 604800000", "set it to -1"}},
		"retention by size": {partitions: 3, entries: append(good[:2:2], kafka.ConfigEntry{ConfigName: "retention.bytes", ConfigValue: "1000000"}),
			says: []string{"retention.bytes is 1000000", "set it to -1", "--add-config retention.bytes=-1)"}},
		"kept a while": {partitions: 3, entries: []kafka.ConfigEntry{good[1], {ConfigName: "retention.ms", ConfigValue: "60000"}},
			says: []string{"retention.ms is 60000", "kafka-configs.sh --bootstrap-server ", "--add-config retention.ms=-1)"}},
		"compressed": {partitions: 3, entries: append(good[:2:2], kafka.ConfigEntry{ConfigName: "compression.type", ConfigValue: "zstd"}),
			says: []string{"compression.type is zstd", "--add-config compression.type=uncompressed)"}},
		"compacted besides": {partitions: 3, entries: []kafka.ConfigEntry{good[0], {ConfigName: "cleanup.policy", ConfigValue: "compact,delete"}},
			says: []string{"cleanup.policy is compact,delete", "set it to delete"}},
		"compacted": {partitions: 3, entries: []kafka.ConfigEntry{good[0], {ConfigName: "cleanup.policy", ConfigValue: "compact"}},
			says: []string{"cleanup.policy is compact", "set it to delete"}},
		"small messages": {partitions: 3, entries: append(good[:2:2], kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: "1000"}),
			says: []string{"max.message.bytes is 1000"}},
		"replication": {partitions: 3, entries: good, change: func(c *eventlog.Config) { c.Replication, c.MinInSync = 5, 1 },
			says: []string{"replication factor is 1", "set it to 5", "kafka-reassign-partitions.sh", "or configure kafka.replication=1"}},
		"in sync": {partitions: 3, entries: good, change: func(c *eventlog.Config) { c.Replication, c.MinInSync = 5, 4 },
			says: []string{"min.insync.replicas is 1", "set it to 4", "--add-config min.insync.replicas=4)", "or configure kafka.minInSync"}},
	} {
		t.Run(name, func(t *testing.T) {
			topic := testkafka.Unique("bad")
			makeTopic(t, brokers, topic, tc.partitions, tc.entries)
			log := l
			if tc.change != nil {
				cfg := testkafka.Config(brokers)
				tc.change(&cfg)
				log = testkafka.Open(t, cfg)
			}
			err := log.EnsureTopics(within(t), []eventlog.Topic{{Name: topic, Partitions: 3, RetentionForever: true}})
			wantErr(t, err, eventlog.ErrTopicMismatch)
			for _, s := range append(tc.says, topic) {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

// TestEnsureTopics_WaitsForEnoughBrokers as where all of them start at the same time.
func TestEnsureTopics_WaitsForEnoughBrokers(t *testing.T) {
	brokers := testkafka.Brokers(t)
	cfg := testkafka.Config(brokers)
	cfg.Replication, cfg.MinInSync = len(brokers)+1, 1
	l := testkafka.Open(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	err := l.EnsureTopics(ctx, []eventlog.Topic{{Name: testkafka.Unique("early"), Partitions: 1, RetentionForever: true}})
	if err == nil || time.Since(began) < 900*time.Millisecond {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	for _, s := range []string{"early-", "start them", "kafka.replication"} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

func makeTopic(t *testing.T, brokers []string, name string, partitions int, entries []kafka.ConfigEntry) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport}
	res, err := client.CreateTopics(within(t), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: name, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries,
	}}})
	if err == nil {
		err = res.Errors[name]
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestEnsureTopics_RefusesNonsense(t *testing.T) {
	l := testkafka.Log(t)
	for _, topic := range []eventlog.Topic{
		{Partitions: 1, RetentionForever: true},
		{Name: "x", RetentionForever: true},
		{Name: "x", Partitions: eventlog.MaxPartitions + 1, RetentionForever: true},
		{Name: "x", Partitions: 1},
	} {
		if err := l.EnsureTopics(within(t), []eventlog.Topic{topic}); err == nil {
			t.Errorf("%+v was accepted", topic)
		}
	}
}

func TestTopicID_SurvivesARestartOfTheBroker(t *testing.T) {
	dir := t.TempDir()
	var ids [2][16]byte
	for i := range ids {
		k, err := embedded.StartKafka(dir, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := eventlog.New(eventlog.Config{Brokers: []string{k.Addr()}}, eventlog.Deps{})
		if err != nil {
			t.Fatal(err)
		}
		err = l.EnsureTopics(within(t), []eventlog.Topic{{Name: "orders", Partitions: 1, RetentionForever: true}})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = must[[16]byte](t)(l.TopicID(within(t), "orders"))
		l.Close()
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if ids[0] != ids[1] || ids[0] == ([16]byte{}) {
		t.Fatalf("%x, then %x", ids[0], ids[1])
	}
}
