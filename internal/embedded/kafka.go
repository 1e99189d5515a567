package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Kafka is a one-broker cluster inside this process. It speaks the protocol
// and keeps records, topics and their ids over restarts and crashes; it does
// not replicate.
type Kafka struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
}

// StartKafka serves on addr (host:port, port 0 or "" for a free one) and
// keeps its data below dir, every record synced before it is acknowledged.
// With dir "" it keeps everything in memory. log may be nil.
func StartKafka(dir, addr string, log *slog.Logger) (*Kafka, error) {
	if addr == "" {
		addr = loopback
	}
	k := &Kafka{}
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.ClusterID("fairgate-embedded")}
	if log != nil {
		opts = append(opts, kfake.WithLogger(kafkaLog{log}))
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("embedded kafka: %w", err)
		}
		lock, err := lockFolder(dir)
		if err != nil {
			return nil, fmt.Errorf("embedded kafka: %w", err)
		}
		k.lock = lock
		opts = append(opts, kfake.DataDir(filepath.Join(dir, "data")), kfake.SyncWrites())
	}
	var ln net.Listener
	opts = append(opts, kfake.ListenFn(func(string, string) (net.Listener, error) {
		var err error
		ln, err = listen("embedded kafka", addr)
		return ln, err
	}))
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting embedded kafka: %w", err), k.unlock())
	}
	k.cluster, k.addr = cluster, ln.Addr().String()
	return k, nil
}

// Addr is the bootstrap address, host:port.
func (k *Kafka) Addr() string { return k.addr }

// Cluster is the broker itself, for tests that make it misbehave.
func (k *Kafka) Cluster() *kfake.Cluster { return k.cluster }

// Close stops the broker; what was acknowledged is on disk.
func (k *Kafka) Close() error {
	k.cluster.Close()
	return k.unlock()
}

func (k *Kafka) unlock() error {
	if k.lock == nil {
		return nil
	}
	return k.lock.Close()
}

// kafkaLog passes on what the broker has to complain about. It formats its
// messages itself, so they travel as an attribute.
type kafkaLog struct{ log *slog.Logger }

func (l kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded kafka", slog.String("message", fmt.Sprintf(format, args...)))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded kafka", slog.String("message", fmt.Sprintf(format, args...)))
	}
}
