package stripesim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxRules bounds the rules of a script.
const maxRules = 1000

// Rule is one named fault and when it strikes: at random, or the next few times that it could. Filters left empty let
// everything through.
type Rule struct {
	Name     string        `json:"name"`               // one of FaultNames
	Endpoint string        `json:"endpoint,omitempty"` // prefix of "POST /v1/payment_intents/{id}/capture"
	Object   string        `json:"object,omitempty"`   // id in the path, or the event's subject
	Event    string        `json:"event,omitempty"`    // event type, for webhooks; may end in *
	Chance   float64       `json:"chance,omitempty"`   // 0 to 1; 0 stands for 1
	Skip     int           `json:"skip,omitempty"`     // let this many pass first
	Times    int           `json:"times,omitempty"`    // strike at most so often; 0 for no end
	Delay    time.Duration `json:"delay,omitempty"`    // nanoseconds; in place of the fault's own
	Code     string        `json:"code,omitempty"`     // decline or error code, or dispute reason, in place of the fault's own
	Amount   int64         `json:"amount,omitempty"`   // of a refund by hand, in place of everything
}

// validate says what is wrong with a rule.
func (r Rule) validate() error {
	if _, ok := faultNamed(r.Name); !ok {
		return fmt.Errorf("name %.100q: expected one of %s", r.Name, strings.Join(FaultNames(), ", "))
	}
	if r.Chance < 0 || r.Chance > 1 || r.Skip < 0 || r.Times < 0 || r.Delay < 0 || r.Amount < 0 {
		return fmt.Errorf("%s: expected chance from 0 to 1, and no negative number", r.Name)
	}
	if r.Chance == 0 && r.Times == 0 {
		return fmt.Errorf("%s: expected a chance, or a number of times", r.Name)
	}
	return nil
}

// Script is a policy made of rules, which may change while it is in use. The same seed, rules and order of calls give
// the same faults.
type Script struct {
	mu     sync.Mutex
	random *rand.Rand
	rules  []*armed
	struck map[string]int
}

// armed is a rule in use.
type armed struct {
	Rule
	kind faultKind
}

// NewScript makes a policy. Its errors name the rule that cannot work.
func NewScript(seed uint64, rules ...Rule) (*Script, error) {
	s := &Script{random: rand.New(rand.NewPCG(seed, seed)), struck: map[string]int{}}
	return s, s.Add(rules...)
}

// Add puts rules behind the others; of those that could strike, the first does. One wrong rule refuses all.
func (s *Script) Add(rules ...Rule) error {
	for _, r := range rules {
		if err := r.validate(); err != nil {
			return fmt.Errorf("fault %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rules)+len(rules) > maxRules {
		return errors.New("fault rules: too many")
	}
	for _, r := range rules {
		kind, _ := faultNamed(r.Name) // validate has seen it
		s.rules = append(s.rules, &armed{r, kind})
	}
	return nil
}

// Reset drops all rules; the counts of what struck stay.
func (s *Script) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Rules are those that may still strike, with what is left of Skip and Times.
func (s *Script) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Rule, 0, len(s.rules))
	for _, r := range s.rules {
		out = append(out, r.Rule)
	}
	return out
}

// Struck counts, by name, how often each fault has struck.
func (s *Script) Struck() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.struck))
	for name, n := range s.struck {
		out[name] = n
	}
	return out
}

