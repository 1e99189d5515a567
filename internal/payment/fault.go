package payment

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/stripe/stripe-go/v76"
)

// Fault says what may be known of a call that failed, and so what to do next.
type Fault uint8

const (
	// FaultBusy: refused unlooked at (429, a lock, a key in use). Ask again with the same key.
	FaultBusy Fault = iota
	// FaultUnknown: it may have been done or not (timeout, connection lost). Ask again with the same key.
	FaultUnknown
	// FaultStored: the provider failed (5xx) and answers the same to the same key from now on. Look whether it was
	// done; if not, ask again with another key.
	FaultStored
	// FaultState: the object is in a state in which this cannot be done. Look at it and decide.
	FaultState
	// FaultDefinite: it was not done and never will be (declined, invalid, unknown object).
	FaultDefinite
)

// String is the fault's name in metrics and errors.
func (f Fault) String() string {
	return [...]string{"busy", "unknown", "stored", "state", "definite"}[min(f, FaultDefinite)]
}

// CallError is a failed call to the provider. It names codes and the provider's request id, never a message or body:
// those may hold a client secret.
type CallError struct {
	Fault    Fault
	Endpoint string
	Status   int    // HTTP; 0 if there was no answer
	Code     string // the provider's code, or what happened to the connection
	Request  string // the provider's request id
	Intent   Intent // as the provider showed it with the error; its ID is empty if it did not
}

// Error says what failed and how.
func (e *CallError) Error() string {
	s := "payment: " + e.Endpoint + ": " + e.Fault.String()
	if e.Status != 0 {
		s += " (status " + strconv.Itoa(e.Status) + ")"
	}
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Request != "" {
		s += " [" + e.Request + "]"
	}
	return s
}

// Is makes everything that may pass by itself an ErrUnavailable.
func (e *CallError) Is(target error) bool {
	return target == ErrUnavailable && (e.Fault == FaultBusy || e.Fault == FaultUnknown || e.Fault == FaultStored)
}

// FaultOf returns the fault of an error. What is no CallError happened on our side before the call: FaultBusy.
func FaultOf(err error) Fault {
	var e *CallError
	if errors.As(err, &e) {
		return e.Fault
	}
	return FaultBusy
}

// classify turns an error of stripe-go into a CallError.
func classify(endpoint string, err error) error {
	if err == nil {
		return nil
	}
	e := &CallError{Fault: FaultUnknown, Endpoint: endpoint}
	var s *stripe.Error
	if !errors.As(err, &s) {
		e.Code = connectionCode(err)
		return e
	}
	e.Status, e.Code, e.Request = s.HTTPStatusCode, string(s.Code), s.RequestID
	if s.DeclineCode != "" {
		e.Code = string(s.DeclineCode)
	}
	if e.Code == "" {
		e.Code = string(s.Type)
	}
	if s.PaymentIntent != nil {
		e.Intent = intentOf(s.PaymentIntent)
	}
	e.Fault = faultOf(s)
	return e
}

// faultOf is the one table of what Stripe's answers mean.
func faultOf(s *stripe.Error) Fault {
	switch {
	case s.HTTPStatusCode == http.StatusTooManyRequests, s.Code == stripe.ErrorCodeLockTimeout,
		s.Code == stripe.ErrorCodeIdempotencyKeyInUse, s.HTTPStatusCode == http.StatusServiceUnavailable:
		return FaultBusy
	case s.HTTPStatusCode == http.StatusConflict:
		return FaultBusy
	case s.HTTPStatusCode >= 500:
		return FaultStored
	case s.Code == stripe.ErrorCodePaymentIntentUnexpectedState, s.Code == stripe.ErrorCodeChargeAlreadyCaptured,
		s.Code == stripe.ErrorCodeChargeExpiredForCapture, s.Code == stripe.ErrorCodeCaptureChargeAuthorizationExpired,
		s.Code == stripe.ErrorCodeChargeAlreadyRefunded:
		return FaultState
	case s.HTTPStatusCode == http.StatusUnauthorized, s.HTTPStatusCode == http.StatusForbidden:
		return FaultBusy // our key, not the deed: an operator will mend it
	case s.HTTPStatusCode >= 400:
		return FaultDefinite
	}
	return FaultUnknown
}

// connectionCode says what happened to a connection without repeating what was sent over it.
func connectionCode(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &op):
		return "connection " + op.Op + " failed"
	}
	return "no answer that could be read"
}
