package processor

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

const (
	// payWithin is in how many seconds everybody inside who pays must be able to begin: a hold lasts for 300, and paying
	// takes its time.
	payWithin = 240
	// easyPermille is how much of that may be used before rooms are told to let fewer people in.
	easyPermille = 750
	// headroomStep is by how much, in permille, the headroom must have changed for rooms to be told.
	headroomStep = 25
	// payMemory is of how many holds the share that is paid is measured; at first all of them count as paid.
	payMemory = 500
)

// payRate is the share of holds that their owners pay. It is pure.
type payRate struct{ paid, unpaid int64 }

// permille is the share; 1,000 before anything is known.
func (p payRate) permille() int64 {
	// As if as many had paid before as are still to be seen.
	seen := min(p.paid+p.unpaid, payMemory)
	known := p.paid * 1000 / max(1, p.paid+p.unpaid)
	return (known*seen + 1000*(payMemory-seen)) / payMemory
}

// saw notes how a hold ended. What is old counts half as much.
func (p *payRate) saw(paid bool) {
	if p.paid+p.unpaid >= 2*payMemory {
		p.paid, p.unpaid = p.paid/2, p.unpaid/2
	}
	if paid {
		p.paid++
	} else {
		p.unpaid++
	}
}

// headroom is how much of their rate, in permille, the rooms of a merchant account may use: all of it while the people in
// them and those who hold and have not begun to pay could all begin within payWithin, as far as they pay at all, and
// nothing once they could not. perSecond is how many payments the provider lets us begin; 0 is not known.
func headroom(people, perSecond int64, rate payRate) int32 {
	if perSecond <= 0 {
		return -1
	}
	payers, most := people*rate.permille()/1000, perSecond*payWithin
	used := payers * 1000 / most
	return int32(max(0, min(1000, (1000-used)*1000/(1000-easyPermille))))
}

// Crowds knows how many people are inside each waiting room, from the rooms' own documents. It is safe for concurrent use.
type Crowds struct {
	mu     sync.Mutex
	byRoom map[int64]crowdOf
}

type crowdOf struct {
	inside int64
	offset int64
}

// maxCrowds bounds of how many rooms it knows.
const maxCrowds = 10_000

// NewCrowds returns one that knows nothing.
func NewCrowds() *Crowds { return &Crowds{byRoom: map[int64]crowdOf{}} }

// Inside is how many people are in a room; 0 while nobody has said.
func (c *Crowds) Inside(room int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byRoom[room].inside
}

// take reads a queue document; what cannot be read is dropped, the next one comes within a second.
func (c *Crowds) take(value []byte) {
	var doc struct {
		Version int    `json:"version"`
		Room    int64  `json:"room"`
		Offset  int64  `json:"offset"`
		State   string `json:"state"`
		Inside  uint32 `json:"inside"`
	}
	if json.Unmarshal(value, &doc) != nil || doc.Version != wire.Version || doc.Room <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, known := c.byRoom[doc.Room]
	if known && doc.Offset < old.offset || !known && len(c.byRoom) >= maxCrowds {
		return
	}
	c.byRoom[doc.Room] = crowdOf{int64(doc.Inside), doc.Offset}
}

// Follow reads one partition of the topic of queue documents until ctx ends. While it cannot be read, what was last said
// counts.
func (c *Crowds) Follow(ctx context.Context, log *eventlog.Log, topic string, partition int32) error {
	for ctx.Err() == nil {
		// What is read again after trouble is at most what a second of documents is.
		if err := c.tail(ctx, log, topic, partition); ctx.Err() == nil && err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(backoffLast):
			}
		}
	}
	return nil
}

// crowdBacklog is how many documents back the reading begins, so that quiet rooms are known.
const crowdBacklog = 1_000

func (c *Crowds) tail(ctx context.Context, log *eventlog.Log, topic string, partition int32) error {
	first, next, err := log.Bounds(ctx, topic, partition)
	if err != nil {
		return fmt.Errorf("reading the documents of %s/%d: %w", topic, partition, err)
	}
	tail := log.Tail(topic, partition, max(first, next-crowdBacklog), eventlog.TailConfig{})
	for {
		records, err := tail.Fetch(ctx)
		if err != nil {
			return fmt.Errorf("reading the documents of %s/%d: %w", topic, partition, err)
		}
		for _, r := range records {
			c.take(r.Value)
		}
	}
}
