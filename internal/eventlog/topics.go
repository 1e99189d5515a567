package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/segmentio/kafka-go"
)

// Topic is what a topic must be like.
type Topic struct {
	Name       string
	Partitions int
	// RetentionForever keeps every record (retention.ms=-1). Otherwise
	// RetentionMS says for how many milliseconds; it must then be positive.
	RetentionForever bool
	RetentionMS      int64
}

const (
	keyRetentionMS    = "retention.ms"
	keyRetentionBytes = "retention.bytes"
	keyCleanup        = "cleanup.policy"
	keyMinInSync      = "min.insync.replicas"
	keyUnclean        = "unclean.leader.election.enable"
	keyMaxMessage     = "max.message.bytes"
	keyCompression    = "compression.type"
)

// leastMaxMessage is the least max.message.bytes: MaxBatchBytes and what the brokers add.
const leastMaxMessage = 1 << 20

// asked are the settings that are looked at.
func asked() []string {
	return []string{keyRetentionMS, keyRetentionBytes, keyCleanup, keyMinInSync, keyUnclean, keyMaxMessage, keyCompression}
}

func (t Topic) validate() error {
	switch {
	case t.Name == "":
		return errors.New("topic without a name")
	case t.Partitions < 1 || t.Partitions > MaxPartitions:
		return fmt.Errorf("topic %s: partitions must be 1 to %d, are %d", t.Name, MaxPartitions, t.Partitions)
	case !t.RetentionForever && t.RetentionMS <= 0:
		return fmt.Errorf("topic %s: neither kept forever nor for any time", t.Name)
	}
	return nil
}

func (t Topic) retention() string {
	if t.RetentionForever {
		return "-1"
	}
	return strconv.FormatInt(t.RetentionMS, 10)
}

// EnsureTopics creates what is missing, waits until every partition has a
// leader, and refuses with ErrTopicMismatch topics that exist but would lose
// records or cannot be trusted; the error names each topic and key, what was
// found and what to set. It changes nothing that exists. Until ctx ends it
// waits for brokers that are not up yet.
func (l *Log) EnsureTopics(ctx context.Context, topics []Topic) error {
	names := make([]string, len(topics))
	for i, t := range topics {
		if err := t.validate(); err != nil {
			return err
		}
		names[i] = t.Name
	}
	err := l.retry(ctx, func(ctx context.Context) error {
		missing, err := l.missing(ctx, topics)
		if err != nil || len(missing) == 0 {
			return err
		}
		return l.create(ctx, missing)
	})
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	var found map[string]kafka.Topic
	err = l.retry(ctx, func(ctx context.Context) error {
		found, err = l.ready(ctx, topics)
		return err
	})
	if err != nil {
		return fmt.Errorf("waiting for topics: %w", err)
	}
	var settings map[string]map[string]string
	err = l.retry(ctx, func(ctx context.Context) error {
		settings, err = l.settings(ctx, names)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading topic settings: %w", err)
	}
	var errs []error
	for _, t := range topics {
		errs = append(errs, l.check(t, found[t.Name], settings[t.Name])...)
	}
	return errors.Join(errs...)
}

func (l *Log) metadata(ctx context.Context, topics []Topic) (map[string]kafka.Topic, error) {
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	res, err := l.client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return nil, err
	}
	found := make(map[string]kafka.Topic, len(res.Topics))
	for _, t := range res.Topics {
		found[t.Name] = t
	}
	return found, nil
}

func (l *Log) missing(ctx context.Context, topics []Topic) ([]Topic, error) {
	found, err := l.metadata(ctx, topics)
	if err != nil {
		return nil, err
	}
	var missing []Topic
	for _, t := range topics {
		if f, ok := found[t.Name]; !ok || errors.Is(f.Error, kafka.UnknownTopicOrPartition) {
			missing = append(missing, t)
		}
	}
	return missing, nil
}

// uncompressed has brokers unpack what foreign producers send, and refuse what
// is then too large: a small batch that grows without bound when it is read
// would stop every reader. Ours never compress.
const uncompressed = "uncompressed"

// create makes the topics. A broker that does not know the switch for unclean
// elections, or compression, has none; they are then created without.
func (l *Log) create(ctx context.Context, topics []Topic) error {
	err := l.createWith(ctx, topics, true)
	if errors.Is(err, kafka.InvalidConfiguration) {
		return l.createWith(ctx, topics, false)
	}
	return err
}

func (l *Log) createWith(ctx context.Context, topics []Topic, whole bool) error {
	req := &kafka.CreateTopicsRequest{}
	for _, t := range topics {
		entries := []kafka.ConfigEntry{
			{ConfigName: keyRetentionMS, ConfigValue: t.retention()},
			{ConfigName: keyRetentionBytes, ConfigValue: "-1"},
			{ConfigName: keyCleanup, ConfigValue: "delete"},
			{ConfigName: keyMinInSync, ConfigValue: strconv.Itoa(l.cfg.MinInSync)},
		}
		if whole {
			entries = append(entries, kafka.ConfigEntry{ConfigName: keyUnclean, ConfigValue: "false"},
				kafka.ConfigEntry{ConfigName: keyCompression, ConfigValue: uncompressed})
		}
		req.Topics = append(req.Topics, kafka.TopicConfig{
			Topic: t.Name, NumPartitions: t.Partitions, ReplicationFactor: l.cfg.Replication, ConfigEntries: entries,
		})
	}
	res, err := l.client.CreateTopics(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range topics {
		// Another process may have been quicker.
		err := res.Errors[t.Name]
		if errors.Is(err, kafka.InvalidReplicationFactor) {
			// Not wrapped: brokers that are starting up will be there in a moment, so it is tried again.
			return fmt.Errorf("topic %s needs %d brokers and fewer are up: start them, or configure kafka.replication (%v)",
				t.Name, l.cfg.Replication, err)
		}
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("topic %s with %d partitions and replication factor %d: %w",
				t.Name, t.Partitions, l.cfg.Replication, err)
		}
	}
	return nil
}

