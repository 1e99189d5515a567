package botguard

import (
	"time"

	"fairgate/botguard/puzzle"
	"fairgate/internal/sale"
)

// maxPlaces bounds a count that a caller hands in, so that no product overflows.
const maxPlaces = 1 << 30

// price is base × (1 + places / people expected there) × factor, by the heaviest of the client's networks, at most MaxFactor
// times the base; of a listed carrier only the narrow network counts, and at most CarrierFactor times the base. No store is
// asked.
func (g *Guard) price(n sale.NetworkPlaces, carrier bool, factor int) puzzle.Params {
	p := g.base
	most := uint64(g.config.Puzzle.MaxFactor)
	if carrier {
		most = uint64(g.config.Puzzle.CarrierFactor)
	}
	base := uint64(g.base.Difficulty)
	dear := base * uint64(100+g.crowding(n, carrier)) / 100 * uint64(max(factor, 1))
	p.Difficulty = uint32(min(dear, base*most, puzzle.MaxDifficulty))
	return p
}

// crowding is the places in line from a client's networks in percent of the people expected there, by the heaviest one.
func (g *Guard) crowding(n sale.NetworkPlaces, carrier bool) int {
	c := &g.config.Puzzle
	percent := func(places int64, expected int) int64 { return 100 * min(max(places, 0), maxPlaces) / int64(expected) }
	if carrier {
		return int(percent(n.Narrow, c.ExpectedShared))
	}
	return int(max(percent(n.Narrow, c.ExpectedNarrow), percent(n.Wide, c.ExpectedWide), percent(n.Broad, c.ExpectedBroad),
		percent(n.Origin, c.ExpectedOrigin)))
}

// Issued notes that a request was answered with a challenge. While it can be answered it counts as a place of its networks
// here: the log does not know it yet, and an edge that gives out a thousand at once shall not ask the price of the first for
// all of them. Not so in a listed carrier's range, where a stranger's challenges would make everybody's places dear.
func (g *Guard) Issued(r Request) {
	if g.Carrier(r.Address) {
		return
	}
	now := g.clock()
	for _, key := range r.keys() {
		g.pending.add(key, now)
	}
}

// keys are the keys by which challenges of a request are counted, wide networks first.
func (r *Request) keys() [4]uint64 {
	n := &r.Networks
	keys := [4]uint64{n.Origin, n.Broad, n.Wide, n.Narrow}
	for i := range keys {
		if keys[i] != 0 {
			keys[i] = max(keys[i]^uint64(r.Room)*0x9e3779b97f4a7c15, 1)
		}
	}
	return keys
}

// places adds to the places in the log the challenges that this process gave out.
func (g *Guard) places(r *Request, carrier bool, now time.Time) sale.NetworkPlaces {
	n := r.Places
	if carrier {
		return n
	}
	keys := r.keys()
	n.Origin += g.pending.of(keys[0], now)
	n.Broad += g.pending.of(keys[1], now)
	n.Wide += g.pending.of(keys[2], now)
	n.Narrow += g.pending.of(keys[3], now)
	return n
}
