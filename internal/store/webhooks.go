package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// StoreWebhooks makes events durable in one transaction and returns, for each, whether it is fresh. Those that are there
// already, or come a second time in the same call, are left alone. Events come sorted by id, so that two calls with the
// same ones cannot wait for each other.
func (db *DB) StoreWebhooks(ctx context.Context, events []WebhookEvent) ([]bool, error) {
	columns := [5][]string{}
	for _, e := range events {
		for i, v := range []string{e.ID, e.Account, e.Type, e.Object, e.APIVersion} {
			columns[i] = append(columns[i], v)
		}
	}
	rows, err := db.Write.Query(ctx, `INSERT INTO webhook_inbox (id, account, type, object_id, api_version)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) ON CONFLICT (id) DO NOTHING RETURNING id`,
		columns[0], columns[1], columns[2], columns[3], columns[4])
	if err != nil {
		return nil, fmt.Errorf("storing webhooks: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("storing webhooks: %w", err)
	}
	stored := make(map[string]bool, len(ids))
	for _, id := range ids {
		stored[id] = true
	}
	fresh := make([]bool, len(events))
	for i, e := range events {
		fresh[i] = stored[e.ID]
		delete(stored, e.ID)
	}
	return fresh, nil
}
