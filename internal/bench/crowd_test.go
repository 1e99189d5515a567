package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

const (
	// show is the event that everybody wants.
	show = 7
	// mostCallers bounds the commands that wait for their outcomes at once.
	mostCallers = 1 << 16
	// handful is how many callers go on together once their outcomes were seen.
	handful = 50
	// appenders are the goroutines that append for all callers.
	appenders = 2
	// sampled is one latency in so many that is kept.
	sampled = 8
)

// crowd is callers who each append a hold and wait until its outcome is read back from the outcomes topic, then append
// the next: as the booking API does for its fans, without the HTTP.
type crowd struct {
	events   *eventlog.Log
	input    string
	outcomes string
	callers  int

	sent    [mostCallers]atomic.Int64 // µs since origin, of command n at n % mostCallers
	origin  time.Time
	credits chan int // callers who may go on
	issued  atomic.Int64
	decided atomic.Int64
	failed  atomic.Pointer[error]
	ticked  chan struct{} // closed at the first tick of log time: nothing is sold before

	mu       sync.Mutex
	sampling bool
	waits    []time.Duration
}

func newCrowd(events *eventlog.Log, input, outcomes string, callers int) *crowd {
	c := &crowd{events: events, input: input, outcomes: outcomes, callers: callers, origin: time.Now()}
	c.credits, c.ticked = make(chan int, callers+1), make(chan struct{})
	return c
}

func (c *crowd) fail(err error) { c.failed.CompareAndSwap(nil, &err) }

