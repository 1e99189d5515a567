package model

import (
	"crypto/sha256"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"fairgate/internal/wire"
)

// Bounds and defaults of a definition.
const (
	maxLate   = 240 * second
	maxSpan   = 7 * 24 * 3600 * second
	maxCounts = 1 << 30
)

// bounds is a number's default and its most.
type bounds[T any] struct {
	v           *T
	usual, most T
}

// filled puts the defaults in; ok is false when a value is out of its range.
func filled(d *wire.DefineRoom) (ok bool) {
	for _, b := range []bounds[int64]{
		{&d.Claim, 30 * second, maxSpan}, {&d.Grace, 600 * second, maxSpan}, {&d.Pass, 900 * second, maxSpan}, {&d.Late, maxLate, maxLate},
	} {
		if *b.v == 0 {
			*b.v = b.usual
		}
		if *b.v < 0 || *b.v > b.most {
			return false
		}
	}
	for _, b := range []bounds[uint32]{
		{&d.Cap, usualCap, maxCap}, {&d.PerMinute, usualRate, maxPerMinute}, {&d.MarginMille, usualMargin, maxMargin},
		{&d.CapNarrow, 4, maxCounts}, {&d.CapWide, 16, maxCounts}, {&d.CapCarrier, 200, maxCounts},
	} {
		if *b.v == 0 {
			*b.v = b.usual
		}
		if *b.v > b.most {
			return false
		}
	}
	return filledShares(d) && schedule(d) && utf8.Valid(d.PublicSource)
}

// filledShares gives the normal lane what no other has.
func filledShares(d *wire.DefineRoom) bool {
	if d.Shares == ([wire.Lanes]uint16{}) {
		d.Shares[wire.LaneShared], d.Shares[wire.LaneInvited], d.Shares[wire.LaneTimed] = 100, 100, 50
	}
	sum := 0
	for _, s := range d.Shares {
		sum += int(s)
	}
	if sum > 1000 {
		return false
	}
	d.Shares[wire.LaneNormal] += uint16(1000 - sum)
	return true
}

func schedule(d *wire.DefineRoom) bool {
	if d.Opens < 0 || d.EarlyFrom < 0 || d.DrawCloses < 0 || d.Ends < 0 || d.Mode > wire.ModeDraw {
		return false
	}
	if d.Opens != 0 && d.EarlyFrom > d.Opens || d.Ends != 0 && (d.Ends <= d.Opens || d.Ends <= d.EarlyFrom) {
		return false
	}
	return d.Mode == wire.ModeFCFS || d.DrawCloses > 0 && d.Commitment != wire.Hash{}
}

func (q *queue) define(r wire.Record, m *room, d *wire.DefineRoom) wire.Body {
	if !filled(d) || r.Object <= 0 {
		return down(r, wire.ReasonInvalid)
	}
	d.PublicSource = append([]byte(nil), d.PublicSource...)
	if m == nil {
		if len(q.rooms) >= maxRooms {
			return down(r, wire.ReasonFull)
		}
		if r.After != 0 {
			return down(r, wire.ReasonMoved)
		}
		m = newRoom(r.Object)
		q.rooms[m.id] = m
	} else {
		same := m.def.Mode == d.Mode && m.def.DrawCloses == d.DrawCloses && m.def.Commitment == d.Commitment && m.def.Late == d.Late &&
			string(m.def.PublicSource) == string(d.PublicSource)
		if r.After != 0 && r.After != m.changed {
			return down(r, wire.ReasonMoved)
		}
		// What was promised of the order binds from the first place on, and once the room opened.
		if !same && (m.joined > 0 || m.state > wire.RoomEarly) {
			return down(r, wire.ReasonWrongState)
		}
		if !same {
			m.reveal = nil
		}
	}
	m.def, m.changed = *d, q.t.seq
	return &wire.RoomDefined{Room: *d}
}

func (m *room) moved(r wire.Record) bool { return r.After != 0 && r.After != m.changed }

func (q *queue) setRoom(r wire.Record, m *room, s *wire.SetRoom) expected {
	e := expected{Object: r.Object, Ref: r.Ref}
	allowed := map[wire.RoomState]bool{
		wire.RoomEarly:  m.state == wire.RoomClosed,
		wire.RoomOpen:   m.state != wire.RoomOpen && m.state != wire.RoomEnded && q.mayOpen(m),
		wire.RoomPaused: m.state == wire.RoomEarly || m.state == wire.RoomOpen || m.state == wire.RoomSoldOut,
		wire.RoomEnded:  m.state != wire.RoomEnded,
	}
	ok, known := allowed[s.State]
	switch {
	case m.moved(r):
		e.Body = down(r, wire.ReasonMoved)
	case !known:
		e.Body = down(r, wire.ReasonInvalid)
	case !ok:
		e.Body = down(r, wire.ReasonWrongState)
	default:
		m.enter(s.State, q.t.seq)
		e.Ref, e.Body = wire.ID{}, &wire.RoomSet{State: s.State}
	}
	return e
}

