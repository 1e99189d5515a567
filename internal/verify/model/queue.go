package model

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sort"

	"fairgate/internal/wire"
)

// queue is the simple model of the log `queue`. What a command is answered is predicted; what follows it, and what a tick
// does, is checked effect by effect: each must be allowed where it stands, and at the end nothing may be left undone.
type queue struct {
	rooms   map[int64]*room
	places  int      // of all rooms that have not been cleared
	outages []outage // that a late join is forgiven for
	last    logClock // at the tick before

	t     *turn
	clock *logClock
	must  *place // the next outcome must be about it
}

// outage is a step between two ticks that stood still for by µs.
type outage struct{ to, by int64 }

// standing is where a place is in its life.
type standing string

const (
	waiting  standing = "waiting" // not invited yet
	invited  standing = "invited"
	asked    standing = "asked"    // its ask waits for a slot
	reserved standing = "reserved" // its next ask claims the slot
	inside   standing = "inside"
	used     standing = "used" // its pass bought, or expired
	missed   standing = "missed"
	left     standing = "left"
	void     standing = "void" // its visitor has an earlier place
)

// place is one place in line.
type place struct {
	token    wire.ID
	visitor  wire.ID
	key      wire.OrderKey
	lane     wire.Lane
	instant  int64
	narrow   uint64
	wide     uint64
	carrier  bool
	counted  bool // against its networks
	standing standing
	grace    int64 // elapsed: how long an invited place may ask
	until    int64 // elapsed: how long a reserved slot waits
	issued   int64
	expires  int64 // instant, of the pass
	lapsed   bool  // a slot of it lapsed before
	gaveUp   bool  // said that it leaves while inside
}

func (p *place) over() bool {
	return p.standing == used || p.standing == missed || p.standing == left || p.standing == void
}

// room is one waiting room.
type room struct {
	id       int64
	def      wire.DefineRoom
	state    wire.RoomState
	changed  uint64 // number of the outcome that last changed definition or state
	joined   int
	reveal   *wire.Reveal
	drawn    bool // the draw took place
	places   map[wire.ID]*place
	visitors map[wire.ID]*place // the newest of each
	narrow   map[uint64]uint32
	wide     map[uint64]uint32
	codes    map[uint64]uint64 // places per invite code, live or let in
	lanes    [wire.Lanes]lane
	passes   map[wire.ID]*place
	inside   int64 // reserved and inside
	signal   wire.Signal
	sources  map[int32]*source
	steps    int  // effects of the turn that count against the machine's bound
	behind   bool // the bound was reached: what is left follows in later ticks

	claims, graces, expiries line[due]
}

// source is the newest that one partition of `orders` told the room.
type source struct {
	left uint64
	said *wire.Signal
}

// due is when something happens to a place, unless that was moved since.
type due struct {
	at int64
	p  *place
}

// lane is one of a room's lines: who waits and who asked, each by order key.
type lane struct {
	waiting, asked []*place
	begun          bool // somebody was invited
	invited        wire.OrderKey
}

func newQueue() *queue { return &queue{rooms: map[int64]*room{}} }

func newRoom(id int64) *room {
	earlier := func(a, b due) bool { return a.at < b.at }
	return &room{
		id: id, places: map[wire.ID]*place{}, visitors: map[wire.ID]*place{}, narrow: map[uint64]uint32{}, wide: map[uint64]uint32{},
		codes:  map[uint64]uint64{},
		passes: map[wire.ID]*place{}, sources: map[int32]*source{}, signal: wire.Signal{Left: -1, Coming: -1, Price: -1, Headroom: -1},
		claims: line[due]{less: earlier}, graces: line[due]{less: earlier}, expiries: line[due]{less: earlier},
	}
}

// clear forgets the places of a room that is over.
func (m *room) clear() {
	fresh := newRoom(m.id)
	m.places, m.visitors, m.narrow, m.wide, m.passes = fresh.places, fresh.visitors, fresh.narrow, fresh.wide, fresh.passes
	m.codes = fresh.codes
	m.claims, m.graces, m.expiries = fresh.claims, fresh.graces, fresh.expiries
	for i := range m.lanes {
		m.lanes[i].waiting, m.lanes[i].asked = nil, nil
	}
}

func (q *queue) judge(t *turn) {
	q.t, q.clock, q.must = t, t.clock, nil
	if t.tick {
		q.tick()
		return
	}
	m := q.rooms[t.record.Object]
	if m != nil {
		m.steps = 0
	}
	answer := q.command(t.record)
	if d := differ(answer, t.got[0]); d != "" {
		t.fail(unfair(m, answer, t.got[0]), "%s", d)
		return
	}
	q.effects(t.got[1:])
	if m = q.rooms[t.record.Object]; m != nil && len(t.out) == 0 {
		q.settled(m, t.record.Kind)
	}
}

