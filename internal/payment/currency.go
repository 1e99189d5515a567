package payment

import (
	"fmt"
	"strings"

	"fairgate/internal/sale"
)

// factor is what our minor units are multiplied by for the provider, which counts a few currencies that have no decimals
// (ISO 4217) in hundredths all the same.
func factor(currency string) int64 {
	switch strings.ToUpper(currency) {
	case "ISK", "UGX":
		return 100
	}
	return 1
}

// ToProvider turns minor units into what the provider calls an amount.
func ToProvider(minor int64, currency string) int64 { return minor * factor(currency) }

// fromProvider is the way back. A part of a minor unit, which only the provider's fees can have, is rounded up.
func fromProvider(amount int64, currency string) int64 {
	f := factor(currency)
	if amount < 0 {
		return amount / f
	}
	return (amount + f - 1) / f
}

// MaxAmount is the largest charge that the provider takes, in its own units.
const MaxAmount = 99_999_999

// minimum is the smallest charge that the provider takes, in minor units: the published minimums, and for other
// currencies the like of half a US dollar.
func minimum(currency string) int64 {
	switch currency {
	case "GBP":
		return 30
	case "JPY":
		return 50
	case "AED", "MYR", "PLN", "RON", "SAR", "QAR", "ILS", "BHD", "JOD", "KWD", "OMR":
		return 200
	case "BGN":
		return 100
	case "DKK":
		return 250
	case "NOK", "SEK":
		return 300
	case "HKD", "CNY":
		return 400
	case "MXN", "ZAR", "THB", "TRY":
		return 1000
	case "CZK", "TWD":
		return 1500
	case "PHP":
		return 3000
	case "HUF":
		return 17_500
	case "IDR":
		return 800_000
	case "ISK":
		return 70
	case "UGX":
		return 1900
	case "KRW", "CLP", "RWF":
		return 700
	case "VND":
		return 13_000
	case "XAF", "XOF":
		return 300
	case "XPF":
		return 60
	case "PYG":
		return 3700
	case "TND":
		return 1600
	}
	return 50
}

// CheckAmount says whether the provider can charge a total (minor units). Zero is fine: it needs no provider. Currencies
// with three decimals are charged in steps of ten.
func CheckAmount(total int64, currency string) error {
	least := minimum(currency)
	switch {
	case total == 0:
		return nil
	case total < least:
		return fmt.Errorf("nothing, or at least %s %s in all: the payment provider charges no less",
			sale.Money{Minor: least, Currency: currency}, currency)
	case ToProvider(total, currency) > MaxAmount:
		return fmt.Errorf("at most %s %s in all: the payment provider charges no more",
			sale.Money{Minor: MaxAmount / factor(currency), Currency: currency}, currency)
	case sale.Decimals(currency) == 3 && total%10 != 0:
		return fmt.Errorf("a total in %s that ends in 0: the payment provider charges in steps of ten", currency)
	}
	return nil
}
