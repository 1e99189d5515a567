package scaler

import (
	"strings"
	"testing"
	"time"
)

const document = `
rules:
  - role: booking
    query: sum(rate(fairgate_http_request_seconds_count{role="booking"}[1m]))
    perReplica: 2000
    min: 2
    max: 40
    cooldownDown: 10m
    floors:
      - {name: stadium on-sale, from: 2026-12-01T08:30:00Z, until: 2026-12-01T11:00:00Z, replicas: 20}
  - {role: workers, query: fairgate_outbox_pending, perReplica: 500}
`

func TestParseRules_FillsDefaults(t *testing.T) {
	rules, err := ParseRules([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	b, w := rules[0], rules[1]
	if b.CooldownDown != 10*time.Minute || b.StepUp != 10 || b.Floors[0].Replicas != 20 {
		t.Errorf("booking: %+v", b)
	}
	if w.Min != 1 || w.Max != 1 || w.CurrentQuery != `sum(up{role="workers"})` || w.Tolerance != 0.1 {
		t.Errorf("workers: %+v", w)
	}
}

func TestParseRules_RefusesNamingTheField(t *testing.T) {
	one := func(fields string) string { return "rules: [{role: a, query: q, perReplica: 1, " + fields + "}]" }
	for want, doc := range map[string]string{
		"role":                "rules: [{role: 'A b', query: q, perReplica: 1}]",
		"query":               "rules: [{role: a, perReplica: 1}]",
		"perReplica":          "rules: [{role: a, query: q, perReplica: .nan}]",
		"min":                 one("min: -1"),
		"max":                 one("min: 5, max: 4"),
		"stepUp":              one("stepUp: -1"),
		"cooldownUp":          one("cooldownUp: 25h"),
		"tolerance":           one("tolerance: 1"),
		"floors[0].name":      one("floors: [{replicas: 1}]"),
		"floors[0].until":     one("floors: [{name: x, replicas: 1}]"),
		"floors[0].replicas":  one("max: 3, floors: [{name: x, replicas: 4, until: 2026-12-01T08:30:00Z}]"),
		"one rule a role":     "rules: [{role: a, query: q, perReplica: 1}, {role: a, query: q, perReplica: 1}]",
		"field extra":         one("extra: 1"),
		"cannot unmarshal":    "rules: 7",
		"at most 1048576":     strings.Repeat(" ", maxRulesFile+1),
		"at most 64":          "rules: [" + strings.Repeat("{},", MaxRules+1) + "]",
		"rules[0].perReplica": "rules: [{role: a, query: q}]",
	} {
		if _, err := ParseRules([]byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add([]byte(document))
	f.Add([]byte("rules: [&a {role: a}, *a]"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		rules, err := ParseRules(doc)
		if err != nil {
			return
		}
		for _, r := range rules {
			if err := r.Validate(); err != nil {
				t.Fatalf("accepted a rule that is not valid: %v", err)
			}
		}
	})
}
