package bots

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

const (
	// triesMost is how often somebody tries before giving up.
	triesMost = 40
	// patience is between two tries where the server does not say, in the time of the run.
	patience = 3 * time.Second
	// life is how long a place can be solved for, with the one renewal.
	life = 240 * time.Second
	// plainWait is what a place without work costs.
	plainWait = 5 * time.Second
)

// run is one run.
type run struct {
	Config
	deps   Deps
	client *client
	clock  *clock
	crowd  []*party
	farm   *farm

	solving chan struct{} // holds who is solving, on half of the processors: the server needs the others

	mu        sync.Mutex
	rnd       *rand.Rand
	latencies []time.Duration // of joining people: arrive and join, the wall's
	denials   map[string]int
	hashes    float64 // of bots
	lost      int     // places that bots solved too late
	faults    map[string]int
}

// Run drives a whole sale and says who won.
func Run(ctx context.Context, c Config, d Deps) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, fmt.Errorf("bots: %w", err)
	}
	if d.Progress == nil {
		d.Progress = io.Discard
	}
	r := &run{Config: c, deps: d, solving: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1)), rnd: rand.New(rand.NewPCG(c.Seed, 0xb075)), denials: map[string]int{}, faults: map[string]int{}}
	var err error
	if r.client, err = newClient(c.URL, c.Room); err != nil {
		return Report{}, fmt.Errorf("bots: %w", err)
	}
	r.crowd = people(&c, r.rnd)
	r.farm = newFarm(r)
	r.clock = newClock(c.Compress)
	for _, p := range r.crowd {
		r.clock.at(p.at, func() { r.arrive(p) })
	}
	r.farm.begin()
	r.clock.most = c.Behind
	r.say("%d people and bots come, in %v", len(r.crowd), time.Duration(float64(Prequeue)/c.Compress).Round(time.Second))
	if err := r.clock.run(ctx); err != nil {
		return Report{}, err
	}
	r.clock.stop()
	r.say("%d bots' places; time ran %.1f times faster than the clock", len(r.farm.places), r.clock.paceKept())
	if err := d.Open(ctx); err != nil {
		return Report{}, err
	}
	r.say("the sale opens")
	if err := r.sell(ctx); err != nil {
		return Report{}, err
	}
	r.say("%d tickets are sold", r.Tickets())
	return r.report(), nil
}

// say tells of progress.
func (r *run) say(what string, args ...any) {
	fmt.Fprintf(r.deps.Progress, "%s %3ds: %s\n", r.Profile.Name, int(time.Since(r.clock.start).Seconds()), fmt.Sprintf(what, args...))
}

// chance draws with the run's one source, which is for one goroutine at a time.
func (r *run) chance(draw func(rnd *rand.Rand)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	draw(r.rnd)
}

func (r *run) fault(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[what]++
}

// deny notes that somebody gets no place.
func (r *run) deny(p *party, why string) {
	p.state = refused
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.kind != Bot {
		r.denials[why]++
	}
}

// again has somebody try once more, after what the server said or a while; who tried too often gives up.
func (r *run) again(p *party, a *answer, what string, do func()) {
	if p.tries++; p.tries > triesMost {
		r.deny(p, what)
		return
	}
	wait := patience
	if a.retry > 0 && a.status != http.StatusOK {
		wait = min(time.Duration(float64(a.retry)*r.Compress), time.Minute)
	}
	if a.status == 0 || a.status >= http.StatusInternalServerError {
		r.fault(fmt.Sprintf("%s %d", what, a.status))
	}
	r.clock.at(r.clock.now()+wait, do)
}

