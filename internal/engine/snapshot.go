package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/store"
)

// readBackWithin is how long a snapshot waits for its outcomes to be read back before it is given up.
const readBackWithin = time.Minute

// bootAgain is the pause before the snapshots are asked for again.
const bootAgain = 500 * time.Millisecond

// boot returns the state to begin with: that of the newest snapshot that fits, or the one before the first record. It
// waits for brokers and database until ctx ends.
func (r *Runner) boot(ctx context.Context) (*Core, [16]byte, error) {
	topic, err := r.deps.Events.TopicID(ctx, r.cfg.Input)
	if err != nil {
		return nil, topic, err
	}
	for {
		core, err := r.restore(ctx, topic)
		if err == nil || errors.Is(err, eventlog.ErrRecreated) || errors.Is(err, ErrCode) {
			return core, topic, err
		}
		r.log.Warn("reading snapshots failed, trying again", slog.Any("error", err))
		if !pause(ctx, bootAgain) {
			return nil, topic, ctx.Err()
		}
	}
}

func (r *Runner) restore(ctx context.Context, topic [16]byte) (*Core, error) {
	list, err := r.deps.Snapshots.Snapshots(ctx, r.cfg.Name)
	if err != nil {
		return nil, err
	}
	var newer *store.Snapshot
	r.unfit = nil
	for _, s := range list {
		if s.TopicID != topic {
			return nil, fmt.Errorf("%w: snapshot %d is of topic %s with id %x, which has id %x now: restore the topic's data, or "+
				"delete the snapshots of %s, its outcomes and its projections and start over",
				eventlog.ErrRecreated, s.ID, r.cfg.Input, s.TopicID, topic, s.Name)
		}
		core, err := r.open(ctx, s)
		if err == nil {
			r.log.Info("snapshot restored", slog.Int64("snapshot", s.ID), slog.Int64("offset", s.NextOffset), slog.Int64("bytes", s.Size))
			return core, nil
		}
		if !errors.Is(err, errUnfit) {
			return nil, err
		}
		r.metrics.snapshotsUnfit.Inc()
		r.log.Warn("snapshot does not fit, trying the one before", slog.Int64("snapshot", s.ID), slog.Any("error", err))
		r.unfit = append(r.unfit, fmt.Errorf("snapshot %d: %w", s.ID, err))
		if s.Code > r.deps.Machine().Code() {
			newer = &s
		}
	}
	if newer != nil {
		// What the log holds since may mean something to that version which it does not mean to us.
		return nil, fmt.Errorf("%w: snapshot %d of %s is of version %d, this program knows versions up to %d: start the program that "+
			"wrote it, or a newer one; if it shall never run again, delete its snapshots, and everything is derived from the log",
			ErrCode, newer.ID, newer.Name, newer.Code, r.deps.Machine().Code())
	}
	if len(list) > 0 {
		r.log.Warn("no snapshot fits, replaying the log from its beginning")
	}
	return NewCore(r.deps.Machine(), r.cfg.Partition), nil
}

func (r *Runner) open(ctx context.Context, s store.Snapshot) (*Core, error) {
	data, err := r.deps.Snapshots.LoadSnapshot(ctx, s)
	if errors.Is(err, store.ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", errUnfit, err)
	}
	if err != nil {
		return nil, err
	}
	return Reopen(r.deps.Machine(), r.cfg.Partition, s, data)
}

// explained says of a log that does not reach back far enough why no snapshot bridged the gap.
func (r *Runner) explained(err error) error {
	if !errors.Is(err, eventlog.ErrOutOfRange) || len(r.unfit) == 0 {
		return err
	}
	return fmt.Errorf("%w; these snapshots did not fit: %w", err, errors.Join(r.unfit...))
}

// keepSnapshots takes a snapshot whenever the newest one, whoever took it, is too old. A leader, whose loop has to stop
// while the state is encoded, waits twice as long: with a standby beside it, it never does it.
func (r *Runner) keepSnapshots(topic [16]byte) {
	began := time.Now()
	look := min(r.cfg.Tuning.SnapshotEvery/8, 5*time.Second)
	for pause(r.work, look) {
		due, err := r.snapshotDue(time.Since(began))
		if err == nil && due {
			err = r.snapshotInTurn(topic, began)
		}
		if err != nil && r.work.Err() == nil {
			r.metrics.snapshotFailures.Inc()
			r.log.Warn("taking a snapshot failed", slog.Any("error", err))
			pause(r.work, r.cfg.Tuning.SnapshotEvery) // it costs too much to be tried all the time
		}
	}
}

func (r *Runner) snapshotDue(running time.Duration) (bool, error) {
	age, next, ok, err := r.deps.Snapshots.NewestSnapshot(r.work, r.cfg.Name)
	if err != nil {
		return false, err
	}
	if !ok {
		age = running
	}
	patience, records := time.Duration(1), r.offset.Load()-next
	if r.Leading() {
		patience = 2
	}
	return records > 0 && r.ready.Load() &&
		(age >= patience*r.cfg.Tuning.SnapshotEvery || records >= int64(patience)*r.cfg.Tuning.SnapshotRecords), nil
}

// snapshotInTurn takes a snapshot unless another replica is at it, or has just been.
func (r *Runner) snapshotInTurn(topic [16]byte, began time.Time) error {
	done, ok, err := r.deps.Snapshots.SnapshotTurn(r.work, r.cfg.Name)
	if err != nil || !ok {
		return err
	}
	defer done()
	due, err := r.snapshotDue(time.Since(began))
	if err != nil || !due {
		return err
	}
	return r.takeSnapshot(topic)
}

// takeSnapshot saves the state and lets it count when it has been loaded, restored and compared, and when every outcome
// below it has been read back: after a full stop nobody could derive those again from a later state. A crash at any
// point leaves a snapshot that does not count, or one that does.
func (r *Runner) takeSnapshot(topic [16]byte) error {
	s, err := r.save(topic)
	if err != nil {
		return err
	}
	core, err := r.open(r.work, s)
	if err != nil {
		return err
	}
	if err := SameState(s, core); err != nil {
		return err
	}
	for wait := time.Duration(0); !MayCount(s, r.seen.Load()); wait += againLast {
		if wait > readBackWithin {
			return fmt.Errorf("snapshot %d does not count: its outcomes were not read back within %s", s.ID, readBackWithin)
		}
		if !pause(r.work, againLast) {
			return r.work.Err()
		}
	}
	if err := r.deps.Snapshots.CountSnapshot(r.work, s); err != nil {
		return err
	}
	r.metrics.snapshots.Inc()
	r.log.Info("snapshot taken", slog.Int64("snapshot", s.ID), slog.Int64("offset", s.NextOffset), slog.Int64("bytes", s.Size))
	return nil
}

// save stores the state as it is now; its bytes are not kept, so that there are never two of them in memory.
func (r *Runner) save(topic [16]byte) (store.Snapshot, error) {
	s, data, err := r.encode()
	if err != nil {
		return s, err
	}
	s.Name, s.TopicID = r.cfg.Name, topic
	return r.deps.Snapshots.SaveSnapshot(r.work, s, data)
}

// encode has the loop encode the state between two records.
func (r *Runner) encode() (store.Snapshot, []byte, error) {
	var s store.Snapshot
	done := make(chan []byte, 1)
	r.post(func() error {
		s = r.replica.core.Describe()
		done <- r.replica.core.Snapshot(nil)
		return nil
	})
	select {
	case data := <-done:
		return s, data, nil
	case <-r.work.Done():
		return s, nil, r.work.Err()
	}
}
