package crowd

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"fairgate/internal/wire"
)

// Bounds of the pause between two looks at the queue document, whatever it says.
const (
	leastPoll = 500 * time.Millisecond
	mostPoll  = 30 * time.Second
)

// seenDocument is a queue document and how long its room has been saying the same.
type seenDocument struct {
	wire.QueueDocument
	since time.Time // when the room's state was first seen as it is
	etag  string
	next  chan struct{} // closed when there is a newer one (shared documents)
}

// documents is where fans find the room's newest document.
type documents interface {
	run(ctx context.Context)
	// after returns a document other than last (nil for any); nil when ctx ends first.
	after(ctx context.Context, f *fan, last *seenDocument) *seenDocument
}

func newDocuments(c *crowd) documents {
	if c.cfg.SharedDocument {
		return &sharedDocument{crowd: c, newest: &seenDocument{next: make(chan struct{})}}
	}
	return ownDocument{}
}

// sharedDocument is one poller for everybody.
type sharedDocument struct {
	crowd  *crowd
	mu     sync.Mutex
	newest *seenDocument // empty, with Version 0, before the first
}

// run polls until ctx ends.
func (s *sharedDocument) run(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(s.crowd.cfg.Seed, ^uint64(0)))
	var last *seenDocument
	for ctx.Err() == nil {
		d := s.crowd.fetch(ctx, rnd, "", last)
		if d == nil {
			return
		}
		if d != last {
			d.next = make(chan struct{})
			s.mu.Lock()
			close(s.newest.next)
			s.newest = d
			s.mu.Unlock()
			last = d
		}
		pause(ctx, pollPause(rnd, d))
	}
}

func (s *sharedDocument) after(ctx context.Context, _ *fan, last *seenDocument) *seenDocument {
	for {
		s.mu.Lock()
		d := s.newest
		s.mu.Unlock()
		if d.Version != 0 && d != last {
			return d
		}
		select {
		case <-d.next:
		case <-ctx.Done():
			return nil
		}
	}
}

// ownDocument is each fan polling for itself; nothing runs beside.
type ownDocument struct{}

func (ownDocument) run(context.Context) {}

func (ownDocument) after(ctx context.Context, f *fan, last *seenDocument) *seenDocument {
	if last != nil && !pause(ctx, pollPause(f.rnd, last)) {
		return nil
	}
	for {
		d := f.crowd.fetch(ctx, f.rnd, f.from, f.seen)
		if d == nil || d != last {
			f.seen = d
			return d
		}
		if !pause(ctx, pollPause(f.rnd, d)) {
			return nil
		}
	}
}

// pollPause is how long to wait before the next look: what the document says, and up to a quarter more.
func pollPause(rnd *rand.Rand, d *seenDocument) time.Duration {
	p := min(max(time.Duration(d.NextPoll)*time.Second, leastPoll), mostPoll)
	return p + time.Duration(rnd.Int64N(int64(p)/4+1))
}

// fetch gets the room's document: last itself if nothing changed or an older one was served, nil when ctx ends.
func (c *crowd) fetch(ctx context.Context, rnd *rand.Rand, from string, last *seenDocument) *seenDocument {
	k := call{method: http.MethodGet, path: "/rooms/" + strconv.FormatInt(c.cfg.Room, 10) + "/queue", from: from}
	if last != nil {
		k.with = []header{{"If-None-Match", last.etag}}
	}
	for {
		r, err := c.shop.again(ctx, rnd, &k)
		if err != nil {
			return nil
		}
		if r.status == http.StatusNotModified && last != nil {
			return last
		}
		d := new(seenDocument)
		if r.status == http.StatusOK && json.Unmarshal(r.body, &d.QueueDocument) == nil && d.Version == wire.Version {
			if last != nil && older(d, last) {
				c.tally.saw("olderDocument")
				return last
			}
			d.since, d.etag = c.now(), r.etag
			if last != nil && last.State == d.State {
				d.since = last.since
			}
			return d
		}
		c.tally.saw("strangeDocument")
		if !pause(ctx, jitter(rnd, mostBackoff)) {
			return nil
		}
	}
}

func older(d, than *seenDocument) bool {
	return d.Epoch < than.Epoch || d.Epoch == than.Epoch && d.Offset < than.Offset
}

// lane finds a lane in a document, nil if it has none of that name.
func (d *seenDocument) lane(name string) *wire.LaneDocument {
	for i := range d.Lanes {
		if d.Lanes[i].Lane == name {
			return &d.Lanes[i]
		}
	}
	return nil
}
