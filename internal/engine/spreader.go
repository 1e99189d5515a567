package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/engine/spread"
	"fairgate/internal/run"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

const (
	// beatEvery is how often a process says what it leads, and looks what the others do; it says at once when it leads
	// something else than before: looksEachBeat times as often it looks at itself.
	beatEvery     = 500 * time.Millisecond
	looksEachBeat = 10
	// beatWithin bounds one such exchange, and the farewell.
	beatWithin = time.Second
	// settleFor is how long nobody may have come, gone or changed before a partition is moved.
	settleFor = time.Second
	// yieldEach is the time that whoever is not first in line for a partition gives each one before it, yieldMost the most.
	yieldEach = 20 * time.Millisecond
	yieldMost = 100 * time.Millisecond
)

// Presence is where processes say what they lead. See package store.
type Presence interface {
	Beat(ctx context.Context, p store.Processor) ([]store.Processor, error)
	Gone(ctx context.Context, id wire.ID) error
}

// SpreaderDeps are what a Spreader uses. Log and Metrics may be nil; ID defaults to random bits.
type SpreaderDeps struct {
	Presence Presence
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	ID       func() wire.ID
}

// Spreader keeps the partitions of a process' runners led evenly by all processes that run them: it hands one over when
// others lead less, all of them when the process stops, and says who is first in line when a leader dies. What it knows
// of the others it has from Postgres; without Postgres it moves nothing.
type Spreader struct {
	id      wire.ID
	deps    SpreaderDeps
	log     *slog.Logger
	metrics *spreadMetrics
	began   time.Time
	beats   time.Duration // beatEvery, and settleFor; shorter in tests
	settle  time.Duration
	names   []string // of runners, in their order
	runners []*Runner

	ranks atomic.Pointer[map[string]int] // our place in the line for each partition

	// Of Run's goroutine.
	view   spread.View
	said   []string // what we lead by our newest beat
	blind  bool     // Postgres did not answer last time
	moving chan error
	tasks  sync.WaitGroup
}

// NewSpreader returns a Spreader of no runners yet.
func NewSpreader(d SpreaderDeps) *Spreader {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.ID == nil {
		d.ID = randomID
	}
	return &Spreader{id: d.ID(), deps: d, log: d.Log, metrics: newSpreadMetrics(d.Metrics), began: time.Now(),
		beats: beatEvery, settle: settleFor}
}

// ID is what this process is called as an heir; SpreadLeases wants it.
func (s *Spreader) ID() wire.ID { return s.id }

// Handicap is how long to let others take a partition that becomes free now: those who should rather lead it.
func (s *Spreader) Handicap(name string) time.Duration {
	ranks := s.ranks.Load()
	if ranks == nil {
		return 0
	}
	return min(time.Duration((*ranks)[name])*yieldEach, yieldMost)
}

// Add adds a runner, before Run.
func (s *Spreader) Add(r *Runner) {
	s.names, s.runners = append(s.names, r.cfg.Name), append(s.runners, r)
}

// Run spreads until ctx ends, then hands over what this process leads and returns. Its runners should still run then.
func (s *Spreader) Run(ctx context.Context) error {
	defer s.tasks.Wait()
	s.log.Info("spreading partitions with other processors", slog.String("id", hex.EncodeToString(s.id[:])), slog.Any("engines", s.names))
	every := time.NewTicker(s.beats / looksEachBeat)
	defer every.Stop()
	for n := 0; ; n++ {
		if me := s.me(); n%looksEachBeat == 0 || !slices.Equal(me.Leads, s.said) {
			s.beat(ctx, me)
			s.move(ctx)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			s.leave(ctx)
			return nil
		}
	}
}

func (s *Spreader) mono() int64 { return time.Since(s.began).Microseconds() }

