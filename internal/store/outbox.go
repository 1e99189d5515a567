package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Obligation is something that must be done because of a fact: a row of the outbox. It is written in the transaction of
// its cause and closed in the transaction of its effect, so it can be late but never lost.
type Obligation struct {
	Kind     string // the task type: "payment:capture"
	Cause    string // "orders/0/123", or the provider's kind and id
	Try      int    // part of the idempotency key, from 1: another try is another deed
	Attempts int    // how often it was handed to a worker
	Payload  json.RawMessage
	Created  time.Time
}

// OutboxStats counts the obligations of one kind.
type OutboxStats struct {
	Kind    string
	Pending int
	Dead    int
	Oldest  time.Duration // age of the oldest pending one
}

// Claims are which obligations are handed out: money's, or mails. A sale leaves several mails for each payment, and no
// capture shall wait behind them.
type Claims bool

// Claims.
const (
	ClaimMoney Claims = false
	ClaimMails Claims = true
)

// ClaimObligations hands out up to limit obligations that are due, the longest due first, and makes each due again
// after the lease: what is lost on its way to a worker comes back by itself. Claimers do not wait for each other.
func (db *DB) ClaimObligations(ctx context.Context, which Claims, limit int, lease time.Duration) ([]Obligation, error) {
	kinds := `kind <> 'notify:mail'`
	if which == ClaimMails {
		kinds = `kind = 'notify:mail'`
	}
	rows, err := db.Write.Query(ctx, `
		UPDATE outbox o SET attempts = o.attempts + 1, next_at = now() + $2 * interval '1 microsecond'
		FROM (SELECT kind, cause FROM outbox WHERE status = 'pending' AND next_at <= now() AND `+kinds+`
		      ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
		WHERE o.kind = due.kind AND o.cause = due.cause
		RETURNING o.kind, o.cause, o.try, o.attempts, o.payload, o.created_at`, limit, lease.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("claiming obligations: %w", err)
	}
	due, err := pgx.CollectRows(rows, scanObligation)
	if err != nil {
		return nil, fmt.Errorf("claiming obligations: %w", err)
	}
	return due, nil
}

func scanObligation(row pgx.CollectableRow) (Obligation, error) {
	var o Obligation
	err := row.Scan(&o.Kind, &o.Cause, &o.Try, &o.Attempts, &o.Payload, &o.Created)
	return o, err
}

// UnclaimObligation takes a claim back that could not be carried to a worker: it counts as no attempt and is due again
// after the wait.
func (db *DB) UnclaimObligation(ctx context.Context, o Obligation, wait time.Duration) error {
	_, err := db.Write.Exec(ctx, `
		UPDATE outbox SET attempts = greatest(attempts - 1, 0), next_at = now() + $3 * interval '1 microsecond'
		WHERE kind = $1 AND cause = $2 AND status = 'pending' AND attempts = $4`,
		o.Kind, o.Cause, wait.Microseconds(), o.Attempts)
	if err != nil {
		return fmt.Errorf("unclaiming an obligation: %w", err)
	}
	return nil
}

