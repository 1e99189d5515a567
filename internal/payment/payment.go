// Package payment takes money for bookings: the payment state machine and the ledger's postings as pure code, the
// Stripe client with its budget, and the service that booking and the workers share. It may touch Postgres through
// internal/store, append to the log `orders` through internal/eventlog, and call Stripe; it listens on nothing.
//
// The order of things is authorise while the hold lives, confirm in the log, capture. Everything that Stripe is asked
// to do carries an idempotency key that a crash does not lose, so a step cut short anywhere is done again, not twice.
package payment

import (
	"errors"
	"slices"
	"strconv"

	"fairgate/internal/sale"
)

// State is a status of a payment or of one of its attempts, as the tables payments and payment_attempts spell it.
type State string

// States. Creating and Open are an attempt's, Started, PartlyRefunded and Refunded a payment's; the others both's.
const (
	Started        State = "started"
	Creating       State = "creating" // the row exists, the provider has not answered yet
	Open           State = "open"     // the fan may pay
	Authorised     State = "authorised"
	Confirmed      State = "confirmed" // in the log: the tickets are the fan's, the money is due
	Captured       State = "captured"
	Voided         State = "voided"
	Failed         State = "failed"
	PartlyRefunded State = "partly_refunded"
	Refunded       State = "refunded"
)

// MaxFailures is after how many declined cards an attempt is cancelled for good: more look like card testing.
const MaxFailures = 5

// Errors that callers of Service tell apart with errors.Is.
var (
	// ErrAmount: the amount or currency is not the payment's.
	ErrAmount = errors.New("payment: amount or currency differs from the payment's")
	// ErrForeign: the booking's payment belongs to another user or event.
	ErrForeign = errors.New("payment: belongs to another user or event")
	// ErrEnded: the payment was voided or failed for good, or its booking can no longer be paid.
	ErrEnded = errors.New("payment: can no longer be paid")
	// ErrUnknownEvent: there is no such event.
	ErrUnknownEvent = errors.New("payment: unknown event")
	// ErrUnavailable: the provider or its budget gives no answer now; ask again, nothing is lost.
	ErrUnavailable = errors.New("payment: provider unavailable")
)

// attemptSteps lists, for each state of an attempt, the states it may move to. There is no way back: what is seen late
// (a webhook, an answer, an outcome) changes nothing.
func attemptSteps(from State) []State {
	switch from {
	case Creating:
		return []State{Open, Authorised, Confirmed, Captured, Voided, Failed}
	case Open:
		return []State{Authorised, Confirmed, Captured, Voided, Failed}
	case Authorised:
		return []State{Confirmed, Captured, Voided, Failed}
	case Confirmed:
		return []State{Captured, Voided, Failed}
	case Voided, Failed:
		return []State{Captured} // the provider took the money after all: only a refund helps now
	}
	return nil // captured
}

// paymentSteps lists, for each state of a payment, the states it may move to. The ways back to Started belong to a
// payment that another attempt may still pay: its authorisation was refused, or could not be captured.
func paymentSteps(from State) []State {
	switch from {
	case Started:
		return []State{Authorised, Confirmed, Captured, Voided, Failed}
	case Authorised:
		return []State{Started, Confirmed, Captured, Voided, Failed}
	case Confirmed:
		return []State{Started, Captured, Voided, Failed}
	case Captured:
		return []State{PartlyRefunded, Refunded}
	case PartlyRefunded:
		return []State{Refunded}
	case Voided, Failed:
		return []State{Captured} // the provider took the money after all: only a refund helps now
	}
	return nil // refunded
}

// AttemptMay reports whether an attempt may move from one state to another.
func AttemptMay(from, to State) bool { return slices.Contains(attemptSteps(from), to) }

// PaymentMay reports whether a payment may move from one state to another.
func PaymentMay(from, to State) bool { return slices.Contains(paymentSteps(from), to) }

// AttemptStates are the states of an attempt.
func AttemptStates() []State {
	return []State{Creating, Open, Authorised, Confirmed, Captured, Voided, Failed}
}

// PaymentStates are the states of a payment.
func PaymentStates() []State {
	return []State{Started, Authorised, Confirmed, Captured, Voided, Failed, PartlyRefunded, Refunded}
}

// AttemptBefore lists the states from which an attempt may move to a state: the condition of the UPDATE that moves it.
func AttemptBefore(to State) []string { return before(AttemptStates(), to, AttemptMay) }

// PaymentBefore lists the states from which a payment may move to a state.
func PaymentBefore(to State) []string { return before(PaymentStates(), to, PaymentMay) }

func before(all []State, to State, may func(from, to State) bool) []string {
	from := []string{}
	for _, s := range all {
		if may(s, to) {
			from = append(from, string(s))
		}
	}
	return from
}

// Live reports whether an attempt in this state is the one that the booking is being paid by.
func Live(attempt State) bool {
	return attempt == Creating || attempt == Open || attempt == Authorised || attempt == Confirmed
}

// Key is the idempotency key of one try of an obligation at the provider. The same key after a timeout is the same
// deed; a new deed needs a new try.
func Key(kind, cause string, try int) string { return kind + "/" + cause + ":" + strconv.Itoa(try) }

// AttemptKey is the idempotency key under which an attempt's PaymentIntent is made. An attempt has one try: after a
// stored failure another attempt follows, with an id of its own.
func AttemptKey(attempt sale.UUID) string { return "attempt/" + attempt.String() + ":1" }
