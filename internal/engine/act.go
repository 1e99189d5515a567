package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

const (
	// againFirst and againLast are the pauses before a batch of outcomes is sent again.
	againFirst = 5 * time.Millisecond
	againLast  = 100 * time.Millisecond
	// contendAgain is the pause before a contention whose connection failed is begun anew.
	contendAgain = 200 * time.Millisecond
)

// append appends one record to the log, once. A crash before its answer leaves an epoch or tick of which the log decides
// whether it counts.
func (r *Runner) append(value []byte) {
	r.tasks.Go(func() {
		_, err := r.deps.Events.AppendBatch(r.work, r.cfg.Input, r.cfg.Partition, [][]byte{value})
		if err != nil && r.work.Err() == nil {
			r.log.Warn("appending to the log failed", slog.Any("error", err))
		}
		r.post(func() error {
			r.replica.Appended(err == nil, err == nil || errors.Is(err, eventlog.ErrNotAppended), r.mono())
			return nil
		})
	})
}

// emit sends one batch of outcomes until it is acknowledged or our term has ended. After an unknown result the same
// bytes go again: the topic may then hold them twice, and readers drop the second.
func (r *Runner) emit(first uint64, values [][]byte) {
	ctx, cancel := context.WithCancel(r.work)
	r.emission = cancel
	r.batch++
	batch := r.batch
	r.tasks.Go(func() {
		defer cancel()
		err := r.send(ctx, values)
		r.post(func() error {
			if batch != r.batch {
				return nil // of a term that has ended
			}
			if err == nil {
				r.metrics.outcomes.Add(float64(len(values)))
			}
			r.replica.Emitted(first, len(values), err == nil)
			return nil
		})
	})
}

func (r *Runner) send(ctx context.Context, values [][]byte) error {
	for wait := againFirst; ; wait = min(2*wait, againLast) {
		_, err := r.deps.Events.AppendBatch(ctx, r.cfg.Outcomes, r.cfg.Partition, values)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if wait == againFirst {
			r.log.Warn("emitting outcomes failed, sending the same again", slog.Any("error", err))
		}
		r.metrics.resent.Inc()
		if !pause(ctx, wait) {
			return err
		}
	}
}

// elect contends, renews and releases as the replica wants.
func (r *Runner) elect(t Todo) {
	switch {
	case t.Contend && r.contention == nil:
		r.contend()
	case !t.Contend && r.contention != nil:
		r.contention() // it tells when it has ended
	}
	if t.Release && r.lease != nil {
		r.release()
	}
	if epoch := t.Renew; epoch != 0 && r.lease != nil {
		r.useLease(func(ctx context.Context, l Lease) error { return l.Renew(ctx, epoch) })
	}
}

// contend waits for the lease in a goroutine of its own. A crash while it is held is seen by the others at once: the
// session's lock is freed with the connection.
func (r *Runner) contend() {
	ctx, cancel := context.WithCancel(r.work)
	r.contention = cancel
	id := r.replica.Claim(r.deps.ID())
	r.tasks.Go(func() {
		defer cancel()
		l, err := r.deps.Leases.Contend(ctx, r.cfg.Name, id, r.cfg.Address, r.Led)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("contending for the lease failed, trying again", slog.Any("error", err))
			pause(ctx, contendAgain)
		}
		select {
		case r.events <- func() error { r.won(l, id); return nil }:
		case <-r.work.Done():
			if l != nil {
				l.Abandon()
			}
		}
	})
}

// won ends a contention; l is nil when it brought nothing.
func (r *Runner) won(l Lease, id wire.ID) {
	r.contention = nil
	if l == nil {
		return
	}
	r.lease = l
	r.replica.LeaseWon(id, l.Epoch(), r.mono())
}

// useLease makes one call of the lease, in order with the others, and tells the replica how it ended. A lease that is lost
// is abandoned within the same turn: its connection serves one call at a time, and the next may be waiting for its own.
func (r *Runner) useLease(call func(context.Context, Lease) error) {
	l := r.lease
	r.tasks.Go(func() {
		r.leaseUse.Lock()
		defer r.leaseUse.Unlock()
		ctx, cancel := context.WithTimeout(r.work, leaseCall)
		defer cancel()
		err := call(ctx, l)
		lost := errors.Is(err, store.ErrLeaseLost)
		if lost {
			l.Abandon()
		}
		r.post(func() error {
			switch {
			case r.lease != l: // gone already
			case lost:
				r.lease = nil
				r.replica.LeaseGone()
			default:
				if err != nil {
					r.log.Warn("renewing the lease failed, leading goes on", slog.Any("error", err))
				}
				r.replica.Renewed(r.mono())
			}
			return nil
		})
	})
}

// leave gives the lease back after the loop's last turn. Without it a standby would wait for the TTL.
func (r *Runner) leave() {
	r.role.Store(int32(Standby))
	l := r.lease
	if l == nil {
		return
	}
	r.lease = nil
	r.leaseUse.Lock()
	defer r.leaseUse.Unlock()
	select {
	case <-r.crash:
		l.Abandon()
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.work), leaseCall)
	defer cancel()
	if err := l.Release(ctx, wire.ID{}); err != nil {
		r.log.Warn("releasing the lease failed, it ends by itself", slog.Any("error", err))
	}
}

// publish appends the machine's documents; a lost one is replaced a second later.
func (r *Runner) publish() {
	d, ok := r.replica.core.machine.(Documenter)
	if !ok {
		return
	}
	clock := r.replica.core.Clock()
	producer := r.deps.Events.Producer(r.cfg.Documents)
	notAfter := time.Now().Add(2 * documentsEvery)
	d.Documents(&clock, func(_ int64, json []byte) {
		// The only error is a full queue: the brokers are away, and this document will be stale when they are back.
		_ = producer.AppendAsync(r.cfg.Partition, json, notAfter, func(int64, error) {})
	})
}
