package scaler

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits of a set of rules.
const (
	MaxRules       = 64
	MaxFloors      = 256     // scheduled floors of one rule
	MaxReplicas    = 1_000   // of one role
	MaxQueryLength = 4 << 10 // bytes of one query
	maxRulesFile   = 1 << 20 // bytes
	maxCooldown    = 24 * time.Hour
)

// Rule says how many replicas one role should have: as many as its load needs, within bounds, moving in steps.
type Rule struct {
	Role         string        `yaml:"role" help:"role to scale, such as booking"`
	Query        string        `yaml:"query" help:"PromQL whose single value is the role's load"`
	PerReplica   float64       `yaml:"perReplica" help:"load that one replica should carry"`
	CurrentQuery string        `yaml:"currentQuery" help:"PromQL that counts running replicas, for drivers that cannot; else sum(up{role=\"ROLE\"})"`
	Min          int           `yaml:"min" help:"fewest replicas" default:"1"`
	Max          int           `yaml:"max" help:"most replicas; the same as min if missing"`
	StepUp       int           `yaml:"stepUp" help:"most replicas added at once" default:"10"`
	StepDown     int           `yaml:"stepDown" help:"most replicas removed at once" default:"1"`
	CooldownUp   time.Duration `yaml:"cooldownUp" help:"least time between two increases" default:"30s"`
	CooldownDown time.Duration `yaml:"cooldownDown" help:"how long the load must have been lower, and nothing changed, before a decrease" default:"5m"`
	Tolerance    float64       `yaml:"tolerance" help:"share by which the load may be off before anything moves" default:"0.1"`
	Floors       []Floor       `yaml:"floors" help:"scheduled least numbers of replicas, such as before an on-sale"`
}

// Floor is a least number of replicas for a while, From inclusive to Until exclusive. It takes effect at once, whatever
// the steps and cooldowns, and never lies above the rule's Max.
type Floor struct {
	Name     string    `yaml:"name" help:"why, as it is to be printed"`
	From     time.Time `yaml:"from" help:"instant (RFC 3339), inclusive"`
	Until    time.Time `yaml:"until" help:"instant (RFC 3339), exclusive"`
	Replicas int       `yaml:"replicas" help:"least number of replicas"`
}

// ParseRules reads a YAML document with one key, rules. Unknown keys are refused. The rules are returned with defaults
// filled in and validated.
func ParseRules(document []byte) ([]Rule, error) {
	if len(document) > maxRulesFile {
		return nil, fmt.Errorf("rules: expected at most %d bytes, got %d", maxRulesFile, len(document))
	}
	var file struct {
		Rules []Rule `yaml:"rules"`
	}
	d := yaml.NewDecoder(bytes.NewReader(document))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return prepare(file.Rules)
}

// prepare fills in defaults, validates, and refuses two rules for one role.
func prepare(rules []Rule) ([]Rule, error) {
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("rules: expected at most %d, got %d", MaxRules, len(rules))
	}
	ready := make([]Rule, 0, len(rules))
	seen := make(map[string]bool, len(rules))
	for i, r := range rules {
		r = r.withDefaults()
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("rules[%d].%w", i, err)
		}
		if seen[r.Role] {
			return nil, fmt.Errorf("rules[%d].role: expected one rule a role, got a second for %q", i, r.Role)
		}
		seen[r.Role] = true
		ready = append(ready, r)
	}
	return ready, nil
}

func (r Rule) withDefaults() Rule {
	standard(&r.Min, 1)
	standard(&r.Max, r.Min)
	standard(&r.StepUp, 10)
	standard(&r.StepDown, 1)
	standard(&r.CooldownUp, 30*time.Second)
	standard(&r.CooldownDown, 5*time.Minute)
	standard(&r.Tolerance, 0.1)
	standard(&r.CurrentQuery, `sum(up{role="`+r.Role+`"})`)
	return r
}

func standard[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Validate reports the first field of a rule, defaults filled in, that cannot be followed.
func (r Rule) Validate() error {
	r = r.withDefaults()
	switch {
	case !regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`).MatchString(r.Role):
		return fmt.Errorf("role: expected lower-case letters, digits and hyphens, got %q", r.Role)
	case r.Query == "" || len(r.Query) > MaxQueryLength || len(r.CurrentQuery) > MaxQueryLength:
		return fmt.Errorf("query: expected PromQL of 1 to %d bytes", MaxQueryLength)
	case !(r.PerReplica > 0) || r.PerReplica > 1e15:
		return fmt.Errorf("perReplica: expected more than 0, got %v", r.PerReplica)
	case r.Min < 1 || r.Min > MaxReplicas:
		return fmt.Errorf("min: expected 1 to %d, got %d", MaxReplicas, r.Min)
	case r.Max < r.Min || r.Max > MaxReplicas:
		return fmt.Errorf("max: expected %d (min) to %d, got %d", r.Min, MaxReplicas, r.Max)
	case r.StepUp < 1 || r.StepDown < 1:
		return fmt.Errorf("stepUp, stepDown: expected at least 1, got %d and %d", r.StepUp, r.StepDown)
	case r.CooldownUp < 0 || r.CooldownUp > maxCooldown || r.CooldownDown < 0 || r.CooldownDown > maxCooldown:
		return fmt.Errorf("cooldownUp, cooldownDown: expected 0 to %s, got %s and %s", maxCooldown, r.CooldownUp, r.CooldownDown)
	case !(r.Tolerance >= 0 && r.Tolerance < 1):
		return fmt.Errorf("tolerance: expected 0 to below 1, got %v", r.Tolerance)
	}
	return r.validateFloors()
}

func (r Rule) validateFloors() error {
	if len(r.Floors) > MaxFloors {
		return fmt.Errorf("floors: expected at most %d, got %d", MaxFloors, len(r.Floors))
	}
	for i, f := range r.Floors {
		switch {
		case f.Name == "":
			return fmt.Errorf("floors[%d].name: expected a reason to print", i)
		case !f.Until.After(f.From):
			return fmt.Errorf("floors[%d].until: expected an instant after from", i)
		case f.Replicas < 1 || f.Replicas > r.Max:
			return fmt.Errorf("floors[%d].replicas: expected 1 to %d (max), got %d", i, r.Max, f.Replicas)
		}
	}
	return nil
}

// floor returns the least number of replicas at an instant, and why.
func (r Rule) floor(now time.Time) (replicas int, why string) {
	replicas, why = r.Min, "min"
	for _, f := range r.Floors {
		if f.Replicas > replicas && !now.Before(f.From) && now.Before(f.Until) {
			replicas, why = f.Replicas, f.Name
		}
	}
	return replicas, why
}
