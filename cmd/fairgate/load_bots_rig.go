package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"fairgate/botguard/limit"
	"fairgate/internal/conf"
	"fairgate/internal/crowd/bots"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

const (
	// botsBase is the base difficulty that the server asks. The work is real, and cheap enough for one machine to do it for
	// everybody; what it stands for is waited for.
	botsBase = 8
	// lateSeconds is how late a join may reach the log after its arrival, in the run's time.
	lateSeconds = 240
	// botsPublic is the public value of the draw. Nobody bets on this one.
	botsPublic = "published when everybody had come"
)

// slack is the part of a pre-queue that the machine may fall behind where lots are drawn: the draw's close is published before.
const slack = 0.25

// definedWithin is how long it may take until the edge serves a new room.
const definedWithin = 4 * time.Second

// botsRig is a whole installation whose lengths of time are shorter: limits, and what a challenge's life decides.
type botsRig struct {
	stack  *stack
	remove func()
}

func openBotsRig(ctx context.Context, c *bots.Config, log *slog.Logger) (*botsRig, error) {
	dir, remove, err := scratch()
	if err != nil {
		return nil, err
	}
	options := stackOptions{dir: dir}
	for _, to := range []*string{&options.shop, &options.admin, &options.pay, &options.ops} {
		if *to, err = freeAddress(); err != nil {
			remove()
			return nil, err
		}
	}
	actions, err := limit.DefaultRules()
	if err != nil {
		remove()
		return nil, err
	}
	for _, rules := range actions {
		for i := range rules {
			rules[i].Per = time.Duration(float64(time.Minute) / c.Compress)
		}
	}
	options.overlay = func(cfg *Config) {
		g := &cfg.Botguard
		for _, n := range bots.CarrierNetworks() {
			g.Carriers = append(g.Carriers, netip.MustParsePrefix(n))
		}
		g.Puzzle.Difficulty = botsBase
		g.Puzzle.Life = max(time.Duration(float64(token.ChallengeLife)*float64(time.Microsecond)/c.Compress), time.Second)
		g.Puzzle.ExpectedBroad = max(int(4_000*c.Scale), 1)
		g.Limits.Actions = actions
		cfg.Waitingroom.TimedWait = time.Duration(float64(5*time.Second) / c.Compress)
		cfg.Waitingroom.Refresh = 500 * time.Millisecond
	}
	s, err := openStack(ctx, options, log)
	if err != nil {
		remove()
		return nil, err
	}
	return &botsRig{stack: s, remove: remove}, nil
}

// run drives one sale in a room of its own. shared is the shared lane's part of the outflow, -1 for the default.
func (r *botsRig) run(ctx context.Context, c bots.Config, shared int, progress io.Writer) (report bots.Report, err error) {
	s := r.stack
	if err := s.whenReady(ctx); err != nil {
		return report, err
	}
	c.URL, c.Room, c.Base = s.shopURL(), rehearsalRoom, botsBase
	prequeue := float64(bots.Prequeue) / c.Compress
	sale := botsSale{
		stack: s, room: c.Room, late: time.Duration(math.Ceil(lateSeconds/c.Compress)) * time.Second,
		closes: time.Now().Add(definedWithin + time.Duration((1+slack)*prequeue)),
	}
	if c.Draw {
		c.Behind = time.Duration(slack * prequeue)
	}
	if err := sale.define(ctx, &c, shared); err != nil {
		return report, err
	}
	return bots.Run(ctx, c, bots.Deps{Solve: solve, Open: sale.open, Progress: progress})
}

// botsSale is one room.
type botsSale struct {
	stack  *stack
	room   int64
	closes time.Time // the draw
	late   time.Duration
	draw   bool
}

// define makes the room and waits until the edge serves it.
func (b *botsSale) define(ctx context.Context, c *bots.Config, shared int) error {
	room := store.Room{
		ID: b.room, Name: "Who gets the tickets", Cap: 2*c.Tickets() + 100, PerMinute: max(c.Tickets()*12, 600), Pass: time.Hour, Claim: 30 * time.Second,
		Grace: 10 * time.Minute, Late: b.late,
	}
	if shared >= 0 {
		room.Shares.Shared = &shared
	}
	if b.draw = c.Draw; b.draw {
		seed := make([]byte, store.SeedSize)
		if _, err := rand.Read(seed); err != nil {
			return err
		}
		room.Mode, room.Seed, room.Draw = "draw", conf.Secret(seed), store.Draw{Closes: b.closes, Source: "a value that is published later"}
	}
	if _, _, err := b.stack.db.CreateRoom(ctx, room); err != nil {
		return err
	}
	if err := b.stack.publisher().DefineRoom(ctx, b.room); err != nil {
		return err
	}
	return b.stack.served(ctx, b.room)
}

// open opens the room; where lots are drawn, when nobody can join the draw any more, and with its seed and public value.
func (b *botsSale) open(ctx context.Context) error {
	s := b.stack
	if b.draw {
		if late := time.Since(b.closes); late > 0 {
			return fmt.Errorf("%w: people were still coming %v after the draw closed", bots.ErrTooSlow, late.Round(time.Second))
		}
		if _, err := s.db.GiveDrawPublic(ctx, b.room, botsPublic); err != nil {
			return err
		}
		room, err := s.db.LatestRoom(ctx, b.room)
		if err != nil {
			return err
		}
		publish := s.publisher()
		err = settle(ctx, time.Until(b.closes)+b.late+time.Minute, func(ctx context.Context) (bool, error) {
			if time.Now().Before(b.closes.Add(b.late)) {
				return false, nil
			}
			seq, err := publish.Reveal(ctx, &room)
			return seq != 0, err
		})
		if err != nil {
			return err
		}
	}
	room, err := s.db.LatestRoom(ctx, b.room)
	if err != nil {
		return err
	}
	_, err = s.commander().Room(ctx, room.Partition, b.room, 0, &wire.SetRoom{State: wire.RoomOpen})
	return err
}
