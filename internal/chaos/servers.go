package chaos

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"fairgate/internal/embedded"
)

// Brokers is a cluster that scripts/kafka.sh has started in a folder; broker numbers begin at 1.
type Brokers struct {
	script, dir string
	addrs       []string
}

// OpenBrokers finds the cluster in dir.
func OpenBrokers(ctx context.Context, script, dir string) (*Brokers, error) {
	b := &Brokers{script: script, dir: dir}
	out, err := b.run(ctx, "addrs", dir)
	if err != nil {
		return nil, err
	}
	b.addrs = strings.Split(out, ",")
	return b, nil
}

// Addrs are host:port of every broker.
func (b *Brokers) Addrs() []string { return b.addrs }

// Len is how many brokers there are, dead or alive.
func (b *Brokers) Len() int { return len(b.addrs) }

// Pid is the process id of broker i, which must live.
func (b *Brokers) Pid(ctx context.Context, i int) (int, error) {
	out, err := b.run(ctx, "pid", b.dir, strconv.Itoa(i))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(out)
	if err != nil {
		return 0, fmt.Errorf("pid of broker %d: %w", i, err)
	}
	return pid, nil
}

// Signal sends sig to broker i, which must live.
func (b *Brokers) Signal(ctx context.Context, i int, sig syscall.Signal) error {
	pid, err := b.Pid(ctx, i)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, sig)
}

// Start brings back the brokers that are dead and returns when all answer.
func (b *Brokers) Start(ctx context.Context) error {
	_, err := b.run(ctx, "start", strconv.Itoa(len(b.addrs)), b.dir)
	return err
}

func (b *Brokers) run(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, b.script, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s %s: %w: %s", b.script, args[0], err, strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}

// Client is a client of another make than ours, for what ours never does: describing the quorum, moving leaders, foreign
// records. The caller closes it.
func (b *Brokers) Client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.addrs...)}, opts...)...)
}

// Controller is the number of the broker that leads the quorum.
func (b *Brokers) Controller(ctx context.Context, c *kgo.Client) (int, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("describing the quorum: %w", err)
	}
	if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return 0, errors.New("describing the quorum: no answer")
	}
	return int(res.Topics[0].Partitions[0].LeaderID), nil
}

// Healed says whether all replicas of the topics are in sync again, and by which broker each topic's first partition is
// led.
func (b *Brokers) Healed(ctx context.Context, c *kgo.Client, topics []string) (leaders map[string]int, healed bool, err error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, t := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, topic)
	}
	res, err := req.RequestWith(ctx, c)
	if err != nil {
		return nil, false, fmt.Errorf("reading metadata: %w", err)
	}
	leaders, healed = map[string]int{}, len(res.Topics) == len(topics)
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			healed = healed && p.ErrorCode == 0 && len(p.ISR) == len(p.Replicas)
			if p.Partition == 0 && t.Topic != nil {
				leaders[*t.Topic] = int(p.Leader)
			}
		}
	}
	return leaders, healed, nil
}

// Lead makes broker i lead partition 0 of the topics: it becomes the preferred replica, which is then elected.
func (b *Brokers) Lead(ctx context.Context, c *kgo.Client, topics []string, i int) error {
	assign, elect := kmsg.NewPtrAlterPartitionAssignmentsRequest(), kmsg.NewPtrElectLeadersRequest()
	assign.TimeoutMillis, elect.TimeoutMillis = 5_000, 5_000
	replicas := []int32{int32(i)}
	for j := range b.addrs {
		if j+1 != i {
			replicas = append(replicas, int32(j+1))
		}
	}
	for _, name := range topics {
		t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		t.Topic, p.Replicas = name, replicas
		t.Partitions = append(t.Partitions, p)
		assign.Topics = append(assign.Topics, t)
		e := kmsg.NewElectLeadersRequestTopic()
		e.Topic, e.Partitions = name, []int32{0}
		elect.Topics = append(elect.Topics, e)
	}
	if _, err := assign.RequestWith(ctx, c); err != nil {
		return fmt.Errorf("assigning replicas: %w", err)
	}
	if _, err := elect.RequestWith(ctx, c); err != nil {
		return fmt.Errorf("electing leaders: %w", err)
	}
	return nil
}

// Postgres is a child server that can be killed and brought back at the same address.
type Postgres struct {
	cfg embedded.PostgresConfig

	mu     sync.Mutex
	server *embedded.Postgres
}

// StartPostgres makes a cluster with database fairgate in dir and starts it at addr, as durable as it is by default.
func StartPostgres(ctx context.Context, dir, addr string) (*Postgres, error) {
	p := &Postgres{cfg: embedded.PostgresConfig{Dir: dir, Addr: addr, Databases: []string{"fairgate"}}}
	return p, p.Start(ctx)
}

// URL connects to the database. It holds the password.
func (p *Postgres) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server.URL("fairgate")
}

// Start brings the server back.
func (p *Postgres) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	server, err := embedded.StartPostgres(ctx, p.cfg)
	if err != nil {
		return err
	}
	p.server = server
	return nil
}

// End sends sig to the postmaster and waits until it is gone. After SIGKILL its backends follow by themselves.
func (p *Postgres) End(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := syscall.Kill(p.server.Pid(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending postgres: %w", err)
	}
	select {
	case <-p.server.Done():
	case <-time.After(30 * time.Second):
	}
	return p.server.Stop() // it gives the folder free
}

// Close stops the server.
func (p *Postgres) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server.Stop()
}
