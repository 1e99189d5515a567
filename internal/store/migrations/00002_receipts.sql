-- What receipts need. Both are projected (P): lost with a failover, they are written again.

-- +goose Up
-- The head of the log's SHA-256 chain at every tick that closes over a new booking.
CREATE TABLE chain_heads (
    partition   int    NOT NULL,
    tick_offset bigint NOT NULL, -- of the tick's record in the log `orders`
    chain       bytea  NOT NULL, -- over every record up to and including the tick's
    log_time    bigint NOT NULL, -- µs
    seq         bigint NOT NULL, -- of the tick's outcome
    PRIMARY KEY (partition, tick_offset)
);

-- The outcome that made the booking, 'held' or 'waitlisted'; '' where a projector of before this migration wrote it.
ALTER TABLE bookings ADD COLUMN first_outcome text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE bookings DROP COLUMN first_outcome;
DROP TABLE chain_heads;