// unfair is the invariant that a wrong answer breaks: who is let in instead of waiting came too early, or was too many.
func unfair(m *room, want expected, got seen) int {
	if want.Body.Kind() != wire.KindAsked || got.Kind != wire.KindClaimed {
		return 2
	}
	if m.inside >= int64(m.def.Cap) {
		return 7
	}
	return 6
}

// command decides a record: it changes the state and says what the first outcome must be.
func (q *queue) command(r wire.Record) expected {
	body := wire.NewQueueRecord(r.Kind)
	if body == nil {
		return expected{r.Object, r.Ref, &wire.Rejected{Reason: wire.ReasonUnknownKind}}
	}
	if r.DecodeInto(body) != nil {
		return expected{r.Object, r.Ref, &wire.Rejected{Reason: wire.ReasonUndecodable}}
	}
	m := q.rooms[r.Object]
	if d, ok := body.(*wire.DefineRoom); ok {
		return expected{r.Object, r.Ref, q.define(r, m, d)}
	}
	if m == nil {
		return expected{r.Object, r.Ref, down(r, wire.ReasonUnknownObject)}
	}
	switch b := body.(type) {
	case *wire.SetRoom:
		return q.setRoom(r, m, b)
	case *wire.SetOutflow:
		return expected{r.Object, r.Ref, q.setOutflow(r, m, b)}
	case *wire.Reveal:
		return expected{r.Object, r.Ref, q.revealed(r, m, b)}
	case *wire.Join:
		return expected{r.Object, r.Ref, q.join(r, m, b, false)}
	case *wire.Enlist:
		return expected{r.Object, r.Ref, q.join(r, m, &b.Join, true)}
	case *wire.Ask:
		return expected{r.Object, r.Ref, q.ask(r, m, b)}
	case *wire.Leave:
		return expected{r.Object, r.Ref, q.leave(r, m, b)}
	case *wire.Left:
		return q.leftBy(r, m, b)
	case *wire.Signal:
		return expected{r.Object, r.Ref, q.signalled(r, m, b)}
	}
	return expected{r.Object, r.Ref, &wire.Rejected{Reason: wire.ReasonUnknownKind}}
}

func down(r wire.Record, why wire.Reason) wire.Body {
	return &wire.TurnedDown{Reason: why, Command: r.Kind}
}

// Limits of the queue machine and of the control law that decide outcomes.
const (
	maxCap       = 10_000_000
	maxPerMinute = 10_000_000
	maxMargin    = 100_000
	usualCap     = 1_000
	usualRate    = 600
	usualMargin  = 2_000
	maxRooms     = 1024
	maxPlaces    = 4_000_000
	maxSources   = 64
	// roomSteps and allSteps bound the effects in one room, and in all, of one record; the rest follows in later ticks.
	roomSteps = 2_000
	allSteps  = 40_000
	// maxOutages is how many outages are remembered.
	maxOutages = 64
	// maxAhead is how far an instant may lie after log time.
	maxAhead = outageCap
)

// rank is how many of a line are before a key.
func rank(line []*place, k wire.OrderKey) int {
	return sort.Search(len(line), func(i int) bool { return !line[i].key.Less(k) })
}

func insert(line []*place, p *place) ([]*place, int) {
	i := rank(line, p.key)
	line = append(line, nil)
	copy(line[i+1:], line[i:])
	line[i] = p
	return line, i
}

func remove(line []*place, p *place) []*place {
	i := rank(line, p.key)
	if i == len(line) || line[i] != p {
		return line
	}
	return append(line[:i], line[i+1:]...)
}

// hold is when a draw room's draw takes place: those who arrived before its close get their drawn keys.
func (m *room) hold() {
	k := sha256.Sum256(append(append([]byte(nil), m.reveal.Seed[:]...), m.reveal.Public...))
	for _, p := range m.places {
		if p.instant < m.def.DrawCloses {
			mac := hmac.New(sha256.New, k[:])
			mac.Write(p.token[:])
			p.key.Class, p.key.Key = 0, binary.BigEndian.Uint64(mac.Sum(nil))
		}
	}
	for i := range m.lanes {
		line := m.lanes[i].waiting
		sort.Slice(line, func(a, b int) bool { return line[a].key.Less(line[b].key) })
	}
	m.drawn = true
}

// willBeDrawn says that a place that arrived then waits for the draw.
func (m *room) willBeDrawn(instant int64) bool {
	return m.def.Mode == wire.ModeDraw && !m.drawn && instant < m.def.DrawCloses
}

// forgiven is how much of the time since an instant was outages.
func (q *queue) forgiven(instant int64) (sum int64) {
	for _, o := range q.outages {
		if o.to > instant {
			sum += min(o.by, o.to-instant)
		}
	}
	return sum
}
