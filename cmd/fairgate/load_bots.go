package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
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
	Compress float64       `help:"How many times faster than the clock time runs." default:"20"`
	Shared   int           `help:"Share of the outflow for networks with many places, per mille; -1 for what rooms have by default." default:"-1"`
	Seed     uint64        `help:"Seed of the crowd." default:"1"`
	Within   time.Duration `help:"Longest time of one run." default:"20m"`
	Results  string        `help:"File of results (TSV): what was run now replaces the same there."`
	Plot     string        `help:"File to draw all results into (SVG)."`
	Commit   string        `help:"Noted with the results." hidden:""`
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
	var reports []bots.Report
	for _, p := range profiles {
		for _, order := range c.Order {
			report, err := c.one(ctx, p, order == "draw")
			if err != nil {
				return fmt.Errorf("%s, %s: %w", p.Name, order, err)
			}
			reports = append(reports, report)
			if err := c.print(out, report); err != nil {
				return err
			}
		}
	}
	return c.keep(reports)
}

// leastCompress is how slow time may become for a machine that does not keep up.
const leastCompress = 2

// one runs a profile, more slowly if this machine does not keep up.
func (c botsCommand) one(ctx context.Context, p bots.Profile, draw bool) (report bots.Report, err error) {
	config := bots.Config{Profile: p, Draw: draw, Scale: c.Scale, Compress: c.Compress, Speeds: 1, Seed: c.Seed}
	for {
		report, err = c.once(ctx, config)
		if !errors.Is(err, errTooSlow) || config.Compress/2 < leastCompress {
			return report, err
		}
		config.Compress /= 2
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
	err = r.stack.during(ctx, func(ctx context.Context) error {
		report, err = r.run(ctx, config, c.Shared, os.Stderr)
		return err
	})
	return report, err
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

// keep merges reports into the file of results and draws the plot of all.
func (c botsCommand) keep(reports []bots.Report) error {
	rows := bots.Rows(reports, c.Commit)
	if c.Results != "" {
		old, err := os.ReadFile(c.Results)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if rows, err = bots.Merge(string(old), rows); err != nil {
			return fmt.Errorf("%s: %w", c.Results, err)
		}
		if err := os.WriteFile(c.Results, []byte(strings.Join(rows, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	if c.Plot == "" {
		return nil
	}
	picture, err := bots.Plot(rows)
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
