-- What each lane of a waiting room gets of the outflow, per mille; the normal lane gets the rest.
-- +goose Up
ALTER TABLE rooms ADD COLUMN shared_mille int NOT NULL DEFAULT 100;
ALTER TABLE rooms ADD COLUMN invited_mille int NOT NULL DEFAULT 100;
ALTER TABLE rooms ADD COLUMN timed_mille int NOT NULL DEFAULT 50;
ALTER TABLE rooms ADD CONSTRAINT rooms_shares CHECK (shared_mille >= 0 AND invited_mille >= 0 AND timed_mille >= 0
    AND shared_mille + invited_mille + timed_mille <= 1000);

-- +goose Down
ALTER TABLE rooms DROP COLUMN timed_mille;
ALTER TABLE rooms DROP COLUMN invited_mille;
ALTER TABLE rooms DROP COLUMN shared_mille;
