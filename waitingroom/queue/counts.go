package queue

import "fairgate/internal/table"

// counts says how many places are counted by each of many 64-bit keys: networks, invite codes. An entry stays when its
// count is back at zero; there are never more entries than places were recorded.
type counts struct {
	entries chunked[count]
	table   marks32
	crowds  chunked[crowd] // see crowds.go
}

// count is one key's. word is what caps count (22 bits, as many as there can be places), above it the number of the entry's
// crowd plus one (20 bits), above it, of a narrow network, the number of the wide one that its places are in (22 bits).
type count struct {
	key  uint64
	word uint64
}

const (
	crowdAt   = numberBits
	crowdBits = 20
	wideAt    = crowdAt + crowdBits
)

func (e *count) live() uint32           { return uint32(e.word) & (1<<numberBits - 1) }
func (e *count) crowd() uint32          { return uint32(e.word>>crowdAt)&(1<<crowdBits-1) - 1 }
func (e *count) wide() uint32           { return uint32(e.word >> wideAt) }
func (e *count) raise()                 { e.word++ }
func (e *count) lower()                 { e.word-- }
func (e *count) crowded() bool          { return e.word>>crowdAt&(1<<crowdBits-1) != 0 }
func (e *count) setCrowd(number uint32) { e.word |= uint64(number+1) << crowdAt }
func (e *count) setWide(number uint32)  { e.word = e.word&(1<<wideAt-1) | uint64(number)<<wideAt }

func hashKey(key uint64) uint64 { return mix(key, 0x13198a2e03707344) }

// find is the number of a key, or nothing.
func (c *counts) find(key uint64) uint32 {
	if i, ok := c.table.find(hashKey(key), func(i uint32) bool { return c.entries.at(i).key == key }); ok {
		return i
	}
	return nothing
}

// findGuessed is find for whoever has a guess, which may be anything.
func (c *counts) findGuessed(key uint64, guess uint32) uint32 {
	if guess < c.entries.n && c.entries.at(guess).key == key {
		return guess
	}
	return c.find(key)
}

// live is the count of a number, 0 for nothing.
func (c *counts) live(number uint32) uint32 {
	if number == nothing {
		return 0
	}
	return c.entries.at(number).live()
}

// add makes an entry for a key that is not in.
func (c *counts) add(key uint64) uint32 {
	i := c.entries.add(count{key: key})
	c.table.put(hashKey(key), i, func(i uint32) uint64 { return hashKey(c.entries.at(i).key) })
	return i
}

func (c *counts) prefetch(key uint64) { c.table.prefetch(hashKey(key)) }

// prefetchEntry asks for the entry that a key probably has and returns its number, or nothing.
func (c *counts) prefetchEntry(key uint64) uint32 {
	i, ok := c.table.guess(hashKey(key))
	if !ok {
		return nothing
	}
	table.PrefetchUint64(&c.entries.at(i).key)
	return i
}

// networks counts the live normal places of a room by network. A place keeps one number, its narrow network's; the wide
// one follows from it, but for the odd place whose narrow network has live places in another wide one.
type networks struct {
	narrow, wide counts
	odd          map[uint32]uint32 // lookup only: wide network by place
}

// numbers are those of a place's networks, or nothing.
type numbers struct{ narrow, wide, broad, origin uint32 }

// full says that a network has as many places as the caps allow. Carriers put many people behind one address and many
// addresses side by side: theirs is counted alone.
func (n *networks) full(at numbers, carrier bool, caps *caps) bool {
	if carrier {
		return n.narrow.live(at.narrow) >= caps.carrier
	}
	return n.narrow.live(at.narrow) >= caps.narrow || n.wide.live(at.wide) >= caps.wide
}

// caps are how many normal places a network may have.
type caps struct{ narrow, wide, carrier uint32 }

// raise counts a place by its networks, of which the wide one has an entry, and returns the number that it keeps.
func (n *networks) raise(place uint32, at numbers, narrowKey uint64, carrier bool) uint32 {
	if at.narrow == nothing {
		at.narrow = n.narrow.add(narrowKey)
	}
	e := n.narrow.entries.at(at.narrow)
	if e.live() == 0 {
		e.setWide(at.wide)
	}
	e.raise()
	if e.wide() != at.wide {
		if n.odd == nil {
			n.odd = make(map[uint32]uint32)
		}
		n.odd[place] = at.wide
	}
	if !carrier {
		n.wide.entries.at(at.wide).raise()
	}
	return at.narrow
}

// wideOf is the wide network of a place that keeps a narrow one.
func (n *networks) wideOf(place, narrow uint32) uint32 {
	if wide, ok := n.odd[place]; ok {
		return wide
	}
	return n.narrow.entries.at(narrow).wide()
}

// lower takes a place out of the counts again.
func (n *networks) lower(place, narrow uint32, carrier bool) {
	wide := n.wideOf(place, narrow)
	n.narrow.entries.at(narrow).lower()
	if !carrier {
		n.wide.entries.at(wide).lower()
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
