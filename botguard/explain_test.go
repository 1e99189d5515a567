package botguard

import (
	"strings"
	"testing"
)

func TestExplain_SaysWhatJudgeDecides(t *testing.T) {
	g := newGuard(t, Config{Carriers: prefixList("203.0.113.0/24"), Hosting: prefixList("198.51.100.0/24")}, Deps{})
	for _, c := range []struct {
		given map[string]string
		want  []string
	}{
		{map[string]string{"userAgent": "Mozilla/5.0 Firefox/140", "acceptLanguage": "vi"}, []string{"score 0: allow", "1.00 times"}},
		{map[string]string{"userAgent": "curl/8", "address": "198.51.100.7"},
			[]string{"+20 command-line: ", "+10 no-language", "+30 hosting", "score 60: price, price x4 (from 60)", "4.00 times"}},
		{map[string]string{"userAgent": "x", "acceptLanguage": "en", "failures": "20", "limited": "20"}, []string{"score 140: lane", "4.00 times"}},
		{map[string]string{"userAgent": "x", "acceptLanguage": "en", "address": "2001:db8::1", "broad": "8000"}, []string{"3.00 times", "200 %"}},
		{map[string]string{"userAgent": "x", "acceptLanguage": "en", "address": "203.0.113.9", "narrow": "5000"}, []string{"-20 carrier", "2.00 times"}},
	} {
		lines, err := g.Explain(c.given)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(lines, "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%v: no %q in\n%s", c.given, want, text)
			}
		}
		var r Request
		r.Action, r.UserAgent, r.AcceptLanguage = ActionArrive, c.given["userAgent"], c.given["acceptLanguage"]
		_ = explained["address"](&r, nil, c.given["address"])
		_ = explained["narrow"](&r, nil, c.given["narrow"])
		_ = explained["broad"](&r, nil, c.given["broad"])
		if c.given["failures"] == "" {
			if v := g.Judge(t.Context(), r); !strings.Contains(text, strings.TrimSpace(strings.Join(v.Reasons, "\n"))) {
				t.Errorf("judged %v, explained\n%s", v.Reasons, text)
			}
		}
	}
	for name, given := range map[string]map[string]string{
		"colour": {"colour": "red"}, "failures": {"failures": "many"}, "address": {"address": "1.2.3"}, "user": {"user": "me"},
	} {
		if _, err := g.Explain(given); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
