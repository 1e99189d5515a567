package main

import (
	"context"
	"fmt"
	"time"

	"fairgate/admin"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// show is one event of the demo's programme.
type show struct {
	name, venue, city, zone, currency string
	days                              int // from today
	hour                              int // local
	length                            time.Duration
	price, fee                        int64
	tax                               uint32
	capacity                          int
	onSale                            bool // behind a waiting room with a crowd in front
}

// programme is a dozen events in several cities, zones and currencies. The first one is on sale as the demo starts.
var programme = []show{
	{"Aurora Kings — Stadium Night", "Arena Norte", "Madrid", "Europe/Madrid", "EUR", 40, 20, 3 * time.Hour, 6500, 450, 100000, 6000, true},
	{"Hà Nội Jazz Đêm", "Nhà hát Lớn", "Hà Nội", "Asia/Ho_Chi_Minh", "VND", 12, 20, 2 * time.Hour, 450000, 20000, 80000, 600, false},
	{"Sumida Fireworks Cruise", "Asakusa Pier", "Tokyo", "Asia/Tokyo", "JPY", 21, 19, 2 * time.Hour, 8800, 330, 100000, 300, false},
	{"Orchestre de la Seine", "Salle Cortot", "Paris", "Europe/Paris", "EUR", 9, 20, 2 * time.Hour, 3800, 200, 55000, 450, false},
	{"Brooklyn Comedy Marathon", "Gowanus Hall", "New York", "America/New_York", "USD", 5, 19, 5 * time.Hour, 4200, 600, 88750, 800, false},
	{"Festival del Pacífico", "Parque Bicentenario", "Ciudad de México", "America/Mexico_City", "MXN", 60, 14, 58 * time.Hour, 189900, 9900, 160000, 5000, false},
	{"Kuwait Towers Night Run", "Arabian Gulf Street", "Kuwait City", "Asia/Kuwait", "KWD", 30, 21, 3 * time.Hour, 12500, 500, 0, 2000, false},
	{"Fado ao Pôr do Sol", "Miradouro da Graça", "Lisboa", "Europe/Lisbon", "EUR", 16, 19, 2 * time.Hour, 2900, 150, 60000, 200, false},
	{"Sydney Harbour Proms", "The Domain", "Sydney", "Australia/Sydney", "AUD", 75, 18, 4 * time.Hour, 9900, 550, 100000, 4000, false},
	{"London Science Lates", "Exhibition Road", "London", "Europe/London", "GBP", 7, 18, 4 * time.Hour, 1500, 0, 200000, 1200, false},
	{"Nairobi Marathon", "Uhuru Gardens", "Nairobi", "Africa/Nairobi", "KES", 50, 6, 6 * time.Hour, 350000, 10000, 160000, 3000, false},
	{"São Paulo Open Studio (free)", "Vila Madalena", "São Paulo", "America/Sao_Paulo", "BRL", 3, 11, 8 * time.Hour, 0, 0, 0, 500, false},
}

// seedDemo makes the programme, once: rows keep their ids, so a second start finds them all. Definitions that a crash
// left out of the log are sent by the dashboard's sweep.
func seedDemo(ctx context.Context, db *store.DB, publish *admin.Publisher, now time.Time) (onSale int64, err error) {
	for i, s := range programme {
		id := int64(i + 1)
		var room int64
		if s.onSale {
			room = id
			if _, _, err := db.CreateRoom(ctx, store.Room{
				ID: room, Name: s.name, Cap: 80, PerMinute: 240, Pass: 3 * time.Minute,
			}); err != nil {
				return 0, err
			}
			onSale = id
		}
		e, err := s.event(id, room, now)
		if err != nil {
			return 0, err
		}
		if _, _, err := db.CreateEvent(ctx, e); err != nil {
			return 0, err
		}
	}
	if err := publish.Sweep(ctx); err != nil {
		return 0, err
	}
	return onSale, openRoom(ctx, db, publish.Commands, onSale)
}

func (s show) event(id, room int64, now time.Time) (store.Event, error) {
	zone, err := time.LoadLocation(s.zone)
	if err != nil {
		return store.Event{}, err
	}
	day := now.In(zone).AddDate(0, 0, s.days)
	starts := time.Date(day.Year(), day.Month(), day.Day(), s.hour, 0, 0, 0, zone)
	regular := sale.Price{Ticket: s.price, Fee: s.fee, TaxRate: s.tax, Included: true}
	types := []store.TicketType{{Type: 1, Name: "Regular", Default: true, Price: regular, Capacity: s.capacity}}
	if s.price > 0 {
		reduced, front := regular, regular
		reduced.Ticket, front.Ticket = s.price*6/10, s.price*2
		types = append(types, store.TicketType{Type: 2, Name: "Reduced", Price: reduced, Capacity: s.capacity / 10},
			store.TicketType{Type: 3, Name: "Front row", Price: front, Capacity: s.capacity / 20, PerUser: 4})
	}
	return store.Event{
		ID: id, Room: room, Name: s.name, Venue: s.venue, City: s.city, Zone: s.zone, StartsAt: starts, EndsAt: starts.Add(s.length),
		Currency: s.currency, PerUser: 8, Types: types,
		Description: fmt.Sprintf("%s at %s, %s. Doors open an hour before.", s.name, s.venue, s.city),
	}, nil
}

// openRoom opens a room by order, unless it already was.
func openRoom(ctx context.Context, db *store.DB, commands *admin.Commander, id int64) error {
	r, err := db.Room(ctx, id)
	if err != nil {
		return err
	}
	_, err = commands.Room(ctx, r.Partition, id, 0, &wire.SetRoom{State: wire.RoomOpen})
	if err != nil && !admin.Refused(err, wire.ReasonWrongState) {
		return fmt.Errorf("opening room %d: %w", id, err)
	}
	return nil
}

// rehearsal is the sale that a rehearsal drives: a fifth as many tickets as fans, and lengths of time of a few seconds.
// They are fields of records; time itself is real.
type rehearsal struct {
	Fans         int     `json:"fans"`
	Tickets      int     `json:"tickets"`
	HoldSeconds  float64 `json:"holdSeconds"`
	OfferSeconds float64 `json:"offerSeconds"`
	GraceSeconds float64 `json:"graceSeconds"`
	PassSeconds  float64 `json:"passSeconds"`
	Difficulty   int     `json:"puzzleDifficulty"`
	Cap          int     `json:"cap"`
	PerMinute    int     `json:"perMinute"`
}

func newRehearsal(fans int) rehearsal {
	return rehearsal{
		Fans: fans, Tickets: max(fans/5, 1), HoldSeconds: 8, OfferSeconds: 6, GraceSeconds: 5, PassSeconds: 12, Difficulty: 100,
		Cap: max(fans/8, 20), PerMinute: max(fans*3, 600),
	}
}

// event and room ids of the rehearsal's one sale.
const (
	rehearsalEvent = 1
	rehearsalRoom  = 1
)

// seed makes the rehearsal's rows, defines them and opens the room; doing it again changes nothing.
func (r rehearsal) seed(ctx context.Context, db *store.DB, publish *admin.Publisher, now time.Time) error {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	if _, _, err := db.CreateRoom(ctx, store.Room{
		ID: rehearsalRoom, Name: "Rehearsal", Cap: r.Cap, PerMinute: r.PerMinute, Pass: seconds(r.PassSeconds),
		Claim: 5 * time.Second, Grace: 10 * time.Second,
	}); err != nil {
		return err
	}
	e, err := show{
		name: "Rehearsal", venue: "Here", city: "Madrid", zone: "Europe/Madrid", currency: "EUR", days: 30, hour: 20,
		length: time.Hour, price: 5000, fee: 250, tax: 100000, capacity: r.Tickets,
	}.event(rehearsalEvent, rehearsalRoom, now)
	if err != nil {
		return err
	}
	e.Types = e.Types[:1]
	e.Hold, e.Offer, e.Grace = seconds(r.HoldSeconds), seconds(r.OfferSeconds), seconds(r.GraceSeconds)
	e.PerUser = 4
	if _, _, err := db.CreateEvent(ctx, e); err != nil {
		return err
	}
	if err := publish.Sweep(ctx); err != nil {
		return err
	}
	return openRoom(ctx, db, publish.Commands, rehearsalRoom)
}
