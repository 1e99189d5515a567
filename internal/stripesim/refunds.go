package stripesim

// createRefund is POST /v1/refunds.
func createRefund(t *tx, r *request) (any, error) {
	p := r.params
	intent, charge := p.text("payment_intent", 100), p.text("charge", 100)
	amount, given := p.integer("amount")
	reason := p.choice("reason", "duplicate", "fraudulent", "requested_by_customer")
	metadata := p.metadata(nil)
	p.accept("refund_application_fee", "reverse_transfer", "instructions_email")
	if intent == "" && charge == "" {
		p.fail(invalid("payment_intent", "parameter_missing", "One of the following params should be provided: payment_intent or charge."))
	}
	if given && amount < 1 {
		p.fail(invalid("amount", "parameter_invalid_integer", "Invalid positive integer."))
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	ch, err := t.refundable(intent, charge)
	if err != nil {
		return nil, err
	}
	left := ch.Amount - ch.AmountRefunded
	switch {
	case ch.Disputed:
		return nil, refused("charge_disputed", "", "Charge %s has been charged back; it cannot be refunded.", ch.ID)
	case left == 0:
		return nil, refused("charge_already_refunded", "", "Charge %s has already been refunded.", ch.ID)
	case !given:
		amount = left
	case amount > left:
		return nil, refused("", "amount", "Refund amount (%s) is greater than unrefunded amount on charge (%s).",
			formatMoney(amount, ch.Currency), formatMoney(left, ch.Currency))
	}
	if err := checkStep("amount", amount, ch.Currency); err != nil {
		return nil, err
	}
	return t.refund(ch, amount, reason, metadata), nil
}

// refundable finds the charge to refund; both parameters given must agree.
func (t *tx) refundable(intent, charge string) (*Charge, error) {
	if intent != "" {
		pi := t.sim.state.intents.get(intent)
		if pi == nil {
			return nil, missing("payment_intent", "No such payment_intent: '%s'", intent)
		}
		if pi.Status != StatusSucceeded && pi.Status != StatusCanceled || pi.LatestCharge == "" {
			return nil, refused("", "payment_intent", "This PaymentIntent (%s) does not have a successful charge to refund.", intent)
		}
		if charge != "" && charge != pi.LatestCharge {
			return nil, invalid("charge", "", "The charge does not belong to the payment_intent.")
		}
		charge = pi.LatestCharge
	}
	ch := t.charge(charge)
	switch {
	case ch == nil:
		return nil, missing("charge", "No such charge: '%s'", charge)
	case ch.Status != "succeeded":
		return nil, refused("", "charge", "This charge (%s) did not succeed and cannot be refunded.", charge)
	case !ch.Captured && ch.AmountRefunded == 0:
		return nil, refused("", "charge", "This charge (%s) is not captured: cancel its PaymentIntent instead.", charge)
	}
	return ch, nil
}

// refund gives money back. The fee stays with Stripe. Some settle later, some fail then, and some wait for the payee; until
// then no money has moved.
func (t *tx) refund(old *Charge, amount int64, reason string, metadata map[string]string) *Refund {
	re := &Refund{
		ID: t.id("re"), Charge: old.ID, Intent: old.Intent, Amount: amount, Currency: old.Currency, Status: "succeeded",
		Reason: reason, Metadata: metadata, Created: t.second(),
	}
	course := t.strike(PointRefund, old.Intent).Refund
	if c, _, _ := cardOf(old.PaymentMethod); course == "" {
		course = c.refund
	}
	settle := t.now.Add(t.sim.cfg.RefundDelay).UnixMilli()
	switch course {
	case RefundPending:
		re.Status, re.SettleAt, re.SettleAs = "pending", settle, "succeeded"
	case RefundPendingFails:
		re.Status, re.SettleAt, re.SettleAs = "pending", settle, "failed"
	case RefundFails:
		re.SettleAt, re.SettleAs = settle, "failed"
	case RefundRequiresAction:
		re.Status = "requires_action"
	}
	if re.Status != "requires_action" {
		re.Transaction = t.move("refund", "refund", -amount, 0, re.Currency, re.ID, "REFUND FOR CHARGE").ID
	}
	ch := with(old, func(v *Charge) { v.AmountRefunded += amount })
	t.putRefund(re)
	t.putCharge(ch)
	t.emit("charge.refunded", Event{Charge: ch, Previous: map[string]any{
		"amount_refunded": old.AmountRefunded, "refunded": false,
	}})
	t.emit("refund.created", Event{Refund: re})
	return re
}

// move records a movement of the account's balance that is available at once.
func (t *tx) move(kind, category string, amount, fee int64, code, source, description string) *Transaction {
	txn := t.settled(&Transaction{
		ID: t.id("txn"), Type: kind, Category: category, Amount: amount, Fee: fee, Currency: code, Source: source,
		Description: description, AvailableOn: t.second(), Created: t.second(),
	})
	t.putTransaction(txn)
	return txn
}

// settle ends a refund that was under way, in time.
func (t *tx) settle(old *Refund) {
	t.finishRefund(old, old.SettleAs)
}

// finishRefund ends a refund. One that failed or was cancelled gives the money back to the account, and its charge can be
// refunded again.
func (t *tx) finishRefund(old *Refund, status string) *Refund {
	re := with(old, func(v *Refund) { v.Status, v.SettleAt, v.SettleAs = status, 0, "" })
	switch {
	case status == "succeeded" && re.Transaction == "":
		re.Transaction = t.move("refund", "refund", -re.Amount, 0, re.Currency, re.ID, "REFUND FOR CHARGE").ID
	case status != "succeeded":
		if re.Transaction != "" {
			re.FailureTransaction = t.move("refund_failure", "refund_failure", re.Amount, 0, re.Currency, re.ID, "REFUND FAILURE").ID
		}
		t.putCharge(with(t.charge(re.Charge), func(v *Charge) { v.AmountRefunded -= re.Amount }))
	}
	if status == "failed" {
		re.FailureReason = "expired_or_canceled_card"
	}
	t.putRefund(re)
	was := map[string]any{"status": old.Status}
	t.emit("charge.refund.updated", Event{Refund: re, Previous: was})
	t.emit("refund.updated", Event{Refund: re, Previous: was})
	if status == "failed" {
		t.emit("refund.failed", Event{Refund: re, Previous: was})
	}
	return re
}

// updateRefund is POST /v1/refunds/{id}: only metadata may change.
func updateRefund(t *tx, r *request) (any, error) {
	old := t.sim.state.refunds.get(r.id)
	if old == nil {
		return nil, missing("id", "No such refund: '%s'", r.id)
	}
	metadata := r.params.metadata(old.Metadata)
	if err := r.params.done(); err != nil {
		return nil, err
	}
	re := with(old, func(v *Refund) { v.Metadata = metadata })
	t.putRefund(re)
	t.emit("charge.refund.updated", Event{Refund: re})
	return re, nil
}

// cancelRefund is POST /v1/refunds/{id}/cancel, which Stripe allows only for methods that wait for the payee.
func cancelRefund(t *tx, r *request) (any, error) {
	old := t.sim.state.refunds.get(r.id)
	if old == nil {
		return nil, missing("id", "No such refund: '%s'", r.id)
	}
	if err := r.params.done(); err != nil {
		return nil, err
	}
	if old.Status != "requires_action" {
		return nil, refused("", "", "Only a refund with a status of requires_action can be canceled.")
	}
	return t.finishRefund(old, "canceled"), nil
}

// captureCharge is POST /v1/charges/{id}/capture. Every charge here belongs to an intent, which is what must be captured.
func captureCharge(t *tx, r *request) (any, error) {
	ch := t.charge(r.id)
	if ch == nil {
		return nil, missing("id", "No such charge: '%s'", r.id)
	}
	r.params.accept("amount", "statement_descriptor", "statement_descriptor_suffix", "receipt_email")
	if err := r.params.done(); err != nil {
		return nil, err
	}
	switch {
	case ch.Captured:
		return nil, refused("charge_already_captured", "", "Charge %s has already been captured.", ch.ID)
	case ch.AmountRefunded > 0:
		return nil, refused("charge_already_refunded", "", "Charge %s has already been refunded.", ch.ID)
	}
	return nil, refused("", "", "Charge %s belongs to a PaymentIntent: capture %s instead.", ch.ID, ch.Intent)
}

// updateCharge is POST /v1/charges/{id}: metadata and description.
func updateCharge(t *tx, r *request) (any, error) {
	old := t.charge(r.id)
	if old == nil {
		return nil, missing("id", "No such charge: '%s'", r.id)
	}
	metadata := r.params.metadata(old.Metadata)
	description := old.Description
	if r.params.has("description") {
		description = r.params.text("description", maxDescription)
	}
	if err := r.params.done(); err != nil {
		return nil, err
	}
	ch := with(old, func(v *Charge) { v.Metadata, v.Description = metadata, description })
	t.putCharge(ch)
	t.emitCharge("charge.updated", ch)
	return ch, nil
}
