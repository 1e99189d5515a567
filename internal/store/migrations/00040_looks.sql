-- How the waiting page of a room looks and what its organiser says there. A row that changes gets another revision, so that
-- whoever serves pages reads again only what has changed.
-- +goose Up
CREATE SEQUENCE looks_revision;
CREATE TABLE looks (
    room_id   bigint PRIMARY KEY REFERENCES rooms,
    brand     text NOT NULL CHECK (octet_length(brand) <= 131072), -- JSON, as the page's brand files are YAML
    logo_name text NOT NULL DEFAULT '',
    logo      bytea NOT NULL DEFAULT '' CHECK (octet_length(logo) <= 32768),
    revision  bigint NOT NULL DEFAULT nextval('looks_revision')
);

-- +goose Down
DROP TABLE looks;
DROP SEQUENCE looks_revision;
