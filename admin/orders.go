package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// seenBody is in every order about an event: the number of the last change that the operator saw. The log refuses the
// order if something changed since.
type seenBody struct {
	ChangedSeq web.Int64OrString `json:"changedSeq"`
}

// tell sends an order about an event to the log and says what came of it.
func (a *Admin) tell(ctx context.Context, c *call, e *store.Event, action string, seen seenBody, asked any, body wire.Body, said string) (deed, error) {
	if seen.ChangedSeq <= 0 {
		return deed{}, web.Unprocessable("changedSeq", "the event's changedSeq as it was seen")
	}
	done, err := a.audited(ctx, c.who, action, eventObject(e.ID), asked, func() (result, error) {
		out, err := a.deps.Commands.Event(ctx, e.Partition, e.ID, uint64(seen.ChangedSeq), body)
		return result{seq: out.Seq, said: said}, err
	})
	done.back = eventPage(e.ID)
	if Refused(err, wire.ReasonMoved) {
		return done, a.moved(ctx, e.ID, uint64(seen.ChangedSeq), err)
	}
	if err == nil && c.form {
		a.awaitProjection(ctx, e.ID, done.Seq)
	}
	return done, err
}

// change is what somebody else did to an object.
type change struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Said string    `json:"said"`
	Seq  uint64    `json:"seq"`
}

// moved is a refusal that shows what changed meanwhile and what it is now.
func (a *Admin) moved(ctx context.Context, event int64, seen uint64, err error) error {
	p, _ := problemOf(err)
	entries, auditErr := a.deps.Store.Audit(ctx, store.AuditQuery{Object: eventObject(event), Limit: 20})
	e, eventErr := a.deps.Store.LatestEvent(ctx, event)
	if auditErr != nil || eventErr != nil {
		return p
	}
	changes := []change{}
	for _, entry := range entries {
		if d := detailOf(entry.Detail); d.Seq > seen {
			changes = append(changes, change{At: entry.At.UTC(), By: byWhom(entry), Said: d.Said, Seq: d.Seq})
		}
	}
	return p.With("changes", changes).With("now", viewEvent(&e))
}

// auditDetail is what this package writes into an entry's detail.
type auditDetail struct {
	Result string          `json:"result"`
	Said   string          `json:"said"`
	Seq    uint64          `json:"seq"`
	Asked  json.RawMessage `json:"asked"`
}

func detailOf(b []byte) (d auditDetail) {
	_ = json.Unmarshal(b, &d) // what is not there stays empty
	return d
}

func byWhom(e store.AuditEntry) string {
	if e.Email == "" {
		return "a program"
	}
	return e.Email
}

// awaitProjection gives the database a moment to show an outcome, so that the page that follows does.
func (a *Admin) awaitProjection(ctx context.Context, event int64, seq uint64) {
	ctx, cancel := context.WithTimeout(ctx, projectionWait)
	defer cancel()
	for {
		e, err := a.deps.Store.LatestEvent(ctx, event)
		if err != nil || e.ChangedSeq >= seq {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(40 * time.Millisecond):
		}
	}
}

// typeOf reads the body of an order about a ticket type and finds both.
func (a *Admin) typeOf(ctx context.Context, c *call, body any, number *web.Int64OrString) (e store.Event, t store.TicketType, err error) {
	if err := c.decode(body); err != nil {
		return e, t, err
	}
	if e, err = a.event(ctx, c.r, c.who); err != nil {
		return e, t, err
	}
	for _, t := range e.Types {
		if int64(t.Type) == int64(*number) {
			return e, t, nil
		}
	}
	return e, t, web.Unprocessable("ticketType", "a ticket type of this event")
}

func (a *Admin) setPrice(ctx context.Context, c *call) (deed, error) {
	var b struct {
		seenBody
		TicketType web.Int64OrString `json:"ticketType"`
		priceBody
	}
	e, t, err := a.typeOf(ctx, c, &b, &b.TicketType)
	if err != nil {
		return deed{}, err
	}
	p, err := b.price("", e.Currency)
	if err != nil {
		return deed{}, err
	}
	said := fmt.Sprintf("%s now costs %s %s and a fee of %s. What is on hold keeps its price.", t.Name,
		sale.Money{Minor: p.Ticket, Currency: e.Currency}, e.Currency, sale.Money{Minor: p.Fee, Currency: e.Currency})
	return a.tell(ctx, c, &e, "set-price", b.seenBody, b, &wire.SetPrice{Type: t.Type, Price: wire.Price(p)}, said)
}

func (a *Admin) setCapacity(ctx context.Context, c *call) (deed, error) {
	var b struct {
		seenBody
		TicketType web.Int64OrString `json:"ticketType"`
		Capacity   int64             `json:"capacity"`
	}
	e, t, err := a.typeOf(ctx, c, &b, &b.TicketType)
	if err != nil {
		return deed{}, err
	}
	if b.Capacity < 0 || b.Capacity > sale.MaxCapacity {
		return deed{}, web.Unprocessable("capacity", fmt.Sprintf("0 to %d tickets", sale.MaxCapacity))
	}
	said := fmt.Sprintf("%s now has %d tickets.", t.Name, b.Capacity)
	if used := int64(t.Held + t.Sold); b.Capacity < used {
		said = fmt.Sprintf("%s shrinks to %d tickets as %d of them come back.", t.Name, b.Capacity, used-b.Capacity)
	}
	return a.tell(ctx, c, &e, "set-capacity", b.seenBody, b, &wire.SetCapacity{Type: t.Type, Capacity: uint32(b.Capacity)}, said)
}

func (a *Admin) setSelling(ctx context.Context, c *call) (deed, error) {
	var b struct {
		seenBody
		Selling bool `json:"selling"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := a.event(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	said := "Selling was stopped. What is on hold may still be paid."
	if b.Selling {
		said = "Selling goes on."
	}
	return a.tell(ctx, c, &e, "set-selling", b.seenBody, b, &wire.SetSelling{Selling: b.Selling}, said)
}

// perCardHint says what a limit of bookings per card can be.
const perCardHint = "a number from 0 (no limit) to 65535"

// setCardLimit changes how many bookings of an event one card may pay for, from now on.
func (a *Admin) setCardLimit(ctx context.Context, c *call) (deed, error) {
	var b struct {
		seenBody
		PerCard *int64 `json:"perCard"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := a.event(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	if b.PerCard == nil || *b.PerCard < 0 || *b.PerCard > 65_535 {
		return deed{}, web.Unprocessable("perCard", perCardHint)
	}
	said := "One card may pay for any number of bookings."
	if n := *b.PerCard; n > 0 {
		said = fmt.Sprintf("One card may pay for at most %d bookings.", n)
		if n == 1 {
			said = "One card may pay for one booking."
		}
		if e.PerCard == 0 {
			said += " Those that were paid before now do not count."
		}
	}
	return a.tell(ctx, c, &e, "set-card-limit", b.seenBody, b, &wire.SetMethodLimit{PerMethod: uint16(*b.PerCard)}, said)
}

func (a *Admin) cancelEvent(ctx context.Context, c *call) (deed, error) {
	var b struct {
		seenBody
		Confirm string `json:"confirm"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := a.event(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	if b.Confirm != e.Name {
		return deed{}, web.Unprocessable("confirm", "the event's name, exactly: cancelling is for good and refunds every ticket")
	}
	return a.tell(ctx, c, &e, "cancel-event", b.seenBody, b, &wire.CancelEvent{},
		"The event was cancelled. Holds end now, and every ticket that was sold is refunded.")
}
