package payment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Class orders what we ask of the provider: when calls are scarce, the lower number goes first.
type Class uint8

// Classes, in the order in which they are served.
const (
	ClassCreate Class = iota
	ClassResolve
	ClassVoid
	ClassCapture
	ClassRefund
	ClassReconcile
	classes
)

// String is the class's name in metrics.
func (c Class) String() string {
	return [...]string{"create", "resolve", "void", "capture", "refund", "reconcile"}[min(c, ClassReconcile)]
}

// Budget says when a call to the provider may be made.
type Budget interface {
	// Wait returns when one call to the endpoint may be made, or with ErrBudget or the error of ctx when it may not.
	// Endpoint is one of a closed set: "payment_intents.create".
	Wait(ctx context.Context, endpoint string, class Class) error
	// Slow says that the provider refused a call to the endpoint as one too many.
	Slow(endpoint string)
}

// ErrBudget: too many calls wait for the provider already.
var ErrBudget = fmt.Errorf("%w: too many calls wait for the provider", ErrUnavailable)

// errTurn: the caller gave up before its turn came.
var errTurn = fmt.Errorf("%w: no turn with the provider yet", ErrUnavailable)

// BudgetConfig is how many calls the provider allows the merchant account. Zero values stand for the defaults, which are what
// Stripe allows a live account.
type BudgetConfig struct {
	PerSecond         int `yaml:"perSecond" default:"90" help:"most calls to the payment provider per second, all endpoints together"`
	EndpointPerSecond int `yaml:"endpointPerSecond" default:"24" help:"most calls per second to one endpoint"`
	MaxWaiting        int `yaml:"maxWaiting" default:"2048" help:"most calls that wait for their turn in one process; further ones fail at once"`
	Processes         int `yaml:"processes" default:"4" help:"how many processes call the payment provider; each takes so much of the budget when Redis, which shares it, is away"`
}

// Validate refuses negative numbers.
func (c BudgetConfig) Validate() error {
	if c.PerSecond < 0 || c.EndpointPerSecond < 0 || c.MaxWaiting < 0 || c.Processes < 0 {
		return errors.New("perSecond, endpointPerSecond, maxWaiting, processes: must not be negative")
	}
	return nil
}

func (c BudgetConfig) filled() BudgetConfig {
	for v, d := range map[*int]int{&c.PerSecond: 90, &c.EndpointPerSecond: 24, &c.MaxWaiting: 2048, &c.Processes: 4} {
		if *v == 0 {
			*v = d
		}
	}
	return c
}

// LocalBudget keeps the budget of one process: a token bucket for everything and one for each endpoint. A class takes
// a token only if the classes before it would still find some, so that under pressure captures wait before creations
// do; every class has its turn once those before it are served.
type LocalBudget struct {
	cfg BudgetConfig
	now func() time.Time

	mu      sync.Mutex
	all     bucket
	each    map[string]*bucket
	waiting [classes]int
}

// bucket holds up to one second's worth of tokens.
type bucket struct {
	tokens float64
	rate   float64
	at     time.Time
}

// NewLocalBudget returns a full budget. now may be nil.
func NewLocalBudget(cfg BudgetConfig, now func() time.Time) *LocalBudget {
	cfg = cfg.filled()
	if now == nil {
		now = time.Now
	}
	rate := float64(cfg.PerSecond)
	return &LocalBudget{
		cfg: cfg, now: now, all: bucket{tokens: rate, rate: rate, at: now()}, each: map[string]*bucket{},
	}
}

// Wait implements Budget.
func (b *LocalBudget) Wait(ctx context.Context, endpoint string, class Class) error {
	class = min(class, ClassReconcile)
	wait, err := b.enter(endpoint, class)
	if err != nil || wait == 0 {
		return err
	}
	defer b.leave(class)
	for wait > 0 {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", errTurn, ctx.Err())
		case <-t.C:
		}
		wait = b.again(endpoint, class)
	}
	return nil
}

// Slow implements Budget: the endpoint rests.
func (b *LocalBudget) Slow(endpoint string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if one := b.each[endpoint]; one != nil {
		one.tokens, one.at = 0, b.now().Add(slowDown)
	}
}

// enter takes a token at once, or counts the caller among those that wait.
func (b *LocalBudget) enter(endpoint string, class Class) (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := b.take(endpoint, class)
	if wait == 0 {
		return 0, nil
	}
	total := 0
	for _, n := range b.waiting {
		total += n
	}
	if total >= b.cfg.MaxWaiting {
		return 0, ErrBudget
	}
	b.waiting[class]++
	return wait, nil
}

func (b *LocalBudget) again(endpoint string, class Class) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	// It is itself counted as waiting; take looks only at the classes before it.
	return b.take(endpoint, class)
}

func (b *LocalBudget) leave(class Class) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[class]--
}

// take takes a token of both buckets and returns zero, or returns when to ask again.
func (b *LocalBudget) take(endpoint string, class Class) time.Duration {
	now := b.now()
	one := b.each[endpoint]
	if one == nil {
		rate := float64(b.cfg.EndpointPerSecond)
		one = &bucket{tokens: rate, rate: rate, at: now}
		b.each[endpoint] = one // endpoints are a closed set
	}
	need := 1.0
	for before := range class {
		need += float64(b.waiting[before])
	}
	// What those before us need is capped at the bucket's size, or we would wait for what can never be there.
	wait := max(b.all.until(now, min(need, b.all.rate)), one.until(now, 1))
	if wait > 0 {
		return wait
	}
	b.all.tokens--
	one.tokens--
	return 0
}

// until refills the bucket and says how long until it holds need tokens.
func (k *bucket) until(now time.Time, need float64) time.Duration {
	if d := now.Sub(k.at); d > 0 {
		k.tokens = min(k.rate, k.tokens+d.Seconds()*k.rate)
		k.at = now
	}
	if k.tokens >= need {
		return 0
	}
	return max(time.Millisecond, time.Duration((need-k.tokens)/k.rate*float64(time.Second)))
}