// ready returns the topics once each partition of each has a leader that
// knows of it: a broker may hear that it leads after all others do.
func (l *Log) ready(ctx context.Context, topics []Topic) (map[string]kafka.Topic, error) {
	found, err := l.metadata(ctx, topics)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		f := found[t.Name]
		if f.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, f.Error)
		}
		if len(f.Partitions) == 0 {
			return nil, fmt.Errorf("topic %s: %w", t.Name, kafka.UnknownTopicOrPartition)
		}
		for _, p := range f.Partitions {
			if p.Error != nil && !errors.Is(p.Error, kafka.ReplicaNotAvailable) {
				return nil, fmt.Errorf("topic %s partition %d: %w", t.Name, p.ID, p.Error)
			}
		}
	}
	return found, l.led(ctx, found)
}

// led asks the leader of every partition for its end.
func (l *Log) led(ctx context.Context, topics map[string]kafka.Topic) error {
	req := &kafka.ListOffsetsRequest{Topics: make(map[string][]kafka.OffsetRequest, len(topics))}
	for name, t := range topics {
		for _, p := range t.Partitions {
			req.Topics[name] = append(req.Topics[name], kafka.LastOffsetOf(p.ID))
		}
	}
	res, err := l.client.ListOffsets(ctx, req)
	if err != nil {
		return err
	}
	for name, partitions := range res.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return fmt.Errorf("topic %s partition %d: %w", name, p.Partition, p.Error)
			}
		}
	}
	return nil
}

func (l *Log) settings(ctx context.Context, names []string) (map[string]map[string]string, error) {
	req := &kafka.DescribeConfigsRequest{}
	for _, n := range names {
		req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: n,
			ConfigNames: asked(),
		})
	}
	res, err := l.client.DescribeConfigs(ctx, req)
	if err != nil {
		return nil, err
	}
	all := make(map[string]map[string]string, len(names))
	for _, r := range res.Resources {
		if r.Error != nil {
			return nil, fmt.Errorf("topic %s: %w", r.ResourceName, r.Error)
		}
		all[r.ResourceName] = make(map[string]string, len(r.ConfigEntries))
		for _, e := range r.ConfigEntries {
			all[r.ResourceName][e.ConfigName] = e.ConfigValue
		}
	}
	return all, nil
}

// check compares what is with what must be. A key that the broker does not
// report is taken for its default, which is safe for each of them but
// retention.ms and the cleanup policy; those every broker reports.
func (l *Log) check(want Topic, found kafka.Topic, settings map[string]string) []error {
	var errs []error
	refuse := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: topic %s: %s", ErrTopicMismatch, want.Name, fmt.Sprintf(format, args...)))
	}
	if n := len(found.Partitions); n != want.Partitions {
		refuse("partitions are %d, configured are %d: configure %d, or use another topic "+
			"(a partition is part of an event's or room's identity)", n, want.Partitions, n)
	}
	replicas := fewestReplicas(found)
	if replicas < l.cfg.Replication {
		refuse("replication factor is %d: set it to %d (kafka-reassign-partitions.sh --bootstrap-server %s --execute, with a file "+
			"that names %d brokers for each partition), or configure kafka.replication=%d if a broker that dies may take records with it",
			replicas, l.cfg.Replication, l.cfg.Brokers[0], l.cfg.Replication, replicas)
	}
	for _, s := range l.demands(want, replicas) {
		is, reported := settings[s.key]
		if !reported && s.defaultIsSafe || s.fits(is) {
			continue
		}
		refuse("%s is %s: set it to %s (kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s "+
			"--add-config %s=%s)%s", s.key, is, s.set, l.cfg.Brokers[0], want.Name, s.key, s.set, s.otherwise)
	}
	return errs
}

// demand is what one setting must be.
type demand struct {
	key, set      string
	defaultIsSafe bool
	fits          func(is string) bool
	otherwise     string // what else can be done
}

func (l *Log) demands(want Topic, replicas int) []demand {
	exactly := func(key, value string) demand {
		return demand{key: key, set: value, fits: func(is string) bool { return is == value }}
	}
	safely := func(d demand) demand {
		d.defaultIsSafe = true
		return d
	}
	least := strconv.Itoa(l.cfg.MinInSync)
	return []demand{
		exactly(keyRetentionMS, want.retention()),
		exactly(keyCleanup, "delete"),
		safely(exactly(keyRetentionBytes, "-1")),
		safely(exactly(keyUnclean, "false")),
		safely(exactly(keyCompression, uncompressed)),
		{
			key: keyMinInSync, set: least, defaultIsSafe: true,
			// As many as there are replicas would let any broker that dies stop the log.
			fits: func(is string) bool {
				n := atoi(is)
				return n == l.cfg.MinInSync || n > l.cfg.MinInSync && n < replicas
			},
			otherwise: ", or configure kafka.minInSync",
		},
		{
			key: keyMaxMessage, set: strconv.Itoa(leastMaxMessage), defaultIsSafe: true,
			fits: func(is string) bool { return atoi(is) >= leastMaxMessage },
		},
	}
}

func fewestReplicas(t kafka.Topic) int {
	fewest := 0
	for i, p := range t.Partitions {
		if i == 0 || len(p.Replicas) < fewest {
			fewest = len(p.Replicas)
		}
	}
	return fewest
}

// atoi reads a broker's number; nonsense is 0 and so refused.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
