package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/botguard"
	"fairgate/internal/store"
)

const (
	// keepRulingsEvery is how often what the guard ruled is written down: the dashboard shows it that late.
	keepRulingsEvery = 5 * time.Second
	// forgetRulingsEvery is how often old rulings are dropped.
	forgetRulingsEvery = time.Hour
)

// rulingKeeper writes down what the guard's rules made of requests. No request waits for it: while the database is away,
// rulings are lost, and counted.
type rulingKeeper struct {
	guard *botguard.Guard
	db    *store.DB
	log   *slog.Logger
	lost  prometheus.Counter
}

func newRulingKeeper(a *assembly, g *botguard.Guard) *rulingKeeper {
	k := &rulingKeeper{guard: g, db: a.db, log: a.log, lost: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "fairgate_botguard_rulings_lost_total", Help: "Requests whose ruling the dashboard will not show: too many different ones at once, or no database.",
	})}
	a.registry.MustRegister(k.lost)
	return k
}

// run keeps rulings until ctx ends, and then what is left.
func (k *rulingKeeper) run(ctx context.Context) error {
	every, forget := time.NewTicker(keepRulingsEvery), time.NewTicker(forgetRulingsEvery)
	defer every.Stop()
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			k.keep(context.WithoutCancel(ctx))
			return nil
		case <-every.C:
			k.keep(ctx)
		case now := <-forget.C:
			if err := k.db.ForgetRulings(ctx, now.Add(-store.KeepRulings)); err != nil && ctx.Err() == nil {
				k.log.Warn("old rulings were not forgotten", slog.Any("error", err))
			}
		}
	}
}

func (k *rulingKeeper) keep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keepRulingsEvery)
	defer cancel()
	rulings, lost := k.guard.Rulings()
	k.lost.Add(float64(lost))
	if len(rulings) == 0 {
		return
	}
	if err := k.db.NoteRulings(ctx, rulings); err != nil {
		for i := range rulings {
			k.lost.Add(float64(rulings[i].Times))
		}
		k.log.Warn("rulings of the bot guard were not kept", slog.Any("error", err))
	}
}
