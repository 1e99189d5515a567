package workers

import (
	"context"
	"errors"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/run"
	"fairgate/internal/store"
)

const (
	// sweepEvery is how often stored webhooks are looked over.
	sweepEvery = 2 * time.Second
	// measureEvery is how often the outbox is counted.
	measureEvery = 5 * time.Second
	// checkEvery is how often the money is added up.
	checkEvery = time.Minute
	// keep is how long obligations that are done and webhooks that are processed are kept; pruneBatch is how many of each
	// go at once.
	keep       = 30 * 24 * time.Hour
	pruneBatch = 5_000
	// redisWait is how long to leave an obligation alone that Redis did not take.
	redisWait = 3 * time.Second
)

// relay hands obligations that are due to asynq until ctx ends. Crash story: a claimed one that did not reach Redis is
// due again when its lease ends.
func (w *Workers) relay(ctx context.Context) error {
	run.Interval(ctx, w.cfg.RelayEvery, w.cfg.RelayEvery/2, func(ctx context.Context) {
		for ctx.Err() == nil {
			n, err := w.relayBatch(ctx)
			if err != nil && ctx.Err() == nil {
				w.metrics.loops.WithLabelValues("relay").Inc()
				w.log.WarnContext(ctx, "outbox relay failed", "error", err)
			}
			if err != nil || n < w.cfg.RelayBatch {
				return
			}
		}
	})
	return nil
}

// relayBatch hands out one batch of money and one of mails, and returns how many of the fuller were due. What asynq has
// not begun yet is not added to: it would only be handed out again when its lease ends.
func (w *Workers) relayBatch(ctx context.Context) (int, error) {
	most := 0
	for _, q := range []struct {
		which store.Claims
		queue string
	}{{store.ClaimMoney, queueMoney}, {store.ClaimMails, queueMail}} {
		if w.backlog(ctx, q.queue) >= w.cfg.RelayBatch {
			continue
		}
		due, err := w.store.ClaimObligations(ctx, q.which, w.cfg.RelayBatch, w.cfg.Lease)
		if err != nil {
			return 0, err
		}
		for i, o := range due {
			if err := w.enqueueObligation(ctx, o); err != nil {
				w.metrics.enqueue.WithLabelValues("failed").Inc()
				return len(due), w.withoutRedis(ctx, due[i:], err)
			}
		}
		most = max(most, len(due))
	}
	return most, nil
}

// backlog is how many tasks of a queue wait in asynq; 0 where that cannot be known. (asynq's own GetQueueInfo walks over
// tasks to estimate their memory, which is too much for every tenth of a second.)
func (w *Workers) backlog(ctx context.Context, queue string) int {
	ctx, cancel := context.WithTimeout(ctx, enqueueWait)
	defer cancel()
	n, err := w.redis.LLen(ctx, "asynq:{"+queue+"}:pending").Result()
	if err != nil {
		return 0 // Redis is away: handing out finds out
	}
	return int(n)
}

// withoutRedis does what Redis does not carry: money is done here, a batch at a time, mail waits. Waiting for Redis counts
// as nobody's failure.
func (w *Workers) withoutRedis(ctx context.Context, rest []store.Obligation, why error) error {
	var money []store.Obligation
	for _, o := range rest {
		if o.Kind != payment.KindMail {
			money = append(money, o)
		} else if err := w.store.UnclaimObligation(context.WithoutCancel(ctx), o, redisWait); err != nil {
			return err
		}
	}
	return errors.Join(why, w.here(ctx, money))
}

// sweep hands webhooks to asynq that were stored and not processed: Redis was away, lost them, or processing failed.
func (w *Workers) sweep(ctx context.Context) error {
	every := min(sweepEvery, w.cfg.SweepAfter)
	run.Interval(ctx, every, every/2, func(ctx context.Context) {
		if err := w.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			w.metrics.loops.WithLabelValues("sweeper").Inc()
			w.log.WarnContext(ctx, "webhook sweeper failed", "error", err)
		}
	})
	return nil
}

// sweepOnce hands out one batch. What asynq has not begun yet is not added to, as in relayBatch.
func (w *Workers) sweepOnce(ctx context.Context) error {
	if w.backlog(ctx, queueMoney) >= w.cfg.RelayBatch {
		return nil
	}
	open, err := w.store.ClaimWebhooks(ctx, w.cfg.RelayBatch, w.cfg.SweepAfter, w.cfg.Lease)
	if err != nil {
		return err
	}
	for _, e := range open {
		if err := w.enqueueEvent(ctx, e); err != nil {
			w.metrics.enqueue.WithLabelValues("failed").Inc()
			if err := w.act(ctx, e); stopped(ctx, err) {
				return err
			}
		}
	}
	return nil
}

// measure keeps the gauges. What cannot be counted keeps its last value; the alert on the loop's failures tells.
func (w *Workers) measure(ctx context.Context) error {
	var checked time.Time
	run.Interval(ctx, measureEvery, measureEvery/2, func(ctx context.Context) {
		err := w.count(ctx)
		if err == nil && w.now().Sub(checked) >= checkEvery {
			checked = w.now()
			err = w.addUp(ctx)
			if err == nil {
				_, err = w.store.PruneObligations(ctx, w.now().Add(-keep), pruneBatch)
			}
		}
		if err != nil && ctx.Err() == nil {
			w.metrics.loops.WithLabelValues("gauges").Inc()
			w.log.WarnContext(ctx, "outbox gauges failed", "error", err)
		}
	})
	return nil
}

func (w *Workers) count(ctx context.Context) error {
	stats, err := w.store.OutboxStats(ctx)
	if err != nil {
		return err
	}
	open, age, err := w.store.OpenWebhooks(ctx)
	if err != nil {
		return err
	}
	w.metrics.outbox(stats)
	w.metrics.inbox.Set(float64(open))
	w.metrics.inboxAge.Set(age.Seconds())
	return nil
}

// addUp evaluates invariant 4 and the ledger's own.
func (w *Workers) addUp(ctx context.Context) error {
	checks, err := w.store.CheckMoney(ctx)
	if err != nil {
		return err
	}
	off := 0
	for _, c := range checks {
		if c.Difference != 0 {
			off++
		}
	}
	facts, err := w.store.UnbalancedFacts(ctx, 1)
	if err != nil {
		return err
	}
	w.metrics.off.WithLabelValues("money").Set(float64(off))
	w.metrics.off.WithLabelValues("ledger").Set(float64(len(facts)))
	gaps, err := w.store.DocumentGaps(ctx)
	if err != nil {
		return err
	}
	w.metrics.off.WithLabelValues("documents").Set(float64(gaps))
	disputes, refunds, err := w.store.OpenTrouble(ctx)
	if err != nil {
		return err
	}
	w.metrics.trouble.WithLabelValues("dispute").Set(float64(disputes))
	w.metrics.trouble.WithLabelValues("refund").Set(float64(refunds))
	return nil
}
