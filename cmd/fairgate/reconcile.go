package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"fairgate/internal/run"
	"fairgate/internal/wire"
	"fairgate/workers"
)

// reconcileCommand compares the payment provider with the ledger once.
type reconcileCommand struct {
	configFlags
	JSON bool `name:"json" help:"Print the report as JSON."`
}

// Run repairs what is safe, prints the rest, and fails if anything is left that people must look at. What it orders
// (voids, captures) the workers do.
func (c reconcileCommand) Run(ctx context.Context, out io.Writer) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	a, err := assemble(ctx, cfg, "reconcile")
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.check(ctx); err != nil {
		return err
	}
	payments, err := a.payments()
	if err != nil {
		return err
	}
	w, err := workers.New(cfg.Workers, workers.Deps{Store: a.db, Redis: a.redis, Payments: payments, Log: a.log})
	if err != nil {
		return err
	}
	g := run.NewGroup(run.GroupConfig{}, run.GroupDeps{Log: a.log})
	g.Add(run.Part{Name: "answers", Run: a.desk(wire.TopicOutcomes).Run})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	report, err := w.Reconcile(ctx)
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		fmt.Fprintf(out, "%d payments and %d movements from %s to %s: %d differences\n", report.Intents, report.Moves,
			report.Since.Format("2006-01-02 15:04"), report.Until.Format("2006-01-02 15:04"), len(report.Findings)+report.Dropped)
		for _, f := range report.Findings {
			fmt.Fprintf(out, "%-24s %-40s repaired: %v\n", f.Reason, f.Object, f.Repaired)
		}
	}
	left := report.Dropped
	for _, f := range report.Findings {
		if !f.Repaired {
			left++
		}
	}
	if err == nil && left > 0 {
		err = fmt.Errorf("%d differences need somebody", left)
	}
	return err
}
