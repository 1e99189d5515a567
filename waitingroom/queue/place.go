package queue

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"

	"fairgate/internal/wire"
)

// PlaceState is how far a place has come.
type PlaceState uint8

// States of a place. From Used on it is over, and its visitor may join anew.
const (
	Waiting  PlaceState = 0 // in line
	Invited  PlaceState = 1 // may ask, until its grace ends
	Asked    PlaceState = 2 // asked, and waits for a slot
	Reserved PlaceState = 3 // has a slot; its next ask claims it
	Inside   PlaceState = 4 // was given a pass that is still usable
	Used     PlaceState = 5 // its pass was used up
	Expired  PlaceState = 6 // its pass expired
	Missed   PlaceState = 7 // never came
	Left     PlaceState = 8 // gave its place up
	Void     PlaceState = 9 // its visitor has an earlier place
)

var placeStates = [...]string{
	"waiting", "invited", "asked", "reserved", "inside", "used", "expired", "missed", "left", "void",
}

// String is the state's name in answers.
func (s PlaceState) String() string {
	if int(s) < len(placeStates) {
		return placeStates[s]
	}
	return "unknown"
}

// Over says that nothing can become of the place any more.
func (s PlaceState) Over() bool { return s >= Used }

// Classes of the order key.
const (
	classDrawn   = 0
	classArrived = 1
)

// Marks of a place.
const (
	markCarrier = 1 << iota // from a listed carrier address
	markCounted             // counted against its networks or its invite code
	markShowed              // has asked at least once
	markLapsed              // a slot of it lapsed
	markLeft                // gave up while inside
	marks       = 1<<iota - 1
)

// visitorSize is how much of a visitor's hash a place keeps: 96 bits tell everybody on earth apart.
const visitorSize = 12

// visitorID is a visitor as places know it.
type visitorID [visitorSize]byte

func visitorOf(id *wire.ID) visitorID { return visitorID(id[:visitorSize]) }

// place is one place in line, live or over, in 40 bytes: there may be millions. Places are never removed from their room,
// so an index names one for good; everything else about them (lines, tables, heaps, counts) is derived and rebuilt by
// Restore.
type place struct {
	token   wire.ID
	visitor visitorID
	// more is where the rest is: while it is invited, asked, reserved or inside, the number of its stay; else, while it is
	// counted, that of what it is counted by; else nothing.
	more uint32
	// word is the instant of arrival, µs, above class (1 bit), lane (2), state (4) and marks (5).
	word uint64
}

// Where word keeps what it says.
const (
	stateAt   = 5
	laneAt    = 9
	classAt   = 11
	instantAt = 12
	// maxInstant is the latest arrival that fits: in the year 2112.
	maxInstant = 1<<(64-instantAt) - 1
)

// newPlace is a place that waits, in the class of arrivals.
func newPlace(token wire.ID, visitor *wire.ID, instant int64, l wire.Lane) place {
	return place{token: token, visitor: visitorOf(visitor), more: nothing,
		word: uint64(instant)<<instantAt | classArrived<<classAt | uint64(l)<<laneAt}
}

func (p *place) instant() int64       { return int64(p.word >> instantAt) }
func (p *place) class() uint8         { return uint8(p.word >> classAt & 1) }
func (p *place) lane() wire.Lane      { return wire.Lane(p.word >> laneAt & 3) }
func (p *place) state() PlaceState    { return PlaceState(p.word >> stateAt & 15) }
func (p *place) has(marks uint8) bool { return uint8(p.word)&marks != 0 }

func (p *place) set(s PlaceState)    { p.word = p.word&^(15<<stateAt) | uint64(s)<<stateAt }
func (p *place) setLane(l wire.Lane) { p.word = p.word&^(3<<laneAt) | uint64(l)<<laneAt }
func (p *place) setClass(c uint8)    { p.word = p.word&^(1<<classAt) | uint64(c)<<classAt }
func (p *place) mark(m uint8)        { p.word |= uint64(m) }
func (p *place) unmark(m uint8)      { p.word &^= uint64(m) }
func (s PlaceState) stays() bool     { return s >= Invited && s <= Inside }

// arrivedBefore compares arrivals: by instant, ties by token id.
func (p *place) arrivedBefore(instant int64, token wire.ID) bool {
	if p.instant() != instant {
		return p.instant() < instant
	}
	return bytes.Compare(p.token[:], token[:]) <= 0
}

