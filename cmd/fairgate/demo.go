package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"fairgate/admin"
	"fairgate/botguard"
	"fairgate/internal/crowd"
	"fairgate/internal/run"
	"fairgate/internal/wire"
)

// demoUser is who may log in to the demo's dashboard; the password is made at the first start and printed.
const demoUser = "organiser@fairgate.example"

// demoDifficulty is the price of a sub-puzzle where this machine solves for all the simulated fans: some hundredths of a
// second for each of them, where the default takes most of a second.
const demoDifficulty = 2_000

// demoCommand runs everything in one process: a shop to look at, or a rehearsal that ends by itself.
type demoCommand struct {
	Data  string `help:"Folder that keeps the sale over restarts." default:".data" type:"path"`
	Crowd int    `help:"Simulated fans in front of the on-sale; 0 for none." default:"200"`
	HTTP  string `name:"http" help:"Where the shop and the waiting room listen." default:"127.0.0.1:8080"`
	Admin string `help:"Where the dashboard listens." default:"127.0.0.1:8081"`
	Pay   string `help:"Where the payment simulator listens." default:"127.0.0.1:8082"`
	Ops   string `help:"Where metrics and health are served." default:"127.0.0.1:9100"`

	Rehearse int    `help:"Drive this many fans through a whole sale on free ports, verify it, and exit."`
	JSON     bool   `name:"json" help:"Print the rehearsal's report as one JSON object."`
	Seed     uint64 `help:"Seed of the rehearsal's crowd." default:"1"`
	Stage    int    `help:"Set up the rehearsal's sale for so many fans and serve it; the fans come from elsewhere." hidden:""`

	Kafka    []string `help:"Apache Kafka to use instead of the one inside (host:port)."`
	Redis    string   `help:"Redis to use instead of the one inside (redis://…)."`
	Postgres string   `help:"PostgreSQL to use instead of a child (postgres://…)."`
	Prefix   string   `help:"Put before the names of topics." hidden:""`
}

// Run serves until a signal, or rehearses.
func (c demoCommand) Run(ctx context.Context, out io.Writer) error {
	log, err := run.NewLogger(os.Stderr, "text", "warn")
	if err != nil {
		return err
	}
	if c.Rehearse > 0 {
		return c.rehearse(ctx, out, log)
	}
	if c.Crowd < 0 || c.Crowd > crowd.MaxFans {
		return fmt.Errorf("--crowd: expected 0 to %d", crowd.MaxFans)
	}
	options := c.options(c.Data)
	var stage rehearsal
	if c.Stage > 0 {
		stage = newRehearsal(c.Stage)
		options.overlay = stage.stageOverlay
	}
	s, err := openStack(ctx, options, log)
	if err != nil {
		return err
	}
	if c.Stage > 0 {
		s.part("seed", s.once(func(ctx context.Context) error {
			return stage.seed(ctx, s.db, s.publisher(), time.Now())
		}))
	} else {
		s.part("seed", s.once(func(ctx context.Context) error { return c.open(ctx, s, out) }))
	}
	return s.run(ctx)
}

func (c demoCommand) options(dir string) stackOptions {
	return stackOptions{
		dir: dir, shop: c.HTTP, admin: c.Admin, pay: c.Pay, ops: c.Ops, kafka: c.Kafka, redis: c.Redis, postgres: c.Postgres,
		prefix: c.Prefix,
	}
}

// publisher defines rows in the logs.
func (s *stack) publisher() *admin.Publisher {
	return &admin.Publisher{Store: s.db, Commands: s.commander(), Log: s.log}
}

// once is a part that does something when everything is ready and then only waits for the end.
func (s *stack) once(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := s.whenReady(ctx); err != nil {
			return ignoreEnd(ctx, err)
		}
		if err := do(ctx); err != nil {
			return ignoreEnd(ctx, err)
		}
		<-ctx.Done()
		return nil
	}
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// whenReady waits until every part says it is.
func (s *stack) whenReady(ctx context.Context) error {
	return settle(ctx, startTimeout, func(ctx context.Context) (bool, error) {
		return len(s.ready.Failing(ctx)) == 0, nil
	})
}

// open seeds the programme, says where to look and keeps the crowd alive.
func (c demoCommand) open(ctx context.Context, s *stack, out io.Writer) error {
	onSale, err := seedDemo(ctx, s.db, s.publisher(), time.Now())
	if err != nil {
		return err
	}
	if err := admin.AddUser(ctx, s.db, demoUser, s.secrets.Password, "operator"); err != nil {
		return err
	}
	guard, err := s.guard()
	if err != nil {
		return err
	}
	price := guard.Base()
	algorithm, err := guard.Algorithm(price)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `
  The shop          %s/
  The on-sale       %s/events/%d
  The dashboard     %s/            %s / %s
  The task queues   %s/ops/queues
  Metrics           http://%s/metrics
  The data          %s
  The puzzle        %s, %d sub-puzzles of %d hashes, so that this machine can be the whole crowd; a real sale asks %d

  %d simulated fans keep the line moving. Ctrl-C stops; starting again continues the same sale.

`, s.shopURL(), s.shopURL(), onSale, s.adminURL(), demoUser, s.secrets.Password, s.adminURL(), c.Ops, c.Data,
		algorithm, price.SubPuzzles, price.Difficulty, botguard.DefaultDifficulty, c.Crowd)
	if c.Crowd == 0 {
		return nil
	}
	_, err = crowd.Keep(ctx, crowd.Config{
		BaseURL: s.shopURL(), PayURL: s.payURL(), Room: onSale, Event: onSale, Fans: c.Crowd, Rate: 4, Seed: uint64(time.Now().UnixNano()),
		SharedDocument: true,
	}, crowd.Deps{Solve: solve, Log: slog.New(slog.DiscardHandler)})
	return err
}

// scratch makes a folder for a rehearsal and returns what removes it. It is below the system's temporary folder, where
// the database's own user may reach it.
func scratch() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "fairgate-rehearsal-")
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return filepath.Clean(dir), func() { _ = os.RemoveAll(dir) }, nil
}

// commander sends operators' commands.
func (a *assembly) commander() *admin.Commander {
	return &admin.Commander{
		Orders: a.producer(wire.TopicOrders), Queue: a.producer(wire.TopicQueue),
		OrdersDesk: a.desk(wire.TopicOutcomes), QueueDesk: a.desk(wire.TopicQueueOutcomes), RoomTime: a.clock.Now,
	}
}
