package stripesim

import (
	"net/url"
	"slices"
	"time"
)

// confirmation is how an intent is confirmed.
type confirmation struct {
	returnURL  string
	offSession bool // the shopper is not there to authenticate
	noAction   bool // fail rather than ask for authentication
	passed     bool // authentication was done
}

// readConfirm reads the parameters that only mean something when confirming.
func (t *tx) readConfirm(p *params, pi *Intent, confirming bool) confirmation {
	how := confirmation{
		returnURL: p.text("return_url", maxReturnURL), offSession: p.flag("off_session"),
		noAction: p.flag("error_on_requires_action"),
	}
	p.accept("mandate_data", "use_stripe_sdk")
	if how.returnURL != "" {
		if !confirming {
			p.fail(invalid("return_url", "", "return_url can only be given when confirming."))
		} else if _, ok := t.sim.returnTo(how.returnURL); !ok {
			p.fail(invalid("return_url", "url_invalid", "return_url is not in AllowedReturnOrigins."))
		}
	}
	redirects := pi.Automatic != nil && pi.Automatic.AllowRedirects == "always"
	if confirming && redirects && how.returnURL == "" && pi.ReturnURL == "" && pi.PaymentMethod != "" && !how.offSession {
		p.fail(invalid("return_url", "parameter_missing",
			"This PaymentIntent allows payment methods that redirect: give a return_url, or set automatic_payment_methods[allow_redirects] to never."))
	}
	return how
}

// confirmIntent is POST /v1/payment_intents/{id}/confirm, by the shop or, with the client secret, by the shopper.
func confirmIntent(t *tx, r *request) (any, error) {
	old, err := t.intent(r.id)
	if err != nil {
		return nil, err
	}
	p := r.params
	p.text("client_secret", 200)
	pi := with(old, func(*Intent) {})
	if r.publishable {
		if method := p.text("payment_method", 100); method != "" {
			id, err := t.paymentMethod("payment_method", method)
			if err != nil {
				p.fail(err)
			}
			pi.PaymentMethod = id
		}
		p.accept("payment_method_options", "expected_payment_method_type", "key")
	} else {
		t.readIntent(p, pi)
	}
	how := t.readConfirm(p, pi, true)
	if err := p.done(); err != nil {
		return nil, err
	}
	switch old.Status {
	case StatusRequiresPaymentMethod, StatusRequiresConfirmation, StatusRequiresAction:
	default:
		return nil, unexpectedState(old, "confirm")
	}
	if r.publishable && old.Confirmation == "manual" {
		return nil, refused("payment_intent_unexpected_state", "", "This PaymentIntent can only be confirmed with a secret key.")
	}
	return t.confirm(pi, how)
}

// confirm asks the bank. It publishes the intent whatever the bank says; a decline is both a change and an error.
func (t *tx) confirm(pi *Intent, how confirmation) (any, error) {
	if pi.PaymentMethod == "" {
		e := refused("payment_intent_unexpected_state", "",
			"You cannot confirm this PaymentIntent because it's missing a payment method.")
		e.intent = pi.ID
		return nil, e
	}
	if how.returnURL != "" {
		pi.ReturnURL = how.returnURL
	}
	c, _, _ := cardOf(pi.PaymentMethod)
	fault := t.strike(PointCard, pi.ID)
	switch {
	case fault.Decline != "":
		return nil, t.decline(pi, fault.Decline)
	case fault.Secure != "" && !how.passed:
		c.secure = true
		if fault.Secure != SecureAbandon {
			t.plan(fault.Delay, Plan{Do: planSecure, Object: pi.ID, Reason: fault.Secure})
		}
	}
	switch {
	case c.secure && !how.passed && how.offSession:
		return nil, t.decline(pi, "authentication_required")
	case c.secure && !how.passed && how.noAction:
		return nil, t.decline(pi, "authentication_required")
	case c.secure && !how.passed:
		pi.Status, pi.LastError = StatusRequiresAction, nil
		t.putIntent(pi)
		t.emitIntent("payment_intent.requires_action", pi)
		return pi, nil
	case c.decline != "":
		return nil, t.decline(pi, c.decline)
	}
	life := authorisationLife
	if fault.Expires {
		life = fault.Delay
	}
	return t.authorise(pi, c, life), nil
}