// Obligation reads one that is still pending; ok is false if it is done, dead or unknown.
func (db *DB) Obligation(ctx context.Context, kind, cause string) (o Obligation, ok bool, err error) {
	rows, err := db.Write.Query(ctx, `SELECT kind, cause, try, attempts, payload, created_at FROM outbox
		WHERE kind = $1 AND cause = $2 AND status = 'pending'`, kind, cause)
	if err != nil {
		return o, false, fmt.Errorf("reading an obligation: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanObligation)
	if err != nil || len(found) == 0 {
		return o, false, err
	}
	return found[0], true, nil
}

// FailObligation notes why an attempt failed. It is due again after the wait; nextTry makes the next attempt another
// deed at the provider; dead ends it: it stays visible and alarms.
func (db *DB) FailObligation(ctx context.Context, kind, cause, reason string, wait time.Duration, nextTry, dead bool) error {
	_, err := db.Write.Exec(ctx, `
		UPDATE outbox SET last_error = left($3, 500), next_at = now() + $4 * interval '1 microsecond',
			try = try + CASE WHEN $5 THEN 1 ELSE 0 END, status = CASE WHEN $6 THEN 'dead' ELSE status END
		WHERE kind = $1 AND cause = $2 AND status = 'pending'`,
		kind, cause, reason, wait.Microseconds(), nextTry, dead)
	if err != nil {
		return fmt.Errorf("noting a failed obligation: %w", err)
	}
	return nil
}

// ReviveObligation makes a dead obligation due at once, as an operator asks for; false if it is not dead.
func (db *DB) ReviveObligation(ctx context.Context, kind, cause string) (bool, error) {
	tag, err := db.Write.Exec(ctx, `UPDATE outbox SET status = 'pending', attempts = 0, next_at = now()
		WHERE kind = $1 AND cause = $2 AND status = 'dead'`, kind, cause)
	if err != nil {
		return false, fmt.Errorf("reviving an obligation: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ObligationsOf counts the obligations of a kind that are not done and whose payload has a value under a key.
func (db *DB) ObligationsOf(ctx context.Context, kind, key, value string) (n int, err error) {
	err = db.Write.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE kind = $1 AND status <> 'done' AND payload ->> $2 = $3`,
		kind, key, value).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting obligations: %w", err)
	}
	return n, nil
}

// OutboxStats counts pending and dead obligations by kind.
func (db *DB) OutboxStats(ctx context.Context) ([]OutboxStats, error) {
	rows, err := db.Write.Query(ctx, `
		SELECT kind, count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'dead'),
			coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE status = 'pending')), 0)::float8
		FROM outbox WHERE status <> 'done' GROUP BY kind ORDER BY kind`)
	if err != nil {
		return nil, fmt.Errorf("counting obligations: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (OutboxStats, error) {
		var s OutboxStats
		var seconds float64
		err := row.Scan(&s.Kind, &s.Pending, &s.Dead, &seconds)
		s.Oldest = time.Duration(seconds * float64(time.Second))
		return s, err
	})
}

// WebhookEvent is what we keep of an event that the provider sent: names, no content.
type WebhookEvent struct {
	ID         string
	Account    string
	Type       string
	Object     string
	APIVersion string
	Attempts   int
}

// StoreWebhook makes an event durable. One that is there already is left alone; fresh says which.
func (db *DB) StoreWebhook(ctx context.Context, e WebhookEvent) (fresh bool, err error) {
	tag, err := db.Write.Exec(ctx, `INSERT INTO webhook_inbox (id, account, type, object_id, api_version)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING`, e.ID, e.Account, e.Type, e.Object, e.APIVersion)
	if err != nil {
		return false, fmt.Errorf("storing a webhook: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ClaimWebhooks hands out events that are due and were not processed within wait of their arrival, the longest due first,
// and makes each due again after the lease: what is lost on its way to a worker comes back by itself.
func (db *DB) ClaimWebhooks(ctx context.Context, limit int, wait, lease time.Duration) ([]WebhookEvent, error) {
	rows, err := db.Write.Query(ctx, `
		UPDATE webhook_inbox w SET attempts = w.attempts + 1, next_at = now() + $3 * interval '1 microsecond'
		FROM (SELECT id FROM webhook_inbox WHERE processed_at IS NULL AND next_at <= now()
			AND received_at + $2 * interval '1 microsecond' <= now()
			ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED) due
		WHERE w.id = due.id
		RETURNING w.id, w.account, w.type, w.object_id, w.api_version, w.attempts`, limit, wait.Microseconds(), lease.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("claiming webhooks: %w", err)
	}
	return pgx.CollectRows(rows, scanWebhook)
}

// Webhook reads an event that is not processed; ok is false otherwise.
func (db *DB) Webhook(ctx context.Context, id string) (e WebhookEvent, ok bool, err error) {
	rows, err := db.Write.Query(ctx, `SELECT id, account, type, object_id, api_version, attempts FROM webhook_inbox
		WHERE id = $1 AND processed_at IS NULL`, id)
	if err != nil {
		return e, false, fmt.Errorf("reading a webhook: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanWebhook)
	if err != nil || len(found) == 0 {
		return e, false, err
	}
	return found[0], true, nil
}

func scanWebhook(row pgx.CollectableRow) (WebhookEvent, error) {
	var e WebhookEvent
	err := row.Scan(&e.ID, &e.Account, &e.Type, &e.Object, &e.APIVersion, &e.Attempts)
	return e, err
}

// FailWebhook notes why processing failed; the event stays open and is due again after the wait.
func (db *DB) FailWebhook(ctx context.Context, id, reason string, wait time.Duration) error {
	_, err := db.Write.Exec(ctx, `UPDATE webhook_inbox SET last_error = left($2, 500), next_at = now() + $3 * interval '1 microsecond'
		WHERE id = $1 AND processed_at IS NULL`, id, reason, wait.Microseconds())
	if err != nil {
		return fmt.Errorf("noting a failed webhook: %w", err)
	}
	return nil
}

// ProcessedWebhook closes an event whose effect is durable already.
func (db *DB) ProcessedWebhook(ctx context.Context, id string) error {
	if _, err := db.Write.Exec(ctx, `UPDATE webhook_inbox SET processed_at = now() WHERE id = $1 AND processed_at IS NULL`, id); err != nil {
		return fmt.Errorf("closing a webhook: %w", err)
	}
	return nil
}

// OpenWebhooks counts events that are not processed, and says how old the oldest is.
func (db *DB) OpenWebhooks(ctx context.Context) (n int, oldest time.Duration, err error) {
	var seconds float64
	err = db.Write.QueryRow(ctx, `SELECT count(*), coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8
		FROM webhook_inbox WHERE processed_at IS NULL`).Scan(&n, &seconds)
	if err != nil {
		return 0, 0, fmt.Errorf("counting webhooks: %w", err)
	}
	return n, time.Duration(seconds * float64(time.Second)), nil
}

// PruneObligations drops what was done or processed before an instant, at most limit rows of each table, and returns how
// many. Dead obligations stay.
func (db *DB) PruneObligations(ctx context.Context, before time.Time, limit int) (dropped int64, err error) {
	for _, sql := range []string{
		`DELETE FROM outbox WHERE (kind, cause) IN (SELECT kind, cause FROM outbox WHERE status = 'done' AND done_at < $1 LIMIT $2)`,
		`DELETE FROM webhook_inbox WHERE id IN (SELECT id FROM webhook_inbox WHERE processed_at < $1 LIMIT $2)`,
	} {
		tag, err := db.Write.Exec(ctx, sql, before, limit)
		if err != nil {
			return dropped, fmt.Errorf("pruning obligations: %w", err)
		}
		dropped += tag.RowsAffected()
	}
	return dropped, nil
}
