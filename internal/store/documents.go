package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/sale"
)

// Kinds of documents.
const (
	Receipt    = "receipt"
	CreditNote = "credit-note"
	Reversal   = "reversal" // takes a credit note back whose money did not reach the fan
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

// Document is a receipt, a credit note or the reversal of one. Number has no gaps within its seller, kind and series; a
// failover of Postgres, which may lose numbers that somebody has seen, begins another series.
type Document struct {
	Merchant  int64
	Kind      string
	Series    int
	Number    int64
	Fact      string // of the ledger
	Event     int64
	EventName string
	Booking   sale.UUID
	User      string
	Currency  string
	Total     int64 // positive in every kind
	Fees      int64
	Tax       int64
	Lines     []DocumentLine
	Refers    int   // series of what it refers to: a credit note's receipt, a reversal's credit note
	RefersTo  int64 // its number; 0 if there is none
	Issued    time.Time
	Seller    Seller
}

// Name is the number as people write it: "17", or "2-17" in the second series.
func (d Document) Name() string { return documentName(d.Series, d.Number) }

// RefersName is the number of what the document refers to; empty for nothing.
func (d Document) RefersName() string {
	if d.RefersTo == 0 {
		return ""
	}
	return documentName(d.Refers, d.RefersTo)
}

func documentName(series int, number int64) string {
	if series <= 1 {
		return strconv.FormatInt(number, 10)
	}
	return strconv.Itoa(series) + "-" + strconv.FormatInt(number, 10)
}

// Seller is who issues documents: a merchant account, as it was then.
type Seller struct{ Name, Address, TaxNumber string }

// Issue gives a document the seller's next number, in the transaction that posts its fact: no commit, no number. A fact that
// has its document is left alone. The counter's row is locked until the end, so it comes last in a transaction.
func (m *Money) Issue(ctx context.Context, d Document) error {
	lines, err := json.Marshal(d.Lines)
	if err != nil {
		return fmt.Errorf("issuing a %s: %w", d.Kind, err)
	}
	_, err = m.tx.Exec(ctx, `
		WITH series AS (
			SELECT greatest(fg_timeline(), (SELECT max(series) FROM document_numbers WHERE merchant_account_id = $1)) AS now),
		numbered AS (
			INSERT INTO document_numbers (merchant_account_id, kind, series, last)
			SELECT $1, $2, now, 1 FROM series WHERE NOT EXISTS (SELECT FROM documents WHERE fact = $3)
			ON CONFLICT (merchant_account_id, kind, series) DO UPDATE SET last = document_numbers.last + 1 RETURNING series, last),
		about AS (
			SELECT r.series, r.number FROM documents r
			WHERE r.booking_id = $5 AND ($2 = 'credit-note' AND r.kind = 'receipt' OR $2 = 'reversal' AND r.fact = replace($3, 'refund-failed:', 'refund:'))
			ORDER BY r.issued_at, r.series, r.number LIMIT 1)
		INSERT INTO documents (merchant_account_id, kind, series, number, fact, event_id, booking_id, user_id, currency, total, fees, tax, lines,
			refers_series, refers_to, seller_name, seller_address, seller_tax_number)
		SELECT $1, $2, series, last, $3, $4, $5, $6, $7, $8, $9, $10, $11, (SELECT series FROM about), (SELECT number FROM about),
			coalesce(nullif(m.legal_name, ''), m.name), m.address, m.tax_number
		FROM numbered, merchant_accounts m WHERE m.id = $1`,
		d.Merchant, d.Kind, d.Fact, d.Event, d.Booking, d.User, d.Currency, d.Total, d.Fees, d.Tax, lines)
	if err != nil {
		return fmt.Errorf("issuing a %s: %w", d.Kind, err)
	}
	return nil
}

// DocumentOf reads the document of a fact; ok is false if there is none.
func (m *Money) DocumentOf(ctx context.Context, fact string) (d Document, ok bool, err error) {
	rows, err := m.tx.Query(ctx, documentQuery+`WHERE d.fact = $1`, fact)
	return one(rows, err, scanDocument)
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

const documentColumns = `d.merchant_account_id, d.kind, d.series, d.number, d.fact, d.event_id, e.name, d.booking_id, d.user_id, d.currency, d.total,
	d.fees, d.tax, d.lines, coalesce(d.refers_series, 1), coalesce(d.refers_to, 0), d.issued_at, coalesce(d.seller_name, nullif(m.legal_name, ''), m.name),
	coalesce(d.seller_address, m.address), coalesce(d.seller_tax_number, m.tax_number)`

const documentQuery = `SELECT ` + documentColumns + ` FROM documents d JOIN events e ON e.id = d.event_id
	JOIN merchant_accounts m ON m.id = d.merchant_account_id `

func scanDocument(row pgx.CollectableRow) (d Document, err error) {
	err = row.Scan(&d.Merchant, &d.Kind, &d.Series, &d.Number, &d.Fact, &d.Event, &d.EventName, &d.Booking, &d.User, &d.Currency, &d.Total,
		&d.Fees, &d.Tax, &d.Lines, &d.Refers, &d.RefersTo, &d.Issued, &d.Seller.Name, &d.Seller.Address, &d.Seller.TaxNumber)
	return d, err
}

func (db *DB) documents(ctx context.Context, where string, args ...any) ([]Document, error) {
	rows, err := db.Write.Query(ctx, documentQuery+where, args...)
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
	return db.documents(ctx, `WHERE d.booking_id = $1 ORDER BY d.issued_at, d.kind DESC, d.series, d.number`, booking)
}

// EventDocuments are an event's documents, newest first.
func (db *DB) EventDocuments(ctx context.Context, event int64, limit int) ([]Document, error) {
	return db.documents(ctx, `WHERE d.event_id = $1 ORDER BY d.issued_at DESC, d.kind, d.series DESC, d.number DESC LIMIT $2`, event, limit)
}

// DocumentGaps counts the numbers that are missing below the newest of each seller, kind and series: there must be
// none.
func (db *DB) DocumentGaps(ctx context.Context) (n int64, err error) {
	err = db.Write.QueryRow(ctx, `SELECT coalesce(sum(n.last - (SELECT count(*) FROM documents d
		WHERE d.merchant_account_id = n.merchant_account_id AND d.kind = n.kind AND d.series = n.series)), 0)::bigint FROM document_numbers n`).Scan(&n)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("counting missing documents: %w", err)
	}
	return n, nil
}
