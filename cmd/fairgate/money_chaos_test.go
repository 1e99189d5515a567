package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fairgate/internal/chaos"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

const (
	// moneyEnv is how many purchases the campaign makes, moneyBudgetEnv with which of the provider's budgets (unlimited,
	// live, sandbox); results go to the file that moneyResultsEnv names, if it is set.
	moneyEnv        = "FAIRGATE_TEST_MONEY"
	moneyBudgetEnv  = "FAIRGATE_TEST_MONEY_BUDGET"
	moneyResultsEnv = "FAIRGATE_TEST_MONEY_RESULTS"

	moneyBench = 1000 // of the benchmark; make money makes ten thousand
	moneyFew   = 150  // fans that are there at the same time, at least and at most
	moneyMany  = 500
	// moneyStall is for how long nothing may get done before it counts as left for good, once nothing is hurt any more: much
	// longer than the longest pause, lease and hold of a campaign together.
	moneyStall = 2 * time.Minute
)

// TestMoneyChaos_NobodyPaysForNothingAndNothingIsFree makes purchases while the provider does everything wrong that it can
// and workers, processors, Redis, Postgres and the booking API are killed at random moments. It has the machine to itself, so
// it runs when asked for: a small one in CI, a long one by make money. What it finds becomes a case in workers/cases.
func TestMoneyChaos_NobodyPaysForNothingAndNothingIsFree(t *testing.T) {
	if os.Getenv(moneyEnv) == "" {
		t.Skip(moneyEnv + " is not set: make money")
	}
	budget, ok := map[string]moneyBudget{"": moneyUnlimited, "unlimited": moneyUnlimited, "live": moneyLive, "sandbox": moneySandbox}[os.Getenv(moneyBudgetEnv)]
	if !ok {
		t.Fatalf("%s: expected unlimited, live or sandbox", moneyBudgetEnv)
	}
	c := runMoney(t, int(numberFromEnv(t, moneyEnv, moneyBench)), budget)
	fail(t, c.audit)
	c.proves(t)
}

// BenchmarkMoneyChaos is a campaign whose figures are what was broken, which must be nothing.
func BenchmarkMoneyChaos(b *testing.B) {
	for b.Loop() {
		c := runMoney(b, int(numberFromEnv(b, moneyEnv, moneyBench)), moneyUnlimited)
		fail(b, c.audit)
		b.ReportMetric(float64(c.purchases), "bench:money.chaos.purchases:1")
		b.ReportMetric(float64(c.audit.PaidWithoutTicket), "bench:money.chaos.paid-without-ticket:1")
		b.ReportMetric(float64(c.audit.TicketWithoutPaid), "bench:money.chaos.ticket-without-payment:1")
		b.ReportMetric(float64(c.audit.WrongAmount), "bench:money.chaos.wrong-amount:1")
		b.ReportMetric(float64(c.audit.LeakedHold), "bench:money.chaos.leaked-hold:1")
		b.ReportMetric(float64(c.audit.OpenObligation), "bench:money.chaos.open-obligation:1")
		b.ReportMetric(float64(c.audit.RaceRefunds)/max(1, float64(c.audit.Races)), "bench:money.race-refunds:share")
		b.ReportMetric(c.took.Seconds(), "bench:money.chaos.took:s")
	}
}

// moneyCampaign is what a campaign did and came to.
type moneyCampaign struct {
	purchases int
	took      time.Duration
	settling  time.Duration
	kills     string
	killed    int
	struck    map[string]int
	fans      map[string]int
	audit     *moneyAudit
}

// moneyAtOnce is how many fans are there at the same time.
func moneyAtOnce(purchases int) int { return max(moneyFew, min(purchases/20, moneyMany)) }

// runMoney is the whole of a campaign.
func runMoney(t testing.TB, purchases int, budget moneyBudget) moneyCampaign {
	r := newMoneyRig(t, budget)
	shows := moneyShows(purchases)
	r.sell(shows)
	r.faults = everyFault()
	if err := r.sim.Script().Add(r.faults...); err != nil {
		t.Fatal(err)
	}
	fans := newMoneyFans(r, shows, moneyAtOnce(purchases))
	campaign := &chaos.Campaign{Lanes: r.lanes(), Seed: r.seed, Log: r.log}
	began := time.Now()
	r.harm(campaign, fans, shows, purchases)
	calm := time.Now()
	c := moneyCampaign{purchases: purchases, struck: r.sim.Script().Struck(), fans: fans.counts}
	r.sim.Script().Reset()
	c.kills, c.killed = campaign.Counts()
	r.rest(t)
	var err error
	if c.audit, err = r.audit(t.Context(), fans); err != nil {
		t.Fatal(err)
	}
	c.took, c.settling = time.Since(began), time.Since(calm)
	c.say(t, r)
	c.write(t, r)
	return c
}

