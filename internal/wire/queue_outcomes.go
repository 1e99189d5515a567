package wire

import (
	"encoding/binary"
	"encoding/hex"
)

// Kinds of outcomes of the log `queue`.
const (
	KindRoomDefined  Kind = 16
	KindRoomSet      Kind = 17
	KindOutflowSet   Kind = 18
	KindRevealed     Kind = 19
	KindJoined       Kind = 32
	KindPlaceKept    Kind = 33
	KindTurnedDown   Kind = 34
	KindInvitedUpTo  Kind = 35
	KindAsked        Kind = 36
	KindSlotGiven    Kind = 37
	KindClaimed      Kind = 38
	KindSlotLapsed   Kind = 39
	KindMissed       Kind = 40
	KindLeftQueue    Kind = 41
	KindSlotFreed    Kind = 42
	KindSignalled    Kind = 43
	KindPassReturned Kind = 44
)

// NewQueueOutcome returns an empty body of an outcome of the log `queue`, or nil for an unknown kind.
func NewQueueOutcome(k Kind) Body {
	if b := newSharedOutcome(k); b != nil {
		return b
	}
	switch k {
	case KindRoomDefined:
		return new(RoomDefined)
	case KindRoomSet:
		return new(RoomSet)
	case KindOutflowSet:
		return new(OutflowSet)
	case KindRevealed:
		return new(Revealed)
	case KindJoined:
		return new(Joined)
	case KindPlaceKept:
		return new(PlaceKept)
	case KindTurnedDown:
		return new(TurnedDown)
	case KindInvitedUpTo:
		return new(InvitedUpTo)
	case KindAsked:
		return new(Asked)
	case KindSlotGiven:
		return new(SlotGiven)
	case KindClaimed:
		return new(Claimed)
	case KindSlotLapsed:
		return new(SlotLapsed)
	case KindMissed:
		return new(Missed)
	case KindLeftQueue:
		return new(LeftQueue)
	case KindSlotFreed:
		return new(SlotFreed)
	case KindSignalled:
		return new(Signalled)
	case KindPassReturned:
		return new(PassReturned)
	}
	return nil
}

// OrderKey is a place's position in its lane: (class, key, token id), compared in that order. Class 0 is drawn, its key
// the draw value; class 1 is everybody else, its key the arrival instant in µs. Its text is 50 characters of lower-case
// hex (class 2, key 16, token 32), so that comparing text compares places.
type OrderKey struct {
	Class uint8
	Key   uint64
	Token ID
}

// Less orders two places.
func (k OrderKey) Less(o OrderKey) bool {
	if k.Class != o.Class {
		return k.Class < o.Class
	}
	if k.Key != o.Key {
		return k.Key < o.Key
	}
	return string(k.Token[:]) < string(o.Token[:])
}

// String is the text form.
func (k OrderKey) String() string {
	var b [25]byte
	b[0] = k.Class
	binary.BigEndian.PutUint64(b[1:], k.Key)
	copy(b[9:], k.Token[:])
	return hex.EncodeToString(b[:])
}

// ParseOrderKey reads the text form.
func ParseOrderKey(s string) (OrderKey, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 25 {
		return OrderKey{}, ErrValue
	}
	return OrderKey{b[0], binary.BigEndian.Uint64(b[1:]), ID(b[9:])}, nil
}

func (k *OrderKey) fields(c *coder) { c.u8(&k.Class); c.u64(&k.Key); c.id(&k.Token) }

// RoomDefined echoes the definition with the defaults filled in.
type RoomDefined struct {
	Room DefineRoom
}

// Kind is KindRoomDefined.
func (*RoomDefined) Kind() Kind { return KindRoomDefined }

func (r *RoomDefined) fields(c *coder) { r.Room.fields(c) }

// RoomSet is a change of state, by order or by schedule.
type RoomSet struct {
	State RoomState
}

// Kind is KindRoomSet.
func (*RoomSet) Kind() Kind { return KindRoomSet }

func (s *RoomSet) fields(c *coder) { c.u8((*uint8)(&s.State)) }

// OutflowSet echoes the new rate and cap.
type OutflowSet struct {
	PerMinute uint32
	Cap       uint32
}

// Kind is KindOutflowSet.
func (*OutflowSet) Kind() Kind { return KindOutflowSet }

func (s *OutflowSet) fields(c *coder) { c.u32(&s.PerMinute); c.u32(&s.Cap) }

// Revealed echoes the seed and the public value of the draw.
type Revealed struct {
	Seed   Hash
	Public []byte
}

// Kind is KindRevealed.
func (*Revealed) Kind() Kind { return KindRevealed }

func (r *Revealed) fields(c *coder) { c.hash(&r.Seed); c.bytes(&r.Public) }

// Joined says that the place Ref is in line for good. Before a draw its key is the arrival instant in class 1 and the
// final key follows from Revealed.
type Joined struct {
	Key     OrderKey
	Lane    Lane
	Drawn   bool // will be ordered by the draw
	Instant int64
	Visitor ID
	Ahead   uint32 // places before it in its lane, as it stands
}

