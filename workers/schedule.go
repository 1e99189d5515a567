package workers

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"fairgate/internal/run"
)

const (
	// kindCompare is the task that compares the payment provider with the ledger.
	kindCompare = "reconcile"
	// compareTimeout bounds one comparison.
	compareTimeout = 30 * time.Minute
	// reportEvery is how often it is looked whether a day is to be told of.
	reportEvery = 10 * time.Minute
	// reportJitter spreads the first look of a fleet.
	reportJitter = 2 * time.Second
)

// scheduleReconcile has the provider compared with the ledger at intervals, until ctx ends: by whichever of all workers
// asks first in an interval, for a comparison costs calls that are counted. Without Redis every process compares.
func (w *Workers) scheduleReconcile(ctx context.Context) error {
	every := w.cfg.Reconcile.Every
	if every < 0 {
		<-ctx.Done()
		return nil
	}
	run.Interval(ctx, every, every/4, func(ctx context.Context) {
		slot := w.now().Truncate(every).UnixMilli()
		_, err := w.client.EnqueueContext(ctx, asynq.NewTask(kindCompare, nil), asynq.Queue(queueCompare), asynq.MaxRetry(0),
			asynq.Timeout(compareTimeout), asynq.TaskID(kindCompare+"|"+strconv.FormatInt(slot, 10)), asynq.Retention(2*every))
		if err == nil || errors.Is(err, asynq.ErrTaskIDConflict) || ctx.Err() != nil {
			return
		}
		w.metrics.enqueue.WithLabelValues("failed").Inc()
		_ = w.compare(ctx) // it has said what went wrong
	})
	return nil
}

// compare reconciles once and says what it found.
func (w *Workers) compare(ctx context.Context) error {
	report, err := w.reconcile.Run(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		w.metrics.loops.WithLabelValues("reconcile").Inc()
		w.log.WarnContext(ctx, "reconciliation failed", "error", err)
	case len(report.Findings) > 0:
		w.log.WarnContext(ctx, "reconciliation found differences", "count", len(report.Findings)+report.Dropped, "open", report.Open(),
			"first", report.Findings[0].Reason, "object", report.Findings[0].Object)
	}
	return err
}

// reportDays tells organisers every day of the day before. Each day is told once, whoever asks and however often.
func (w *Workers) reportDays(ctx context.Context) error {
	if w.cfg.ReportAt < 0 {
		<-ctx.Done()
		return nil
	}
	run.Interval(ctx, reportEvery, reportJitter, func(ctx context.Context) {
		if err := w.reportDay(ctx); err != nil && ctx.Err() == nil {
			w.metrics.loops.WithLabelValues("report").Inc()
			w.log.WarnContext(ctx, "daily report failed", "error", err)
		}
	})
	return nil
}

// reportDay tells of yesterday if it is time.
func (w *Workers) reportDay(ctx context.Context) error {
	now := w.now().UTC()
	today := now.Truncate(24 * time.Hour)
	if now.Sub(today) < w.cfg.ReportAt {
		return nil
	}
	reports, err := w.store.DailyReports(ctx, today.AddDate(0, 0, -1))
	if err != nil {
		return err
	}
	for _, r := range reports {
		if _, err := w.store.TellDay(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
