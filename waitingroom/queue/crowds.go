package queue

import "fairgate/internal/wire"

// crowds counts, per network, the places that no cap counts: those in the shared lane by address and wide network, and all
// of them by what is wider still. Edges make places dearer by it; it decides nothing here. It is never lowered: who left has
// been let in, or could come back for nothing.
type crowds [wire.Spans]counts

// crowdLeast is how many places make a broad network or an autonomous system worth telling of.
const crowdLeast = 32

// crowdQuota is of how many networks of each span the edges are told, those with the most places first.
var crowdQuota = [wire.Spans]int{
	wire.SpanNarrow: 10_240, wire.SpanWide: 4_096, wire.SpanBroad: 1_024, wire.SpanOrigin: 1_024,
}

// raise counts one more place of a network; key 0 is none.
func (c *counts) raise(key uint64, by uint32) {
	if key == 0 {
		return
	}
	i := c.find(key)
	if i == nothing {
		i = c.add(key, nothing)
	}
	c.entries.at(i).live += by
}

// crowd counts a place that was just given a lane.
func (rm *room) crowd(p *place, e *wire.Enlist) {
	if p.lane() == wire.LaneShared {
		rm.crowds[wire.SpanNarrow].raise(e.Narrow, 1)
		if !e.Carrier {
			rm.crowds[wire.SpanWide].raise(e.Wide, 1)
		}
	}
	rm.crowds[wire.SpanBroad].raise(e.Broad, 1)
	rm.crowds[wire.SpanOrigin].raise(e.Origin, 1)
}

// crowded lists the networks with the most places, for edges: of addresses and wide networks those that have any in the
// shared lane, with all their places.
func (rm *room) crowded() (list []wire.Network) {
	for span := range wire.Span(wire.Spans) {
		c, least, quota := &rm.crowds[span], uint32(0), crowdQuota[span]
		if span >= wire.SpanBroad {
			least = crowdLeast
		}
		above := c.cutoff(quota)
		for exactly := range 2 { // first those above the cutoff, then those at it while there is room
			for i := range c.entries.n {
				e := c.entries.at(i)
				if quota == 0 || e.live < least || min(e.live, crowdSteps) <= above && exactly == 0 || min(e.live, crowdSteps) != above && exactly == 1 {
					continue
				}
				quota--
				list = append(list, wire.Network{Span: span, Places: e.live + rm.networks.places(span, uint64(e.key)), Key: uint64(e.key)})
			}
		}
	}
	return list
}

// crowdSteps is the highest count that the cutoff tells from others.
const crowdSteps = 1023

// cutoff is a count such that at most so many entries are above it, 0 if all are.
func (c *counts) cutoff(most int) uint32 {
	if c.entries.len() <= most {
		return 0
	}
	var with [crowdSteps + 1]int
	for i := range c.entries.n {
		with[min(c.entries.at(i).live, crowdSteps)]++
	}
	for n := uint32(crowdSteps); n > 0; n-- {
		if most -= with[n]; most < 0 {
			return n
		}
	}
	return 0
}

// places are the live ones that a network has under its caps.
func (n *networks) places(span wire.Span, key uint64) uint32 {
	switch span {
	case wire.SpanNarrow:
		return n.narrow.live(n.narrow.find(key))
	case wire.SpanWide:
		return n.wide.live(n.wide.find(key))
	}
	return 0
}
