package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"fairgate/internal/wire"
	"fairgate/waitingroom/outflow"
)

// placeSize is the least length of one place in a snapshot, in bytes.
const placeSize = 16 + visitorSize + 8

// ErrSnapshot says that bytes are not a snapshot that this code wrote.
var ErrSnapshot = errors.New("queue: not a snapshot")

// Snapshot appends the whole state to dst: the same state, the same bytes. What is derived from places is left out.
func (m *Machine) Snapshot(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, Code)
	dst = binary.LittleEndian.AppendUint32(dst, m.turn)
	dst = appendInts(dst, m.tick.offset)
	dst = append(dst, m.tick.chain[:]...)
	dst = appendInts(dst, m.outages.now, m.outages.total)
	dst = append(dst, byte(len(m.outages.steps)))
	for _, s := range m.outages.steps {
		dst = appendInts(dst, s.from, s.to, s.amount)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(m.rooms)))
	for _, rm := range m.rooms {
		dst = rm.snapshot(dst)
	}
	return dst
}

func (rm *room) snapshot(dst []byte) []byte {
	dst = appendInts(dst, rm.id)
	dst = appendBody(dst, &rm.def)
	dst = append(dst, byte(rm.state), flag(rm.revealed), flag(rm.drawn))
	dst = binary.LittleEndian.AppendUint64(dst, rm.changed)
	dst = append(dst, rm.seed[:]...)
	dst = append(dst, byte(len(rm.public)))
	dst = append(dst, rm.public...)
	dst = append(dst, byte(len(rm.sources)))
	for _, s := range rm.sources {
		dst = appendInts(dst, int64(s.id), int64(s.left))
		dst = appendBody(dst, &s.said)
	}
	words := rm.law.Words()
	dst = appendInts(dst, words[:]...)
	t := &rm.tally
	dst = appendInts(dst, t.showUps, t.noShows, t.admitted, t.freed, t.gone)
	for i := range rm.lanes {
		l := &rm.lanes[i]
		dst = append(dst, flag(l.begun), l.invitedTo.Class)
		dst = binary.LittleEndian.AppendUint64(dst, l.invitedTo.Key)
		dst = append(dst, l.invitedTo.Token[:]...)
		dst = appendInts(dst, l.turns[:]...)
	}
	for _, n := range [...]uint32{rm.joined, rm.totals.admitted, rm.totals.left, rm.totals.missed} {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	dst = appendInts(dst, rm.ended)
	dst = binary.LittleEndian.AppendUint32(dst, rm.places.n)
	for i := range rm.places.n {
		dst = rm.snapshotPlace(dst, i)
	}
	for span := range wire.Span(wire.Spans) {
		c := rm.span(span)
		dst = binary.LittleEndian.AppendUint32(dst, c.crowds.n)
		for i := range c.crowds.n {
			w := c.crowds.at(i)
			dst = binary.LittleEndian.AppendUint64(dst, c.entries.at(w.network).key)
			dst = binary.LittleEndian.AppendUint32(dst, w.places)
		}
	}
	return dst
}

// snapshotPlace writes a place: token, visitor, word, then what it has beside: its draw value; since and until; the keys of
// what it is counted by.
func (rm *room) snapshotPlace(dst []byte, i uint32) []byte {
	p := rm.places.at(i)
	dst = append(dst, p.token[:]...)
	dst = append(dst, p.visitor[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, p.word)
	if p.class() == classDrawn {
		dst = binary.LittleEndian.AppendUint64(dst, rm.places.drawn[i])
	}
	if p.state().stays() {
		in := rm.stay(p)
		dst = appendInts(dst, in.since, in.until)
	}
	if !p.has(markCounted) {
		return dst
	}
	by := rm.countedBy(p)
	if p.lane() == wire.LaneInvited {
		return binary.LittleEndian.AppendUint64(dst, rm.codes.entries.at(by).key)
	}
	n := &rm.networks
	dst = binary.LittleEndian.AppendUint64(dst, n.narrow.entries.at(by).key)
	return binary.LittleEndian.AppendUint64(dst, n.wide.entries.at(n.wideOf(i, by)).key)
}

func appendInts(dst []byte, list ...int64) []byte {
	for _, v := range list {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
	}
	return dst
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// appendBody writes a body as the record it came in, behind its length.
func appendBody(dst []byte, body wire.Body) []byte {
	at := len(dst)
	dst = wire.AppendRecord(append(dst, 0, 0), wire.Record{}, body)
	binary.LittleEndian.PutUint16(dst[at:], uint16(len(dst)-at-2))
	return dst
}

// Restore replaces the state by one that Snapshot wrote. On an error, which wraps ErrSnapshot, the state stays as it was.
func (m *Machine) Restore(src []byte) error {
	r := reader{src: src}
	fresh := New(m.limits)
	if code := r.u32(); r.err == nil && code != Code {
		return fmt.Errorf("%w: code version %d, expected %d", ErrSnapshot, code, Code)
	}
	fresh.turn = r.u32()
	fresh.tick.offset = r.i64()
	copy(fresh.tick.chain[:], r.take(len(fresh.tick.chain)))
	fresh.outages.now, fresh.outages.total = r.i64(), r.i64()
	steps := int(r.u8())
	r.check(steps <= MaxOutages)
	for range steps {
		if r.err == nil {
			fresh.outages.steps = append(fresh.outages.steps, outage{r.i64(), r.i64(), r.i64()})
		}
	}
	rooms := int(r.u32())
	r.check(rooms <= m.limits.Rooms && (rooms > int(fresh.turn) || fresh.turn == 0))
	for i := 0; i < rooms && r.err == nil; i++ {
		rm := r.room(m.limits.Places - fresh.places)
		r.check(rm.id > 0 && (i == 0 || fresh.rooms[i-1].id < rm.id))
		fresh.rooms = append(fresh.rooms, rm)
		fresh.places += rm.places.len()
	}
	r.check(len(r.src) == 0)
	if r.err != nil {
		return r.err
	}
	*m = *fresh
	return nil
}

// reader reads a snapshot. After a failure it reads zeros.
type reader struct {
	src []byte
	err error
}

func (r *reader) check(ok bool) {
	if !ok && r.err == nil {
		r.err = ErrSnapshot
		r.src = nil
	}
}

func (r *reader) take(n int) []byte {
	r.check(len(r.src) >= n)
	if r.err != nil {
		return make([]byte, n)
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) i64() int64  { return int64(r.u64()) }
func (r *reader) id() (id wire.ID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *reader) flag() bool {
	b := r.u8()
	r.check(b <= 1)
	return b == 1
}

// body reads what appendBody wrote, and nothing that it would write differently. The body owns its bytes.
func (r *reader) body(into wire.Body) {
	b := bytes.Clone(r.take(int(binary.LittleEndian.Uint16(r.take(2)))))
	if r.err != nil {
		return
	}
	rec, err := wire.ParseRecord(b)
	r.check(err == nil && rec.DecodeInto(into) == nil)
	if r.err == nil {
		r.check(bytes.Equal(wire.AppendRecord(nil, wire.Record{}, into), b))
	}
}

// room reads a room of at most so many places and derives the rest.
func (r *reader) room(most int) *room {
	rm := newRoom(r.i64())
	r.body(&rm.def)
	again, reason := filled(rm.def)
	r.check(reason == wire.ReasonNone &&
		bytes.Equal(wire.AppendRecord(nil, wire.Record{}, &again), wire.AppendRecord(nil, wire.Record{}, &rm.def)))
	rm.state = wire.RoomState(r.u8())
	r.check(rm.state <= wire.RoomEnded)
	rm.revealed, rm.drawn = r.flag(), r.flag()
	rm.changed = r.u64()
	copy(rm.seed[:], r.take(len(rm.seed)))
	rm.public = bytes.Clone(r.take(int(r.u8())))
	r.sources(rm)
	rm.signal = rm.behind()
	var words [outflow.StateWords]int64
	for i := range words {
		words[i] = r.i64()
	}
	law, err := outflow.FromWords(words)
	r.check(err == nil)
	rm.law = law
	rm.tally = tally{r.i64(), r.i64(), r.i64(), r.i64(), r.i64()}
	for i := range rm.lanes {
		l := &rm.lanes[i]
		l.begun = r.flag()
		l.invitedTo = wire.OrderKey{Class: r.u8(), Key: r.u64(), Token: r.id()}
		l.turns = [2]int64{r.i64(), r.i64()}
		r.check(max(l.turns[0], l.turns[1]) <= 1000 && min(l.turns[0], l.turns[1]) >= -1000)
	}
	rm.joined = r.u32()
	rm.totals = totals{r.u32(), r.u32(), r.u32()}
	rm.ended = r.i64()
	n := int(r.u32())
	r.check(n <= most && n <= int(rm.joined) && n <= len(r.src)/placeSize)
	if r.err == nil {
		r.placesOf(rm, n)
	}
	for span := range wire.Span(wire.Spans) {
		r.crowds(rm.span(span), int(rm.joined))
	}
	return rm
}

// crowds reads the networks of a span: never more than places were recorded, and each once.
func (r *reader) crowds(c *counts, most int) {
	const size = 8 + 4
	n := int(r.u32())
	r.check(n <= min(most, maxCrowds, maxNumber-c.entries.len()) && n <= len(r.src)/size)
	for i := 0; i < n && r.err == nil; i++ {
		key, places := r.u64(), r.u32()
		number := c.find(key)
		r.check(key != 0 && places > 0 && (number == nothing || !c.entries.at(number).crowded()))
		if r.err != nil {
			return
		}
		if number == nothing {
			number = c.add(key)
		}
		c.crowd(number, places)
	}
}

func (r *reader) sources(rm *room) {
	n := int(r.u8())
	r.check(n <= MaxSources)
	for i := 0; i < n && r.err == nil; i++ {
		id := r.i64()
		r.check(id == int64(int32(id)) && (i == 0 || int64(rm.sources[i-1].id) < id))
		s := source{id: int32(id), left: r.u64()}
		r.body(&s.said)
		rm.sources = append(rm.sources, s)
	}
}

// placesOf reads n places and rebuilds what follows from them.
func (r *reader) placesOf(rm *room, n int) {
	var waiting, asked [wire.Lanes][]uint32
	for i := uint32(0); int(i) < n && r.err == nil; i++ {
		p := r.place()
		if _, twice := rm.tokens.findToken(&rm.places, &p.token); twice || r.err != nil {
			r.check(false)
			return
		}
		p.more = nothing
		rm.places.add(p)
		r.beside(rm, i)
		rm.tokens.put(&rm.places, i)
		rm.visitors.put(&rm.places, i)
		switch p.state() {
		case Waiting:
			waiting[p.lane()] = append(waiting[p.lane()], i)
		case Asked:
			asked[p.lane()] = append(asked[p.lane()], i)
		}
	}
	for l := range rm.lanes {
		rm.lanes[l].waiting.build(&rm.places, rm.sorted(waiting[l]))
		rm.lanes[l].asked.build(&rm.places, rm.sorted(asked[l]))
	}
}

func (r *reader) place() (p place) {
	p.token = r.id()
	copy(p.visitor[:], r.take(visitorSize))
	p.word = r.u64()
	r.check(p.state() <= Void)
	return p
}

// beside reads what a restored place has beside itself, and counts it in.
func (r *reader) beside(rm *room, i uint32) {
	p := rm.places.at(i)
	if p.class() == classDrawn {
		rm.places.drawn = append(rm.places.drawn, make([]uint64, rm.places.len()-len(rm.places.drawn))...)
		rm.places.drawn[i] = r.u64()
	}
	in := stay{by: nothing}
	if p.state().stays() {
		in.since, in.until = r.i64(), r.i64()
	}
	in.by = r.countedBy(rm, i)
	p.more = in.by
	if p.state().stays() {
		p.more = rm.stays.add(in)
	}
	rm.derive(i)
}

// countedBy reads by what a place is counted and counts it. Who is over counts no more, but for a code that let them in.
func (r *reader) countedBy(rm *room, i uint32) uint32 {
	p := rm.places.at(i)
	switch {
	case !p.has(markCounted):
		return nothing
	case p.lane() == wire.LaneInvited:
		r.check(!p.state().Over() || p.state() == Used || p.state() == Expired)
		key := r.u64()
		code := rm.codes.find(key)
		if code == nothing {
			code = rm.codes.add(key)
		}
		rm.codes.entries.at(code).raise()
		return code
	}
	r.check(!p.state().Over() && (p.lane() == wire.LaneNormal || p.lane() == wire.LaneTimed))
	narrow, wide := r.u64(), r.u64()
	n := &rm.networks
	at := numbers{narrow: n.narrow.find(narrow), wide: n.wide.find(wide)}
	if at.wide == nothing {
		at.wide = n.wide.add(wide)
	}
	return n.raise(i, at, narrow, p.has(markCarrier))
}

// derive counts one restored place in.
func (rm *room) derive(index uint32) {
	p := rm.places.at(index)
	switch p.state() {
	case Invited:
		rm.invited++
		rm.graces.push(deadline{rm.stay(p).since, index})
	case Reserved:
		rm.inside++
		rm.claims.push(deadline{rm.stay(p).until, index})
	case Inside:
		rm.inside++
		rm.expiries.push(deadline{rm.stay(p).until, index})
		rm.passes[wire.PassID(rm.id, p.token, 1)] = index
	}
}
