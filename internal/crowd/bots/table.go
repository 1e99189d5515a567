package bots

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// column is one of the table of results.
type column struct {
	name string
	of   func(r *Report) string
}

func share(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
func short(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// columns are those of the table of results; the first three name a run.
func columns() []column {
	token := func(kind Kind, half bool, of func(Seconds) float64) func(r *Report) string {
		name := kind.String()
		if half {
			name += " at half the speed"
		}
		return func(r *Report) string { return short(of(r.Token[name])) }
	}
	base, twice, eight := func(s Seconds) float64 { return s.Base }, func(s Seconds) float64 { return s.Twice }, func(s Seconds) float64 { return s.Eight }
	list := []column{
		{"profile", func(r *Report) string { return r.Profile }},
		{"order", func(r *Report) string { return r.Order }},
		{"scale", func(r *Report) string { return strconv.FormatFloat(r.Scale, 'g', -1, 64) }},
		{"human_win", func(r *Report) string { return share(r.HumanWin) }},
		{"expected", func(r *Report) string { return share(r.Expected) }},
		{"human_denial", func(r *Report) string { return share(r.Denial) }},
		{"odds_carrier_listed", func(r *Report) string { return short(r.OddsListed) }},
		{"odds_carrier_unlisted", func(r *Report) string { return short(r.OddsUnlisted) }},
		{"odds_slow_phone", func(r *Report) string { return short(r.OddsLow) }},
		{"timed_win", func(r *Report) string { return share(r.PlainWin) }},
		{"timed_share", func(r *Report) string { return share(r.PlainShare) }},
		{"shared_win", func(r *Report) string { return share(r.SharedWin) }},
		{"shared_share", func(r *Report) string { return share(r.SharedShare) }},
		{"people", func(r *Report) string { return strconv.Itoa(r.People) }},
		{"tickets", func(r *Report) string { return strconv.Itoa(r.Tickets) }},
		{"bot_places", func(r *Report) string { return strconv.Itoa(r.Places) }},
		{"mean_price", func(r *Report) string { return short(r.MeanPrice) }},
		{"bot_price", func(r *Report) string { return short(r.BotPrice) }},
		{"server_hours_per_1000", func(r *Report) string { return share(r.ServerHours) }},
	}
	for _, kind := range []Kind{Low, Mid, Laptop} {
		for i, of := range []func(Seconds) float64{base, twice, eight} {
			list = append(list, column{fmt.Sprintf("%s_p95_%dx", kind, []int{1, 2, 8}[i]), token(kind, false, of)})
		}
		list = append(list, column{fmt.Sprintf("half_%s_p95_1x", kind), token(kind, true, base)})
	}
	whole := func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
	fine := func(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
	return append(list,
		column{"compress", func(r *Report) string { return short(r.Compress) }},
		column{"latency_p95", func(r *Report) string { return fine(r.Latency) }},
		column{"latency_p99", func(r *Report) string { return fine(r.Slowest) }},
		column{"generator_late_p99", func(r *Report) string { return fine(r.Lateness) }},
		column{"compress_asked", func(r *Report) string { return short(r.Asked) }},
		column{"wall_s", func(r *Report) string { return whole(r.Cost.Wall) }},
		column{"cpu_s", func(r *Report) string { return whole(r.Cost.CPU) }},
		column{"peak_mb", func(r *Report) string { return whole(r.Cost.Peak) }},
		column{"seed", func(r *Report) string { return strconv.FormatUint(r.Seed, 10) }},
		column{"shared", func(r *Report) string { return strconv.Itoa(r.Shared) }})
}

const named = 3 // columns that name a run

// Rows is the table of results, its heading first.
func Rows(reports []Report, commit string) []string {
	if commit == "" {
		commit = "unknown"
	}
	var heading []string
	for _, c := range columns() {
		heading = append(heading, c.name)
	}
	rows := []string{strings.Join(append(heading, "commit"), "\t")}
	for i := range reports {
		var row []string
		for _, c := range columns() {
			row = append(row, c.of(&reports[i]))
		}
		rows = append(rows, strings.Join(append(row, commit), "\t"))
	}
	return rows
}

// unsaid is in the columns that a table from before does not have.
const unsaid = "-"

// widen gives rows, their heading first, the columns of another heading. It is false if they have any that are not among them.
func widen(rows []string, heading string) ([]string, bool) {
	old := strings.Split(rows[0], "\t")
	var from []int // for each column its place in the old rows, or -1
	known := 0
	for name := range strings.SplitSeq(heading, "\t") {
		i := slices.Index(old, name)
		if from = append(from, i); i >= 0 {
			known++
		}
	}
	wide := []string{heading}
	for _, row := range rows[1:] {
		values := strings.Split(row, "\t")
		if len(values) != len(old) {
			return nil, false
		}
		var b []string
		for _, i := range from {
			if i < 0 {
				b = append(b, unsaid)
			} else {
				b = append(b, values[i])
			}
		}
		wide = append(wide, strings.Join(b, "\t"))
	}
	return wide, known == len(old)
}

// Merge puts new rows into a table, in the place of those of the same run. The table may be one from before there were all the
// columns.
func Merge(table string, fresh []string) ([]string, error) {
	if strings.TrimSpace(table) == "" {
		return fresh, nil
	}
	rows := strings.Split(strings.TrimRight(table, "\n"), "\n")
	rows, ok := widen(rows, fresh[0])
	if !ok {
		return nil, errors.New("a table with other columns; move it away")
	}
	name := func(row string) string { return strings.Join(strings.SplitN(row, "\t", named+1)[:named], " ") }
	for _, f := range fresh[1:] {
		rows = append(slices.DeleteFunc(rows, func(row string) bool { return name(row) == name(f) }), f)
	}
	slices.SortStableFunc(rows[1:], func(a, b string) int { return strings.Compare(name(a), name(b)) })
	return rows, nil
}

// Has says whether a table has the row of a run with the profile, order, scale, seed and shared lane of a report, made by a
// commit. A table that does not say one of them does not.
func Has(table string, run Report, commit string) bool {
	wanted := Rows([]Report{run}, commit)
	rows, ok := widen(strings.Split(strings.TrimRight(table, "\n"), "\n"), wanted[0])
	if !ok {
		return false
	}
	heading := strings.Split(wanted[0], "\t")
	alike := func(row string) bool {
		got, want := strings.Split(row, "\t"), strings.Split(wanted[1], "\t")
		for i, name := range heading {
			if slices.Contains([]string{"profile", "order", "scale", "seed", "shared", "commit"}, name) && got[i] != want[i] {
				return false
			}
		}
		return true
	}
	return slices.ContainsFunc(rows[1:], alike)
}

// Text is a report for people to read.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: people got %.1f %% of %d tickets", r.Profile, r.Order, 100*r.HumanWin, r.Tickets)
	if r.Expected > 0 {
		fmt.Fprintf(&b, " (%.1f %% over all draws)", 100*r.Expected)
	}
	fmt.Fprintf(&b, "; %d people, %d of them without a place %v; %d bots' places at %.1f times the base price, %.2f server-hours a thousand\n",
		r.People, int(r.Denial*float64(r.People)+0.5), r.Denials, r.Places, r.BotPrice, r.ServerHours)
	fmt.Fprintf(&b, "  odds: carrier listed %.2f, unlisted %.2f, slow phone %.2f; people paid %.2f times the base price\n",
		r.OddsListed, r.OddsUnlisted, r.OddsLow, r.MeanPrice)
	fmt.Fprintf(&b, "  lanes: timed %.1f %% of the tickets, people got %.1f %% of those; shared %.1f %%, %.1f %%\n",
		100*r.PlainShare, 100*r.PlainWin, 100*r.SharedShare, 100*r.SharedWin)
	for _, kind := range []Kind{Low, Mid, Laptop} {
		t, half := r.Token[kind.String()], r.Token[kind.String()+" at half the speed"]
		fmt.Fprintf(&b, "  token p95, %-6s %5.1f s at the base price, %5.1f at twice, %5.1f at eight times; at half the speed %5.1f\n",
			kind, t.Base, t.Twice, t.Eight, half.Base)
	}
	fmt.Fprintf(&b, "  time ran %.1f times faster than the clock (asked %.0f); the generator was up to %.0f ms late (p99), the server's answers took %.0f ms (p95), %.0f ms (p99)\n",
		r.Compress, r.Asked, 1000*r.Lateness, 1000*r.Latency, 1000*r.Slowest)
	fmt.Fprintf(&b, "  faults %v; solved too late %d; the run took %.0f s, %.0f s of processor time, %.0f MB", r.Faults, r.Lost, r.Cost.Wall, r.Cost.CPU, r.Cost.Peak)
	return b.String()
}
