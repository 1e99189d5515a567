package booking

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"fairgate/internal/store"
)

const (
	// maxEvents is how many events the catalogue keeps.
	maxEvents = 4_096
	// eventFresh is how long an event is taken as it was read.
	eventFresh = time.Second
	// missFresh is how long an id that led nowhere is not looked up again.
	missFresh = time.Second
)

// catalogue keeps events near, so that a sale does not read the same row for every booking. What a command needs of an
// event (its partition and room) never changes, so an old copy serves while Postgres is away.
type catalogue struct {
	db     *store.DB
	now    func() time.Time
	flight singleflight.Group
	mu     sync.Mutex
	kept   map[int64]*keptEvent
}

type keptEvent struct {
	event store.Event
	found bool
	read  time.Time
}

func newCatalogue(db *store.DB, now func() time.Time) *catalogue {
	return &catalogue{db: db, now: now, kept: make(map[int64]*keptEvent)}
}

// event returns an event that the log knows or will know; store.ErrNotFound if there is none. Its slices are shared.
func (c *catalogue) event(ctx context.Context, id int64) (store.Event, error) {
	c.mu.Lock()
	k := c.kept[id]
	c.mu.Unlock()
	if k != nil {
		age := c.now().Sub(k.read)
		if k.found && age < eventFresh {
			return k.event, nil
		}
		if !k.found && age < missFresh {
			return store.Event{}, fmt.Errorf("event %d: %w", id, store.ErrNotFound)
		}
	}
	v, err, _ := c.flight.Do(fmt.Sprint(id), func() (any, error) { return c.db.Event(ctx, id) })
	switch {
	case err == nil:
		e := v.(store.Event)
		c.keep(id, &keptEvent{event: e, found: true, read: c.now()})
		return e, nil
	case errors.Is(err, store.ErrNotFound):
		c.keep(id, &keptEvent{read: c.now()})
		return store.Event{}, err
	case k != nil && k.found:
		return k.event, nil
	}
	return store.Event{}, err
}

func (c *catalogue) keep(id int64, k *keptEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.kept[id]; !there && len(c.kept) >= maxEvents {
		// Any other one: the map's order is as good a choice as an unknown future deserves.
		for other := range c.kept {
			delete(c.kept, other)
			break
		}
	}
	c.kept[id] = k
}
