package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"fairgate/internal/payment"
	"fairgate/internal/run"
	"fairgate/internal/store"
	"fairgate/workers/payments"
)

const (
	// queueMoney and queueMail are the queues of asynq; money is served three times as often.
	queueMoney   = "money"
	queueMail    = "mail"
	queueCompare = "compare" // with the provider: long, seldom
	// taskCheck is how often asynq looks at queues that were empty.
	taskCheck = 100 * time.Millisecond
	// flushShare of the hard stop is left for asynq to hand back what it could not finish.
	shutdown = 15 * time.Second
)

// carried is what travels through Redis: the key of a row. What is to be done, and under which idempotency key, is read
// from Postgres by whoever does it.
type carried struct {
	Cause string `json:"cause"`
}

// enqueueObligation hands an obligation to asynq. The same attempt handed in twice is one task.
func (w *Workers) enqueueObligation(ctx context.Context, o store.Obligation) error {
	queue := queueMoney
	if o.Kind == payment.KindMail {
		queue = queueMail
	}
	return w.enqueue(ctx, o.Kind, queue, o.Cause, o.Attempts)
}

// enqueueEvent hands a stored webhook to asynq.
func (w *Workers) enqueueEvent(ctx context.Context, e store.WebhookEvent) error {
	return w.enqueue(ctx, payment.KindResolve, queueMoney, e.ID, e.Attempts)
}

func (w *Workers) enqueue(ctx context.Context, kind, queue, cause string, attempt int) error {
	body, err := json.Marshal(carried{Cause: cause})
	if err != nil {
		return fmt.Errorf("enqueueing: %w", err)
	}
	_, err = w.client.EnqueueContext(ctx, asynq.NewTask(kind, body), asynq.Queue(queue), asynq.MaxRetry(0),
		asynq.Timeout(w.cfg.TaskTimeout), asynq.TaskID(kind+"|"+cause+"|"+strconv.Itoa(attempt)))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil // it is there already
	}
	if err != nil {
		return fmt.Errorf("enqueueing: %w", err)
	}
	w.metrics.enqueue.WithLabelValues("ok").Inc()
	return nil
}

// handlers says who meets an obligation of a kind.
func (w *Workers) handlers() map[string]func(context.Context, store.Obligation) error {
	return map[string]func(context.Context, store.Obligation) error{
		payment.KindCapture: w.pay.Capture, payment.KindVoid: w.pay.Void, payment.KindRefund: w.pay.Refund,
		payment.KindEnd: w.pay.End, payment.KindRun: w.pay.Run,
		payment.KindMail: w.mail.Send,
	}
}

// serveTasks runs asynq until ctx ends, then lets tasks in work finish.
func (w *Workers) serveTasks(ctx context.Context) error {
	mux := asynq.NewServeMux()
	mux.HandleFunc(payment.KindResolve, w.doEvent)
	mux.HandleFunc(kindCompare, func(ctx context.Context, _ *asynq.Task) error { return w.compare(ctx) })
	for kind := range w.handlers() {
		mux.HandleFunc(kind, w.obligation(kind))
	}
	hard := run.Hard(ctx)
	base := hard
	if hard == ctx {
		base = context.WithoutCancel(ctx) // outside a group asynq's own shutdown bounds the work
	}
	srv := asynq.NewServerFromRedisClient(w.redis, asynq.Config{
		Concurrency: w.cfg.Concurrency, Queues: map[string]int{queueMoney: 6, queueMail: 2, queueCompare: 1}, TaskCheckInterval: taskCheck,
		BaseContext: func() context.Context { return base }, ShutdownTimeout: shutdown,
		Logger: asynqLog{w.log}, LogLevel: asynq.WarnLevel,
	})
	if err := srv.Start(mux); err != nil {
		return fmt.Errorf("starting asynq: %w", err)
	}
	<-ctx.Done()
	srv.Stop()
	srv.Shutdown()
	return nil
}

