package stripesim

import "time"

// The objects below are what the journal keeps: one version each, never changed once published; a change is a copy.
// Amounts are minor units of Currency (lower case ISO 4217), times are unix seconds.

// Statuses of an Intent.
const (
	StatusRequiresPaymentMethod = "requires_payment_method"
	StatusRequiresConfirmation  = "requires_confirmation"
	StatusRequiresAction        = "requires_action"
	StatusRequiresCapture       = "requires_capture"
	StatusSucceeded             = "succeeded"
	StatusCanceled              = "canceled"
)

// Intent is a PaymentIntent.
type Intent struct {
	ID               string            `json:"id"`
	Amount           int64             `json:"amount"`
	Capturable       int64             `json:"capturable,omitempty"`
	Received         int64             `json:"received,omitempty"`
	Currency         string            `json:"currency"`
	Status           string            `json:"status"`
	ClientSecret     string            `json:"secret"`
	CaptureMethod    string            `json:"capture_method"`
	Confirmation     string            `json:"confirmation_method"`
	MethodTypes      []string          `json:"types"`
	Automatic        *Automatic        `json:"automatic,omitempty"`
	PaymentMethod    string            `json:"pm,omitempty"`
	ReturnURL        string            `json:"return_url,omitempty"`
	LatestCharge     string            `json:"charge,omitempty"`
	LastError        *CardError        `json:"last_error,omitempty"`
	Metadata         map[string]string `json:"metadata,omitempty"`
	Description      string            `json:"description,omitempty"`
	ReceiptEmail     string            `json:"email,omitempty"`
	DescriptorSuffix string            `json:"suffix,omitempty"`
	TransferGroup    string            `json:"transfer_group,omitempty"`
	SetupFutureUsage string            `json:"setup_future_usage,omitempty"`
	CanceledAt       int64             `json:"canceled_at,omitempty"`
	CancelReason     string            `json:"cancel_reason,omitempty"`
	Created          int64             `json:"created"`
}

// Automatic is an intent's automatic_payment_methods.
type Automatic struct {
	Enabled        bool   `json:"enabled"`
	AllowRedirects string `json:"allow_redirects"`
}

// CardError is why the last attempt on an intent failed.
type CardError struct {
	Code          string `json:"code"`
	DeclineCode   string `json:"decline_code,omitempty"`
	Message       string `json:"message"`
	Charge        string `json:"charge,omitempty"`
	PaymentMethod string `json:"pm,omitempty"`
}

