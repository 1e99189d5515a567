package crowd

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Step is a part of a visit that is timed.
type Step uint8

// The steps, in the order of a visit; each is also the state in which a fan is meanwhile.
const (
	StepArrive Step = iota // until the challenge is there
	StepSolve              // the puzzle, waiting for a free solver included
	StepJoin               // until the place is recorded
	StepWait               // in line until invited
	StepEnter              // from the invitation until the pass is there
	StepBook               // until the hold's answer
	StepPay                // until the card's answer
	StepSettle             // until the booking is final
	steps
)

var stepNames = [steps]string{"arrive", "solve", "join", "wait", "enter", "book", "pay", "settle"}

// String is the step's name in reports.
func (s Step) String() string {
	if s < steps {
		return stepNames[s]
	}
	return "unknown"
}

// Times are how long a step took, in milliseconds, over those who got through it.
type Times struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Report is what became of a crowd. Seen counts things on the way: the journal's kinds, and notRecorded, renewed,
// notInvited, asked, pending, offered, declined, arrivedAgain, paidTooLate, confirmedAgain, bookingAway, olderDocument,
// strangeDocument.
type Report struct {
	Fans     int64             `json:"fans"`   // that arrived, or should have
	Counts   map[Outcome]int64 `json:"counts"` // has every outcome; they sum to Fans
	Plans    map[string]int64  `json:"plans"`  // what they meant to do
	Seen     map[string]int64  `json:"seen"`
	Steps    map[string]Times  `json:"steps"`
	Errors   map[string]int64  `json:"errors"`   // answers that were no success, by status code, and "connection"
	Failures map[string]int64  `json:"failures"` // why fans ended as failed, missed or unfinished
	Overtook int64             `json:"overtook"` // admitted after somebody behind them, as the fans saw it: no proof
	Seconds  float64           `json:"seconds"`
}

// Progress is a crowd at a moment.
type Progress struct {
	Elapsed time.Duration
	Started int64
	States  [steps]int64 // fans now in each step
	Counts  map[Outcome]int64
	Errors  int64
	Done    bool // the last call
}

// maxFailures bounds how many different failures a report tells apart.
const maxFailures = 50

// Range and precision of the histograms, in µs: an hour, two digits.
const (
	longest = int64(time.Hour / time.Microsecond)
	digits  = 2
)

// tally counts. It is safe for any number of goroutines.
type tally struct {
	states   [steps]atomic.Int64
	errs     atomic.Int64
	mu       sync.Mutex
	counts   map[Outcome]int64
	plans    map[string]int64
	seen     map[string]int64
	errors   map[string]int64
	failures map[string]int64
	times    [steps]*hdrhistogram.Histogram
	latest   map[string]string // lane → latest order key admitted so far
	overtook int64
}

func newTally() *tally {
	t := &tally{
		counts: make(map[Outcome]int64), plans: make(map[string]int64), seen: make(map[string]int64),
		errors: make(map[string]int64), failures: make(map[string]int64), latest: make(map[string]string),
	}
	for i := range t.times {
		t.times[i] = hdrhistogram.New(1, longest, digits)
	}
	return t
}

func (t *tally) ended(p Plan, o Outcome, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[o]++
	t.plans[p.String()]++
	if why == "" {
		return
	}
	why = string(o) + ": " + why
	if _, known := t.failures[why]; !known && len(t.failures) >= maxFailures {
		why = "other"
	}
	t.failures[why]++
}

func (t *tally) saw(what string) {
	t.mu.Lock()
	t.seen[what]++
	t.mu.Unlock()
}

func (t *tally) trouble(what string) {
	t.errs.Add(1)
	t.mu.Lock()
	t.errors[what]++
	t.mu.Unlock()
}

func (t *tally) took(s Step, d time.Duration) {
	t.mu.Lock()
	// Beyond the range counts as the longest: RecordValue refuses nothing then.
	_ = t.times[s].RecordValue(min(max(d.Microseconds(), 1), longest))
	t.mu.Unlock()
}

