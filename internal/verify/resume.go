package verify

import (
	"context"
	"errors"
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/store"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

// resume verifies a partition from its newest fitting snapshot on.
func (v *verifier) resume(ctx context.Context, log, outcomes string, p int32, body func(wire.Kind) wire.Body) error {
	if v.deps.DB == nil {
		return errors.New("verifying from a snapshot: snapshots are in the database, and none was given")
	}
	name := fmt.Sprintf("%s%s/%d", v.cfg.Prefix, log, p)
	db := &store.DB{Write: v.deps.DB, Read: v.deps.DB}
	all, err := db.Snapshots(ctx, name)
	if err != nil {
		return fmt.Errorf("verifying from a snapshot: %w", err)
	}
	id, err := v.deps.Source.TopicID(ctx, v.cfg.Prefix+log)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.TopicID != id {
			v.violate(5, name, "snapshot %d is of a topic with id %x, this one has %x: the topic was recreated", s.ID, s.TopicID, id)
			continue
		}
		at, err := v.inLog(ctx, v.cfg.Prefix+outcomes, p, s)
		if err != nil {
			return err
		}
		if at < 0 {
			v.violate(5, name, "snapshot %d knows outcome %d by another running hash than the log, or the log does not have it", s.ID, s.NextSeq-1)
			continue
		}
		v.report.Counts[log+".skipped"] += s.NextOffset
		from := start{record: s.NextOffset, outcome: at, seq: s.NextSeq - 1}
		known := model.Known{Next: s.NextOffset, Seq: s.NextSeq - 1, Hash: s.Hash, Chain: s.Chain}
		return v.partition(ctx, logOf{log, outcomes, p, from, body}, model.Resume(p, body, known), nil)
	}
	return fmt.Errorf("verifying from a snapshot: %s has none that fits the log: verify from the first record", name)
}

// inLog is the offset after the outcome that a snapshot ends with, -1 if the log has it not or says something else there.
func (v *verifier) inLog(ctx context.Context, topic string, p int32, s store.Snapshot) (at int64, err error) {
	if s.NextSeq <= 1 {
		return 0, nil
	}
	first, end, err := v.deps.Source.Bounds(ctx, topic, p)
	if err != nil {
		return -1, err
	}
	at = -1
	err = eachRecord(ctx, v.deps.Source, topic, p, max(first, int64(s.NextSeq)-2), end, func(r eventlog.Record) (bool, error) {
		o, err := wire.ParseOutcome(r.Value)
		if err != nil || o.Seq < s.NextSeq-1 {
			return true, nil
		}
		if o.Seq == s.NextSeq-1 && o.Hash == s.Hash {
			at = r.Offset + 1
		}
		return false, nil
	})
	return at, err
}
