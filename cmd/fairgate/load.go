package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"fairgate/botguard/puzzle"
	"fairgate/internal/crowd"
)

// loadCommand drives simulated fans against servers that run elsewhere on this machine or network, or that it starts.
type loadCommand struct {
	Fans fansCommand `cmd:"" help:"Send fans through a whole sale."`
	Wait waitCommand `cmd:"" help:"Have half a million people wait behind a CDN, all on this machine, and say what it costs."`
	Bots botsCommand `cmd:"" help:"Send people and bots of several kinds into a pre-queue, all on this machine, and say who gets the tickets."`
}

type fansCommand struct {
	URL     string        `name:"url" help:"Public address of the shop." default:"http://127.0.0.1:8080"`
	Pay     string        `help:"Address of the payment simulator." default:"http://127.0.0.1:8082"`
	Room    int64         `help:"Waiting room; 0 for none." default:"1"`
	Event   int64         `help:"Event." default:"1"`
	Fans    int           `help:"How many." default:"200"`
	Rate    float64       `help:"Arrivals a second; 0 for all within 20 s."`
	Seed    uint64        `help:"Seed of the crowd." default:"1"`
	Within  time.Duration `help:"Longest time of the whole run." default:"10m"`
	Journal string        `help:"File that notes every acknowledgement."`
	JSON    bool          `name:"json" help:"Print the report as JSON."`
}

// Run sends the fans and prints what became of them.
func (c fansCommand) Run(ctx context.Context, out io.Writer) (err error) {
	deps := crowd.Deps{Solve: solve, Progress: crowd.Printer(os.Stderr, isTerminal(os.Stderr)), Log: slog.New(slog.DiscardHandler)}
	if c.Journal != "" {
		if deps.Journal, err = crowd.OpenJournal(c.Journal); err != nil {
			return err
		}
		defer func() {
			if e := deps.Journal.Close(); err == nil {
				err = e
			}
		}()
	}
	report, err := crowd.Run(ctx, crowd.Config{
		BaseURL: c.URL, PayURL: c.Pay, Room: c.Room, Event: c.Event, Fans: c.Fans, Rate: c.Rate, Seed: c.Seed, Deadline: c.Within,
		SharedDocument: true,
	}, deps)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	_, err = fmt.Fprintln(out, report.Text())
	return err
}

// puzzles are all there are. They hold tables that take longer to make than an easy puzzle to solve.
var puzzles = sync.OnceValues(func() (puzzle.Set, error) { return puzzle.NewSet(puzzle.SHA256{}, puzzle.NewHashWX()) })

// solve is how a simulated fan's device works: it finds one sub-puzzle's nonce.
func solve(algorithm string, seed [32]byte, sub int, k, difficulty uint32) ([]byte, error) {
	set, err := puzzles()
	if err != nil {
		return nil, err
	}
	a, err := set.Named(algorithm)
	if err != nil {
		return nil, err
	}
	return a.SolveOne(seed, puzzle.Params{Algorithm: a.ID(), SubPuzzles: uint8(sub + 1), K: k, Difficulty: difficulty}, sub, nil)
}
