-- Processors spread the leading of partitions among themselves: who is there and does what, and to whom a lease that was
-- given back is offered first.
-- +goose Up
CREATE TABLE processors (
    id       bytea PRIMARY KEY, -- random, of one process
    leads    text[]      NOT NULL, -- names of leases: "orders/0"
    follows  text[]      NOT NULL, -- it is caught up with these and waits for their lease
    beat_at  timestamptz NOT NULL
);
ALTER TABLE leases ADD COLUMN heir bytea NOT NULL DEFAULT ''; -- id of the processor that may take it before others
ALTER TABLE leases ADD COLUMN heir_until timestamptz NOT NULL DEFAULT 'epoch';

-- +goose Down
ALTER TABLE leases DROP COLUMN heir_until;
ALTER TABLE leases DROP COLUMN heir;
DROP TABLE processors;
