package stripesim

import (
	"encoding/json"
	"fmt"
)

// object is one JSON object in Stripe's shape.
type object map[string]any

// renderer turns stored versions into what Stripe would send. Its Sim's lock is held while it works.
type renderer struct {
	sim *Sim
	now int64
}

// render shows any result of a route.
func (r renderer) render(v any, e expansion) any {
	switch v := v.(type) {
	case *Intent:
		return r.intent(v, e)
	case *Charge:
		return r.charge(v, e)
	case *Refund:
		return r.refund(v, e)
	case *Transaction:
		return r.transaction(v, e)
	case *Dispute:
		return r.dispute(v, e)
	case *Event:
		return r.event(v)
	case *listing:
		data := make([]any, len(v.data))
		for i := range v.data {
			data[i] = r.render(v.data[i], e)
		}
		out := object{"object": v.kind, "url": v.url, "has_more": v.more, "data": data}
		if v.kind == "search_result" {
			out["next_page"] = orNull(v.next)
		}
		return out
	case object:
		return v
	case nil:
		return nil
	}
	panic(fmt.Sprintf("stripesim: nothing shows a %T", v))
}

// listing is a list or search answer.
type listing struct {
	kind string // list or search_result
	url  string
	data []any
	more bool
	next string
}

// orNull shows an empty string as null.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func orNullTime(at int64) any {
	if at == 0 {
		return nil
	}
	return at
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// reference shows id, or the object behind it if that is asked for.
func reference[T any](id string, field string, e expansion, shelf *shelf[T], show func(*T, expansion) object) any {
	if id == "" {
		return nil
	}
	if inner, ok := e[field]; ok {
		if v := shelf.get(id); v != nil {
			return show(v, inner)
		}
	}
	return id
}

func (r renderer) intent(v *Intent, e expansion) object {
	method := orNull(v.PaymentMethod)
	if _, ok := e["payment_method"]; ok && v.PaymentMethod != "" {
		method = r.wholeMethod(v.PaymentMethod)
	}
	var automatic any
	if v.Automatic != nil {
		automatic = v.Automatic
	}
	return object{
		"id": v.ID, "object": "payment_intent", "amount": v.Amount, "amount_capturable": v.Capturable,
		"amount_details": object{"tip": object{}}, "amount_received": v.Received, "application": nil,
		"application_fee_amount": nil, "automatic_payment_methods": automatic, "canceled_at": orNullTime(v.CanceledAt),
		"cancellation_reason": orNull(v.CancelReason), "capture_method": v.CaptureMethod, "client_secret": v.ClientSecret,
		"confirmation_method": v.Confirmation, "created": v.Created, "currency": v.Currency, "customer": nil,
		"description": orNull(v.Description), "invoice": nil, "last_payment_error": r.cardError(v.LastError),
		"latest_charge": reference(v.LatestCharge, "latest_charge", e, r.sim.state.charges, r.charge),
		"livemode":      false, "metadata": orEmpty(v.Metadata), "next_action": r.nextAction(v), "on_behalf_of": nil,
		"payment_method": method, "payment_method_configuration_details": nil,
		"payment_method_options": object{"card": object{
			"installments": nil, "mandate_options": nil, "network": nil, "request_three_d_secure": "automatic",
		}},
		"payment_method_types": v.MethodTypes, "processing": nil, "receipt_email": orNull(v.ReceiptEmail), "review": nil,
		"setup_future_usage": orNull(v.SetupFutureUsage), "shipping": nil, "source": nil, "statement_descriptor": nil,
		"statement_descriptor_suffix": orNull(v.DescriptorSuffix), "status": v.Status, "transfer_data": nil,
		"transfer_group": orNull(v.TransferGroup),
	}
}

