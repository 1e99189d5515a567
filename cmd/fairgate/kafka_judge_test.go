package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"fairgate/internal/chaos"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// rigRest bounds the time until everything that was decided is in Postgres.
const rigRest = 2 * time.Minute

// follow has the watch read outcomes until the rig ends.
func (r *rig) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.watch.Run(ctx, r.own.events, r.topic(wire.TopicOutcomes)) }()
	r.watching = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("reading outcomes: %v", err)
		}
	})
	r.t.Cleanup(r.watching)
}

// judge lets everything come to rest and holds what was acknowledged, the logs and Postgres against each other; it
// returns what is wrong.
func (r *rig) judge(ctx context.Context) (a *chaos.Audit, violations []string) {
	r.t.Helper()
	bad := func(err error) {
		if err != nil {
			violations = append(violations, err.Error())
		}
	}
	if died := r.died.Load(); died != nil {
		bad(errors.New(*died))
	}
	for p := range r.sale.Partitions {
		bad(r.decided(ctx, int32(p)))
		bad(r.projected(ctx, int32(p)))
	}
	a, err := r.journal.Run(ctx, r.own.events, r.sale.Orders, r.topic(wire.TopicOutcomes), r.watch)
	bad(err)
	if a.Total > 0 {
		bad(fmt.Errorf("%d findings of the audit:\n%s", a.Total, strings.Join(a.Findings, "\n")))
	}
	out, err := r.try("verify", "--config", r.config)
	r.t.Logf("verify says:\n%s", out)
	if err != nil {
		bad(fmt.Errorf("verify: %w: %s", err, out))
	}
	return a, violations
}

// decided waits until every record that a partition has now was decided.
func (r *rig) decided(ctx context.Context, partition int32) error {
	_, end, err := r.own.events.Bounds(ctx, r.sale.Orders, partition)
	if err != nil {
		return err
	}
	err = settle(ctx, rigRest, func(context.Context) (bool, error) { return r.watch.Reached(partition) >= end, nil })
	if err != nil {
		return fmt.Errorf("partition %d: records up to %d of %d were decided: %w", partition, r.watch.Reached(partition), end, err)
	}
	return nil
}

// projected waits until Postgres has every outcome of a partition that exists now.
func (r *rig) projected(ctx context.Context, partition int32) error {
	ctx, cancel := context.WithTimeout(ctx, rigRest)
	defer cancel()
	want := uint64(len(r.watch.Seen(partition)))
	for {
		at, err := r.own.db.Projected(ctx, store.ProjectionBookings, partition)
		if err == nil && at.NextSeq > want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("partition %d: Postgres has outcomes up to %d of %d (%w)", partition, at.NextSeq, want, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
