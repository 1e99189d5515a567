package eventlog_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

// clusterEnv names the folder of a three-broker cluster that was started with
// scripts/kafka.sh and may be hurt.
const clusterEnv = "FAIRGATE_TEST_KAFKA_DIR"

func kafkaScript(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("../../scripts/kafka.sh", args...).Output()
	if err != nil {
		t.Fatalf("kafka.sh %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// TestCluster_NothingAcknowledgedIsLost kills one broker, brings it back and
// freezes another, while callers append and a tail reads.
func TestCluster_NothingAcknowledgedIsLost(t *testing.T) {
	dir := os.Getenv(clusterEnv)
	if dir == "" {
		t.Skip(clusterEnv + " is not set")
	}
	cfg := eventlog.Config{Brokers: strings.Split(kafkaScript(t, "addrs", dir), ","), Replication: 3, MinInSync: 2}
	l := testkafka.Open(t, cfg)
	topic := testkafka.Topic(t, l, "hurt", 3)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	acked := make([]sync.Map, 3) // offset → value
	var count, worst atomic.Int64
	var callers sync.WaitGroup
	for i := range 60 {
		callers.Go(func() {
			p, partition := l.Producer(topic), int32(i%3)
			for n := 0; ctx.Err() == nil; n++ {
				value, start := fmt.Sprintf("%d-%d", i, n), time.Now()
				offset, err := p.Append(context.Background(), partition, []byte(value), time.Now().Add(20*time.Second))
				if err != nil {
					t.Errorf("appending: %v", err)
					return
				}
				acked[partition].Store(offset, value)
				count.Add(1)
				worst.Store(max(worst.Load(), int64(time.Since(start))))
			}
		})
	}
	signal := func(broker int, sig syscall.Signal) int {
		pid, err := strconv.Atoi(kafkaScript(t, "pid", dir, strconv.Itoa(broker)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	time.Sleep(time.Second)
	signal(1, syscall.SIGKILL)
	time.Sleep(5 * time.Second)
	kafkaScript(t, "start", "3", dir)
	frozen := signal(2, syscall.SIGSTOP)
	time.Sleep(5 * time.Second)
	if err := syscall.Kill(frozen, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	stop()
	callers.Wait()
	t.Logf("%d acknowledged, longest wait %v", count.Load(), time.Duration(worst.Load()))
	for partition := range acked {
		_, next, err := l.Bounds(within(t), topic, int32(partition))
		if err != nil {
			t.Fatal(err)
		}
		values := readAll(t, l, topic, int32(partition), int(next))
		acked[partition].Range(func(offset, value any) bool {
			if at := offset.(int64); at >= next || values[at] != value.(string) {
				t.Errorf("partition %d: %v was acknowledged at %d and is not there", partition, value, at)
				return false
			}
			return true
		})
	}
}
