// Package testkafka gives tests a Kafka: one in process and in memory per
// test, or the cluster named by FAIRGATE_TEST_KAFKA. Tests that share a
// cluster keep apart by topics of their own.
package testkafka

import (
	"context"
	"crypto/rand"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairgate/internal/embedded"
	"fairgate/internal/eventlog"
)

// Env names a running cluster, host:port,host:port…, to use instead.
const Env = "FAIRGATE_TEST_KAFKA"

// EnvReplication is the replication factor of topics there; default 1.
const EnvReplication = "FAIRGATE_TEST_KAFKA_REPLICATION"

const patience = 30 * time.Second

// sharedCall is how long one call may take on a cluster whose followers have just heard of the topic.
const sharedCall = 5 * time.Second

// lossPatience is short: the brokers of tests are not deposed, and those that lose a log shall be believed soon.
const lossPatience = 300 * time.Millisecond

// Brokers returns the bootstrap addresses of a cluster for this test.
func Brokers(t testing.TB) []string {
	t.Helper()
	if list := os.Getenv(Env); list != "" {
		return strings.Split(list, ",")
	}
	return []string{Start(t).Addr()}
}

// Addr is Brokers for those who need a single string.
func Addr(t testing.TB) string {
	t.Helper()
	return strings.Join(Brokers(t), ",")
}

// Start runs an in-process cluster for tests that make it misbehave.
func Start(t testing.TB) *embedded.Kafka {
	t.Helper()
	k, err := embedded.StartKafka("", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("closing kafka: %v", err)
		}
	})
	return k
}

// Config is what an eventlog needs to use brokers as this test run does.
func Config(brokers []string) eventlog.Config {
	cfg := eventlog.Config{Brokers: brokers, LossPatience: lossPatience}
	if n, err := strconv.Atoi(os.Getenv(EnvReplication)); err == nil && os.Getenv(Env) != "" {
		cfg.Replication, cfg.MinInSync = n, max(n-1, 1)
		cfg.CallTimeout = sharedCall
	}
	return cfg
}

// Log returns an open log on a cluster for this test, closed after it.
func Log(t testing.TB) *eventlog.Log {
	t.Helper()
	return Open(t, Config(Brokers(t)))
}

// Open opens a log and closes it after the test.
func Open(t testing.TB, cfg eventlog.Config) *eventlog.Log {
	t.Helper()
	l, err := eventlog.New(cfg, eventlog.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// Topic makes a topic with a name of its own, kept forever.
func Topic(t testing.TB, l *eventlog.Log, prefix string, partitions int) string {
	t.Helper()
	name := Unique(prefix)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := l.EnsureTopics(ctx, []eventlog.Topic{{Name: name, Partitions: partitions, RetentionForever: true}})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Unique is prefix with a random end, a valid topic name.
func Unique(prefix string) string {
	return prefix + "-" + strings.ToLower(rand.Text()[:10])
}
