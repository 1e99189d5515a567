package bots

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Report is what a run found. Rates are shares of 1.
type Report struct {
	Profile  string  `json:"profile"`
	Order    string  `json:"order"` // draw or fcfs
	Scale    float64 `json:"scale"`
	Asked    float64 `json:"asked"`    // how many times faster than the clock time was to run
	Compress float64 `json:"compress"` // and did, standing still included where the machine was behind
	Speeds   float64 `json:"speeds"`   // of people's devices, 1 for those assumed
	Seed     uint64  `json:"seed"`
	Shared   int     `json:"shared"` // per mille of the outflow, -1 for a room's default; the caller knows
	People   int     `json:"people"`
	Tickets  int     `json:"tickets"`
	Places   int     `json:"botPlaces"`

	HumanWin float64 `json:"humanWin"` // share of the tickets that people got
	// Expected is the same over all draws that there could have been: by lane, the tickets that it gave times the share of
	// its places that are people's. 0 for first come, first served.
	Expected float64        `json:"expected,omitempty"`
	Denial   float64        `json:"humanDenial"` // share of the people who got no place
	Denials  map[string]int `json:"denials,omitempty"`

	// Odds of winning, against people at home, and against people with other devices. By what is expected where there is a draw.
	OddsListed   float64 `json:"oddsListed"`
	OddsUnlisted float64 `json:"oddsUnlisted"`
	OddsLow      float64 `json:"oddsLow"`
	PlainWin     float64 `json:"plainWin"`   // share of the tickets of the lane without work that people got
	SharedWin    float64 `json:"sharedWin"`  // and of the shared lane
	PlainShare   float64 `json:"plainShare"` // share of all tickets that the lane without work gave
	SharedShare  float64 `json:"sharedShare"`

	// Seconds to a token that 95 of 100 people need, by device and price.
	Token map[string]Seconds `json:"tokenP95"`
	// MeanPrice is what people paid on average, in base prices; BotPrice what bots did.
	MeanPrice float64 `json:"meanPrice"`
	BotPrice  float64 `json:"botPrice"`
	// ServerHours of a server of 32 threads a thousand places cost the attacker.
	ServerHours float64        `json:"serverHoursPerThousand"`
	Faults      map[string]int `json:"faults,omitempty"` // what the server could not answer at once
	Lost        int            `json:"lost,omitempty"`   // bots' places that were solved too late

	// How far behind the machine was, in the wall's seconds: the server with its answers to people, arrive and join together, and
	// the generator with what was due, 99 of 100 times. Where that was more than a twentieth, time stood still.
	Latency  float64 `json:"latencyP95"`
	Slowest  float64 `json:"latencyP99"`
	Lateness float64 `json:"latenessP99"`
	// Cost is what the run took, the whole installation included; the caller measures it.
	Cost Cost `json:"cost"`
}

// Cost is what a run took.
type Cost struct {
	Wall float64 `json:"wallSeconds"`
	CPU  float64 `json:"cpuSeconds"` // of the process: server and generator
	Peak float64 `json:"peakMB"`     // of the process's memory during the run, 0 where the system does not say
}

// Seconds is a time at one, two and eight times the base price.
type Seconds struct {
	Base  float64 `json:"x1"`
	Twice float64 `json:"x2"`
	Eight float64 `json:"x8"`
}

// group is some of the people.
type group struct{ all, expected float64 }

func (g group) odds() float64 {
	p := g.expected / max(g.all, 1)
	return p / max(1-p, 1e-9)
}

func ratio(a, b group) float64 {
	if o := b.odds(); o > 0 {
		return a.odds() / o
	}
	return math.NaN()
}

// lineOf is who stood in a lane, and who of them won.
type lineOf struct{ people, places, peopleWon, won float64 }

