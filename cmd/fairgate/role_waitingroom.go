package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/booking"
	"fairgate/botguard"
	"fairgate/botguard/limit"
	"fairgate/botguard/puzzle"
	"fairgate/botguard/puzzle/browser"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom"
	"fairgate/waitingroom/token"
)

// addWaitingroom puts the edge on a router. places answers exactly where somebody stands; nil when the queue machine is
// not in this process.
func (a *assembly) addWaitingroom(r *web.Router, places waitingroom.Places) error {
	ring, err := token.ParseKeys(a.cfg.Keys.Places.Reveal())
	if err != nil {
		return fmt.Errorf("keys.places: %w", err)
	}
	keys, err := token.NewKeys(ring)
	if err != nil {
		return fmt.Errorf("keys.places: %w", err)
	}
	passes, err := a.passes()
	if err != nil {
		return err
	}
	invites, err := a.cfg.Keys.invites()
	if err != nil {
		return err
	}
	guard, err := a.guard()
	if err != nil {
		return err
	}
	solver, err := browser.Files.ReadFile(browser.Solver)
	if err != nil {
		return err
	}
	edge, err := waitingroom.New(a.cfg.Waitingroom, waitingroom.Deps{
		Keys: keys, Passes: passes, Invites: invites, RoomTime: a.clock.Now, Guard: fanGuard{guard}, Queue: a.producer(wire.TopicQueue),
		Answers: a.desk(wire.TopicQueueOutcomes),
		Documents: waitingroom.DocumentLog{
			Events: a.events, Topic: a.topic(wire.TopicQueueDocuments), Partitions: a.cfg.Kafka.QueuePartitions,
		},
		Rooms: roomList{a.db}, Looks: lookList{a.db}, Places: places, SolverJS: solver, Log: a.log, Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	edge.Routes(r)
	a.part("rulings", newRulingKeeper(a, guard).run)
	a.part("waitingroom", edge.Run)
	a.ready.Add("waitingroom", edge.Ready)
	return nil
}

// passes are the keys of admission passes: the edge signs with them, booking verifies with their public halves.
func (a *assembly) passes() (*waitingroom.Passes, error) {
	keys, err := token.ParseKeys(a.cfg.Keys.Passes.Reveal())
	if err != nil {
		return nil, fmt.Errorf("keys.passes: %w", err)
	}
	passes, err := waitingroom.NewPasses(keys)
	if err != nil {
		return nil, fmt.Errorf("keys.passes: %w", err)
	}
	return passes, nil
}

// guard returns the one guard of the process.
func (a *assembly) guard() (*botguard.Guard, error) {
	if a.theGuard != nil {
		return a.theGuard, nil
	}
	options, err := a.cfg.Redis.options()
	if err != nil {
		return nil, err
	}
	shared := limit.NewRedis(*options, a.cfg.Botguard.Limits.SharedTimeout)
	a.closers = append(a.closers, func() { _ = shared.Close() })
	a.theGuard, err = botguard.New(a.cfg.Botguard, botguard.Deps{Shared: shared, Log: a.log, Metrics: prometheus.Registerer(a.registry)})
	return a.theGuard, err
}

// roomList tells the edge which rooms there are and where their passes lead.
type roomList struct{ db *store.DB }

// Rooms lists them.
func (l roomList) Rooms(ctx context.Context) ([]waitingroom.Room, error) {
	rows, err := l.db.Rooms(ctx, 0, waitingroom.MaxRooms)
	if err != nil {
		return nil, err
	}
	events, err := l.db.FirstEvents(ctx)
	if err != nil {
		return nil, err
	}
	rooms := make([]waitingroom.Room, 0, len(rows))
	for _, r := range rows {
		next := "/"
		if id := events[r.ID]; id != 0 {
			next = fmt.Sprintf("/events/%d", id)
		}
		rooms = append(rooms, waitingroom.Room{ID: r.ID, Partition: r.Partition, Name: r.Name, Next: next})
	}
	return rooms, nil
}

// lookList tells the edge how rooms look.
type lookList struct{ db *store.DB }

// Revisions says which rooms have a look.
func (l lookList) Revisions(ctx context.Context) (map[int64]int64, error) {
	return l.db.LookRevisions(ctx, waitingroom.MaxRooms)
}

// Look reads that of a room.
func (l lookList) Look(ctx context.Context, room int64) (brand []byte, logoName string, logo []byte, err error) {
	look, err := l.db.Look(ctx, room)
	return look.Brand, look.LogoName, look.Logo, err
}

// fanGuard is the bot guard as the edge and booking ask it; components never import each other.
type fanGuard struct{ *botguard.Guard }

// Judge asks for a verdict on a visit to the waiting room.
func (g fanGuard) Judge(ctx context.Context, v waitingroom.Visit) waitingroom.Verdict {
	d := g.Guard.Judge(ctx, request(v))
	policy, rate := d.Limits.Headers()
	lane := wire.LaneNormal
	if d.Lane == botguard.LaneShared {
		lane = wire.LaneShared
	}
	return waitingroom.Verdict{
		Allow: d.Allow, Status: d.Status, RetryAfter: d.RetryAfter, Policy: policy, RateLimit: rate, Lane: lane,
		AppealCode: d.AppealCode,
		Price:      price(d.Price),
	}
}

// Presence is what entering costs.
func (g fanGuard) Presence() token.Price { return price(g.Guard.Presence()) }

func price(p puzzle.Params) token.Price {
	return token.Price{Algorithm: p.Algorithm, SubPuzzles: p.SubPuzzles, K: p.K, Difficulty: p.Difficulty}
}

func request(v waitingroom.Visit) botguard.Request {
	return botguard.Request{
		Action: v.Action, Address: v.Address, UserAgent: v.UserAgent, AcceptLanguage: v.AcceptLanguage, FetchSite: v.FetchSite,
		Visitor: v.Visitor, Returning: v.Returning,
		Room: v.Room, Networks: v.Networks, Places: v.Places,
	}
}

// Issued notes a challenge.
func (g fanGuard) Issued(v waitingroom.Visit) { g.Guard.Issued(request(v)) }

func params(p token.Price) puzzle.Params {
	return puzzle.Params{Algorithm: p.Algorithm, SubPuzzles: p.SubPuzzles, K: p.K, Difficulty: p.Difficulty}
}

// Check verifies a solution.
func (g fanGuard) Check(seed wire.Hash, price token.Price, solution []byte) error {
	return g.Guard.Check(seed, params(price), solution)
}

// Failed notes a wrong solution.
func (g fanGuard) Failed(v waitingroom.Visit) { g.Guard.Failed(request(v)) }

// Algorithm names a price's puzzle.
func (g fanGuard) Algorithm(p token.Price) (string, error) { return g.Guard.Algorithm(params(p)) }

// Allow limits booking's expensive calls.
func (g fanGuard) Allow(ctx context.Context, c booking.Call) (bool, time.Duration, map[string]string) {
	address, err := g.ClientAddress(c.Peer, c.Header(g.Header()))
	if err != nil {
		address = netip.Addr{}
	}
	d := g.Guard.Judge(ctx, botguard.Request{Action: c.Action, Address: address, User: c.User})
	policy, rate := d.Limits.Headers()
	headers := map[string]string{}
	if policy != "" {
		headers[limit.HeaderPolicy], headers[limit.HeaderRateLimit] = policy, rate
	}
	return d.Allow, d.RetryAfter, headers
}

// AllowLogin limits attempts to log in to the dashboard.
func (g fanGuard) AllowLogin(ctx context.Context, address netip.Addr) (bool, time.Duration) {
	d := g.Guard.Judge(ctx, botguard.Request{Action: botguard.ActionLogin, Address: address})
	return d.Allow, d.RetryAfter
}
