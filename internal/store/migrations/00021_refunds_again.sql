-- What a refund's answers are held against, and what goodwill at the provider had given back of a refund before.
-- +goose Up
ALTER TABLE refunds
    ADD COLUMN past text[] NOT NULL DEFAULT '{}', -- ids at the provider of tries that failed, and were followed by another
    ADD COLUMN cut  bigint NOT NULL DEFAULT 0;    -- of the tickets' price: had gone back at the provider's dashboard already

-- +goose Down
ALTER TABLE refunds DROP COLUMN past, DROP COLUMN cut;
