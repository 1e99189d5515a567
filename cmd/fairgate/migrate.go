package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"fairgate/botguard"
	"fairgate/internal/conf"
	"fairgate/internal/store"
)

// migrateCommand prepares the database and the topics; it may run any number of times, beside running roles.
type migrateCommand struct {
	configFlags
}

// Run migrates, then makes or checks the topics.
func (c migrateCommand) Run(ctx context.Context, out io.Writer) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := store.Migrate(ctx, cfg.Postgres.Write.Reveal()); err != nil {
		return err
	}
	a, err := assemble(ctx, cfg, "migrate")
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.check(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "schema and topics are as they should be")
	return err
}

// checkCommand says what is wrong with a configuration.
type checkCommand struct {
	configFlags
	Print     bool `help:"Print the configuration in full, secrets left out."`
	Reference bool `help:"Print the reference of every key (Markdown)."`

	Explain map[string]string `help:"Say what the bot guard would make of a request: facts by name, such as \"userAgent=curl/8;address=192.0.2.7;failures=3;narrow=12\"."`
}

// Run loads and validates.
func (c checkCommand) Run(out io.Writer) error {
	if c.Reference {
		_, err := io.WriteString(out, reference())
		return err
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if c.Print {
		_, err = io.WriteString(out, conf.Dump(&cfg))
		return err
	}
	if len(c.Explain) > 0 {
		return explain(out, cfg.Botguard, c.Explain)
	}
	_, err = fmt.Fprintln(out, "the configuration is fine")
	return err
}

// explain prints a verdict and its reasons.
func explain(out io.Writer, c botguard.Config, facts map[string]string) error {
	guard, err := botguard.New(c, botguard.Deps{})
	if err != nil {
		return err
	}
	lines, err := guard.Explain(facts)
	if err != nil {
		return fmt.Errorf("--explain: %w", err)
	}
	_, err = fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// reference is docs/configuration.md.
func reference() string {
	return "# Configuration\n\nEvery key, its environment variable, default and meaning. Defaults give way to the file, the file to the environment,\n" +
		"and the environment to `--set section.key=value`. A secret may be `file:/path`. This page is generated:\n" +
		"`fairgate check-config --reference`.\n\n" + conf.Reference(&Config{})
}
