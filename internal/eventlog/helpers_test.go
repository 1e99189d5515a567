package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantErr demands each of targets.
func wantErr(t testing.TB, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Fatalf("error is %v, want %v", err, target)
		}
	}
}

// rig is an in-process broker whose produce answers can be lost.
type rig struct {
	cluster *kfake.Cluster
	// lose, when positive, counts down: that many produce requests take
	// effect and have their answer replaced by a broken connection.
	lose atomic.Int32
	log  *eventlog.Log
}

func newRig(t *testing.T, change func(*eventlog.Config)) *rig {
	t.Helper()
	r := &rig{}
	var err error
	r.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(func(network, addr string) (net.Listener, error) {
		ln, err := net.Listen(network, addr)
		return lossyListener{ln, r}, err
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.cluster.Close)
	cfg := eventlog.Config{Brokers: r.cluster.ListenAddrs(), MetadataTTL: 100 * time.Millisecond, CallTimeout: 500 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	r.log = testkafka.Open(t, cfg)
	return r
}

// answer makes the broker answer the next n produce requests with code and do
// nothing.
func (r *rig) answer(n int, code kafka.Error) {
	for range n {
		r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			p := req.(*kmsg.ProduceRequest)
			res := p.ResponseKind().(*kmsg.ProduceResponse)
			for _, t := range p.Topics {
				rt := kmsg.NewProduceResponseTopic()
				rt.Topic = t.Topic
				for _, pt := range t.Partitions {
					rp := kmsg.NewProduceResponseTopicPartition()
					rp.Partition, rp.ErrorCode = pt.Partition, int16(code)
					rt.Partitions = append(rt.Partitions, rp)
				}
				res.Topics = append(res.Topics, rt)
			}
			return res, nil, true
		})
	}
}

// hold keeps produce requests waiting until the function it returns is
// called; arrived tells of each.
func (r *rig) hold(t *testing.T) (arrived <-chan struct{}, release func()) {
	gate, in := make(chan struct{}), make(chan struct{}, 100)
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		select {
		case in <- struct{}{}:
		default:
		}
		r.cluster.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	var done atomic.Bool
	release = func() {
		if done.CompareAndSwap(false, true) {
			close(gate)
		}
	}
	t.Cleanup(release)
	return in, release
}

// produces counts produce requests from now on.
func (r *rig) produces() *atomic.Int32 {
	n := new(atomic.Int32)
	r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		n.Add(1)
		return nil, nil, false
	})
	return n
}

type lossyListener struct {
	net.Listener
	rig *rig
}

func (l lossyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lossyConn{Conn: c, rig: l.rig}, nil
}

// lossyConn watches for produce requests: the broker reads four bytes of
// length and then the request, whose first two bytes name it (0 is Produce).
type lossyConn struct {
	net.Conn
	rig     *rig
	body    bool
	produce atomic.Bool
}

func (c *lossyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case c.body && n >= 2:
		c.produce.Store(p[0] == 0 && p[1] == 0)
		c.body = false
	case len(p) == 4 && n == 4:
		c.body = true
	}
	return n, err
}

func (c *lossyConn) Write(p []byte) (int, error) {
	if c.produce.Load() && c.rig.lose.Add(-1) >= 0 {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// readAll reads n records from the start of a partition and checks that they
// are dense.
func readAll(t testing.TB, l *eventlog.Log, topic string, partition int32, n int) []string {
	t.Helper()
	tail := l.Tail(topic, partition, 0, eventlog.TailConfig{MaxWait: 50 * time.Millisecond})
	ctx := within(t)
	var values []string
	for len(values) < n {
		for _, r := range must[[]eventlog.Record](t)(tail.Fetch(ctx)) {
			if r.Offset != int64(len(values)) {
				t.Fatalf("offset %d where %d belongs", r.Offset, len(values))
			}
			values = append(values, string(r.Value))
		}
	}
	return values
}

func numbered(prefix string, n int) [][]byte {
	values := make([][]byte, n)
	for i := range values {
		values[i] = fmt.Appendf(nil, "%s%d", prefix, i)
	}
	return values
}