// shopperIntent is what a publishable key may see of an intent.
func (r renderer) shopperIntent(v *Intent) object {
	whole := r.intent(v, nil)
	out := object{}
	for _, field := range []string{
		"id", "object", "amount", "amount_details", "automatic_payment_methods", "canceled_at", "cancellation_reason",
		"capture_method", "client_secret", "confirmation_method", "created", "currency", "description",
		"last_payment_error", "livemode", "next_action", "payment_method", "payment_method_types", "processing",
		"receipt_email", "setup_future_usage", "shipping", "source", "status",
	} {
		out[field] = whole[field]
	}
	return out
}

// nextAction sends the payer to the hosted 3-D Secure page.
func (r renderer) nextAction(v *Intent) any {
	if v.Status != StatusRequiresAction {
		return nil
	}
	return object{"type": "redirect_to_url", "redirect_to_url": object{
		"url": r.sim.securePage(v), "return_url": orNull(v.ReturnURL),
	}}
}

// securePage is the address of an intent's 3-D Secure page.
func (s *Sim) securePage(v *Intent) string {
	return s.cfg.PublicURL + "/3ds/" + v.ID + "?client_secret=" + v.ClientSecret
}

func (r renderer) cardError(v *CardError) any {
	if v == nil {
		return nil
	}
	out := object{"type": "card_error", "code": v.Code, "message": v.Message}
	if v.Code == "payment_intent_authentication_failure" {
		out["type"] = "invalid_request_error"
	}
	if v.DeclineCode != "" {
		out["decline_code"] = v.DeclineCode
	}
	if v.Charge != "" {
		out["charge"] = v.Charge
	}
	if v.PaymentMethod != "" {
		out["payment_method"] = r.paymentMethod(v.PaymentMethod)
	}
	return out
}

// methodCreated is when every payment method was made: events must read the same whenever they are shown.
const methodCreated = 1_700_000_000

// paymentMethod shows the card behind an id.
func (r renderer) paymentMethod(id string) object {
	c, _, _ := cardOf(id)
	return object{
		"id": id, "object": "payment_method", "type": "card", "livemode": false, "customer": nil, "metadata": object{},
		"billing_details": blankDetails(), "created": methodCreated,
		"card": object{
			"brand": c.brand, "last4": c.last4, "country": c.country, "exp_month": 12, "exp_year": 2034,
			"funding": "credit", "three_d_secure_usage": object{"supported": true},
		},
	}
}

// wholeMethod is a payment method as the secret key may see it: errors, which shoppers see too, show no fingerprint.
func (r renderer) wholeMethod(id string) object {
	c, _, _ := cardOf(id)
	out := r.paymentMethod(id)
	out["card"].(object)["fingerprint"] = c.fingerprint()
	return out
}

func blankDetails() object {
	return object{
		"address": object{"city": nil, "country": nil, "line1": nil, "line2": nil, "postal_code": nil, "state": nil},
		"email":   nil, "name": nil, "phone": nil,
	}
}

