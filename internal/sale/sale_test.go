package sale

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestMoney_DecimalsAreExactlyTheCurrencys(t *testing.T) {
	for _, c := range []struct {
		text, currency string
		minor          int64
		ok             bool
	}{
		{"12.50", "EUR", 1250, true}, {"0.00", "EUR", 0, true}, {"0.05", "EUR", 5, true},
		{"12.5", "EUR", 0, false}, {"12", "EUR", 0, false}, {"12.500", "EUR", 0, false}, {"012.50", "EUR", 0, false},
		{"-1.00", "EUR", 0, false}, {"1e3", "VND", 0, false}, {" 1.00", "EUR", 0, false}, {".50", "EUR", 0, false},
		{"1250", "JPY", 1250, true}, {"1250.0", "JPY", 0, false}, {"1250.", "JPY", 0, false},
		{"1.005", "KWD", 1005, true}, {"1.05", "KWD", 0, false}, {"", "EUR", 0, false},
		{"9999999999999999.00", "EUR", 0, false},
	} {
		m, err := ParseMoney(c.text, c.currency)
		if (err == nil) != c.ok || m.Minor != c.minor {
			t.Errorf("ParseMoney(%q, %s) = %v, %v", c.text, c.currency, m, err)
		}
		if c.ok && m.String() != c.text {
			t.Errorf("%q came back as %q", c.text, m)
		}
	}
	if s := (Money{-5, "KWD"}).String(); s != "-0.005" {
		t.Errorf("negative amount: %s", s)
	}
}

func TestLineOf_MatchesExactArithmeticAndNeverOverflows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Price{
			Ticket: rapid.Int64Range(0, MaxPrice).Draw(t, "ticket"), Fee: rapid.Int64Range(0, MaxPrice).Draw(t, "fee"),
			TaxRate: rapid.Uint32Range(0, MaxTaxRate).Draw(t, "rate"), Included: rapid.Bool().Draw(t, "included"),
		}
		q := rapid.Int64Range(1, MaxQuantity).Draw(t, "quantity")
		l := LineOf(p, q, 0)
		base := new(big.Int).Mul(big.NewInt(p.Ticket+p.Fee), big.NewInt(q))
		num, den := new(big.Int), int64(1_000_000)
		if p.Included {
			// The tax is what is left when the net, base / (1 + rate) rounded half up, is taken out.
			den += int64(p.TaxRate)
			num.Mul(base, big.NewInt(1_000_000))
		} else {
			num.Mul(base, big.NewInt(int64(p.TaxRate)))
		}
		num.Mul(num, big.NewInt(2)).Add(num, big.NewInt(den))
		rounded := num.Div(num, big.NewInt(2*den)).Int64()
		want := rounded
		total := base.Int64() + rounded
		if p.Included {
			want, total = base.Int64()-rounded, base.Int64()
		}
		if l.Tax != want || l.Total != total {
			t.Fatalf("%+v × %d = %+v, want tax %d total %d", p, q, l, want, total)
		}
	})
}

func TestUUID_TextRoundTripsAndTicketsCountUp(t *testing.T) {
	u, err := ParseUUID("0190aBcd-1234-7abc-8def-0123456789ff")
	if err != nil || u.String() != "0190abcd-1234-7abc-8def-0123456789ff" {
		t.Fatal(u, err)
	}
	for _, bad := range []string{"", "0190abcd12347abc8def0123456789ff", "0190abcd-1234-7abc-8def-0123456789fg", "0190abcd-1234-7abc-8def-0123456789f"} {
		if _, err := ParseUUID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if got := TicketID(u, 1).String(); got != "0190abcd-1234-7abc-8def-012345678a00" {
		t.Errorf("ticket 1: %s", got)
	}
}

func TestLogClock_OutagesStopElapsedTime(t *testing.T) {
	var c LogClock
	c.StartEpoch(1, 3)
	c.Tick(1, 1000*Second, 0)
	c.Tick(1, 1001*Second, 0)
	if c.Elapsed() != 1001*Second {
		t.Fatal("a step of a second is no outage")
	}
	before := c.Elapsed()
	if out, ok := c.Tick(1, 1031*Second, 0); !ok || out != 30*Second || c.Elapsed() != before {
		t.Fatalf("outage %d, elapsed %d", out, c.Elapsed()-before)
	}
	if _, ok := c.Tick(1, 1030*Second, 0); ok || c.Now != 1031*Second {
		t.Error("log time went back")
	}
	if _, ok := c.Tick(2, 1032*Second, 0); ok {
		t.Error("a tick of another epoch counted")
	}
	if c.StartEpoch(1, 3) || !c.StartEpoch(2, 3) {
		t.Error("epochs must rise")
	}
	if out, _ := c.Tick(2, 1031*Second+10*Hour, 0); out != OutageCap {
		t.Errorf("outage %d is above the cap", out)
	}
}
