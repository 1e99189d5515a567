package queue

import (
	"crypto/sha256"
	"slices"
	"unicode/utf8"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
	"fairgate/waitingroom/outflow"
)

// MaxLate is the longest that a join may reach the log after its instant, outages apart: nobody, not even the operator,
// can back-date a place by more.
const MaxLate = 240 * sale.Second

// maxSpan bounds the lengths of time in a definition.
const maxSpan = 7 * 24 * sale.Hour

// room is one waiting room. What follows places is derived from them.
type room struct {
	id       int64
	def      wire.DefineRoom // defaults filled in
	state    wire.RoomState
	changed  uint64 // sequence number of the outcome that last changed def or state
	revealed bool   // seed and public are known
	drawn    bool   // the draw has been held
	seed     wire.Hash
	public   []byte
	signal   wire.Signal // what all sources together say
	sources  []source    // by id
	law      outflow.State
	tally    tally
	lanes    [wire.Lanes]lane
	joined   uint32 // places ever recorded
	totals   totals
	ended    int64 // instant
	places   places

	tokens, visitors finder
	networks         networks
	guessed          numbers // where Prefetch found the networks of the join under way; may be anything
	codes            counts  // places by invite code, live or let in
	broad, origins   counts  // places by what is wider than any cap's network; not those by invitation
	stays            stays
	passes           map[wire.ID]uint32 // lookup only: usable passes
	graces           deadlines          // elapsed time
	claims           deadlines          // elapsed time
	expiries         deadlines          // instants
	inside           uint32             // slots taken: Reserved and Inside
	invited          uint32             // places in state Invited
}

// lane is one line of a room.
type lane struct {
	waiting   line
	asked     line
	begun     bool // somebody was invited
	invitedTo wire.OrderKey
	turns     [2]int64 // whose turn it is, for invitations and for slots
}

// source is a partition of the log `orders`, the newest of its outcomes by which a pass was used up, and the newest signal of
// what is behind the room there; its SourceSeq is 0 before the first.
type source struct {
	id   int32
	left uint64
	said wire.Signal
}

// noSignal is what is known of the stock behind a room before anything is.
func noSignal() wire.Signal { return wire.Signal{Left: -1, Coming: -1, Price: -1, Headroom: -1} }

// behind is what all sources together say: a room may stand before many events, and their stock may be decided in several
// partitions. Stock adds up, and is unknown while one of them does not know; the price is the lowest, and what is behind takes
// no more than the most burdened of them.
func (rm *room) behind() wire.Signal {
	all, first := noSignal(), true
	for i := range rm.sources {
		s := &rm.sources[i].said
		if s.SourceSeq == 0 {
			continue
		}
		if first {
			all.Left, all.Coming, first = s.Left, s.Coming, false
		} else {
			all.Left, all.Coming = plus(all.Left, s.Left), plus(all.Coming, s.Coming)
		}
		if s.Price >= 0 && (all.Price < 0 || s.Price < all.Price) {
			all.Price, all.Currency = s.Price, s.Currency
		}
		if s.Headroom >= 0 && (all.Headroom < 0 || s.Headroom < all.Headroom) {
			all.Headroom = s.Headroom
		}
	}
	return all
}

// plus adds two counts of which each may be unknown (-1), up to what fits.
func plus(a, b int64) int64 {
	if a < 0 || b < 0 {
		return -1
	}
	if sum := a + b; sum >= 0 {
		return sum
	}
	return 1<<63 - 1
}

// tally counts what happened since the last step of the control law.
type tally struct{ showUps, noShows, admitted, freed, gone int64 }

// totals count what ever happened in a room, for its organiser.
type totals struct{ admitted, left, missed uint32 }

func newRoom(id int64) *room {
	return &room{
		id:       id,
		signal:   noSignal(),
		visitors: finder{visitor: true},
		passes:   make(map[wire.ID]uint32),
	}
}

// filled is a definition with its defaults, or why it cannot be one.
func filled(d wire.DefineRoom) (wire.DefineRoom, wire.Reason) {
	for _, f := range [...]struct {
		v             *int64
		standard, max int64
	}{
		{&d.Claim, 30 * sale.Second, maxSpan}, {&d.Grace, 600 * sale.Second, maxSpan},
		{&d.Pass, 900 * sale.Second, maxSpan}, {&d.Late, MaxLate, MaxLate},
	} {
		if *f.v == 0 {
			*f.v = f.standard
		}
		if *f.v < 0 || *f.v > f.max {
			return d, wire.ReasonInvalid
		}
	}
	for _, f := range [...]struct {
		v             *uint32
		standard, max uint32
	}{
		{&d.Cap, outflow.DefaultCap, outflow.MaxCap}, {&d.PerMinute, outflow.DefaultRatePerMinute, outflow.MaxRatePerMinute},
		{&d.MarginMille, outflow.DefaultMarginPermille, outflow.MaxPermille},
		{&d.CapNarrow, 4, 1 << 30}, {&d.CapWide, 16, 1 << 30}, {&d.CapCarrier, 200, 1 << 30},
	} {
		if *f.v == 0 {
			*f.v = f.standard
		}
		if *f.v > f.max {
			return d, wire.ReasonInvalid
		}
	}
	shares, ok := fillShares(d.Shares)
	d.Shares = shares
	if !ok || !scheduleMakesSense(&d) || !utf8.Valid(d.PublicSource) {
		return d, wire.ReasonInvalid
	}
	return d, wire.ReasonNone
}

