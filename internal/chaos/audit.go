package chaos

import (
	"context"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/wire"
)

// maxFindings is how many findings an audit explains.
const maxFindings = 20

// Audit is what holding a journal and a watch against the logs found.
type Audit struct {
	Records, Outcomes, Repeated, Rejected, Extended int64
	Total                                           int // findings
	Findings                                        []string
}

func (a *Audit) find(format string, args ...any) {
	a.Total++
	if len(a.Findings) < maxFindings {
		a.Findings = append(a.Findings, fmt.Sprintf(format, args...))
	}
}

// Run reads both topics from their beginning and finds what was acknowledged and is missing, what was refused and is
// there, what was decided twice, and what was seen and has changed. The senders must have ended.
func (j *Journal) Run(ctx context.Context, events *eventlog.Log, orders, outcomes string, w *Watch) (*Audit, error) {
	a := &Audit{}
	for at := range j.doubled {
		a.find("offset %d of partition %d was given to two records", at.offset, at.partition)
	}
	found := 0
	for p := range int32(len(w.partitions)) {
		decided, err := a.outcomes(ctx, events, outcomes, p, w.Seen(p))
		if err != nil {
			return a, err
		}
		n, err := a.records(ctx, j, events, orders, p, decided)
		if err != nil {
			return a, err
		}
		found += n
	}
	if found != len(j.acked) {
		a.find("%d records were acknowledged, %d of them are in the log", len(j.acked), found)
	}
	return a, nil
}

// errEnd ends a reading where the topic ended when it began.
var errEnd = errors.New("read to the end")

// outcomes returns the offset behind the last record that was decided.
func (a *Audit) outcomes(ctx context.Context, events *eventlog.Log, topic string, p int32, seen []uint64) (int64, error) {
	_, end, err := events.Bounds(ctx, topic, p)
	if err != nil || end == 0 {
		return 0, err
	}
	once := map[wire.ID]uint64{} // commands and bookings that took effect, and by which outcome
	next, count := int64(0), 0
	err = follow.Run(ctx, follow.Config{Topic: topic, Partition: p}, follow.Deps{Events: events},
		func(_ context.Context, batch []wire.Outcome, at follow.Position) error {
			for i := range batch {
				o := &batch[i]
				if count < len(seen) && o.Hash != seen[count] {
					a.find("partition %d: outcome %d is not the one that was read before", p, o.Seq)
				}
				count++
				a.outcome(p, o, once)
				next = o.Offset + 1
			}
			if at.Offset >= end {
				return errEnd
			}
			return nil
		})
	if !errors.Is(err, errEnd) {
		return 0, err
	}
	if count < len(seen) {
		a.find("partition %d: %d outcomes were read before, %d are left", p, len(seen), count)
	}
	return next, nil
}

func (a *Audit) outcome(p int32, o *wire.Outcome, once map[wire.ID]uint64) {
	a.Outcomes++
	switch o.Kind {
	case wire.KindRepeated:
		a.Repeated++
		return
	case wire.KindRejected:
		a.Rejected++
		return
	case wire.KindExtended:
		a.Extended++
		return
	}
	effect := func(id wire.ID, what string) {
		if before, twice := once[id]; twice {
			a.find("partition %d: %s %s was decided by outcome %d and again by %d", p, what, wire.Hex(id), before, o.Seq)
		}
		once[id] = o.Seq
	}
	if o.Index == 0 && o.Command != (wire.ID{}) {
		effect(o.Command, "command")
	}
	if o.Kind == wire.KindHeld {
		effect(o.Ref, "booking")
	}
}

// records checks every record of a partition, and returns how many of the acknowledged ones it found.
func (a *Audit) records(ctx context.Context, j *Journal, events *eventlog.Log, topic string, p int32, decided int64) (found int, err error) {
	_, end, err := events.Bounds(ctx, topic, p)
	if err != nil {
		return 0, err
	}
	for tail := events.Tail(topic, p, 0, eventlog.TailConfig{}); tail.Next() < end; {
		records, err := tail.Fetch(ctx)
		if err != nil {
			return found, err
		}
		for _, r := range records {
			a.Records++
			if sum, ok := j.acked[place{p, r.Offset}]; ok {
				found++
				if sum != xxhash.Sum64(r.Value) {
					a.find("partition %d offset %d holds other bytes than were acknowledged there", p, r.Offset)
				}
				if r.Offset >= decided {
					a.find("partition %d offset %d was acknowledged and has no outcome", p, r.Offset)
				}
			}
			if head, err := wire.ParseRecord(r.Value); err == nil && j.mustNotBe(head.Command) {
				a.find("partition %d offset %d holds command %s, which was said not to be in the log", p, r.Offset, wire.Hex(head.Command))
			}
		}
	}
	return found, nil
}
