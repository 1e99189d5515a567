package stripesim

import (
	"fmt"
	"net/http"
)

// apiError is an answer in Stripe's error shape. It is an error so that work can be left with it.
type apiError struct {
	status  int
	kind    string // type
	code    string
	decline string
	param   string
	message string
	intent  string // its PaymentIntent is shown inside the error
	charge  string
	keep    bool // what was done before it stands, as with a card's decline
	early   bool // found before the work began: not saved for an idempotency key
}

func (e *apiError) Error() string { return e.kind + ": " + e.message }

// invalid refuses a parameter; the work has not begun.
func invalid(param, code, format string, args ...any) *apiError {
	return &apiError{
		status: http.StatusBadRequest, kind: "invalid_request_error", code: code, param: param,
		message: fmt.Sprintf(format, args...), early: true,
	}
}

// missing says that a parameter or path names nothing we have.
func missing(param, format string, args ...any) *apiError {
	e := invalid(param, "resource_missing", format, args...)
	if param == "intent" || param == "id" {
		e.status = http.StatusNotFound
	}
	return e
}

// refused says that the object's state does not allow the work. Like Stripe's, it is the result of having tried, so a
// repeated key gets it again even if the state has changed.
func refused(code, param, format string, args ...any) *apiError {
	e := invalid(param, code, format, args...)
	e.early = false
	return e
}

// unexpectedState refuses to act on an intent because of its status.
func unexpectedState(pi *Intent, action string) *apiError {
	e := refused("payment_intent_unexpected_state", "",
		"You cannot %s this PaymentIntent because it has a status of %s.", action, pi.Status)
	e.intent = pi.ID
	return e
}

// early is an answer given before any work, with a status of its own.
func early(status int, kind, code, format string, args ...any) *apiError {
	return &apiError{status: status, kind: kind, code: code, message: fmt.Sprintf(format, args...), early: true}
}

// statusError is the answer of a fault, or of a failure of our own.
func statusError(status int, code string) *apiError {
	e := early(status, "api_error", code, "An unknown error occurred; the request may or may not have been carried out.")
	switch {
	case code == "lock_timeout":
		e.kind = "invalid_request_error"
		e.message = "This object cannot be accessed right now because another request is accessing it. Retry later."
	case status == http.StatusTooManyRequests:
		e.kind, e.code = "invalid_request_error", "rate_limit"
		e.message = "Request rate limit exceeded. Please retry later."
	}
	return e
}
