package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// Kinds of documents.
const (
	Receipt    = "receipt"
	CreditNote = "credit-note"
)

// DocumentLine is one line of a document, frozen as it was issued. Amounts are minor units.
type DocumentLine struct {
	Name     string `json:"name"`
	Quantity int    `json:"quantity"`
	Price    int64  `json:"price"` // per ticket
	Fee      int64  `json:"fee"`   // per ticket
	Discount int64  `json:"discount,omitzero"`
	TaxRate  uint32 `json:"taxRate"` // millionths
	Included bool   `json:"taxIncluded"`
	Tax      int64  `json:"tax"` // of the line
	Total    int64  `json:"total"`
}

// Document is a receipt or credit note. Number has no gaps within its seller and kind.
type Document struct {
	Merchant  int64
	Kind      string
	Number    int64
	Fact      string // of the ledger
	Event     int64
	EventName string
	Booking   sale.UUID
	User      string
	Currency  string
	Total     int64 // positive in both kinds
	Fees      int64
	Tax       int64
	Lines     []DocumentLine
	RefersTo  int64 // a credit note's receipt; 0 if there is none
	Issued    time.Time
	Seller    Seller
}

// Seller is who issues documents: a merchant account.
type Seller struct{ Name, Address, TaxNumber string }

// Issue gives a document the seller's next number, in the transaction that posts its fact: no commit, no number. A fact that
// has its document is left alone. The counter's row is locked until the end, so it comes last in a transaction.
func (m *Money) Issue(ctx context.Context, d Document) error {
	lines, err := json.Marshal(d.Lines)
	if err != nil {
		return fmt.Errorf("issuing a %s: %w", d.Kind, err)
	}
	_, err = m.tx.Exec(ctx, `
		WITH numbered AS (
			INSERT INTO document_numbers (merchant_account_id, kind, last)
			SELECT $1, $2, 1 WHERE NOT EXISTS (SELECT FROM documents WHERE fact = $3)
			ON CONFLICT (merchant_account_id, kind) DO UPDATE SET last = document_numbers.last + 1 RETURNING last)
		INSERT INTO documents (merchant_account_id, kind, number, fact, event_id, booking_id, user_id, currency, total, fees, tax, lines, refers_to)
		SELECT $1, $2, last, $3, $4, $5, $6, $7, $8, $9, $10, $11, CASE WHEN $2 = 'credit-note' THEN
			(SELECT number FROM documents r WHERE r.booking_id = $5 AND r.kind = 'receipt' ORDER BY number LIMIT 1) END
		FROM numbered`,
		d.Merchant, d.Kind, d.Fact, d.Event, d.Booking, d.User, d.Currency, d.Total, d.Fees, d.Tax, lines)
	if err != nil {
		return fmt.Errorf("issuing a %s: %w", d.Kind, err)
	}
	return nil
}

// LinesOf are a booking's lines as a document shows them.
func (m *Money) LinesOf(ctx context.Context, booking sale.UUID) ([]DocumentLine, error) {
	rows, err := m.tx.Query(ctx, `SELECT coalesce(t.name, 'Ticket'), l.quantity, l.price, l.fee, l.discount, l.tax_rate, l.tax_included, l.tax, l.total
		FROM booking_lines l JOIN bookings b ON b.id = l.booking_id LEFT JOIN ticket_types t ON t.event_id = b.event_id AND t.type = l.type
		WHERE l.booking_id = $1 ORDER BY l.line`, booking)
	if err != nil {
		return nil, fmt.Errorf("reading a booking's lines: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[DocumentLine])
}

const documentColumns = `d.merchant_account_id, d.kind, d.number, d.fact, d.event_id, e.name, d.booking_id, d.user_id, d.currency, d.total,
	d.fees, d.tax, d.lines, coalesce(d.refers_to, 0), d.issued_at, coalesce(nullif(m.legal_name, ''), m.name), m.address, m.tax_number`

func scanDocument(row pgx.CollectableRow) (d Document, err error) {
	err = row.Scan(&d.Merchant, &d.Kind, &d.Number, &d.Fact, &d.Event, &d.EventName, &d.Booking, &d.User, &d.Currency, &d.Total,
		&d.Fees, &d.Tax, &d.Lines, &d.RefersTo, &d.Issued, &d.Seller.Name, &d.Seller.Address, &d.Seller.TaxNumber)
	return d, err
}

func (db *DB) documents(ctx context.Context, where string, args ...any) ([]Document, error) {
	rows, err := db.Write.Query(ctx, `SELECT `+documentColumns+` FROM documents d JOIN events e ON e.id = d.event_id
		JOIN merchant_accounts m ON m.id = d.merchant_account_id `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading documents: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanDocument)
	if err != nil {
		return nil, fmt.Errorf("reading documents: %w", err)
	}
	return found, nil
}

// BookingDocuments are a booking's documents in the order in which they were issued.
func (db *DB) BookingDocuments(ctx context.Context, booking sale.UUID) ([]Document, error) {
	return db.documents(ctx, `WHERE d.booking_id = $1 ORDER BY d.issued_at, d.kind DESC, d.number`, booking)
}

// EventDocuments are an event's documents, newest first.
func (db *DB) EventDocuments(ctx context.Context, event int64, limit int) ([]Document, error) {
	return db.documents(ctx, `WHERE d.event_id = $1 ORDER BY d.issued_at DESC, d.kind, d.number DESC LIMIT $2`, event, limit)
}

// Document reads one document; ErrNotFound if there is none.
func (db *DB) Document(ctx context.Context, merchant int64, kind string, number int64) (Document, error) {
	found, err := db.documents(ctx, `WHERE d.merchant_account_id = $1 AND d.kind = $2 AND d.number = $3`, merchant, kind, number)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s %d: %w", kind, number, ErrNotFound)
	}
	if err != nil {
		return Document{}, err
	}
	return found[0], nil
}

// DocumentGaps counts the numbers that are missing below the newest of each seller and kind: there must be none.
func (db *DB) DocumentGaps(ctx context.Context) (n int64, err error) {
	err = db.Write.QueryRow(ctx, `SELECT coalesce(sum(n.last - (SELECT count(*) FROM documents d
		WHERE d.merchant_account_id = n.merchant_account_id AND d.kind = n.kind)), 0)::bigint FROM document_numbers n`).Scan(&n)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("counting missing documents: %w", err)
	}
	return n, nil
}
