// Package waitingroom is the edge: it holds the crowd so that the shop behind never feels it. It may touch the log
// `queue` (append), the outcomes and documents made from it (read), and the memory of its process; no store is asked on
// behalf of a fan.
//
// A fan's way: arrive (a challenge with the signed arrival instant), join (the solution becomes a queue token and a
// record in the log), wait (one document for everybody), enter (an ask through the log becomes an admission pass).
// Edges share nothing but keys: any of them can serve any step.
package waitingroom

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/page"
	"fairgate/waitingroom/token"
)

// Config is the edge's configuration. Zero values stand for the defaults.
type Config struct {
	Edge        int           `yaml:"edge" default:"0" help:"number of this edge in the log, different for each; 0 draws one"`
	Secure      bool          `yaml:"secure" default:"false" help:"the public side is HTTPS: cookies are marked Secure"`
	MaxBound    time.Duration `yaml:"maxClockError" default:"250ms" help:"with a larger possible clock error the edge is not ready"`
	JoinWait    time.Duration `yaml:"joinWait" default:"2s" help:"how long a join may take to reach the log before the page is asked to send it again"`
	OutcomeWait time.Duration `yaml:"outcomeWait" default:"500ms" help:"how long a recorded join waits for its exact place"`
	AskWait     time.Duration `yaml:"askWait" default:"3s" help:"how long entering waits for its answer"`
	NotAfter    time.Duration `yaml:"notAfter" default:"10s" help:"a request that reaches the log later has no effect"`
	TimedWait   time.Duration `yaml:"timedWait" default:"5s" help:"what a place without JavaScript costs: waiting"`
	Refresh     time.Duration `yaml:"roomRefresh" default:"5s" help:"how often the list of rooms is read"`
	Sites       []Site        `yaml:"sites" help:"parts of other sites that rooms protect; a room that is named here admits there, and needs no event"`
	Brands      string        `yaml:"brands" help:"folder with the looks of rooms, read again as they change: default.yaml, ROOM.yaml and logos; empty for our own looks"`
}

func (c Config) withDefaults() Config {
	for field, value := range map[*time.Duration]time.Duration{
		&c.MaxBound: 250 * time.Millisecond, &c.JoinWait: 2 * time.Second, &c.OutcomeWait: 500 * time.Millisecond,
		&c.AskWait: 3 * time.Second, &c.NotAfter: 10 * time.Second, &c.TimedWait: 5 * time.Second, &c.Refresh: 5 * time.Second,
	} {
		if *field == 0 {
			*field = value
		}
	}
	return c
}

// Validate refuses what is out of range, by key.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	if c.Edge < 0 || int64(c.Edge) > 1<<32-1 {
		errs = append(errs, fmt.Errorf("edge: expected 0 to %d, got %d", int64(1<<32-1), c.Edge))
	}
	for _, v := range []struct {
		key         string
		d           time.Duration
		least, most time.Duration
	}{
		{"maxClockError", c.MaxBound, time.Millisecond, 10 * time.Second},
		{"joinWait", c.JoinWait, 10 * time.Millisecond, 10 * time.Second},
		{"outcomeWait", c.OutcomeWait, time.Millisecond, 10 * time.Second},
		{"askWait", c.AskWait, 10 * time.Millisecond, 10 * time.Second},
		{"notAfter", c.NotAfter, time.Second, time.Minute},
		{"timedWait", c.TimedWait, time.Millisecond, time.Minute},
		{"roomRefresh", c.Refresh, 100 * time.Millisecond, 5 * time.Minute},
	} {
		if v.d < v.least || v.d > v.most {
			errs = append(errs, fmt.Errorf("%s: expected %v to %v, got %v", v.key, v.least, v.most, v.d))
		}
	}
	if _, err := sitesOf(c.Sites); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Appender appends to the log `queue`; *eventlog.Producer is one.
type Appender interface {
	// Append returns when the log has the record.
	Append(ctx context.Context, partition int32, value []byte, notAfter time.Time) (int64, error)
	// AppendAsync returns at once; unless that is an error it calls done, once, when the log has the record or never will.
	AppendAsync(partition int32, value []byte, notAfter time.Time, done func(offset int64, err error)) error
}

// DocumentLog is where queue documents are read from: a topic whose partition is that of the room in the log `queue`.
type DocumentLog struct {
	Events     *eventlog.Log
	Topic      string // wire.TopicQueueDocuments, with the deployment's prefix
	Partitions int
}

