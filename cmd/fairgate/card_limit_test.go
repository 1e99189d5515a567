package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fairgate/internal/stripesim"
	"fairgate/internal/verify"
	"fairgate/internal/wire"
)

// cardBuyer is a fan of one event who pays by buttons of the provider's page.
func cardBuyer(r *moneyRig, fans *moneyFans, n int) *buyer {
	return &buyer{
		fans: fans, rnd: rand.New(rand.NewPCG(r.seed, uint64(n))), user: fmt.Sprintf("account-%d", n), from: fmt.Sprintf("198.18.7.%d", n), show: fans.shows[0],
	}
}

// awaits waits until the shop shows the event on sale: it is told by the projection, not by whoever defined it.
func (b *buyer) awaits(ctx context.Context) {
	b.fans.rig.t.Helper()
	path := fmt.Sprintf("/events/%d", b.show.ID)
	for ; ctx.Err() == nil; pauseFor(ctx, 100*time.Millisecond) {
		if _, text := b.send(ctx, "GET", path, nil); strings.Contains(string(text), `"onSale"`) {
			return
		}
	}
	b.fans.rig.t.Fatal("the event does not come on sale")
}

// buys starts a payment of a held booking, presses a button and comes back to the shop.
func (b *buyer) buys(ctx context.Context, held *shopBooking, button string) {
	b.fans.rig.t.Helper()
	p, ok := b.pay(ctx, held, b.rnd)
	if !ok || p.PayURL == "" {
		b.fans.rig.t.Fatalf("%s cannot pay: %+v", b.user, p)
	}
	b.press(ctx, p, button)
	b.send(ctx, "GET", "/booking/"+held.ID+"/paid", nil)
}

// TestCardLimit_OneCardPaysForSoManyBookingsWhosesoeverTheyAre sells to four accounts with processors, workers and the shop as
// processes: three of them have one card, and the event takes a card twice.
func TestCardLimit_OneCardPaysForSoManyBookingsWhosesoeverTheyAre(t *testing.T) {
	if testing.Short() {
		t.Skip("starts five processes and a Postgres")
	}
	r := newMoneyRig(t, moneyUnlimited)
	shows := moneyShows(10)[:1]
	shows[0].PerCard, shows[0].Hold = 2, 5*time.Minute
	r.sell(shows)
	fans := newMoneyFans(r, shows, 3)
	defer fans.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 2*fanPatience)
	defer cancel()
	cardBuyer(r, fans, 9).awaits(ctx)
	var third *buyer
	var held shopBooking
	for n := 1; n <= 3; n++ {
		b := cardBuyer(r, fans, n)
		now, ok := b.hold(ctx)
		if !ok {
			t.Fatalf("account %d holds nothing: %+v, %s", n, now, b.refused)
		}
		b.buys(ctx, &now, "pay")
		if third, held = b, now; n == 3 {
			break
		}
		if now = b.watch(ctx, now.ID); now.Status != "confirmed" || now.valid() == 0 {
			t.Fatalf("account %d: %+v", n, now)
		}
	}
	now := third.look(ctx, held.ID, fanPatience, func(s *shopBooking) bool { return s.Payment.Refused != "" && s.Payment.Status == "started" })
	if now.Status != "held" || now.Payment.Refused != wire.ReasonMethodLimit.String() || now.Payment.Status != "started" {
		t.Fatalf("the third booking with one card is %+v", now)
	}
	_, inbox := third.send(ctx, "GET", "/users/"+third.user+"/notifications", nil)
	if !strings.Contains(string(inbox), "cardLimit") {
		t.Errorf("the fan is not told: %s", inbox)
	}
	third.buys(ctx, &held, "other")
	if now = third.watch(ctx, held.ID); now.Status != "confirmed" || now.valid() == 0 || now.Payment.Refused != "" {
		t.Fatalf("with another card: %+v", now)
	}
	r.rest(t)
	if s := r.intents(); s != "canceled 1 succeeded 3" {
		t.Errorf("at the provider: %s", s)
	}
	report, err := verify.Run(ctx, r.own.verifyConfig(), verify.Deps{Events: r.own.events, DB: r.own.db.Write, Provider: takings{r.sim}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Violations {
		t.Errorf("invariant %d at %s: %s", v.Invariant, v.Where, v.Explain)
	}
}

// intents counts what became of the provider's intents.
func (r *moneyRig) intents() string {
	count := map[string]int{}
	for _, i := range r.sim.PaymentIntents() {
		count[i.Status]++
	}
	text := ""
	for _, s := range []string{stripesim.StatusCanceled, stripesim.StatusRequiresCapture, stripesim.StatusSucceeded} {
		if count[s] > 0 {
			text += fmt.Sprintf(" %s %d", s, count[s])
		}
	}
	return strings.TrimSpace(text)
}
