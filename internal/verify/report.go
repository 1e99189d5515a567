package verify

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"fairgate/internal/wire"
)

// Violation is one thing that is not as it must be.
type Violation struct {
	Invariant int    `json:"invariant"` // its number in ARCHITECTURE.md
	Where     string `json:"where"`     // "orders/0 offset 17", "bookings 0190…", "money 1/7/EUR"
	Explain   string `json:"explain"`
}

// Report is what a verification found. Violations keeps the first of them; Total counts them all.
type Report struct {
	Violations []Violation      `json:"violations"`
	Total      int              `json:"total"`
	Hurts      []string         `json:"hurts,omitempty"` // whom the first violation is about: events, bookings, fans, places
	Story      []string         `json:"story,omitempty"` // that led to the record of the first violation, and the record itself
	Counts     map[string]int64 `json:"counts"`          // "orders.records", "outcomes.Held", "projection.behind", …
}

// OK says that nothing was violated.
func (r *Report) OK() bool { return r.Total == 0 }

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(&b, "%12d  %s\n", r.Counts[k], k)
	}
	if r.OK() {
		b.WriteString("no violation\n")
	}
	for i, v := range r.Violations {
		fmt.Fprintf(&b, "violation of invariant %d (%s) at %s:\n    %s\n", v.Invariant, promise(v.Invariant), v.Where, v.Explain)
		if i > 0 {
			continue
		}
		if len(r.Hurts) > 0 {
			fmt.Fprintf(&b, "  it hurts %s\n", strings.Join(r.Hurts, ", "))
		}
		if len(r.Story) > 0 {
			b.WriteString("  what led to it:\n")
		}
		for _, line := range r.Story {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	if more := r.Total - len(r.Violations); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// promise is an invariant of ARCHITECTURE.md in a few words.
func promise(invariant int) string {
	switch invariant {
	case 1:
		return "held + sold + free = capacity"
	case 2:
		return "the log gives the same outcomes again"
	case 3:
		return "every command has exactly one outcome"
	case 4:
		return "money adds up"
	case 5:
		return "hashes, snapshots and projection agree"
	case 6:
		return "nobody overtakes"
	case 7:
		return "nobody is let in above the cap"
	case 8:
		return "only our own passes, by their owners"
	}
	return "unknown"
}

// hurts names whom a record and its outcomes are about, each once.
func (t *teller) hurts(h happened) (all []string) {
	add := func(name string) {
		if len(all) < maxHurts && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	about := func(object int64, ref wire.ID) {
		event, booking := "event", bookingName
		if t.log == wire.TopicQueue {
			event, booking = "room", placeName
		}
		if object != 0 {
			add(fmt.Sprintf("%s %d", event, object))
		}
		if ref != (wire.ID{}) {
			add(booking(ref))
		}
		if fan := t.fans[ref]; fan != "" {
			add("fan " + fan)
		}
	}
	if r, err := wire.ParseRecord(h.record.Value); err == nil {
		about(r.Object, r.Ref)
		if hold := new(wire.Hold); t.log == wire.TopicOrders && r.Kind == wire.KindHold && r.DecodeInto(hold) == nil {
			add("fan " + subjectName(hold.Subject))
		}
	}
	for _, raw := range h.outcomes {
		if o, err := wire.ParseOutcome(raw); err == nil {
			about(o.Object, o.Ref)
		}
	}
	return all
}

// maxHurts is how many are named; a tick may end a thousand holds.
const maxHurts = 20
