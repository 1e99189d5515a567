package stripesim

import (
	"slices"
	"strings"
)

// createIntent is POST /v1/payment_intents.
func createIntent(t *tx, r *request) (any, error) {
	if t.sim.state.intents.len() >= t.sim.cfg.MaxIntents {
		return nil, early(503, "api_error", "", "The simulator is full: raise MaxIntents above %d.", t.sim.cfg.MaxIntents)
	}
	p := r.params
	amount, ok := p.integer("amount")
	if !ok && p.err == nil {
		p.fail(invalid("amount", "parameter_missing", "Missing required param: amount."))
	}
	code := strings.ToLower(p.text("currency", 10))
	if code == "" {
		p.fail(invalid("currency", "parameter_missing", "Missing required param: currency."))
	}
	pi := &Intent{
		ID: t.id("pi"), Amount: amount, Currency: code, Status: StatusRequiresPaymentMethod,
		CaptureMethod: "automatic", Confirmation: "automatic", Created: t.second(),
	}
	pi.ClientSecret = pi.ID + "_secret_" + t.random(25)
	readMethods(p, pi)
	t.readIntent(p, pi)
	confirm := p.flag("confirm")
	how := t.readConfirm(p, pi, confirm)
	if err := p.done(); err != nil {
		return nil, err
	}
	if err := checkAmount(pi.Amount, pi.Currency); err != nil {
		return nil, err
	}
	t.emitIntent("payment_intent.created", with(pi, func(*Intent) {})) // as it is now, before confirm changes it
	if confirm {
		return t.confirm(pi, how)
	}
	t.putIntent(pi)
	return pi, nil
}

// readMethods reads which kinds of payment method an intent takes. Left out, it takes what the account has enabled,
// which in this account is cards.
func readMethods(p *params, pi *Intent) {
	pi.MethodTypes = p.list("payment_method_types", 20)
	for _, kind := range pi.MethodTypes {
		if kind != "card" {
			p.fail(invalid("payment_method_types", "", "The payment method type %q is not activated for this account.", kind))
		}
	}
	enabled := p.choice("automatic_payment_methods[enabled]", "true", "false")
	redirects := p.choice("automatic_payment_methods[allow_redirects]", "always", "never")
	if enabled == "true" && len(pi.MethodTypes) > 0 {
		p.fail(invalid("automatic_payment_methods", "", "You may only specify one of payment_method_types and automatic_payment_methods."))
	}
	if len(pi.MethodTypes) == 0 {
		pi.MethodTypes = []string{"card"}
		if enabled != "false" {
			if redirects == "" {
				redirects = "always"
			}
			pi.Automatic = &Automatic{Enabled: true, AllowRedirects: redirects}
		}
	}
}

// readIntent reads what both create and update may set.
func (t *tx) readIntent(p *params, pi *Intent) {
	if method := p.text("payment_method", 100); method != "" {
		id, err := t.paymentMethod("payment_method", method)
		if err != nil {
			p.fail(err)
		}
		pi.PaymentMethod = id
		if pi.Status == StatusRequiresPaymentMethod || pi.Status == StatusRequiresAction {
			pi.Status = StatusRequiresConfirmation
		}
	}
	if v := p.choice("capture_method", "automatic", "automatic_async", "manual"); v != "" {
		pi.CaptureMethod = v
	}
	if v := p.choice("confirmation_method", "automatic", "manual"); v != "" {
		pi.Confirmation = v
	}
	optional := func(key string, limit int, field *string) {
		if p.has(key) {
			*field = p.text(key, limit)
		}
	}
	optional("description", maxDescription, &pi.Description)
	optional("receipt_email", 512, &pi.ReceiptEmail)
	optional("statement_descriptor_suffix", 22, &pi.DescriptorSuffix)
	optional("transfer_group", 200, &pi.TransferGroup)
	if v := p.choice("setup_future_usage", "on_session", "off_session"); v != "" {
		pi.SetupFutureUsage = v
	}
	pi.Metadata = p.metadata(pi.Metadata)
	p.accept("customer", "shipping", "payment_method_options", "statement_descriptor", "radar_options")
}

// updateIntent is POST /v1/payment_intents/{id}.
func updateIntent(t *tx, r *request) (any, error) {
	old, err := t.intent(r.id)
	if err != nil {
		return nil, err
	}
	p := r.params
	pi := with(old, func(*Intent) {})
	if n, ok := p.integer("amount"); ok {
		pi.Amount = n
	}
	if v := p.text("currency", 10); v != "" {
		pi.Currency = strings.ToLower(v)
	}
	if kinds := p.list("payment_method_types", 20); len(kinds) > 0 && !slices.Equal(kinds, []string{"card"}) {
		p.fail(invalid("payment_method_types", "", "Only cards are activated for this account."))
	}
	t.readIntent(p, pi)
	if err := p.done(); err != nil {
		return nil, err
	}
	money := pi.Amount != old.Amount || pi.Currency != old.Currency || pi.CaptureMethod != old.CaptureMethod ||
		pi.PaymentMethod != old.PaymentMethod
	open := old.Status == StatusRequiresPaymentMethod || old.Status == StatusRequiresConfirmation || old.Status == StatusRequiresAction
	if money && !open {
		return nil, unexpectedState(old, "update the amount or payment method of")
	}
	if money {
		if err := checkAmount(pi.Amount, pi.Currency); err != nil {
			return nil, err
		}
	}
	t.putIntent(pi)
	return pi, nil
}

