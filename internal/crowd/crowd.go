// Package crowd is the fans: it drives the public HTTP interface of a running sale as people with browsers would, and
// notes what it was promised. It may open connections to the addresses it is given and write one journal file; of ours
// it imports only internal/wire, for the queue document, so what it knows of the servers is what a stranger knows.
//
// A fan is one goroutine that lives a plan (see Mix) from arrival to the end of its booking. Whatever the servers do
// meanwhile (503, 429, dropped connections, a restart), it does what a good page does: it sends the same solution and the
// same Idempotency-Key again until it is answered. Every acknowledgement is on disk in the Journal before the fan acts
// on it, so that Audit can hold the logs and Postgres against it, however either side was killed.
package crowd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a crowd.
const (
	// MaxFans is the most fans of one Run, and the most at a time of one Keep.
	MaxFans = 1_000_000
	// MaxRate is the most arrivals a second.
	MaxRate = 100_000
	// maxArrivals is how often one fan opens the waiting room anew after losing a place for good.
	maxArrivals = 3
)

// Config is what a crowd does. Zero values stand for the defaults in brackets.
type Config struct {
	BaseURL string // of the public interface: http://host:port, without a path
	PayURL  string // of the Stripe simulator; needed where something costs money
	Room    int64  // waiting room; 0: the event has none, fans book at once
	Event   int64
	// ServiceKey lets the crowd act for its users where the API asks who they are (auth: jwt). A secret: never logged.
	ServiceKey string

	Fans int     // how many fans Run sends, or Keep keeps alive [200]
	Rate float64 // arrivals a second [Run: all within 20 s, at least 20/s; Keep: 2/s]
	Mix  Mix     // what they do [DefaultMix]
	Seed uint64  // of plans, addresses, users and pauses: the same seed is the same crowd, so a second one in a sale needs another

	Networks       Networks
	SharedDocument bool // one poller of the queue document for all fans, as behind a CDN; else each polls for itself
	Stop           Stop

	Deadline       time.Duration // of the whole Run; fans not done by then are Unfinished [10m; Keep: none]
	FanDeadline    time.Duration // of one fan, from its arrival [Deadline]
	RequestTimeout time.Duration // of one request [10s]
	Conns          int           // most connections to the API, and as many to PayURL [256]
	Solvers        int           // most puzzles solved at once: the fans' devices are ours [half the processors]
	ProgressEvery  time.Duration // between two calls of Deps.Progress [500ms]
}

// Stop says when a fan gives up without having been refused.
type Stop struct {
	SoldOut  time.Duration // the room's document has said soldOut for so long; an ended room ends the wait at once [3s]
	Waitlist time.Duration // on the waitlist for so long without an offer: the fan gives the place back [20s]
}

// Solve finds one sub-puzzle's solution: its nonce, as the interface wants it sent. It is called from many goroutines.
type Solve func(algorithm string, seed [32]byte, sub int, k, difficulty uint32) ([]byte, error)

// Deps is what a crowd is handed. All but Solve may be nil.
type Deps struct {
	Solve    Solve            // needed when there is a Room
	Journal  *Journal         // where acknowledgements go; nil: they are not kept
	Progress func(Progress)   // called by one goroutine; see Printer
	Log      *slog.Logger     // the end of each failed fan
	Now      func() time.Time // nil for time.Now
}

// Validate names the field that cannot work.
func (c Config) Validate() error {
	var errs []error
	for _, u := range []struct{ field, value string }{{"BaseURL", c.BaseURL}, {"PayURL", c.PayURL}} {
		if u.value == "" && u.field == "PayURL" {
			continue
		}
		if _, err := parseBase(u.value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.field, err))
		}
	}
	for _, n := range []struct {
		field string
		bad   bool
		want  string
	}{
		{"Room", c.Room < 0, "a room's id, or 0 for none"},
		{"Event", c.Event <= 0, "an event's id"},
		{"Fans", c.Fans < 0 || c.Fans > MaxFans, fmt.Sprintf("1 to %d", MaxFans)},
		{"Rate", !(c.Rate >= 0 && c.Rate <= MaxRate), fmt.Sprintf("up to %d a second", MaxRate)},
		{"Conns", c.Conns < 0, "a positive number"},
		{"Solvers", c.Solvers < 0, "a positive number"},
		{"Deadline", c.Deadline < 0 || c.FanDeadline < 0 || c.RequestTimeout < 0, "positive durations"},
		{"Stop", c.Stop.SoldOut < 0 || c.Stop.Waitlist < 0, "positive durations"},
	} {
		if n.bad {
			errs = append(errs, fmt.Errorf("%s: expected %s", n.field, n.want))
		}
	}
	errs = append(errs, c.Mix.Validate(), c.Networks.Validate())
	return errors.Join(errs...)
}

// parseBase reads scheme://host[:port].
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, errors.New("expected http://host:port")
	}
	return u, nil
}

func (c Config) withDefaults() Config {
	or(&c.Fans, 200)
	or(&c.RequestTimeout, 10*time.Second)
	or(&c.Conns, 256)
	or(&c.Solvers, max(1, runtime.GOMAXPROCS(0)/2))
	or(&c.ProgressEvery, 500*time.Millisecond)
	or(&c.Stop.SoldOut, 3*time.Second)
	or(&c.Stop.Waitlist, 20*time.Second)
	if c.Mix == (Mix{}) {
		c.Mix = DefaultMix()
	}
	return c
}

