package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// TestDocuments_EachSellerHasNumbersOfItsOwnWithoutGaps issues the documents of two sellers at once, and has a third of the
// transactions fail behind the number they were given.
func TestDocuments_EachSellerHasNumbersOfItsOwnWithoutGaps(t *testing.T) {
	db := open(t)
	const sellers, each = 2, 30
	for seller := int64(1); seller <= sellers; seller++ {
		if _, err := db.Write.Exec(t.Context(), `INSERT INTO organisers (id, name) VALUES ($1, 'o') ON CONFLICT DO NOTHING`, seller); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Write.Exec(t.Context(), `INSERT INTO merchant_accounts (id, organiser_id, name) VALUES ($1, $1, 'm') ON CONFLICT DO NOTHING`, seller); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Write.Exec(t.Context(), `INSERT INTO events (id, organiser_id, merchant_account_id, name, zone, starts_at, ends_at, start_date, end_date, currency, partition)
			VALUES ($1, $1, $1, 'e', 'UTC', now(), now(), current_date, current_date, 'EUR', 0) ON CONFLICT DO NOTHING`, seller); err != nil {
			t.Fatal(err)
		}
	}
	undone := errors.New("undone")
	var all sync.WaitGroup
	for seller := int64(1); seller <= sellers; seller++ {
		for n := range each {
			all.Go(func() {
				d := Document{Merchant: seller, Kind: Receipt, Fact: fmt.Sprint("capture:", seller, "/", n), Event: seller,
					Booking: sale.UUID(wire.ID{byte(seller), byte(n), 1}), User: "ann", Currency: "EUR", Total: 100}
				err := db.Money(context.Background(), func(m *Money) error {
					if err := m.Issue(t.Context(), d); err != nil {
						return err
					}
					if n%3 == 0 {
						return undone
					}
					return m.Issue(t.Context(), d) // again: it has its document
				})
				if err != nil && !errors.Is(err, undone) {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	for seller := int64(1); seller <= sellers; seller++ {
		docs, err := db.EventDocuments(t.Context(), seller, 2*each)
		if err != nil || len(docs) != each/3*2 {
			t.Fatal(len(docs), err)
		}
		seen := map[int64]bool{}
		for _, d := range docs {
			if d.Merchant != seller || d.Number < 1 || d.Number > each/3*2 || seen[d.Number] {
				t.Errorf("seller %d: number %d of seller %d", seller, d.Number, d.Merchant)
			}
			seen[d.Number] = true
		}
	}
	if gaps, err := db.DocumentGaps(t.Context()); err != nil || gaps != 0 {
		t.Error(gaps, err)
	}
}
