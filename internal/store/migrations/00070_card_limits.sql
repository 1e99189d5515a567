-- How many bookings of an event one card may pay for. What an organiser asked for at the event's creation stands in the row at
-- once; per_card_seq tells whether the log knows it.
-- +goose Up
ALTER TABLE events
    ADD COLUMN per_card     int    NOT NULL DEFAULT 0, -- 0 for no limit; P once per_card_seq is not 0
    ADD COLUMN per_card_seq bigint NOT NULL DEFAULT 0; -- P: sequence number of the limit's last change

-- +goose Down
ALTER TABLE events DROP COLUMN per_card_seq, DROP COLUMN per_card;
