// Package limit says how often somebody may do something. Tier one decides in process, in bounded memory, on
// everything; tier two counts in a store that all servers share, for the expensive calls. It touches memory and that
// store; it owns no socket, and when the store is away tier one decides alone.
//
// Addresses are never keys as they are: IPv4 counts by /32, IPv6 by /56 (a household has at least that much), and all
// keys are hashed under a secret, so that nobody can choose whose bucket to share.
package limit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// DefaultKeys is how many keys tier one tells apart at once when Config.Keys is 0: 16 MB of table.
	DefaultKeys = 500_000
	// MaxKeys bounds Config.Keys: 1 GB of table.
	MaxKeys = 32_000_000
	// DefaultCarrierFactor is used when Config.CarrierFactor is 0.
	DefaultCarrierFactor = 50
	// DefaultTimeout is how long a call to the shared store may take when Config.SharedTimeout is 0.
	DefaultTimeout = 50 * time.Millisecond
	// MaxActions is how many actions may have rules of their own.
	MaxActions = 64
	// MaxRules is how many rules one action may have.
	MaxRules = 8
	// MaxUser is how many bytes of a user id are looked at; longer ones share the bucket of their beginning.
	MaxUser = 128
)

// ActionDefault names the rules of every action that has none of its own.
const ActionDefault = "default"

// Config is the limits. The zero value uses the embedded rules.
type Config struct {
	Keys          int               `yaml:"keys" default:"500000" help:"how many keys the in-process limits tell apart at once; above it, keys share the bucket of their network"`
	CarrierFactor int               `yaml:"carrierFactor" default:"50" help:"how many times more an address of a listed carrier may do, since many people share it"`
	SharedTimeout time.Duration     `yaml:"sharedTimeout" default:"50ms" help:"how long one call to the shared limits may take before the in-process limits decide alone"`
	Actions       map[string][]Rule `yaml:"actions" help:"rules per action (arrive, join, enter, booking, pay, login, default); an action named here replaces the built-in rules of that action"`
}

// Validate checks ranges and every rule; 0 means the default.
func (c Config) Validate() error {
	if c.Keys < 0 || c.Keys > MaxKeys {
		return fmt.Errorf("keys: expected 1 to %d, got %d", MaxKeys, c.Keys)
	}
	if c.CarrierFactor < 0 || c.CarrierFactor > 10_000 {
		return fmt.Errorf("carrierFactor: expected 1 to 10000, got %d", c.CarrierFactor)
	}
	if c.SharedTimeout < 0 || c.SharedTimeout > time.Second {
		return fmt.Errorf("sharedTimeout: expected up to 1s, got %s", c.SharedTimeout)
	}
	if len(c.Actions) > MaxActions {
		return fmt.Errorf("actions: expected at most %d, got %d", MaxActions, len(c.Actions))
	}
	var errs []error
	for action, rules := range c.Actions {
		if err := checkRules(rules); err != nil {
			errs = append(errs, fmt.Errorf("actions.%s: %w", action, err))
		}
	}
	return errors.Join(errs...)
}

// Deps is what the limiter is handed.
type Deps struct {
	Secret  []byte                // the same on all servers: keys in the shared store; needed with Shared
	Shared  Store                 // tier two; nil for none
	Clock   func() time.Time      // nil for time.Now
	Random  io.Reader             // the in-process hash key; nil for crypto/rand
	Log     *slog.Logger          // nil for silence
	Metrics prometheus.Registerer // nil for none
}

// Subject is who asks. Rules pick what they count by; a rule by user or visitor counts by address when there is none.
type Subject struct {
	Address netip.Addr // invalid addresses all share one bucket
	Carrier bool       // the address belongs to a listed carrier
	Visitor [16]byte   // zero for none
	User    string     // empty for none
}

// Limiter decides. It is safe for concurrent use and owns no goroutine.
type Limiter struct {
	table   *table
	keys    sipKey // in-process
	outer   sipKey // shared store
	carrier int64
	actions map[string]*action
	other   *action
	shared  *shared
	clock   func() time.Time
	start   time.Time
}

// New reads the rules and allocates the table.
func New(c Config, d Deps) (*Limiter, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("limit: %w", err)
	}
	if d.Shared != nil && len(d.Secret) < 16 {
		return nil, errors.New("limit: the shared store needs a secret of at least 16 bytes")
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	l := &Limiter{clock: d.Clock, start: d.Clock(), carrier: DefaultCarrierFactor, outer: secretKey(d.Secret)}
	if c.CarrierFactor > 0 {
		l.carrier = int64(c.CarrierFactor)
	}
	var key [16]byte
	if _, err := io.ReadFull(d.Random, key[:]); err != nil {
		return nil, fmt.Errorf("limit: hash key: %w", err)
	}
	l.keys = newSipKey(key)
	keys := DefaultKeys
	if c.Keys > 0 {
		keys = c.Keys
	}
	l.table = newTable(keys)
	m, err := newMetrics(d.Metrics)
	if err != nil {
		return nil, fmt.Errorf("limit: %w", err)
	}
	if l.actions, err = compile(c.Actions, l.carrier, m); err != nil {
		return nil, fmt.Errorf("limit: %w", err)
	}
	l.other = l.actions[ActionDefault]
	if d.Shared != nil {
		l.shared = newShared(d.Shared, c.SharedTimeout, d.Clock, d.Log, m)
	}
	return l, nil
}

