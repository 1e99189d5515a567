package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/embedded"
	"fairgate/internal/payment"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom"
)

// stackOptions say where the one process of the demo and of a rehearsal listens and what it stands on. Empty addresses
// of Kafka, Redis and Postgres mean the embedded ones.
type stackOptions struct {
	dir      string
	shop     string // host:port of the shop, the waiting room and the webhook
	admin    string
	pay      string // of the payment simulator
	ops      string
	kafka    []string
	redis    string
	postgres string
	prefix   string // of topics, so that rehearsals on one cluster do not meet
	overlay  func(*Config)
}

// stack is everything in one process: the servers below, every role, and the payment simulator.
type stack struct {
	*assembly
	options stackOptions
	secrets secrets
	sim     *stripesim.Sim
	process *machines
	public  *web.Router // of everything that fans and the provider call
	log     *slog.Logger
}

func (s *stack) shopURL() string  { return "http://" + s.options.shop }
func (s *stack) adminURL() string { return "http://" + s.options.admin }
func (s *stack) payURL() string   { return "http://" + s.options.pay }

// openStack starts the servers, brings schema and topics up to date and puts every role together. What it opened is
// closed again when it fails, and by stack.run.
func openStack(ctx context.Context, o stackOptions, log *slog.Logger) (*stack, error) {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, err
	}
	keys, err := loadSecrets(o.dir)
	if err != nil {
		return nil, err
	}
	s := &stack{options: o, secrets: keys, log: log}
	var below []func()
	fail := func(err error) (*stack, error) {
		for i := len(below) - 1; i >= 0; i-- {
			below[i]()
		}
		return nil, err
	}
	cfg, below, err := s.servers(ctx)
	if err != nil {
		return fail(err)
	}
	if err := store.Migrate(ctx, cfg.Postgres.Write.Reveal()); err != nil {
		return fail(err)
	}
	if s.assembly, err = assemble(ctx, cfg, "demo"); err != nil {
		return fail(err)
	}
	s.flags = true
	s.closers = append(below, s.closers...)
	if err := s.everyRole(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// servers starts what the options do not name an address of, and returns the configuration that leads there.
func (s *stack) servers(ctx context.Context) (cfg Config, closers []func(), err error) {
	o := s.options
	if o.postgres == "" {
		pg, err := embedded.StartPostgres(ctx, embedded.PostgresConfig{
			Dir: filepath.Join(o.dir, "postgres"), Databases: []string{"fairgate"}, Log: s.log,
		})
		if err != nil {
			return cfg, closers, err
		}
		closers = append(closers, func() { _ = pg.Stop() })
		o.postgres = pg.URL("fairgate")
	}
	if len(o.kafka) == 0 {
		kafka, err := embedded.StartKafka(filepath.Join(o.dir, "kafka"), "127.0.0.1:0", s.log)
		if err != nil {
			return cfg, closers, err
		}
		closers = append(closers, func() { _ = kafka.Close() })
		o.kafka = []string{kafka.Addr()}
	}
	if o.redis == "" {
		redis, err := embedded.StartRedis("127.0.0.1:0")
		if err != nil {
			return cfg, closers, err
		}
		closers = append(closers, func() { _ = redis.Close() })
		o.redis = "redis://" + redis.Addr() + "/0"
	}
	cfg, err = s.config(o)
	return cfg, closers, err
}

// config is the demo's configuration: what conf.Load would give, with the addresses and secrets of this process.
func (s *stack) config(o stackOptions) (Config, error) {
	var cfg Config
	cfg.Log.Level = "warn"
	cfg.Ops.Address = o.ops
	cfg.HTTP.Address = o.shop
	cfg.Clock.SingleHost = true
	cfg.Kafka = KafkaConfig{Brokers: o.kafka, Replication: 1, MinInSync: 1, TopicPrefix: o.prefix}
	if len(o.kafka) >= 3 {
		cfg.Kafka.Replication, cfg.Kafka.MinInSync = 3, 2
	}
	cfg.Postgres.Write = conf.Secret(o.postgres)
	cfg.Postgres.MaxConnections = 24
	cfg.Redis.URL = conf.Secret(o.redis)
	cfg.Keys = KeysConfig{Places: conf.Secret(s.secrets.Places), Passes: conf.Secret(s.secrets.Passes), Receipts: conf.Secret(s.secrets.Receipts)}
	cfg.Stripe = payment.StripeConfig{
		SecretKey: conf.Secret(s.secrets.StripeKey), PublishableKey: s.secrets.Publishable, URL: "http://" + o.pay,
		Budget: payment.BudgetConfig{PerSecond: 2000, EndpointPerSecond: 1000, MaxWaiting: 8192},
	}
	cfg.Botguard.Secret = conf.Secret(s.secrets.Network)
	cfg.Botguard.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Botguard.Puzzle.Difficulty = demoDifficulty
	cfg.Booking.GuestKey = conf.Secret(s.secrets.Guest)
	cfg.Booking.PayOrigin = "http://" + o.pay
	cfg.Payment.ShopURL, cfg.Payment.HostedPage = "http://"+o.shop, "http://"+o.pay
	cfg.Workers.Webhook.Secret = conf.Secret(s.secrets.Webhook)
	cfg.Admin.Address = o.admin
	if o.overlay != nil {
		o.overlay(&cfg)
	}
	if err := conf.Load(&cfg, conf.Source{}); err != nil {
		return cfg, err
	}
	return cfg, s.secrets.saveConfig(filepath.Join(o.dir, demoConfig), &cfg)
}

// everyRole puts all roles into this process: one listener for the fans, one for the dashboard, one for the simulator.
func (s *stack) everyRole(ctx context.Context) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.simulator(); err != nil {
		return err
	}
	var err error
	if s.process, err = s.addProcessor(); err != nil {
		return err
	}
	r := s.router("shop", false)
	s.public = r
	if err := s.addWaitingroom(r, s.process); err != nil {
		return err
	}
	if err := s.addBooking(r); err != nil {
		return err
	}
	if err := s.addWorkers(r); err != nil {
		return err
	}
	if err := s.addAdmin(); err != nil {
		return err
	}
	s.listen("shop", s.cfg.HTTP, "--http", r)
	return nil
}