// doEvent acts on a stored webhook. A failure leaves it open for the sweeper.
func (w *Workers) doEvent(ctx context.Context, task *asynq.Task) error {
	var c carried
	if err := json.Unmarshal(task.Payload(), &c); err != nil {
		return fmt.Errorf("task payload: %w", err)
	}
	e, ok, err := w.store.Webhook(ctx, c.Cause)
	if err != nil || !ok {
		return err
	}
	return w.act(ctx, e)
}

func (w *Workers) act(ctx context.Context, e store.WebhookEvent) error {
	if err := w.pay.Event(ctx, e); err != nil {
		if errors.Is(err, payment.ErrStopped) {
			return err
		}
		w.metrics.tasks.WithLabelValues(payment.KindResolve, "failed").Inc()
		return errors.Join(err, w.store.FailWebhook(context.WithoutCancel(ctx), e.ID, err.Error(), w.pause(e.Attempts)))
	}
	w.metrics.tasks.WithLabelValues(payment.KindResolve, "done").Inc()
	return w.store.ProcessedWebhook(ctx, e.ID)
}

// obligation makes an asynq handler of one that meets obligations. When to try again is the outbox's decision, not
// asynq's: the row outlives Redis.
func (w *Workers) obligation(kind string) func(context.Context, *asynq.Task) error {
	return func(ctx context.Context, task *asynq.Task) error {
		var c carried
		if err := json.Unmarshal(task.Payload(), &c); err != nil {
			return fmt.Errorf("task payload: %w", err)
		}
		o, ok, err := w.store.Obligation(ctx, kind, c.Cause)
		if err != nil || !ok {
			return err
		}
		return w.meet(ctx, o)
	}
}

// meet meets an obligation, or notes why not.
func (w *Workers) meet(ctx context.Context, o store.Obligation) error {
	do := w.handlers()[o.Kind]
	if do == nil {
		do = func(context.Context, store.Obligation) error {
			return fmt.Errorf("%w: unknown kind", payments.ErrDead)
		}
	}
	start := w.now()
	err := do(ctx, o)
	w.metrics.seconds.WithLabelValues(o.Kind).Observe(w.now().Sub(start).Seconds())
	switch {
	case err == nil:
		w.metrics.tasks.WithLabelValues(o.Kind, "done").Inc()
		return nil
	case errors.Is(err, payment.ErrStopped):
		return err
	}
	return errors.Join(err, w.failed(context.WithoutCancel(ctx), o, err))
}

// failed notes why, and when and how to try again.
func (w *Workers) failed(ctx context.Context, o store.Obligation, why error) error {
	dead := errors.Is(why, payments.ErrDead) || o.Attempts >= w.cfg.MaxAttempts
	nextTry := payment.FaultOf(why) == payment.FaultStored || errors.Is(why, payments.ErrAnother)
	if dead {
		w.metrics.tasks.WithLabelValues(o.Kind, "dead").Inc()
		w.log.ErrorContext(ctx, "obligation is dead", "kind", o.Kind, "cause", o.Cause, "attempts", o.Attempts, "error", why)
	} else {
		w.metrics.tasks.WithLabelValues(o.Kind, "failed").Inc()
	}
	return w.store.FailObligation(ctx, o.Kind, o.Cause, why.Error(), w.pause(o.Attempts), nextTry, dead)
}

// asynqLog writes asynq's log lines under one constant message.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug("asynq", "says", fmt.Sprint(args...)) }
func (l asynqLog) Info(args ...any)  { l.log.Info("asynq", "says", fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn("asynq", "says", fmt.Sprint(args...)) }
func (l asynqLog) Error(args ...any) { l.log.Error("asynq", "says", fmt.Sprint(args...)) }

// Fatal must not end the process here: that is cmd's.
func (l asynqLog) Fatal(args ...any) { l.log.Error("asynq", "says", fmt.Sprint(args...)) }
