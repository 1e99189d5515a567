package queue

import "fairgate/internal/wire"

// crowd counts, for one network, the places that no cap counts: those in the shared lane by address and wide network, and all
// of them by what is wider still. Edges make places dearer by it; it decides nothing here. It is never lowered: who left has
// been let in, or could come back for nothing. Crowds are few beside networks, so the network's entry has only their number.
type crowd struct {
	network uint32 // the number of its entry
	places  uint32
}

// maxCrowds is how many networks of a span can be told of; the first ones are.
const maxCrowds = 1<<crowdBits - 1

// crowdLeast is how many places make a broad network or an autonomous system worth telling of.
const crowdLeast = 32

// crowdQuota is of how many networks of each span the edges are told, those with the most places first.
var crowdQuota = [wire.Spans]int{
	wire.SpanNarrow: 10_240, wire.SpanWide: 4_096, wire.SpanBroad: 1_024, wire.SpanOrigin: 1_024,
}

// span are the counts that networks of a span are in.
func (rm *room) span(span wire.Span) *counts {
	switch span {
	case wire.SpanNarrow:
		return &rm.networks.narrow
	case wire.SpanWide:
		return &rm.networks.wide
	case wire.SpanBroad:
		return &rm.broad
	}
	return &rm.origins
}

// crowd counts more places of the network with an entry.
func (c *counts) crowd(number, by uint32) {
	e := c.entries.at(number)
	if !e.crowded() {
		if c.crowds.n == maxCrowds {
			return
		}
		e.setCrowd(c.crowds.add(crowd{network: number}))
	}
	c.crowds.at(e.crowd()).places += by
}

// crowdKey counts one more place of the network with a key, whose number may be as guessed; key 0 is none.
func (c *counts) crowdKey(key uint64, guess uint32) {
	if key == 0 {
		return
	}
	i := c.findGuessed(key, guess)
	if i == nothing {
		i = c.add(key)
	}
	c.crowd(i, 1)
}

// crowd counts a place that was just given a lane.
func (rm *room) crowd(p *place, e *wire.Enlist) {
	if p.lane() == wire.LaneShared {
		rm.networks.narrow.crowdKey(e.Narrow, rm.guessed.narrow)
		if !e.Carrier {
			rm.networks.wide.crowdKey(e.Wide, rm.guessed.wide)
		}
	}
	rm.broad.crowdKey(e.Broad, rm.guessed.broad)
	rm.origins.crowdKey(e.Origin, rm.guessed.origin)
}

// crowded lists the networks with the most places, for edges: of addresses and wide networks those that have any in the
// shared lane, with all their places.
func (rm *room) crowded() (list []wire.Network) {
	for span := range wire.Span(wire.Spans) {
		c, least, quota := rm.span(span), uint32(0), crowdQuota[span]
		if span >= wire.SpanBroad {
			least = crowdLeast
		}
		above := c.cutoff(quota)
		for exactly := range 2 { // first those above the cutoff, then those at it while there is room
			for i := range c.crowds.n {
				w := c.crowds.at(i)
				if quota == 0 || w.places < least || min(w.places, crowdSteps) <= above && exactly == 0 || min(w.places, crowdSteps) != above && exactly == 1 {
					continue
				}
				quota--
				e := c.entries.at(w.network)
				list = append(list, wire.Network{Span: span, Places: w.places + e.live(), Key: e.key})
			}
		}
	}
	return list
}

// crowdSteps is the highest count that the cutoff tells from others.
const crowdSteps = 1023

// cutoff is a count such that at most so many crowds are above it, 0 if all are.
func (c *counts) cutoff(most int) uint32 {
	if c.crowds.len() <= most {
		return 0
	}
	var with [crowdSteps + 1]int
	for i := range c.crowds.n {
		with[min(c.crowds.at(i).places, crowdSteps)]++
	}
	for n := uint32(crowdSteps); n > 0; n-- {
		if most -= with[n]; most < 0 {
			return n
		}
	}
	return 0
}
