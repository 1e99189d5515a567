package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

func eventsDB(t *testing.T) *store.DB {
	db, err := store.New(t.Context(), store.Config{Write: conf.Secret(testpg.Migrated(t, "schema", store.Migrate))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func soundEvent() store.Event {
	at := time.Date(2027, 1, 1, 23, 30, 0, 0, time.UTC)
	return store.Event{
		Name: "New Year", City: "Tokyo", Zone: "Asia/Tokyo", StartsAt: at, EndsAt: at.Add(2 * time.Hour), Currency: "JPY", Partition: 3, PerUser: 4,
		Types: []store.TicketType{
			{Type: 2, Name: "Seat", Capacity: 5, Price: sale.Price{Ticket: 9000, Fee: 300, TaxRate: 100_000, Included: true}},
			{Type: 1, Name: "Standing", Default: true, Capacity: 7, PerUser: 2},
		},
	}
}

func TestEvents_CreatedOnceWithLocalDatesAndDefaults(t *testing.T) {
	db := eventsDB(t)
	e := soundEvent()
	e.ID = 500
	if id, created, err := db.CreateEvent(t.Context(), e); err != nil || !created || id != 500 {
		t.Fatal(id, created, err)
	}
	if id, created, err := db.CreateEvent(t.Context(), e); err != nil || created || id != 500 {
		t.Fatal("again:", id, created, err)
	}
	got, err := db.Event(t.Context(), 500)
	if err != nil {
		t.Fatal(err)
	}
	if got.StartDate.Format(time.DateOnly) != "2027-01-02" || got.Hold != 300*time.Second || got.Frozen != 1800*time.Second || got.Partition != 3 {
		t.Errorf("kept %+v", got)
	}
	if len(got.Types) != 2 || got.Types[0].Type != 1 || got.Types[1].Free != 5 || got.Types[1].Price != e.Types[0].Price || got.Types[0].PerUser != 2 {
		t.Errorf("types %+v", got.Types)
	}
	if d, ok := got.Default(); !ok || d.Type != 1 {
		t.Errorf("default %+v", d)
	}
	// The sequence goes on behind a chosen id.
	if id, _, err := db.CreateEvent(t.Context(), soundEvent()); err != nil || id != 501 {
		t.Errorf("next id %d, %v", id, err)
	}
	undefined, err := db.UndefinedEvents(t.Context(), 10)
	if err != nil || len(undefined) != 2 {
		t.Errorf("%d undefined, %v", len(undefined), err)
	}
}

func TestEvents_WhatCannotBeKeptIsNamed(t *testing.T) {
	db := eventsDB(t)
	for field, change := range map[string]func(*store.Event){
		"name":                      func(e *store.Event) { e.Name = "" },
		"city":                      func(e *store.Event) { e.City = strings.Repeat("x", 201) },
		"description":               func(e *store.Event) { e.Description = "a\x00b" },
		"venue":                     func(e *store.Event) { e.Venue = "\xff" },
		"zone":                      func(e *store.Event) { e.Zone = "Mars/Olympus" },
		"startsAt":                  func(e *store.Event) { e.StartsAt = time.Time{} },
		"endsAt":                    func(e *store.Event) { e.EndsAt = e.StartsAt.Add(-1) },
		"currency":                  func(e *store.Event) { e.Currency = "yen" },
		"holdSeconds":               func(e *store.Event) { e.Hold = time.Millisecond },
		"perUser":                   func(e *store.Event) { e.PerUser = -1 },
		"ticketTypes":               func(e *store.Event) { e.Types[1].Default = false },
		"ticketTypes[1].ticketType": func(e *store.Event) { e.Types[1].Type = 2 },
		"ticketTypes[0].price":      func(e *store.Event) { e.Types[0].Price.Ticket = -1 },
		"ticketTypes[0].capacity":   func(e *store.Event) { e.Types[0].Capacity = sale.MaxCapacity + 1 },
	} {
		e := soundEvent()
		change(&e)
		_, _, err := db.CreateEvent(t.Context(), e)
		var f *store.FieldError
		if !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := db.DescribeEvent(t.Context(), func() store.Event { e := soundEvent(); e.ID = 9999; return e }()); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if _, err := db.Event(t.Context(), 9999); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestEvents_DescribedAnewAndGivenAnotherType(t *testing.T) {
	db := eventsDB(t)
	id, _, err := db.CreateEvent(t.Context(), soundEvent())
	if err != nil {
		t.Fatal(err)
	}
	e := soundEvent()
	e.ID, e.Name, e.Zone = id, "New Year’s Day", "Europe/London"
	if err := db.DescribeEvent(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := db.AddType(t.Context(), id, store.TicketType{Type: 3, Name: "Box", Default: true, Capacity: 1}); err != nil {
		t.Fatal(err)
	}
	got, err := db.Event(t.Context(), id)
	if err != nil || got.Name != e.Name || got.StartDate.Format(time.DateOnly) != "2027-01-01" || got.Currency != "JPY" {
		t.Errorf("%+v, %v", got, err)
	}
	if len(got.Types) != 3 || got.Types[2].Default {
		t.Errorf("types %+v", got.Types)
	}
}

func TestRooms_CreatedListedAndDefined(t *testing.T) {
	db := eventsDB(t)
	opens := time.Date(2027, 1, 1, 10, 0, 0, 0, time.UTC)
	id, created, err := db.CreateRoom(t.Context(), store.Room{Name: "Door", Cap: 10, PerMinute: 5, OpensAt: opens, Partition: 1})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	e := soundEvent()
	e.Room = id
	event, _, err := db.CreateEvent(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if behind, err := db.RoomEvents(t.Context(), id); err != nil || len(behind) != 1 || behind[0].ID != event || behind[0].RoomPartition != 1 {
		t.Errorf("behind the room: %+v, %v", behind, err)
	}
	if err := db.RoomOutflow(t.Context(), id, 50, 100); err != nil {
		t.Fatal(err)
	}
	r, err := db.Room(t.Context(), id)
	if err != nil || !r.OpensAt.Equal(opens) || !r.EndsAt.IsZero() || r.Mode != "fcfs" || r.Pass != 900*time.Second || r.Cap != 100 || r.Defined {
		t.Errorf("%+v, %v", r, err)
	}
	if u, err := db.UndefinedRooms(t.Context(), 10); err != nil || len(u) != 1 {
		t.Errorf("%d undefined, %v", len(u), err)
	}
	if err := db.RoomDefined(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if u, err := db.UndefinedRooms(t.Context(), 10); err != nil || len(u) != 0 {
		t.Errorf("%d undefined, %v", len(u), err)
	}
	for field, r := range map[string]store.Room{
		"name": {Cap: 1, PerMinute: 1}, "cap": {Name: "x", PerMinute: 1}, "perMinute": {Name: "x", Cap: 1},
		"mode": {Name: "x", Cap: 1, PerMinute: 1, Mode: "lottery"}, "drawClosesAt": {Name: "x", Cap: 1, PerMinute: 1, Mode: "draw"},
	} {
		var f *store.FieldError
		if _, _, err := db.CreateRoom(t.Context(), r); !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