// At implements Faults.
func (s *Script) At(c Call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.rules {
		if !r.fits(c) {
			continue
		}
		if r.Chance > 0 && s.random.Float64() >= r.Chance {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		if r.Times > 0 {
			if r.Times--; r.Times == 0 {
				s.rules = slices.Delete(s.rules, i, i+1)
			}
		}
		s.struck[r.Name]++
		return s.fault(r)
	}
	return Fault{}
}

// fits says whether a rule is about a call. Faults of an event are decided at its first try.
func (r *armed) fits(c Call) bool {
	return r.kind.point == c.Point && strings.HasPrefix(c.Endpoint, r.Endpoint) && (r.Object == "" || r.Object == c.Object) &&
		(r.Event == "" || kindMatches(r.Event, c.Event)) && (c.Point != PointWebhook || c.Attempt == 1 || r.kind.fault.Drop)
}

// fault fills in what the rule says differently. The caller holds s.mu.
func (s *Script) fault(r *armed) Fault {
	f := r.kind.fault
	if r.Delay > 0 {
		f.Delay = r.Delay
	}
	if r.kind.spread {
		f.Delay = time.Duration(s.random.Int64N(int64(f.Delay) + 1))
	}
	if r.Code != "" {
		switch {
		case f.Decline != "":
			f.Decline = r.Code
		case f.Dispute != "":
			f.Dispute = r.Code
		case f.Version != "":
			f.Version = r.Code
		default:
			f.Code = r.Code
		}
	}
	if r.Amount > 0 && f.GiveBack > 0 {
		f.GiveBack = r.Amount
	}
	return f
}

// faultKind is what a name stands for.
type faultKind struct {
	name   string
	point  Point
	fault  Fault
	spread bool // the delay is drawn from nothing to the one given
}

// faultKinds is the closed list of named faults.
func faultKinds() []faultKind {
	const everything = 1 << 60
	return []faultKind{
		{name: "rate_limited", point: PointArrive, fault: Fault{Status: 429, Code: "rate_limit"}},
		{name: "lock_timeout", point: PointArrive, fault: Fault{Status: 429, Code: "lock_timeout"}},
		{name: "unavailable", point: PointArrive, fault: Fault{Status: 503}},
		{name: "slow", point: PointArrive, fault: Fault{Delay: 2400 * time.Millisecond}},
		{name: "call_lost", point: PointArrive, fault: Fault{Drop: true}},
		{name: "server_error", point: PointExecute, fault: Fault{Status: 500}},
		{name: "server_error_done", point: PointExecute, fault: Fault{Status: 500, Done: true}},
		{name: "answer_lost", point: PointAnswer, fault: Fault{Drop: true}},
		{name: "answer_late", point: PointAnswer, fault: Fault{Delay: 30 * time.Second}},
		{name: "webhook_early", point: PointAnswer, fault: Fault{Early: true}},
		{name: "webhook_lost", point: PointWebhook, fault: Fault{Lose: true}},
		{name: "webhook_failed", point: PointWebhook, fault: Fault{Drop: true}},
		{name: "webhook_doubled", point: PointWebhook, fault: Fault{Repeat: 1}},
		{name: "webhook_delayed", point: PointWebhook, fault: Fault{Delay: 5 * time.Second}},
		{name: "webhook_reordered", point: PointWebhook, fault: Fault{Delay: 2 * time.Second}, spread: true},
		{name: "webhook_other_version", point: PointWebhook, fault: Fault{Version: "2022-11-15"}},
		{name: "card_declined", point: PointCard, fault: Fault{Decline: "generic_decline"}},
		{name: "secure_finished", point: PointCard, fault: Fault{Secure: SecureComplete, Delay: time.Second}},
		{name: "secure_late", point: PointCard, fault: Fault{Secure: SecureComplete, Delay: 6 * time.Minute}},
		{name: "secure_failed", point: PointCard, fault: Fault{Secure: SecureFail, Delay: time.Second}},
		{name: "secure_abandoned", point: PointCard, fault: Fault{Secure: SecureAbandon}},
		{name: "authorisation_expires", point: PointCard, fault: Fault{Expires: true, Delay: time.Second}},
		{name: "capture_declined", point: PointCapture, fault: Fault{Code: "card_declined"}},
		{name: "capture_expired", point: PointCapture, fault: Fault{Code: "charge_expired_for_capture"}},
		{name: "refund_pending", point: PointRefund, fault: Fault{Refund: RefundPending}},
		{name: "refund_pending_fails", point: PointRefund, fault: Fault{Refund: RefundPendingFails}},
		{name: "refund_fails", point: PointRefund, fault: Fault{Refund: RefundFails}},
		{name: "refund_requires_action", point: PointRefund, fault: Fault{Refund: RefundRequiresAction}},
		{name: "dispute_opened", point: PointCapture, fault: Fault{Dispute: "fraudulent"}},
		{name: "dispute_won", point: PointCapture, fault: Fault{Dispute: "fraudulent", Verdict: "won", Delay: time.Second}},
		{name: "dispute_lost", point: PointCapture, fault: Fault{Dispute: "fraudulent", Verdict: "lost", Delay: time.Second}},
		{name: "dashboard_refund", point: PointCapture, fault: Fault{GiveBack: everything, Delay: time.Second}},
	}
}

// FaultNames lists the named faults.
func FaultNames() []string {
	var out []string
	for _, k := range faultKinds() {
		out = append(out, k.name)
	}
	return out
}

func faultNamed(name string) (faultKind, bool) {
	for _, k := range faultKinds() {
		if k.name == name {
			return k, true
		}
	}
	return faultKind{}, false
}
