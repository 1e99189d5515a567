package booking

import (
	"context"
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// refundRequest is the body of POST /booking/{id}/refund. No tickets are all that are live.
type refundRequest struct {
	Tickets []web.Int64OrString `json:"tickets"` // numbers in the booking, from 0
}

// refundView is a refund that is on its way.
type refundView struct {
	ID        string   `json:"id"`
	BookingID string   `json:"bookingId"`
	Tickets   []uint16 `json:"tickets"`
}

// refundBooking is POST /booking/{id}/refund: a fan gives tickets back, as far as the event's policy lets them. The same
// Idempotency-Key is the same refund; a ticket goes back once whatever is sent.
func (a *API) refundBooking(ctx *fasthttp.RequestCtx, request context.Context, b store.Booking) error {
	if err := a.sameSite(ctx); err != nil {
		return err
	}
	var r refundRequest
	if len(ctx.PostBody()) > 0 {
		if err := web.Decode(ctx, &r); err != nil {
			return err
		}
	}
	key, err := idempotencyKey(ctx)
	if err != nil {
		return err
	}
	if err := a.allow(ctx, request, ActionPay, b.User); err != nil {
		return err
	}
	e, err := a.event(request, b.Event)
	if err != nil {
		return err
	}
	policy, err := a.deps.Store.RefundPolicy(request, e.ID)
	if err != nil {
		return err
	}
	if !policy.Allows(a.now()) {
		return kind(web.Conflict("Tickets of this event cannot be given back here now. The organiser may still refund them."),
			"not-refundable", "Cannot be given back")
	}
	tickets, err := a.givenBack(request, b, r.Tickets)
	if err != nil {
		return err
	}
	return a.sendRefund(ctx, request, b, &e, policy, key, tickets)
}

// givenBack reads which tickets are meant.
func (a *API) givenBack(ctx context.Context, b store.Booking, asked []web.Int64OrString) ([]uint16, error) {
	if len(asked) == 0 {
		live, err := a.deps.Store.LiveNumbers(ctx, b.ID)
		if err == nil && len(live) == 0 {
			err = kind(web.Conflict("This booking has no ticket that could be given back."), "nothing-to-refund", "Nothing to give back")
		}
		return live, err
	}
	if len(asked) > wire.MaxTickets {
		return nil, web.Unprocessable("tickets", fmt.Sprintf("at most %d tickets", wire.MaxTickets))
	}
	numbers := make([]uint16, len(asked))
	for i, n := range asked {
		if n < 0 || n >= wire.MaxTickets {
			return nil, web.Unprocessable(fmt.Sprintf("tickets[%d]", i), "the number of a ticket in the booking, from 0")
		}
		numbers[i] = uint16(n)
	}
	return numbers, nil
}

func (a *API) sendRefund(ctx *fasthttp.RequestCtx, request context.Context, b store.Booking, e *store.Event, policy store.RefundPolicy, key string, tickets []uint16) error {
	c := &command{name: "refund", event: e, ref: wire.ID(b.ID)}
	var err error
	if c.id, _, err = a.commandID(b.User, e.ID, key); err != nil {
		return err
	}
	refund := sale.UUID(c.id)
	refund[6], refund[8] = refund[6]&0x0f|0x80, refund[8]&0x3f|0x80 // a UUIDv8 (RFC 9562) of the command
	c.body = &wire.Refunded{Refund: wire.ID(refund), Return: true, Tickets: tickets}
	if err := a.deps.Store.OrderRefund(request, store.RefundOrder{Refund: refund, Booking: b.ID, Fees: policy.Fees, By: "fan"}); err != nil {
		return err
	}
	o, err := a.send(request, c)
	if errors.Is(err, errPending) {
		return a.pending(ctx, c.id, e.ID, c.until)
	}
	if err != nil {
		return err
	}
	switch o.Kind {
	case wire.KindTicketsRefunded, wire.KindRepeated:
		if isForm(ctx) {
			return seeOther(ctx, "/booking/"+b.ID.String())
		}
		return web.WriteJSON(ctx, fasthttp.StatusOK, refundView{refund.String(), b.ID.String(), tickets})
	case wire.KindRejected:
		return a.refused(e, refusal{reason: wire.ReasonInvalid})
	}
	var r wire.Refused
	if err := o.DecodeInto(&r); err != nil {
		return err
	}
	return a.refused(e, refusal{reason: r.Reason})
}

// documentView is a receipt, a credit note or a reversal. Amounts are decimal strings of its currency.
type documentView struct {
	Kind     string             `json:"kind"`               // receipt, creditNote or reversal
	Number   string             `json:"number"`             // as people write it
	RefersTo string             `json:"refersTo,omitempty"` // a credit note's receipt, a reversal's credit note
	IssuedAt string             `json:"issuedAt"`
	Seller   string             `json:"seller"`
	Address  string             `json:"sellerAddress,omitempty"`
	TaxID    string             `json:"sellerTaxNumber,omitempty"`
	Currency string             `json:"currency"`
	Total    string             `json:"total"`
	Fees     string             `json:"fees"`
	Tax      string             `json:"tax"`
	Lines    []documentLineView `json:"lines"`
}

type documentLineView struct {
	Name     string `json:"name"`
	Quantity int    `json:"quantity"`
	Price    string `json:"price"`
	Fee      string `json:"fee"`
	TaxRate  string `json:"taxRate"`
	Tax      string `json:"tax"`
	Total    string `json:"total"`
}

// documents is GET /booking/{id}/documents: its receipts and credit notes, and reversals of credit notes whose money came back.
func (a *API) documents(ctx *fasthttp.RequestCtx, request context.Context, b store.Booking) error {
	found, err := a.deps.Store.BookingDocuments(request, b.ID)
	if err != nil {
		return err
	}
	views := []documentView{}
	for _, d := range found {
		views = append(views, viewDocument(d))
	}
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	if web.WantsHTML(ctx) {
		return a.render(ctx, fasthttp.StatusOK, "documents", "Receipts", struct {
			Booking   string
			Documents []documentView
		}{b.ID.String(), views})
	}
	return web.WriteJSON(ctx, fasthttp.StatusOK, struct {
		Documents []documentView `json:"documents"`
	}{views})
}

func viewDocument(d store.Document) documentView {
	v := documentView{
		Kind: d.Kind, Number: d.Name(), RefersTo: d.RefersName(), IssuedAt: iso(d.Issued), Seller: d.Seller.Name, Address: d.Seller.Address,
		TaxID: d.Seller.TaxNumber, Currency: d.Currency, Total: amount(d.Total, d.Currency), Fees: amount(d.Fees, d.Currency),
		Tax: amount(d.Tax, d.Currency), Lines: []documentLineView{},
	}
	if d.Kind == store.CreditNote {
		v.Kind = "creditNote"
	}
	for _, l := range d.Lines {
		v.Lines = append(v.Lines, documentLineView{
			l.Name, l.Quantity, amount(l.Price, d.Currency), amount(l.Fee, d.Currency), percent(l.TaxRate), amount(l.Tax, d.Currency), amount(l.Total, d.Currency),
		})
	}
	return v
}
