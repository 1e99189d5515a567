-- Smaller shares for the lanes that bots fill: rooms that there are keep theirs. See docs/botguard.md.
-- +goose Up
ALTER TABLE rooms ALTER COLUMN shared_mille SET DEFAULT 30;
ALTER TABLE rooms ALTER COLUMN timed_mille SET DEFAULT 20;

-- +goose Down
ALTER TABLE rooms ALTER COLUMN timed_mille SET DEFAULT 50;
ALTER TABLE rooms ALTER COLUMN shared_mille SET DEFAULT 100;
