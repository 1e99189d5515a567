package roomtime

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/beevik/ntp"
)

// How often a source is asked.
const (
	askEvery   = 4 * time.Second
	askFirst   = 500 * time.Millisecond // until the first answer
	askTimeout = 2 * time.Second
	// maxStep is how far this host's clock may be set during an exchange for it to count, in µs.
	maxStep = 1000
)

// Source is a server that is asked for the time (NTP), for hosts whose own clock nobody disciplines. It is safe for
// concurrent use.
type Source struct {
	address string
	log     *slog.Logger
	local   func() int64 // µs; nobody sets it
	ask     func(ctx context.Context) (Exchange, error)

	mu       sync.Mutex
	estimate Estimate
}

// NewSource returns a source at host:port; Run asks it.
func NewSource(address string, log *slog.Logger) *Source {
	s := &Source{address: address, log: log, local: localClock()}
	s.ask = s.exchange
	return s
}

// Now is room time by the source, and its error bound, both µs; Unbounded before the first answer.
func (s *Source) Now() (now, bound int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	local := s.local()
	offset, bound := s.estimate.Read(local)
	return local + offset, bound
}

// Run asks until ctx ends. A source that does not answer is not an error: the bound grows.
func (s *Source) Run(ctx context.Context) error {
	away := false
	for {
		x, err := s.ask(ctx)
		switch {
		case err == nil:
			s.learn(x)
			away = false
		case !away && ctx.Err() == nil:
			s.log.Warn("the source of time does not answer", "source", s.address, "error", err)
			away = true
		}
		every := askEvery
		if _, bound := s.Now(); bound == Unbounded {
			every = askFirst
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every + rand.N(every/4)):
		}
	}
}

func (s *Source) learn(x Exchange) {
	s.mu.Lock()
	agrees := s.estimate.Learn(x)
	s.mu.Unlock()
	if !agrees {
		s.log.Warn("the source of time contradicts itself; its newest word is taken", "source", s.address, "offset", x.Offset, "delay", x.Delay)
	}
}

// exchange asks once. The library measures by the host's wall clock, which may be set meanwhile; ours is not.
func (s *Source) exchange(context.Context) (Exchange, error) {
	wall, local := time.Now().UnixMicro(), s.local()
	r, err := ntp.QueryWithOptions(s.address, ntp.QueryOptions{Timeout: askTimeout})
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return Exchange{}, err
	}
	ahead, at := time.Now().UnixMicro(), s.local()
	ahead -= at // the wall clock before ours
	if moved := ahead - (wall - local); moved > maxStep || moved < -maxStep {
		return Exchange{}, fmt.Errorf("this host's clock was set by %d µs during the exchange", moved)
	}
	return Exchange{
		At: at, Offset: r.ClockOffset.Microseconds() + ahead, Delay: r.RTT.Microseconds() + 1,
		Error: (r.RootDelay/2 + r.RootDispersion + r.Precision).Microseconds() + maxStep/1000,
	}, nil
}
