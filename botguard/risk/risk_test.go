package risk

import (
	"slices"
	"strings"
	"testing"
)

func defaults(t testing.TB) *Rules {
	t.Helper()
	r, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func browser() Facts {
	return Facts{
		Action: "arrive", UserAgent: "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", AcceptLanguage: "vi",
	}
}

func TestDefault_OrdinaryBrowserScoresNothing(t *testing.T) {
	if got := defaults(t).Evaluate(browser()); got.Score != 0 || got.Action != Allow || got.Factor != 1 {
		t.Fatalf("%+v", got)
	}
}

func TestDefault_HeadersAloneRaiseThePriceAndNoMore(t *testing.T) {
	r := defaults(t)
	for _, agent := range []string{"", "HeadlessChrome python curl/8", "x"} {
		for _, language := range []string{"", "de"} {
			got := r.Evaluate(Facts{Action: "arrive", UserAgent: agent, AcceptLanguage: language, FetchSite: "cross-site"})
			if got.Action != Allow && got.Action != Price {
				t.Errorf("%q %q: %v", agent, language, got.Explain())
			}
		}
	}
}

func TestDefault_CrowdOfACarrierIsNotSuspect(t *testing.T) {
	f := browser()
	f.Carrier, f.Places = true, 800
	if got := defaults(t).Evaluate(f); got.Action != Allow {
		t.Fatal(got.Explain())
	}
}

func TestDefault_JunkSolutionsFromADataCentreAreRefused(t *testing.T) {
	got := defaults(t).Evaluate(Facts{UserAgent: "python-requests", Hosting: true, Failures: 50, Limited: 100})
	if got.Action != Refuse {
		t.Fatal(got.Explain())
	}
	lines := strings.Join(got.Explain(), "\n")
	for _, want := range []string{"+30 hosting: the address belongs to a data centre", "score 200: refuse (from 180)"} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is not explained in\n%s", want, lines)
		}
	}
	if !slices.Contains(got.Names(), "many-wrong-solutions") {
		t.Error(got.Names())
	}
}

const example = `
version: 1
rules:
  - {name: agent, fact: userAgent, is: contains, value: BOT, score: 5}
  - {name: none, fact: fetchSite, is: missing, score: 7}
  - {name: many, fact: places, is: atLeast, value: 200, score: 11}
  - {name: few, fact: limited, is: atMost, value: "0", score: -2}
  - {name: new, fact: returning, is: "false", score: 13}
steps:
  - {at: 10, action: price, factor: 3}
  - {at: 30, action: lane}
`

func TestRules_EveryKindOfConditionAndTheHighestStep(t *testing.T) {
	r, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f      Facts
		score  int
		action Kind
		factor int
	}{
		{Facts{}, 18, Price, 3},
		{Facts{UserAgent: "a Bot", Returning: true, FetchSite: "none", Limited: 1}, 5, Allow, 1},
		{Facts{UserAgent: "bot", Places: 200}, 34, Lane, 1},
		{Facts{FetchSite: "  ", Returning: true, Places: 199}, 5, Allow, 1},
	} {
		got := r.Evaluate(c.f)
		if got.Score != c.score || got.Action != c.action || got.Factor != c.factor {
			t.Errorf("%+v: %v", c.f, got.Explain())
		}
	}
}

func TestParse_WrongDocumentsAreNamed(t *testing.T) {
	for name, change := range map[string][2]string{
		"version":           {"version: 1", "version: 2"},
		"field":             {"version: 1", "version: 1\nvariant: 2"},
		"fact":              {"fact: userAgent", "fact: shoeSize"},
		"agent: is":         {"is: contains", "is: atLeast"},
		"agent: score":      {"score: 5", "score: 5000"},
		"many: value":       {"value: 200", "value: lots"},
		"name of its own":   {"name: none", "name: agent"},
		"step 1: expected":  {"at: 30", "at: 10"},
		"step 1: action":    {"action: lane", "action: jail"},
		"step 0: factor":    {"factor: 3", "factor: 9"},
		"expected one docu": {"steps:", "---\nsteps:"},
	} {
		text := strings.Replace(example, change[0], change[1], 1)
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse(make([]byte, MaxDocument+1)); err == nil {
		t.Error("oversized document")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add(defaultRules)
	f.Add([]byte("version: 1\nrules: [{name: a, fact: places, is: atMost, value: '-9', score: 1}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		got := r.Evaluate(browser())
		if got.Factor < 1 || got.Factor > MaxPrice || got.Action == "" || len(got.Explain()) != len(got.Matches)+1 {
			t.Fatalf("%+v", got)
		}
	})
}
