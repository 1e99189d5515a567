package page

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func html(t *testing.T, v View) string {
	t.Helper()
	p, err := New([]byte("solver"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Render(v, "xx, en;q=0.5")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPage_EveryPhaseHasItsWords(t *testing.T) {
	for _, phase := range []Phase{Arriving, Checking, Ready, Waiting, Early, Paused, SoldOut, Invited, Admitted, Closed, Ended} {
		out := html(t, View{Room: 4, Name: "Hall", Phase: phase, Next: "/x", Line: Line{Left: -1, Coming: -1}})
		for _, id := range []string{"headline", "todo"} {
			m := regexp.MustCompile(`id="` + id + `"[^>]*>([^<]*)<`).FindStringSubmatch(out)
			if m == nil || m[1] == "" || strings.ContainsAny(m[1], "{}") {
				t.Errorf("%s: %s is %q", phase, id, m)
			}
		}
	}
}

func TestPage_HoldsNothingInline(t *testing.T) {
	out := html(t, View{Room: 4, Name: "Hall", Phase: Waiting, Known: true, High: 3, Low: 3})
	if regexp.MustCompile(`<script>|<style|\son\w+=|\sstyle=|javascript:`).MatchString(out) {
		t.Error("inline script or style")
	}
	if regexp.MustCompile(`(?:src|href)="https?:`).MatchString(out) {
		t.Error("a third party")
	}
}

func TestPage_AHostileNameIsText(t *testing.T) {
	out := html(t, View{Room: 4, Name: `</title><script>alert(1)</script>"`, Next: "javascript:alert(1)", Phase: Admitted})
	if strings.Contains(out, "<script>alert") || strings.Contains(out, `href="javascript:`) {
		t.Errorf("%s", out)
	}
}

func TestPage_TheScriptsWordsAreTheServers(t *testing.T) {
	out := html(t, View{Phase: Arriving})
	m := regexp.MustCompile(`(?s)<script type="application/json" id="messages">(.*?)</script>`).FindStringSubmatch(out)
	if m == nil {
		t.Fatal("no messages")
	}
	var words map[string]any
	if err := json.Unmarshal([]byte(m[1]), &words); err != nil {
		t.Fatalf("%v in %s", err, m[1])
	}
	// What the script asks for must be there.
	for _, key := range regexp.MustCompile(`text\("([^"]+)"[,)]`).FindAllStringSubmatch(string(roomJS), -1) {
		if _, ok := words[key[1]]; !ok {
			t.Errorf("the script asks for %q", key[1])
		}
	}
}

func TestWords_AWaitIsARangeThatReadsWell(t *testing.T) {
	c, err := loadMessages()
	if err != nil {
		t.Fatal(err)
	}
	w := c.pick("")
	for _, x := range []struct {
		low, high         int64
		rateLow, rateHigh int64
		want              string
	}{
		{1, 1, 0, 0, "still being measured"},
		{1, 1, 60_000, 90_000, "less than a minute"},
		{1200, 1200, 60_000, 120_000, "10 to 20 minutes"},
		{60, 60, 60_000, 60_000, "less than a minute"},
		{300, 300, 60_000, 61_000, "about 5 minutes"},
		{30_000, 30_000, 60_000, 120_000, "4 to 9 hours"},
	} {
		if got := w.wait(Line{RateLow: x.rateLow, RateHigh: x.rateHigh}, x.low, x.high); got != x.want {
			t.Errorf("%+v: %q", x, got)
		}
	}
}

func TestWords_OnePersonAndManyPeople(t *testing.T) {
	c, err := loadMessages()
	if err != nil {
		t.Fatal(err)
	}
	w := c.pick("en-GB")
	for n, want := range map[int64]string{1: "1 person", 2: "2 people", 1234567: "1,234,567 people"} {
		if got := w.text("line.people", n, nil); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestPolicy_LetsTheEnterFormLeaveOnlyForItsDestination(t *testing.T) {
	for next, want := range map[string]string{
		"/events/7":                "form-action 'self';",
		"https://shop.example/x?y": "form-action 'self' https://shop.example;",
		"javascript:alert(1)":      "form-action 'self';",
	} {
		if got := Policy(next); !strings.Contains(got, want) {
			t.Errorf("%s: %s", next, got)
		}
	}
}
