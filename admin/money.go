package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// refundBody orders a refund of one booking: of named tickets ("0,2", from 0), or of all that are live.
type refundBody struct {
	Booking string `json:"booking"`
	Tickets string `json:"tickets"`
	Fees    bool   `json:"fees"`   // booking fees go back too
	Return  bool   `json:"return"` // the stock becomes free again
}

// refundBooking orders a refund. Two orders for the same ticket: the log takes the first and refuses the second.
func (a *Admin) refundBooking(ctx context.Context, c *call) (deed, error) {
	var b refundBody
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := a.event(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	id, err := sale.ParseUUID(b.Booking)
	if err != nil {
		return deed{}, web.Unprocessable("booking", "the id of a booking (a UUID)")
	}
	found, err := a.deps.Store.Booking(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && found.Event != e.ID {
		return deed{}, web.Unprocessable("booking", "a booking of this event")
	}
	if err != nil {
		return deed{}, err
	}
	tickets, err := a.ticketsOf(ctx, id, b.Tickets)
	if err != nil {
		return deed{}, err
	}
	done, err := a.audited(ctx, c.who, "refund", eventObject(e.ID), b, func() (result, error) {
		refund, err := a.newID()
		if err != nil {
			return result{}, err
		}
		if err := a.deps.Store.OrderRefund(ctx, store.RefundOrder{Refund: refund, Booking: id, Fees: b.Fees, By: "organiser"}); err != nil {
			return result{}, err
		}
		out, err := a.deps.Commands.Booking(ctx, e.Partition, e.ID, wire.ID(id), &wire.Refunded{
			Refund: wire.ID(refund), Return: b.Return, Tickets: tickets,
		})
		return result{seq: out.Seq, said: fmt.Sprintf("%d tickets of booking %s are refunded.", len(tickets), id)}, err
	})
	done.back = eventPage(e.ID)
	return done, err
}

// ticketsOf reads "0,2"; empty is all live tickets of the booking.
func (a *Admin) ticketsOf(ctx context.Context, booking sale.UUID, text string) ([]uint16, error) {
	if strings.TrimSpace(text) == "" {
		live, err := a.deps.Store.LiveNumbers(ctx, booking)
		if err == nil && len(live) == 0 {
			err = web.Conflict("No ticket of this booking can be refunded.")
		}
		return live, err
	}
	var numbers []uint16
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 16)
		if err != nil || len(numbers) == wire.MaxTickets {
			return nil, web.Unprocessable("tickets", "numbers of tickets such as 0,2, or nothing for all")
		}
		numbers = append(numbers, uint16(n))
	}
	return numbers, nil
}

// newID mints a UUIDv7 (RFC 9562).
func (a *Admin) newID() (id sale.UUID, err error) {
	if _, err := io.ReadFull(a.deps.Random, id[6:]); err != nil {
		return id, err
	}
	ms := a.deps.Clock().UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id, nil
}

// refundEvent begins the refund of every sold booking of an event that is not cancelled, such as one that is moved.
func (a *Admin) refundEvent(ctx context.Context, c *call) (deed, error) {
	var b struct {
		Fees    bool   `json:"fees"`
		Return  bool   `json:"return"`
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
		return deed{}, web.Unprocessable("confirm", "the event's name, exactly: every ticket that was sold is refunded")
	}
	done, err := a.audited(ctx, c.who, "refund-event", eventObject(e.ID), b, func() (result, error) {
		id, err := a.newID()
		if err != nil {
			return result{}, err
		}
		err = a.deps.Store.StartRefundRun(ctx, store.RefundRun{ID: id, Event: e.ID, Fees: b.Fees, Return: b.Return})
		if errors.Is(err, store.ErrRunning) {
			return result{}, web.Conflict("Every ticket of this event is being refunded already.")
		}
		return result{said: "Every ticket that was sold is being refunded. The page about money shows how far it is."}, err
	})
	done.back = "/money"
	return done, err
}

