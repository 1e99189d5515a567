package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"fairgate/internal/estimate"
	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

const (
	// documentBacklog is how many documents of a partition are read back at the start, so that quiet rooms are known.
	documentBacklog = 1_000
	// maxDocument is the longest document that is taken, in bytes.
	maxDocument = 256 << 10
	// maxRooms is of how many rooms documents are kept.
	maxRooms = 10_000
	// documentRetry is the pause after reading a partition failed.
	documentRetry = time.Second
)

// documents holds the newest queue document of every room.
type documents struct {
	mu     sync.RWMutex
	byRoom map[int64]wire.QueueDocument
	before map[int64]earlier
	read   []atomic.Bool    // per partition: read to its end once
	waits  *estimate.Record // what documents promised, against what came
}

// paceSpan is over how much log time people a minute are measured, in µs.
const paceSpan = 10_000_000

// earlier is what a document said at least paceSpan ago, if there was one, and the one from which the next pace is measured.
type earlier struct{ from, next counted }

// counted are the counts of a document.
type counted struct {
	at           int64
	joined, gone uint32
}

func countedOf(d *wire.QueueDocument) counted { return counted{d.At, d.Joined, d.GivenUp + d.Missed} }

// pace is how many people a minute joined and went away, lately; 0 while unknown.
func (d *documents) pace(doc *wire.QueueDocument) (joining, leaving int64) {
	d.mu.RLock()
	from := d.before[doc.Room].from
	d.mu.RUnlock()
	span := doc.At - from.at
	if from.at == 0 || span < paceSpan/2 {
		return 0, 0
	}
	const minute = 60_000_000
	now := countedOf(doc)
	return int64(now.joined-from.joined) * minute / span, int64(now.gone-from.gone) * minute / span
}

func newDocuments(partitions int) *documents {
	return &documents{byRoom: make(map[int64]wire.QueueDocument), before: make(map[int64]earlier),
		read: make([]atomic.Bool, partitions), waits: estimate.New(maxRooms)}
}

// newest is a room's document; false if none was seen.
func (d *documents) newest(room int64) (wire.QueueDocument, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	doc, ok := d.byRoom[room]
	return doc, ok
}

// take keeps a document unless it is older than what we have; one that cannot be read is dropped, the next one comes
// within a second. Tables of ranks are the fans'.
func (d *documents) take(value []byte) bool {
	var doc wire.QueueDocument
	if len(value) > maxDocument || json.Unmarshal(value, &doc) != nil || doc.Version != wire.Version || doc.Room <= 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old, known := d.byRoom[doc.Room]
	if known && (doc.Offset < old.Offset || doc.Offset == old.Offset && doc.Epoch <= old.Epoch) || !known && len(d.byRoom) >= maxRooms {
		return false
	}
	d.waits.Observe(&doc)
	for i := range doc.Lanes {
		doc.Lanes[i].Table = nil
	}
	d.byRoom[doc.Room] = doc
	if b := d.before[doc.Room]; doc.At-b.next.at >= paceSpan {
		d.before[doc.Room] = earlier{from: b.next, next: countedOf(&doc)}
	}
	return true
}

// follow reads a partition until ctx ends. What was read stays when reading fails; trouble is told of it.
func (d *documents) follow(ctx context.Context, log *eventlog.Log, topic string, partition int32, trouble func(error)) {
	for {
		err := d.tail(ctx, log, topic, partition)
		if ctx.Err() != nil {
			return
		}
		d.read[partition].Store(false)
		trouble(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(documentRetry):
		}
	}
}

func (d *documents) tail(ctx context.Context, log *eventlog.Log, topic string, partition int32) error {
	first, next, err := log.Bounds(ctx, topic, partition)
	if err != nil {
		return err
	}
	tail := log.Tail(topic, partition, max(first, next-documentBacklog), eventlog.TailConfig{})
	for {
		records, err := tail.Fetch(ctx)
		if err != nil {
			return err
		}
		for _, r := range records {
			d.take(r.Value)
		}
		if tail.Trouble() == nil && tail.Next() >= tail.End() {
			d.read[partition].Store(true)
		}
	}
}

// ready says whether every partition was read to its end.
func (d *documents) ready() error {
	for p := range d.read {
		if !d.read[p].Load() {
			return fmt.Errorf("queue documents of partition %d are not being read yet", p)
		}
	}
	return nil
}
