package sale

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Money is an amount in the minor units of a currency: {1250, "EUR"} is 12.50 euros, {1250, "JPY"} is 1250 yen.
type Money struct {
	Minor    int64
	Currency string // ISO 4217, three upper-case letters
}

// decimals lists the currencies whose minor unit is not a hundredth (ISO 4217, list one, 2024).
func decimals(currency string) int {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	}
	return 2
}

// Decimals is how many digits follow the decimal point in a currency's amounts: 0, 2 or 3.
func Decimals(currency string) int { return decimals(currency) }

// CheckCurrency says whether a code has the form of ISO 4217: three upper-case letters.
func CheckCurrency(code string) error {
	if len(code) != 3 {
		return errors.New("expected three upper-case letters (ISO 4217)")
	}
	for i := range 3 {
		if code[i] < 'A' || code[i] > 'Z' {
			return errors.New("expected three upper-case letters (ISO 4217)")
		}
	}
	return nil
}

// String writes the amount as a decimal with exactly the currency's decimals: "12.50", "1250", "-0.005".
func (m Money) String() string {
	d := decimals(m.Currency)
	if d == 0 {
		return strconv.FormatInt(m.Minor, 10)
	}
	sign := ""
	v := uint64(m.Minor)
	if m.Minor < 0 {
		sign, v = "-", -v
	}
	s := strconv.FormatUint(v, 10)
	if len(s) <= d {
		s = strings.Repeat("0", d+1-len(s)) + s
	}
	return sign + s[:len(s)-d] + "." + s[len(s)-d:]
}

// ParseMoney reads a non-negative decimal with exactly the currency's decimals. "12.5" is not an amount in euros.
func ParseMoney(s, currency string) (Money, error) {
	d := decimals(currency)
	want := fmt.Errorf("expected an amount in %s with exactly %d decimals", currency, d)
	whole, frac, dot := strings.Cut(s, ".")
	if dot != (d > 0) || len(frac) != d || whole == "" || len(whole) > 15 || (len(whole) > 1 && whole[0] == '0') {
		return Money{}, want
	}
	for _, c := range whole + frac {
		if c < '0' || c > '9' {
			return Money{}, want
		}
	}
	v, err := strconv.ParseInt(whole+frac, 10, 64)
	if err != nil {
		return Money{}, want
	}
	return Money{v, currency}, nil
}

// Price is what one ticket of a type costs, frozen into a booking's line when it is held.
type Price struct {
	Ticket   int64  // minor units, per ticket
	Fee      int64  // minor units, per ticket
	TaxRate  uint32 // millionths: 200000 is 20 %
	Included bool   // the ticket price and fee already contain the tax
}

// Line is the arithmetic of one line: what quantity tickets at a price cost, in minor units.
type Line struct {
	Tickets  int64
	Fees     int64
	Discount int64
	Tax      int64
	Total    int64
}

// LineOf computes a line. Tax is rounded half up, once per line: on top of (tickets + fees − discount), or as the part
// of it when included. Within the limits of this package no product overflows.
func LineOf(p Price, quantity int64, discount int64) Line {
	l := Line{Tickets: p.Ticket * quantity, Fees: p.Fee * quantity, Discount: discount}
	base := l.Tickets + l.Fees - discount
	rate := int64(p.TaxRate)
	if p.Included {
		net := divRound(base*1_000_000, 1_000_000+rate)
		l.Tax, l.Total = base-net, base
		return l
	}
	l.Tax = divRound(base*rate, 1_000_000)
	l.Total = base + l.Tax
	return l
}

func divRound(a, b int64) int64 { return (a + b/2) / b }
