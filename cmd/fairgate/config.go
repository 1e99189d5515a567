package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"fairgate/admin"
	"fairgate/booking"
	"fairgate/botguard"
	"fairgate/internal/conf"
	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/payment"
	"fairgate/internal/run"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/scaler"
	"fairgate/waitingroom"
	"fairgate/waitingroom/token"
	"fairgate/workers"
)

// Config is everything that can be configured, one section per component. A role reads the sections that it uses and
// validates them all, so that one file serves every role.
type Config struct {
	Log      run.LogConfig        `yaml:"log" help:"What is said on standard error."`
	Ops      run.OpsConfig        `yaml:"ops" help:"The inside of a role, for operators and Prometheus. Do not open this port to the world."`
	Shutdown run.GroupConfig      `yaml:"shutdown" help:"How a role ends. Give the orchestrator a longer window than this."`
	HTTP     web.Config           `yaml:"http" help:"The public listener of the roles waitingroom, booking and workers."`
	Clock    ClockConfig          `yaml:"clock" help:"What room time rests on."`
	Kafka    KafkaConfig          `yaml:"kafka" help:"The logs. The same for every role."`
	Postgres store.Config         `yaml:"postgres" help:"The projection, payments and obligations. The same for every role."`
	Redis    RedisConfig          `yaml:"redis" help:"Limits, caches and the queues of tasks; no fact lives there. The same for every role."`
	Keys     KeysConfig           `yaml:"keys" help:"What signs places in line, admission passes and receipts. The same for every edge and booking server."`
	Stripe   payment.StripeConfig `yaml:"stripe" help:"The account with the payment provider, and how much of its rate is ours. Roles booking and workers."`

	Waitingroom waitingroom.Config `yaml:"waitingroom" help:"The edge."`
	Botguard    botguard.Config    `yaml:"botguard" help:"What a place costs, and who is asked to wait or refused. Roles waitingroom, booking and admin."`
	Booking     booking.Config     `yaml:"booking" help:"The public API and the shop's pages."`
	Payment     payment.Config     `yaml:"payment" help:"How a fan reaches the payment page. Roles booking and workers."`
	Processor   ProcessorConfig    `yaml:"processor" help:"The engines of both logs and the projector."`
	Workers     workers.Config     `yaml:"workers" help:"Webhooks, captures, voids, refunds, notices, reconciling."`
	Admin       admin.Config       `yaml:"admin" help:"The organiser's dashboard."`
	Scaler      scaler.Config      `yaml:"scaler" help:"Follows Prometheus and says how many replicas each role wants."`
}

// Validate names what every role needs and has no default; sections validate the rest.
func (c Config) Validate() error {
	if c.Botguard.Secret == "" {
		return fmt.Errorf("botguard.secret: expected a secret of at least %d characters", botguard.MinSecret)
	}
	return errors.Join(
		chosen("processor.queuePartitions", c.Processor.QueuePartitions, c.Kafka.QueuePartitions),
		chosen("processor.ordersPartitions", c.Processor.OrdersPartitions, c.Kafka.OrdersPartitions),
	)
}

// ClockConfig says what room time rests on.
type ClockConfig struct {
	SingleHost bool   `yaml:"singleHost" default:"false" help:"all roles run on this host, so its clock is room time by definition and its error bound is 0"`
	Source     string `yaml:"source" help:"NTP server (host:port) to go by where the kernel says that nobody disciplines this host's clock; a host whose clock is disciplined needs none"`
}

// Validate names the key that cannot work.
func (c ClockConfig) Validate() error {
	if c.Source == "" {
		return nil
	}
	if host, port, err := net.SplitHostPort(c.Source); err != nil || host == "" || port == "" {
		return fmt.Errorf("source: expected host:port, got %q", c.Source)
	}
	return nil
}

// KafkaConfig says where the log is and how it is cut. The number of partitions is fixed when the topics are made.
type KafkaConfig struct {
	Brokers          []string    `yaml:"brokers" help:"bootstrap addresses (host:port); needed"`
	Replication      int         `yaml:"replication" default:"3" help:"replication factor of the topics; 1 only on one machine"`
	MinInSync        int         `yaml:"minInSync" default:"2" help:"min.insync.replicas of the topics"`
	QueuePartitions  int         `yaml:"queuePartitions" default:"1" help:"partitions of the log of waiting rooms"`
	OrdersPartitions int         `yaml:"ordersPartitions" default:"1" help:"partitions of the log of orders"`
	TopicPrefix      string      `yaml:"topicPrefix" help:"put before every topic's name"`
	TLS              bool        `yaml:"tls" default:"false" help:"encrypt connections"`
	TLSCAFile        string      `yaml:"tlsCAFile" help:"certificates (PEM) to trust instead of the system's"`
	SASLMechanism    string      `yaml:"saslMechanism" help:"plain, scram-sha-256 or scram-sha-512"`
	SASLUser         string      `yaml:"saslUser" help:"user name; empty for no authentication"`
	SASLPassword     conf.Secret `yaml:"saslPassword" help:"the user's password"`
}

