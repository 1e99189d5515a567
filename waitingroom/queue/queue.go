// Package queue is the machine behind the log `queue`: joined, asked, left in; places, who is invited and who is inside
// out. It is pure: the same records and ticks give the same outcomes, bytes and state on every replica; it touches no
// clock, randomness or I/O.
package queue

import (
	"cmp"
	"slices"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// Code is the version of the machine's behaviour and of its snapshot's layout.
const Code = 3

// Defaults of Limits.
const (
	DefaultRooms  = 1024
	DefaultPlaces = 4_000_000
)

const (
	// Ahead is how far an arrival instant may lie after log time. Log time stands still while nobody leads, and a join
	// acknowledged meanwhile must count; so it is what an outage can be. An instant in the future gains nobody anything,
	// and edges refuse one that is (their clocks are bounded).
	Ahead = sale.OutageCap
	// MaxSources is how many partitions may signal to one room.
	MaxSources = 64
	// roomSteps is how many slots, lapses, misses and the like one room takes in one record, and allSteps how many all
	// rooms take in one tick: the rest follows at the next tick. A record may have 65,535 outcomes.
	roomSteps = 2_000
	allSteps  = 40_000
)

// Limits bound the machine's memory; zero means the default.
type Limits struct {
	Rooms  int // rooms of the partition
	Places int // places of all its rooms, those of ended rooms not counted; at most 4,194,302
}

// Machine is the state of one partition of the log `queue`. It is for one goroutine; New makes one.
type Machine struct {
	limits  Limits
	rooms   []*room // by id
	places  int     // of all rooms
	last    int     // the room that was asked for last, probably
	turn    uint32  // which room is first at the next tick, so that none starves
	outages Outages
	tick    tick
	foreseen

	// Decoded records and outcomes under way, kept so that a join allocates nothing.
	enlist wire.Enlist
	ask    wire.Ask
	joined wire.Joined
}

// tick is the newest counted tick, for documents.
type tick struct {
	offset int64
	chain  wire.Hash
}

// New returns a machine that has applied nothing.
func New(limits Limits) *Machine {
	if limits.Rooms <= 0 {
		limits.Rooms = DefaultRooms
	}
	if limits.Places <= 0 {
		limits.Places = DefaultPlaces
	}
	limits.Places = min(limits.Places, maxNumber)
	return &Machine{limits: limits}
}

// Code is the machine's code version.
func (m *Machine) Code() uint32 { return Code }

// Apply takes in one record of a kind of this log and adds at least one outcome; the first answers the command.
func (m *Machine) Apply(c *sale.LogClock, offset int64, r wire.Record, out *wire.Outcomes) {
	switch r.Kind {
	case wire.KindJoin:
		m.applyJoin(c, offset, &r, out)
	case wire.KindEnlist:
		m.applyEnlist(c, offset, &r, out)
	case wire.KindAsk:
		m.applyAsk(c, &r, out)
	case wire.KindLeave:
		m.applyLeave(c, &r, out)
	case wire.KindLeft:
		m.applyLeft(c, &r, out)
	case wire.KindSignal:
		m.applySignal(c, &r, out)
	case wire.KindDefineRoom:
		m.applyDefine(c, &r, out)
	case wire.KindSetRoom:
		m.applySet(c, &r, out)
	case wire.KindSetOutflow:
		m.applyOutflow(c, &r, out)
	case wire.KindReveal:
		m.applyReveal(c, &r, out)
	default:
		out.Add(&wire.Rejected{Reason: wire.ReasonUnknownKind})
	}
}

// Tick lets time pass in every room: schedules, expiries, lapses, missed turns, free slots, invitations.
func (m *Machine) Tick(c *sale.LogClock, out *wire.Outcomes) {
	m.outages.Observe(c.Now, c.Outage)
	m.readTick(out)
	steps := allSteps
	for i := range m.rooms {
		rm := m.rooms[(int(m.turn)+i)%len(m.rooms)]
		budget := min(steps, roomSteps)
		steps -= budget
		m.advance(c, rm, out, &budget)
		steps += budget
	}
	if m.turn++; int(m.turn) >= len(m.rooms) {
		m.turn = 0
	}
}

// readTick keeps what the engine said of this tick before it called us: where it stands and the head of the chain. The
// document carries both, and only the engine knows them.
func (m *Machine) readTick(out *wire.Outcomes) {
	for i := out.Len() - out.Added(); i < out.Len(); i++ {
		o, err := wire.ParseOutcome(out.At(i))
		if err != nil || o.Kind != wire.KindTicked {
			continue
		}
		var t wire.Ticked
		if o.DecodeInto(&t) == nil {
			m.tick = tick{o.Offset, t.Chain}
		}
	}
}

func (m *Machine) find(id int64) (at int, ok bool) {
	// Mostly it is a partition's only room, or that of the record before.
	if m.last < len(m.rooms) && m.rooms[m.last].id == id {
		return m.last, true
	}
	at, ok = slices.BinarySearchFunc(m.rooms, id, func(r *room, id int64) int { return cmp.Compare(r.id, id) })
	m.last = at
	return at, ok
}

// open decodes a record's body and finds its room, or says why not and returns nil.
func (m *Machine) open(r *wire.Record, body wire.Body, out *wire.Outcomes) *room {
	if r.DecodeInto(body) != nil {
		out.Add(&wire.Rejected{Reason: wire.ReasonUndecodable})
		return nil
	}
	at, ok := m.find(r.Object)
	if !ok {
		turnDown(r, wire.ReasonUnknownObject, out)
		return nil
	}
	return m.rooms[at]
}

// order is open for an operator's command, which also names the last change that the operator knew.
func (m *Machine) order(r *wire.Record, body wire.Body, out *wire.Outcomes) *room {
	rm := m.open(r, body, out)
	if rm != nil && r.After != 0 && r.After != rm.changed {
		turnDown(r, wire.ReasonMoved, out)
		return nil
	}
	return rm
}

func turnDown(r *wire.Record, reason wire.Reason, out *wire.Outcomes) {
	out.Add(&wire.TurnedDown{Reason: reason, Command: r.Kind})
}

// Position is where a place stands.
type Position struct {
	Key   wire.OrderKey
	Lane  wire.Lane
	State PlaceState
	Drawn bool   // waits for the draw: Key is not final
	Ahead uint32 // places before it in its lane that wait (Waiting) or that asked (Asked); else 0
}

// Place answers one person's question for their exact place; ok is false for a place or room that is not known.
func (m *Machine) Place(roomID int64, token wire.ID) (at Position, ok bool) {
	i, ok := m.find(roomID)
	if !ok {
		return Position{}, false
	}
	rm := m.rooms[i]
	index, ok := rm.tokens.findToken(&rm.places, &token)
	if !ok {
		return Position{}, false
	}
	p := rm.places.at(index)
	at = Position{Key: rm.places.orderKey(index), Lane: p.lane(), State: p.state(), Drawn: rm.willDraw(p.instant())}
	switch at.State {
	case Waiting:
		at.Ahead = uint32(rm.lanes[at.Lane].waiting.rank(&rm.places, &at.Key))
	case Asked:
		at.Ahead = uint32(rm.lanes[at.Lane].asked.rank(&rm.places, &at.Key))
	}
	return at, true
}