func (r renderer) charge(v *Charge, e expansion) object {
	c, _, _ := cardOf(v.PaymentMethod)
	out := object{
		"id": v.ID, "object": "charge", "amount": v.Amount, "amount_captured": v.AmountCaptured,
		"amount_refunded": v.AmountRefunded, "application": nil, "application_fee": nil, "application_fee_amount": nil,
		"balance_transaction": reference(v.Transaction, "balance_transaction", e, r.sim.state.transactions, r.transaction),
		"billing_details":     blankDetails(), "calculated_statement_descriptor": nil, "captured": v.Captured,
		"created": v.Created, "currency": v.Currency, "customer": nil, "description": orNull(v.Description),
		"disputed": v.Disputed, "failure_balance_transaction": nil, "failure_code": orNull(v.FailureCode),
		"failure_message": orNull(v.FailureMessage), "fraud_details": object{}, "invoice": nil, "livemode": false,
		"metadata": orEmpty(v.Metadata), "on_behalf_of": nil, "outcome": outcome(v), "paid": v.Status == "succeeded",
		"payment_intent": reference(v.Intent, "payment_intent", e, r.sim.state.intents, r.intent),
		"payment_method": v.PaymentMethod,
		"payment_method_details": object{"type": "card", "card": object{
			"amount_authorized": v.Amount, "brand": c.brand, "capture_before": orNullTime(v.CaptureBefore),
			"country": c.country, "exp_month": 12, "exp_year": 2034, "fingerprint": c.fingerprint(), "funding": "credit",
			"last4":   c.last4,
			"network": c.brand, "three_d_secure": nil, "wallet": nil,
		}},
		"receipt_email": orNull(v.ReceiptEmail), "receipt_number": nil, "receipt_url": nil,
		"refunded": v.AmountRefunded == v.Amount && v.Status == "succeeded", "review": nil, "shipping": nil,
		"source": nil, "source_transfer": nil, "statement_descriptor": nil, "statement_descriptor_suffix": nil,
		"status": v.Status, "transfer_data": nil, "transfer_group": nil,
	}
	if inner, ok := e["refunds"]; ok {
		out["refunds"] = r.refundsOf(v, inner["data"])
	}
	return out
}

// refundsOf is a charge's newest refunds, as many as fit a page.
func (r renderer) refundsOf(v *Charge, e expansion) object {
	p := page{limit: defaultPageSize, parent: v.ID}
	found, more, _ := r.sim.state.refunds.list(p, func(*Refund) bool { return true })
	data := make([]any, len(found))
	for i := range found {
		data[i] = r.refund(found[i], e)
	}
	return object{"object": "list", "url": "/v1/charges/" + v.ID + "/refunds", "has_more": more, "data": data}
}

func outcome(v *Charge) object {
	if v.Status == "succeeded" {
		return object{"network_status": "approved_by_network", "reason": nil, "risk_level": "normal",
			"seller_message": "Payment complete.", "type": "authorized"}
	}
	return object{"network_status": "declined_by_network", "reason": v.DeclineCode, "risk_level": "normal",
		"seller_message": "The bank did not agree.", "type": "issuer_declined"}
}

func (r renderer) refund(v *Refund, e expansion) object {
	out := object{
		"id": v.ID, "object": "refund", "amount": v.Amount,
		"balance_transaction": reference(v.Transaction, "balance_transaction", e, r.sim.state.transactions, r.transaction),
		"charge":              reference(v.Charge, "charge", e, r.sim.state.charges, r.charge), "created": v.Created,
		"currency": v.Currency, "destination_details": object{"type": "card", "card": object{"type": "refund"}},
		"metadata": orEmpty(v.Metadata), "reason": orNull(v.Reason), "receipt_number": nil, "status": v.Status,
		"payment_intent":           reference(v.Intent, "payment_intent", e, r.sim.state.intents, r.intent),
		"source_transfer_reversal": nil, "transfer_reversal": nil,
	}
	if v.FailureReason != "" {
		out["failure_reason"] = v.FailureReason
		out["failure_balance_transaction"] = reference(v.FailureTransaction, "failure_balance_transaction", e,
			r.sim.state.transactions, r.transaction)
	}
	return out
}

func (r renderer) transaction(v *Transaction, e expansion) object {
	fees := []any{}
	if v.Fee != 0 {
		fees = append(fees, object{"amount": v.Fee, "application": nil, "currency": v.Currency,
			"description": "Stripe processing fees", "type": "stripe_fee"})
	}
	status := "available"
	if v.AvailableOn > r.now {
		status = "pending"
	}
	var rate any
	if v.Rate != 0 {
		rate = v.Rate
	}
	return object{
		"id": v.ID, "object": "balance_transaction", "amount": v.Amount, "available_on": v.AvailableOn,
		"created": v.Created, "currency": v.Currency, "description": orNull(v.Description), "exchange_rate": rate,
		"fee": v.Fee, "fee_details": fees, "net": v.Amount - v.Fee, "reporting_category": v.Category,
		"source": r.source(v.Source, e), "status": status, "type": v.Type,
	}
}