// Deps is what an Edge is handed. Invites, Looks, Places, Random, SolverJS, Log and Metrics may be nil.
type Deps struct {
	Keys      *token.Keys
	Passes    *Passes
	Invites   *token.Invites            // nil: no invite codes
	RoomTime  func() (now, bound int64) // µs
	Guard     Guard
	Queue     Appender
	Answers   *answer.Desk // of the queue's outcomes; New adds a listener, so it must not run yet
	Documents DocumentLog
	Rooms     Directory
	Looks     Looks     // of rooms; nil for those of the folder alone
	Places    Places    // exact places; without it they are computed from the document
	Random    io.Reader // nil for crypto/rand
	SolverJS  []byte    // the puzzle's worker script; without it the page offers the timed lane only
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

func (d Deps) check() error {
	for name, missing := range map[string]bool{
		"Keys": d.Keys == nil, "Passes": d.Passes == nil, "RoomTime": d.RoomTime == nil, "Guard": d.Guard == nil,
		"Queue": d.Queue == nil, "Answers": d.Answers == nil, "Documents": d.Documents.Events == nil, "Rooms": d.Rooms == nil,
	} {
		if missing {
			return fmt.Errorf("waiting room: Deps.%s is missing", name)
		}
	}
	return nil
}

// Edge serves the waiting room. It is safe for concurrent use.
type Edge struct {
	config  Config
	deps    Deps
	id      uint32
	stamped atomic.Int64 // the newest instant given out
	rooms   rooms
	sites   map[int64]site
	docs    documents
	heard   heard
	page    *page.Page
	firsts  firsts
	metrics metrics
	// wardrobe is New's, and then keepDressed's.
	wardrobe wardrobe
}

// New returns an edge that serves once Run reads what it serves.
func New(c Config, d Deps) (*Edge, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("waiting room: %w", err)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	e := &Edge{config: c.withDefaults(), deps: d, id: uint32(c.Edge)}
	var b [4]byte
	for e.id == 0 {
		if _, err := io.ReadFull(d.Random, b[:]); err != nil {
			return nil, fmt.Errorf("waiting room: drawing an edge number: %w", err)
		}
		e.id = binary.LittleEndian.Uint32(b[:])
	}
	var err error
	if e.sites, err = sitesOf(c.Sites); err != nil {
		return nil, fmt.Errorf("waiting room: %w", err)
	}
	if e.page, err = page.New(d.SolverJS); err != nil {
		return nil, fmt.Errorf("waiting room: %w", err)
	}
	if err := e.dress(); err != nil {
		return nil, fmt.Errorf("waiting room: brands: %w", err)
	}
	e.heard = newHeard()
	e.docs = newDocuments(d.Documents.Partitions)
	if e.metrics, err = newMetrics(d.Metrics, e); err != nil {
		return nil, fmt.Errorf("waiting room: %w", err)
	}
	d.Answers.Listen(e.heard.listen)
	return e, nil
}

// Routes registers every path of the waiting room.
func (e *Edge) Routes(r *web.Router) {
	r.Handle(http.MethodGet, "/rooms/{room}", e.getRoom)
	r.Handle(http.MethodGet, "/rooms/{room}/queue", e.getQueue)
	r.Handle(http.MethodGet, "/rooms/{room}/place", e.getPlace)
	r.Handle(http.MethodPost, "/rooms/{room}/arrive", e.back(e.postArrive))
	r.Handle(http.MethodPost, "/rooms/{room}/join", e.back(e.postJoin))
	r.Handle(http.MethodPost, "/rooms/{room}/enter", e.back(e.postEnter))
	r.Handle(http.MethodPost, "/rooms/{room}/leave", e.back(e.postLeave))
	r.Handle(http.MethodGet, "/rooms/assets/{name}", e.getAsset)
	r.Handle(http.MethodGet, "/.well-known/jwks.json", e.getKeys)
}

// Run reads rooms and documents until ctx ends, which is nil, or until documents cannot be read any more.
func (e *Edge) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, e.deps.Documents.Partitions)
	var wg sync.WaitGroup
	for p := range errs {
		wg.Go(func() {
			defer cancel()
			errs[p] = e.docs.read(ctx, e.deps.Documents, int32(p))
		})
	}
	wg.Go(func() { e.rooms.run(ctx, e.deps.Rooms, e.config.Refresh, e.deps.Log) })
	wg.Go(func() { e.keepDressed(ctx) })
	wg.Wait()
	return errors.Join(errs...)
}

// Ready says whether this edge should get traffic: its clock is good, and it reads rooms, documents and answers.
func (e *Edge) Ready(ctx context.Context) error {
	if _, bound := e.deps.RoomTime(); time.Duration(bound)*time.Microsecond > e.config.MaxBound {
		return fmt.Errorf("room time may be wrong by %v, at most %v is allowed",
			time.Duration(bound)*time.Microsecond, e.config.MaxBound)
	}
	if !e.rooms.loaded() {
		return errors.New("the list of rooms was not read yet")
	}
	if err := e.docs.ready(time.Now()); err != nil {
		return err
	}
	return e.deps.Answers.Ready(ctx)
}

// now is room time in µs.
func (e *Edge) now() int64 {
	now, _ := e.deps.RoomTime()
	return now
}

// instant stamps an arrival: room time, strictly increasing on this edge.
func (e *Edge) instant() int64 {
	now := e.now()
	for {
		last := e.stamped.Load()
		next := max(now, last+1)
		if e.stamped.CompareAndSwap(last, next) {
			return next
		}
	}
}

// random128 draws a command id, a visitor's secret or the random part of a place.
func (e *Edge) random128() (wire.ID, error) {
	var id wire.ID
	if _, err := io.ReadFull(e.deps.Random, id[:]); err != nil {
		return id, fmt.Errorf("drawing random bits: %w", err)
	}
	return id, nil
}
