package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Merchant is a seller as documents show it, and who is written to about its money.
type Merchant struct {
	ID        int64
	Organiser int64
	Name      string // our own, where the seller has no legal name
	Seller    Seller
	Email     string // of the organiser, for reports and disputes; empty for none
}

// Merchants lists the sellers of an organiser (0: of all).
func (db *DB) Merchants(ctx context.Context, organiser int64) ([]Merchant, error) {
	rows, err := db.Write.Query(ctx, `SELECT m.id, m.organiser_id, m.name, m.legal_name, m.address, m.tax_number, coalesce(c.email, '')
		FROM merchant_accounts m LEFT JOIN contacts c ON c.user_id = 'organiser/' || m.organiser_id
		WHERE $1 = 0 OR m.organiser_id = $1 ORDER BY m.id LIMIT 200`, organiser)
	if err != nil {
		return nil, fmt.Errorf("listing sellers: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Merchant, err error) {
		err = row.Scan(&m.ID, &m.Organiser, &m.Name, &m.Seller.Name, &m.Seller.Address, &m.Seller.TaxNumber, &m.Email)
		return m, err
	})
}

// SetMerchant changes what documents say of a seller that are issued from now on, and where its organiser is written to. ErrNotFound if there is no such seller.
func (db *DB) SetMerchant(ctx context.Context, m Merchant) error {
	err := pgx.BeginFunc(ctx, db.Write, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `UPDATE merchant_accounts SET legal_name = $2, address = $3, tax_number = $4 WHERE id = $1 RETURNING organiser_id`,
			m.ID, m.Seller.Name, m.Seller.Address, m.Seller.TaxNumber).Scan(&m.Organiser)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO contacts (user_id, email) VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET email = excluded.email`,
			OrganiserInbox(m.Organiser), m.Email)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("changing seller %d: %w", m.ID, err)
	}
	return nil
}
