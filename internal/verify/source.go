package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairgate/internal/eventlog"
)

// Source is where logs are read: brokers, or the folder of a dump. All are safe for concurrent use.
type Source interface {
	// TopicID is the topic's identity; zero if the source does not know it.
	TopicID(ctx context.Context, topic string) ([16]byte, error)
	// Bounds are the first offset that a partition has and the next that it will get.
	Bounds(ctx context.Context, topic string, partition int32) (first, next int64, err error)
	// Open begins to read at an offset.
	Open(topic string, partition int32, from int64) Records
	// Grows says whether the log may have more than the source has: then what is missing was lost, and not only not copied.
	Grows() bool
}

// Records reads one partition in order. It belongs to one goroutine, which closes it.
type Records interface {
	// Fetch returns the next records, none if there are none at the moment.
	Fetch(ctx context.Context) ([]eventlog.Record, error)
	Close()
}

// ErrUnreachable: the brokers did not answer in time.
var ErrUnreachable = errors.New("the log cannot be reached")

// patience is how long brokers may not answer.
const patience = 10 * time.Second

// Brokers reads a running cluster. It never waits longer than patience for an answer.
func Brokers(l *eventlog.Log) Source { return brokers{l} }

type brokers struct{ log *eventlog.Log }

func (b brokers) Grows() bool { return true }

func (b brokers) TopicID(ctx context.Context, topic string) ([16]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id, err := b.log.TopicID(ctx, topic)
	return id, unreachable(err)
}

func (b brokers) Bounds(ctx context.Context, topic string, partition int32) (first, next int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	first, next, err = b.log.Bounds(ctx, topic, partition)
	return first, next, unreachable(err)
}

// unreachable marks what did not come in time.
func unreachable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

func (b brokers) Open(topic string, partition int32, from int64) Records {
	return &brokerRecords{Tail: b.log.Tail(topic, partition, from, eventlog.TailConfig{}), heard: time.Now()}
}

type brokerRecords struct {
	*eventlog.Tail
	heard time.Time // when the brokers answered last
}

func (r *brokerRecords) Close() {}

// Fetch gives up when the brokers have not answered for a while; the Tail itself would try for ever.
func (r *brokerRecords) Fetch(ctx context.Context) ([]eventlog.Record, error) {
	records, err := r.Tail.Fetch(ctx)
	switch trouble := r.Trouble(); {
	case trouble == nil:
		r.heard = time.Now()
	case err == nil && time.Since(r.heard) > patience:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, trouble)
	}
	return records, err
}
