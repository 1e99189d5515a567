package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairgate/internal/crowd"
	"fairgate/internal/embedded"
	"fairgate/internal/run"
)

const (
	// killEnv is how many times the stack is killed; more kills bring more fans.
	killEnv = "FAIRGATE_TEST_KILL"
	// killSeedEnv repeats the moments of an earlier run.
	killSeedEnv  = "FAIRGATE_TEST_KILL_SEED"
	defaultKills = 5
	fansPerKill  = 30
	// childReady bounds one start of the stack, childStop its orderly end.
	childReady = 90 * time.Second
	childStop  = 40 * time.Second
)

// The moments of the kills: so long after the stack was ready again, or, one in earlyOneIn, so long after its start, ready
// or not. One in downOneIn stays down for a while, so that log time has an outage.
const (
	firstKills     = 2 // of the very first starts, before the fans: while the folder is made and the sale set up
	firstMost      = 2500 * time.Millisecond
	killAfterLeast = 500 * time.Millisecond
	killAfterMost  = 6 * time.Second
	earlyOneIn     = 5
	earlyMost      = 600 * time.Millisecond
	downOneIn      = 4
	downLeast      = 2 * time.Second
	downMost       = 5 * time.Second
	// arrivalsPerKill is shorter than the mean time between two kills, so that they fall into every phase of the sale.
	arrivalsPerKill = 3 * time.Second
)

// TestKill_NothingAcknowledgedIsLost kills the whole stack at random moments of a sale. The fans live here, in a process
// of their own; at the end their journal is held against the logs, Postgres and the provider.
func TestKill_NothingAcknowledgedIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a whole stack")
	}
	if _, err := embedded.FindPostgres(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	kills := numberFromEnv(t, killEnv, defaultKills)
	seed := uint64(numberFromEnv(t, killSeedEnv, time.Now().UnixNano()))
	r := newRehearsal(int(max(kills, 1)) * fansPerKill)
	c := newChild(t, r)
	t.Logf("%d kills, %d fans, %d tickets; %s=%d repeats the moments", kills, r.Fans, r.Tickets, killSeedEnv, seed)
	moments := rand.New(rand.NewPCG(seed, 0))
	c.start()
	for range firstKills {
		c.live(time.Duration(moments.Int64N(int64(firstMost))))
		c.killAndStart(0)
	}
	c.awaitReady()
	c.awaitRoom()

	journalPath := filepath.Join(t.TempDir(), "journal.jsonl")
	fans := startFans(t, r, c.options, kills, journalPath)
	c.killAtRandom(moments, kills)
	report := fans.wait(t)
	t.Logf("the fans:\n%s", report.Text())
	c.stop()

	judged := judgeStage(t, r, c.options, report, journalPath)
	entries, err := crowd.ReadJournalFile(journalPath)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(c.recovered)
	t.Logf("%d kills (%d without waiting until it was ready), %v left down; %d acknowledgements; ready again within %v (median %v)",
		c.killed, c.early, c.down.Round(time.Millisecond), len(entries), slices.Max(c.recovered), c.recovered[len(c.recovered)/2])
	lost := report.Counts[crowd.Failed] + report.Counts[crowd.Unfinished]
	if judged.Violations > 0 || lost > 0 {
		// Before the reasons, so that they are the last thing on the screen.
		t.Logf("the stack said last:\n%s", c.said())
		t.Logf("%s=%d repeats the moments", killSeedEnv, seed)
	}
	if judged.Violations > 0 {
		t.Errorf("%d violations:\n%s", judged.Violations, strings.Join(judged.First, "\n"))
	}
	if lost > 0 {
		t.Errorf("%d fans failed or did not finish: %v", lost, report.Failures)
	}
	for _, kind := range []crowd.Kind{crowd.EntryPlace, crowd.EntryPass, crowd.EntryHold, crowd.EntryAuthorised, crowd.EntryConfirmed} {
		if report.Seen[string(kind)] == 0 {
			t.Errorf("no %s was acknowledged: the test proves nothing about it", kind)
		}
	}
	if c.down > 0 && judged.Counts["outcomes.Extended"] == 0 {
		t.Errorf("the stack was down for %v, and no deadline was extended", c.down)
	}
}

// fans are the crowd while it runs.
type fans struct {
	done   chan struct{}
	report crowd.Report
	err    error
}

// startFans sends the fans at an even pace.
func startFans(t *testing.T, r rehearsal, o stackOptions, kills int64, journalPath string) *fans {
	t.Helper()
	journal, err := crowd.OpenJournal(journalPath)
	if err != nil {
		t.Fatal(err)
	}
	cfg := r.crowd("http://"+o.shop, "http://"+o.pay, 1)
	cfg.Rate = float64(r.Fans) / (time.Duration(kills) * arrivalsPerKill).Seconds()
	cfg.Deadline = 3*time.Minute + time.Duration(kills)*downMost
	ctx, cancel := context.WithCancel(context.Background())
	f := &fans{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.report, f.err = crowd.Run(ctx, cfg, crowd.Deps{
			Solve: solve, Journal: journal, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Progress: crowd.Printer(t.Output(), false),
		})
		f.err = errors.Join(f.err, journal.Close())
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

func (f *fans) wait(t *testing.T) crowd.Report {
	t.Helper()
	<-f.done
	if f.err != nil {
		t.Fatal(f.err)
	}
	return f.report
}

// judgeStage opens what the child left in this process, lets it come to rest and holds the journal against it.
func judgeStage(t *testing.T, r rehearsal, o stackOptions, report crowd.Report, journalPath string) rehearsalReport {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := openStack(t.Context(), o, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var judged rehearsalReport
	judging := errors.New("it was never judged")
	s.late = append(s.late, run.Part{Name: "judge", MayEnd: true, Run: func(ctx context.Context) error {
		defer end()
		if judging = s.whenReady(ctx); judging != nil {
			return nil
		}
		if judging = s.rest(ctx, time.Minute); judging != nil {
			return nil
		}
		judged, judging = s.judge(ctx, r, report, []string{journalPath})
		return nil
	}})
	if err := errors.Join(s.run(ctx), judging); err != nil {
		t.Fatal(err)
	}
	return judged
}
