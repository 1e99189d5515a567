package stripesim

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
)

// card is one of the test cards: what the bank says, and what happens to the money later.
type card struct {
	name    string // as in pm_card_{name}
	brand   string
	last4   string
	country string
	decline string // decline code; empty means the bank agrees
	secure  bool   // asks for 3-D Secure when the shopper is there
	refund  string // "" at once, "pending" later, "failed" after having succeeded
	dispute string // reason of a dispute opened as soon as the money is taken
}

// cards lists the test cards. A payment method minted from one carries its place here, so the order only grows.
func cards() []card {
	return []card{
		{name: "visa", brand: "visa", last4: "4242", country: "US"},
		{name: "visa_debit", brand: "visa", last4: "5556", country: "US"},
		{name: "mastercard", brand: "mastercard", last4: "4444", country: "US"},
		{name: "mastercard_debit", brand: "mastercard", last4: "8210", country: "US"},
		{name: "amex", brand: "amex", last4: "8431", country: "US"},
		{name: "discover", brand: "discover", last4: "1117", country: "US"},
		{name: "jcb", brand: "jcb", last4: "0505", country: "JP"},
		{name: "unionpay", brand: "unionpay", last4: "0005", country: "CN"},
		{name: "chargeDeclined", brand: "visa", last4: "0002", country: "US", decline: "generic_decline"},
		{name: "visa_chargeDeclined", brand: "visa", last4: "0002", country: "US", decline: "generic_decline"},
		{name: "chargeDeclinedInsufficientFunds", brand: "visa", last4: "9995", country: "US", decline: "insufficient_funds"},
		{name: "visa_chargeDeclinedInsufficientFunds", brand: "visa", last4: "9995", country: "US", decline: "insufficient_funds"},
		{name: "visa_chargeDeclinedLostCard", brand: "visa", last4: "9987", country: "US", decline: "lost_card"},
		{name: "visa_chargeDeclinedStolenCard", brand: "visa", last4: "9979", country: "US", decline: "stolen_card"},
		{name: "chargeDeclinedExpiredCard", brand: "visa", last4: "0069", country: "US", decline: "expired_card"},
		{name: "chargeDeclinedIncorrectCvc", brand: "visa", last4: "0127", country: "US", decline: "incorrect_cvc"},
		{name: "chargeDeclinedProcessingError", brand: "visa", last4: "0119", country: "US", decline: "processing_error"},
		{name: "chargeDeclinedFraudulent", brand: "visa", last4: "0019", country: "US", decline: "fraudulent"},
		{name: "visa_chargeDeclinedFraudulent", brand: "visa", last4: "0019", country: "US", decline: "fraudulent"},
		{name: "authenticationRequired", brand: "visa", last4: "3184", country: "IE", secure: true},
		{name: "authenticationRequiredOnSetup", brand: "visa", last4: "3155", country: "IE", secure: true},
		{name: "authenticationRequiredChargeDeclinedInsufficientFunds", brand: "visa", last4: "9995", country: "IE", secure: true, decline: "insufficient_funds"},
		{name: "threeDSecureRequired", brand: "visa", last4: "3220", country: "IE", secure: true},
		{name: "threeDSecure2Required", brand: "visa", last4: "3220", country: "IE", secure: true},
		{name: "threeDSecureOptional", brand: "visa", last4: "3055", country: "IE"},
		{name: "pendingRefund", brand: "visa", last4: "7726", country: "US", refund: "pending"},
		{name: "refundFail", brand: "visa", last4: "5126", country: "US", refund: "failed"},
		{name: "createDispute", brand: "visa", last4: "0259", country: "US", dispute: "fraudulent"},
		{name: "createDisputeProductNotReceived", brand: "visa", last4: "2685", country: "US", dispute: "product_not_received"},
		{name: "createDisputeInquiry", brand: "visa", last4: "1976", country: "US", dispute: "product_not_received"},
	}
}

// paymentMethodMark stands before the card's number in the ids we mint, so that a payment method needs no table.
const paymentMethodMark = "pm_1S"

// cardOf finds the card behind a payment method: a test name (pm_card_visa) or an id minted from one.
func cardOf(method string) (c card, named, ok bool) {
	all := cards()
	if name, found := strings.CutPrefix(method, "pm_card_"); found {
		for _, c := range all {
			if c.name == name {
				return c, true, true
			}
		}
		return card{}, true, false
	}
	rest, found := strings.CutPrefix(method, paymentMethodMark)
	if !found || len(rest) != 24 {
		return card{}, false, false
	}
	tens, units := rest[0]-'0', rest[1]-'0'
	if n := int(tens)*10 + int(units); tens <= 9 && units <= 9 && n < len(all) {
		return all[n], false, true
	}
	return card{}, false, false
}

// mintMethod makes an id for a use of the named card, as Stripe makes a payment method of each test name.
func (t *tx) mintMethod(name string) string {
	for n, c := range cards() {
		if c.name == name {
			return fmt.Sprintf("%s%02d%s", paymentMethodMark, n, t.random(22))
		}
	}
	return ""
}

// fingerprint tells a card's number from others, as Stripe's does: whatever name it is used under, one number has one.
func (c card) fingerprint() string {
	sum := sha256.Sum256([]byte(c.brand + " " + c.country + " " + c.last4))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// paymentMethod reads a payment method parameter: a test name becomes a fresh id, an id of ours stays.
func (t *tx) paymentMethod(param, value string) (string, error) {
	c, named, ok := cardOf(value)
	if !ok {
		return "", missing(param, "No such PaymentMethod: '%s'", value)
	}
	if named {
		return t.mintMethod(c.name), nil
	}
	return value, nil
}

// declineMessage is what a shopper may be told.
func declineMessage(code string) string {
	switch code {
	case "insufficient_funds":
		return "Your card has insufficient funds."
	case "expired_card":
		return "Your card has expired."
	case "incorrect_cvc":
		return "Your card's security code is incorrect."
	case "processing_error":
		return "An error occurred while processing your card. Try again in a little bit."
	case "authentication_required":
		return "Your card was declined. This transaction requires authentication."
	}
	return "Your card was declined."
}

// declineCodeOf is the decline code of an error code that a fault names; other words are decline codes themselves.
func declineCodeOf(code string) string {
	if code == "card_declined" {
		return "generic_decline"
	}
	return code
}

// errorCodeOf is the error code that goes with a decline code.
func errorCodeOf(decline string) string {
	switch decline {
	case "expired_card", "incorrect_cvc", "processing_error", "authentication_required":
		return decline
	}
	return "card_declined"
}