func (r *run) report() Report {
	lanes := map[string]*lineOf{}
	var all lineOf
	out := Report{Profile: r.Profile.Name, Order: "fcfs", Scale: r.Scale, Speeds: r.Speeds, Seed: r.Seed, People: len(r.crowd), Tickets: r.Tickets(),
		Denials: r.denials, Faults: r.faults, Lost: r.lost}
	if r.Draw {
		out.Order = "draw"
	}
	for _, p := range r.everybody() {
		if p.lane == "" {
			continue
		}
		l := lanes[p.lane]
		if l == nil {
			l = new(lineOf)
			lanes[p.lane] = l
		}
		for _, l := range []*lineOf{l, &all} {
			l.places++
			if p.kind != Bot {
				l.people++
			}
			if p.state == won {
				l.won++
				if p.kind != Bot {
					l.peopleWon++
				}
			}
		}
	}
	out.Places = int(all.places - all.people)
	out.HumanWin = all.peopleWon / max(all.won, 1)
	if r.Draw {
		for _, l := range lanes {
			out.Expected += l.won * l.people / l.places / max(all.won, 1)
		}
	}
	if l := lanes["timed"]; l != nil {
		out.PlainWin, out.PlainShare = l.peopleWon/max(l.won, 1), l.won/max(all.won, 1)
	}
	if l := lanes["shared"]; l != nil {
		out.SharedWin, out.SharedShare = l.peopleWon/max(l.won, 1), l.won/max(all.won, 1)
	}
	r.odds(&out, lanes)
	r.costs(&out)
	return out
}

// odds compares groups of people.
func (r *run) odds(out *Report, lanes map[string]*lineOf) {
	var home, listed, unlisted, low, faster group
	denied := 0
	for _, p := range r.crowd {
		chance := 0.0
		switch {
		case p.lane == "":
			denied++
		case r.Draw:
			chance = lanes[p.lane].won / lanes[p.lane].places
		case p.state == won:
			chance = 1
		}
		add := func(g *group) { g.all++; g.expected += chance }
		if p.kind != Plain {
			add(map[Behind]*group{Home: &home, Listed: &listed, Unlisted: &unlisted}[p.behind])
		}
		switch p.kind {
		case Low:
			add(&low)
		case Mid, Laptop:
			add(&faster)
		}
	}
	out.Denial = float64(denied) / float64(len(r.crowd))
	out.OddsListed, out.OddsUnlisted, out.OddsLow = ratio(listed, home), ratio(unlisted, home), ratio(low, faster)
}

// costs is what places cost people in time and bots in work.
func (r *run) costs(out *Report) {
	mean := func(list []*party) float64 {
		sum, n := 0.0, 0.0
		for _, p := range list {
			if p.factor > 0 {
				sum, n = sum+p.factor, n+1
			}
		}
		return sum / max(n, 1)
	}
	out.MeanPrice, out.BotPrice = mean(r.crowd), mean(r.farm.places)
	out.ServerHours = r.hashes / max(float64(out.Places), 1) * 1000 / (ThreadsServer * SpeedThread) / 3600
	out.Token = map[string]Seconds{}
	for _, d := range []struct {
		kind  Kind
		speed float64
	}{{Low, SpeedLow}, {Mid, SpeedMid}, {Laptop, SpeedLaptop}} {
		at := func(speed float64) Seconds {
			return Seconds{r.tokenP95(speed, 1), r.tokenP95(speed, 2), r.tokenP95(speed, 8)}
		}
		out.Token[d.kind.String()], out.Token[d.kind.String()+" at half the speed"] = at(d.speed), at(d.speed/2)
	}
	out.Latency, out.Slowest = percentile(r.latencies, 95).Seconds(), percentile(r.latencies, 99).Seconds()
	out.Lateness, out.Asked, out.Compress = r.clock.lateness().Seconds(), r.Compress, r.clock.paceKept()
}

// tokenP95 draws how long devices solve and adds what the server took to answer people in this run.
func (r *run) tokenP95(speed, factor float64) float64 {
	const draws = 20_000
	rnd := rand.New(rand.NewPCG(r.Seed, uint64(speed*factor)))
	times := make([]float64, draws)
	for i := range times {
		times[i] = work(rnd, 4, factor*trueDifficulty) / (speed * r.Speeds)
		if n := len(r.latencies); n > 0 {
			times[i] += r.latencies[rnd.IntN(n)].Seconds()
		}
	}
	slices.Sort(times)
	return times[draws*95/100]
}