// finishSecure is the shopper's answer to the bank. It changes nothing once the intent waits for none.
func (t *tx) finishSecure(old *Intent, complete bool) error {
	if old.Status != StatusRequiresAction {
		return nil
	}
	pi := with(old, func(*Intent) {})
	if complete {
		_, err := t.confirm(pi, confirmation{passed: true})
		return err
	}
	pi.LastError = &CardError{
		Code: "payment_intent_authentication_failure", PaymentMethod: pi.PaymentMethod,
		Message: "We are unable to authenticate your payment method. Please choose a different one and try again.",
	}
	pi.Status, pi.PaymentMethod = StatusRequiresPaymentMethod, ""
	t.putIntent(pi)
	t.emitIntent("payment_intent.payment_failed", pi)
	return nil
}

// decline records a refused attempt: a failed charge, and the intent open for another card.
func (t *tx) decline(pi *Intent, code string) *apiError {
	ch := t.newCharge(pi)
	ch.Status, ch.FailureCode, ch.DeclineCode, ch.FailureMessage = "failed", errorCodeOf(code), code, declineMessage(code)
	t.putCharge(ch)
	t.emitCharge("charge.failed", ch)
	pi.LastError = &CardError{
		Code: ch.FailureCode, DeclineCode: code, Message: ch.FailureMessage, Charge: ch.ID, PaymentMethod: pi.PaymentMethod,
	}
	pi.Status, pi.PaymentMethod, pi.LatestCharge = StatusRequiresPaymentMethod, "", ch.ID
	t.putIntent(pi)
	t.emitIntent("payment_intent.payment_failed", pi)
	return &apiError{
		status: 402, kind: "card_error", code: ch.FailureCode, decline: code, message: ch.FailureMessage,
		intent: pi.ID, charge: ch.ID,
	}
}

// authorise records that the bank agreed, for life, and takes the money at once unless capture is manual.
func (t *tx) authorise(pi *Intent, c card, life time.Duration) *Intent {
	ch := t.newCharge(pi)
	ch.Status = "succeeded"
	pi.LatestCharge, pi.LastError = ch.ID, nil
	if pi.CaptureMethod == "manual" {
		ch.CaptureBefore = t.now.Add(life).Unix()
		pi.Status, pi.Capturable = StatusRequiresCapture, pi.Amount
		t.putCharge(ch)
		t.putIntent(pi)
		t.emitCharge("charge.succeeded", ch)
		t.emitIntent("payment_intent.amount_capturable_updated", pi)
		return pi
	}
	t.take(pi, ch, pi.Amount)
	t.emitCharge("charge.succeeded", ch)
	t.emitIntent("payment_intent.succeeded", pi)
	t.disputeIfAsked(ch, c)
	t.afterTaking(ch, t.strike(PointCapture, pi.ID))
	return pi
}

// lapse ends an authorisation that nobody captured in time. What was captured or released meanwhile is left alone.
func (t *tx) lapse(charge string) {
	ch := t.charge(charge)
	pi := t.sim.state.intents.get(ch.Intent)
	if pi.Status != StatusRequiresCapture || pi.LatestCharge != charge {
		return
	}
	t.cancel(pi, "automatic")
	t.emitCharge("charge.expired", t.line.Charges[len(t.line.Charges)-1])
}

// take moves amount from the card to the account and publishes both objects.
func (t *tx) take(pi *Intent, ch *Charge, amount int64) {
	txn := t.settled(&Transaction{
		ID: t.id("txn"), Type: "charge", Category: "charge", Amount: amount, Fee: feeOf(amount, ch.Currency),
		Currency: ch.Currency, Source: ch.ID, Description: ch.Description,
		AvailableOn: t.now.Add(payoutDelay).Unix(), Created: t.second(),
	})
	t.putTransaction(txn)
	ch.Captured, ch.AmountCaptured, ch.Transaction = true, amount, txn.ID
	pi.Status, pi.Capturable, pi.Received = StatusSucceeded, 0, amount
	t.putCharge(ch)
	t.putIntent(pi)
}

func (t *tx) newCharge(pi *Intent) *Charge {
	return &Charge{
		ID: t.id("ch"), Intent: pi.ID, Amount: pi.Amount, Currency: pi.Currency, PaymentMethod: pi.PaymentMethod,
		Metadata: pi.Metadata, Description: pi.Description, ReceiptEmail: pi.ReceiptEmail, Created: t.second(),
	}
}

// returnTo checks that a payer may be sent to raw.
func (s *Sim) returnTo(raw string) (*url.URL, bool) {
	u, err := url.Parse(raw)
	if err != nil || !isWeb(u) || !slices.Contains(s.cfg.AllowedReturnOrigins, originOf(u)) {
		return nil, false
	}
	return u, true
}
