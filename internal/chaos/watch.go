package chaos

import (
	"context"
	"sync"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/wire"
)

// Answer is what became of a record: its first outcome.
type Answer struct {
	Kind   wire.Kind
	Reason wire.Reason // of a refusal
	Total  int64       // of what was held, minor units
}

// Watch reads the outcomes of every partition as they come, as a gateway does, and remembers each for the audit: an
// outcome that anybody has seen must be there at the end. It is safe for concurrent use.
type Watch struct {
	mu         sync.Mutex
	partitions []watched
	offered    map[wire.ID]chan Answer // by booking
	longest    time.Duration
	decided    int64
}

// watched is one partition.
type watched struct {
	answers map[int64]Answer                     // by offset of the record, until taken or old
	waiting map[int64]chan Answer                // likewise
	sent    map[wire.ID]time.Time                // commands whose first outcome is timed
	seen    []uint64                             // running hashes, by sequence number less one
	next    int64                                // offset behind the last record whose outcomes were all seen
	last    time.Time                            // when a command was last seen decided; zero while nobody sends
	first   func(id wire.ID, at, sent time.Time) // hears of each timed one
}

// answersKept is how many records back an answer that nobody asked for is kept.
const answersKept = 20_000

// NewWatch prepares a watch of that many partitions.
func NewWatch(partitions int) *Watch {
	w := &Watch{partitions: make([]watched, partitions), offered: map[wire.ID]chan Answer{}}
	for i := range w.partitions {
		w.partitions[i] = watched{answers: map[int64]Answer{}, waiting: map[int64]chan Answer{}, sent: map[wire.ID]time.Time{}}
	}
	return w
}

// Run reads the topic of outcomes until ctx ends (nil) or what it reads cannot be trusted.
func (w *Watch) Run(ctx context.Context, events *eventlog.Log, topic string) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var readers sync.WaitGroup
	for p := range w.partitions {
		readers.Go(func() {
			err := follow.Run(ctx, follow.Config{Topic: topic, Partition: int32(p), MaxWait: 100 * time.Millisecond},
				follow.Deps{Events: events}, func(_ context.Context, batch []wire.Outcome, _ follow.Position) error {
					w.take(p, batch, time.Now())
					return nil
				})
			if ctx.Err() == nil {
				end(err)
			}
		})
	}
	readers.Wait()
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}

func (w *Watch) take(partition int, batch []wire.Outcome, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &w.partitions[partition]
	for i := range batch {
		o := &batch[i]
		p.seen = append(p.seen, o.Hash)
		if o.Last {
			p.next = o.Offset + 1
		}
		if o.Kind == wire.KindOffered {
			if wanted := w.offered[o.Ref]; wanted != nil {
				delete(w.offered, o.Ref)
				wanted <- answerOf(o)
			}
		}
		if o.Index != 0 {
			continue
		}
		if o.Kind != wire.KindTicked && o.Kind != wire.KindEpochStarted { // the leader's own, which it sends when nobody sends
			w.decided++
			if !p.last.IsZero() {
				w.longest = max(w.longest, now.Sub(p.last))
				p.last = now
			}
		}
		if sent, timed := p.sent[o.Command]; timed {
			delete(p.sent, o.Command)
			p.first(o.Command, now, sent)
		}
		if wanted := p.waiting[o.Offset]; wanted != nil {
			delete(p.waiting, o.Offset)
			wanted <- answerOf(o)
			continue
		}
		p.answers[o.Offset] = answerOf(o)
		delete(p.answers, o.Offset-answersKept)
	}
}

func answerOf(o *wire.Outcome) Answer {
	a := Answer{Kind: o.Kind}
	switch body := wire.NewOrderOutcome(o.Kind).(type) {
	case *wire.Held:
		if o.DecodeInto(body) == nil {
			a.Total = body.Total
		}
	case *wire.Offered:
		if o.DecodeInto(body) == nil {
			a.Total = body.Total
		}
	case *wire.Refused:
		if o.DecodeInto(body) == nil {
			a.Reason = body.Reason
		}
	}
	return a
}

// Answer waits for the first outcome of the record at an offset; false when ctx ended first.
func (w *Watch) Answer(ctx context.Context, partition int32, offset int64) (Answer, bool) {
	w.mu.Lock()
	p := &w.partitions[partition]
	if a, ok := p.answers[offset]; ok {
		delete(p.answers, offset)
		w.mu.Unlock()
		return a, true
	}
	wanted := make(chan Answer, 1)
	p.waiting[offset] = wanted
	w.mu.Unlock()
	return w.await(ctx, wanted, func() { delete(p.waiting, offset) })
}

// Offer waits until a waitlisted booking is offered its tickets; false when ctx ended first. It must be asked before the
// offer comes.
func (w *Watch) Offer(ctx context.Context, booking wire.ID) (Answer, bool) {
	wanted := make(chan Answer, 1)
	w.mu.Lock()
	w.offered[booking] = wanted
	w.mu.Unlock()
	return w.await(ctx, wanted, func() { delete(w.offered, booking) })
}

// await waits for an answer; when ctx ends first nobody waits for it any more.
func (w *Watch) await(ctx context.Context, wanted <-chan Answer, forget func()) (Answer, bool) {
	select {
	case a := <-wanted:
		return a, true
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		forget()
		return Answer{}, false
	}
}

// Time has the first outcome of a command that is about to be sent told to the partition's listener, if it has one.
func (w *Watch) Time(partition int32, command wire.ID, sent time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := &w.partitions[partition]; p.first != nil {
		p.sent[command] = sent
	}
}

// Listen sets who hears of timed commands: it is called in order and must not block.
func (w *Watch) Listen(partition int32, f func(command wire.ID, at, sent time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partitions[partition].first = f
}

// Flowing says that commands are sent all the time from now on, or no more: only meanwhile is silence a pause.
func (w *Watch) Flowing(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.partitions {
		w.partitions[i].last = time.Time{}
		if yes {
			w.partitions[i].last = time.Now()
		}
	}
}

// Decided is how many commands were seen decided, and the longest pause between two of one partition.
func (w *Watch) Decided() (commands int64, longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decided, w.longest
}

// Reached is the offset behind the last record of a partition whose outcomes were all seen.
func (w *Watch) Reached(partition int32) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.partitions[partition].next
}

// Seen are the running hashes of a partition's outcomes as they were read live, by sequence number less one.
func (w *Watch) Seen(partition int32) []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.partitions[partition].seen
}
