package main

import (
	"io"
	"testing"

	"fairgate/internal/crowd/bots"
)

// TestBots_PeopleGetTheTickets is a fiftieth of what `make bots` runs, against the attacker with the most addresses.
func TestBots_PeopleGetTheTickets(t *testing.T) {
	c := botsCommand{Profile: []string{"B3"}, Order: []string{"draw"}, Scale: 0.02, Compress: 20, Shared: -1, Seed: 1, Within: 1e12}
	if err := c.Run(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	_ = bots.Report{}
}
