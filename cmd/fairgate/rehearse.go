package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/crowd"
	"fairgate/internal/run"
	"fairgate/internal/verify"
)

// rehearsalReport is the one JSON object that a rehearsal prints.
type rehearsalReport struct {
	rehearsal
	Outcomes        map[crowd.Outcome]int64 `json:"outcomes"`
	Oversold        int                     `json:"oversold"`         // violations of invariant 1
	OrderInversions int                     `json:"order_inversions"` // violations of invariant 6
	Violations      int                     `json:"violations"`
	First           []string                `json:"firstViolations,omitempty"`
	Missing         []crowd.Outcome         `json:"missingOutcomes,omitempty"`
	Steps           map[string]crowd.Times  `json:"steps"` // milliseconds
	Errors          map[string]int64        `json:"errors"`
	Failures        map[string]int64        `json:"failures,omitempty"`
	Counts          map[string]int64        `json:"verified"`
	WallSeconds     float64                 `json:"wallSeconds"`
}

// expectedOutcomes must each happen at least once, or the rehearsal proved less than it says.
var expectedOutcomes = []crowd.Outcome{
	crowd.Paid, crowd.Declined, crowd.LetLapse, crowd.Cancelled, crowd.Vanished, crowd.SoldOut,
}

// errViolated makes the command exit with 1 after its report.
var errViolated = errors.New("the rehearsal broke a promise: see violations, missingOutcomes and failures")

// overlay shortens what would make a rehearsal long. The puzzle is real, only cheap.
func (r rehearsal) overlay(c *Config) {
	c.Botguard.Puzzle.Difficulty = r.Difficulty
	c.Workers.RelayEvery = 50 * time.Millisecond
	c.Workers.SweepAfter = 3 * time.Second
	c.Waitingroom.Refresh = 500 * time.Millisecond
}

// stageOverlay is for a stack that is killed every now and then: it shall have snapshots to come back from, and not wait
// long for what a killed worker had in hand.
func (r rehearsal) stageOverlay(c *Config) {
	r.overlay(c)
	c.Processor.Engine.SnapshotEvery = time.Second
	c.Workers.Lease, c.Workers.TaskTimeout = 5*time.Second, 4*time.Second
}

// rehearse runs a whole sale on free ports in a folder of its own.
func (c demoCommand) rehearse(ctx context.Context, out io.Writer, log *slog.Logger) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	for _, to := range []*string{&c.HTTP, &c.Admin, &c.Pay, &c.Ops} {
		if *to, err = freeAddress(); err != nil {
			return err
		}
	}
	r := newRehearsal(c.Rehearse)
	options := c.options(dir)
	options.overlay = r.overlay
	if len(c.Kafka) > 0 && options.prefix == "" {
		options.prefix = fmt.Sprintf("rehearsal-%d-", time.Now().UnixNano())
	}
	undo, err := c.ownDatabase(ctx, &options)
	if err != nil {
		return err
	}
	defer undo()
	began := time.Now()
	s, err := openStack(ctx, options, log)
	if err != nil {
		return err
	}
	var report rehearsalReport
	ctx, end := context.WithCancel(ctx)
	defer end()
	failed := make(chan error, 1)
	s.late = append(s.late, run.Part{Name: "rehearsal", MayEnd: true, Run: func(ctx context.Context) error {
		defer end()
		var err error
		report, err = s.drive(ctx, r, c.Seed)
		failed <- err
		return nil
	}})
	if err := s.run(ctx); err != nil {
		return err
	}
	select {
	case err = <-failed:
	default:
		err = errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	report.WallSeconds = time.Since(began).Seconds()
	return report.print(out, c.JSON)
}

// drive seeds, sends the fans, waits until everything has come to rest, and verifies.
func (s *stack) drive(ctx context.Context, r rehearsal, seed uint64) (rehearsalReport, error) {
	if err := s.whenReady(ctx); err != nil {
		return rehearsalReport{}, err
	}
	if err := r.seed(ctx, s.db, s.publisher(), time.Now()); err != nil {
		return rehearsalReport{}, err
	}
	if err := s.roomServed(ctx); err != nil {
		return rehearsalReport{}, err
	}
	path := filepath.Join(s.options.dir, "journal.jsonl")
	journal, err := crowd.OpenJournal(path)
	if err != nil {
		return rehearsalReport{}, err
	}
	fans, err := crowd.Run(ctx, r.crowd(s.shopURL(), s.payURL(), seed), crowd.Deps{
		Solve: solve, Journal: journal, Progress: crowd.Printer(os.Stderr, isTerminal(os.Stderr)), Log: s.log,
	})
	if err = errors.Join(err, journal.Close()); err != nil {
		return rehearsalReport{}, err
	}
	if err := s.rest(ctx, time.Minute); err != nil {
		return rehearsalReport{}, err
	}
	return s.judge(ctx, r, fans, []string{path})
}

