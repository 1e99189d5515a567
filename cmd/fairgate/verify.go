package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"fairgate/internal/stripesim"
	"fairgate/internal/verify"
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

// Exit codes of verify: 0 when all is as promised, and these.
const (
	exitWrong       = 1 // a promise is broken, a receipt does not hold
	exitUncheckable = 2 // something could not be read, so nothing is known
)

// exitError is an error with the exit code that it means.
type exitError struct {
	error
	code int
}

// ExitCode is what the process ends with.
func (e exitError) ExitCode() int { return e.code }

// Unwrap is the error itself.
func (e exitError) Unwrap() error { return e.error }

// exitAs gives an error without a code the one for what could not be checked.
func exitAs(err error) error {
	var coded exitError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	return exitError{err, exitUncheckable}
}

// logFlags say where logs are read: from the brokers of a configuration, or from a dump, which needs none.
type logFlags struct {
	configFlags
	From string `help:"Read a folder that --dump wrote, instead of brokers. Needs no configuration." type:"path"`
}

// logs are where a command reads, and what it knows of it.
type logs struct {
	source verify.Source
	cfg    verify.Config
	folder *verify.Folder // nil when brokers are read
	*assembly
}

func (f logFlags) open(ctx context.Context, name string) (*logs, error) {
	if f.From != "" {
		folder, err := verify.OpenFolder(f.From)
		if err != nil {
			return nil, err
		}
		m := folder.Manifest
		return &logs{source: folder, folder: folder, cfg: verify.Config{
			OrdersPartitions: m.OrdersPartitions, QueuePartitions: m.QueuePartitions, Prefix: m.Prefix,
		}}, nil
	}
	cfg, err := f.load()
	if err != nil {
		return nil, err
	}
	a, err := assemble(ctx, cfg, name)
	if err != nil {
		return nil, err
	}
	return &logs{source: verify.Brokers(a.events), cfg: a.verifyConfig(), assembly: a}, nil
}

func (l *logs) close() {
	if l.assembly != nil {
		l.assembly.close()
	}
}

// verifyCommand checks every promise from the logs and the database, or one receipt.
type verifyCommand struct {
	logFlags
	LogsOnly     bool   `help:"Do not look at the database."`
	FromSnapshot bool   `help:"Begin at the newest snapshots instead of the first records. Checks less: see ARCHITECTURE.md."`
	Follow       bool   `help:"Go on for ever: check each record as soon as it is answered, log and count what is wrong (fairgate_audit_*, at ops.address). Begins at the first record; needs no database." xor:"what"`
	Dump         string `help:"Copy the logs as they are now into this folder, for --from, and verify nothing." type:"path" xor:"what"`
	Receipt      string `help:"Check this receipt: a file, the text itself, or - for standard input." xor:"what"`
	Draw         int64  `help:"Recompute the draw of this room from its published seed and public value, and hold every invitation against it." placeholder:"ROOM" xor:"what"`
	Place        string `help:"With --draw: tell of this place only; the queue token, or its id (32 hex digits)."`
	Keys         string `help:"Public keys of receipts: a file or address of a JWK set, such as https://shop.example/.well-known/receipt-keys.json. Without it those of the configuration, or of the dump."`
	Whole        bool   `help:"With --receipt: follow the chain from the first record, not only from the tick before."`
	JSON         bool   `name:"json" help:"Print the report as JSON."`
}

// Run verifies. Its exit code is 0 when all is as promised, 1 when something is not, the first of it explained, and 2 when
// something could not be read.
func (c verifyCommand) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	if c.From != "" && (c.Dump != "" || c.FromSnapshot || c.Follow) {
		return exitAs(errors.New("--from: cannot be used with --dump, --follow or --from-snapshot: a dump holds the logs as they were, and no snapshots"))
	}
	l, err := c.open(ctx, "verify")
	if err != nil {
		return exitAs(err)
	}
	if c.Follow {
		return exitAs(c.follow(ctx, l))
	}
	defer l.close()
	switch {
	case c.Dump != "":
		err = c.dump(ctx, l, out)
	case c.Receipt != "":
		err = c.receipt(ctx, l, in, out)
	case c.Draw != 0:
		err = c.draw(ctx, l, out)
	default:
		err = c.all(ctx, l, out)
	}
	return exitAs(err)
}

// all verifies everything.
func (c verifyCommand) all(ctx context.Context, l *logs, out io.Writer) error {
	deps := verify.Deps{Source: l.source}
	if isTerminal(os.Stderr) {
		deps.Progress = func(p verify.Progress) {
			fmt.Fprintf(os.Stderr, "\r%s/%d: %d of %d records   ", p.Log, p.Partition, p.Offset, p.End)
		}
	}
	if !c.LogsOnly && l.folder == nil {
		deps.DB = l.db.Write
	}
	l.cfg.FromSnapshot = c.FromSnapshot
	report, err := verify.Run(ctx, l.cfg, deps)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(out, report)
	} else {
		err = report.WriteText(out)
	}
	if err == nil && !report.OK() {
		err = exitError{fmt.Errorf("%d violations", report.Total), exitWrong}
	}
	return err
}

// follow audits running logs until a signal, like a role of its own.
func (c verifyCommand) follow(ctx context.Context, l *logs) error {
	if err := l.addAudit(l.cfg, l.source); err != nil {
		l.close()
		return err
	}
	return l.run(ctx)
}

func (a *assembly) addAudit(cfg verify.Config, from verify.Source) error {
	auditor, err := verify.NewAuditor(cfg, verify.Deps{Source: from}, a.log, a.registry)
	if err != nil {
		return err
	}
	a.part("audit", auditor.Run)
	a.ready.Add("audit", auditor.Ready)
	return nil
}

// dump copies the logs, and the public keys of receipts beside them.
func (c verifyCommand) dump(ctx context.Context, l *logs, out io.Writer) error {
	keys, err := l.assembly.cfg.Keys.receipts()
	if err != nil {
		return err
	}
	m, err := verify.Dump(ctx, l.cfg, l.source, c.Dump, keys.JWKS())
	if err != nil {
		return err
	}
	for _, f := range m.Files {
		if _, err := fmt.Fprintf(out, "%12d  %s\n", f.Next-f.First, f.Name); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "verify it anywhere: fairgate verify --from %s\n", c.Dump)
	return err
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
