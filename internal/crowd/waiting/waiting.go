// Package waiting is people who have a place in line and wait: half a million of them in one process. Each has a token, a
// rhythm of its own in which it looks at the queue document, as the waiting page does, and checks what the document says of
// its place against what this package knows to be true. It may open connections to the address it is given; of ours it
// imports only internal/wire.
//
// People cost bytes here, not goroutines: a wheel of time says who looks when, and a few connections carry the looks, as a
// CDN's do. If it cannot keep up, Report.Late says so.
package waiting

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"fairgate/internal/wire"
)

// Limits.
const (
	// MaxFans is the most people in one line.
	MaxFans = 2_000_000
	// maxDocuments is how many versions of the document are told apart.
	maxDocuments = 1 << 13
	maxConns     = 1024
	// firstLooks is how many people a second open the page at the beginning.
	firstLooks = 12_500
	// catchUp is how long passes between the caller's look at the servers and the measuring.
	catchUp = 2 * time.Second
	// longest bounds what is measured, in µs.
	longest = 10 * 60 * 1_000_000
)

// Place is a place in line with what its owner holds.
type Place struct {
	Key    wire.OrderKey
	Token  [wire.TokenSize]byte
	Secret [16]byte // of the visitor
}

// Config says how people wait. Zero values stand for the defaults in brackets.
type Config struct {
	URL      string // where browsers reach the CDN: http://host:port
	Room     int64
	Watching int           // people in a thousand who look at the page; the others have it in the background or the phone locked [100]
	For      time.Duration // how long is measured, after everybody has looked once [20s]
	Conns    int           // connections to the CDN [64]
	Seed     uint64
}

func (c Config) withDefaults() Config {
	if c.Watching == 0 {
		c.Watching = 100
	}
	if c.For == 0 {
		c.For = 20 * time.Second
	}
	if c.Conns == 0 {
		c.Conns = 64
	}
	return c
}

func (c Config) validate(places []Place) error {
	switch {
	case c.Room <= 0:
		return errors.New("room: expected a room's number")
	case c.Watching < 0 || c.Watching > 1000:
		return errors.New("watching: expected 1 to 1000 people in a thousand")
	case c.For < time.Second || c.For > time.Hour:
		return errors.New("for: expected 1s to 1h")
	case c.Conns < 1 || c.Conns > maxConns:
		return fmt.Errorf("conns: expected 1 to %d", maxConns)
	case len(places) == 0 || len(places) > MaxFans:
		return fmt.Errorf("expected 1 to %d places", MaxFans)
	}
	for i := 1; i < len(places); i++ {
		if !places[i-1].Key.Less(places[i].Key) {
			return fmt.Errorf("place %d does not come after the one before it", i)
		}
	}
	return nil
}

// Report is what people saw while it was measured; times in milliseconds.
type Report struct {
	Fans        int     `json:"fans"`
	Seconds     float64 `json:"seconds"` // measured
	Looks       int64   `json:"looks"`   // at the document
	PerSecond   float64 `json:"looksPerSecond"`
	NotModified int64   `json:"notModified"` // answered 304
	Cached      int64   `json:"cached"`      // answered by the CDN from its memory
	Failed      int64   `json:"failed"`      // no document came
	Documents   int     `json:"documents"`   // versions seen
	Checked     int64   `json:"checked"`     // positions held against the truth, from the very first look on
	Unknown     int64   `json:"unknown"`     // looks at a document made before the place was in the log
	Wrong       int64   `json:"wrong"`       // positions that were not true
	Older       int64   `json:"older"`       // documents older than one its reader had seen
	Invited     int64   `json:"invited"`     // people who found that their turn has come
	FirstWrong  string  `json:"firstWrong,omitempty"`
	Late        Times   `json:"late"`        // from when somebody wanted to look until it was asked: the crowd's own weakness
	Answer      Times   `json:"answer"`      // from asked to answered
	Age         Times   `json:"age"`         // of the document when it was read
	BytesPerFan float64 `json:"bytesPerFan"` // of this process's heap at the end, all included
}

// Times are percentiles in milliseconds.
type Times struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func timesOf(h *hdrhistogram.Histogram) Times {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Times{ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(99)), ms(h.Max())}
}

