package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"fairgate/internal/sale"
	"fairgate/internal/stripesim"
	"fairgate/internal/verify"
	"fairgate/internal/wire"
)

// verify derives everything again from the logs, up to their ends as they are now, and compares with Postgres and with
// what the payment simulator took.
func (s *stack) verify(ctx context.Context) (verify.Report, error) {
	return verify.Run(ctx, s.verifyConfig(), verify.Deps{Events: s.events, DB: s.db.Write, Provider: takings{s.sim}})
}

func (a *assembly) verifyConfig() verify.Config {
	return verify.Config{
		OrdersPartitions: a.cfg.Kafka.OrdersPartitions, QueuePartitions: a.cfg.Kafka.QueuePartitions, Prefix: a.cfg.Kafka.TopicPrefix,
	}
}

// takings is the payment simulator's side of the money.
type takings struct{ sim *stripesim.Sim }

// Holds is its balance for us.
func (t takings) Holds(context.Context) (map[string]int64, error) {
	sums := map[string]int64{}
	for currency, of := range t.sim.Totals() {
		sums[strings.ToUpper(currency)] = of.Net
	}
	return sums, nil
}

// verifyCommand checks every promise from the logs and the database.
type verifyCommand struct {
	configFlags
	LogsOnly bool `help:"Do not look at the database."`
	JSON     bool `name:"json" help:"Print the report as JSON."`
}

// Run verifies; it fails after a report with violations, the first of them explained.
func (c verifyCommand) Run(ctx context.Context, out io.Writer) error {
	a, err := c.assemble(ctx, "verify")
	if err != nil {
		return err
	}
	defer a.close()
	deps := verify.Deps{Events: a.events}
	if isTerminal(os.Stderr) {
		deps.Progress = func(p verify.Progress) {
			fmt.Fprintf(os.Stderr, "\r%s/%d: %d of %d records   ", p.Log, p.Partition, p.Offset, p.End)
		}
	}
	if !c.LogsOnly {
		deps.DB = a.db.Write
	}
	report, err := verify.Run(ctx, a.verifyConfig(), deps)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = report.WriteText(out)
	}
	if err == nil && !report.OK() {
		err = fmt.Errorf("%d violations", report.Total)
	}
	return err
}

// assemble loads the configuration and opens what it names.
func (f configFlags) assemble(ctx context.Context, name string) (*assembly, error) {
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	return assemble(ctx, cfg, name)
}

// replayCommand tells the story of one booking, event, place or room from the logs.
type replayCommand struct {
	configFlags
	Booking   string `help:"Booking id." xor:"what"`
	Event     int64  `help:"Event id." xor:"what"`
	Place     string `help:"Place in line: token id, 32 hex digits." xor:"what"`
	Room      int64  `help:"Room id." xor:"what"`
	Partition int32  `help:"Partition of the log in which it lives."`
}

// Run prints the story.
func (c replayCommand) Run(ctx context.Context, out io.Writer) error {
	story, err := c.story()
	if err != nil {
		return err
	}
	a, err := c.assemble(ctx, "replay")
	if err != nil {
		return err
	}
	defer a.close()
	story.Prefix = a.cfg.Kafka.TopicPrefix
	found, err := verify.Replay(ctx, verify.Brokers(a.events), story, out)
	if err == nil && found == 0 {
		err = fmt.Errorf("the log %s/%d says nothing of it", story.Log, story.Partition)
	}
	return err
}

func (c replayCommand) story() (verify.Story, error) {
	s := verify.Story{Log: wire.TopicOrders, Partition: c.Partition}
	switch {
	case c.Booking != "":
		id, err := sale.ParseUUID(c.Booking)
		if err != nil {
			return s, fmt.Errorf("--booking: %w", err)
		}
		s.Ref = id
	case c.Place != "":
		id, err := wire.ParseHex(c.Place)
		if err != nil {
			return s, errors.New("--place: expected 32 hex digits")
		}
		s.Log, s.Ref = wire.TopicQueue, id
	case c.Event > 0:
		s.Object = c.Event
	case c.Room > 0:
		s.Log, s.Object = wire.TopicQueue, c.Room
	default:
		return s, errors.New("expected one of --booking, --event, --place, --room")
	}
	return s, nil
}
