package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"fairgate/botguard"
	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
	"fairgate/internal/payment"
	"fairgate/internal/roomtime"
	"fairgate/internal/run"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/workers"
)

// assembly is what the roles of one process share and add to: connections below, parts above, listeners last. It belongs
// to one goroutine until run.
type assembly struct {
	cfg      Config
	log      *slog.Logger
	registry *prometheus.Registry
	ready    *run.Ready
	clock    *roomtime.Host
	flags    bool // addresses come from the command line, not from keys of the configuration

	events *eventlog.Log
	db     *store.DB
	redis  redis.UniversalClient

	producers map[string]*eventlog.Producer
	desks     map[string]*answer.Desk
	theGuard  *botguard.Guard
	payment   *payment.Service
	workers   *workers.Workers
	parts     []run.Part // in order of start, before the desks
	late      []run.Part // after the desks: what listens on them
	listeners []run.Part
	closers   []func()
}

// assemble opens what the configuration names. Nothing is dialled yet: brokers and databases may come up later.
func assemble(ctx context.Context, cfg Config, name string) (*assembly, error) {
	log, err := run.NewLogger(os.Stderr, cfg.Log.Format, cfg.Log.Level)
	if err != nil {
		return nil, err
	}
	a := &assembly{
		cfg: cfg, log: log, registry: run.NewRegistry(), ready: run.NewReady(), clock: roomtime.New(cfg.Clock.SingleHost),
		producers: map[string]*eventlog.Producer{}, desks: map[string]*answer.Desk{},
	}
	if cfg.Clock.Source != "" {
		source := roomtime.NewSource(cfg.Clock.Source, log)
		a.clock.Follow(source)
		a.parts = append(a.parts, run.Part{Name: "room time", Run: source.Run})
	}
	if a.events, err = eventlog.New(cfg.Kafka.client(name), eventlog.Deps{Log: log, Metrics: a.registry}); err != nil {
		return nil, err
	}
	a.closers = append(a.closers, a.events.Close)
	if a.db, err = store.New(ctx, cfg.Postgres); err != nil {
		a.close()
		return nil, err
	}
	a.closers = append(a.closers, a.db.Close)
	options, err := cfg.Redis.options()
	if err != nil {
		a.close()
		return nil, errors.New("redis.url: expected redis://user:password@host:port/0")
	}
	redis.SetLogger(redisLog{log}) // of the whole process: the library has no other
	a.redis = redis.NewUniversalClient(options)
	a.closers = append(a.closers, func() { _ = a.redis.Close() })
	return a, nil
}

// redisLog has what the Redis library notices, mostly that Redis is away, in the process's own log.
type redisLog struct{ log *slog.Logger }

// Printf logs one line of the library.
func (l redisLog) Printf(_ context.Context, format string, args ...any) {
	l.log.Warn("redis", slog.String("says", fmt.Sprintf(format, args...)))
}

func (c RedisConfig) options() (*redis.UniversalOptions, error) {
	first, rest, _ := strings.Cut(c.URL.Reveal(), ",")
	o, err := redis.ParseURL(first)
	if err != nil {
		return nil, errors.New("not a Redis address")
	}
	u := &redis.UniversalOptions{
		Addrs: []string{o.Addr}, Username: o.Username, Password: o.Password, DB: o.DB, TLSConfig: o.TLSConfig,
		DialTimeout: 2 * time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
	}
	if rest != "" {
		u.Addrs = append(u.Addrs, strings.Split(rest, ",")...)
	}
	return u, nil
}

// close gives back what assemble opened, in reverse.
func (a *assembly) close() {
	for i := len(a.closers) - 1; i >= 0; i-- {
		a.closers[i]()
	}
	a.closers = nil
}

func (a *assembly) topic(name string) string { return a.cfg.Kafka.TopicPrefix + name }

// topics lists every topic of an installation.
func (a *assembly) topics() []eventlog.Topic {
	q, o := a.cfg.Kafka.QueuePartitions, a.cfg.Kafka.OrdersPartitions
	return []eventlog.Topic{
		{Name: a.topic(wire.TopicQueue), Partitions: q, RetentionForever: true},
		{Name: a.topic(wire.TopicQueueOutcomes), Partitions: q, RetentionForever: true},
		{Name: a.topic(wire.TopicQueueDocuments), Partitions: q, RetentionMS: time.Hour.Milliseconds()},
		{Name: a.topic(wire.TopicOrders), Partitions: o, RetentionForever: true},
		{Name: a.topic(wire.TopicOutcomes), Partitions: o, RetentionForever: true},
	}
}

// check refuses to start a role on topics or a schema that it cannot rely on.
func (a *assembly) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := a.events.EnsureTopics(ctx, a.topics()); err != nil {
		return err
	}
	return a.db.CheckSchema(ctx)
}

// producer returns the one producer of a topic.
func (a *assembly) producer(topic string) *eventlog.Producer {
	p := a.producers[topic]
	if p == nil {
		p = a.events.Producer(a.topic(topic))
		a.producers[topic] = p
	}
	return p
}