// source shows what a balance transaction came from.
func (r renderer) source(id string, e expansion) any {
	inner, ok := e["source"]
	if !ok {
		return id
	}
	st := r.sim.state
	if v := st.charges.get(id); v != nil {
		return r.charge(v, inner)
	}
	if v := st.refunds.get(id); v != nil {
		return r.refund(v, inner)
	}
	if v := st.disputes.get(id); v != nil {
		return r.dispute(v, inner)
	}
	return id
}

func (r renderer) dispute(v *Dispute, e expansion) object {
	transactions := []any{}
	for _, id := range v.Transactions {
		if txn := r.sim.state.transactions.get(id); txn != nil {
			transactions = append(transactions, r.transaction(txn, nil))
		}
	}
	return object{
		"id": v.ID, "object": "dispute", "amount": v.Amount, "balance_transactions": transactions,
		"charge": reference(v.Charge, "charge", e, r.sim.state.charges, r.charge), "created": v.Created,
		"currency": v.Currency, "evidence": object{"uncategorized_text": orNull(v.Evidence)},
		"evidence_details": object{"due_by": v.DueBy, "has_evidence": v.Evidence != "", "past_due": v.Status == "needs_response" && v.DueBy < r.now,
			"submission_count": v.Submissions},
		"is_charge_refundable": false, "livemode": false, "metadata": orEmpty(v.Metadata),
		"payment_intent": reference(v.Intent, "payment_intent", e, r.sim.state.intents, r.intent),
		"reason":         v.Reason, "status": v.Status,
	}
}

// event shows an event with the object as it was then, at our version whatever the caller asks for.
func (r renderer) event(v *Event) object { return r.eventAt(v, APIVersion) }

// eventAt shows an event under the name of another version, as an endpoint gets it that is pinned to that one.
func (r renderer) eventAt(v *Event, version string) object {
	var about object
	switch {
	case v.Intent != nil:
		about = r.intent(v.Intent, nil)
	case v.Charge != nil:
		about = r.charge(v.Charge, nil)
	case v.Refund != nil:
		about = r.refund(v.Refund, nil)
	case v.Dispute != nil:
		about = r.dispute(v.Dispute, nil)
	}
	data := object{"object": about}
	if v.Previous != nil {
		data["previous_attributes"] = v.Previous
	}
	pending := 0
	if v.Pending {
		pending = 1
	}
	return object{
		"id": v.ID, "object": "event", "api_version": version, "created": v.Created, "data": data, "livemode": false,
		"pending_webhooks": pending, "request": object{"id": orNull(v.Request), "idempotency_key": orNull(v.Key)},
		"type": v.Type,
	}
}

// problem is an error in Stripe's shape.
func (r renderer) problem(e *apiError, request string) object {
	body := object{"type": e.kind, "message": e.message, "request_log_url": r.sim.cfg.PublicURL + "/logs/" + request}
	for field, value := range map[string]string{
		"code": e.code, "decline_code": e.decline, "param": e.param, "charge": e.charge,
	} {
		if value != "" {
			body[field] = value
		}
	}
	if e.code != "" {
		body["doc_url"] = "https://stripe.com/docs/error-codes/" + e.code
	}
	if pi := r.sim.state.intents.get(e.intent); pi != nil {
		body["payment_intent"] = r.intent(pi, nil)
		if pi.LastError != nil && e.kind == "card_error" && pi.LastError.PaymentMethod != "" {
			body["payment_method"] = r.paymentMethod(pi.LastError.PaymentMethod)
		}
	}
	return object{"error": body}
}

// encode writes a value as an answer's body.
func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("stripesim: " + err.Error()) // every shown value is made of strings, numbers and maps of them
	}
	return raw
}
