package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/run"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

const (
	// applyAtOnce is how many records are applied before anything else gets its turn.
	applyAtOnce = 1_000
	// fetchesAhead is how many fetched batches wait to be applied.
	fetchesAhead = 2
	// eventsAhead is how many results wait to be heard.
	eventsAhead = 64
	// fetchWait is how long the broker may hold a fetch that has nothing to answer.
	fetchWait = 100 * time.Millisecond
	// gatherOwn is how many bytes of its own outcomes a leader reads back at once, if there are so many within fetchWait.
	gatherOwn = 512 << 10
	// leaseCall bounds one renewal or release.
	leaseCall = time.Second
)

// ErrStopped: the runner has ended.
var ErrStopped = errors.New("engine has stopped")

// Runner is one replica of one partition: a Replica, and the goroutines that do what it wants done. Everything about the
// Replica happens in one goroutine, the loop; the others tell it what happened by events.
type Runner struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	origin  time.Time // of monotonic time

	events  chan func() error // run by the loop
	stopped chan struct{}     // closed when Run has ended

	// What others may look at while the loop works.
	role    atomic.Int32
	offset  atomic.Int64
	seen    atomic.Uint64
	ready   atomic.Bool
	waiting atomic.Bool // for the lease, caught up
	led     atomic.Pointer[wire.ID]

	// The loop's alone.
	replica    *Replica
	work       context.Context // ends when the loop has
	tasks      sync.WaitGroup
	contention context.CancelFunc // of the contention under way, nil if there is none
	lease      Lease
	heir       wire.ID       // whom the lease is given to when it is released next
	handed     chan struct{} // closed when a hand-over has made us a standby
	leaseUse   sync.Mutex    // one call of lease at a time
	emission   context.CancelFunc
	batch      int   // number of the batch in flight
	end        int64 // offset after the last record known of the input
	crash      chan struct{}
	unfit      []error // why snapshots did not fit
}

// fetched is what a fetch brought.
type fetched struct {
	records []eventlog.Record
	heads   []wire.Hash // of the chain over the input after each record
	end     bool        // nothing lies behind them
	started int64       // monotonic µs
	until   int64       // offset after the last record that the broker had; -1 unknown
}

