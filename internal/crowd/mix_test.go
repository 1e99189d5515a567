package crowd

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestMix_AThousandFansHoldEveryShareExactly(t *testing.T) {
	m := DefaultMix()
	for _, seed := range []uint64{0, 1, 99} {
		for _, first := range []int64{0, 1, 12_345} {
			var got [plans]int
			for i := range int64(1000) {
				got[m.plan(seed, first+i)]++
			}
			if got != m.shares() {
				t.Errorf("seed %d from %d: %v, want %v", seed, first, got, m.shares())
			}
		}
	}
}

func TestMix_AHundredFansHaveEveryPlan(t *testing.T) {
	for seed := range uint64(50) {
		var got [plans]int
		for i := range int64(100) {
			got[DefaultMix().plan(seed, i)]++
		}
		for p, n := range got {
			if n == 0 {
				t.Errorf("seed %d: no %s", seed, Plan(p))
			}
		}
	}
}

func TestNetworks_FewShareAnAddressAndSomeAreCrammed(t *testing.T) {
	for _, fans := range []int64{200, 2000, 20_000} {
		addresses, networks := make(map[netip.Addr]int), make(map[netip.Prefix]int)
		for i := range fans {
			a := Networks{}.address(5, i, fans)
			if a == crammedAddress() {
				addresses[a]++
				continue
			}
			narrow, wide := 32, 24
			if a.Is6() {
				narrow, wide = 56, 48
			}
			n, _ := a.Prefix(narrow)
			w, _ := a.Prefix(wide)
			addresses[n.Addr()]++
			networks[w]++
		}
		if n := addresses[crammedAddress()]; n < 5 || n > 20 {
			t.Errorf("%d fans: %d crammed into one address, want more than the cap of 4 and at most 20", fans, n)
		}
		delete(addresses, crammedAddress())
		for a, n := range addresses {
			if n > 2 {
				t.Errorf("%d fans: %d share %s", fans, n, a)
			}
		}
		for w, n := range networks {
			if n > 8 {
				t.Errorf("%d fans: %d share %s", fans, n, w)
			}
		}
	}
}

func TestNetworks_SameSeedSameAddress(t *testing.T) {
	n := Networks{Crammed: 7}
	once, again := n.address(1, 77, 500), n.address(1, 77, 500)
	if once != again || once == n.address(2, 77, 500) {
		t.Error("addresses must follow from the seed")
	}
}

func TestPrinter_WritesOverOneLineOnATerminalAndEveryFiveSecondsElsewhere(t *testing.T) {
	moments := []Progress{
		{Elapsed: 1 * time.Second, Started: 100, States: [steps]int64{StepWait: 100}}, {Elapsed: 5 * time.Second, Started: 7}, {Elapsed: 6 * time.Second},
		{Elapsed: 11 * time.Second, Counts: map[Outcome]int64{Paid: 3}, Errors: 2, Done: true},
	}
	for terminal, want := range map[bool]struct{ returns, lines int }{true: {4, 1}, false: {0, 2}} {
		var out strings.Builder
		show := Printer(&out, terminal)
		for _, p := range moments {
			show(p)
		}
		text := out.String()
		if strings.Count(text, "\r") != want.returns || strings.Count(text, "\n") != want.lines || !strings.Contains(text, "3 paid | 2 errors") {
			t.Errorf("terminal %v: %q", terminal, text)
		}
	}
}

func TestReport_OutcomesSumToFansAndTimesAreKept(t *testing.T) {
	c := newTally()
	c.ended(Payer, Paid, "")
	c.ended(Lapser, Failed, "book: 500")
	for range 2 * maxFailures {
		c.ended(Payer, Failed, strings.Repeat("x", len(c.failures)))
	}
	for i := range 100 {
		c.took(StepBook, time.Duration(i+1)*time.Millisecond)
	}
	c.took(StepWait, 5*time.Hour)
	for _, key := range []string{"b", "c", "a", "d"} {
		c.admitted("normal", key)
	}
	c.admitted("shared", "a")
	r := c.report(2+2*maxFailures, 5+2*maxFailures, time.Second)
	sum := int64(0)
	for _, n := range r.Counts {
		sum += n
	}
	if sum != r.Fans || r.Counts[Unfinished] != 3 || len(r.Counts) != len(Outcomes()) {
		t.Errorf("counts %v of %d fans", r.Counts, r.Fans)
	}
	if b := r.Steps["book"]; b.Count != 100 || b.P50 < 49 || b.P50 > 51 || b.P99 < 98 || b.P99 > 101 {
		t.Errorf("book %+v", b)
	}
	if len(r.Failures) > maxFailures+1 || r.Overtook != 1 || r.Steps["wait"].Count != 1 {
		t.Errorf("%d failures, %d overtook, wait %+v", len(r.Failures), r.Overtook, r.Steps["wait"])
	}
	if text := r.Text(); !strings.Contains(text, "paid        1") || !strings.Contains(text, "book") {
		t.Error(text)
	}
}