// fan is somebody who waits, beside the Place.
type fan struct {
	seen    int32 // version of the document seen last, -1 for none
	watches bool  // looks at the page
	known   bool  // has looked at least once
}

// crowd is one Run.
type crowd struct {
	config Config
	places []Place
	fans   []fan
	docs   documents
	wheel  *wheel
	rnd    *rand.Rand
	ready  []look
	jobs   chan look
	done   chan looked
	began  time.Time
}

// look is somebody who wants to look, since when, on the crowd's clock.
type look struct {
	fan int32
	due time.Duration
}

// looked is that they have, and when they will again; never if next is negative.
type looked struct {
	fan  int32
	next time.Duration
}

// Run has everybody look once, and then measures for Config.For how they wait. measuring is called shortly before that
// begins and when it has ended, so that the caller can look at the servers then. places must be in ascending order.
func Run(ctx context.Context, c Config, places []Place, measuring func(begins bool) error) (Report, error) {
	c = c.withDefaults()
	if err := c.validate(places); err != nil {
		return Report{}, fmt.Errorf("waiting: %w", err)
	}
	w := &crowd{
		config: c, places: places, fans: make([]fan, len(places)), wheel: newWheel(len(places)), rnd: rand.New(rand.NewPCG(c.Seed, 1)),
		jobs: make(chan look), done: make(chan looked, c.Conns), began: time.Now(),
	}
	w.docs = newDocuments(places)
	first := max(time.Duration(len(places))*time.Second/firstLooks, time.Second)
	for i := range w.fans {
		w.fans[i] = fan{seen: -1, watches: w.rnd.IntN(1000) < c.Watching}
		w.wheel.add(int32(i), time.Duration(w.rnd.Int64N(int64(first))))
	}
	return w.run(ctx, first, measuring)
}

func (w *crowd) run(ctx context.Context, first time.Duration, measuring func(bool) error) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := make([]*worker, w.config.Conns)
	var wg sync.WaitGroup
	for i := range workers {
		workers[i] = newWorker(w, uint64(i))
		wg.Go(func() { workers[i].run(ctx) })
	}
	defer wg.Wait()
	defer cancel()
	// Everybody looks once. Whoever is late to it still comes before anything is measured.
	if err := w.turn(ctx, func(now time.Duration) bool { return now >= first && w.wheel.left(first) == 0 && len(w.ready) == 0 }); err != nil {
		return Report{}, err
	}
	if err := measuring(true); err != nil {
		return Report{}, err
	}
	// Nobody looked while the caller looked at the servers; what piled up is not measured.
	resume := time.Since(w.began) + catchUp
	if err := w.turn(ctx, func(now time.Duration) bool { return now >= resume }); err != nil {
		return Report{}, err
	}
	total := newTally()
	for _, k := range workers {
		total.first(k.swap())
	}
	start := time.Since(w.began)
	if err := w.turn(ctx, func(now time.Duration) bool { return now >= start+w.config.For }); err != nil {
		return Report{}, err
	}
	seconds := (time.Since(w.began) - start).Seconds()
	for _, k := range workers {
		total.add(k.swap())
	}
	if err := measuring(false); err != nil {
		return Report{}, err
	}
	r := total.report()
	r.Fans, r.Seconds, r.PerSecond = len(w.places), seconds, float64(r.Looks)/seconds
	r.Documents, r.FirstWrong, r.BytesPerFan = w.docs.count(), w.docs.wrong(), float64(heap())/float64(len(w.places))
	return r, nil
}

// turn runs the wheel until done says so.
func (w *crowd) turn(ctx context.Context, done func(now time.Duration) bool) error {
	tick := time.NewTicker(slot / 2)
	defer tick.Stop()
	for {
		var jobs chan look
		var next look
		if len(w.ready) > 0 {
			jobs, next = w.jobs, w.ready[0]
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case jobs <- next:
			w.ready = w.ready[1:]
		case d := <-w.done:
			if d.next >= 0 {
				w.wheel.add(d.fan, d.next)
			}
		case <-tick.C:
			now := time.Since(w.began)
			w.ready = w.wheel.advance(now, w.ready)
			if done(now) {
				return nil
			}
		}
	}
}

// heap is what is in use on the heap, in bytes.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
