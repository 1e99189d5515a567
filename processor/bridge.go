package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

const (
	// signalEvery is the least log time, in µs, between two signals to a room.
	signalEvery = int64(time.Second / time.Microsecond)
	// tellBatch is how many outcomes the bridge reads at once; it bounds what one batch makes it tell.
	tellBatch = eventlog.MaxBatchRecords / 2
	// tellTimeout bounds one try of an append.
	tellTimeout = 2 * time.Second
	// weighTimeout bounds asking Postgres who may pay.
	weighTimeout = time.Second
)

// BridgeConfig shapes a bridge; its zero value works.
type BridgeConfig struct {
	Topic      string `yaml:"-"` // of outcomes; default wire.TopicOutcomes
	QueueTopic string `yaml:"-"` // default wire.TopicQueue
	Partition  int32  `yaml:"-"` // of outcomes
	PerSecond  int64  `yaml:"-"` // payments that the provider lets us begin; 0 holds no room back
}

// Bridge tells the waiting rooms, through the log `queue`, what the stock behind them does: Left for each pass that was
// used up, and at most once a second of log time a Signal per room whose stock or price changed, or whose people are more
// than could pay in time (headroom).
//
// It appends first and stores its position afterwards. After a crash in between it tells the same again, under the same
// sequence numbers, and the queue machine drops what it knows.
type Bridge struct {
	cfg BridgeConfig
	follower
	at    store.Projected
	saved int64 // log time of the last stored position
	heard int64 // log time at which it was last asked who may pay
	rooms rooms
}

// NewBridge prepares the bridge of one partition of outcomes.
func NewBridge(cfg BridgeConfig, deps Deps) (*Bridge, error) {
	if cfg.Topic == "" {
		cfg.Topic = wire.TopicOutcomes
	}
	if cfg.QueueTopic == "" {
		cfg.QueueTopic = wire.TopicQueue
	}
	f, err := newFollower(store.ProjectionBridge, cfg.Partition, deps)
	if err != nil {
		return nil, err
	}
	return &Bridge{cfg: cfg, follower: f}, nil
}

// Run bridges until ctx ends (nil) or the outcomes cannot be trusted (follow.ErrGap, ErrHash). While Postgres or Kafka is
// away it waits.
func (b *Bridge) Run(ctx context.Context) error {
	for {
		from, err := b.begin(ctx)
		if err == nil {
			err = follow.Run(ctx, follow.Config{
				Topic: b.cfg.Topic, Partition: b.partition, From: positionOf(from), MaxBatch: tellBatch,
			}, follow.Deps{Events: b.deps.Events}, b.tell)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrProjectionMoved):
			if err := b.standBy(ctx, bridgeStill); err != nil && ctx.Err() == nil {
				return fmt.Errorf("bridging orders/%d: %w", b.partition, err)
			}
		default:
			return fmt.Errorf("bridging orders/%d: %w", b.partition, err)
		}
	}
}

// begin reads the stock as the bookings projection knows it, and where to follow from: the earlier of that projection's
// position and the bridge's own. From there on outcomes carry absolute numbers, so the state is right by the time the
// later of the two is reached.
func (b *Bridge) begin(ctx context.Context) (from store.Projected, err error) {
	err = b.retry(ctx, func() error {
		if b.at, err = b.deps.Store.Projected(ctx, b.name, b.partition); err != nil {
			return err
		}
		var types []store.RoomStock
		if types, from, err = b.deps.Store.RoomStocks(ctx, b.partition); err != nil {
			return err
		}
		b.rooms = newRooms(types)
		return nil
	})
	if b.at.NextSeq < from.NextSeq {
		from = b.at
	}
	return from, err
}

// tell folds a batch, appends what the rooms must know, and now and then stores the position.
func (b *Bridge) tell(ctx context.Context, batch []wire.Outcome, next follow.Position) error {
	var out letters
	now := b.at.LogTime
	for i := range batch {
		o := &batch[i]
		pass, err := b.rooms.fold(o)
		if err != nil {
			return err
		}
		if pass != nil && o.Seq >= b.at.NextSeq {
			out.left(pass, b.partition, o.Seq)
		}
		now = max(now, o.At)
	}
	if next.Seq <= b.at.NextSeq {
		return nil // still catching up with what was told before
	}
	if now-b.heard >= signalEvery {
		b.heard = now
		b.weigh(ctx)
	}
	b.rooms.signals(&out, b.partition, next.Seq-1, now)
	if err := b.send(ctx, &out); err != nil {
		return err
	}
	if now-b.saved < signalEvery {
		return nil
	}
	to := store.Projected{NextSeq: next.Seq, NextOffset: next.Offset, Hash: next.Hash, LogTime: now}
	err := b.retry(ctx, func() error {
		return b.deps.Store.Project(ctx, b.name, b.partition, b.at, to, func(context.Context, *store.Projection) error { return nil })
	})
	if err == nil {
		b.at, b.saved = to, now
		b.deps.Metrics.next.WithLabelValues(b.labels...).Set(float64(to.NextSeq))
	}
	return err
}

// weigh compares who may soon pay with what the provider takes, for every room. While Postgres is away rooms keep what
// they were told last.
func (b *Bridge) weigh(ctx context.Context) {
	if b.cfg.PerSecond <= 0 || b.deps.Crowds == nil || len(b.rooms.order) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, weighTimeout)
	defer cancel()
	loads, err := b.deps.Store.PayLoads(ctx)
	if err != nil {
		b.deps.Metrics.trouble.WithLabelValues(b.labels...).Inc()
		return
	}
	for _, l := range loads {
		people := l.Unpaid
		for _, id := range l.Rooms {
			people += b.deps.Crowds.Inside(id)
		}
		for _, id := range l.Rooms {
			b.rooms.press(id, headroom(people, b.cfg.PerSecond, b.rooms.rate))
		}
	}
}

// send appends each partition's records in one call, in order: the queue machine drops a sequence number below one that
// it has seen, so none may overtake. A call whose result is unknown is made again with the same records.
func (b *Bridge) send(ctx context.Context, out *letters) error {
	for _, to := range out.boxes {
		for values := range slices.Chunk(to.values, eventlog.MaxBatchRecords) {
			err := b.retry(ctx, func() error {
				ctx, cancel := context.WithTimeout(ctx, tellTimeout)
				defer cancel()
				_, err := b.deps.Events.AppendBatch(ctx, b.cfg.QueueTopic, to.partition, values)
				return err
			})
			if err != nil {
				return fmt.Errorf("telling the rooms of queue/%d: %w", to.partition, err)
			}
		}
	}
	b.deps.Metrics.told.WithLabelValues("left").Add(float64(out.lefts))
	b.deps.Metrics.told.WithLabelValues("signal").Add(float64(out.signals))
	return nil
}

// letters are the records of one batch, by partition of the log `queue`.
type letters struct {
	boxes   []box
	lefts   int
	signals int
}

type box struct {
	partition int32
	values    [][]byte
}

func (l *letters) add(partition int32, room int64, body wire.Body) {
	value := wire.AppendRecord(nil, wire.Record{Object: room}, body)
	for i := range l.boxes {
		if l.boxes[i].partition == partition {
			l.boxes[i].values = append(l.boxes[i].values, value)
			return
		}
	}
	l.boxes = append(l.boxes, box{partition, [][]byte{value}})
}

func (l *letters) left(u *usedPass, source int32, seq uint64) {
	l.lefts++
	l.add(u.partition, u.room, &wire.Left{Pass: u.pass, Source: source, SourceSeq: seq})
}
