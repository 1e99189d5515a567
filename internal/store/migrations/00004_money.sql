-- +goose Up
-- Refunds: what is kept of a ticket's price, who asked, and the states in which a refund waits for somebody else.
ALTER TABLE refunds
    ADD COLUMN retained bigint NOT NULL DEFAULT 0,     -- of the tickets' price, kept by the seller: the fees
    ADD COLUMN origin   text   NOT NULL DEFAULT 'log', -- 'log', or 'provider': made at the provider's dashboard
    ADD COLUMN reason   text   NOT NULL DEFAULT '';    -- why the provider failed it
ALTER TABLE refunds DROP CONSTRAINT refunds_status_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_status_check
    CHECK (status IN ('due', 'pending', 'requires_action', 'succeeded', 'failed', 'cancelled', 'withheld'));
CREATE INDEX refunds_payment ON refunds (payment_id);
CREATE INDEX refunds_booking ON refunds (booking_id);
CREATE INDEX refunds_open ON refunds (status) WHERE status IN ('due', 'pending', 'requires_action', 'failed', 'withheld');
CREATE INDEX tickets_frozen ON tickets (booking_id) WHERE status = 'frozen';

-- What a refund in the log does not say. Written before the order goes into the log; without a row all of it goes back.
CREATE TABLE refund_orders (
    id         uuid PRIMARY KEY, -- the refund's
    booking_id uuid        NOT NULL,
    fees       boolean     NOT NULL DEFAULT true, -- give the fees back too
    by         text        NOT NULL CHECK (by IN ('fan', 'organiser')),
    run_id     uuid,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refund_orders_run ON refund_orders (run_id) WHERE run_id IS NOT NULL;

-- The refund of a whole event, one booking after the other.
CREATE TABLE refund_runs (
    id         uuid PRIMARY KEY,
    event_id   bigint      NOT NULL REFERENCES events,
    fees       boolean     NOT NULL,
    returned   boolean     NOT NULL, -- the stock becomes free again
    after      uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- bookings up to here are ordered
    total      int         NOT NULL DEFAULT 0, -- bookings to refund when it began
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz
);
CREATE UNIQUE INDEX refund_runs_one ON refund_runs (event_id) WHERE done_at IS NULL;

-- Fans may give tickets back until so long before the start; 0 is never.
ALTER TABLE events
    ADD COLUMN refund_until_seconds int     NOT NULL DEFAULT 0 CHECK (refund_until_seconds >= 0),
    ADD COLUMN refund_fees          boolean NOT NULL DEFAULT false;

-- What a ticket's fee comes to with its tax.
CREATE FUNCTION fg_fee(fee bigint, rate int, included boolean) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN included THEN fee ELSE fee + (fee * rate + 500000) / 1000000 END';

CREATE TABLE disputes (
    id         text PRIMARY KEY, -- the provider's
    payment_id uuid        NOT NULL REFERENCES payments,
    attempt_id uuid        NOT NULL REFERENCES payment_attempts,
    booking_id uuid        NOT NULL,
    event_id   bigint      NOT NULL REFERENCES events,
    amount     bigint      NOT NULL,
    covered    bigint      NOT NULL, -- of the amount, what the frozen tickets and withheld refunds are worth; the rest is a loss
    currency   char(3)     NOT NULL,
    reason     text        NOT NULL,
    status     text        NOT NULL CHECK (status IN ('open', 'won', 'lost')),
    provider   text        NOT NULL, -- the provider's word for where it stands
    due_by     timestamptz,          -- until when evidence is taken
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX disputes_event ON disputes (event_id);
CREATE INDEX disputes_payment ON disputes (payment_id);

-- The ledger is append only, for everybody who is not a superuser with a purpose.
-- +goose StatementBegin
CREATE FUNCTION fg_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION fg_append_only();
CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE FUNCTION fg_append_only();
CREATE INDEX ledger_booking ON ledger (booking_id);

-- Receipts and credit notes. The seller is the merchant account; numbers have no gaps, because the counter moves in the
-- transaction that posts the money.
ALTER TABLE merchant_accounts
    ADD COLUMN legal_name text NOT NULL DEFAULT '',
    ADD COLUMN address    text NOT NULL DEFAULT '',
    ADD COLUMN tax_number text NOT NULL DEFAULT '';
CREATE TABLE document_numbers (
    merchant_account_id bigint NOT NULL REFERENCES merchant_accounts,
    kind                text   NOT NULL,
    last                bigint NOT NULL,
    PRIMARY KEY (merchant_account_id, kind)
);
CREATE TABLE documents (
    merchant_account_id bigint      NOT NULL REFERENCES merchant_accounts,
    kind                text        NOT NULL CHECK (kind IN ('receipt', 'credit-note')),
    number              bigint      NOT NULL,
    fact                text        NOT NULL UNIQUE, -- of the ledger
    event_id            bigint      NOT NULL REFERENCES events,
    booking_id          uuid        NOT NULL,
    user_id             text        NOT NULL,
    currency            char(3)     NOT NULL,
    total               bigint      NOT NULL, -- minor units; positive in both kinds
    fees                bigint      NOT NULL,
    tax                 bigint      NOT NULL,
    lines               jsonb       NOT NULL, -- frozen as it was issued
    refers_to           bigint,               -- a credit note's receipt
    issued_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_account_id, kind, number)
);
CREATE INDEX documents_booking ON documents (booking_id);
CREATE INDEX documents_event ON documents (event_id, issued_at);
CREATE TRIGGER documents_append_only BEFORE UPDATE OR DELETE ON documents FOR EACH ROW EXECUTE FUNCTION fg_append_only();

-- +goose Down
DROP TABLE documents, document_numbers, disputes, refund_runs, refund_orders;
ALTER TABLE merchant_accounts DROP COLUMN legal_name, DROP COLUMN address, DROP COLUMN tax_number;
DROP TRIGGER ledger_append_only ON ledger;
DROP TRIGGER ledger_no_truncate ON ledger;
DROP FUNCTION fg_append_only();
DROP FUNCTION fg_fee(bigint, int, boolean);
DROP INDEX ledger_booking, tickets_frozen, refunds_open, refunds_booking, refunds_payment;
ALTER TABLE events DROP COLUMN refund_until_seconds, DROP COLUMN refund_fees;
ALTER TABLE refunds DROP COLUMN retained, DROP COLUMN origin, DROP COLUMN reason;
ALTER TABLE refunds DROP CONSTRAINT refunds_status_check;
ALTER TABLE refunds ADD CONSTRAINT refunds_status_check
    CHECK (status IN ('due', 'pending', 'requires_action', 'succeeded', 'failed', 'cancelled'));
