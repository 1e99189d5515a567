package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// listLimit is how many events or rooms one page lists.
const listLimit = 200

// doers registers every order that an operator can give.
func (a *Admin) doers(mux *http.ServeMux) {
	a.order(mux, "/events", a.createEvent)
	a.order(mux, "/events/{event}/details", a.describeEvent)
	a.order(mux, "/events/{event}/types", a.addType)
	a.order(mux, "/events/{event}/price", a.setPrice)
	a.order(mux, "/events/{event}/capacity", a.setCapacity)
	a.order(mux, "/events/{event}/selling", a.setSelling)
	a.order(mux, "/events/{event}/card-limit", a.setCardLimit)
	a.order(mux, "/events/{event}/cancel", a.cancelEvent)
	a.order(mux, "/events/{event}/refund", a.refundBooking)
	a.order(mux, "/events/{event}/refund-all", a.refundEvent)
	a.order(mux, "/events/{event}/refund-retry", a.retryRefund)
	a.order(mux, "/events/{event}/refund-policy", a.setRefundPolicy)
	a.order(mux, "/obligations/revive", a.revive)
	a.order(mux, "/sellers/{seller}", a.setSeller)
	a.order(mux, "/rooms", a.createRoom)
	a.order(mux, "/rooms/{room}/state", a.setState)
	a.order(mux, "/rooms/{room}/outflow", a.setOutflow)
	a.order(mux, "/rooms/{room}/reveal", a.reveal)
	a.order(mux, "/rooms/{room}/look", a.setLook)
	a.order(mux, "/rooms/{room}/look/logo", a.setLogo)
	a.order(mux, "/rooms/{room}/look/plain", a.plainLook)
	mux.HandleFunc("POST /rooms/{room}/invites", a.invites(true))
	mux.HandleFunc("POST /api/rooms/{room}/invites", a.invites(false))
}

// detailsBody is what people read of an event. Times are RFC 3339, or local to the zone without an offset.
type detailsBody struct {
	Name        string `json:"name"`
	Venue       string `json:"venue"`
	City        string `json:"city"`
	Description string `json:"description"`
	Zone        string `json:"zone"`
	StartsAt    string `json:"startsAt"`
	EndsAt      string `json:"endsAt"`
}

func (b *detailsBody) into(e *store.Event) (err error) {
	e.Name, e.Venue, e.City, e.Zone = strings.TrimSpace(b.Name), strings.TrimSpace(b.Venue), strings.TrimSpace(b.City), b.Zone
	e.Description = strings.ReplaceAll(b.Description, "\r\n", "\n")
	if e.StartsAt, err = instant("startsAt", b.StartsAt, b.Zone); err != nil {
		return err
	}
	if e.EndsAt, err = instant("endsAt", b.EndsAt, b.Zone); err != nil {
		return err
	}
	if e.StartsAt.IsZero() {
		return web.Unprocessable("startsAt", "an instant")
	}
	if e.EndsAt.IsZero() {
		e.EndsAt = e.StartsAt
	}
	return nil
}

// instant reads a time as programs (RFC 3339) or pages (local to the zone) write it; empty is the zero time.
func instant(key, text, zone string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UTC(), nil
	}
	place, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return time.Time{}, web.Unprocessable("zone", "an IANA time zone such as Europe/Paris")
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, place); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, web.Unprocessable(key, "an instant such as 2027-06-01T20:00:00Z, or 2027-06-01T20:00 in the zone")
}

// priceBody is a price as people write it: amounts in the currency, the rate in percent, the tax included or added.
type priceBody struct {
	Price   string `json:"price"`
	Fee     string `json:"fee"`
	TaxRate string `json:"taxRate"`
	Tax     string `json:"tax"`
}

func (b *priceBody) price(key, currency string) (p sale.Price, err error) {
	amount, err := sale.ParseMoney(b.Price, currency)
	if err != nil {
		return p, web.Unprocessable(key+"price", amountHint(currency))
	}
	fee := sale.Money{}
	if b.Fee != "" {
		if fee, err = sale.ParseMoney(b.Fee, currency); err != nil {
			return p, web.Unprocessable(key+"fee", amountHint(currency))
		}
	}
	if p.TaxRate, err = parsePercent(b.TaxRate); err != nil {
		return p, web.Unprocessable(key+"taxRate", "a percentage such as 20 or 8.875")
	}
	if b.Tax != "included" && b.Tax != "added" {
		return p, web.Unprocessable(key+"tax", "included or added")
	}
	p.Ticket, p.Fee, p.Included = amount.Minor, fee.Minor, b.Tax == "included"
	if p.Ticket > sale.MaxPrice || p.Fee > sale.MaxPrice {
		return p, web.Unprocessable(key+"price", "an amount that is not that high")
	}
	// The smallest booking is one ticket; what a card cannot be charged for must not be sold.
	if err := payment.CheckAmount(sale.LineOf(p, 1, 0).Total, currency); err != nil {
		return p, web.Unprocessable(key+"price", err.Error())
	}
	return p, nil
}