// desk returns the one desk on a topic of outcomes; it starts before whatever asks it.
func (a *assembly) desk(topic string) *answer.Desk {
	d := a.desks[topic]
	if d == nil {
		partitions := a.cfg.Kafka.OrdersPartitions
		if topic == wire.TopicQueueOutcomes {
			partitions = a.cfg.Kafka.QueuePartitions
		}
		d = answer.New(answer.Config{Topic: a.topic(topic), Partitions: partitions},
			answer.Deps{Events: a.events, Log: a.log, Metrics: a.registry})
		a.desks[topic] = d
		a.ready.Add("answers "+topic, d.Ready)
	}
	return d
}

// router is a router whose routes are served by one listener.
func (a *assembly) router(role string, secure bool) *web.Router {
	return web.NewRouter(web.NewShell(web.ShellConfig{Role: role, Secure: secure},
		web.ShellDeps{Log: a.log, Metrics: a.registry}))
}

// listen serves a router at the configured address.
func (a *assembly) listen(role string, c web.Config, key string, r *web.Router) *web.Server {
	s := web.NewServer(c, web.ServerDeps{Log: a.log, Handler: r.Handler, Metrics: a.registry, Role: role, Key: key})
	a.listeners = append(a.listeners, s.Part("http "+role))
	return s
}

// addressKey is what to change when an address cannot be listened on.
func (a *assembly) addressKey(key, flag string) string {
	if a.flags {
		return flag
	}
	return key
}

// listenHTTP serves a net/http handler: the dashboard, whose asynqmon is one, and the simulator.
func (a *assembly) listenHTTP(name, address, key string, h http.Handler) {
	started := make(chan struct{})
	a.listeners = append(a.listeners, run.Part{Name: "http " + name, Started: started, Run: func(ctx context.Context) error {
		ln, err := run.Listen(address, key)
		if err != nil {
			return err
		}
		close(started)
		return serveHTTP(ctx, ln, h)
	}})
}

// serveHTTP serves until ctx ends, then lets what is being answered finish.
func serveHTTP(ctx context.Context, ln net.Listener, h http.Handler) error {
	const drain = 5 * time.Second
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 60 * time.Second, MaxHeaderBytes: 32 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	hard, cancel := run.HardWithin(ctx, drain)
	defer cancel()
	err := s.Shutdown(hard)
	if err != nil {
		err = s.Close()
	}
	<-ended
	return err
}

// part adds a part that runs below the listeners.
func (a *assembly) part(name string, f func(ctx context.Context) error) {
	a.late = append(a.late, run.Part{Name: name, Run: f})
}

// run runs everything until ctx ends. Listeners are last to come up and first to go down.
func (a *assembly) run(ctx context.Context) error {
	defer a.close()
	g := run.NewGroup(a.cfg.Shutdown, run.GroupDeps{Log: a.log, Ready: a.ready})
	ops := run.NewOps(a.cfg.Ops, run.OpsDeps{
		Log: a.log, Gatherer: a.registry, Ready: a.ready, Key: a.addressKey("ops.address", "--ops"),
	})
	g.Add(ops.Part())
	g.Add(a.parts...)
	for _, topic := range []string{wire.TopicQueueOutcomes, wire.TopicOutcomes} {
		if d := a.desks[topic]; d != nil {
			g.Add(run.Part{Name: "answers " + topic, Run: d.Run})
		}
	}
	g.Add(a.late...)
	g.Add(a.listeners...)
	return g.Run(ctx)
}

// roleName is the command's first word.
type roleName string

// roleCommand runs one role in a process of its own.
type roleCommand struct {
	configFlags
}

// Run runs the role until a signal.
func (c roleCommand) Run(ctx context.Context, name roleName) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	a, err := assemble(ctx, cfg, string(name))
	if err != nil {
		return err
	}
	if name != "scaler" {
		if err := a.check(ctx); err != nil {
			a.close()
			return err
		}
	}
	if err := a.add(string(name)); err != nil {
		a.close()
		return fmt.Errorf("%s: %w", name, err)
	}
	return a.run(ctx)
}

// add puts a role with its own listener into the process.
func (a *assembly) add(name string) error {
	switch name {
	case "waitingroom", "booking", "workers":
		r := a.router(name, a.cfg.Waitingroom.Secure)
		if err := a.addPublic(name, r); err != nil {
			return err
		}
		a.listen(name, a.cfg.HTTP, "http.address", r)
		return nil
	case "processor":
		_, err := a.addProcessor()
		return err
	case "admin":
		return a.addAdmin()
	case "scaler":
		return a.addScaler()
	}
	return fmt.Errorf("no role is called %q", name)
}

// addPublic puts a role's routes on a router that others may share.
func (a *assembly) addPublic(name string, r *web.Router) error {
	switch name {
	case "waitingroom":
		return a.addWaitingroom(r, nil)
	case "booking":
		return a.addBooking(r)
	}
	return a.addWorkers(r)
}