func (m *room) enter(s wire.RoomState, seq uint64) {
	if s == wire.RoomOpen && m.def.Mode == wire.ModeDraw && !m.drawn {
		m.hold()
	}
	m.state, m.changed = s, seq
}

func (q *queue) setOutflow(r wire.Record, m *room, s *wire.SetOutflow) wire.Body {
	switch {
	case m.moved(r):
		return down(r, wire.ReasonMoved)
	case s.PerMinute > maxPerMinute || s.Cap > maxCap:
		return down(r, wire.ReasonInvalid)
	}
	if s.PerMinute != 0 {
		m.def.PerMinute = s.PerMinute
	}
	if s.Cap != 0 {
		m.def.Cap = s.Cap
	}
	m.changed = q.t.seq
	return &wire.OutflowSet{PerMinute: m.def.PerMinute, Cap: m.def.Cap}
}

// drawClosed says that nobody can join the draw any more.
func (q *queue) drawClosed(m *room) bool {
	return q.clock.Now-q.forgiven(m.def.DrawCloses) >= m.def.DrawCloses+m.def.Late
}

func (q *queue) mayOpen(m *room) bool {
	return m.def.Mode != wire.ModeDraw || m.drawn || m.reveal != nil && q.drawClosed(m)
}

func (q *queue) revealed(r wire.Record, m *room, v *wire.Reveal) wire.Body {
	switch {
	case m.moved(r):
		return down(r, wire.ReasonMoved)
	case m.def.Mode != wire.ModeDraw || m.reveal != nil || m.state == wire.RoomEnded || !q.drawClosed(m):
		return down(r, wire.ReasonWrongState)
	case sha256.Sum256(v.Seed[:]) != m.def.Commitment || !utf8.Valid(v.Public):
		return down(r, wire.ReasonInvalid)
	}
	m.reveal = &wire.Reveal{Seed: v.Seed, Public: append([]byte(nil), v.Public...)}
	m.changed = q.t.seq
	return &wire.Revealed{Seed: v.Seed, Public: v.Public}
}

func (q *queue) signalled(r wire.Record, m *room, s *wire.Signal) wire.Body {
	from := m.source(s.Source)
	switch {
	case from == nil:
		return down(r, wire.ReasonFull)
	case from.said != nil && s.SourceSeq <= from.said.SourceSeq || s.SourceSeq == 0:
		return &wire.Repeated{FirstKind: wire.KindSignalled}
	case s.Left < -1 || s.Coming < -1 || s.Price < -1 || s.Headroom < -1 || s.Headroom > 1000:
		return down(r, wire.ReasonInvalid)
	}
	kept := *s
	from.said = &kept
	m.addUp()
	return &wire.Signalled{Signal: *s}
}

// addUp makes the room's signal of what each partition behind it said last.
func (m *room) addUp() {
	m.signal = wire.Signal{Price: -1, Headroom: -1}
	var left, coming uint64
	for _, id := range slices.Sorted(maps.Keys(m.sources)) {
		s := m.sources[id].said
		if s == nil {
			continue
		}
		if s.Left == -1 {
			m.signal.Left = -1
		}
		if s.Coming == -1 {
			m.signal.Coming = -1
		}
		left, coming = min(left+uint64(max(s.Left, 0)), math.MaxInt64), min(coming+uint64(max(s.Coming, 0)), math.MaxInt64)
		if s.Price != -1 && (m.signal.Price == -1 || m.signal.Price > s.Price) {
			m.signal.Price, m.signal.Currency = s.Price, s.Currency
		}
		if s.Headroom != -1 && (m.signal.Headroom == -1 || m.signal.Headroom > s.Headroom) {
			m.signal.Headroom = s.Headroom
		}
	}
	if m.signal.Left != -1 {
		m.signal.Left = int64(left)
	}
	if m.signal.Coming != -1 {
		m.signal.Coming = int64(coming)
	}
}

func (m *room) source(id int32) *source {
	if m.sources[id] == nil {
		if len(m.sources) >= maxSources {
			return nil
		}
		m.sources[id] = &source{}
	}
	return m.sources[id]
}

// next is the state that the room must go to by itself, if any.
func (q *queue) nextState(m *room) (wire.RoomState, bool) {
	now, d, s := q.clock.Now, &m.def, &m.signal
	switch {
	case m.state != wire.RoomEnded && d.Ends != 0 && now >= d.Ends:
		return wire.RoomEnded, true
	case m.state == wire.RoomClosed && now >= d.EarlyFrom:
		return wire.RoomEarly, true
	case m.state == wire.RoomEarly && d.Opens != 0 && now >= d.Opens && q.mayOpen(m):
		return wire.RoomOpen, true
	case m.state == wire.RoomOpen && s.Left == 0 && s.Coming == 0:
		return wire.RoomSoldOut, true
	case m.state == wire.RoomSoldOut && s.Left != 0:
		return wire.RoomOpen, true
	}
	return 0, false
}