// setRefundPolicy says until when fans may give tickets back themselves.
func (a *Admin) setRefundPolicy(ctx context.Context, c *call) (deed, error) {
	var b struct {
		UntilHours int64 `json:"untilHours"` // before the start; 0 is never
		Fees       bool  `json:"fees"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := a.event(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	const year = 366 * 24
	if b.UntilHours < 0 || b.UntilHours > year {
		return deed{}, web.Unprocessable("untilHours", "whole hours before the start, at most a year; 0 for never")
	}
	done, err := a.audited(ctx, c.who, "refund-policy", eventObject(e.ID), b, func() (result, error) {
		said := "Fans cannot give tickets back themselves."
		if b.UntilHours > 0 {
			said = fmt.Sprintf("Fans may give tickets back until %d hours before the start.", b.UntilHours)
		}
		return result{said: said}, a.deps.Store.SetRefundPolicy(ctx, e.ID, time.Duration(b.UntilHours)*time.Hour, b.Fees)
	})
	done.back = eventPage(e.ID)
	return done, err
}

// retryRefund tries a refund again that failed at the provider.
func (a *Admin) retryRefund(ctx context.Context, c *call) (deed, error) {
	var b struct {
		Refund string `json:"refund"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	e, err := a.event(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	id, err := sale.ParseUUID(b.Refund)
	if err != nil {
		return deed{}, web.Unprocessable("refund", "the id of a refund (a UUID)")
	}
	done, err := a.audited(ctx, c.who, "retry-refund", eventObject(e.ID), b, func() (result, error) {
		ok, err := a.deps.Store.RetryRefund(ctx, id)
		if err == nil && !ok {
			err = web.Conflict("That refund did not fail.")
		}
		return result{said: "The refund is tried again."}, err
	})
	done.back = "/money"
	return done, err
}

// revive makes a dead obligation due again.
func (a *Admin) revive(ctx context.Context, c *call) (deed, error) {
	var b struct {
		Kind  string `json:"kind"`
		Cause string `json:"cause"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	if !c.who.Operator() {
		return deed{}, web.Forbidden("Only operators may do this.")
	}
	done, err := a.audited(ctx, c.who, "revive", b.Kind, b, func() (result, error) {
		ok, err := a.deps.Store.ReviveObligation(ctx, b.Kind, b.Cause)
		if err == nil && !ok {
			err = web.Conflict("There is no such dead obligation.")
		}
		return result{said: "It is tried again."}, err
	})
	done.back = "/money"
	return done, err
}

// moneyView is what people should know about an organiser's money.
type moneyView struct {
	Disputes []disputeView          `json:"disputes"`
	Refunds  []failedView           `json:"refunds"`
	Dead     []store.DeadObligation `json:"dead"` // operators see them
	Runs     []runView              `json:"runs"`
	Compared *comparedView          `json:"compared"` // with the payment provider, last; null if never
	Notes    []noteView             `json:"notes"`    // the organiser's inbox
}

// comparedView is the last comparison with the payment provider.
type comparedView struct {
	At       time.Time          `json:"at"`
	Payments int                `json:"payments"`
	Moves    int                `json:"movements"`
	Open     int                `json:"open"`
	Repaired int                `json:"repaired"`
	Findings []store.Difference `json:"findings"` // operators see them
}

// noteView is a notice of an organiser's inbox.
type noteView struct {
	Kind    string    `json:"kind"`
	Event   int64     `json:"eventId,omitzero"`
	Created time.Time `json:"createdAt"`
	Text    string    `json:"text"`
	Lines   []string  `json:"lines,omitempty"`
}

type disputeView struct {
	ID, Booking, Amount, Currency, Reason, Status, Provider string
	Event                                                   int64
	DueBy                                                   time.Time
}

type failedView struct {
	ID, Booking, Amount, Currency, Status, Reason string
	Event                                         int64
}

type runView struct {
	Event                             int64
	Name                              string
	Total, Ordered, Succeeded, Failed int
	Done                              bool
}

func (a *Admin) money(ctx context.Context, who actor) (v moneyView, err error) {
	disputes, err := a.deps.Store.Disputes(ctx, who.scope(), listLimit)
	if err != nil {
		return v, err
	}
	for _, d := range disputes {
		v.Disputes = append(v.Disputes, disputeView{
			ID: d.ID, Booking: d.Booking.String(), Amount: sale.Money{Minor: d.Amount, Currency: d.Currency}.String(), Currency: d.Currency,
			Reason: d.Reason, Status: d.Status, Provider: d.Provider, Event: d.Event, DueBy: d.DueBy,
		})
	}
	failed, err := a.deps.Store.FailedRefunds(ctx, who.scope(), listLimit)
	if err != nil {
		return v, err
	}
	for _, r := range failed {
		v.Refunds = append(v.Refunds, failedView{
			ID: r.ID.String(), Booking: r.Booking.String(), Amount: sale.Money{Minor: r.Amount, Currency: r.Currency}.String(),
			Currency: r.Currency, Status: r.Status, Reason: r.Reason, Event: r.Event,
		})
	}
	if who.Operator() {
		if v.Dead, err = a.deps.Store.DeadObligations(ctx, listLimit); err != nil {
			return v, err
		}
	}
	if err := a.compared(ctx, who, &v); err != nil {
		return v, err
	}
	return v, a.runs(ctx, who, &v)
}

// notesShown is how many notices of the inbox the page has.
const notesShown = 20

// compared adds what the last comparison found, and the organiser's inbox.
func (a *Admin) compared(ctx context.Context, who actor, v *moneyView) error {
	last, ok, err := a.deps.Store.LastReconciliation(ctx)
	if err != nil {
		return err
	}
	if ok {
		v.Compared = &comparedView{At: last.At.UTC(), Payments: last.Intents, Moves: last.Moves, Open: last.Open, Repaired: last.Repaired}
		if who.Operator() {
			v.Compared.Findings = last.Findings
		}
	}
	notes, err := a.deps.Store.OrganiserNotes(ctx, who.scope(), notesShown)
	for _, n := range notes {
		view := noteView{Kind: n.Kind, Event: n.Event, Created: n.Created.UTC(), Text: noteText(n)}
		lines, _ := n.Data["lines"].([]any)
		for _, l := range lines {
			view.Lines = append(view.Lines, fmt.Sprint(l))
		}
		v.Notes = append(v.Notes, view)
	}
	return err
}

// noteText is a notice in a sentence.
func noteText(n store.InboxNote) string {
	word := func(key string) string {
		text, _ := n.Data[key].(string)
		return text
	}
	switch n.Kind {
	case "dailyReport":
		return "The money of " + word("day") + " (UTC)"
	case "disputeOpened":
		return fmt.Sprintf("A bank has withdrawn %s %s (%s)", word("amount"), word("currency"), words(word("reason")))
	case "disputeClosed":
		return fmt.Sprintf("Dispute %s is %s", word("dispute"), word("result"))
	}
	return words(n.Kind)
}

func (a *Admin) runs(ctx context.Context, who actor, v *moneyView) error {
	events, err := a.deps.Store.Events(ctx, who.scope(), listLimit)
	if err != nil {
		return err
	}
	for _, e := range events {
		runs, err := a.deps.Store.RefundRuns(ctx, e.ID)
		if err != nil {
			return err
		}
		for _, r := range runs {
			v.Runs = append(v.Runs, runView{e.ID, e.Name, r.Total, r.Ordered, r.Succeeded, r.Failed, !r.Done.IsZero()})
		}
	}
	return nil
}

func (a *Admin) moneyPage(w http.ResponseWriter, r *http.Request, who actor) error {
	v, err := a.money(r.Context(), who)
	if err != nil {
		return err
	}
	return a.page(w, r, "money", who, v)
}

func (a *Admin) moneyJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	v, err := a.money(r.Context(), who)
	if err == nil {
		writeJSON(w, v)
	}
	return err
}

// documentsPage lists an event's receipts and credit notes.
func (a *Admin) documentsPage(w http.ResponseWriter, r *http.Request, who actor) error {
	e, err := a.event(r.Context(), r, who)
	if err != nil {
		return err
	}
	found, err := a.deps.Store.EventDocuments(r.Context(), e.ID, 1000)
	if err != nil {
		return err
	}
	rows := []documentView{}
	for _, d := range found {
		amount := func(n int64) string { return sale.Money{Minor: n, Currency: d.Currency}.String() }
		rows = append(rows, documentView{
			d.Kind, d.Name(), d.RefersName(), d.Issued.UTC(), d.Booking.String(), d.User, amount(d.Total), amount(d.Fees), amount(d.Tax), d.Currency,
		})
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeJSON(w, rows)
		return nil
	}
	return a.page(w, r, "receipts", who, struct {
		Event eventView
		Rows  []documentView
	}{viewEvent(&e), rows})
}

type documentView struct {
	Kind     string    `json:"kind"`
	Number   string    `json:"number"`
	RefersTo string    `json:"refersTo,omitempty"`
	Issued   time.Time `json:"issuedAt"`
	Booking  string    `json:"bookingId"`
	User     string    `json:"userId"`
	Total    string    `json:"total"`
	Fees     string    `json:"fees"`
	Tax      string    `json:"tax"`
	Currency string    `json:"currency"`
}
