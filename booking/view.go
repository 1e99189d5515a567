package booking

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"fairgate/internal/receipt"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// bookingView is a booking in JSON. Amounts are decimal strings of its currency.
type bookingView struct {
	ID        string          `json:"id"`
	EventID   int64           `json:"eventId"`
	UserID    string          `json:"userId"`
	Status    string          `json:"status"`
	ExpiresAt *time.Time      `json:"expiresAt"` // null where nothing expires
	Currency  string          `json:"currency"`
	Total     string          `json:"total"`
	Lines     []lineView      `json:"lines"`
	Log       logView         `json:"log"`
	Receipt   *receipt.Signed `json:"receipt,omitempty"` // missing in lists, and while the log cannot be read
	Reason    string          `json:"reason,omitempty"`
	Ahead     *uint32         `json:"ahead,omitempty"` // on the waitlist: how many were before it when it joined
	Payment   *paymentState   `json:"payment,omitempty"`
	Tickets   []ticketView    `json:"tickets,omitempty"`
	CreatedAt time.Time       `json:"createdAt"`
	UpdatedAt time.Time       `json:"updatedAt"`
}

// lineView is a line: price and fee per ticket, the rest of the line.
type lineView struct {
	TicketType uint32 `json:"ticketType"`
	Name       string `json:"name"`
	Quantity   int    `json:"quantity"`
	Price      string `json:"price"`
	Fee        string `json:"fee"`
	Tax        string `json:"tax"`
	TaxRate    string `json:"taxRate"` // per cent
	Included   bool   `json:"taxIncluded"`
	Discount   string `json:"discount"`
	Total      string `json:"total"`
}

// logView is a booking's place in the log.
type logView struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

type paymentState struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Refused string `json:"refused,omitempty"` // "method-limit": the newest card cannot pay for this booking, another one can
}

type ticketView struct {
	ID         string `json:"id"`
	TicketType uint32 `json:"ticketType"`
	Status     string `json:"status"`
	Amount     string `json:"amount"`
}

// viewOf shows a booking of an event; the event may be zero, then names are missing.
func viewOf(b store.Booking, e *store.Event) bookingView {
	currency := b.Currency
	if currency == "" {
		currency = e.Currency // a waitlisted booking has no price yet
	}
	v := bookingView{
		ID: b.ID.String(), EventID: b.Event, UserID: b.User, Status: b.Status, Currency: currency, Total: amount(b.Total, currency),
		Lines: []lineView{}, Log: logView{wire.TopicOrders, b.Partition, b.Offset}, Reason: b.Reason,
		CreatedAt: b.Created.UTC(), UpdatedAt: b.Updated.UTC(),
	}
	if !b.Expires.IsZero() {
		at := b.Expires.UTC()
		v.ExpiresAt = &at
	}
	for _, l := range b.Lines {
		t, _ := e.Type(l.Type)
		v.Lines = append(v.Lines, lineView{
			TicketType: l.Type, Name: t.Name, Quantity: l.Quantity, Price: amount(l.Price.Ticket, currency), Fee: amount(l.Price.Fee, currency),
			Tax: amount(l.Tax, currency), TaxRate: percent(l.Price.TaxRate), Included: l.Price.Included,
			Discount: amount(l.Discount, currency), Total: amount(l.Total, currency),
		})
	}
	return v
}

// settle adds what Postgres knows of the payment and the tickets.
func (v *bookingView) settle(s store.Settlement) {
	if !s.Payment.IsZero() {
		v.Payment = &paymentState{ID: s.Payment.String(), Status: camel(s.Status)}
		// What else keeps a payment from going through is the bank's affair, or shows in the booking's status; and without
		// a hold no card can pay.
		if s.Refused == wire.ReasonMethodLimit.String() && v.open() {
			v.Payment.Refused = s.Refused
		}
	}
	for _, t := range s.Tickets {
		v.Tickets = append(v.Tickets, ticketView{t.ID.String(), t.Type, t.Status, amount(t.Amount, v.Currency)})
	}
}

// open says whether the tickets wait for their money.
func (v *bookingView) open() bool {
	return v.Status == "held" || v.Status == "offered" || v.Status == "frozen"
}

func amount(minor int64, currency string) string {
	return sale.Money{Minor: minor, Currency: currency}.String()
}