// fillShares makes the shares sum to a thousand: what is not given away is the normal lane's.
func fillShares(s [wire.Lanes]uint16) ([wire.Lanes]uint16, bool) {
	if s == [wire.Lanes]uint16{} {
		s = [wire.Lanes]uint16{wire.LaneShared: 100, wire.LaneInvited: 100, wire.LaneTimed: 50}
	}
	sum := 0
	for _, v := range s {
		sum += int(v)
	}
	if sum > 1000 {
		return s, false
	}
	s[wire.LaneNormal] += uint16(1000 - sum)
	return s, true
}

func scheduleMakesSense(d *wire.DefineRoom) bool {
	switch {
	case d.Opens < 0, d.EarlyFrom < 0, d.DrawCloses < 0, d.Ends < 0:
		return false
	case d.Opens != 0 && d.EarlyFrom > d.Opens:
		return false
	case d.Ends != 0 && (d.Ends <= d.Opens || d.Ends <= d.EarlyFrom):
		return false
	case d.Mode == wire.ModeDraw:
		return d.DrawCloses > 0 && d.Commitment != wire.Hash{}
	}
	return d.Mode == wire.ModeFCFS
}

// promised says that what fans were told of the order binds: from the first of them on, and once the room opened.
func (rm *room) promised() bool { return rm.joined > 0 || rm.state > wire.RoomEarly }

// samePromise says that two definitions order places alike.
func samePromise(a, b *wire.DefineRoom) bool {
	return a.Mode == b.Mode && a.DrawCloses == b.DrawCloses && a.Commitment == b.Commitment && a.Late == b.Late &&
		string(a.PublicSource) == string(b.PublicSource)
}

func (m *Machine) applyDefine(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	var d wire.DefineRoom
	if r.DecodeInto(&d) != nil {
		out.Add(&wire.Rejected{Reason: wire.ReasonUndecodable})
		return
	}
	d, reason := filled(d)
	at, known := m.find(r.Object)
	switch {
	case reason != wire.ReasonNone:
	case r.Object <= 0:
		reason = wire.ReasonInvalid
	case !known && len(m.rooms) >= m.limits.Rooms:
		reason = wire.ReasonFull
	case !known && r.After != 0, known && r.After != 0 && r.After != m.rooms[at].changed:
		reason = wire.ReasonMoved
	case known && m.rooms[at].promised() && !samePromise(&d, &m.rooms[at].def):
		reason = wire.ReasonWrongState
	}
	if reason != wire.ReasonNone {
		turnDown(r, reason, out)
		return
	}
	if !known {
		m.rooms = slices.Insert(m.rooms, at, newRoom(r.Object))
	}
	rm := m.rooms[at]
	if known && !samePromise(&d, &rm.def) {
		rm.revealed, rm.seed, rm.public = false, wire.Hash{}, nil
	}
	d.PublicSource = slices.Clone(d.PublicSource)
	rm.def = d
	out.Add(&wire.RoomDefined{Room: d})
	rm.changed = out.Seq
	rm.schedule(c, &m.outages, out)
	budget := roomSteps
	rm.fill(c, out, &budget)
}

func (m *Machine) applySet(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	var s wire.SetRoom
	rm := m.order(r, &s, out)
	if rm == nil {
		return
	}
	from := rm.state
	ok := false
	switch s.State {
	case wire.RoomEarly:
		ok = from == wire.RoomClosed
	case wire.RoomOpen:
		ok = from != wire.RoomOpen && from != wire.RoomEnded && rm.mayOpen(c, &m.outages)
	case wire.RoomPaused:
		ok = from == wire.RoomEarly || from == wire.RoomOpen || from == wire.RoomSoldOut
	case wire.RoomEnded:
		ok = from != wire.RoomEnded
	default:
		turnDown(r, wire.ReasonInvalid, out)
		return
	}
	if !ok {
		turnDown(r, wire.ReasonWrongState, out)
		return
	}
	rm.enter(c, s.State, out)
	budget := roomSteps
	rm.fill(c, out, &budget)
}

func (m *Machine) applyOutflow(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	var s wire.SetOutflow
	rm := m.order(r, &s, out)
	if rm == nil {
		return
	}
	if s.PerMinute > outflow.MaxRatePerMinute || s.Cap > outflow.MaxCap {
		turnDown(r, wire.ReasonInvalid, out)
		return
	}
	// Zero leaves a value as it is: to stop is to pause.
	if s.PerMinute != 0 {
		rm.def.PerMinute = s.PerMinute
	}
	if s.Cap != 0 {
		rm.def.Cap = s.Cap
	}
	out.Add(&wire.OutflowSet{PerMinute: rm.def.PerMinute, Cap: rm.def.Cap})
	rm.changed = out.Seq
	budget := roomSteps
	rm.fill(c, out, &budget)
}

// applyReveal takes the seed and the public value of a draw: only once nobody can join the draw any more, so that
// nobody who knows them still could, and only a seed that was committed to.
func (m *Machine) applyReveal(c *sale.LogClock, r *wire.Record, out *wire.Outcomes) {
	var v wire.Reveal
	rm := m.order(r, &v, out)
	if rm == nil {
		return
	}
	switch {
	case rm.def.Mode != wire.ModeDraw, rm.revealed, rm.state == wire.RoomEnded, !rm.drawClosed(c, &m.outages):
		turnDown(r, wire.ReasonWrongState, out)
		return
	case sha256.Sum256(v.Seed[:]) != rm.def.Commitment, !utf8.Valid(v.Public):
		turnDown(r, wire.ReasonInvalid, out)
		return
	}
	rm.revealed, rm.seed, rm.public = true, v.Seed, slices.Clone(v.Public)
	out.Add(&wire.Revealed{Seed: rm.seed, Public: rm.public})
	rm.changed = out.Seq
	rm.schedule(c, &m.outages, out)
}
