package main

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"fairgate/internal/crowd/bots"
)

// TestBots_PeopleGetTheTickets runs a tenth of what `make bots` does, against the attacker that has the most addresses. What
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

func TestBots_ThePlotShowsEveryRunWithAFileOfResultsAndWithout(t *testing.T) {
	for name, results := range map[string]string{"with": filepath.Join(t.TempDir(), "bots.tsv"), "without": ""} {
		t.Run(name, func(t *testing.T) {
			c := botsCommand{Plot: filepath.Join(t.TempDir(), "bots.svg"), Results: results, Commit: "abc"}
			table, err := c.keep("", bots.Report{Profile: "B1", Order: "draw"})
			if err != nil {
				t.Fatal(err)
			}
			if table, err = c.keep(table, bots.Report{Profile: "B2", Order: "draw"}); err != nil {
				t.Fatal(err)
			}
			if err := c.draw(table); err != nil {
				t.Fatal(err)
			}
			if picture := read(t, c.Plot); !strings.Contains(picture, ">B1<") || !strings.Contains(picture, ">B2<") {
				t.Errorf("%s", picture)
			}
			if results != "" && read(t, results) != table {
				t.Errorf("the file has %q", read(t, results))
			}
		})
	}
}

func TestBots_ResumingDrawsWhatThereIsAndNeedsToKnowTheCommit(t *testing.T) {
	c := botsCommand{Profile: []string{"B1"}, Order: []string{"draw"}, Scale: 0.2, Seed: 1, Shared: -1, Within: 0, Resume: true,
		Commit: "abc", Results: filepath.Join(t.TempDir(), "bots.tsv"), Plot: filepath.Join(t.TempDir(), "bots.svg")}
	if _, err := c.keep("", bots.Report{Profile: "B1", Order: "draw", Scale: 0.2, Seed: 1, Shared: -1}); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context(), io.Discard); err != nil { // nothing is run: there is no time for it
		t.Fatal(err)
	}
	if picture := read(t, c.Plot); !strings.Contains(picture, ">B1<") {
		t.Errorf("%s", picture)
	}
	other := c
	if other.Seed = 2; other.Run(t.Context(), io.Discard) == nil {
		t.Error("a run with another seed is kept for this one")
	}
	for what, change := range map[string]func(c *botsCommand){"commit": func(c *botsCommand) { c.Commit = "" }, "results": func(c *botsCommand) { c.Results = "" }} {
		unknown := c
		change(&unknown)
		if err := unknown.Run(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "--"+what) {
			t.Errorf("without %s: %v", what, err)
		}
	}
}

func TestBots_ThePeakOfMemoryIsThatOfTheRun(t *testing.T) {
	const size = 256 << 20
	earlier := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		earlier[i] = 1
	}
	runtime.KeepAlive(earlier)
	before := peakMB()
	debug.FreeOSMemory()
	lowerPeak()
	if now := peakMB(); now == 0 || now > before-128 {
		t.Errorf("a peak of %.0f MB, after an earlier one of %.0f", now, before)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
