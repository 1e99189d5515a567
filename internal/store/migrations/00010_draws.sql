-- Rooms that draw lots among early arrivals: what is promised before (the seed's hash, which public value will be used),
-- what is published at opening, and the seed, apart so that nobody reads it with the room.
-- +goose Up
ALTER TABLE rooms ADD COLUMN draw_commitment bytea; -- SHA-256 of the seed
ALTER TABLE rooms ADD COLUMN draw_source text NOT NULL DEFAULT ''; -- which public value will be used
ALTER TABLE rooms ADD COLUMN draw_public text; -- that value, once somebody gave it
ALTER TABLE rooms ADD COLUMN draw_revealed boolean NOT NULL DEFAULT false; -- the log has acknowledged seed and value
CREATE TABLE draw_seeds (
    room_id bigint PRIMARY KEY REFERENCES rooms,
    seed    bytea NOT NULL CHECK (octet_length(seed) = 32) -- secret until revealed
);
CREATE INDEX rooms_to_reveal ON rooms (id) WHERE draw_public IS NOT NULL AND NOT draw_revealed;

-- +goose Down
DROP INDEX rooms_to_reveal;
DROP TABLE draw_seeds;
ALTER TABLE rooms DROP COLUMN draw_revealed;
ALTER TABLE rooms DROP COLUMN draw_public;
ALTER TABLE rooms DROP COLUMN draw_source;
ALTER TABLE rooms DROP COLUMN draw_commitment;
