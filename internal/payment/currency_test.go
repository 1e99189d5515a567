package payment

import "testing"

func TestCheckAmount_NamesWhatACardCannotBeChargedFor(t *testing.T) {
	for _, c := range []struct {
		total    int64
		currency string
		ok       bool
	}{
		{0, "EUR", true}, {49, "EUR", false}, {50, "EUR", true}, {12_999, "VND", false}, {13_000, "VND", true}, {49, "JPY", false},
		{12_505, "KWD", false}, {12_500, "KWD", true}, {69, "ISK", false}, {70, "ISK", true}, {999_999, "ISK", true}, {1_000_000, "ISK", false},
		{MaxAmount, "USD", true}, {MaxAmount + 1, "USD", false},
	} {
		if err := CheckAmount(c.total, c.currency); (err == nil) != c.ok {
			t.Errorf("%d %s: %v", c.total, c.currency, err)
		}
	}
}

func TestProviderAmounts_GoThereAndBack(t *testing.T) {
	for _, currency := range []string{"EUR", "isk", "UGX", "JPY", "KWD"} {
		for _, minor := range []int64{-7, 0, 1, 12_345} {
			if got := fromProvider(ToProvider(minor, currency), currency); got != minor {
				t.Errorf("%d %s came back as %d", minor, currency, got)
			}
		}
	}
	if fromProvider(101, "ISK") != 2 {
		t.Error("a part of a minor unit was lost")
	}
}