// me is what we do now.
func (s *Spreader) me() store.Processor {
	me := store.Processor{ID: s.id}
	for i, r := range s.runners {
		switch leads, follows := r.Standing(); {
		case leads:
			me.Leads = append(me.Leads, s.names[i])
		case follows:
			me.Follows = append(me.Follows, s.names[i])
		}
	}
	return me
}

// beat says what we do and learns what the others do.
func (s *Spreader) beat(ctx context.Context, me store.Processor) {
	s.said = me.Leads
	s.metrics.led(s.names, me.Leads)
	ctx, cancel := context.WithTimeout(ctx, beatWithin)
	defer cancel()
	all, err := s.deps.Presence.Beat(ctx, me)
	if err != nil {
		if !s.blind && !errors.Is(ctx.Err(), context.Canceled) {
			s.log.Warn("saying what this processor leads failed, no partition is moved meanwhile", slog.Any("error", err))
		}
		s.blind = true
		return
	}
	s.blind = false
	members := make([]spread.Member, len(all))
	for i, p := range all {
		members[i] = spread.Member(p)
	}
	s.view.See(members, s.mono())
	ranks := map[string]int{}
	for _, r := range spread.Ranks(members, s.id) {
		ranks[r.Partition] = r.Rank
	}
	s.ranks.Store(&ranks)
	s.metrics.seen(members)
}

// move hands over what should be led by another one, one partition at a time.
func (s *Spreader) move(ctx context.Context) {
	if s.moving != nil {
		select {
		case err := <-s.moving:
			s.moving = nil
			if err != nil {
				s.view.Unsettle(s.mono())
			}
		default:
		}
	}
	step, ok := s.view.Next(s.id, s.mono(), s.settle.Microseconds())
	if !ok || s.blind || s.moving != nil {
		return
	}
	done := make(chan error, 1)
	s.moving = done
	s.tasks.Go(func() { done <- s.handOver(ctx, step, movedForSpread) })
}

// leave hands over everything at once, to those who share it evenly. Without Postgres nobody could take it.
func (s *Spreader) leave(ctx context.Context) {
	s.tasks.Wait()
	hard, cancel := run.HardWithin(ctx, 2*beatWithin+handOverWithin+leaseCall)
	defer cancel()
	s.beat(hard, s.me()) // others may have come or gone since the last one
	within, stop := context.WithTimeout(hard, beatWithin)
	defer stop()
	if err := s.deps.Presence.Gone(within, s.id); err != nil {
		s.log.Warn("taking leave of the other processors failed", slog.Any("error", err))
		return
	}
	for _, step := range spread.Heirs(s.current(), s.id) {
		s.tasks.Go(func() { _ = s.handOver(hard, step, movedForLeaving) })
	}
	s.tasks.Wait()
}

// current is the members as last seen, but of ourselves what we lead now.
func (s *Spreader) current() []spread.Member {
	var members []spread.Member
	for _, m := range s.view.Members() {
		if m.ID != s.id {
			members = append(members, m)
		}
	}
	return append(members, spread.Member(s.me()))
}

// handOver carries out one step and says why it was taken, and how it ended.
func (s *Spreader) handOver(ctx context.Context, step spread.Step, why string) error {
	at := -1
	for i, name := range s.names {
		if name == step.Partition {
			at = i
		}
	}
	if at < 0 {
		return ErrNotLeading
	}
	began := time.Now()
	err := s.runners[at].HandOver(ctx, step.To)
	attrs := []any{
		slog.String("engine", step.Partition), slog.String("to", hex.EncodeToString(step.To[:])), slog.String("why", why),
		slog.Int("gap", step.Gap), slog.Duration("took", time.Since(began)),
	}
	switch {
	case err == nil:
		s.metrics.moves.WithLabelValues(why).Inc()
		s.log.Info("partition handed over", attrs...)
	case !errors.Is(err, ErrNotLeading) && !errors.Is(err, ErrStopped):
		s.log.Warn("handing a partition over failed, this processor leads on", append(attrs, slog.Any("error", err))...)
	}
	return err
}