// Validate names the key that cannot work.
func (c KafkaConfig) Validate() error {
	if len(c.Brokers) == 0 {
		return errors.New("brokers: expected at least one host:port")
	}
	for key, n := range map[string]int{"queuePartitions": c.QueuePartitions, "ordersPartitions": c.OrdersPartitions} {
		if n < 1 || n > eventlog.MaxPartitions {
			return fmt.Errorf("%s: expected 1 to %d", key, eventlog.MaxPartitions)
		}
	}
	return c.client("check").Validate()
}

func (c KafkaConfig) client(id string) eventlog.Config {
	return eventlog.Config{
		Brokers: c.Brokers, ClientID: "fairgate-" + id, Replication: c.Replication, MinInSync: c.MinInSync,
		TLS: c.TLS, TLSCAFile: c.TLSCAFile, SASLMechanism: c.SASLMechanism, SASLUser: c.SASLUser,
		SASLPassword: c.SASLPassword.Reveal(),
	}
}

// RedisConfig says where Redis is. It holds no fact: limits, caches and the task queues' carriers.
type RedisConfig struct {
	URL conf.Secret `yaml:"url" help:"redis://user:password@host:port/0; further nodes of a cluster follow as host:port, separated by commas; needed"`
}

// Validate names the key that cannot work.
func (c RedisConfig) Validate() error {
	if _, err := c.options(); err != nil {
		return errors.New("url: expected redis://user:password@host:port/0")
	}
	return nil
}

// KeysConfig is what signs places in line, admission passes and receipts: one key a line, "ID NOTBEFORE NOTAFTER SECRET", as
// `fairgate keys new` writes them. Every edge has the same.
type KeysConfig struct {
	Places   conf.Secret `yaml:"places" help:"keys of challenges and queue tokens, one a line, made by: fairgate keys new; needed"`
	Passes   conf.Secret `yaml:"passes" help:"keys of admission passes, one a line, made by: fairgate keys new; needed"`
	Invites  conf.Secret `yaml:"invites" help:"keys of invite codes, one a line, made by: fairgate keys new. Without any, no room gives out invite codes. A key stays as long as its codes are good"`
	Receipts conf.Secret `yaml:"receipts" help:"keys of receipts, one a line, made by: fairgate keys new; needed. A key stays as long as receipts that it signed shall be given out and checked"`
}

// Validate names the key that cannot work; it never repeats a secret.
func (c KeysConfig) Validate() error {
	var errs []error
	for _, ring := range []struct {
		key  string
		keys conf.Secret
	}{{"places", c.Places}, {"passes", c.Passes}, {"receipts", c.Receipts}} {
		keys, err := token.ParseKeys(ring.keys.Reveal())
		if err == nil {
			_, err = token.NewRing(keys)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ring.key, err))
		}
	}
	if _, err := c.invites(); err != nil {
		errs = append(errs, fmt.Errorf("invites: %w", errors.Unwrap(err)))
	}
	return errors.Join(errs...)
}

// ProcessorConfig tunes the engines.
type ProcessorConfig struct {
	Engine           engine.Tuning `yaml:"engine"`
	Batch            int           `yaml:"batch" default:"1000" help:"most outcomes that the projector writes in one transaction"`
	QueuePartitions  []int32       `yaml:"queuePartitions" help:"partitions of the log of waiting rooms that this processor runs and may lead; all if empty"`
	OrdersPartitions []int32       `yaml:"ordersPartitions" help:"partitions of the log of orders that this processor runs and may lead; all if empty"`
}

// Validate names the key that cannot work.
func (c ProcessorConfig) Validate() error {
	if c.Batch < 0 || c.Batch > 10_000 {
		return errors.New("batch: expected 1 to 10000")
	}
	return nil
}

// chosen refuses partitions that the log has not, and those named twice.
func chosen(key string, list []int32, all int) error {
	for i, p := range list {
		if p < 0 || int(p) >= all {
			return fmt.Errorf("%s: partition %d is none of the log's, which are 0 to %d", key, p, all-1)
		}
		if slices.Contains(list[:i], p) {
			return fmt.Errorf("%s: partition %d is named twice", key, p)
		}
	}
	return nil
}

// startTimeout bounds waiting for the database and the brokers at start; an orchestrator restarts what gives up.
const startTimeout = 60 * time.Second
