package main

import (
	"context"
	"fmt"
	"io"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"fairgate/admin"
	"fairgate/internal/conf"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/waitingroom/page"
)

// addAdmin puts the dashboard on a listener of its own: asynqmon behind its login is a net/http handler.
func (a *assembly) addAdmin() error {
	guard, err := a.guard()
	if err != nil {
		return err
	}
	options, err := a.cfg.Redis.options()
	if err != nil {
		return err
	}
	invites, err := a.cfg.Keys.invites()
	if err != nil {
		return err
	}
	var inviter admin.Inviter
	if invites != nil {
		inviter = invites.Mint
	}
	languages, err := page.Languages()
	if err != nil {
		return err
	}
	looks := admin.Looks{Check: func(brand []byte, logoName string, logo []byte) error {
		_, err := page.ParseBrand(brand, logoName, logo)
		return err
	}}
	for _, l := range languages {
		looks.Languages = append(looks.Languages, admin.Language(l))
	}
	d, err := admin.New(a.cfg.Admin, admin.Deps{
		Store: a.db, Redis: ownRedis{options}, Commands: a.commander(), Events: a.events,
		DocumentsTopic: a.topic(wire.TopicQueueDocuments), Partitions: a.cfg.Kafka.QueuePartitions,
		OrdersPartitions: a.cfg.Kafka.OrdersPartitions, Guard: fanGuard{guard}, Inviter: inviter, Looks: looks, ShopURL: a.cfg.Payment.ShopURL,
		Log: a.log, Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	a.part("admin", d.Run)
	a.ready.Add("admin", d.Ready)
	a.listenHTTP("admin", a.cfg.Admin.Address, a.addressKey("admin.address", "--admin"), d.Handler())
	return nil
}

// ownRedis gives asynqmon connections of its own: it closes them when it ends, while workers still use theirs.
type ownRedis struct{ options *redis.UniversalOptions }

// MakeRedisClient returns a new client.
func (r ownRedis) MakeRedisClient() any { return redis.NewUniversalClient(r.options) }

var _ asynq.RedisConnOpt = ownRedis{}

// adminUserCommand adds a user of the dashboard.
type adminUserCommand struct {
	Add addUserCommand `cmd:"" help:"Add a user, or set their password. The password is read from standard input."`
}

type addUserCommand struct {
	configFlags
	Email string `arg:"" help:"Who logs in."`
	Role  string `help:"organiser or operator." enum:"organiser,operator" default:"organiser"`
}

// Run reads the password and writes the user.
func (c addUserCommand) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	const longest = 1024
	b, err := io.ReadAll(io.LimitReader(in, longest))
	if err != nil {
		return err
	}
	password := trimLine(b)
	db, err := store.New(ctx, cfg.Postgres)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := admin.AddUser(ctx, db, c.Email, password, c.Role); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s may log in\n", c.Email)
	return err
}

func trimLine(b []byte) string {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return string(conf.Secret(b).Reveal())
}
