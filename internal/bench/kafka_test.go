package bench

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"fairgate/internal/eventlog"
)

const (
	script = "../../scripts/kafka.sh"
	// runningEnv names the folder of a cluster that scripts/kafka.sh has started and that is to be used, and kept: warm
	// brokers cost a third of cold ones.
	runningEnv = "FAIRGATE_BENCH_KAFKA_DIR"
	// bringUp bounds the start of brokers, a first download of their jars included.
	bringUp = 5 * time.Minute
)

// cluster is Apache Kafka on loopback, ended with the benchmark.
type cluster struct {
	b       *testing.B
	dir     string
	brokers int
	addrs   []string
	log     *eventlog.Log
	metrics *prometheus.Registry
}

// startKafka runs 1 broker, or 3 with every record on all of them and acknowledged by two at least.
func startKafka(b *testing.B, brokers int) *cluster {
	b.Helper()
	c := &cluster{b: b, dir: os.Getenv(runningEnv), brokers: brokers}
	if c.dir == "" {
		c.dir = b.TempDir()
		b.Cleanup(c.stop)
	}
	c.addrs = strings.Split(c.script("start", strconv.Itoa(brokers), c.dir), ",")
	c.metrics = prometheus.NewRegistry()
	var err error
	if c.log, err = eventlog.New(c.config(), eventlog.Deps{Metrics: c.metrics}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.log.Close)
	return c
}

// stop ends the brokers at once: nobody needs their data any more, and an orderly end of a quorum takes long.
func (c *cluster) stop() {
	for _, pid := range c.pids() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			c.b.Errorf("ending a broker: %v", err)
		}
	}
	c.script("stop", c.dir)
}

func (c *cluster) config() eventlog.Config {
	cfg := eventlog.Config{Brokers: c.addrs, Replication: 1, MinInSync: 1, QueueRecords: 2 * mostCallers}
	if c.brokers > 1 {
		cfg.Replication, cfg.MinInSync = c.brokers, c.brokers-1
	}
	return cfg
}

func (c *cluster) script(args ...string) string {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bringUp)
	defer cancel()
	out, err := exec.CommandContext(ctx, script, args...).Output()
	if err != nil {
		c.b.Fatalf("kafka.sh %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// pids are the brokers' processes.
func (c *cluster) pids() []int {
	c.b.Helper()
	list := make([]int, c.brokers)
	for i := range list {
		pid, err := strconv.Atoi(c.script("pid", c.dir, strconv.Itoa(i+1)))
		if err != nil {
			c.b.Fatal(err)
		}
		list[i] = pid
	}
	return list
}

// perCall is how many records of a topic a produce call carried on average.
func (c *cluster) perCall(topic string) float64 {
	c.b.Helper()
	families, err := c.metrics.Gather()
	if err != nil {
		c.b.Fatal(err)
	}
	var records, calls float64
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			switch {
			case labels["topic"] != topic:
			case f.GetName() == "fairgate_eventlog_records_total" && labels["way"] == "append":
				records += m.GetCounter().GetValue()
			case f.GetName() == "fairgate_eventlog_produce_seconds":
				calls += float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return records / max(calls, 1)
}

// drop deletes topics: a few seconds of load are gigabytes.
func (c *cluster) drop(topics ...string) {
	c.b.Helper()
	client := &kafka.Client{Addr: kafka.TCP(c.addrs...), Transport: &kafka.Transport{}}
	defer client.Transport.(*kafka.Transport).CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), bringUp)
	defer cancel()
	if _, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: topics}); err != nil {
		c.b.Errorf("deleting topics: %v", err)
	}
}
