package chaos

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// How long things take that fans do; everything a fan waits for is bounded.
const (
	commandLife   = 10 * time.Second // of a command with a not-after, as a gateway gives it
	answerWait    = 20 * time.Second
	offerWait     = 12 * time.Second
	moneyTries    = 6 // of a command without a not-after, each for answerWait
	databaseWait  = 15 * time.Second
	databaseAgain = 200 * time.Millisecond
	latePayment   = 8 * time.Second // past the hold, within the grace
)

// FansConfig shapes the load. The zero value of all but Sale works.
type FansConfig struct {
	Sale  Sale
	Fans  int           // at the same time [48]
	Pace  time.Duration // mean pause of one fan between two visits [100 ms]
	Seed  uint64        // of what they do
	Beats time.Duration // pause between two timed commands of each partition [10 ms]
}

// FansDeps are what fans act on.
type FansDeps struct {
	Events  *eventlog.Log
	DB      *store.DB
	Journal *Journal
	Watch   *Watch
}

// Fans hold, cancel, pay and let lapse, each waiting for its answers like a browser behind a gateway; some send twice,
// some send rubbish.
type Fans struct {
	cfg      FansConfig
	deps     FansDeps
	producer *eventlog.Producer
}

// NewFans prepares fans.
func NewFans(cfg FansConfig, deps FansDeps) *Fans {
	if cfg.Fans == 0 {
		cfg.Fans = 48
	}
	if cfg.Pace == 0 {
		cfg.Pace = 100 * time.Millisecond
	}
	if cfg.Beats == 0 {
		cfg.Beats = 10 * time.Millisecond
	}
	return &Fans{cfg: cfg, deps: deps, producer: deps.Events.Producer(cfg.Sale.Orders)}
}

// Run has the fans act until ctx ends.
func (f *Fans) Run(ctx context.Context) {
	var all sync.WaitGroup
	for i := range f.cfg.Fans {
		all.Go(func() {
			v := visitor{Fans: f, rnd: rand.New(rand.NewPCG(f.cfg.Seed, uint64(i)))}
			for n := 0; ctx.Err() == nil; n++ {
				v.name = fmt.Sprintf("fan-%d-%d", i, n)
				v.visit(ctx)
				pause(ctx, time.Duration(v.rnd.ExpFloat64()*float64(f.cfg.Pace)))
			}
		})
	}
	all.Wait()
}

// Beat sends a timed hold every now and then to every partition until ctx ends, without waiting for answers.
func (f *Fans) Beat(ctx context.Context) {
	every := time.NewTicker(f.cfg.Beats)
	defer every.Stop()
	var under sync.WaitGroup
	defer under.Wait()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		for p := range int32(f.cfg.Sale.Partitions) {
			h := newHold(fmt.Sprintf("beat-%d-%d", p, n))
			value := h.record(int64(p)*perPartition+1, false)
			f.deps.Watch.Time(p, h.command, time.Now())
			under.Add(1)
			done := func(offset int64, err error) {
				f.journal(p, offset, err, h.command, value)
				under.Done()
			}
			if err := f.producer.AppendAsync(p, value, time.Now().Add(commandLife), done); err != nil {
				done(0, err)
			}
		}
	}
}

func (f *Fans) journal(partition int32, offset int64, err error, command wire.ID, value []byte) {
	if err == nil {
		f.deps.Journal.acknowledged(partition, offset, command, value)
		return
	}
	f.deps.Journal.failed(command, errors.Is(err, eventlog.ErrNotAppended))
}

// send appends one record and waits for its first outcome; false when it was not acknowledged or not answered in time.
func (f *Fans) send(ctx context.Context, partition int32, command wire.ID, value []byte) (Answer, bool) {
	offset, err := f.producer.Append(ctx, partition, value, time.Now().Add(commandLife))
	f.journal(partition, offset, err, command, value)
	if err != nil {
		return Answer{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	return f.deps.Watch.Answer(ctx, partition, offset)
}

// hold is a command that wants tickets.
type hold struct {
	command, booking, base wire.ID
	user                   string
	flags                  uint16
	lines                  []wire.Line
}

func newHold(user string) hold {
	return hold{command: randomID(), booking: newUUID(), base: newUUID(), user: user}
}

func (h *hold) record(event int64, waitlist bool) []byte {
	return wire.AppendRecord(nil, wire.Record{
		Flags: h.flags, Object: event, Ref: h.booking, Command: h.command, NotAfter: time.Now().Add(commandLife).UnixMicro(),
	}, &wire.Hold{
		Subject: []byte(h.user), UserKey: sale.UserKey(h.user), TicketBase: h.base, Waitlist: waitlist, Lines: h.lines,
	})
}

func randomID() (id wire.ID) {
	_, _ = crand.Read(id[:]) // never fails
	return id
}

// newUUID is a UUIDv7 of now.
func newUUID() wire.ID {
	id := randomID()
	var now [8]byte
	binary.BigEndian.PutUint64(now[:], uint64(time.Now().UnixMilli()))
	copy(id[:6], now[2:])
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	id[13] = 0 // room to count tickets
	return id
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
