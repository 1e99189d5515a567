package queue

import "fairgate/internal/table"

// counts says how many places are counted by each of many 64-bit keys: networks, invite codes. An entry stays when its
// count is back at zero; there are never more entries than places were recorded.
type counts struct {
	entries chunked[count]
	table   marks32
}

type count struct {
	key  int64
	live uint32
	wide uint32 // of a narrow network: the number of the wide one that it was first seen in
}

func hashKey(key uint64) uint64 { return mix(key, 0x13198a2e03707344) }

// find is the number of a key, or nothing.
func (c *counts) find(key uint64) uint32 {
	if i, ok := c.table.find(hashKey(key), func(i uint32) bool { return c.entries.at(i).key == int64(key) }); ok {
		return i
	}
	return nothing
}

// live is the count of a number, 0 for nothing.
func (c *counts) live(number uint32) uint32 {
	if number == nothing {
		return 0
	}
	return c.entries.at(number).live
}

// add makes an entry for a key that is not in.
func (c *counts) add(key uint64, wide uint32) uint32 {
	i := c.entries.add(count{key: int64(key), wide: wide})
	c.table.put(hashKey(key), i, func(i uint32) uint64 { return hashKey(uint64(c.entries.at(i).key)) })
	return i
}

func (c *counts) prefetch(key uint64) { c.table.prefetch(hashKey(key)) }

// prefetchEntry asks for the entry that a key probably has.
func (c *counts) prefetchEntry(key uint64) {
	if i, ok := c.table.guess(hashKey(key)); ok {
		table.Prefetch(&c.entries.at(i).key)
	}
}

// networks counts the live normal places of a room by network. A place keeps one number, its narrow network's; the wide
// one follows from it, but for the odd place whose narrow network was seen in another wide one before.
type networks struct {
	narrow, wide counts
	odd          map[uint32]uint32 // lookup only: wide network by place
}

// full says that a network has as many places as the caps allow. Carriers put many people behind one address and many
// addresses side by side: theirs is counted alone.
func (n *networks) full(narrow, wide uint32, carrier bool, caps *caps) bool {
	if carrier {
		return n.narrow.live(narrow) >= caps.carrier
	}
	return n.narrow.live(narrow) >= caps.narrow || n.wide.live(wide) >= caps.wide
}

// caps are how many normal places a network may have.
type caps struct{ narrow, wide, carrier uint32 }

// raise counts a place by its networks and returns the number that it keeps.
func (n *networks) raise(place uint32, narrow, wide uint32, narrowKey, wideKey uint64, carrier bool) uint32 {
	if wide == nothing {
		wide = n.wide.add(wideKey, nothing)
	}
	if narrow == nothing {
		narrow = n.narrow.add(narrowKey, wide)
	}
	e := n.narrow.entries.at(narrow)
	e.live++
	if e.wide != wide {
		if n.odd == nil {
			n.odd = make(map[uint32]uint32)
		}
		n.odd[place] = wide
	}
	if !carrier {
		n.wide.entries.at(wide).live++
	}
	return narrow
}

// wideOf is the wide network of a place that keeps a narrow one.
func (n *networks) wideOf(place, narrow uint32) uint32 {
	if wide, ok := n.odd[place]; ok {
		return wide
	}
	return n.narrow.entries.at(narrow).wide
}

// lower takes a place out of the counts again.
func (n *networks) lower(place, narrow uint32, carrier bool) {
	wide := n.wideOf(place, narrow)
	n.narrow.entries.at(narrow).live--
	if !carrier {
		n.wide.entries.at(wide).live--
	}
	if n.odd != nil {
		delete(n.odd, place)
	}
}

// stay is what a place has while it is invited, asked, reserved or inside.
type stay struct {
	since int64  // Invited to Reserved: end of the grace, elapsed time; Inside: the pass's issue, an instant
	until int64  // Reserved: end of the reservation, elapsed time; Inside: the pass's expiry, an instant
	by    uint32 // what the place is counted by, or nothing
}

// stays holds them, by numbers that are used again.
type stays struct {
	all  chunked[stay]
	free []uint32
}

func (s *stays) add(v stay) uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		*s.all.at(i) = v
		return i
	}
	return s.all.add(v)
}