func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// crowd is one Run or Keep.
type crowd struct {
	cfg     Config
	deps    Deps
	shop    *caller
	pay     *caller // nil: nothing can be paid
	docs    documents
	solvers chan struct{} // a slot per puzzle in work
	tally   *tally
	log     *slog.Logger
	now     func() time.Time
	next    atomic.Int64 // index of the next fan
}

func newCrowd(cfg Config, deps Deps) (*crowd, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("crowd: %w", err)
	}
	if cfg.Room != 0 && deps.Solve == nil {
		return nil, errors.New("crowd: a waiting room needs Deps.Solve")
	}
	cfg = cfg.withDefaults()
	c := &crowd{cfg: cfg, deps: deps, solvers: make(chan struct{}, cfg.Solvers), tally: newTally(), log: deps.Log, now: deps.Now}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	var err error
	if c.shop, err = newCaller(cfg.BaseURL, cfg, c.tally); err != nil {
		return nil, fmt.Errorf("crowd: %w", err)
	}
	if cfg.PayURL != "" {
		if c.pay, err = newCaller(cfg.PayURL, cfg, c.tally); err != nil {
			return nil, fmt.Errorf("crowd: %w", err)
		}
	}
	return c, nil
}

// Run sends Config.Fans fans and returns when each has come to its end, the Deadline has passed or ctx has ended; those
// in between are counted Unfinished. The error is a Config that cannot work, or a Journal that cannot be written: then
// nobody acts on what cannot be noted.
func Run(ctx context.Context, cfg Config, deps Deps) (Report, error) {
	or(&cfg.Fans, 200)
	or(&cfg.Deadline, 10*time.Minute)
	or(&cfg.FanDeadline, cfg.Deadline)
	or(&cfg.Rate, max(20, float64(cfg.Fans)/20))
	c, err := newCrowd(cfg, deps)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Deadline)
	defer cancel()
	return c.run(ctx, int64(c.cfg.Fans), nil)
}

// Keep keeps up to Config.Fans fans alive, each that ends replaced by another at Config.Rate, until ctx ends. Fans cut
// off by the end are Unfinished in the report.
func Keep(ctx context.Context, cfg Config, deps Deps) (Report, error) {
	or(&cfg.Rate, 2)
	or(&cfg.FanDeadline, 30*time.Minute)
	c, err := newCrowd(cfg, deps)
	if err != nil {
		return Report{}, err
	}
	return c.run(ctx, -1, make(chan struct{}, c.cfg.Fans))
}

// run starts fans at the rate, total of them (-1: without end), and waits for all it started. alive, if not nil, bounds
// how many live at a time.
func (c *crowd) run(ctx context.Context, total int64, alive chan struct{}) (Report, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	began := c.now()
	var helpers, fans sync.WaitGroup
	if c.cfg.Room != 0 {
		c.docs = newDocuments(c)
		helpers.Go(func() { c.docs.run(ctx) })
	}
	over := make(chan struct{})
	helpers.Go(func() { c.report(over, began) })

	pace := newPacer(c.cfg.Rate)
	for total < 0 || c.next.Load() < total {
		if alive != nil && !enterSlot(ctx, alive) || !pace.wait(ctx) {
			break
		}
		f := c.newFan(c.next.Add(1) - 1)
		fans.Go(func() {
			if err := f.live(ctx); err != nil {
				stop(err)
			}
			if alive != nil {
				<-alive
			}
		})
	}
	fans.Wait()
	cause := context.Cause(ctx)
	stop(nil)
	close(over)
	helpers.Wait()
	c.shop.close()
	if c.pay != nil {
		c.pay.close()
	}
	r := c.tally.report(c.next.Load(), total, c.now().Sub(began))
	if errors.Is(cause, errJournal) {
		return r, cause
	}
	return r, nil
}

// report calls Deps.Progress until over is closed, and once more then.
func (c *crowd) report(over <-chan struct{}, began time.Time) {
	if c.deps.Progress == nil {
		return
	}
	t := time.NewTicker(c.cfg.ProgressEvery)
	defer t.Stop()
	for done := false; !done; {
		select {
		case <-over:
			done = true
		case <-t.C:
		}
		p := c.tally.progress(c.next.Load(), c.now().Sub(began))
		p.Done = done
		c.deps.Progress(p)
	}
}

func enterSlot(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// pacer spaces arrivals evenly. What was missed while the slots were full is not made up for.
type pacer struct {
	every time.Duration
	next  time.Time
}

func newPacer(rate float64) *pacer {
	return &pacer{every: time.Duration(float64(time.Second) / rate), next: time.Now()}
}

func (p *pacer) wait(ctx context.Context) bool {
	now := time.Now()
	if p.next.Before(now.Add(-time.Second)) {
		p.next = now
	}
	ok := pause(ctx, p.next.Sub(now))
	p.next = p.next.Add(p.every)
	return ok
}

// pause waits; false says that ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// address is where a fan seems to come from.
func (c *crowd) address(index int64) netip.Addr {
	return c.cfg.Networks.address(c.cfg.Seed, index, int64(c.cfg.Fans))
}
