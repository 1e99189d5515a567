// Command fairgate is the whole of Fairgate: one binary with a role for each job. This package composes; it decides
// nothing. Each role has a file of its own here.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	_ "time/tzdata" // events name time zones, and slim images have no database of them

	"github.com/alecthomas/kong"

	"fairgate/internal/conf"
	"fairgate/internal/run"
)

// version is set by the build (-ldflags "-X main.version=…").
var version = "dev"

// cli is the command line. Every role takes the same file; a role uses its part of it.
type cli struct {
	Demo        demoCommand       `cmd:"" help:"Run a whole on-sale on this machine, everything in one process."`
	Waitingroom roleCommand       `cmd:"" help:"Run the edge: arrive, join, wait, enter."`
	Booking     roleCommand       `cmd:"" help:"Run the public API: events, bookings, payments."`
	Processor   roleCommand       `cmd:"" help:"Run the machines of both logs, the projector and the bridge."`
	Workers     roleCommand       `cmd:"" help:"Run webhooks, captures, refunds and notices."`
	Admin       roleCommand       `cmd:"" help:"Run the organiser's dashboard."`
	Scaler      roleCommand       `cmd:"" help:"Follow Prometheus and say how many replicas each role wants."`
	Migrate     migrateCommand    `cmd:"" help:"Bring the database's schema up to date and make the topics."`
	CheckConfig checkCommand      `cmd:"" help:"Say what is wrong with a configuration, or print it in full."`
	Verify      verifyCommand     `cmd:"" help:"Derive everything again from the logs and check every promise."`
	Reconcile   reconcileCommand  `cmd:"" help:"Compare the payment provider with the ledger once, both ways, and repair what is safe."`
	Replay      replayCommand     `cmd:"" help:"Tell the story of one booking, event or place in line."`
	Load        loadCommand       `cmd:"" help:"Drive simulated fans against a running server."`
	Keys        keysCommand       `cmd:"" help:"Make signing keys."`
	Gatekeeper  gatekeeperCommand `cmd:"" help:"Check admission passes for a site that Fairgate does not own, asked by its proxy."`
	Invites     invitesCommand    `cmd:"" help:"Make invite codes."`
	AdminUser   adminUserCommand  `cmd:"" help:"Add a user of the dashboard."`
	Version     versionCommand    `cmd:"" help:"Print the version."`
}

// configFlags are what every command that needs the configuration takes.
type configFlags struct {
	Config string            `short:"c" help:"Configuration file (YAML)." type:"existingfile" env:"FAIRGATE_CONFIG"`
	Set    map[string]string `help:"Set one key: --set section.key=value." mapsep:"none"`
}

func (f configFlags) load() (Config, error) {
	var cfg Config
	err := conf.Load(&cfg, conf.Source{
		File: f.Config, Environ: os.Environ(), Allowed: []string{"FAIRGATE_CONFIG", "FAIRGATE_TEST_*"}, Overrides: f.Set,
	})
	return cfg, err
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(out io.Writer) error {
	_, err := fmt.Fprintln(out, version)
	return err
}

func main() {
	os.Exit(realMain(os.Args[1:], os.Stdout, os.Stderr))
}

// realMain is main with its edges handed in; it returns the exit code. A second signal ends the process at once.
func realMain(args []string, stdout, stderr io.Writer) int {
	var c cli
	parser, err := kong.New(&c, kong.Name("fairgate"), kong.Description("Sells out a stadium without breaking, and can prove that it was fair."),
		kong.Writers(stdout, stderr), kong.UsageOnError())
	if err != nil {
		fmt.Fprintln(stderr, "fairgate:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(stderr, "fairgate:", err)
		return 2
	}
	ctx, stop := run.Signals(context.Background(), func() { os.Exit(130) })
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.BindTo(stdout, (*io.Writer)(nil))
	parsed.BindTo(os.Stdin, (*io.Reader)(nil))
	parsed.Bind(roleName(strings.Fields(parsed.Command())[0]))
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(stderr, "fairgate:", err)
		var coded interface{ ExitCode() int }
		if errors.As(err, &coded) {
			return coded.ExitCode()
		}
		return 1
	}
	return 0
}