// open puts the event on sale: the first records of the log.
func (c *crowd) open(ctx context.Context) error {
	for _, value := range opening() {
		if _, err := c.events.Producer(c.input).Append(ctx, 0, value, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

func opening() [][]byte {
	about := wire.Record{Object: show}
	return [][]byte{
		wire.AppendRecord(nil, about, &wire.DefineEvent{Currency: [3]byte{'E', 'U', 'R'}}),
		wire.AppendRecord(nil, about, &wire.DefineType{Type: 1, Capacity: sale.MaxCapacity, Default: true,
			Price: wire.Price{Ticket: 12_000, Fee: 500, TaxRate: 700, Included: true}}),
	}
}

// command is the n-th hold: each of another user, under an id that looks like any other and says n.
func command(dst []byte, n int64) []byte {
	id := identity(n)
	var subject [20]byte
	copy(subject[:], "user-")
	for i, d := len(subject)-1, n; i >= 5; i, d = i-1, d/10 {
		subject[i] = byte('0' + d%10)
	}
	return wire.AppendRecord(dst, wire.Record{Object: show, Ref: id, Command: id, NotAfter: 1 << 60},
		&wire.Hold{Subject: subject[:], UserKey: sale.UserKey(string(subject[:])), TicketBase: id, Lines: oneTicket})
}

var oneTicket = []wire.Line{{Type: 1, Quantity: 1}}

func identity(n int64) (id wire.ID) {
	mixed := uint64(n) * 0x9e3779b97f4a7c15
	mixed ^= mixed >> 29
	binary.LittleEndian.PutUint64(id[:], mixed*0xbf58476d1ce4e5b9)
	binary.LittleEndian.PutUint64(id[8:], uint64(n))
	return id
}

// append sends one hold for each caller who may go on.
func (c *crowd) append(ctx context.Context) {
	producer := c.events.Producer(c.input)
	done := func(_ int64, err error) {
		if err != nil && ctx.Err() == nil {
			c.fail(fmt.Errorf("appending a command: %w", err))
		}
	}
	var arena []byte
	for {
		select {
		case n := <-c.credits:
			for range n {
				if cap(arena)-len(arena) < 256 {
					arena = make([]byte, 0, 64<<10)
				}
				number, start := c.issued.Add(1), len(arena)
				arena = command(arena, number)
				c.sent[number%mostCallers].Store(time.Since(c.origin).Microseconds())
				if err := producer.AppendAsync(0, arena[start:len(arena):len(arena)], time.Time{}, done); err != nil {
					c.fail(err)
					return
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// read sees the outcomes and lets their callers go on.
func (c *crowd) read(ctx context.Context) {
	ticked := false
	tail := c.events.Tail(c.outcomes, 0, 0, eventlog.TailConfig{MaxWait: 100 * time.Millisecond})
	var last uint64
	ready := 0
	for {
		records, err := tail.Fetch(ctx)
		if err != nil {
			if ctx.Err() == nil {
				c.fail(err)
			}
			return
		}
		now := time.Since(c.origin).Microseconds()
		for _, r := range records {
			o, err := wire.ParseOutcome(r.Value)
			if err != nil || o.Seq > last+1 {
				c.fail(fmt.Errorf("outcome %d after %d: %v", o.Seq, last, err))
				return
			}
			if o.Seq <= last {
				continue
			}
			last = o.Seq
			if o.Kind == wire.KindTicked && !ticked {
				ticked = true
				close(c.ticked)
			}
			// An append of unknown fate is sent again, and its command was answered before.
			if o.Command == (wire.ID{}) || o.Kind == wire.KindRepeated {
				continue
			}
			if ready++; ready == handful {
				c.credits <- ready
				ready = 0
			}
			c.saw(o, now)
		}
	}
}

func (c *crowd) saw(o wire.Outcome, now int64) {
	n := int64(binary.LittleEndian.Uint64(o.Command[8:]))
	if o.Kind != wire.KindHeld {
		c.fail(fmt.Errorf("command %d was answered by an outcome of kind %d: %x", n, o.Kind, o.Body))
	}
	if c.decided.Add(1)%sampled != 0 {
		return
	}
	c.mu.Lock()
	if c.sampling {
		c.waits = append(c.waits, time.Duration(now-c.sent[n%mostCallers].Load())*time.Microsecond)
	}
	c.mu.Unlock()
}

func (f figures) String() string {
	return fmt.Sprintf("%.0f/s, p50 %.0f ms, p99 %.0f ms, cpu %.2f + %.2f µs each, %.0f commands and %.0f outcomes a call",
		f.rate, f.wait(50), f.wait(99), f.ours, f.brokers, f.calls[0], f.calls[1])
}

// decider reads the input and writes an outcome for each record until ctx ends. One that ticks is waited for.
type decider struct {
	run   func(ctx context.Context, c *cluster, input, outcomes string) error
	ticks bool
}

// turn gives a decider topics of its own and a crowd, lets both get warm, and measures.
func (k *cluster) turn(decide decider, callers int, warm, length time.Duration) figures {
	k.b.Helper()
	input, outcomes := testkafka.Topic(k.b, k.log, "orders", 1), testkafka.Topic(k.b, k.log, "outcomes", 1)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := newCrowd(k.log, input, outcomes, callers)
	if err := c.open(ctx); err != nil {
		k.b.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := decide.run(ctx, k, input, outcomes); err != nil && ctx.Err() == nil {
			c.fail(err)
		}
	})
	all.Go(func() { c.read(ctx) })
	for range appenders {
		all.Go(func() { c.append(ctx) })
	}
	if decide.ticks {
		select {
		case <-c.ticked:
		case <-time.After(bringUp):
			k.b.Error("the engine does not tick")
		}
	}
	for n := callers; n > 0; n -= handful {
		c.credits <- min(n, handful)
	}
	f := c.measure(k, warm, length)
	stop()
	all.Wait()
	f.calls = [2]float64{k.perCall(input), k.perCall(outcomes)}
	k.drop(input, outcomes)
	if err := c.failed.Load(); err != nil {
		k.b.Fatal(*err)
	}
	return f
}

func (c *crowd) measure(k *cluster, warm, length time.Duration) (f figures) {
	time.Sleep(warm)
	pids := k.pids()
	c.mu.Lock()
	c.sampling = true
	c.mu.Unlock()
	before, at, start := cpu(k.b, pids), c.decided.Load(), time.Now()
	for time.Since(start) < length && c.failed.Load() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	f.decided, f.took = c.decided.Load()-at, time.Since(start)
	after := cpu(k.b, pids)
	c.mu.Lock()
	f.waits = c.waits
	c.sampling = false
	c.mu.Unlock()
	f.spent = spent{after.ours - before.ours, after.brokers - before.brokers}
	f.conclude()
	return f
}
