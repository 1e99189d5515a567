package verify

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
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
	Story      []string         `json:"story,omitempty"` // of the record of the first violation
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
		fmt.Fprintf(&b, "violation of invariant %d at %s: %s\n", v.Invariant, v.Where, v.Explain)
		if i == 0 {
			for _, line := range r.Story {
				fmt.Fprintf(&b, "    %s\n", line)
			}
		}
	}
	if more := r.Total - len(r.Violations); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