// simulator adds our Stripe. Its listener is up before the roles that call it, so it is a part, not a listener.
func (s *stack) simulator() error {
	sim, err := stripesim.New(stripesim.Config{
		SecretKey: s.secrets.StripeKey, PublishableKey: s.secrets.Publishable, WebhookSecret: s.secrets.Webhook,
		WebhookURL: s.shopURL() + "/webhooks/stripe", Dir: filepath.Join(s.options.dir, "stripe"), PublicURL: s.payURL(),
		AllowedReturnOrigins: []string{s.shopURL()}, Rate: stripesim.Rate{Total: -1, PerEndpoint: -1},
	}, stripesim.Deps{Log: s.log})
	if err != nil {
		return err
	}
	s.sim = sim
	s.closers = append(s.closers, func() { _ = sim.Close() })
	s.listenHTTP("payment simulator", s.options.pay, "--pay", sim.Handler())
	s.parts = append(s.parts, s.listeners...)
	s.listeners = nil
	s.part("payment simulator webhooks", sim.Run)
	return nil
}

// Place answers exactly where somebody stands, from the queue machine in this process.
func (m *machines) Place(ctx context.Context, room int64, token wire.ID) (waitingroom.Standing, error) {
	for _, q := range m.queues {
		standing, err := q.place(ctx, room, token)
		if err == nil || !errors.Is(err, waitingroom.ErrNoPlace) {
			return standing, err
		}
	}
	return waitingroom.Standing{}, waitingroom.ErrNoPlace
}

// freeAddress finds a port on loopback that was free a moment ago.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// settle waits until check is true, at most for a while.
func settle(ctx context.Context, atMost time.Duration, check func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		done, err := check(ctx)
		if done || err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s: %w", atMost, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
