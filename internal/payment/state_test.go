package payment

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/sale"
)

// The whole of both tables, written once more by hand.
func TestState_OnlyTheListedStepsExist(t *testing.T) {
	attempts := map[State]string{
		Creating: "open authorised confirmed captured voided failed", Open: "authorised confirmed captured voided failed",
		Authorised: "confirmed captured voided failed", Confirmed: "captured voided failed", Voided: "captured", Failed: "captured",
	}
	payments := map[State]string{
		Started: "authorised confirmed captured voided failed", Authorised: "started confirmed captured voided failed",
		Confirmed: "started captured voided failed", Captured: "partly_refunded refunded", PartlyRefunded: "refunded",
		Voided: "captured", Failed: "captured",
	}
	for _, c := range []struct {
		name  string
		all   []State
		may   func(State, State) bool
		steps map[State]string
	}{{"attempt", AttemptStates(), AttemptMay, attempts}, {"payment", PaymentStates(), PaymentMay, payments}} {
		for _, from := range c.all {
			for _, to := range c.all {
				want := slices.Contains(splitWords(c.steps[from]), string(to))
				if got := c.may(from, to); got != want {
					t.Errorf("%s %s → %s: %v, want %v", c.name, from, to, got, want)
				}
			}
		}
	}
}

func splitWords(s string) (words []string) {
	for len(s) > 0 {
		n := 0
		for n < len(s) && s[n] != ' ' {
			n++
		}
		words = append(words, s[:n])
		s = s[min(n+1, len(s)):]
	}
	return words
}

func TestState_MoneyTakenIsNeverForgotten(t *testing.T) {
	for _, to := range AttemptStates() {
		if AttemptMay(Captured, to) {
			t.Errorf("a captured attempt may become %s", to)
		}
	}
	for _, from := range AttemptStates() {
		if from != Captured && !AttemptMay(from, Captured) {
			t.Errorf("the provider's word that money was taken finds no place in %s", from)
		}
	}
	for _, to := range []State{Started, Authorised, Confirmed, Voided, Failed} {
		if PaymentMay(Captured, to) || PaymentMay(Refunded, to) || PaymentMay(PartlyRefunded, to) {
			t.Errorf("a captured payment may become %s", to)
		}
	}
}

func TestState_BeforeIsTheInverseOfMay(t *testing.T) {
	for _, to := range AttemptStates() {
		for _, from := range AttemptStates() {
			if slices.Contains(AttemptBefore(to), string(from)) != AttemptMay(from, to) {
				t.Errorf("%s → %s", from, to)
			}
		}
	}
}

func TestSettled_NeverSwallowsAnEventThatSaysMore(t *testing.T) {
	for _, a := range AttemptStates() {
		// An authorisation matters until the log knows of it.
		if got := settled(EventAuthorised, a); got && (a == Creating || a == Open || a == Voided || a == Failed) {
			t.Errorf("an authorisation of an attempt in %s was ignored", a)
		}
		if settled(EventDeclined, a) {
			t.Errorf("a declined card was ignored in %s", a)
		}
	}
}

func TestPosting_SumsToZeroOrIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(-5, 1<<50).Draw(t, "amount")
		s := Split{Fees: rapid.Int64Range(-5, 1<<50).Draw(t, "fees"), Tax: rapid.Int64Range(-5, 1<<50).Draw(t, "tax")}
		postings := []func() (Posting, error){
			func() (Posting, error) { return CapturePosting("ch_1", "EUR", amount, s) },
			func() (Posting, error) { return RefundPosting("re_1", "EUR", amount) },
			func() (Posting, error) { return RefundFailedPosting("re_1", "EUR", amount) },
			func() (Posting, error) { return DisputePosting("dp_1", "EUR", amount, max(0, amount/2)) },
			func() (Posting, error) { return UncoverPosting("dp_1", "re_1", "EUR", amount) },
			func() (Posting, error) { return CostPosting("txn_1", "EUR", amount) },
		}
		for _, make := range postings {
			p, err := make()
			if err != nil {
				if !errors.Is(err, ErrPosting) || amount > 0 && s.Fees >= 0 && s.Tax >= 0 && s.Fees+s.Tax <= amount {
					t.Fatalf("refused: %v", err)
				}
				continue
			}
			var sum, provider int64
			for _, e := range p.Entries {
				sum += e.Amount
				if e.Account == AccountProvider {
					provider += e.Amount
				}
				if e.Amount == 0 {
					t.Fatalf("an empty entry in %+v", p)
				}
			}
			moved := !strings.HasPrefix(p.Fact, FactUncovered) // that one moves nothing at the provider
			if sum != 0 || amount <= 0 || moved && provider != amount && provider != -amount {
				t.Fatalf("%+v for %d", p, amount)
			}
		}
	})
}

func TestPosting_OppositesCancel(t *testing.T) {
	balance := map[string]int64{}
	for _, f := range []func(string, string, int64) (Posting, error){
		RefundPosting, RefundFailedPosting,
		func(x, currency string, amount int64) (Posting, error) {
			return DisputePosting(x, currency, amount, 1000)
		},
		func(x, currency string, amount int64) (Posting, error) {
			opened, err := DisputePosting(x, currency, amount, 1000)
			if err != nil {
				return opened, err
			}
			return DisputeWonPosting(x, currency, opened.Entries)
		},
	} {
		p, err := f("x", "EUR", 1234)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entries {
			balance[e.Account] += e.Amount
		}
	}
	for account, sum := range balance {
		if sum != 0 {
			t.Errorf("%s is left with %d", account, sum)
		}
	}
}

func TestKey_DiffersByKindCauseAndTry(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range []string{KindCapture, KindVoid, KindRefund} {
		for _, cause := range []string{"orders/0/1", "orders/0/11", "orders/1/1"} {
			for _, try := range []int{1, 2, 11} {
				k := Key(kind, cause, try)
				if seen[k] || len(k) > 255 {
					t.Errorf("key %q", k)
				}
				seen[k] = true
			}
		}
	}
	if AttemptKey(sale.UUID{1}) == AttemptKey(sale.UUID{2}) {
		t.Error("two attempts share a key")
	}
}