// captureIntent is POST /v1/payment_intents/{id}/capture. What is not captured is released.
func captureIntent(t *tx, r *request) (any, error) {
	old, err := t.intent(r.id)
	if err != nil {
		return nil, err
	}
	p := r.params
	amount, given := p.integer("amount_to_capture")
	metadata := p.metadata(old.Metadata)
	p.accept("statement_descriptor", "statement_descriptor_suffix", "final_capture")
	if given && amount < 1 {
		p.fail(invalid("amount_to_capture", "parameter_invalid_integer", "Invalid positive integer."))
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	if old.Status != StatusRequiresCapture {
		return nil, unexpectedState(old, "capture")
	}
	if !given {
		amount = old.Capturable
	}
	if amount > old.Capturable {
		return nil, refused("amount_too_large", "amount_to_capture",
			"The requested capture amount is greater than the amount that can be captured, %s.", formatMoney(old.Capturable, old.Currency))
	}
	if err := checkStep("amount_to_capture", amount, old.Currency); err != nil {
		return nil, err
	}
	ch := t.charge(old.LatestCharge)
	if t.second() >= ch.CaptureBefore {
		return nil, expiredForCapture(ch)
	}
	fault := t.strike(PointCapture, old.ID)
	if fault.Code != "" {
		return nil, t.captureFails(old, ch, fault.Code)
	}
	pi := with(old, func(v *Intent) { v.Metadata = metadata })
	t.afterTaking(t.capture(pi, ch, amount), fault)
	return pi, nil
}

// capture takes part of what is authorised, or all, and releases the rest. pi is a copy of its own.
func (t *tx) capture(pi *Intent, old *Charge, amount int64) *Charge {
	ch := with(old, func(v *Charge) { v.AmountRefunded = v.Amount - amount })
	t.take(pi, ch, amount)
	if ch.AmountRefunded > 0 {
		t.putRefund(t.release(ch, ch.AmountRefunded))
		t.emit("charge.refunded", Event{Charge: ch, Previous: map[string]any{"amount_refunded": 0}})
	}
	t.emitCharge("charge.captured", ch)
	t.emitIntent("payment_intent.succeeded", pi)
	c, _, _ := cardOf(ch.PaymentMethod)
	t.disputeIfAsked(ch, c)
	return ch
}

func expiredForCapture(ch *Charge) *apiError {
	return refused("charge_expired_for_capture", "", "The authorisation of charge %s has expired.", ch.ID)
}

// captureFails is the bank's no to taking what it had promised. Either the promise is gone, and the intent ends, or it
// stands and the money is refused all the same.
func (t *tx) captureFails(pi *Intent, ch *Charge, code string) *apiError {
	if code == "charge_expired_for_capture" {
		t.lapse(ch.ID)
		e := expiredForCapture(ch)
		e.keep = true
		return e
	}
	return &apiError{
		status: 402, kind: "card_error", code: errorCodeOf(code), decline: declineCodeOf(code), message: declineMessage(code),
		intent: pi.ID, charge: ch.ID,
	}
}

// cancelIntent is POST /v1/payment_intents/{id}/cancel.
func cancelIntent(t *tx, r *request) (any, error) {
	old, err := t.intent(r.id)
	if err != nil {
		return nil, err
	}
	reason := r.params.choice("cancellation_reason", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	if err := r.params.done(); err != nil {
		return nil, err
	}
	if old.Status == StatusSucceeded || old.Status == StatusCanceled {
		return nil, unexpectedState(old, "cancel")
	}
	return t.cancel(old, reason), nil
}

// cancel ends an intent and releases what was authorised on it. Stripe shows that as a refund of the charge.
func (t *tx) cancel(old *Intent, reason string) *Intent {
	pi := with(old, func(v *Intent) {
		v.Status, v.Capturable, v.CanceledAt, v.CancelReason = StatusCanceled, 0, t.second(), reason
	})
	t.putIntent(pi)
	if old.Status == StatusRequiresCapture {
		ch := with(t.charge(old.LatestCharge), func(v *Charge) { v.AmountRefunded = v.Amount })
		t.putCharge(ch)
		t.putRefund(t.release(ch, ch.Amount))
		t.emit("charge.refunded", Event{Charge: ch, Previous: map[string]any{"amount_refunded": 0, "refunded": false}})
	}
	t.emitIntent("payment_intent.canceled", pi)
	return pi
}

// release is the refund object that stands for an authorisation given back: no money moved, so no transaction.
func (t *tx) release(ch *Charge, amount int64) *Refund {
	return &Refund{
		ID: t.id("re"), Charge: ch.ID, Intent: ch.Intent, Amount: amount, Currency: ch.Currency, Status: "succeeded",
		Created: t.second(),
	}
}
