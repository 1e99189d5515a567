// Package eventlog is Fairgate's only way to Kafka: it appends records to a
// partition in order, reads a partition back without holes, and makes sure
// that the topics are safe to keep a sale in. It may open connections to the
// configured brokers and starts one goroutine per partition it appends to;
// it knows nothing of what the records mean.
//
// Readers keep their own offset and no consumer group is ever joined. The
// package behaves the same on the in-process broker and on Apache Kafka
// (2.8 or newer, for topic ids).
package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"
)

// Limits that a configuration cannot change: both ends of the log rely on
// them.
const (
	// MaxBatchRecords is the most records that one produce call carries.
	MaxBatchRecords = 8_192
	// MaxBatchBytes is the most bytes that one produce call carries, record
	// framing included. It stays below Kafka's default max.message.bytes
	// (1,048,588).
	MaxBatchBytes = 1_000_000
	// MaxValueBytes is the largest value of one record.
	MaxValueBytes = MaxBatchBytes - recordOverhead
	// MaxPartitions bounds the partitions of a topic, and with them the
	// goroutines of a Producer.
	MaxPartitions = 4_096

	// recordOverhead is what a record adds to its value, at most: lengths,
	// deltas and counts as varints.
	recordOverhead = 16
)

const (
	backoffFirst = 5 * time.Millisecond
	backoffLast  = 50 * time.Millisecond
	dialTimeout  = time.Second
)

// Config says which cluster to use and how patient to be. The zero value of
// every field but Brokers works.
type Config struct {
	// Brokers are bootstrap addresses, host:port.
	Brokers []string
	// ClientID is the name that brokers log; default "fairgate".
	ClientID string

	// Replication is the replication factor of topics made by EnsureTopics
	// and the least it accepts; default 1.
	Replication int
	// MinInSync is min.insync.replicas, likewise; default 1. It must be
	// below Replication for a broker to be allowed to die, unless both are 1.
	MinInSync int

	// TLS encrypts connections; TLSCAFile (PEM) replaces the system's roots.
	TLS       bool
	TLSCAFile string
	// SASLMechanism is "plain", "scram-sha-256" or "scram-sha-512" (default,
	// if SASLUser is set). RFC 4616, RFC 5802.
	SASLMechanism string
	SASLUser      string
	SASLPassword  string

	// MetadataTopics restricts what the client asks the cluster about; empty
	// means every topic, which is costly on a cluster shared with thousands.
	MetadataTopics []string
	// MetadataTTL bounds the age of the cluster layout; default 400 ms. A
	// moved leader is noticed within it.
	MetadataTTL time.Duration
	// CallTimeout is the deadline of one produce call; default 1.5 s.
	CallTimeout time.Duration
	// LossPatience is how long brokers must agree that a log ends before the
	// next offset of a Tail until the Tail believes that records are gone;
	// default 30 s. A broker that was frozen, or cut off from the others,
	// takes itself for the leader until it hears of the new one (KIP-320).
	LossPatience time.Duration
	// CloseTimeout is how long Close keeps flushing; default 3 s.
	CloseTimeout time.Duration
	// QueueRecords and QueueBytes bound what waits to be appended to one
	// partition; defaults 16,384 and 64 MiB.
	QueueRecords int
	QueueBytes   int64
}

// Validate reports every field that cannot work, by name.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		bad("brokers: at least one host:port is needed")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			bad("brokers: %q is not host:port", b)
		}
	}
	if c.Replication < 0 || c.Replication > 32_767 {
		bad("replication: must be between 1 and 32767, is %d", c.Replication)
	}
	if d := c.withDefaults(); c.MinInSync < 0 || d.MinInSync > d.Replication {
		bad("min in sync: must be between 1 and replication (%d), is %d", d.Replication, c.MinInSync)
	}
	switch c.SASLMechanism {
	case "", saslPlain, saslScram256, saslScram512:
	default:
		bad("sasl mechanism: %q is none of plain, scram-sha-256, scram-sha-512", c.SASLMechanism)
	}
	if (c.SASLUser == "") != (c.SASLPassword == "") {
		bad("sasl: user and password must be set together")
	}
	if c.TLSCAFile != "" {
		if _, err := os.Stat(c.TLSCAFile); err != nil {
			bad("tls ca file: %w", err)
		}
	}
	if c.MetadataTTL < 0 || c.CallTimeout < 0 || c.LossPatience < 0 || c.CloseTimeout < 0 || c.QueueRecords < 0 || c.QueueBytes < 0 {
		bad("durations and queue limits must not be negative")
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MetadataTTL, 400*time.Millisecond)
	def(&c.CallTimeout, 1500*time.Millisecond)
	def(&c.LossPatience, 30*time.Second)
	def(&c.CloseTimeout, 3*time.Second)
	if c.ClientID == "" {
		c.ClientID = "fairgate"
	}
	c.Replication = max(c.Replication, 1)
	c.MinInSync = max(c.MinInSync, 1)
	if c.QueueRecords == 0 {
		c.QueueRecords = 16_384
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 64 << 20
	}
	if c.SASLMechanism == "" && c.SASLUser != "" {
		c.SASLMechanism = saslScram512
	}
	return c
}

// LogValue hides the password from slog.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Any("brokers", c.Brokers),
		slog.Bool("tls", c.TLS),
		slog.String("sasl_mechanism", c.SASLMechanism),
		slog.String("sasl_user", c.SASLUser),
	)
}

// String hides the password from fmt.
func (c Config) String() string { return c.LogValue().String() }
