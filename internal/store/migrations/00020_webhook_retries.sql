-- When a stored webhook that nobody processed is handed out again. It was derived from its age before, which doubled without
-- bound while the provider or Postgres was away.
-- +goose Up
ALTER TABLE webhook_inbox ADD COLUMN next_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX webhook_inbox_due ON webhook_inbox (next_at) WHERE processed_at IS NULL;
DROP INDEX webhook_inbox_open;

-- +goose Down
CREATE INDEX webhook_inbox_open ON webhook_inbox (received_at) WHERE processed_at IS NULL;
DROP INDEX webhook_inbox_due;
ALTER TABLE webhook_inbox DROP COLUMN next_at;