// roomServed waits until the edge serves the room's document.
func (s *stack) roomServed(ctx context.Context) error { return s.served(ctx, rehearsalRoom) }

// served waits until the edge serves a room's document: it learns of new rooms every now and then.
func (s *stack) served(ctx context.Context, room int64) error {
	return settle(ctx, startTimeout, func(context.Context) (bool, error) {
		status, _, err := fasthttp.Get(nil, fmt.Sprintf("%s/rooms/%d/queue", s.shopURL(), room))
		return status == fasthttp.StatusOK, err
	})
}

// crowd is the rehearsal's crowd, against servers anywhere.
func (r rehearsal) crowd(shop, pay string, seed uint64) crowd.Config {
	return crowd.Config{
		BaseURL: shop, PayURL: pay, Room: rehearsalRoom, Event: rehearsalEvent, Fans: r.Fans, Seed: seed, SharedDocument: true,
		Deadline: 4 * time.Minute,
	}
}

// rest waits until nothing moves any more.
func (s *stack) rest(ctx context.Context, atMost time.Duration) error {
	quiet := 0
	err := settle(ctx, atMost, func(ctx context.Context) (bool, error) {
		u, err := s.db.Unsettled(ctx)
		if err != nil {
			return false, err
		}
		if !u.Rest() || s.sim.UndeliveredWebhooks() > 0 {
			quiet = 0
		} else {
			quiet++
		}
		return quiet >= 5, nil
	})
	if err != nil {
		u, _ := s.db.Unsettled(context.WithoutCancel(ctx))
		return fmt.Errorf("the sale did not come to rest (%+v, %d webhooks): %w", u, s.sim.UndeliveredWebhooks(), err)
	}
	return nil
}

// judge verifies the logs and holds the fans' journals against them.
func (s *stack) judge(ctx context.Context, r rehearsal, fans crowd.Report, journals []string) (rehearsalReport, error) {
	report := rehearsalReport{
		rehearsal: r, Outcomes: fans.Counts, Steps: fans.Steps, Errors: fans.Errors, Failures: fans.Failures,
	}
	// Reconciling posts the provider's fees, which come with its balance transactions. At rest it must find nothing else.
	reconciled, err := s.workers.Reconcile(ctx)
	if err != nil {
		return report, err
	}
	for _, f := range reconciled.Findings {
		report.Violations++
		report.First = append(report.First, fmt.Sprintf("reconcile: %+v", f))
	}
	verified, err := s.verify(ctx)
	if err != nil {
		return report, err
	}
	report.add(verified)
	for _, behind := range []string{"orders.unanswered", "queue.unanswered", "projection.behind"} {
		if n := verified.Counts[behind]; n > 1 {
			report.Violations++
			report.First = append(report.First, fmt.Sprintf("%s is %d at rest", behind, n))
		}
	}
	facts, err := s.readFacts(ctx, s.sim)
	if err != nil {
		return report, err
	}
	for _, path := range journals {
		entries, err := crowd.ReadJournalFile(path)
		if err != nil {
			return report, err
		}
		for _, f := range crowd.Audit(entries, facts) {
			report.Violations++
			report.First = append(report.First, fmt.Sprintf("journal: %s %s: %s", f.Rule, f.Subject, f.Explain))
		}
	}
	for _, o := range expectedOutcomes {
		if fans.Counts[o] == 0 {
			report.Missing = append(report.Missing, o)
		}
	}
	const shown = 20
	report.First = report.First[:min(len(report.First), shown)]
	return report, nil
}

func (r *rehearsalReport) add(v verify.Report) {
	r.Counts = v.Counts
	for _, x := range v.Violations {
		r.Violations++
		switch x.Invariant {
		case 1:
			r.Oversold++
		case 6:
			r.OrderInversions++
		}
		r.First = append(r.First, fmt.Sprintf("invariant %d at %s: %s", x.Invariant, x.Where, x.Explain))
	}
}

// print writes the report; its error is what the exit code says.
func (r *rehearsalReport) print(out io.Writer, asJSON bool) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if asJSON {
		fmt.Fprintf(out, "%s\n", b)
	} else {
		fmt.Fprintf(out, "%d fans, %d tickets, %.0f s: %v\n%d violations\n", r.Fans, r.Tickets, r.WallSeconds, r.Outcomes, r.Violations)
	}
	if r.Violations > 0 || len(r.Missing) > 0 || r.Outcomes[crowd.Failed] > 0 || r.Outcomes[crowd.Unfinished] > 0 {
		return errViolated
	}
	return nil
}

// ownDatabase makes a database of the rehearsal's own on a PostgreSQL that was named, and drops it afterwards.
func (c demoCommand) ownDatabase(ctx context.Context, o *stackOptions) (undo func(), err error) {
	if c.Postgres == "" {
		return func() {}, nil
	}
	url, drop, err := createDatabase(ctx, c.Postgres)
	if err != nil {
		return nil, fmt.Errorf("--postgres: %w", err)
	}
	o.postgres = url
	return drop, nil
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
