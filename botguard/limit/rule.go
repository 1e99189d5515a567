package limit

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

//go:embed default.yaml
var defaultRules []byte

// KeyKind is what a rule counts by.
type KeyKind string

// The kinds. Each has a parent: the network whose bucket is shared when the table has no room for another key.
const (
	KeyAddress KeyKind = "address" // IPv4 /32, IPv6 /56
	KeyNetwork KeyKind = "network" // IPv4 /24, IPv6 /48
	KeyBlock   KeyKind = "block"   // IPv4 /16, IPv6 /32
	KeyVisitor KeyKind = "visitor"
	KeyUser    KeyKind = "user"
	KeyAll     KeyKind = "all" // one bucket for everybody
)

func (k KeyKind) tag() byte {
	switch k {
	case KeyAddress:
		return 1
	case KeyNetwork:
		return 2
	case KeyBlock:
		return 3
	case KeyVisitor:
		return 4
	case KeyUser:
		return 5
	case KeyAll:
		return 6
	}
	return 0
}

func (k KeyKind) parent() KeyKind {
	switch k {
	case KeyAddress, KeyVisitor, KeyUser:
		return KeyNetwork
	case KeyNetwork:
		return KeyBlock
	}
	return KeyAll
}

// network says whether the kind counts by a network prefix.
func (k KeyKind) network() bool { return k == KeyAddress || k == KeyNetwork || k == KeyBlock }

// prefix masks an address; ok is false for kinds that are no prefix and for the invalid address.
func (k KeyKind) prefix(a netip.Addr) (masked netip.Addr, ok bool) {
	four, six := 0, 0
	switch k {
	case KeyAddress:
		four, six = 32, 56
	case KeyNetwork:
		four, six = 24, 48
	case KeyBlock:
		four, six = 16, 32
	default:
		return netip.Addr{}, false
	}
	bits := six
	if a.Is4() {
		bits = four
	}
	p, err := a.Prefix(bits)
	return p.Addr(), err == nil
}

// Rule allows Burst calls at once and Rate calls per Per in the long run, for each key.
type Rule struct {
	Name   string        `yaml:"name" help:"what clients and metrics see; letters, digits and dashes, unique"`
	Key    KeyKind       `yaml:"key" help:"what is counted: address, network, block, visitor, user, all"`
	Rate   int           `yaml:"rate" help:"calls per period in the long run"`
	Per    time.Duration `yaml:"per" default:"1m" help:"the period"`
	Burst  int           `yaml:"burst" help:"calls at once; 0 means the rate"`
	Shared bool          `yaml:"shared" help:"count in the shared store too"`
	Failed int           `yaml:"failed" help:"how many further calls a wrong solution counts as; 0 for none"`
}

const (
	maxName = 40
	maxRate = 1_000_000
	maxPer  = 24 * time.Hour
	maxFull = 7 * 24 * time.Hour // how long an exhausted bucket may take to fill
)

// withDefaults fills the zero values.
func (r Rule) withDefaults() Rule {
	if r.Per == 0 {
		r.Per = time.Minute
	}
	if r.Burst == 0 {
		r.Burst = r.Rate
	}
	return r
}

// Validate says what is wrong with a rule; the name is not repeated in the error.
func (r Rule) Validate() error {
	r = r.withDefaults()
	switch {
	case !validName(r.Name):
		return fmt.Errorf("name: expected 1 to 40 letters, digits and dashes, got %q", r.Name)
	case r.Key.tag() == 0:
		return fmt.Errorf("%s.key: expected address, network, block, visitor, user or all, got %q", r.Name, r.Key)
	case r.Rate < 1 || r.Rate > maxRate:
		return fmt.Errorf("%s.rate: expected 1 to %d, got %d", r.Name, maxRate, r.Rate)
	case r.Burst < 1 || r.Burst > maxRate:
		return fmt.Errorf("%s.burst: expected 1 to %d, got %d", r.Name, maxRate, r.Burst)
	case r.Per < time.Second || r.Per > maxPer:
		return fmt.Errorf("%s.per: expected 1s to %s, got %s", r.Name, maxPer, r.Per)
	case r.Failed < 0 || r.Failed > r.Burst:
		return fmt.Errorf("%s.failed: expected 0 to the burst, %d, got %d", r.Name, r.Burst, r.Failed)
	case float64(r.Per)/float64(r.Rate)*float64(r.Burst) > float64(maxFull):
		return fmt.Errorf("%s.burst: an empty bucket would take more than %s to fill", r.Name, maxFull)
	}
	return nil
}

func validName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

func checkRules(rules []Rule) error {
	if len(rules) == 0 || len(rules) > MaxRules {
		return fmt.Errorf("expected 1 to %d rules, got %d", MaxRules, len(rules))
	}
	for _, r := range rules {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// DefaultRules returns the embedded rules by action.
func DefaultRules() (map[string][]Rule, error) {
	var out map[string][]Rule
	if err := yaml.Unmarshal(defaultRules, &out); err != nil {
		return nil, fmt.Errorf("embedded rules: %w", err)
	}
	return out, nil
}

// rule is a Rule ready to use.
type rule struct {
	Rule
	id      uint64 // of the name alone: servers with different rules agree about those they share
	every   int64  // ns between two calls in the long run
	full    int64  // ns that an empty bucket takes to fill
	crowded prometheus.Counter
	policy  [2]string // of an address, of a listed carrier's address
}

func nameID(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return binary.LittleEndian.Uint64(sum[:8])
}

// keyOf is the kind that applies to a subject: without user or visitor, the address.
func (r *rule) keyOf(s Subject) KeyKind {
	if (r.Key == KeyUser && s.User == "") || (r.Key == KeyVisitor && s.Visitor == [16]byte{}) {
		return KeyAddress
	}
	return r.Key
}

// action is an action's rules and counters.
type action struct {
	rules                         []rule
	allowed, denied, sharedDenied prometheus.Counter
}

// compile lays the configured actions over the embedded ones.
func compile(configured map[string][]Rule, carrier int64, m *metrics) (map[string]*action, error) {
	all, err := DefaultRules()
	if err != nil {
		return nil, err
	}
	maps.Copy(all, configured)
	seen := make(map[string]string)
	out := make(map[string]*action, len(all))
	for name, rules := range all {
		if err := checkRules(rules); err != nil {
			return nil, fmt.Errorf("actions.%s: %w", name, err)
		}
		a := &action{
			allowed:      m.decisions.WithLabelValues(name, "allowed"),
			denied:       m.decisions.WithLabelValues(name, "denied"),
			sharedDenied: m.decisions.WithLabelValues(name, "denied-shared"),
		}
		for _, r := range rules {
			if other, twice := seen[r.Name]; twice {
				return nil, fmt.Errorf("actions.%s: rule %q is also in %s; names are unique", name, r.Name, other)
			}
			seen[r.Name] = name
			r = r.withDefaults()
			every := max(1, int64(r.Per)/int64(r.Rate))
			ready := rule{Rule: r, id: nameID(r.Name), every: every, full: every * int64(r.Burst), crowded: m.crowded}
			for i, factor := range [2]int64{1, carrier} {
				ready.policy[i] = policyOf(r.Name, int64(r.Burst)*factor, time.Duration(ready.full))
			}
			a.rules = append(a.rules, ready)
		}
		out[name] = a
	}
	if out[ActionDefault] == nil {
		return nil, errors.New("actions: default is missing")
	}
	return out, nil
}
