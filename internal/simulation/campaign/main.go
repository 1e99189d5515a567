// Command campaign lives through simulated worlds for a while, on all cores, and appends what it found to a file of
// results. It supports tests: it touches standard output and that file.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"fairgate/internal/simulation"
)

// options are the command line.
type options struct {
	first, seeds uint64
	heavy        bool
	every        uint64
	length       time.Duration
	workers      int
	results      string
	commit       string
	most         int
	trace        bool
}

func main() {
	var o options
	flag.Uint64Var(&o.first, "seed", 0, "first seed")
	flag.Uint64Var(&o.seeds, "seeds", 0, "how many seeds; 0 for as many as fit into -duration")
	flag.BoolVar(&o.heavy, "heavy", false, "only worlds with few faults and many commands")
	flag.Uint64Var(&o.every, "heavy-every", 0, "every how many seeds one is heavy; 0 for none")
	flag.DurationVar(&o.length, "duration", 0, "how long")
	flag.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many worlds at once")
	flag.StringVar(&o.results, "results", "", "file to append a line to")
	flag.StringVar(&o.commit, "commit", "unknown", "what is being simulated, for the results")
	flag.IntVar(&o.most, "most", 10, "violations after which to stop: more of the same teach nothing")
	flag.BoolVar(&o.trace, "trace", false, "tell what happens; for one seed")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// sum is what several worlds came to.
type sum struct {
	seeds, commands, outcomes, simulated int64
	faults                               [simulation.FaultKinds]int64
	violations                           []string
}

func (s *sum) add(r simulation.Result) {
	s.seeds++
	s.commands += r.Commands
	s.outcomes += r.Outcomes
	s.simulated += r.Simulated
	for i, n := range r.Faults {
		s.faults[i] += n
	}
}

func run(o options) error {
	if o.trace {
		r := simulation.Run(simulation.Config{Seed: o.first, Heavy: o.heavy, Trace: os.Stdout})
		if r.Violation != "" {
			return fmt.Errorf("seed %d: %s", o.first, r.Violation)
		}
		return nil
	}
	began := time.Now()
	// Whoever ends it early keeps what was found so far.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	total := campaign(ctx, o, began)
	took := time.Since(began)
	fmt.Printf("%d seeds, %d commands, %d outcomes, %.0f s simulated in %.1f s: %.0f commands/s, %.1f seeds/s, %d violations\n",
		total.seeds, total.commands, total.outcomes, float64(total.simulated)/1e6, took.Seconds(),
		float64(total.commands)/took.Seconds(), float64(total.seeds)/took.Seconds(), len(total.violations))
	if o.results != "" {
		if err := record(o, total, took); err != nil {
			return err
		}
	}
	if len(total.violations) > 0 {
		return fmt.Errorf("%d violations", len(total.violations))
	}
	return nil
}

func campaign(ctx context.Context, o options, began time.Time) *sum {
	var mu sync.Mutex
	var group sync.WaitGroup
	total, next, told := new(sum), o.first, began
	more := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		seed := next
		next++
		return seed, ctx.Err() == nil && len(total.violations) < o.most && (o.seeds == 0 || seed < o.first+o.seeds) &&
			(o.length == 0 || time.Since(began) < o.length) && (o.seeds > 0 || o.length > 0)
	}
	for range o.workers {
		group.Go(func() {
			for {
				seed, ok := more()
				if !ok {
					return
				}
				heavy := o.heavy || o.every > 0 && seed%o.every == 0
				r := simulation.Run(simulation.Config{Seed: seed, Heavy: heavy})
				mu.Lock()
				total.add(r)
				if r.Violation != "" {
					v := fmt.Sprintf("seed %d (%s): %s", seed, simulation.Replay(seed, heavy), r.Violation)
					total.violations = append(total.violations, v)
					fmt.Println(v)
				}
				if now := time.Now(); now.Sub(told) > 30*time.Second {
					told = now
					fmt.Printf("%s: %d seeds, %d commands, %d violations\n", now.Sub(began).Round(time.Second), total.seeds, total.commands, len(total.violations))
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return total
}

const header = "date\tcommit\tseeds\tcommands\toutcomes\tviolations\tseconds\tfaults\n"

// record appends a line to the results, and prints what all lines together come to.
func record(o options, s *sum, took time.Duration) error {
	before, err := os.ReadFile(o.results)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("reading results: %w", err)
	}
	text := string(before)
	if text == "" {
		text = header
	}
	var faults []string
	for f, n := range s.faults {
		faults = append(faults, fmt.Sprintf("%s=%d", simulation.Fault(f), n))
	}
	text += fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%.0f\t%s\n", time.Now().UTC().Format(time.DateOnly), o.commit, s.seeds, s.commands, s.outcomes,
		len(s.violations), took.Seconds(), strings.Join(faults, " "))
	if err := os.WriteFile(o.results, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	var seeds, commands, violations int64
	for _, line := range strings.Split(text, "\n")[1:] {
		var date, commit string
		var a, b, outcomes, v int64
		if n, _ := fmt.Sscanf(line, "%s\t%s\t%d\t%d\t%d\t%d", &date, &commit, &a, &b, &outcomes, &v); n == 6 {
			seeds, commands, violations = seeds+a, commands+b, violations+v
		}
	}
	fmt.Printf("in all: %d seeds, %d commands, %d violations\n", seeds, commands, violations)
	return nil
}