func secretKey(secret []byte) sipKey {
	sum := sha256.Sum256(append([]byte("fairgate limit keys\x00"), secret...))
	return newSipKey([16]byte(sum[:16]))
}

// Take counts one call of an action and decides. The rules are asked in their order, tier one first; the first that is
// used up refuses, and those before it have counted the call. An action without rules has those of ActionDefault. ctx
// bounds the call to the shared store; tier one never waits.
func (l *Limiter) Take(ctx context.Context, actionName string, s Subject) Decision {
	a := l.actions[actionName]
	if a == nil {
		a = l.other
	}
	s.Address = s.Address.Unmap().WithZone("")
	now := int64(l.clock().Sub(l.start))
	best := Decision{Allowed: true, Remaining: -1}
	for i := range a.rules {
		d := l.local(&a.rules[i], s, now)
		if !d.Allowed {
			a.denied.Inc()
			return d
		}
		best = best.tighter(d)
	}
	if l.shared != nil {
		for i := range a.rules {
			if r := &a.rules[i]; r.Shared {
				d, ok := l.beyond(ctx, r, s)
				if ok && !d.Allowed {
					a.sharedDenied.Inc()
					return d
				}
				if ok {
					best = best.tighter(d)
				}
			}
		}
	}
	a.allowed.Inc()
	return best
}

// Charge makes a call that was let through and came to nothing, such as a wrong solution, count as Rule.Failed calls more in
// tier one. Whoever sends nothing else has then as good as no calls, and is refused before anybody reads what they send. It
// never keeps a bucket empty for longer than the charge itself takes to fill.
func (l *Limiter) Charge(actionName string, s Subject) {
	a := l.actions[actionName]
	if a == nil {
		a = l.other
	}
	s.Address = s.Address.Unmap().WithZone("")
	now := int64(l.clock().Sub(l.start))
	for i := range a.rules {
		r := &a.rules[i]
		if r.Failed == 0 {
			continue
		}
		kind := r.keyOf(s)
		more := int64(r.Failed) * max(1, r.every/l.factor(r, s))
		if !l.table.charge(now, l.hash(l.keys, r, kind, s), more, r.full) {
			l.table.chargeShared(now, l.hash(l.keys, r, kind.parent(), s), more, r.full)
		}
	}
}

// local is tier one's decision by one rule.
func (l *Limiter) local(r *rule, s Subject, now int64) Decision {
	factor := l.factor(r, s)
	kind := r.keyOf(s)
	every, full := max(1, r.every/factor), r.full
	late, ok := l.table.take(now, l.hash(l.keys, r, kind, s), every, full)
	if !ok {
		late = l.table.takeShared(now, l.hash(l.keys, r, kind.parent(), s), every, full)
		r.crowded.Inc()
	}
	d := Decision{
		Allowed: late.wait == 0, Rule: r.Name, Limit: int64(r.Burst) * factor, Window: time.Duration(full),
		Remaining: max(0, (full-late.used)/every), Reset: time.Duration(late.used), RetryAfter: time.Duration(late.wait),
		policy: r.policy[0],
	}
	if factor != 1 {
		d.policy = r.policy[1]
	}
	return d
}

func (l *Limiter) factor(r *rule, s Subject) int64 {
	if s.Carrier && r.keyOf(s).network() {
		return l.carrier
	}
	return 1
}

// beyond is tier two's decision by one rule; ok is false when the store could not say.
func (l *Limiter) beyond(ctx context.Context, r *rule, s Subject) (d Decision, ok bool) {
	limit := (int64(r.Rate) + int64(r.Burst)) * l.factor(r, s)
	var text [len("0123456789abcdef")]byte
	key := r.Name + ":" + string(appendHex(text[:0], l.hash(l.outer, r, r.keyOf(s), s)))
	count, ok := l.shared.take(ctx, key, limit, r.Per)
	if !ok {
		return Decision{}, false
	}
	d = Decision{
		Allowed: !count.Reached, Shared: true, Rule: r.Name, Limit: limit, Remaining: max(0, count.Remaining),
		Window: r.Per, Reset: count.Reset,
	}
	if count.Reached {
		d.RetryAfter = max(count.Reset, time.Second)
	}
	return d, true
}

// hash is the keyed hash of (rule, kind, value): 32 bytes.
func (l *Limiter) hash(key sipKey, r *rule, kind KeyKind, s Subject) uint64 {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[0:], r.id)
	b[8] = kind.tag()
	switch kind {
	case KeyUser:
		sum := key.sum([]byte(s.User[:min(len(s.User), MaxUser)]))
		binary.LittleEndian.PutUint64(b[16:], sum)
	case KeyVisitor:
		copy(b[16:], s.Visitor[:])
	default:
		if n, ok := kind.prefix(s.Address); ok {
			a := n.As16()
			copy(b[16:], a[:])
			b[9] = byte(n.BitLen() / 8)
		}
	}
	return key.sum(b[:])
}

func appendHex(b []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[v>>shift&15])
	}
	return b
}
