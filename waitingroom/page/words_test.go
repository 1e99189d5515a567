package page

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

func languages(t *testing.T) catalog {
	t.Helper()
	c, err := loadMessages()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// counts is every number of people that could need a form of its own.
func counts() []int64 {
	var all []int64
	for n := range int64(1_200) {
		all = append(all, n)
	}
	return append(all, 10_000, 123_456, 1_000_000, 1_000_001, 2_000_000, 10_000_000)
}

// pluralForms is which plural forms go-i18n asks of a language for whole numbers.
func pluralForms(t *testing.T, lang string) []string {
	t.Helper()
	bundle := i18n.NewBundle(language.Make(lang))
	if err := bundle.AddMessages(language.Make(lang), &i18n.Message{
		ID: "form", Zero: "zero", One: "one", Two: "two", Few: "few", Many: "many", Other: "other",
	}); err != nil {
		t.Fatal(err)
	}
	local := i18n.NewLocalizer(bundle, lang)
	var forms []string
	for _, n := range counts() {
		form, err := local.Localize(&i18n.LocalizeConfig{MessageID: "form", PluralCount: n})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	return append(forms, "other")
}

// forms are a message's texts by plural form; "" is the form of one that has none.
func forms(t *testing.T, raw json.RawMessage) map[string]string {
	t.Helper()
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return map[string]string{"": one}
	}
	var many map[string]string
	if err := json.Unmarshal(raw, &many); err != nil {
		t.Fatal(err)
	}
	return many
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func placeholders(texts map[string]string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, placeholder.FindAllString(text, -1)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func read(t *testing.T, lang string) map[string]json.RawMessage {
	t.Helper()
	raw, err := files.ReadFile("messages/" + lang + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]json.RawMessage
	if err := json.Unmarshal(raw, &texts); err != nil {
		t.Fatalf("%s: %v", lang, err)
	}
	return texts
}

func TestWords_EveryLanguageHasEveryKeyAndEveryPluralForm(t *testing.T) {
	c := languages(t)
	if c.all[0].lang != fallbackLanguage || len(c.all) < 6 {
		t.Fatalf("languages: %d, the first is %s", len(c.all), c.all[0].lang)
	}
	first := read(t, fallbackLanguage)
	for _, w := range c.all {
		texts, need := read(t, w.lang), pluralForms(t, w.lang)
		for key := range texts {
			if _, ok := first[key]; !ok {
				t.Errorf("%s: %s is in no other language", w.lang, key)
			}
		}
		for key, raw := range first {
			have, want := forms(t, texts[key]), forms(t, raw)
			if _, counts := want["other"]; counts {
				for _, form := range need {
					if have[form] == "" {
						t.Errorf("%s: %s has no form %q", w.lang, key, form)
					}
				}
			} else if have[""] == "" {
				t.Errorf("%s: %s is missing", w.lang, key)
			}
			if a, b := placeholders(have), placeholders(want); !slices.Equal(a, b) {
				t.Errorf("%s: %s speaks of %v, in English of %v", w.lang, key, a, b)
			}
		}
	}
}

func TestWords_AWaitIsARangeThatReadsWell(t *testing.T) {
	r := languages(t).pick("", "")
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
		{1400, 1400, 60_000, 120_000, "10 to 25 minutes"}, // in steps of 5
		{4000, 4000, 60_000, 70_000, "50 to 70 minutes"},  // in steps of 10
		{30_000, 30_000, 60_000, 120_000, "4 to 9 hours"},
	} {
		if got := r.wait(Line{RateLow: x.rateLow, RateHigh: x.rateHigh}, x.low, x.high); got != x.want {
			t.Errorf("%+v: %q", x, got)
		}
	}
}

func TestWords_CountsAgreeWithTheLanguage(t *testing.T) {
	c := languages(t)
	for _, x := range []struct {
		accept string
		n      int64
		want   string
	}{
		{"en-GB", 1, "1 person"}, {"en-GB", 2, "2 people"}, {"en", 1234567, "1,234,567 people"},
		{"vi", 1, "1 người"}, {"vi-VN", 1234, "1.234 người"},
		{"es", 1, "1 persona"}, {"es-MX", 12345, "12,345 personas"}, {"es-ES", 12345, "12.345 personas"},
		{"es", 1000000, "1.000.000 de personas"},
		{"fr", 0, "0 personne"}, {"fr", 2, "2 personnes"},
		{"ja", 40, "40人"},
		{"ar", 0, "لا أحد"}, {"ar", 1, "شخص واحد"}, {"ar", 2, "شخصان"}, {"ar", 3, "3 أشخاص"}, {"ar-EG", 12345, "12,345 شخصًا"},
		{"ar-AE", 11, "11 شخصًا"}, {"ar-AE", 100, "100 شخص"},
		{"xx", 2, "2 people"}, {"pt-BR,vi;q=0.5", 2, "2 người"}, {"de;q=1,fr-CH;q=0.9", 2, "2 personnes"},
	} {
		r := c.pick("", x.accept)
		if got := r.count("line.people", x.n, nil); got != x.want {
			t.Errorf("%s %d: %q, want %q", x.accept, x.n, got, x.want)
		}
	}
}

func TestWords_APriceIsWrittenAsTheRegionDoes(t *testing.T) {
	c := languages(t)
	for accept, want := range map[string]string{
		"en": "from 1,234.50\u00a0EUR", "es-ES": "desde 1.234,50\u00a0EUR", "vi": "từ 1.234,50\u00a0EUR", "ja": "1,234.50\u00a0EURから",
	} {
		r := c.pick("", accept)
		if got := r.price(Line{Price: "1234.50", Currency: "EUR"}); got != want {
			t.Errorf("%s: %q, want %q", accept, got, want)
		}
	}
	r := c.pick("", "en")
	for _, l := range []Line{{}, {Price: "x", Currency: "EUR"}, {Price: "1"}} {
		if got := r.price(l); got != "" {
			t.Errorf("%+v: %q", l, got)
		}
	}
}

func FuzzPick(f *testing.F) {
	c, err := loadMessages()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("vi", "fr-CH, fr;q=0.9, en;q=0.8")
	f.Add("", "zh-Hant-TW;q=0.5,*")
	f.Add("xx", "ar-u-nu-latn")
	f.Fuzz(func(t *testing.T, chosen, accept string) {
		r := c.pick(chosen, accept)
		if !c.has(r.lang) || r.count("line.people", 2, nil) == "" || strings.ContainsAny(r.locale, "\"'<> ") {
			t.Errorf("%q, %q: %s %s", chosen, accept, r.lang, r.locale)
		}
	})
}
