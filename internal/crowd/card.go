package crowd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// The cards that fans pay with: test payment methods of the provider.
const (
	goodCard     = "pm_card_visa"
	declinedCard = "pm_card_chargeDeclined"
)

// receipt is the answer to POST /pay. The client secret is the fan's: it goes to the provider only.
type receipt struct {
	ID             string `json:"id"`
	BookingID      string `json:"bookingId"`
	Amount         string `json:"amount"`
	Currency       string `json:"currency"`
	Status         string `json:"status"`
	ClientSecret   string `json:"clientSecret"`
	PublishableKey string `json:"publishableKey"`
	PayURL         string `json:"payUrl"`
}

// intent is the provider's object: what stands before the secret.
func (p *receipt) intent() string {
	id, _, _ := strings.Cut(p.ClientSecret, "_secret_")
	return id
}

// returnURL is where the provider's page would send the fan back to.
func (p *receipt) returnURL() string {
	u, err := url.Parse(p.PayURL)
	if err != nil {
		return ""
	}
	return u.Query().Get("return_url")
}

// payFor pays a hold or an offer, or has the card declined and gives up, and sees the booking to its end.
func (f *fan) payFor(ctx context.Context, b *booking) error {
	p, err := f.startPayment(ctx, b)
	if err != nil || p.ID == "" {
		if err == nil {
			err = f.tooLate(ctx, b)
		}
		return err
	}
	agreed := p.Status != "started" // a total of zero, or paid by a request whose answer was lost
	if !agreed {
		if agreed, err = f.confirmCard(ctx, &p); err != nil {
			return err
		}
	}
	if !agreed {
		f.crowd.tally.saw("declined")
		f.next(StepSettle)
		outcome := Declined
		if f.plan != Decliner {
			outcome = LetLapse // the intent was cancelled under our hands: the hold is over
		}
		return f.letLapse(ctx, b, outcome)
	}
	err = f.note(Entry{
		Kind: EntryAuthorised, Event: f.crowd.cfg.Event, Booking: b.ID, Payment: p.ID, Intent: p.intent(), Total: p.Amount, Currency: p.Currency,
	})
	if err != nil {
		return err
	}
	f.next(StepSettle)
	return f.settle(ctx, b)
}

// startPayment gets the payment; an empty one when there is nothing to pay any more.
func (f *fan) startPayment(ctx context.Context, b *booking) (receipt, error) {
	var p receipt
	r, err := f.send(ctx, http.MethodPost, "/pay", map[string]any{
		"userId": f.user, "eventId": f.crowd.cfg.Event, "amount": b.Total, "bookingId": b.ID,
	})
	if err != nil {
		return p, err
	}
	switch {
	case r.ok():
		err := r.read(&p)
		if err == nil && (p.ID == "" || p.BookingID != b.ID) {
			err = &end{Failed, "pay: not a payment of this booking"}
		}
		return p, err
	case r.status == http.StatusConflict:
		return p, nil
	}
	return p, fails(StepPay, r)
}

// tooLate is the end of a fan whose hold was over before the payment began.
func (f *fan) tooLate(ctx context.Context, b *booking) error {
	f.crowd.tally.saw("paidTooLate")
	return f.letLapse(ctx, b, LetLapse)
}

// providerAnswer is what the provider says about an intent, as itself or within an error.
type providerAnswer struct {
	Status string `json:"status"`
	Error  struct {
		Type   string `json:"type"`
		Code   string `json:"code"`
		Intent struct {
			Status string `json:"status"`
		} `json:"payment_intent"`
	} `json:"error"`
}