// Charge is one attempt to authorise a card. Captured and Refunded amounts are within Amount; what was authorised and
// released counts as refunded, as it does at Stripe.
type Charge struct {
	ID             string            `json:"id"`
	Intent         string            `json:"intent"`
	Amount         int64             `json:"amount"`
	AmountCaptured int64             `json:"captured_amount,omitempty"`
	AmountRefunded int64             `json:"refunded_amount,omitempty"`
	Currency       string            `json:"currency"`
	Status         string            `json:"status"` // succeeded or failed
	Captured       bool              `json:"captured,omitempty"`
	Disputed       bool              `json:"disputed,omitempty"`
	PaymentMethod  string            `json:"pm"`
	Transaction    string            `json:"txn,omitempty"`
	FailureCode    string            `json:"failure_code,omitempty"`
	FailureMessage string            `json:"failure_message,omitempty"`
	DeclineCode    string            `json:"decline_code,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	Description    string            `json:"description,omitempty"`
	ReceiptEmail   string            `json:"email,omitempty"`
	CaptureBefore  int64             `json:"capture_before,omitempty"`
	Created        int64             `json:"created"`
}

// Refund gives money of a charge back. One without Transaction released an authorisation: no money moved.
type Refund struct {
	ID                 string            `json:"id"`
	Charge             string            `json:"charge"`
	Intent             string            `json:"intent"`
	Amount             int64             `json:"amount"`
	Currency           string            `json:"currency"`
	Status             string            `json:"status"` // pending, requires_action, succeeded, failed, canceled
	Reason             string            `json:"reason,omitempty"`
	FailureReason      string            `json:"failure_reason,omitempty"`
	Transaction        string            `json:"txn,omitempty"`
	FailureTransaction string            `json:"failure_txn,omitempty"`
	Metadata           map[string]string `json:"metadata,omitempty"`
	SettleAt           int64             `json:"settle_at,omitempty"` // unix milliseconds; 0 when settled
	SettleAs           string            `json:"settle_as,omitempty"`
	Created            int64             `json:"created"`
}

// Transaction is a BalanceTransaction: Net = Amount - Fee moves the account's balance.
type Transaction struct {
	ID          string  `json:"id"`
	Type        string  `json:"type"`     // charge, refund, refund_failure, adjustment
	Category    string  `json:"category"` // reporting category
	Amount      int64   `json:"amount"`
	Fee         int64   `json:"fee,omitempty"`
	Currency    string  `json:"currency"`
	Rate        float64 `json:"rate,omitempty"` // by which the amount was converted; 0 if it was not
	Source      string  `json:"source"`
	Description string  `json:"description,omitempty"`
	AvailableOn int64   `json:"available_on"`
	Created     int64   `json:"created"`
}

// Dispute is a cardholder's complaint about a charge.
type Dispute struct {
	ID           string            `json:"id"`
	Charge       string            `json:"charge"`
	Intent       string            `json:"intent"`
	Amount       int64             `json:"amount"`
	Currency     string            `json:"currency"`
	Reason       string            `json:"reason"`
	Status       string            `json:"status"` // needs_response, under_review, won, lost
	Evidence     string            `json:"evidence,omitempty"`
	Submissions  int64             `json:"submissions,omitempty"`
	DueBy        int64             `json:"due_by"`
	Transactions []string          `json:"txns,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Created      int64             `json:"created"`
}

// Event says that an object changed and holds the object as it then was. Exactly one of the pointers is set.
type Event struct {
	ID       string         `json:"id"`
	Type     string         `json:"type"`
	Created  int64          `json:"created"`
	Request  string         `json:"request,omitempty"`
	Key      string         `json:"key,omitempty"`
	Pending  bool           `json:"pending,omitempty"` // its webhook is neither delivered nor given up
	Previous map[string]any `json:"previous,omitempty"`
	Intent   *Intent        `json:"pi,omitempty"`
	Charge   *Charge        `json:"ch,omitempty"`
	Refund   *Refund        `json:"re,omitempty"`
	Dispute  *Dispute       `json:"dp,omitempty"`
}

// subject is the id of the object the event is about.
func (e *Event) subject() string {
	switch {
	case e.Intent != nil:
		return e.Intent.ID
	case e.Charge != nil:
		return e.Charge.ID
	case e.Refund != nil:
		return e.Refund.ID
	case e.Dispute != nil:
		return e.Dispute.ID
	}
	return ""
}

// Plan is a change that will come by itself, whoever restarts meanwhile.
type Plan struct {
	ID     string        `json:"id"`
	At     int64         `json:"at"` // unix milliseconds
	Do     string        `json:"do"` // see the constants in plans.go
	Object string        `json:"object"`
	Reason string        `json:"reason,omitempty"`
	Amount int64         `json:"amount,omitempty"`
	Then   string        `json:"then,omitempty"`  // what follows it
	After  time.Duration `json:"after,omitempty"` // from this change to that
}

// savedAnswer is what a repeated idempotency key gets for 24 hours.
type savedAnswer struct {
	Key     string `json:"key"`
	Print   string `json:"print"` // hash of method, path and parameters
	Request string `json:"request"`
	Status  int    `json:"status"`
	Body    string `json:"body"`
	Created int64  `json:"created"`
}

// with returns a copy of v changed by f; the published version stays as it is.
func with[T any](v *T, f func(*T)) *T {
	next := *v
	f(&next)
	return &next
}