// Kind is KindJoined.
func (*Joined) Kind() Kind { return KindJoined }

func (j *Joined) fields(c *coder) {
	j.Key.fields(c)
	c.u8((*uint8)(&j.Lane))
	c.flag(&j.Drawn)
	c.i64(&j.Instant)
	c.id(&j.Visitor)
	c.u32(&j.Ahead)
}

// PlaceKept answers a Join of a visitor who has an earlier place: that Token stays, this one is void.
type PlaceKept struct {
	Token   ID
	Visitor ID
}

// Kind is KindPlaceKept.
func (*PlaceKept) Kind() Kind { return KindPlaceKept }

func (p *PlaceKept) fields(c *coder) { c.id(&p.Token); c.id(&p.Visitor) }

// TurnedDown answers a Join, Ask, Leave, Left or order that has no effect.
type TurnedDown struct {
	Reason  Reason
	Command Kind // of the record
}

// Kind is KindTurnedDown.
func (*TurnedDown) Kind() Kind { return KindTurnedDown }

func (t *TurnedDown) fields(c *coder) { c.u8((*uint8)(&t.Reason)); c.u8((*uint8)(&t.Command)) }

// InvitedUpTo moves a lane's invitation forward: every place up to and including Key may ask to enter.
type InvitedUpTo struct {
	Lane  Lane
	Key   OrderKey
	Count uint32 // newly invited
}

// Kind is KindInvitedUpTo.
func (*InvitedUpTo) Kind() Kind { return KindInvitedUpTo }

func (i *InvitedUpTo) fields(c *coder) { c.u8((*uint8)(&i.Lane)); i.Key.fields(c); c.u32(&i.Count) }

// Asked answers an Ask that waits for a slot. Ahead is how many pending asks are before it in its lane.
type Asked struct {
	Ahead uint32
}

// Kind is KindAsked.
func (*Asked) Kind() Kind { return KindAsked }

func (a *Asked) fields(c *coder) { c.u32(&a.Ahead) }

// SlotGiven reserves a free slot for the place Ref, whose ask was pending; its next ask claims it.
type SlotGiven struct {
	Until  int64  // instant as it stands, µs
	Inside uint32 // after
}

// Kind is KindSlotGiven.
func (*SlotGiven) Kind() Kind { return KindSlotGiven }

func (s *SlotGiven) fields(c *coder) { c.i64(&s.Until); c.u32(&s.Inside) }

// Claimed answers an Ask with an admission: an edge may mint the pass from it, and nothing else.
type Claimed struct {
	Visitor ID
	Pass    ID
	Issued  int64 // instant, µs
	Expires int64 // instant, µs; not moved by outages
	Inside  uint32
	Lane    Lane
}

// Kind is KindClaimed.
func (*Claimed) Kind() Kind { return KindClaimed }

func (x *Claimed) fields(c *coder) {
	c.id(&x.Visitor)
	c.id(&x.Pass)
	c.i64(&x.Issued)
	c.i64(&x.Expires)
	c.u32(&x.Inside)
	c.u8((*uint8)(&x.Lane))
}

// PassReturned answers a further Ask of a place that was admitted: the same pass, the same expiry.
type PassReturned struct {
	Visitor ID
	Pass    ID
	Issued  int64
	Expires int64
	Lane    Lane
}

// Kind is KindPassReturned.
func (*PassReturned) Kind() Kind { return KindPassReturned }

func (p *PassReturned) fields(c *coder) {
	c.id(&p.Visitor)
	c.id(&p.Pass)
	c.i64(&p.Issued)
	c.i64(&p.Expires)
	c.u8((*uint8)(&p.Lane))
}

// SlotLapsed takes back a slot that was not claimed in time. The place may ask again within the grace.
type SlotLapsed struct {
	Inside uint32
}

// Kind is KindSlotLapsed.
func (*SlotLapsed) Kind() Kind { return KindSlotLapsed }

func (s *SlotLapsed) fields(c *coder) { c.u32(&s.Inside) }

// Missed ends an invited place whose grace passed without an ask.
type Missed struct{}

// Kind is KindMissed.
func (*Missed) Kind() Kind { return KindMissed }

func (*Missed) fields(*coder) {}

// LeftQueue answers a Leave.
type LeftQueue struct{}

// Kind is KindLeftQueue.
func (*LeftQueue) Kind() Kind { return KindLeftQueue }

func (*LeftQueue) fields(*coder) {}

// SlotFreed says that the pass of the place Ref is no longer usable: used up or expired.
type SlotFreed struct {
	Pass   ID
	Used   bool
	Inside uint32 // after
}

// Kind is KindSlotFreed.
func (*SlotFreed) Kind() Kind { return KindSlotFreed }

func (s *SlotFreed) fields(c *coder) { c.id(&s.Pass); c.flag(&s.Used); c.u32(&s.Inside) }

// Signalled echoes what the room was told.
type Signalled struct {
	Signal Signal
}

// Kind is KindSignalled.
func (*Signalled) Kind() Kind { return KindSignalled }

func (s *Signalled) fields(c *coder) { s.Signal.fields(c) }
