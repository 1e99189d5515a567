package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"fairgate/internal/crowd/bots"
	"fairgate/internal/run"
)

// botsCommand measures who gets the tickets: people, or bots of several kinds. It starts a whole installation on loopback
// and drives people and bots against it.
type botsCommand struct {
	Profile  []string      `help:"Attackers (B1 to B6); all of them if none is named."`
	Order    []string      `help:"Orders of the early crowd." default:"draw,fcfs" enum:"draw,fcfs"`
	Scale    float64       `help:"Of 500,000 people and 20,000 tickets, and of the attacker's means." default:"0.2"`
	Compress float64       `help:"How many times faster than the clock time runs." default:"15"`
	Shared   int           `help:"Share of the outflow for networks with many places, per mille; -1 for what rooms have by default." default:"-1"`
	Seed     uint64        `help:"Seed of the crowd." default:"1"`
	Within   time.Duration `help:"Longest time of one run." default:"20m"`
	Results  string        `help:"File of results (TSV): what was run now replaces the same there."`
	Plot     string        `help:"File to draw all results into (SVG)."`
	Commit   string        `help:"Noted with the results." hidden:""`
	Resume   bool          `help:"Leave out what the file of results has from this commit; needs --results and --commit."`
	JSON     bool          `name:"json" help:"Print each report as JSON."`
}

// Run runs every profile in every order, each in a room of its own, one after the other.
func (c botsCommand) Run(ctx context.Context, out io.Writer) error {
	profiles := bots.Profiles()
	if len(c.Profile) > 0 {
		profiles = slices.DeleteFunc(profiles, func(p bots.Profile) bool { return !slices.Contains(c.Profile, p.Name) })
		if len(profiles) != len(c.Profile) {
			return errors.New("--profile: expected names from B1 to B6, each once")
		}
	}
	if c.Resume && (c.Results == "" || c.Commit == "") {
		return errors.New("--resume: expected --results and --commit beside it, which say what was run before")
	}
	table, err := c.before()
	if err != nil {
		return err
	}
	for _, p := range profiles {
		for _, order := range c.Order {
			wanted := bots.Report{Profile: p.Name, Order: order, Scale: c.Scale, Seed: c.Seed, Shared: c.Shared}
			if c.Resume && bots.Has(table, wanted, c.Commit) {
				fmt.Fprintf(os.Stderr, "%s, %s: kept from before\n", p.Name, order)
				continue
			}
			report, err := c.one(ctx, p, order == "draw")
			if err != nil {
				return fmt.Errorf("%s, %s: %w", p.Name, order, err)
			}
			if table, err = c.keep(table, report); err != nil {
				return err
			}
			if err := c.print(out, report); err != nil {
				return err
			}
		}
	}
	return c.draw(table)
}

// before is the file of results as it is, empty if there is none.
func (c botsCommand) before() (string, error) {
	if c.Results == "" {
		return "", nil
	}
	table, err := os.ReadFile(c.Results)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return string(table), nil
}

// leastCompress is how slow time may become for a machine that does not keep up.
const leastCompress = 2

// one runs a profile, more slowly if this machine does not keep up.
func (c botsCommand) one(ctx context.Context, p bots.Profile, draw bool) (report bots.Report, err error) {
	config := bots.Config{Profile: p, Draw: draw, Scale: c.Scale, Compress: c.Compress, Speeds: 1, Seed: c.Seed}
	for {
		report, err = c.once(ctx, config)
		slower := config.Compress * 2 / 3
		if !errors.Is(err, bots.ErrTooSlow) || slower < leastCompress {
			return report, err
		}
		config.Compress = slower
		fmt.Fprintf(os.Stderr, "%v; once more, at %.0f times\n", err, config.Compress)
	}
}

// once runs a profile in an installation of its own.
func (c botsCommand) once(ctx context.Context, config bots.Config) (report bots.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Within)
	defer cancel()
	log, err := run.NewLogger(os.Stderr, "text", "error")
	if err != nil {
		return report, err
	}
	r, err := openBotsRig(ctx, &config, log)
	if err != nil {
		return report, err
	}
	defer r.remove()
	debug.FreeOSMemory() // what an earlier run left
	lowerPeak()
	began, before := time.Now(), cpuTime()
	err = r.stack.during(ctx, func(ctx context.Context) error {
		report, err = r.run(ctx, config, c.Shared, os.Stderr)
		return err
	})
	report.Shared = c.Shared
	report.Cost = bots.Cost{Wall: time.Since(began).Seconds(), CPU: (cpuTime() - before).Seconds(), Peak: peakMB()}
	return report, err
}

// cpuTime is what this process has taken of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// lowerPeak sets the peak of this process's memory to what it has now, where the system can.
func lowerPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peakMB is the most memory that this process has had since, 0 where the system does not say.
func peakMB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "\nVmHWM:")
	var kilobytes float64
	_, _ = fmt.Sscan(after, &kilobytes)
	return kilobytes / 1024
}

// print writes one report.
func (c botsCommand) print(out io.Writer, r bots.Report) error {
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	_, err := fmt.Fprintln(out, r.Text())
	return err
}

// keep puts a report into the table of results and writes the file of them, if there is one.
func (c botsCommand) keep(table string, report bots.Report) (string, error) {
	rows, err := bots.Merge(table, bots.Rows([]bots.Report{report}, c.Commit))
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Results, err)
	}
	table = strings.Join(rows, "\n") + "\n"
	if c.Results == "" {
		return table, nil
	}
	return table, os.WriteFile(c.Results, []byte(table), 0o644)
}

// draw plots a table of results.
func (c botsCommand) draw(table string) error {
	if c.Plot == "" {
		return nil
	}
	picture, err := bots.Plot(strings.Split(strings.TrimRight(table, "\n"), "\n"))
	if err != nil {
		return err
	}
	return os.WriteFile(c.Plot, picture, 0o644)
}

// during runs the stack until do is done.
func (s *stack) during(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	failed := make(chan error, 1)
	s.late = append(s.late, run.Part{Name: "load", MayEnd: true, Run: func(ctx context.Context) error {
		defer end()
		failed <- do(ctx)
		return nil
	}})
	if err := s.run(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return errors.New("interrupted")
	}
}