// places are those of a room, in the order in which they were recorded, and the draw values of those who were drawn.
type places struct {
	chunked[place]
	drawn  []uint64 // by index; nil without a draw, and shorter than the places: who came after it has none
	recent recent
}

// add appends a place and returns its number.
func (ps *places) add(p place) uint32 {
	i := ps.chunked.add(p)
	ps.recent.note(i, p.instant())
	return i
}

// orderKey is where a place stands. Before the draw it is the arrival, for those who will be drawn too.
func (ps *places) orderKey(i uint32) wire.OrderKey {
	p := ps.at(i)
	return wire.OrderKey{Class: p.class(), Key: ps.key(i, p), Token: p.token}
}

func (ps *places) key(i uint32, p *place) uint64 {
	if p.class() == classDrawn {
		return ps.drawn[i]
	}
	return uint64(p.instant())
}

// earlier says that a place is before a key.
func (ps *places) earlier(i uint32, k *wire.OrderKey) bool {
	if ps.drawn != nil || k.Class != classArrived {
		return ps.compare(i, k) < 0
	}
	p := ps.at(i)
	if at := p.word >> instantAt; at != k.Key {
		return at < k.Key
	}
	return bytes.Compare(p.token[:], k.Token[:]) < 0
}

// compare orders a place against a key: negative when the place is earlier.
func (ps *places) compare(i uint32, k *wire.OrderKey) int {
	p := ps.at(i)
	if c := p.class(); c != k.Class {
		return cmp.Compare(c, k.Class)
	}
	if key := ps.key(i, p); key != k.Key {
		return cmp.Compare(key, k.Key)
	}
	return bytes.Compare(p.token[:], k.Token[:])
}

// finder finds places by token or by visitor: of a visitor's places, the newest.
type finder struct {
	table   marks32
	visitor bool
}

func (x *finder) hashOf(ps *places) func(uint32) uint64 {
	return func(i uint32) uint64 {
		if p := ps.at(i); x.visitor {
			return hashVisitor(&p.visitor)
		} else {
			return hashToken(&p.token)
		}
	}
}

// Ids are hashes already; mixing spreads what a client could have chosen.
func hashToken(id *wire.ID) uint64 {
	return mix(binary.LittleEndian.Uint64(id[:]), binary.LittleEndian.Uint64(id[8:]))
}

func hashVisitor(v *visitorID) uint64 {
	return mix(binary.LittleEndian.Uint64(v[:]), uint64(binary.LittleEndian.Uint32(v[8:])))
}

func mix(a, b uint64) uint64 {
	return (a ^ bits.RotateLeft64(b, 32) ^ 0x243f6a8885a308d3) * 0x9e3779b97f4a7c15
}

// findToken is the place with a token.
func (x *finder) findToken(ps *places, id *wire.ID) (i uint32, ok bool) {
	at, ok := x.searchToken(ps, id)
	return at.number(), ok
}

func (x *finder) searchToken(ps *places, id *wire.ID) (at niche, ok bool) {
	return x.table.search(hashToken(id), func(i uint32) bool { return ps.at(i).token == *id })
}

// findVisitor is the newest place of a visitor.
func (x *finder) findVisitor(ps *places, v *visitorID) (i uint32, ok bool) {
	at, ok := x.searchVisitor(ps, v)
	return at.number(), ok
}

func (x *finder) searchVisitor(ps *places, v *visitorID) (at niche, ok bool) {
	return x.table.search(hashVisitor(v), func(i uint32) bool { return ps.at(i).visitor == *v })
}

// put makes a place the one that its id finds.
func (x *finder) put(ps *places, i uint32) {
	search := func(p *place) (niche, bool) { return x.searchToken(ps, &p.token) }
	if x.visitor {
		search = func(p *place) (niche, bool) { return x.searchVisitor(ps, &p.visitor) }
	}
	at, known := search(ps.at(i))
	x.putAt(ps, at, known, i)
}

// putAt is put where a search for the place's id ended; known says that it found one.
func (x *finder) putAt(ps *places, at niche, known bool, i uint32) {
	if known {
		at.replace(i)
		return
	}
	hashOf := x.hashOf(ps)
	x.table.putAt(at, hashOf(i), i, hashOf)
}
