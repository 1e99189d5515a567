package main

import (
	"testing"
	"time"

	"fairgate/internal/crowd/bots"
)

// TestBots_PeopleGetTheTickets runs a fiftieth of what `make bots` does, against the attacker that has the most addresses. What
// there is of chance in a draw of so few tickets is averaged out by the report itself.
func TestBots_PeopleGetTheTickets(t *testing.T) {
	if testing.Short() {
		t.Skip("a whole pre-queue takes a minute")
	}
	c := botsCommand{Scale: 0.02, Compress: 12, Shared: -1, Seed: 1, Within: 5 * time.Minute}
	var b3 bots.Profile
	for _, p := range bots.Profiles() {
		if p.Name == "B3" {
			b3 = p
		}
	}
	r, err := c.one(t.Context(), b3, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Text())
	places := float64(b3.Wanted) * c.Scale
	for name, ok := range map[string]bool{
		"bots took part as they can":             float64(r.Places) > places/3 && r.BotPrice > 1.5,
		"people get nine tickets of ten":         r.Expected >= 0.895 && r.HumanWin > 0.8,
		"hardly anybody is denied a place":       r.Denial <= 0.005,
		"a listed carrier is no handicap":        r.OddsListed >= 0.9,
		"a slow phone is no handicap":            r.OddsLow >= 0.95,
		"a slow phone has its token in time":     r.Token[bots.Low.String()].Base-r.Latency <= 5,
		"the lane without work stays small":      r.PlainShare <= 0.03,
		"the shared lane stays small":            r.SharedShare <= 0.04,
		"prices rose where there were many bots": r.BotPrice > r.MeanPrice,
	} {
		if !ok {
			t.Error("not so:", name)
		}
	}
}
