// Package answer brings an outcome back to whoever sent the command: it tails an outcomes topic from its end and hands
// each command's first outcome to the one waiting for it. It may read the event log; it stores nothing, so that an
// answer that does not come in time is asked for elsewhere.
package answer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/wire"
)

const (
	// DefaultMaxWaiters is how many callers may wait when Config does not say.
	DefaultMaxWaiters = 65_536
	// fetchWait is how long the broker may hold a fetch that has nothing to answer.
	fetchWait = 200 * time.Millisecond
)

var (
	// ErrNoAnswer: the command was produced, and what became of it is not known yet. It wraps the context's error.
	ErrNoAnswer = errors.New("no answer in time")
	// ErrFull: too many callers wait already; nothing was produced.
	ErrFull = errors.New("too many callers wait for answers")
	// ErrNotReady: the desk does not read every partition yet; nothing was produced.
	ErrNotReady = errors.New("outcomes are not being read yet")
)

// Config says which topic to read.
type Config struct {
	Topic      string
	Partitions int
	MaxWaiters int // 0 means DefaultMaxWaiters
}

// Deps are what a Desk uses. Metrics may be nil.
type Deps struct {
	Events  *eventlog.Log
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Desk is where callers wait for outcomes. All methods are safe for concurrent use once Run was called.
type Desk struct {
	cfg     Config
	deps    Deps
	listen  []func(partition int32, o wire.Outcome)
	reading atomic.Int32 // partitions that are being read
	metrics metrics

	mu      sync.Mutex
	waiters map[wire.ID]*waiter
	waiting int
}

// waiter is one caller; next is another one that waits for the same command.
type waiter struct {
	answer   chan wire.Outcome // with room for the answer, and for one that stands for none
	gaveUp   atomic.Bool       // the latter has been sent
	notAfter int64             // of the caller's own record; 0: any outcome will do
	next     *waiter
}

// New returns a Desk that does not read yet.
func New(cfg Config, deps Deps) *Desk {
	if cfg.MaxWaiters <= 0 {
		cfg.MaxWaiters = DefaultMaxWaiters
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Desk{cfg: cfg, deps: deps, metrics: newMetrics(deps.Metrics, cfg.Topic), waiters: make(map[wire.ID]*waiter)}
}

// Listen adds a listener that is called for every outcome, in order within a partition, from one goroutine per
// partition; o's bytes are valid during the call. It is for before Run.
func (d *Desk) Listen(each func(partition int32, o wire.Outcome)) { d.listen = append(d.listen, each) }

// Ready says whether every partition is being read: only then does an answer surely find its caller.
func (d *Desk) Ready(context.Context) error {
	if n := int(d.reading.Load()); n < d.cfg.Partitions {
		return fmt.Errorf("%w: %d of %d partitions of %s", ErrNotReady, n, d.cfg.Partitions, d.cfg.Topic)
	}
	return nil
}

// Run reads every partition from its end on until ctx ends, which is nil, or until one cannot be read any more.
func (d *Desk) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, d.cfg.Partitions)
	var wg sync.WaitGroup
	for p := range errs {
		wg.Go(func() {
			defer cancel()
			errs[p] = d.read(ctx, int32(p))
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (d *Desk) read(ctx context.Context, partition int32) error {
	_, end, err := d.deps.Events.Bounds(ctx, d.cfg.Topic, partition)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("reading answers: %w", err)
	}
	// From here on nothing is missed: what is produced from now on lies at or behind this end.
	d.reading.Add(1)
	defer d.reading.Add(-1)
	err = follow.Run(ctx, follow.Config{
		Topic: d.cfg.Topic, Partition: partition, From: follow.Position{Offset: end}, Anywhere: true, MaxWait: fetchWait,
	}, follow.Deps{Events: d.deps.Events}, func(_ context.Context, batch []wire.Outcome, _ follow.Position) error {
		d.dispatch(partition, batch)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("reading answers: %w", err)
	}
	return nil
}

func (d *Desk) dispatch(partition int32, batch []wire.Outcome) {
	for i := range batch {
		o := &batch[i]
		if o.Index == 0 && o.Command != (wire.ID{}) {
			d.hand(o)
		}
		for _, each := range d.listen {
			each(partition, *o)
		}
	}
}

// hand gives the outcome to everybody who waits for its command and is answered by it.
func (d *Desk) hand(o *wire.Outcome) {
	d.mu.Lock()
	var answered, stay *waiter
	for w := d.waiters[o.Command]; w != nil; {
		next := w.next
		if Answers(o, w.notAfter) {
			w.next, answered = answered, w
			d.waiting--
		} else {
			w.next, stay = stay, w
		}
		w = next
	}
	if stay != nil {
		d.waiters[o.Command] = stay
	} else {
		delete(d.waiters, o.Command)
	}
	d.mu.Unlock()
	for w := answered; w != nil; w = w.next {
		own := *o
		own.Body = append([]byte(nil), o.Body...)
		w.answer <- own
	}
}

// Ask waits for the first outcome of a command that produce appends to the log. It registers the caller before it calls
// produce, so that no answer is missed; the outcome's bytes are the caller's own. Errors: ErrFull and ErrNotReady
// (nothing was produced), produce's own, or ErrNoAnswer when ctx ends first (the command may still be decided).
func (d *Desk) Ask(ctx context.Context, produce func(ctx context.Context) error, command wire.ID) (wire.Outcome, error) {
	return d.AskUntil(ctx, produce, command, 0)
}

// AskUntil is Ask for a command that may be sent more than once under one id, each time with another not-after: that
// another copy came too late does not answer the caller of this one.
func (d *Desk) AskUntil(ctx context.Context, produce func(ctx context.Context) error, command wire.ID, notAfter int64) (wire.Outcome, error) {
	if err := d.Ready(ctx); err != nil {
		return wire.Outcome{}, err
	}
	w, err := d.register(command, notAfter)
	if err != nil {
		return wire.Outcome{}, err
	}
	started := time.Now()
	if err := produce(ctx); err != nil {
		d.leave(command, w)
		// The answer to an append of unknown fate may be here already.
		select {
		case o := <-w.answer:
			return o, nil
		default:
			return wire.Outcome{}, err
		}
	}
	select {
	case o := <-w.answer:
		d.metrics.wait.Observe(time.Since(started).Seconds())
		return o, nil
	case <-ctx.Done():
		if d.leave(command, w); len(w.answer) > 0 {
			return <-w.answer, nil
		}
		d.metrics.late.Inc()
		return wire.Outcome{}, fmt.Errorf("%w: %w", ErrNoAnswer, ctx.Err())
	}
}

// Patience is how long AskSoon waits: for the log to have the command, and from then on for its outcome.
type Patience struct{ Log, Outcome time.Duration }

// AskSoon is Ask for a produce that returns at once: unless it returns an error it calls done, once, with what became of the
// command in the log, and must not be kept waiting by it. So the caller is woken once, by the outcome, and not by the log
// too; only patience bounds the wait, no context. acked says that the log has the command, whatever err says. Errors: those of
// Ask, done's, or ErrNoAnswer when the patience ends first; produce may still be at it then.
func (d *Desk) AskSoon(p Patience, produce func(done func(int64, error)) error, command wire.ID) (o wire.Outcome, acked bool, err error) {
	if err := d.Ready(context.Background()); err != nil {
		return wire.Outcome{}, false, err
	}
	w, err := d.register(command, 0)
	if err != nil {
		return wire.Outcome{}, false, err
	}
	started := time.Now()
	a := &appending{patience: time.AfterFunc(p.Log, w.giveUp), then: p.Outcome}
	defer a.patience.Stop()
	if err := produce(a.done); err != nil {
		d.leave(command, w)
		return wire.Outcome{}, false, err
	}
	if o := <-w.answer; o.Kind != noAnswer {
		d.metrics.wait.Observe(time.Since(started).Seconds())
		return o, true, nil
	}
	d.leave(command, w)
	failed := a.failed.Load()
	for len(w.answer) > 0 { // it may have come just now, or an append of unknown fate has landed
		if o := <-w.answer; o.Kind != noAnswer {
			return o, true, nil
		}
	}
	if failed != nil {
		return wire.Outcome{}, false, *failed
	}
	d.metrics.late.Inc()
	return wire.Outcome{}, a.acked.Load(), fmt.Errorf("%w: %w", ErrNoAnswer, context.DeadlineExceeded)
}

// noAnswer is the kind of what stands for no outcome.
const noAnswer wire.Kind = 0

// giveUp wakes a waiter that has waited long enough, once: there is room for no more.
func (w *waiter) giveUp() {
	if w.gaveUp.CompareAndSwap(false, true) {
		w.answer <- wire.Outcome{Kind: noAnswer}
	}
}

// appending is a command on its way into the log.
type appending struct {
	patience *time.Timer
	then     time.Duration
	acked    atomic.Bool
	failed   atomic.Pointer[error]
}

// done notes what became of it. What failed needs no patience any more.
func (a *appending) done(_ int64, err error) {
	if err != nil {
		a.failed.Store(&err)
		a.patience.Reset(0)
		return
	}
	a.acked.Store(true)
	a.patience.Reset(a.then)
}

func (d *Desk) register(command wire.ID, notAfter int64) (*waiter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting >= d.cfg.MaxWaiters {
		return nil, ErrFull
	}
	w := &waiter{answer: make(chan wire.Outcome, 2), notAfter: notAfter, next: d.waiters[command]}
	d.waiters[command] = w
	d.waiting++
	return w, nil
}

// leave removes a waiter that was not answered.
func (d *Desk) leave(command wire.ID, gone *waiter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var before *waiter
	for w := d.waiters[command]; w != nil; before, w = w, w.next {
		if w != gone {
			continue
		}
		d.waiting--
		switch {
		case before != nil:
			before.next = w.next
		case w.next != nil:
			d.waiters[command] = w.next
		default:
			delete(d.waiters, command)
		}
		return
	}
}
