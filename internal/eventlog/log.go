package eventlog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

// Deps are what a Log takes from its role. All may be nil.
type Deps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Now is the clock that notAfter is held against.
	Now func() time.Time
}

// Log is a connection to one Kafka cluster. It is safe for concurrent use;
// its Tails each belong to one goroutine.
type Log struct {
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	metrics   *metrics
	transport *kafka.Transport
	client    *kafka.Client
	appender  *kafka.Client // of the same transport; tells brokers our CallTimeout
	sets      sync.Pool     // of *sealedSet, none of which a goroutine of the client still reads

	ctx    context.Context // ends when Close stops flushing
	cancel context.CancelFunc
	stop   chan struct{} // closed when Close begins

	mu        sync.Mutex // guards the two below
	producers map[string]*Producer
	closed    bool
}

// New prepares a client; it connects on first use, so brokers may come up
// later.
func New(cfg Config, deps Deps) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("event log configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	tlsConfig, err := tlsFor(cfg)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("event log metrics: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	l := &Log{
		cfg: cfg, log: deps.Log, now: deps.Now, metrics: m,
		stop:      make(chan struct{}),
		producers: make(map[string]*Producer),
	}
	l.sets.New = func() any { return new(sealedSet) }
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.transport = &kafka.Transport{
		DialTimeout:    dialTimeout,
		MetadataTTL:    cfg.MetadataTTL,
		MetadataTopics: cfg.MetadataTopics,
		ClientID:       cfg.ClientID,
		TLS:            tlsConfig,
		SASL:           saslFor(cfg),
		Context:        l.ctx,
	}
	l.client = &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: l.transport}
	// Without a Timeout the client would let brokers give up after 500 ms.
	l.appender = &kafka.Client{Addr: l.client.Addr, Transport: l.transport, Timeout: cfg.CallTimeout}
	return l, nil
}

func tlsFor(cfg Config) (*tls.Config, error) {
	if !cfg.TLS {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLSCAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(cfg.TLSCAFile)
	if err != nil {
		return nil, fmt.Errorf("reading kafka tls ca file: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("kafka tls ca file %s holds no PEM certificate", cfg.TLSCAFile)
	}
	return c, nil
}

// Close refuses new records, keeps sending those already queued for at most
// CloseTimeout, fails the rest, and waits for its goroutines. Tails fail
// from then on; end their loops first. Calling it again is harmless.
func (l *Log) Close() {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	producers := make([]*Producer, 0, len(l.producers))
	for _, p := range l.producers {
		producers = append(producers, p)
	}
	l.mu.Unlock()

	if first {
		close(l.stop)
	}
	timer := time.AfterFunc(l.cfg.CloseTimeout, l.cancel)
	defer timer.Stop()
	for _, p := range producers {
		p.close()
	}
	l.cancel()
	l.transport.CloseIdleConnections()
}

// Bounds returns the first offset that partition still has and the next that
// will be given; they are equal if it is empty. Transient errors are tried
// again until ctx ends.
func (l *Log) Bounds(ctx context.Context, topic string, partition int32) (first, next int64, err error) {
	err = l.retry(ctx, func(ctx context.Context) error {
		first, next, err = l.boundsOnce(ctx, topic, partition)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of %s/%d: %w", topic, partition, err)
	}
	return first, next, nil
}

func (l *Log) boundsOnce(ctx context.Context, topic string, partition int32) (first, next int64, err error) {
	p := int(partition)
	res, err := l.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p)}},
	})
	if err != nil {
		return 0, 0, err
	}
	for _, o := range res.Topics[topic] {
		if o.Partition == p {
			return o.FirstOffset, o.LastOffset, o.Error
		}
	}
	return 0, 0, errors.New("broker did not answer for the partition")
}

// retry calls f under a deadline each until it succeeds or ctx ends, and then
// says what the last error was.
func (l *Log) retry(ctx context.Context, f func(context.Context) error) error {
	for wait := backoffFirst; ; wait = min(2*wait, 4*backoffLast) {
		call, cancel := context.WithTimeout(ctx, l.cfg.CallTimeout)
		err := f(call)
		cancel()
		if err == nil || l.ctx.Err() != nil || permanent(err) {
			return err
		}
		if !sleep(ctx, wait) {
			return fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		}
	}
}

// permanent errors do not go away by asking again.
func permanent(err error) bool {
	var code kafka.Error
	return errors.As(err, &code) && !code.Temporary() && code != kafka.UnknownTopicOrPartition
}

// sleep waits and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
