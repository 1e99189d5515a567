package crowd

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// userPrefix begins the user ids of every crowd.
const userPrefix = "fan-"

// fan is one person. It belongs to the goroutine of live.
type fan struct {
	crowd *crowd
	index int64
	plan  Plan
	user  string
	from  string // its address
	rnd   *rand.Rand
	seen  *seenDocument // the newest it fetched itself

	visitor string // secret, base64url
	place   place
	pass    string // admission pass, a JWT; a secret
	passID  string
	step    Step
	since   time.Time // of the step
}

// place is a place in line as the answers told it.
type place struct {
	Token    string `json:"token"`
	Place    string `json:"place"`
	OrderKey string `json:"orderKey"`
	Lane     string `json:"lane"`
	Recorded bool   `json:"recorded"`
	Drawn    bool   `json:"drawn"`
	instant  int64  // µs
}

// end is how a visit ends early: an outcome, and why for those that should not be.
type end struct {
	outcome Outcome
	why     string
}

// Error says both.
func (e *end) Error() string { return strings.TrimSuffix(string(e.outcome)+": "+e.why, ": ") }

func ends(o Outcome) error { return &end{outcome: o} }

// fails ends a visit that was refused where it should not have been.
func fails(s Step, r reply) error {
	return &end{Failed, fmt.Sprintf("%s: %d %s", s, r.status, r.kind())}
}

func (c *crowd) newFan(index int64) *fan {
	return &fan{
		crowd: c, index: index, plan: c.cfg.Mix.plan(c.cfg.Seed, index),
		user: userPrefix + strconv.FormatUint(c.cfg.Seed, 36) + "-" + strconv.FormatInt(index, 10),
		from: c.address(index).String(), rnd: rand.New(rand.NewPCG(c.cfg.Seed, uint64(index))),
	}
}

// live is the whole visit. The error is the journal's alone: then the crowd ends.
func (f *fan) live(ctx context.Context) error {
	if d := f.crowd.cfg.FanDeadline; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	f.begin(StepArrive)
	err := f.visit(ctx)
	f.crowd.tally.states[f.step].Add(-1)
	var e *end
	switch {
	case errors.As(err, &e):
	case errors.Is(err, errJournal):
		e = &end{Unfinished, "journal"}
	case ctx.Err() != nil:
		e = &end{Unfinished, f.step.String()}
	default:
		e = &end{Failed, fmt.Sprintf("%s: %v", f.step, err)}
	}
	f.crowd.tally.ended(f.plan, e.outcome, e.why)
	if e.outcome == Failed {
		f.crowd.log.Warn("a fan failed", "user", f.user, "plan", f.plan.String(), "why", e.why)
	}
	if errors.Is(err, errJournal) {
		return err
	}
	return nil
}

// visit never returns nil: a visit ends with an *end, or with the context's or the journal's error.
func (f *fan) visit(ctx context.Context) error {
	if f.crowd.cfg.Room != 0 {
		if err := f.queue(ctx); err != nil {
			return err
		}
	}
	return f.buy(ctx)
}

// queue is everything before the shop.
func (f *fan) queue(ctx context.Context) error {
	for try := 1; ; try++ {
		err := f.takePlace(ctx)
		if errors.Is(err, errPlaceLost) && try < maxArrivals {
			f.crowd.tally.saw("arrivedAgain")
			f.enter(StepArrive)
			f.visitor, f.place = "", place{}
			continue
		}
		if errors.Is(err, errPlaceLost) {
			return &end{Missed, "no place in time"}
		}
		if err != nil {
			return err
		}
		break
	}
	if err := f.wait(ctx); err != nil {
		return err
	}
	if f.plan == VanisherEarly {
		return ends(Vanished)
	}
	return f.askToEnter(ctx)
}

// begin and enter move a fan from step to step; enter does not time the step that it leaves, next does.
func (f *fan) begin(s Step) {
	f.step, f.since = s, f.crowd.now()
	f.crowd.tally.states[s].Add(1)
}

func (f *fan) enter(s Step) {
	f.crowd.tally.states[f.step].Add(-1)
	f.begin(s)
}

func (f *fan) next(s Step) {
	f.took(f.step)
	f.enter(s)
}

func (f *fan) took(s Step) { f.crowd.tally.took(s, f.crowd.now().Sub(f.since)) }

// note puts an acknowledgement on disk. Until it returns the fan has not heard of it.
func (f *fan) note(e Entry) error {
	f.crowd.tally.saw(string(e.Kind))
	if f.crowd.deps.Journal == nil {
		return nil
	}
	e.At, e.Fan, e.User = f.crowd.now().UnixMicro(), f.index, f.user
	return f.crowd.deps.Journal.Append(e)
}

// send sends a call to the shop, with who the fan is, until it is answered. body is what JSON can hold, nil for none.
func (f *fan) send(ctx context.Context, method, path string, body any, with ...header) (reply, error) {
	k := call{method: method, path: path, from: f.from, with: with}
	if key := f.crowd.cfg.ServiceKey; key != "" {
		k.with = append(k.with, header{"Service-Key", key})
	}
	if body != nil {
		var err error
		if k.body, err = json.Marshal(body); err != nil {
			return reply{}, fmt.Errorf("writing a request: %w", err)
		}
	}
	return f.crowd.shop.again(ctx, f.rnd, &k)
}

// room is a path of the waiting room.
func (f *fan) room(what string) string {
	return "/rooms/" + strconv.FormatInt(f.crowd.cfg.Room, 10) + what
}

// micros reads an RFC 3339 instant; zero for one that is none.
func micros(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0
	}
	return t.UnixMicro()
}

// passClaims reads a pass's id and end. The fan cannot check the signature and need not: the shop does.
func passClaims(pass string) (id string, expires int64, err error) {
	parts := strings.Split(pass, ".")
	if len(parts) != 3 {
		return "", 0, errors.New("the pass is no JWT")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", 0, fmt.Errorf("reading the pass: %w", err)
	}
	var claims struct {
		ID      string      `json:"jti"`
		Expires json.Number `json:"exp"`
	}
	if err := json.Unmarshal(text, &claims); err != nil || claims.ID == "" {
		return "", 0, errors.New("the pass has no id")
	}
	seconds, err := claims.Expires.Float64()
	if err != nil {
		return "", 0, fmt.Errorf("reading the pass: %w", err)
	}
	return claims.ID, int64(seconds * 1e6), nil
}