// admitted notes whether somebody behind in the lane came in before.
func (t *tally) admitted(lane, key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key < t.latest[lane] {
		t.overtook++
	} else {
		t.latest[lane] = key
	}
}

func (t *tally) progress(started int64, elapsed time.Duration) Progress {
	p := Progress{Elapsed: elapsed, Started: started, Counts: make(map[Outcome]int64), Errors: t.errs.Load()}
	for i := range p.States {
		p.States[i] = t.states[i].Load()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for o, n := range t.counts {
		p.Counts[o] = n
	}
	return p
}

// report sums up. Those of total that never arrived are unfinished too.
func (t *tally) report(started, total int64, took time.Duration) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{
		Fans: max(started, total), Counts: make(map[Outcome]int64), Plans: t.plans, Seen: t.seen, Steps: make(map[string]Times),
		Errors: t.errors, Failures: t.failures, Overtook: t.overtook, Seconds: took.Seconds(),
	}
	for _, o := range Outcomes() {
		r.Counts[o] = t.counts[o]
	}
	r.Counts[Unfinished] += r.Fans - started
	for i, h := range t.times {
		ms := func(v int64) float64 { return float64(v) / 1000 }
		r.Steps[Step(i).String()] = Times{h.TotalCount(), ms(h.ValueAtQuantile(50)), ms(h.ValueAtQuantile(99)), ms(h.Max())}
	}
	return r
}

// lineEvery is how often Printer writes where lines stay.
const lineEvery = 5 * time.Second

// Printer returns a Progress function that writes one line: over and over the same on a terminal, else a new one every 5
// seconds. What w refuses is lost.
func Printer(w io.Writer, terminal bool) func(Progress) {
	var last time.Duration
	width := 0
	return func(p Progress) {
		line := p.String()
		switch {
		case terminal:
			// Blanks cover what a longer line left behind.
			_, _ = fmt.Fprintf(w, "\r%-*s", width, line)
			width = len(line)
			if p.Done {
				_, _ = fmt.Fprintln(w)
			}
		case p.Done || p.Elapsed-last >= lineEvery:
			last = p.Elapsed
			_, _ = fmt.Fprintln(w, line)
		}
	}
}

// String is a line for people: "12s  340 fans: 20 join 200 wait 5 pay | 100 paid 15 soldOut | 3 errors".
func (p Progress) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%3ds %6d fans:", int(p.Elapsed.Seconds()), p.Started)
	for s, n := range p.States {
		if n > 0 {
			fmt.Fprintf(&b, " %d %s", n, Step(s))
		}
	}
	b.WriteString(" |")
	for _, o := range Outcomes() {
		if n := p.Counts[o]; n > 0 {
			fmt.Fprintf(&b, " %d %s", n, o)
		}
	}
	if p.Errors > 0 {
		fmt.Fprintf(&b, " | %d errors", p.Errors)
	}
	return b.String()
}

// Text is the report for people, in lines.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d fans in %.1f s\n", r.Fans, r.Seconds)
	for _, o := range Outcomes() {
		fmt.Fprintf(&b, "  %-11s %d\n", o, r.Counts[o])
	}
	for s := range steps {
		if t := r.Steps[s.String()]; t.Count > 0 {
			fmt.Fprintf(&b, "  %-7s p50 %9.1f ms  p99 %9.1f ms  (%d)\n", s, t.P50, t.P99, t.Count)
		}
	}
	for _, part := range []struct {
		name string
		of   map[string]int64
	}{{"errors", r.Errors}, {"failures", r.Failures}} {
		names := make([]string, 0, len(part.of))
		for name := range part.of {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Fprintf(&b, "  %s: %s: %d\n", part.name, name, part.of[name])
		}
	}
	return b.String()
}
