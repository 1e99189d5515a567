// Package chaos hurts real processes and holds what they acknowledged against the logs: brokers, a database and order
// processors are killed, frozen and brought back while fans buy, and at the end nothing that anybody was told may be
// missing or decided twice. It supports tests and campaigns: it may start and end child processes, append to the log
// `orders`, read both topics of it, and write events and payments to Postgres.
package chaos

import (
	"context"
	"fmt"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Sale is what is on sale during a campaign: a few events on every partition, some of which sell out at once. Lengths of
// time are seconds, so that holds lapse, offers are made and graces end while things die.
type Sale struct {
	Orders     string // topic of commands
	Partitions int
}

// Prices of every ticket, in minor units: what a fan pays for a hold follows from them.
const (
	ticketPrice = 1_000
	ticketFee   = 100
)

// perPartition is how many events a partition has. The first is as good as endless, the others sell out.
const perPartition = 3

func (s Sale) events() []store.Event {
	var all []store.Event
	for p := range s.Partitions {
		for i := range perPartition {
			capacity := 1_000_000
			if i > 0 {
				capacity = 40 * i
			}
			starts := time.Now().AddDate(0, 1, 0).Truncate(time.Second)
			all = append(all, store.Event{
				ID: int64(p*perPartition + i + 1), Name: fmt.Sprintf("Show %d of partition %d", i+1, p), Venue: "Hall", City: "Madrid",
				Zone: "Europe/Madrid", StartsAt: starts, EndsAt: starts.Add(time.Hour), Currency: "EUR", Partition: int32(p),
				Hold: 6 * time.Second, Offer: 5 * time.Second, Grace: 5 * time.Second, Frozen: 8 * time.Second,
				Types: []store.TicketType{{
					Type: 1, Name: "Regular", Default: true, Capacity: capacity,
					Price: sale.Price{Ticket: ticketPrice, Fee: ticketFee, Included: true},
				}},
			})
		}
	}
	return all
}

// Seed makes the events' rows and appends their definitions.
func (s Sale) Seed(ctx context.Context, events *eventlog.Log, db *store.DB) error {
	producer := events.Producer(s.Orders)
	for _, e := range s.events() {
		if _, _, err := db.CreateEvent(ctx, e); err != nil {
			return err
		}
		t := e.Types[0]
		for _, body := range []wire.Body{
			&wire.DefineEvent{
				Currency: [3]byte([]byte(e.Currency)), Hold: e.Hold.Microseconds(), Offer: e.Offer.Microseconds(),
				Grace: e.Grace.Microseconds(), Frozen: e.Frozen.Microseconds(),
			},
			&wire.DefineType{Type: t.Type, Capacity: uint32(t.Capacity), Default: t.Default, Price: wire.Price(t.Price)},
		} {
			value := wire.AppendRecord(nil, wire.Record{Object: e.ID}, body)
			if _, err := producer.Append(ctx, e.Partition, value, time.Now().Add(20*time.Second)); err != nil {
				return fmt.Errorf("defining event %d: %w", e.ID, err)
			}
		}
	}
	return nil
}
