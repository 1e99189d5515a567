-- Who gave a lease back: a leader's is anybody's at once, another one's belongs to the leader first.
-- +goose Up
ALTER TABLE leases ADD COLUMN given_by bytea NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE leases DROP COLUMN given_by;
