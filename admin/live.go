package admin

import (
	"context"
	"net/http"
	"sync"
	"time"

	"fairgate/internal/store"
)

const (
	// saleAge is how old the numbers of a sale may be: however many look, the database is asked this often.
	saleAge     = time.Second
	maxSales    = 256 // sales whose numbers are kept
	recentLimit = 12
)

// saleView is a sale as it stands.
type saleView struct {
	At       time.Time    `json:"at"`
	Event    eventView    `json:"event"`
	Room     *roomView    `json:"room,omitempty"` // of the room in front, if there is one
	Totals   totals       `json:"totals"`
	Bookings []statusView `json:"bookings"`
	Payments []statusView `json:"payments"`
	Recent   []recentView `json:"recent"`
	Outbox   outboxView   `json:"outbox"`
}

// totals sum the event's ticket types.
type totals struct {
	Capacity int    `json:"capacity"`
	Held     int    `json:"held"`
	Sold     int    `json:"sold"`
	Free     int    `json:"free"`
	Taken    string `json:"taken"` // money captured, a decimal
}

// SoldPart is per cent of the capacity.
func (t totals) SoldPart() string { return part(t.Sold, t.Capacity) }

// HeldPart is per cent of the capacity.
func (t totals) HeldPart() string { return part(t.Held, t.Capacity) }

type statusView struct {
	Status string `json:"status"`
	Count  int64  `json:"count"`
	Total  string `json:"total"`
}

type recentView struct {
	ID      string    `json:"id"`
	User    string    `json:"userId"`
	Status  string    `json:"status"`
	Tickets int64     `json:"tickets"`
	Total   string    `json:"total"`
	Updated time.Time `json:"updatedAt"`
}

// outboxView counts what is still owed to people and the payment provider, over all sales.
type outboxView struct {
	Pending int     `json:"pending"`
	Dead    int     `json:"dead"`
	Oldest  float64 `json:"oldestSeconds"`
}

// sales keeps the numbers of the sales that are being looked at.
type sales struct {
	mu   sync.Mutex
	byID map[int64]*saleNumbers
}

// saleNumbers are one sale's; its lock makes those who ask at the same time share one answer.
type saleNumbers struct {
	mu   sync.Mutex
	at   time.Time
	view saleView
}

func newSales() *sales { return &sales{byID: make(map[int64]*saleNumbers)} }

func (s *sales) of(event int64) *saleNumbers {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byID[event]
	if n == nil {
		if len(s.byID) >= maxSales {
			clear(s.byID)
		}
		n = &saleNumbers{}
		s.byID[event] = n
	}
	return n
}

// sale is how an event's sale stands: its numbers at most saleAge old, its line as the newest document says.
func (a *Admin) sale(ctx context.Context, e *store.Event) (saleView, error) {
	n := a.sales.of(e.ID)
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := a.deps.Clock(); now.Sub(n.at) >= saleAge || now.Before(n.at) {
		v, err := a.count(ctx, e)
		if err != nil {
			return v, err
		}
		n.at, n.view = now, v
	}
	v := n.view
	v.Event = viewEvent(e)
	v.Totals.Capacity, v.Totals.Held, v.Totals.Sold, v.Totals.Free = 0, 0, 0, 0
	for _, t := range e.Types {
		v.Totals.Capacity += t.Capacity
		v.Totals.Held += t.Held
		v.Totals.Sold += t.Sold
		v.Totals.Free += t.Free
	}
	if e.Room == 0 {
		return v, nil
	}
	room, err := a.deps.Store.LatestRoom(ctx, e.Room)
	if err != nil {
		return v, err
	}
	line := a.viewRoom(&room)
	v.Room = &line
	return v, nil
}

func (a *Admin) count(ctx context.Context, e *store.Event) (v saleView, err error) {
	v = saleView{At: a.deps.Clock().UTC(), Recent: []recentView{}}
	bookings, err := a.deps.Store.BookingCounts(ctx, e.ID)
	if err != nil {
		return v, err
	}
	payments, err := a.deps.Store.PaymentCounts(ctx, e.ID)
	if err != nil {
		return v, err
	}
	recent, err := a.deps.Store.RecentBookings(ctx, e.ID, recentLimit)
	if err != nil {
		return v, err
	}
	outbox, err := a.deps.Store.OutboxStats(ctx)
	if err != nil {
		return v, err
	}
	v.Bookings, v.Payments = viewStatus(bookings, e.Currency), viewStatus(payments, e.Currency)
	var taken int64
	for _, p := range payments {
		if p.Status == "captured" || p.Status == "partly_refunded" {
			taken += p.Total
		}
	}
	v.Totals.Taken = money(taken, e.Currency)
	for _, b := range recent {
		v.Recent = append(v.Recent, recentView{
			ID: b.ID.String(), User: b.User, Status: b.Status, Tickets: b.Tickets, Total: money(b.Total, e.Currency), Updated: b.Updated.UTC(),
		})
	}
	for _, o := range outbox {
		v.Outbox.Pending += o.Pending
		v.Outbox.Dead += o.Dead
		v.Outbox.Oldest = max(v.Outbox.Oldest, float64(o.Oldest.Milliseconds()/100)/10)
	}
	return v, nil
}

func viewStatus(counts []store.StatusCount, currency string) []statusView {
	views := []statusView{}
	for _, c := range counts {
		views = append(views, statusView{c.Status, c.Count, money(c.Total, currency)})
	}
	return views
}

func (a *Admin) saleJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	e, err := a.event(r.Context(), r, who)
	if err != nil {
		return err
	}
	v, err := a.sale(r.Context(), &e)
	if err != nil {
		return err
	}
	writeJSON(w, v)
	return nil
}