// confirmCard gives the provider the card, as the payment page in the browser does. False: declined, or the intent is
// cancelled. An answer that was lost is asked for, not repeated blindly: the first may have taken effect.
func (f *fan) confirmCard(ctx context.Context, p *receipt) (agreed bool, err error) {
	at, err := f.provider(p)
	if err != nil {
		return false, err
	}
	form := url.Values{"client_secret": {p.ClientSecret}, "payment_method": {goodCard}}
	if f.plan == Decliner {
		form.Set("payment_method", declinedCard)
	}
	if back := p.returnURL(); back != "" {
		form.Set("return_url", back)
	}
	path := "/v1/payment_intents/" + url.PathEscape(p.intent())
	key := []header{{"Authorization", "Bearer " + p.PublishableKey}}
	confirm := call{method: http.MethodPost, path: path + "/confirm", body: []byte(form.Encode()), form: true, with: key}
	look := call{method: http.MethodGet, path: path + "?client_secret=" + url.QueryEscape(p.ClientSecret), with: key}
	for {
		r, err := at.again(ctx, f.rnd, &confirm)
		if err != nil {
			return false, err
		}
		var a providerAnswer
		if err := r.readAny(&a); err != nil {
			return false, err
		}
		if a.Error.Type == "card_error" {
			return false, nil
		}
		status := a.Status
		if a.Error.Type != "" {
			if r, err = at.again(ctx, f.rnd, &look); err != nil {
				return false, err
			}
			if !r.ok() {
				return false, fails(StepPay, r)
			}
			if err := r.readAny(&a); err != nil {
				return false, err
			}
			status = a.Status
		}
		switch status {
		case "requires_capture", "succeeded", "processing":
			return true, nil
		case "canceled":
			return false, nil
		}
		f.crowd.tally.saw("confirmedAgain")
		if !pause(ctx, jitter(f.rnd, mostBackoff)) {
			return false, ctx.Err()
		}
	}
}

// provider is where to pay: as configured, or where the payment says.
func (f *fan) provider(p *receipt) (*caller, error) {
	if p.ClientSecret == "" || p.PublishableKey == "" {
		return nil, &end{Failed, "pay: nothing to pay with in the answer"}
	}
	if f.crowd.pay == nil {
		return nil, &end{Failed, "pay: PayURL is not set, and the crowd has no card for a real provider"}
	}
	return f.crowd.pay, nil
}

// readAny decodes an answer whatever its status.
func (r *reply) readAny(into any) error {
	if err := json.Unmarshal(r.body, into); err != nil {
		return fmt.Errorf("reading an answer %d: %w", r.status, err)
	}
	return nil
}

// settle waits until a paid booking is final. Every second fan returns from the payment page at once; the others have
// closed it, rely on the provider's word to the shop, and look back later.
func (f *fan) settle(ctx context.Context, b *booking) error {
	back := f.crowd.now()
	if f.index%2 == 1 {
		back = back.Add(returnAfter)
	}
	goBack := func() error {
		if f.crowd.now().Before(back) {
			return nil
		}
		back = f.crowd.now().Add(returnAfter)
		_, err := f.send(ctx, http.MethodGet, "/booking/"+b.ID+"/paid", nil)
		return err
	}
	if err := goBack(); err != nil {
		return err
	}
	now, err := f.watch(ctx, b.ID, goBack, settled)
	if err != nil {
		return err
	}
	f.took(StepSettle)
	if now.Status == "confirmed" {
		err := f.note(Entry{
			Kind: EntryConfirmed, Event: f.crowd.cfg.Event, Booking: b.ID, Total: now.Total, Currency: now.Currency, Tickets: len(now.Tickets),
		})
		if err != nil {
			return err
		}
		return ends(Paid)
	}
	outcome := LetLapse // paid after the time was over: the money is released
	if now.Status == "cancelled" || now.Status == "revoked" || now.Status == "refunded" {
		outcome = Cancelled
	}
	return f.ended(&now, outcome)
}

// settled says that a booking whose card agreed has come to its end: the tickets scan, or it is over and the money is
// released. A lapsed one may still be granted again while its authorisation stands.
func settled(b *booking) bool {
	switch b.Status {
	case "confirmed":
		return b.valid()
	case "closed", "cancelled", "revoked", "refunded":
		return true
	case "lapsed":
		return b.Payment != nil && (b.Payment.Status == "voided" || b.Payment.Status == "failed")
	}
	return false
}

// pathOf is the path and query of a Location, whatever host it names.
func pathOf(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "/"
	}
	return u.RequestURI()
}
