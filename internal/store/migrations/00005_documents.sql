-- +goose Up
-- A number that was given out must never be given out again. A failover to a standby that lacked the last seconds loses
-- documents with their numbers, and it begins a new timeline of the server: so numbers run within a series, and the series
-- is the timeline. A database that came from a dump goes on with its newest series.
-- +goose StatementBegin
CREATE FUNCTION fg_timeline() RETURNS int LANGUAGE sql STABLE AS
    $$ SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int $$;
-- +goose StatementEnd
ALTER TABLE document_numbers ADD COLUMN series int NOT NULL DEFAULT 1;
ALTER TABLE document_numbers DROP CONSTRAINT document_numbers_pkey;
ALTER TABLE document_numbers ADD PRIMARY KEY (merchant_account_id, kind, series);
ALTER TABLE documents
    ADD COLUMN series int NOT NULL DEFAULT 1,
    ADD COLUMN refers_series int, -- of refers_to
    ADD COLUMN seller_name       text, -- the seller as it was when the document was issued; null before this migration
    ADD COLUMN seller_address    text,
    ADD COLUMN seller_tax_number text;
ALTER TABLE documents DROP CONSTRAINT documents_pkey;
ALTER TABLE documents ADD PRIMARY KEY (merchant_account_id, kind, series, number);
-- A credit note whose money came back is taken back by a document of its own: what was issued is never changed.
ALTER TABLE documents DROP CONSTRAINT documents_kind_check;
ALTER TABLE documents ADD CONSTRAINT documents_kind_check CHECK (kind IN ('receipt', 'credit-note', 'reversal'));

-- +goose Down
ALTER TABLE documents DROP CONSTRAINT documents_kind_check;
ALTER TABLE documents ADD CONSTRAINT documents_kind_check CHECK (kind IN ('receipt', 'credit-note')) NOT VALID;
ALTER TABLE documents DROP CONSTRAINT documents_pkey;
ALTER TABLE documents DROP COLUMN series, DROP COLUMN refers_series, DROP COLUMN seller_name, DROP COLUMN seller_address, DROP COLUMN seller_tax_number;
ALTER TABLE documents ADD PRIMARY KEY (merchant_account_id, kind, number);
ALTER TABLE document_numbers DROP CONSTRAINT document_numbers_pkey;
ALTER TABLE document_numbers DROP COLUMN series;
ALTER TABLE document_numbers ADD PRIMARY KEY (merchant_account_id, kind);
DROP FUNCTION fg_timeline();