// harm lets the fans buy while everything is hurt, and returns when all have gone and everything works again.
func (r *moneyRig) harm(campaign *chaos.Campaign, fans *moneyFans, shows []moneyShow, purchases int) {
	r.t.Helper()
	var harmed error
	stopHarm := part(func(ctx context.Context) { harmed = campaign.Run(ctx) })
	stopOffice := part(r.takeBack)
	stopCancel := part(func(ctx context.Context) { r.cancelHalfway(ctx, fans, shows, purchases) })
	stopTelling := part(func(ctx context.Context) { r.progress(ctx, fans, purchases) })
	fans.run(r.t.Context(), purchases, moneyAtOnce(purchases))
	stopTelling()
	stopCancel()
	// The whole-event refund runs while things die.
	id, err := r.office.NewID()
	if err == nil {
		err = r.own.db.StartRefundRun(r.t.Context(), store.RefundRun{ID: id, Event: showMoved, Fees: true, Return: true})
	}
	pauseFor(r.t.Context(), 5*time.Second)
	stopOffice()
	stopHarm()
	for _, err := range []error{err, harmed, r.allReady(r.t.Context())} {
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if died := r.died.Load(); died != nil {
		r.t.Error(*died)
	}
}

// cancelHalfway cancels a show when half of the fans have gone, while the others are paying.
func (r *moneyRig) cancelHalfway(ctx context.Context, fans *moneyFans, shows []moneyShow, purchases int) {
	for fans.done() < purchases/2 {
		if pauseFor(ctx, 200*time.Millisecond); ctx.Err() != nil {
			return
		}
	}
	for _, s := range shows {
		if s.ID == showCancelled {
			r.tell(context.WithoutCancel(ctx), s.Event, &wire.CancelEvent{})
		}
	}
}

// progress says now and then how far the fans are.
func (r *moneyRig) progress(ctx context.Context, fans *moneyFans, purchases int) {
	for began := time.Now(); ; {
		if pauseFor(ctx, chaosProgress); ctx.Err() != nil {
			return
		}
		fmt.Fprintf(os.Stderr, "money: %d of %d fans have gone after %v\n", fans.done(), purchases, time.Since(began).Round(time.Second))
	}
}

// rest lets everything come to rest and reconciles until there is nothing to repair.
func (r *moneyRig) rest(t testing.TB) {
	t.Helper()
	binary := buildBinary(t, r.dir)
	for range 6 {
		rested, err := r.settleMoney(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !rested {
			return // the audit says what is left
		}
		found, err := r.reconciled(binary)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			return
		}
		for _, f := range found {
			if !f.Repaired {
				t.Errorf("reconciling found %+v", f)
			}
		}
	}
	t.Error("reconciling finds something every time")
}

// proves fails a campaign that did too little to mean anything.
func (c *moneyCampaign) proves(t testing.TB) {
	t.Helper()
	if c.killed < 4 || c.audit.Captured < c.purchases/4 || c.audit.Races == 0 || c.audit.Refunded == 0 || len(c.struck) < 15 {
		t.Errorf("%d kills, %d captures, %d lost races, %d refunds, %d kinds of faults prove too little", c.killed, c.audit.Captured, c.audit.Races,
			c.audit.Refunded, len(c.struck))
	}
}

func counted(m map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fmt.Sprintf("%s=%d", name, m[name]))
	}
	return strings.Join(all, ",")
}

func (c *moneyCampaign) say(t testing.TB, r *moneyRig) {
	t.Helper()
	t.Logf("%d purchases in %v (%v of it settling), %s\nharm: %s\nfaults: %s\nfans: %s\n%d captures, %d refunds, %d lost races voided, %d intents made behind a failure cancelled\n%+v", c.purchases,
		c.took.Round(time.Second), c.settling.Round(time.Second), r.budget.name, c.kills, counted(c.struck), counted(c.fans),
		c.audit.Captured, c.audit.Refunded, c.audit.Races, c.audit.Orphans, *c.audit)
}

// moneyHead names the columns of the results file.
const moneyHead = "date\tcommit\tpurchases\tStripe budget\tseconds\tharm\tfaults of Stripe\tcaptured\trefunded\tlost races\tpaid without ticket\t" +
	"ticket without payment\twrong amount\tleaked hold\topen obligation\trefunds for lost races\tother\n"

// write appends a line to the results file.
func (c *moneyCampaign) write(t testing.TB, r *moneyRig) {
	t.Helper()
	path := os.Getenv(moneyResultsEnv)
	if path == "" {
		return
	}
	faults := 0
	for _, n := range c.struck {
		faults += n
	}
	a := c.audit
	fields := []any{
		time.Now().UTC().Format(time.DateTime), commit(t), c.purchases, r.budget.name, int(c.took.Seconds()), c.kills,
		fmt.Sprintf("%d of %d kinds", faults, len(c.struck)), a.Captured, a.Refunded, a.Races, a.PaidWithoutTicket, a.TicketWithoutPaid,
		a.WrongAmount, a.LeakedHold, a.OpenObligation, a.RaceRefunds, a.Other,
	}
	var text []string
	for _, f := range fields {
		text = append(text, fmt.Sprint(f))
	}
	appendResult(t, path, moneyHead, strings.Join(text, "\t")+"\n")
}
