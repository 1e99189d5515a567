package workers

import (
	"context"
	"errors"
	"sync"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

// hereAtOnce is how many obligations are met at once while Redis is away.
const hereAtOnce = 8

// WorkOff does what is due now in this process, one batch each of webhooks and obligations, without Redis: while Redis is
// away, and for the command line. It returns how many it took up; what fails is noted as it is in a task.
func (w *Workers) WorkOff(ctx context.Context) (int, error) {
	events, err := w.store.ClaimWebhooks(ctx, w.cfg.RelayBatch, w.cfg.SweepAfter, w.cfg.Lease)
	if err != nil {
		return 0, err
	}
	for _, e := range events {
		if err := w.act(ctx, e); stopped(ctx, err) {
			return 0, err
		}
	}
	var due []store.Obligation
	for _, which := range []store.Claims{store.ClaimMoney, store.ClaimMails} {
		some, err := w.store.ClaimObligations(ctx, which, w.cfg.RelayBatch, w.cfg.Lease)
		if err != nil {
			return 0, err
		}
		due = append(due, some...)
	}
	return len(events) + len(due), w.here(ctx, due)
}

// here meets obligations in this process, a few at once. Its error says that it ended early.
func (w *Workers) here(ctx context.Context, due []store.Obligation) error {
	var running sync.WaitGroup
	var mu sync.Mutex
	var ended error
	slots := make(chan struct{}, hereAtOnce)
	for _, o := range due {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			work, cancel := context.WithTimeout(ctx, w.cfg.TaskTimeout)
			defer cancel()
			if err := w.meet(work, o); stopped(ctx, err) {
				mu.Lock()
				ended = errors.Join(ended, err)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return ended
}

func stopped(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || errors.Is(err, payment.ErrStopped))
}
