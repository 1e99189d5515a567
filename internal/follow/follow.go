// Package follow reads an outcomes topic so that every outcome is seen exactly once, in order, and proven to be the one
// that was decided. It may read the event log and keeps nothing: whoever acts on outcomes stores the Position with the
// effect, in the same transaction.
package follow

import (
	"context"
	"fmt"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// DefaultMaxBatch is how many outcomes one call gets at most when Config does not say.
const DefaultMaxBatch = 5_000

// Config says what to read and from where. From is the reader's own knowledge: a Position it stored, or the zero value
// for the very beginning.
type Config struct {
	Topic     string
	Partition int32
	From      Position
	TopicID   [16]byte      // identity that the topic must have; zero for whichever it has
	MaxBatch  int           // 0 means DefaultMaxBatch
	MaxWait   time.Duration // longest wait of one fetch; 0 means eventlog's default
	// Anywhere starts with whatever lies at From.Offset instead of the outcome that From names, and cannot tell gaps; it is
	// for readers that store nothing.
	Anywhere bool
}

// Deps are what Run reads from.
type Deps struct {
	Events *eventlog.Log
}

// Run calls do with the outcomes from cfg.From on, each exactly once and in order, until ctx ends (ctx's error), do fails
// (its error, wrapped), or the topic cannot be trusted any more: ErrGap, ErrHash, ErrUnreadable, or eventlog's final
// errors. next is the Position after the batch. The bytes are do's to keep, the slice is not.
//
// Duplicates (batches that a leader sent twice) are dropped here. A reader whose store was rolled back returns an error
// of its own from do and calls Run again from what the store now knows.
func Run(ctx context.Context, cfg Config, deps Deps, do func(ctx context.Context, batch []wire.Outcome, next Position) error) error {
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = DefaultMaxBatch
	}
	cursor := NewCursor(cfg.From)
	if cfg.Anywhere {
		cursor = Anywhere(cfg.From.Offset)
	}
	tail := deps.Events.Tail(cfg.Topic, cfg.Partition, cfg.From.Offset,
		eventlog.TailConfig{MaxWait: cfg.MaxWait, TopicID: cfg.TopicID})
	batch := make([]wire.Outcome, 0, cfg.MaxBatch)
	for {
		records, err := tail.Fetch(ctx)
		if err != nil {
			return fmt.Errorf("following %s/%d: %w", cfg.Topic, cfg.Partition, err)
		}
		for len(records) > 0 {
			n := min(len(records), cfg.MaxBatch)
			if batch, err = cursor.take(batch[:0], records[:n]); err != nil {
				return fmt.Errorf("following %s/%d: %w", cfg.Topic, cfg.Partition, err)
			}
			records = records[n:]
			if len(batch) == 0 {
				continue
			}
			if err := do(ctx, batch, cursor.Position()); err != nil {
				return fmt.Errorf("following %s/%d: %w", cfg.Topic, cfg.Partition, err)
			}
		}
	}
}
