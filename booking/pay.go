package booking

import (
	"context"
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
)

// paymentView is a payment with what a page needs to pay it. The client secret is the fan's; it is in no log of ours.
type paymentView struct {
	ID             string `json:"id"`
	BookingID      string `json:"bookingId"`
	Amount         string `json:"amount"`
	Currency       string `json:"currency"`
	Status         string `json:"status"`
	ClientSecret   string `json:"clientSecret,omitempty"`
	PublishableKey string `json:"publishableKey,omitempty"`
	PayURL         string `json:"payUrl,omitempty"`
}

// pay is POST /pay.
func (a *API) pay(ctx *fasthttp.RequestCtx) error { return a.fail(ctx, a.tryPay(ctx)) }

func (a *API) tryPay(ctx *fasthttp.RequestCtx) error {
	if err := a.sameSite(ctx); err != nil {
		return err
	}
	var r payRequest
	if err := web.Decode(ctx, &r); err != nil {
		return err
	}
	user, err := a.acting(ctx, string(r.UserID))
	if err != nil {
		return err
	}
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	if err := a.allow(ctx, request, ActionPay, user); err != nil {
		return err
	}
	e, err := a.event(request, int64(r.EventID))
	if err != nil {
		return err
	}
	b, err := a.payable(request, user, &r)
	if err != nil {
		return err
	}
	if err := rightAmount(r.Amount, b); err != nil {
		return err
	}
	receipt, err := a.deps.Payments.Start(request, payment.StartRequest{
		Booking: b.ID, Event: e.ID, User: user, Amount: b.Total, Currency: b.Currency,
		Description: fmt.Sprintf("%s · booking %s", e.Name, b.ID),
	})
	if err != nil {
		return paymentProblem(err, b)
	}
	return a.showPayment(ctx, receipt)
}

// payable is what a payment means: the user's live hold or offer for the event, else their latest paid booking.
func (a *API) payable(ctx context.Context, user string, r *payRequest) (store.Booking, error) {
	var wanted sale.UUID
	if r.BookingID != "" {
		var err error
		if wanted, err = sale.ParseUUID(r.BookingID); err != nil {
			return store.Booking{}, web.Unprocessable("bookingId", "the id of a booking (a UUID)")
		}
	}
	b, err := a.findPayable(ctx, user, int64(r.EventID))
	if err != nil {
		return b, err
	}
	if !wanted.IsZero() && wanted != b.ID {
		return b, kind(web.Conflict("That booking is not the one to pay for this event now."), "other-booking", "Another booking").
			With("bookingId", b.ID.String())
	}
	return b, nil
}

func (a *API) findPayable(ctx context.Context, user string, event int64) (store.Booking, error) {
	if b, ok := a.recent.of(user, event); ok && canPay(b.Status) {
		return b, nil
	}
	b, err := a.deps.Store.PayableBooking(ctx, user, event)
	if errors.Is(err, store.ErrNotFound) {
		return b, nothingToPay()
	}
	if err != nil {
		return b, err
	}
	if now, ok := a.recent.booking([16]byte(b.ID)); ok {
		b = now
	}
	if !canPay(b.Status) && b.Status != "refunded" {
		return b, nothingToPay()
	}
	return b, nil
}

func canPay(status string) bool {
	return status == "held" || status == "offered" || status == "frozen" || status == "confirmed"
}

func nothingToPay() error {
	return kind(web.Conflict("You hold nothing for this event that could be paid. A hold that lapsed can be booked again."),
		"nothing-to-pay", "Nothing to pay")
}

// rightAmount holds the amount that the fan agreed to against the booking's.
func rightAmount(given string, b store.Booking) error {
	expected := amount(b.Total, b.Currency)
	m, err := sale.ParseMoney(given, b.Currency)
	if err == nil && m.Minor == b.Total {
		return nil
	}
	return kind(web.Unprocessable("amount", fmt.Sprintf("%q (%s)", expected, b.Currency)), "wrong-amount", "Wrong amount").
		With("amount", expected).With("currency", b.Currency)
}

// paymentProblem classifies what the payment service refused.
func paymentProblem(err error, b store.Booking) error {
	switch {
	case errors.Is(err, payment.ErrAmount):
		return rightAmount("", b)
	case errors.Is(err, payment.ErrForeign):
		return web.Forbidden("This booking's payment is another user's.")
	case errors.Is(err, payment.ErrEnded), errors.Is(err, payment.ErrUnknownEvent):
		return kind(web.Conflict("This booking can no longer be paid."), "payment-ended", "Cannot be paid")
	case errors.Is(err, payment.ErrUnavailable):
		return kind(web.Unavailable(retryLater), "payment-unavailable", "Payment is not available").
			Because("The payment provider does not answer. Your tickets stay on hold; please try again shortly.")
	}
	return fmt.Errorf("starting a payment: %w", err)
}

func (a *API) showPayment(ctx *fasthttp.RequestCtx, r payment.Receipt) error {
	if isForm(ctx) {
		location := r.PayURL
		if location == "" {
			location = "/booking/" + r.Booking.String()
		}
		return seeOther(ctx, location)
	}
	status := fasthttp.StatusOK
	if r.Fresh {
		status = fasthttp.StatusCreated
	}
	return web.WriteJSON(ctx, status, paymentView{
		ID: r.Payment.String(), BookingID: r.Booking.String(), Amount: amount(r.Amount, r.Currency), Currency: r.Currency,
		Status: camel(string(r.Status)), ClientSecret: r.ClientSecret, PublishableKey: r.PublishableKey, PayURL: r.PayURL,
	})
}

// paid is GET /booking/{id}/paid, where the payment page returns to. It asks the provider itself, so that a lost webhook
// delays nobody; what it cannot learn now, the webhook or reconciliation will.
func (a *API) paid(ctx *fasthttp.RequestCtx, request context.Context, b store.Booking) error {
	s, err := a.deps.Store.Settlement(request, b.ID)
	if err != nil {
		return err
	}
	if s.Intent != "" && s.Status == "started" {
		if _, err := a.deps.Payments.Resolve(request, s.Intent); err != nil {
			a.deps.Log.Warn("resolving a payment on the fan's return failed", "booking", b.ID.String(), "error", err)
		}
	}
	location := "/booking/" + b.ID.String()
	if string(ctx.QueryArgs().Peek("redirect_status")) == "failed" { // only a hint for the page
		location += "?declined"
	}
	return seeOther(ctx, location)
}