func amountHint(currency string) string {
	return "an amount such as " + sale.Money{Minor: 12345, Currency: currency}.String()
}

var errPercent = errors.New("not a percentage")

// parsePercent reads "8.875" as 88,750 millionths; empty is none.
func parsePercent(s string) (uint32, error) {
	if s == "" {
		return 0, nil
	}
	whole, part, dot := strings.Cut(s, ".")
	if whole == "" || len(whole) > 3 || dot && part == "" || len(part) > 4 {
		return 0, errPercent
	}
	n := uint32(0)
	for _, c := range whole + part + strings.Repeat("0", 4-len(part)) {
		if c < '0' || c > '9' {
			return 0, errPercent
		}
		n = n*10 + uint32(c-'0')
	}
	if n > sale.MaxTaxRate {
		return 0, errPercent
	}
	return n, nil
}

// percent writes millionths as parsePercent reads them.
func percent(rate uint32) string {
	s := fmt.Sprintf("%d.%04d", rate/10_000, rate%10_000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

type typeBody struct {
	Name     string `json:"name"`
	Capacity int64  `json:"capacity"`
	PerUser  int64  `json:"perUser"`
	priceBody
}

func (b *typeBody) into(key, currency string) (t store.TicketType, err error) {
	t = store.TicketType{Name: strings.TrimSpace(b.Name)}
	if b.Capacity < 0 || b.Capacity > sale.MaxCapacity {
		return t, web.Unprocessable(key+"capacity", fmt.Sprintf("0 to %d tickets", sale.MaxCapacity))
	}
	if b.PerUser < 0 || b.PerUser > 65_535 {
		return t, web.Unprocessable(key+"perUser", "a number from 0 (no limit) to 65535")
	}
	t.Capacity, t.PerUser = int(b.Capacity), int(b.PerUser)
	t.Price, err = b.price(key, currency)
	return t, err
}

type createEventBody struct {
	detailsBody
	Currency    string            `json:"currency"`
	PerUser     int64             `json:"perUser"`
	PerCard     int64             `json:"perCard"`
	Room        web.Int64OrString `json:"room"`
	Partition   string            `json:"partition"`
	HoldSeconds int64             `json:"holdSeconds"`
	TicketTypes []typeBody        `json:"ticketTypes"`
	DefaultType int               `json:"defaultType"` // index from 0
}

func (b *createEventBody) event(form bool) (e store.Event, err error) {
	if err := b.into(&e); err != nil {
		return e, err
	}
	if b.PerUser < 0 || b.PerUser > 65_535 {
		return e, web.Unprocessable("perUser", "a number from 0 (no limit) to 65535")
	}
	if b.PerCard < 0 || b.PerCard > 65_535 {
		return e, web.Unprocessable("perCard", perCardHint)
	}
	if b.HoldSeconds < 0 || b.HoldSeconds > 86_400 {
		return e, web.Unprocessable("holdSeconds", "whole seconds, at most a day")
	}
	e.Currency, e.PerUser, e.PerCard, e.Hold = b.Currency, int(b.PerUser), int(b.PerCard), time.Duration(b.HoldSeconds)*time.Second
	if sale.CheckCurrency(e.Currency) != nil {
		return e, web.Unprocessable("currency", "an ISO 4217 code such as EUR")
	}
	for i := range b.TicketTypes {
		if form && b.TicketTypes[i].Name == "" {
			continue // a row of the page that was left empty
		}
		t, err := b.TicketTypes[i].into(fmt.Sprintf("ticketTypes[%d].", i), e.Currency)
		if err != nil {
			return e, err
		}
		t.Type, t.Default = uint32(len(e.Types)+1), i == b.DefaultType
		e.Types = append(e.Types, t)
	}
	return e, e.Check()
}

func (a *Admin) createEvent(ctx context.Context, c *call) (deed, error) {
	var b createEventBody
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := b.event(c.form)
	if err != nil {
		return deed{}, err
	}
	e.Organiser, e.Room = c.who.Organiser, int64(b.Room)
	if e.Room != 0 {
		room, err := a.deps.Store.LatestRoom(ctx, e.Room)
		if errors.Is(err, store.ErrNotFound) || err == nil && !c.who.may(room.Organiser) {
			return deed{}, web.Unprocessable("room", "the id of a waiting room, or 0 for none")
		}
		if err != nil {
			return deed{}, err
		}
	}
	others, err := a.deps.Store.Events(ctx, 0, 1_000)
	if err != nil {
		return deed{}, err
	}
	used := make([]int32, len(others))
	for i := range others {
		used[i] = others[i].Partition
	}
	if e.Partition, err = partition(b.Partition, a.deps.OrdersPartitions, used); err != nil {
		return deed{}, err
	}
	done, err := a.audited(ctx, c.who, "create-event", "event", b, func() (result, error) {
		id, _, err := a.deps.Store.CreateEvent(ctx, e)
		if err != nil {
			return result{}, err
		}
		object := fmt.Sprintf("event/%d", id)
		return a.published(object, fmt.Sprintf("“%s” was created", e.Name), a.publish.Define(ctx, id)), nil
	})
	done.back = strings.Replace(done.Object, "event/", "/events/", 1)
	return done, err
}

// published says what became of something new. That the log did not answer is no failure: the sweep goes on trying.
func (a *Admin) published(object, what string, err error) result {
	if err == nil {
		return result{object: object, said: what + " and is known to the log."}
	}
	a.deps.Log.Warn("publishing has to wait", "object", object, "error", err)
	return result{object: object, said: what + "; the log will know it in a few seconds."}
}

func (a *Admin) describeEvent(ctx context.Context, c *call) (deed, error) {
	var b detailsBody
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := a.event(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	if err := b.into(&e); err != nil {
		return deed{}, err
	}
	done, err := a.audited(ctx, c.who, "describe-event", eventObject(e.ID), b, func() (result, error) {
		return result{said: "The details were saved."}, a.deps.Store.DescribeEvent(ctx, e)
	})
	done.back = eventPage(e.ID)
	return done, err
}

func (a *Admin) addType(ctx context.Context, c *call) (deed, error) {
	var b typeBody
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := a.event(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	if e.Cancelled {
		return deed{}, refusalProblem(wire.ReasonEventCancelled)
	}
	t, err := b.into("", e.Currency)
	if err != nil {
		return deed{}, err
	}
	if len(e.Types) >= store.MaxEventTypes {
		return deed{}, web.Conflict(fmt.Sprintf("An event has at most %d ticket types.", store.MaxEventTypes))
	}
	for _, other := range e.Types {
		t.Type = max(t.Type, other.Type)
	}
	t.Type++
	done, err := a.audited(ctx, c.who, "add-type", eventObject(e.ID), b, func() (result, error) {
		if err := a.deps.Store.AddType(ctx, e.ID, t); err != nil {
			return result{}, err
		}
		return a.published("", fmt.Sprintf("Ticket type “%s” was added", t.Name), a.publish.Type(ctx, &e, t)), nil
	})
	done.back = eventPage(e.ID)
	return done, err
}

func eventObject(id int64) string { return fmt.Sprintf("event/%d", id) }
func eventPage(id int64) string   { return fmt.Sprintf("/events/%d", id) }

func (a *Admin) readers(mux *http.ServeMux) {
	get := func(pattern string, do func(http.ResponseWriter, *http.Request, actor) error) {
		mux.HandleFunc("GET "+pattern, a.users(func(w http.ResponseWriter, r *http.Request, who actor) {
			if err := do(w, r, who); err != nil {
				a.fail(w, r, err)
			}
		}))
	}
	get("/{$}", a.homePage)
	get("/events/new", a.newEventPage)
	get("/events/{event}", a.eventPage)
	get("/sales/{event}", a.salePage)
	get("/rooms", a.roomsPage)
	get("/rooms/new", a.newRoomPage)
	get("/rooms/{room}", a.roomPage)
	get("/rooms/{room}/look", a.lookPage)
	get("/rooms/{room}/checks", a.checksPage)
	get("/audit", a.auditPage)
	get("/money", a.moneyPage)
	get("/events/{event}/receipts", a.documentsPage)
	get("/settings", a.settingsPage)
	get("/api/sellers", a.sellersJSON)
	get("/api/money", a.moneyJSON)
	get("/api/events/{event}/receipts", a.documentsPage)
	get("/api/events", a.eventsJSON)
	get("/api/events/{event}", a.eventJSON)
	get("/api/rooms", a.roomsJSON)
	get("/api/rooms/{room}", a.roomJSON)
	get("/api/rooms/{room}/look", a.lookJSON)
	get("/api/rooms/{room}/checks", a.checksJSON)
	get("/api/sales/{event}", a.saleJSON)
	get("/api/audit", a.auditJSON)
}
