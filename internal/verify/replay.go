package verify

import (
	"context"
	"fmt"
	"io"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

// happened is a record with its outcomes.
type happened struct {
	record   eventlog.Record
	outcomes [][]byte
}

// maxRecent is how many records are kept for the story of the first violation; maxStory how many lines it has.
const (
	maxRecent = 4_096
	maxStory  = 60
)

// kindName is an outcome's or record's name.
func kindName(b wire.Body) string { return fmt.Sprintf("%T", b)[len("*wire."):] }

// tell is the story of the newest of some records: those before it about the same booking or place, and itself.
func tell(log string, all []happened) []string {
	last := all[len(all)-1]
	r, _ := wire.ParseRecord(last.record.Value)
	about := map[wire.ID]bool{r.Ref: true}
	for _, b := range last.outcomes {
		if o, err := wire.ParseOutcome(b); err == nil {
			about[o.Ref] = true
		}
	}
	delete(about, wire.ID{})
	var lines []string
	for _, h := range all[:len(all)-1] {
		lines = append(lines, h.lines(log, func(object int64, ref wire.ID) bool { return about[ref] })...)
	}
	own := last.lines(log, nil)
	own = own[:min(len(own), maxStory)]
	return append(lines[max(0, len(lines)-(maxStory-len(own))):], own...)
}

// lines writes what is wanted of a record and its outcomes, the record first; nil wants all. The record is written if
// anything of it is wanted.
func (h happened) lines(log string, want func(object int64, ref wire.ID) bool) []string {
	r, err := wire.ParseRecord(h.record.Value)
	found := want == nil || err == nil && want(r.Object, r.Ref)
	var out []string
	for _, b := range h.outcomes {
		o, err := wire.ParseOutcome(b)
		if err != nil {
			out = append(out, fmt.Sprintf("    → %d bytes that are not an outcome", len(b)))
			continue
		}
		if want != nil && !want(o.Object, o.Ref) {
			continue
		}
		found = true
		out = append(out, outcomeText(log, o))
	}
	if !found {
		return nil
	}
	return append([]string{recordText(log, h.record.Offset, h.record.Value, r, err)}, out...)
}

func recordText(log string, offset int64, value []byte, r wire.Record, err error) string {
	if err != nil {
		return fmt.Sprintf("%s %d: %d bytes that are not a record", log, offset, len(value))
	}
	body := wire.NewOrder(r.Kind)
	if log == wire.TopicQueue {
		body = wire.NewQueueRecord(r.Kind)
	}
	text := fmt.Sprintf("kind %d", r.Kind)
	if body != nil && r.DecodeInto(body) == nil {
		text = model.Text(body)
	}
	return fmt.Sprintf("%s %d: %s%s", log, offset, subject(r.Object, r.Ref), text)
}

func outcomeText(log string, o wire.Outcome) string {
	body := wire.NewOrderOutcome(o.Kind)
	if log == wire.TopicQueue {
		body = wire.NewQueueOutcome(o.Kind)
	}
	text := fmt.Sprintf("kind %d", o.Kind)
	if body != nil && o.DecodeInto(body) == nil {
		text = model.Text(body)
	}
	return fmt.Sprintf("    → %d at %s: %s%s", o.Seq, time.UnixMicro(o.At).UTC().Format("2006-01-02T15:04:05.000000Z"), subject(o.Object, o.Ref), text)
}

func subject(object int64, ref wire.ID) string {
	switch {
	case ref != wire.ID{}:
		return fmt.Sprintf("%d/%s ", object, wire.Hex(ref))
	case object != 0:
		return fmt.Sprintf("%d ", object)
	}
	return ""
}

// Story says whose story Replay writes: of one booking or place, or of everything in an event or room. Exactly one of
// Ref and Object is set.
type Story struct {
	Log       string // wire.TopicOrders or wire.TopicQueue
	Prefix    string // before the names of the topics
	Partition int32
	Ref       wire.ID // booking id, or token id of a place
	Object    int64   // event or room id
	from      start   // where to begin to read
}

// Replay writes the story in the order of the log, one line a record and one an outcome, and says how many records it
// found.
func Replay(ctx context.Context, from Source, s Story, w io.Writer) (records int, err error) {
	outcomes := wire.TopicOutcomes
	if s.Log == wire.TopicQueue {
		outcomes = wire.TopicQueueOutcomes
	}
	if (s.Log != wire.TopicQueue && s.Log != wire.TopicOrders) || (s.Ref == wire.ID{}) == (s.Object == 0) {
		return 0, fmt.Errorf("replay: expected log %s or %s, and either a booking or place, or an event or room", wire.TopicOrders, wire.TopicQueue)
	}
	pair, err := openPair(ctx, from, s.Prefix+s.Log, s.Prefix+outcomes, s.Partition, s.from)
	if err != nil {
		return 0, err
	}
	defer pair.close()
	want := func(object int64, ref wire.ID) bool {
		if s.Object != 0 {
			return object == s.Object
		}
		return ref == s.Ref
	}
	for {
		step, err := pair.next(ctx)
		if err != nil || step.done {
			return records, err
		}
		lines := happened{step.record, step.outcomes}.lines(s.Log, want)
		if len(lines) > 0 {
			records++
		}
		for _, line := range lines {
			if _, err := fmt.Fprintln(w, line); err != nil {
				return records, fmt.Errorf("writing the story: %w", err)
			}
		}
	}
}
