-- What the bot guard's risk rules made of requests, so that an operator can say why. Rows name nobody and are forgotten after
-- a few days.
-- +goose Up
CREATE TABLE rulings (
    room_id     bigint      NOT NULL,
    hour        timestamptz NOT NULL, -- of the first
    appeal_code text        NOT NULL DEFAULT '', -- of a refusal whose code was kept
    action      text        NOT NULL,
    outcome     text        NOT NULL,
    factor      int         NOT NULL,
    score       int         NOT NULL,
    reasons     text        NOT NULL, -- a line each
    times       bigint      NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL
);
CREATE UNIQUE INDEX rulings_alike ON rulings (room_id, hour, appeal_code, action, outcome, md5(reasons));
CREATE INDEX rulings_code ON rulings (appeal_code) WHERE appeal_code <> '';
CREATE INDEX rulings_last ON rulings (last_at);

-- +goose Down
DROP TABLE rulings;
