package waitingroom

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/run"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// MaxRooms is the most rooms that an edge knows.
const MaxRooms = 10_000

// Room is what an edge needs to know about a room beside its document.
type Room struct {
	ID        int64
	Partition int32  // of the log `queue`
	Name      string // for people
	Next      string // where a pass leads: a path or an absolute URL
}

// Directory lists the rooms of the installation, at most MaxRooms. It is asked every few seconds, never for a request.
type Directory interface {
	Rooms(ctx context.Context) ([]Room, error)
}

// Standing is one place, exactly.
type Standing struct {
	Key     wire.OrderKey
	Lane    wire.Lane
	Ahead   uint32 // places before it in its lane that are not yet invited
	Invited bool
	State   string // where it is in its life: waiting, invited, asked, inside, …
}

// ErrNoPlace: the room has no such place.
var ErrNoPlace = errors.New("no such place")

// Places answers where exactly a place stands; whoever runs the queue machine knows. ErrNoPlace, or any other error when
// it cannot be told now.
type Places interface {
	Place(ctx context.Context, room int64, token wire.ID) (Standing, error)
}

// rooms is the newest list; a directory that cannot be read leaves the old one.
type rooms struct {
	byID atomic.Pointer[map[int64]Room]
}

func (r *rooms) loaded() bool { return r.byID.Load() != nil }

func (r *rooms) find(id int64) (Room, bool) {
	list := r.byID.Load()
	if list == nil {
		return Room{}, false
	}
	room, ok := (*list)[id]
	return room, ok
}

// run reads the directory until ctx ends.
func (r *rooms) run(ctx context.Context, from Directory, every time.Duration, log *slog.Logger) {
	const firstTries = 500 * time.Millisecond
	for !r.loaded() && ctx.Err() == nil {
		if err := r.read(ctx, from, every); err != nil {
			log.Warn("rooms not read", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(firstTries):
			}
		}
	}
	run.Interval(ctx, every, every/4, func(ctx context.Context) {
		if err := r.read(ctx, from, every); err != nil && ctx.Err() == nil {
			log.Warn("rooms not read", "error", err)
		}
	})
}

func (r *rooms) read(ctx context.Context, from Directory, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	list, err := from.Rooms(ctx)
	if err != nil {
		return err
	}
	list = list[:min(len(list), MaxRooms)]
	byID := make(map[int64]Room, len(list))
	for _, room := range list {
		byID[room.ID] = room
	}
	r.byID.Store(&byID)
	return nil
}

// room is the room that a request's path names.
func (e *Edge) room(ctx *fasthttp.RequestCtx) (Room, error) {
	id, err := web.PathInt64(ctx, "room")
	if err != nil {
		return Room{}, err
	}
	room, ok := e.rooms.find(id)
	switch {
	case ok:
		if site, protected := e.sites[id]; protected {
			room.Next = site.text
		}
		return room, nil
	case !e.rooms.loaded():
		return Room{}, web.Unavailable(time.Second)
	}
	return Room{}, problem(fasthttp.StatusNotFound, "unknown-room", "No such room", "There is no waiting room with this number.")
}
