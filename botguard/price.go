package botguard

import "fairgate/botguard/puzzle"

// maxPlaces bounds a count that a caller hands in, so that no product overflows.
const maxPlaces = 1 << 30

// price is base × (1 + places / people expected there) × factor, by the heavier of the two networks, at most MaxFactor
// times the base; of a listed carrier only the narrow network counts, and at most CarrierFactor times the base. No store
// is asked.
func (g *Guard) price(n Places, carrier bool, factor int) puzzle.Params {
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

// crowding is the places in line from a client's networks in percent of the people expected there, by the heavier one.
func (g *Guard) crowding(n Places, carrier bool) int {
	c := g.config.Puzzle
	narrow, wide := min(max(n.Narrow, 0), maxPlaces), min(max(n.Wide, 0), maxPlaces)
	if carrier {
		return int(100 * narrow / int64(c.ExpectedShared))
	}
	return int(max(100*narrow/int64(c.ExpectedNarrow), 100*wide/int64(c.ExpectedWide)))
}
