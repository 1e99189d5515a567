package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// handOverWithin is how long a leader that has given its lease back waits for another one before it wants it again.
const handOverWithin = time.Second

// Why a partition was not handed over.
var (
	// ErrNotLeading: there is nothing to hand over.
	ErrNotLeading = errors.New("this replica does not lead, or has no lease to give")
	// ErrNobodyTook: the lease was given back, and nobody led in time; this replica leads on.
	ErrNobodyTook = errors.New("nobody took the partition over")
)

// HandOver gives the lease back and goes on leading without it until the log shows another one's epoch: whoever wins it
// finds everything emitted but the newest outcomes, and nobody waits. It says whether there was a lease to give.
func (r *Replica) HandOver(now int64) bool {
	if r.role != Leading || !r.holding || r.releasing || r.stopping {
		return false
	}
	r.releasing, r.handUntil = true, now+handOverWithin.Microseconds()
	return true
}

// handing says that a lease just given back is not wanted back yet.
func (r *Replica) handing(now int64) bool { return r.role == Leading && now < r.handUntil }

// Standing is what others may know of this replica: whether it leads, and whether it follows, caught up and waiting for
// the lease.
func (r *Runner) Standing() (leads, follows bool) {
	leads = r.Leading()
	return leads, !leads && r.waiting.Load()
}

// HandOver gives the partition to heir, a process that follows it, and returns when another one leads. This replica
// then is a standby. Errors: ErrNotLeading, ErrNobodyTook, ErrStopped, or ctx's; after the last two it may have been
// handed over all the same. A crash in the midst of it is a leader's crash like any other, with the lease free already.
func (r *Runner) HandOver(ctx context.Context, heir wire.ID) error {
	over, cancel := context.WithTimeoutCause(ctx, handOverWithin+leaseCall, ErrNobodyTook)
	defer cancel()
	answer := make(chan bool, 1)
	done := make(chan struct{})
	event := func() error {
		ok := r.replica.HandOver(r.mono())
		if ok {
			r.heir, r.handed = heir, done
		}
		answer <- ok
		return nil
	}
	select {
	case r.events <- event:
	case <-over.Done():
		return context.Cause(over)
	case <-r.stopped:
		return ErrStopped
	}
	for {
		select {
		case ok := <-answer:
			if !ok {
				return ErrNotLeading
			}
		case <-done:
			return nil
		case <-over.Done():
			return context.Cause(over)
		case <-r.stopped:
			return ErrStopped
		}
	}
}

// release gives the lease back in favour of whoever HandOver named.
func (r *Runner) release() {
	heir := r.heir
	r.heir = wire.ID{}
	r.useLease(func(ctx context.Context, l Lease) error {
		if err := l.Release(ctx, heir); err != nil {
			r.log.Warn("releasing the lease failed, it ends by itself", slog.Any("error", err))
		}
		return store.ErrLeaseLost
	})
}

// steppedDown tells whoever hands this partition over.
func (r *Runner) steppedDown() {
	if r.handed != nil {
		close(r.handed)
		r.handed = nil
	}
}