// arrive asks for a place.
func (r *run) arrive(p *party) {
	var body struct {
		Lane string `json:"lane,omitempty"`
	}
	if p.kind == Plain {
		body.Lane = "timed"
	}
	a := r.client.send("arrive", body, p.addr, p)
	var in arrival
	switch {
	case a.status == http.StatusOK && json.Unmarshal(a.body, &in) == nil && in.Challenge != "":
	case a.status == http.StatusForbidden:
		r.deny(p, "refused")
		return
	default:
		r.again(p, &a, "arrive", func() { r.arrive(p) })
		return
	}
	p.secret, p.challenge = in.Visitor, in.Challenge
	wait := plainWait
	if in.Puzzle.Algorithm != "timed" {
		p.factor = float64(in.Puzzle.Difficulty) / float64(r.Base)
		r.chance(func(rnd *rand.Rand) {
			wait = seconds(work(rnd, in.Puzzle.SubPuzzles, p.factor*trueDifficulty) / p.speed)
		})
	}
	if wait > life {
		r.deny(p, "too slow")
		return
	}
	now := r.clock.now()
	p.took = wait
	r.clock.at(now+wait, func() { r.join(p, &in.Puzzle, "", a.took) })
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// join sends the solution until the place is recorded. before is the wall's time that asking took.
func (r *run) join(p *party, z *puzzle, solution string, before time.Duration) {
	if solution == "" && z.Algorithm != "timed" {
		var err error
		r.solving <- struct{}{}
		solution, err = r.deps.solve(z)
		<-r.solving
		if err != nil {
			r.deny(p, err.Error())
			return
		}
	}
	a := r.client.send("join", map[string]string{"challenge": p.challenge, "solution": solution}, p.addr, p)
	var in struct {
		Token, Place, OrderKey, Lane string
		Recorded                     bool
	}
	switch {
	case a.status == http.StatusOK && json.Unmarshal(a.body, &in) == nil && in.Recorded:
		p.token, p.place, p.lane, p.key, p.state = in.Token, in.Place, in.Lane, in.OrderKey, joined
		p.took += before + a.took
		r.mu.Lock()
		if p.kind != Bot {
			r.latencies = append(r.latencies, before+a.took)
		}
		r.mu.Unlock()
	case a.status == http.StatusConflict, a.status == http.StatusGone, a.status == http.StatusForbidden:
		r.deny(p, a.kind())
	case a.kind() == "too-soon":
		r.again(p, &answer{}, "join", func() { r.join(p, z, solution, before) })
	default:
		r.again(p, &a, "join", func() { r.join(p, z, solution, before) })
	}
}

// errUnfair says that the server did not do what the run rests on.
var errUnfair = errors.New("bots: the server answered what cannot be")

// farm is a bot's machinery: threads that solve, and addresses that take turns. It keeps the limits that are published, so that it
// is never found out by them.
type farm struct {
	r         *run
	addresses []netip.Addr
	nets      []int // of each address, which network
	free      []time.Duration
	speed     float64 // of a thread
	lead      time.Duration
	wanted    int

	mu       sync.Mutex
	turn     int
	allowed  []time.Duration // per address: theoretical arrival time of its next request
	netAllow map[int]time.Duration
	full     []bool // per address: waiting alone gives no more places
	places   []*party
	under    int // challenges not answered yet
}

// Limits that are published: requests at once, and the time from one to the next in the long run.
const (
	addressBurst, addressEvery = 18, 2 * time.Second
	networkBurst, networkEvery = 280, 100 * time.Millisecond
	plainEvery                 = 8 // of a bot's places, one in so many waits instead of solving
	takers                     = 12
)

func newFarm(r *run) *farm {
	p := &r.Profile
	f := &farm{r: r, wanted: r.scaled(p.Wanted), netAllow: map[int]time.Duration{}}
	f.addresses = addressesOf(&r.Config, r.crowd)
	f.allowed, f.full = make([]time.Duration, len(f.addresses)), make([]bool, len(f.addresses))
	for _, a := range f.addresses {
		b := a.As4()
		f.nets = append(f.nets, int(b[0])<<16|int(b[1])<<8|int(b[2]))
	}
	if !r.Draw {
		// First come, first served: challenges are taken as early as they can still be answered.
		f.lead = life - 40*time.Second
	}
	if p.Speed > 0 {
		threads := r.scaled(p.Threads)
		f.free, f.speed = make([]time.Duration, threads), p.Speed*r.Scale/float64(threads)
	}
	return f
}

func (f *farm) begin() {
	if f.speed == 0 {
		f.devices()
		return
	}
	for range takers {
		f.r.clock.at(0, func() { f.step(0) })
	}
}

// devices are bots that each have a device and an address of their own, and come as people do.
func (f *farm) devices() {
	for i := range f.wanted {
		p := &party{kind: Bot, addr: f.addresses[i%len(f.addresses)]}
		f.r.chance(func(rnd *rand.Rand) {
			_, p.speed = device(rnd)
			if p.at = seconds(rnd.Float64() * Prequeue.Seconds()); !f.r.Draw {
				p.at = seconds(rnd.Float64()) // as soon as it can
			}
		})
		f.places = append(f.places, p)
		f.r.clock.at(p.at, func() { f.r.arrive(p) })
	}
}

// soonest is the thread that is free first.
func (f *farm) soonest() (thread int) {
	for i := range f.free {
		if f.free[i] < f.free[thread] {
			thread = i
		}
	}
	return thread
}

// address is whose turn it is, or when somebody's will be.
func (f *farm) address(now time.Duration) (i int, from time.Duration) {
	from = Prequeue
	for range f.addresses {
		i = f.turn % len(f.addresses)
		f.turn++
		next := max(f.allowed[i]-addressBurst*addressEvery, f.netAllow[f.nets[i]]-networkBurst*networkEvery)
		if f.r.Profile.Block || next <= now {
			f.allowed[i] = max(f.allowed[i], now) + addressEvery
			f.netAllow[f.nets[i]] = max(f.netAllow[f.nets[i]], now) + networkEvery
			return i, 0
		}
		from = min(from, next)
	}
	return -1, from
}

// step takes one more challenge, if there is a thread that will have time for it. It goes by the instant that it was due at:
// while the machine is behind, time stands still for it.
func (f *farm) step(now time.Duration) {
	again := func(at time.Duration) { f.r.clock.at(at, func() { f.step(at) }) }
	f.mu.Lock()
	if len(f.places)+f.under >= f.wanted || now >= Prequeue {
		f.mu.Unlock()
		return
	}
	thread := f.soonest()
	if until := f.free[thread] - f.lead; until > now {
		f.mu.Unlock()
		again(until)
		return
	}
	i, from := f.address(now)
	if i < 0 {
		f.mu.Unlock()
		again(max(from, now+100*time.Millisecond))
		return
	}
	// The thread is busy from here on: nobody else may count on it.
	f.free[thread] = max(f.free[thread], now) + time.Millisecond
	f.under++
	plain := f.turn%plainEvery == 0 && !f.full[i] && !f.r.Profile.Block
	f.mu.Unlock()
	f.take(now, thread, i, plain)
	again(now)
}

// take asks for a challenge and has it solved.
func (f *farm) take(now time.Duration, thread, i int, plain bool) {
	r := f.r
	p := &party{kind: Bot, addr: f.addresses[i], at: now}
	if r.Profile.Block {
		r.chance(func(rnd *rand.Rand) { p.addr = fresh(r.Salt, rnd) })
	}
	body := map[string]string{}
	if plain {
		body["lane"] = "timed"
	}
	a := r.client.send("arrive", body, p.addr, p)
	var in arrival
	ok := a.status == http.StatusOK && json.Unmarshal(a.body, &in) == nil && in.Challenge != ""
	f.mu.Lock()
	defer f.mu.Unlock()
	f.under--
	if !ok {
		f.allowed[i] = max(f.allowed[i], now) + (addressBurst+3)*addressEvery
		r.fault(fmt.Sprintf("bot arrive %d", a.status))
		return
	}
	p.secret, p.challenge = in.Visitor, in.Challenge
	f.places = append(f.places, p)
	done := p.at + plainWait
	if !plain {
		var hashes float64
		p.factor = float64(in.Puzzle.Difficulty) / float64(r.Base)
		r.chance(func(rnd *rand.Rand) {
			hashes = work(rnd, in.Puzzle.SubPuzzles, p.factor*trueDifficulty)
			r.hashes += hashes
		})
		done = max(f.free[thread], p.at) + seconds(hashes/f.speed)
		f.free[thread] = done
	}
	if done > p.at+life {
		p.state = refused
		f.r.lost++
		return
	}
	r.clock.at(done, func() {
		if r.join(p, &in.Puzzle, "", a.took); plain && p.state == refused {
			f.mu.Lock()
			f.full[i] = true
			f.mu.Unlock()
		}
	})
}
