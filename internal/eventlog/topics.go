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
)

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

// create makes the topics. A broker that does not know the switch for unclean
// elections has none; it is then created without.
func (l *Log) create(ctx context.Context, topics []Topic) error {
	err := l.createWith(ctx, topics, true)
	if errors.Is(err, kafka.InvalidConfiguration) {
		return l.createWith(ctx, topics, false)
	}
	return err
}

func (l *Log) createWith(ctx context.Context, topics []Topic, unclean bool) error {
	req := &kafka.CreateTopicsRequest{}
	for _, t := range topics {
		entries := []kafka.ConfigEntry{
			{ConfigName: keyRetentionMS, ConfigValue: t.retention()},
			{ConfigName: keyRetentionBytes, ConfigValue: "-1"},
			{ConfigName: keyCleanup, ConfigValue: "delete"},
			{ConfigName: keyMinInSync, ConfigValue: strconv.Itoa(l.cfg.MinInSync)},
		}
		if unclean {
			entries = append(entries, kafka.ConfigEntry{ConfigName: keyUnclean, ConfigValue: "false"})
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
		if err := res.Errors[t.Name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("topic %s with %d partitions and replication factor %d: %w",
				t.Name, t.Partitions, l.cfg.Replication, err)
		}
	}
	return nil
}

// ready returns the topics once each partition of each has a leader.
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
	return found, nil
}

func (l *Log) settings(ctx context.Context, names []string) (map[string]map[string]string, error) {
	req := &kafka.DescribeConfigsRequest{}
	for _, n := range names {
		req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: n,
			ConfigNames: []string{keyRetentionMS, keyRetentionBytes, keyCleanup, keyMinInSync, keyUnclean, keyMaxMessage},
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
	bad := func(key string, is any, set string) {
		errs = append(errs, fmt.Errorf("%w: topic %s: %s is %v: set it to %s",
			ErrTopicMismatch, want.Name, key, is, set))
	}
	if n := len(found.Partitions); n != want.Partitions {
		errs = append(errs, fmt.Errorf("%w: topic %s: partitions are %d, configured are %d: configure %d, or use another topic "+
			"(a partition is part of an event's or room's identity)", ErrTopicMismatch, want.Name, n, want.Partitions, n))
	}
	for _, p := range found.Partitions {
		if len(p.Replicas) < l.cfg.Replication {
			bad("replication factor", len(p.Replicas), strconv.Itoa(l.cfg.Replication)+" (by reassigning its partitions)")
			break
		}
	}
	for _, exact := range [][2]string{{keyRetentionMS, want.retention()}, {keyCleanup, "delete"}} {
		if is := settings[exact[0]]; is != exact[1] {
			bad(exact[0], is, exact[1])
		}
	}
	if is, ok := settings[keyRetentionBytes]; ok && is != "-1" {
		bad(keyRetentionBytes, is, "-1")
	}
	if is, ok := settings[keyUnclean]; ok && is != "false" {
		bad(keyUnclean, is, "false")
	}
	if is, ok := settings[keyMinInSync]; ok && atoi(is) < l.cfg.MinInSync {
		bad(keyMinInSync, is, strconv.Itoa(l.cfg.MinInSync))
	}
	if is, ok := settings[keyMaxMessage]; ok && atoi(is) < 1<<20 {
		bad(keyMaxMessage, is, strconv.Itoa(1<<20)+" or more")
	}
	return errs
}

// atoi reads a broker's number; nonsense is 0 and so refused.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
