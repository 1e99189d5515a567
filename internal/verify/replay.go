package verify

import (
	"context"
	"fmt"
	"io"
	"strings"

	"fairgate/internal/eventlog"
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
func (t *teller) tell(all []happened) []string {
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
		lines = append(lines, t.lines(h, func(_ int64, ref wire.ID) bool { return about[ref] })...)
	}
	own := t.lines(last, nil)
	own = own[:min(len(own), maxStory)]
	return append(lines[max(0, len(lines)-(maxStory-len(own))):], own...)
}

// indent is as wide as the instant before a record.
var indent = strings.Repeat(" ", len(clockLayout)+len(" UTC"))

// lines writes what is wanted of a record and its outcomes, the record first; nil wants all. The record is written if
// anything of it is wanted.
func (t *teller) lines(h happened, want func(object int64, ref wire.ID) bool) []string {
	r, err := wire.ParseRecord(h.record.Value)
	found := want == nil || err == nil && want(r.Object, r.Ref)
	var out []string
	var at int64
	for _, b := range h.outcomes {
		o, err := wire.ParseOutcome(b)
		if err != nil {
			out = append(out, fmt.Sprintf("%s  → %d bytes that are not an outcome (%v)", indent, len(b), err))
			continue
		}
		at = o.At
		if want != nil && !want(o.Object, o.Ref) {
			continue
		}
		found = true
		out = append(out, fmt.Sprintf("%s  → %s  [outcome %d, %s]", indent, t.outcome(o), o.Seq, kindWords(t.newOutcome, o.Kind)))
	}
	if !found {
		return nil
	}
	kind := ""
	if err == nil {
		kind = ", " + kindWords(t.newRecord, r.Kind)
	}
	return append([]string{fmt.Sprintf("%s  %s  [record %d%s]", when(at), t.record(h.record.Value), h.record.Offset, kind)}, out...)
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

// wants says whether something is part of the story.
func (s *Story) wants(object int64, ref wire.ID) bool {
	if s.Object != 0 {
		return object == s.Object
	}
	return ref == s.Ref
}

// Replay writes the story in the order of the log, a line for a record and one for each outcome, and says how many
// records it found. A record at the end of the log that has no outcomes yet is not told.
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
	t := newTeller(s.Log)
	for {
		step, err := pair.next(ctx)
		if err != nil || step.done {
			return records, err
		}
		t.learnAll(step.outcomes)
		lines := t.lines(happened{step.record, step.outcomes}, s.wants)
		if len(lines) == 0 {
			continue
		}
		records++
		if _, err := io.WriteString(w, strings.Join(lines, "\n")+"\n"); err != nil {
			return records, fmt.Errorf("writing the story: %w", err)
		}
	}
}