// percent writes millionths as per cent: 200000 is "20", 77000 is "7.7".
func percent(millionths uint32) string {
	whole, part := millionths/10_000, millionths%10_000
	if part == 0 {
		return strconv.Itoa(int(whole))
	}
	return fmt.Sprintf("%d.%s", whole, strings.TrimRight(fmt.Sprintf("%04d", part), "0"))
}

// camel turns a status as a column spells it into one as JSON does: partly_refunded is partlyRefunded.
func camel(s string) string {
	words := strings.Split(s, "_")
	for i := 1; i < len(words); i++ {
		if w := words[i]; w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}

// eventView is an event in a list.
type eventView struct {
	ID          int64     `json:"id"`
	Name        string    `json:"name"`
	Venue       string    `json:"venue"`
	City        string    `json:"city"`
	Zone        string    `json:"zone"`
	StartsAt    time.Time `json:"startsAt"`
	EndsAt      time.Time `json:"endsAt"`
	StartDate   string    `json:"startDate"`
	EndDate     string    `json:"endDate"`
	Currency    string    `json:"currency"`
	PriceFrom   string    `json:"priceFrom,omitempty"`
	Left        int64     `json:"left"`
	Status      string    `json:"status"` // onSale, soldOut, notOnSale, cancelled
	WaitingRoom string    `json:"waitingRoom,omitempty"`
}

func (a *API) eventView(s store.EventSummary) eventView {
	v := eventView{
		ID: s.ID, Name: s.Name, Venue: s.Venue, City: s.City, Zone: s.Zone, StartsAt: s.StartsAt.UTC(), EndsAt: s.EndsAt.UTC(),
		StartDate: s.StartDate.Format(time.DateOnly), EndDate: s.EndDate.Format(time.DateOnly), Currency: s.Currency, Left: s.Left,
		Status: saleStatus(s.Selling, s.Cancelled, s.Left),
	}
	if s.PriceFrom >= 0 {
		v.PriceFrom = amount(s.PriceFrom, s.Currency)
	}
	if s.Room != 0 {
		v.WaitingRoom = a.roomURL(s.Room)
	}
	return v
}

func saleStatus(selling, cancelled bool, left int64) string {
	switch {
	case cancelled:
		return "cancelled"
	case !selling:
		return "notOnSale"
	case left <= 0:
		return "soldOut"
	}
	return "onSale"
}

// eventDetail is one event with what it sells.
type eventDetail struct {
	eventView
	Description string     `json:"description"`
	PerUser     int        `json:"perUser,omitempty"`
	PerCard     int        `json:"perCard,omitempty"`
	TicketTypes []typeView `json:"ticketTypes"`
	Room        *roomView  `json:"room,omitempty"`
}

type typeView struct {
	TicketType uint32 `json:"ticketType"`
	Name       string `json:"name"`
	Default    bool   `json:"default"`
	Price      string `json:"price"`
	Fee        string `json:"fee"`
	Total      string `json:"total"` // what one ticket costs its buyer
	Left       int    `json:"left"`
	Capacity   int    `json:"capacity"`
	PerUser    int    `json:"perUser,omitempty"`
}

type roomView struct {
	ID  int64  `json:"id"`
	URL string `json:"url"`
}

func (a *API) eventDetail(e *store.Event) eventDetail {
	s := store.EventSummary{
		ID: e.ID, Name: e.Name, Venue: e.Venue, City: e.City, Zone: e.Zone, StartsAt: e.StartsAt, EndsAt: e.EndsAt,
		StartDate: e.StartDate, EndDate: e.EndDate, Currency: e.Currency, Room: e.Room, Selling: e.Selling, Cancelled: e.Cancelled, PriceFrom: -1,
	}
	d := eventDetail{Description: e.Description, PerUser: e.PerUser, PerCard: e.PerCard, TicketTypes: []typeView{}}
	for _, t := range e.Types {
		total := sale.LineOf(t.Price, 1, 0).Total
		if s.PriceFrom < 0 || total < s.PriceFrom {
			s.PriceFrom = total
		}
		s.Left += int64(t.Free)
		d.TicketTypes = append(d.TicketTypes, typeView{
			TicketType: t.Type, Name: t.Name, Default: t.Default, Price: amount(t.Price.Ticket, e.Currency),
			Fee: amount(t.Price.Fee, e.Currency), Total: amount(total, e.Currency), Left: t.Free, Capacity: t.Capacity, PerUser: t.PerUser,
		})
	}
	d.eventView = a.eventView(s)
	if e.Room != 0 {
		d.Room = &roomView{e.Room, a.roomURL(e.Room)}
	}
	return d
}