// New returns a Runner that does not run yet.
func New(cfg Config, deps Deps) *Runner {
	cfg.Tuning = cfg.Tuning.withDefaults()
	if cfg.Name == "" {
		cfg.Name = cfg.Input + "/" + strconv.Itoa(int(cfg.Partition))
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.ID == nil {
		deps.ID = randomID
	}
	return &Runner{
		cfg: cfg, deps: deps,
		log:     deps.Log.With(slog.String("engine", cfg.Name)),
		metrics: newMetrics(deps.Metrics, cfg.Input, cfg.Partition),
		origin:  time.Now(),
		events:  make(chan func() error, eventsAhead),
		stopped: make(chan struct{}),
		crash:   make(chan struct{}),
	}
}

// Leading says whether this replica leads.
func (r *Runner) Leading() bool { return Role(r.role.Load()) == Leading }

// Led is Replica.Led as of the loop's last turn.
func (r *Runner) Led() wire.ID {
	if led := r.led.Load(); led != nil {
		return *led
	}
	return wire.ID{}
}

// Ready says whether this replica has caught up with its log once and still runs: as a standby it could lead, as a
// leader it does.
func (r *Runner) Ready(context.Context) error {
	select {
	case <-r.stopped:
		return ErrStopped
	default:
	}
	if !r.ready.Load() {
		return fmt.Errorf("engine %s is still reading its log", r.cfg.Name)
	}
	return nil
}

// View lets look see the machine and its clock between two records, on a leader or a standby; it must neither change nor
// keep what it sees, and must be quick: the log waits. Errors: ctx's, or ErrStopped.
func (r *Runner) View(ctx context.Context, look func(m Machine, c sale.LogClock)) error {
	done := make(chan struct{})
	event := func() error {
		defer close(done)
		look(r.replica.core.machine, r.replica.core.Clock())
		return nil
	}
	select {
	case r.events <- event:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.stopped:
		return ErrStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.stopped:
		return ErrStopped
	}
}

// Run restores the newest snapshot, follows the log, and leads whenever it is elected, until ctx ends: then it emits
// what it has applied, gives the lease back so that a standby leads within milliseconds, and returns nil. An error is
// final and says what to do: a gap, a recreated topic, replicas that disagree. It may be called once.
func (r *Runner) Run(ctx context.Context) error {
	defer close(r.stopped)
	core, topic, err := r.boot(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("engine %s: starting: %w", r.cfg.Name, err)
	}
	r.replica = NewReplica(core, r.cfg.rules())
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	r.work = work
	input, back := make(chan fetched, fetchesAhead), make(chan fetched, fetchesAhead)
	events := r.deps.Events
	next, from := r.replica.ReadFrom()
	heads := headsFrom(core.Chain())
	r.tasks.Go(func() {
		tail := events.Tail(r.cfg.Input, r.cfg.Partition, next, eventlog.TailConfig{MaxWait: fetchWait, TopicID: topic})
		r.fetch(tail, input, nil, heads)
	})
	r.tasks.Go(func() {
		r.fetch(events.Tail(r.cfg.Outcomes, r.cfg.Partition, from, eventlog.TailConfig{MaxWait: fetchWait}), back, r.gather, nil)
	})
	r.tasks.Go(func() { r.keepSnapshots(topic) })
	err = r.loop(ctx, input, back)
	r.leave()
	end()
	r.tasks.Wait()
	r.hearLast()
	if err != nil {
		return fmt.Errorf("engine %s: %w", r.cfg.Name, r.explained(err))
	}
	return nil
}

// loop is the life of the replica. Channels that it does not want to hear now are nil.
func (r *Runner) loop(ctx context.Context, input, back chan fetched) error {
	every := time.NewTicker(r.cfg.Tuning.TickEvery / 8)
	defer every.Stop()
	stop, hard := ctx.Done(), (<-chan struct{})(nil)
	for {
		r.advance()
		if hard != nil && r.replica.Drained() {
			return nil
		}
		in, out := input, back
		if !r.replica.Hungry() {
			in = nil
		}
		if !r.replica.Thirsty() {
			out = nil
		}
		var err error
		select {
		case f := <-in:
			began := time.Now()
			r.end = f.until
			err = r.replica.Records(f.records, f.heads, f.end, f.started)
			if len(f.records) > 0 {
				r.metrics.records.Add(float64(len(f.records)))
				r.metrics.apply.Observe(time.Since(began).Seconds())
			}
		case f := <-out:
			err = r.replica.ReadBack(f.records, f.end, r.mono())
		case event := <-r.events:
			err = event()
		case <-every.C:
		case <-stop:
			stop = nil
			r.replica.Stop()
			within, cancel := run.HardWithin(ctx, r.cfg.Tuning.DrainWithin)
			defer cancel()
			hard = within.Done()
		case <-hard:
			return nil
		case <-r.crash:
			return errCrash
		}
		if err != nil {
			return err
		}
	}
}

// hearLast hears what the tasks told after the loop had ended: a lease may have been won just then.
func (r *Runner) hearLast() {
	for {
		select {
		case event := <-r.events:
			_ = event() // it has nothing more to stop
		default:
			if r.lease != nil {
				r.lease.Abandon()
			}
			return
		}
	}
}

// errCrash ends a runner in tests as a killed process would end: nothing is finished, nothing given back.
var errCrash = errors.New("crashed")

// advance does what the replica wants done.
func (r *Runner) advance() {
	before := r.replica.Role()
	room, bound := r.deps.RoomTime()
	todo := r.replica.Next(Now{Mono: r.mono(), Room: room, Bound: bound})
	r.offset.Store(r.replica.core.Next())
	r.seen.Store(r.replica.Seen())
	r.ready.Store(r.ready.Load() || r.replica.CaughtUp())
	r.metrics.show(r.replica, bound, r.end)
	r.waiting.Store(todo.Contend && r.replica.Role() == Standby)
	if led := r.replica.Led(r.mono()); led != r.Led() {
		r.led.Store(&led)
	}
	r.elect(todo)
	if todo.Append != nil {
		r.append(todo.Append)
	}
	if todo.Emit != nil {
		r.emit(todo.EmitFirst, todo.Emit)
	}
	if todo.Documents {
		r.publish()
	}
	if role := r.replica.Role(); Role(r.role.Swap(int32(role))) != role || role != before {
		r.changed(role)
	}
}

func (r *Runner) changed(role Role) {
	clock := r.replica.core.Clock()
	r.log.Info("engine changed its role", slog.String("role", role.String()), slog.Uint64("epoch", clock.Epoch),
		slog.Int64("offset", r.replica.core.Next()), slog.Uint64("sequence", r.replica.core.Seq()))
	switch role {
	case Leading:
		r.metrics.terms.Inc()
	case Standby:
		r.steppedDown()
		if r.emission != nil {
			r.emission()
		}
	}
}

// mono is monotonic time in microseconds.
func (r *Runner) mono() int64 { return time.Since(r.origin).Microseconds() }

// post hands an event to the loop; it is lost when the loop has ended.
func (r *Runner) post(event func() error) {
	select {
	case r.events <- event:
	case <-r.work.Done():
	}
}

// gather is how many bytes of outcomes to wait for. A leader emitted them itself and is in no hurry to compare them; each
// fetch less leaves the brokers more for everybody else.
func (r *Runner) gather() int {
	if r.Leading() {
		return gatherOwn
	}
	return 1
}

// headsFrom computes the heads of the chain over all records that it is given, in order. It belongs to one goroutine.
func headsFrom(head wire.Hash) func([]eventlog.Record) []wire.Hash {
	return func(records []eventlog.Record) []wire.Hash {
		heads := Heads(head, records)
		if len(heads) > 0 {
			head = heads[len(heads)-1]
		}
		return heads
	}
}

// fetch reads a topic for the loop until the loop has ended. It waits for as many bytes as gather says, and has heads
// computed of what it read, where these are not nil.
func (r *Runner) fetch(tail *eventlog.Tail, into chan<- fetched, gather func() int, heads func([]eventlog.Record) []wire.Hash) {
	for {
		if gather != nil {
			tail.Gather(gather())
		}
		started := r.mono()
		records, err := tail.Fetch(r.work)
		if err != nil {
			if r.work.Err() == nil {
				r.post(func() error { return err })
			}
			return
		}
		end := tail.Trouble() == nil && tail.Next() == tail.End()
		for {
			n := min(len(records), applyAtOnce)
			f := fetched{records: records[:n], end: end && n == len(records), started: started, until: tail.End()}
			if heads != nil {
				f.heads = heads(f.records)
			}
			select {
			case into <- f:
			case <-r.work.Done():
				return
			}
			if records = records[n:]; len(records) == 0 {
				break
			}
		}
	}
}
