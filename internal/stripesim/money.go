package stripesim

import (
	"math"
	"strconv"
	"strings"
)

// currency is what the account knows of one: how many decimals, and the smallest charge in minor units.
type currency struct {
	decimals int
	minimum  int64
	step     int64 // amounts are multiples of it
}

// currencyOf looks a lower-case code up. Minimums are Stripe's published ones where it publishes one, else roughly
// half a US dollar. Three-decimal currencies take amounts whose last digit is zero, as at Stripe; so do the few that
// Stripe counts with decimals although they have none (isk, ugx).
func currencyOf(code string) (currency, bool) {
	switch code {
	case "usd", "eur", "cad", "aud", "nzd", "sgd", "chf", "brl", "inr":
		return currency{2, 50, 1}, true
	case "gbp":
		return currency{2, 30, 1}, true
	case "aed", "myr", "pln", "ron", "sar", "qar", "ils":
		return currency{2, 200, 1}, true
	case "bgn":
		return currency{2, 100, 1}, true
	case "dkk":
		return currency{2, 250, 1}, true
	case "nok", "sek":
		return currency{2, 300, 1}, true
	case "hkd", "cny":
		return currency{2, 400, 1}, true
	case "mxn", "zar", "thb", "try":
		return currency{2, 1000, 1}, true
	case "czk", "twd":
		return currency{2, 1500, 1}, true
	case "php":
		return currency{2, 3000, 1}, true
	case "huf":
		return currency{2, 17500, 1}, true
	case "idr":
		return currency{2, 800_000, 1}, true
	case "isk":
		return currency{2, 7000, 100}, true
	case "ugx":
		return currency{2, 190_000, 100}, true
	case "jpy":
		return currency{0, 50, 1}, true
	case "krw", "clp":
		return currency{0, 700, 1}, true
	case "vnd":
		return currency{0, 13_000, 1}, true
	case "xaf", "xof":
		return currency{0, 300, 1}, true
	case "xpf":
		return currency{0, 60, 1}, true
	case "pyg":
		return currency{0, 3700, 1}, true
	case "rwf":
		return currency{0, 700, 1}, true
	case "bhd", "jod", "kwd", "omr":
		return currency{3, 200, 10}, true
	case "tnd":
		return currency{3, 1600, 10}, true
	}
	return currency{}, false
}

// feeOf is what the account pays for a captured charge: 2.9 % and a fixed part, which is 30 cents for US dollars and
// in proportion elsewhere. Rounded half up; never more than the amount.
func feeOf(amount int64, code string) int64 {
	c, _ := currencyOf(code)
	return min(amount, (amount*29+500)/1000+fixedFee(c))
}

func fixedFee(c currency) int64 { return c.minimum * 3 / 5 }

// disputeFeeOf is what a dispute costs: 15 US dollars, in proportion elsewhere.
func disputeFeeOf(code string) int64 {
	c, _ := currencyOf(code)
	return 50 * fixedFee(c)
}

// settled converts a movement into the currency of the account's balance, where it has one of its own.
func (t *tx) settled(v *Transaction) *Transaction {
	to := t.sim.cfg.Settle
	if to == "" || to == v.Currency {
		return v
	}
	v.Rate = rateOf(v.Currency, to)
	v.Amount, v.Fee = int64(math.Round(float64(v.Amount)*v.Rate)), int64(math.Round(float64(v.Fee)*v.Rate))
	v.Currency = to
	return v
}

// rateOf is what a minor unit of one currency is worth in another: made up, but always the same.
func rateOf(from, to string) float64 {
	a, _ := currencyOf(from)
	b, _ := currencyOf(to)
	return 1.0837 * float64(b.minimum) / float64(a.minimum)
}

// formatMoney writes an amount for people: grouped digits, the currency's own decimals, the code behind.
func formatMoney(amount int64, code string) string {
	c, _ := currencyOf(code)
	digits := strconv.FormatInt(amount, 10)
	sign := ""
	if amount < 0 {
		sign, digits = "-", digits[1:]
	}
	for len(digits) <= c.decimals {
		digits = "0" + digits
	}
	whole, fraction := digits[:len(digits)-c.decimals], digits[len(digits)-c.decimals:]
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	if fraction != "" {
		b.WriteString("." + fraction)
	}
	return b.String() + " " + strings.ToUpper(code)
}

// checkAmount refuses what Stripe would refuse to charge.
func checkAmount(amount int64, code string) error {
	c, ok := currencyOf(code)
	switch {
	case !ok:
		return invalid("currency", "", "Invalid currency: %s is not supported by this account.", code)
	case amount < 1:
		return invalid("amount", "parameter_invalid_integer", "Invalid positive integer.")
	case amount > maxAmount:
		return invalid("amount", "amount_too_large", "Amount must be no more than %s.", formatMoney(maxAmount, code))
	case amount < c.minimum:
		return invalid("amount", "amount_too_small", "Amount must be at least %s.", formatMoney(c.minimum, code))
	}
	return checkStep("amount", amount, code)
}

// checkStep refuses amounts that a currency's rules cannot express. An unknown currency has been refused before.
func checkStep(param string, amount int64, code string) error {
	if c, ok := currencyOf(code); ok && amount%c.step != 0 {
		return invalid(param, "parameter_invalid_integer", "Amounts in %s must be a multiple of %d.", code, c.step)
	}
	return nil
}
