package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"fairgate/internal/crowd/waiting"
)

// waitCommand has a line of people wait behind a CDN, and says what that costs. Everything runs on this machine and on
// loopback: the whole installation, an edge of its own, nginx as the CDN, and the people.
type waitCommand struct {
	Fans     int           `help:"How many wait in the end; a hundredth and a tenth of them are measured before." default:"500000"`
	For      time.Duration `help:"How long each number is measured." default:"20s"`
	Watching int           `help:"People in a thousand who look at the page; the others have the phone locked or another tab open." default:"100"`
	Within   time.Duration `help:"Longest time of the whole run." default:"10m"`
	Plot     string        `help:"File to draw the result into (SVG)."`
	JSON     bool          `name:"json" help:"Print the report as JSON."`
}

// waitStep is one number of people.
type waitStep struct {
	waiting.Report
	Origin    float64 `json:"originPerSecond"` // requests that reached the edge
	Edge      int64   `json:"edgeBytes"`       // resident memory of the edge
	Processor int64   `json:"processorBytes"`  // of the process with the queue machine, the log and everything else
	CDN       int64   `json:"cdnBytes"`
	EdgeCPU   float64 `json:"edgeCPU"` // processors that the edge used
	Places    int     `json:"places"`  // that were asked for exactly, by token
}

// errWaitWrong makes the command exit with 1 after its report.
var errWaitWrong = errors.New("somebody saw a wrong place, an older document or none")

// Run measures three numbers of people and prints what each cost.
func (c waitCommand) Run(ctx context.Context, out io.Writer) error {
	if c.Fans < 300 || c.Fans > waiting.MaxFans {
		return fmt.Errorf("--fans: expected 300 to %d", waiting.MaxFans)
	}
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Within)
	defer cancel()
	steps, err := c.measure(ctx, binary, os.Stderr)
	if err != nil {
		return err
	}
	if c.Plot != "" {
		if err := os.WriteFile(c.Plot, waiting.Plot(waitPoints(steps)), 0o644); err != nil {
			return err
		}
	}
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(steps); err != nil {
			return err
		}
	} else {
		printWait(out, steps)
	}
	return waitVerdict(steps)
}

func (c waitCommand) sizes() []int { return []int{c.Fans / 100, c.Fans / 10, c.Fans} }

// measure runs everything.
func (c waitCommand) measure(ctx context.Context, binary string, progress io.Writer) (steps []waitStep, err error) {
	r, err := openWaitRig(ctx, binary, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, n := range c.sizes() {
		fmt.Fprintf(progress, "%d people join\n", n-len(r.places))
		if err := r.join(ctx, n); err != nil {
			return nil, err
		}
		fmt.Fprintf(progress, "%d people wait\n", n)
		step, err := r.wait(ctx, waiting.Config{Watching: c.Watching, For: c.For, Seed: uint64(n)})
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func waitPoints(steps []waitStep) (points []waiting.Point) {
	for _, s := range steps {
		points = append(points, waiting.Point{Fans: s.Fans, Looks: s.PerSecond, Origin: s.Origin})
	}
	return points
}

func waitVerdict(steps []waitStep) error {
	for _, s := range steps {
		if s.Wrong > 0 || s.Older > 0 || s.Failed > 0 {
			return fmt.Errorf("%w: %d wrong (%s), %d older, %d failed of %d", errWaitWrong, s.Wrong, s.FirstWrong, s.Older, s.Failed, s.Fans)
		}
	}
	return nil
}

func printWait(out io.Writer, steps []waitStep) {
	const mib = 1 << 20
	fmt.Fprintf(out, "%10s %10s %10s %10s %9s %9s %9s %9s %9s %8s %8s\n", "people", "looks/s", "origin/s", "positions", "wrong",
		"late p99", "age p99", "B/person", "edge MiB", "cdn MiB", "proc MiB")
	for _, s := range steps {
		fmt.Fprintf(out, "%10d %10.0f %10.2f %10d %9d %6.0f ms %6.0f ms %9.0f %9.1f %8.1f %8.1f\n", s.Fans, s.PerSecond, s.Origin, s.Checked,
			s.Wrong, s.Late.P99, s.Age.P99, s.BytesPerFan, float64(s.Edge)/mib, float64(s.CDN)/mib, float64(s.Processor)/mib)
	}
}
