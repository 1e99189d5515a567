// Package risk turns what is known about a request into an action: signals score points, points choose what happens.
// Rules are data (YAML, with an embedded default); evaluation is pure and every result can explain itself. It touches
// nothing.
//
// A score is a suspicion, never a proof. The embedded rules therefore refuse nobody for what a browser looks like: the
// worst that headers alone can do is a higher price.
package risk

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed default.yaml
var defaultRules []byte

const (
	// MaxRules is how many rules a document may have.
	MaxRules = 100
	// MaxSteps is how many steps a document may have.
	MaxSteps = 16
	// MaxScore bounds the points of one rule, either way.
	MaxScore = 1000
	// MaxPrice is the highest factor that a step may put on the price.
	MaxPrice = 8
	// MaxDocument is the longest document, in bytes.
	MaxDocument = 64 << 10
)

// Kind is what happens.
type Kind string

// The kinds of actions, from mild to severe.
const (
	Allow  Kind = "allow"
	Price  Kind = "price"  // the puzzle costs more, by Factor
	Lane   Kind = "lane"   // another lane of the waiting room
	Refuse Kind = "refuse" // with an appeal code: always a path to a person
)

// Step is an action that applies from a score on.
type Step struct {
	At     int  `yaml:"at" help:"score from which the step applies"`
	Action Kind `yaml:"action" help:"allow, price, lane or refuse"`
	Factor int  `yaml:"factor" help:"of the price, 1 to 8; 0 means 1"`
}

// Rule scores points when its condition holds.
type Rule struct {
	Name  string `yaml:"name" help:"name of the rule, different from every other"`
	Fact  string `yaml:"fact" help:"what is asked about: action, userAgent, acceptLanguage, fetchSite (text); places, failures, limited (number); carrier, hosting, returning, user (flag)"`
	Is    string `yaml:"is" help:"missing or contains (text), atLeast or atMost (number), true or false (flag)"`
	Value string `yaml:"value" help:"text for contains, whole number for atLeast and atMost, else empty"`
	Score int    `yaml:"score" help:"points, negative for trust"`
	Why   string `yaml:"why" help:"a sentence for the operator"`
}

// Document is the rules as data.
type Document struct {
	Version int    `yaml:"version" help:"layout of the rules: 1; missing for the built-in rules"`
	Rules   []Rule `yaml:"rules" help:"what scores points"`
	Steps   []Step `yaml:"steps" help:"what happens from which score on, ascending"`
}

// Rules is a checked document, ready to evaluate; safe for concurrent use.
type Rules struct {
	conditions []condition
	steps      []Step // by ascending At
}

// Default returns the embedded rules.
func Default() (*Rules, error) { return Parse(defaultRules) }

// Parse reads a YAML document. Unknown keys, facts and conditions, and numbers out of range, are errors that name the
// rule.
func Parse(text []byte) (*Rules, error) {
	if len(text) > MaxDocument {
		return nil, fmt.Errorf("risk rules: expected at most %d bytes, got %d", MaxDocument, len(text))
	}
	var d Document
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("risk rules: %w", err)
	}
	if err := dec.Decode(new(Document)); !errors.Is(err, io.EOF) {
		return nil, errors.New("risk rules: expected one document")
	}
	return d.Compile()
}

// Validate says what is wrong with a document; the zero value (the embedded rules are meant) is right.
func (d Document) Validate() error {
	if d.Version == 0 && len(d.Rules) == 0 && len(d.Steps) == 0 {
		return nil
	}
	_, err := d.Compile()
	return err
}

// Compile checks a document and makes it ready.
func (d Document) Compile() (*Rules, error) {
	if d.Version != 1 {
		return nil, fmt.Errorf("risk rules: version: expected 1, got %d", d.Version)
	}
	if len(d.Rules) > MaxRules || len(d.Steps) > MaxSteps {
		return nil, fmt.Errorf("risk rules: expected at most %d rules and %d steps", MaxRules, MaxSteps)
	}
	out := &Rules{}
	seen := make(map[string]bool)
	for i, r := range d.Rules {
		if r.Name == "" || seen[r.Name] {
			return nil, fmt.Errorf("risk rules: rule %d: expected a name of its own, got %q", i, r.Name)
		}
		seen[r.Name] = true
		c, err := r.compile()
		if err != nil {
			return nil, fmt.Errorf("risk rules: %s: %w", r.Name, err)
		}
		out.conditions = append(out.conditions, c)
	}
	for i, s := range d.Steps {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("risk rules: step %d: %w", i, err)
		}
		if i > 0 && s.At <= d.Steps[i-1].At {
			return nil, fmt.Errorf("risk rules: step %d: expected at above %d, got %d", i, d.Steps[i-1].At, s.At)
		}
		s.Factor = max(1, s.Factor)
		out.steps = append(out.steps, s)
	}
	return out, nil
}

func (s Step) check() error {
	switch s.Action {
	case Allow, Price, Lane, Refuse:
	default:
		return fmt.Errorf("action: expected allow, price, lane or refuse, got %q", s.Action)
	}
	if s.At < 1 || s.At > MaxRules*MaxScore {
		return fmt.Errorf("at: expected 1 to %d, got %d", MaxRules*MaxScore, s.At)
	}
	if s.Factor < 0 || s.Factor > MaxPrice {
		return fmt.Errorf("factor: expected 1 to %d, got %d", MaxPrice, s.Factor)
	}
	return nil
}

// Match is a rule whose condition held.
type Match struct {
	Rule  string
	Score int
	Why   string
}

// Held tells which rules held: bit i of word i/64 is the document's rule i.
type Held [(MaxRules + 63) / 64]uint64

// Result is an evaluation and its reasons.
type Result struct {
	Score   int
	Held    Held
	Action  Kind
	Factor  int // of the price; at least 1
	Matches []Match
	At      int // the score from which Action applies; 0 for Allow without a step
}

// Evaluate adds up the rules that hold and takes the highest step that the score reaches.
func (r *Rules) Evaluate(f Facts) Result {
	out := Result{Action: Allow, Factor: 1}
	var low lowered
	for i := range r.conditions {
		if c := &r.conditions[i]; c.holds(&f, &low) {
			out.Score += c.rule.Score
			out.Held[i/64] |= 1 << (i % 64)
			out.Matches = append(out.Matches, Match{Rule: c.rule.Name, Score: c.rule.Score, Why: c.rule.Why})
		}
	}
	for _, s := range r.steps {
		if out.Score >= s.At {
			out.Action, out.Factor, out.At = s.Action, s.Factor, s.At
		}
	}
	return out
}

// Names lists the rules that held, in the document's order.
func (r Result) Names() []string {
	names := make([]string, len(r.Matches))
	for i, m := range r.Matches {
		names[i] = m.Rule
	}
	return names
}

// Explain says in lines for an operator how the result came about.
func (r Result) Explain() []string {
	lines := make([]string, 0, len(r.Matches)+1)
	for _, m := range r.Matches {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%+d %s: %s", m.Score, m.Rule, m.Why), ": "))
	}
	end := fmt.Sprintf("score %d: %s", r.Score, r.Action)
	if r.Factor > 1 {
		end += fmt.Sprintf(", price x%d", r.Factor)
	}
	if r.At > 0 {
		end += fmt.Sprintf(" (from %d)", r.At)
	}
	return append(lines, end)
}
