package wire

// Kinds of records in the log `queue`.
const (
	KindDefineRoom Kind = 16
	KindSetRoom    Kind = 17
	KindSetOutflow Kind = 18
	KindReveal     Kind = 19
	KindJoin       Kind = 32
	KindAsk        Kind = 33
	KindLeave      Kind = 34
	KindLeft       Kind = 35
	KindSignal     Kind = 36
	KindEnlist     Kind = 37
)

// NewQueueRecord returns an empty body of a kind of the log `queue`, or nil for an unknown kind.
func NewQueueRecord(k Kind) Body {
	switch k {
	case KindEpoch:
		return new(Epoch)
	case KindTick:
		return new(Tick)
	case KindDefineRoom:
		return new(DefineRoom)
	case KindSetRoom:
		return new(SetRoom)
	case KindSetOutflow:
		return new(SetOutflow)
	case KindReveal:
		return new(Reveal)
	case KindJoin:
		return new(Join)
	case KindAsk:
		return new(Ask)
	case KindLeave:
		return new(Leave)
	case KindLeft:
		return new(Left)
	case KindSignal:
		return new(Signal)
	case KindEnlist:
		return new(Enlist)
	}
	return nil
}

// RoomState is where a room is in its life: closed → early → open ⇄ paused → sold out → ended.
type RoomState uint8

// States of a room.
const (
	RoomClosed  RoomState = 0
	RoomEarly   RoomState = 1 // takes joins, invites nobody
	RoomOpen    RoomState = 2
	RoomPaused  RoomState = 3 // takes joins, invites nobody; those inside go on
	RoomSoldOut RoomState = 4 // like paused, and says so; goes back to open when stock returns
	RoomEnded   RoomState = 5
)

var roomStates = [...]string{"closed", "early", "open", "paused", "soldOut", "ended"}

// String is the state's name in documents.
func (s RoomState) String() string {
	if int(s) < len(roomStates) {
		return roomStates[s]
	}
	return "unknown"
}

// Lane is one of the lines of a room; each has its share of the outflow.
type Lane uint8

// Lanes of a room.
const (
	LaneNormal  Lane = 0
	LaneShared  Lane = 1 // places above the caps of their network
	LaneInvited Lane = 2 // with a signed invite code; those above its uses go to LaneShared
	LaneTimed   Lane = 3 // without JavaScript: waited instead of solving
	Lanes            = 4
)

var lanes = [...]string{"normal", "shared", "invited", "timed"}

// String is the lane's name in documents.
func (l Lane) String() string {
	if int(l) < len(lanes) {
		return lanes[l]
	}
	return "unknown"
}

// Modes of ordering those who come before the draw closes.
const (
	ModeFCFS uint8 = 0
	ModeDraw uint8 = 1
)

// DefineRoom makes a room known to the queue machine, or changes its settings. Times are instants in µs, lengths are µs
// and zero means the default in brackets.
type DefineRoom struct {
	Mode         uint8
	Opens        int64 // 0: only by order
	EarlyFrom    int64 // joins are taken from here; 0: from the definition on
	DrawCloses   int64
	Ends         int64         // 0: only by order
	Cap          uint32        // most people inside
	PerMinute    uint32        // people entering a minute, at most; more are invited when few of them come
	MarginMille  uint32        // invite for at most left × margin / 1000 of the stock [2000]
	Claim        int64         // an unclaimed slot lapses after [30 s]
	Grace        int64         // a missed turn may ask again for [600 s]
	Pass         int64         // a pass is valid for [900 s]
	Late         int64         // a join may reach the log this long after its instant [240 s]
	CapNarrow    uint32        // normal places per IPv4 address or IPv6 /56 [4]
	CapWide      uint32        // per /24 or /48 [16]
	CapCarrier   uint32        // per address in a listed carrier range [200]
	Shares       [Lanes]uint16 // per mille of the outflow per lane; all zero: normal takes what no other lane needs
	Commitment   Hash          // SHA-256 of the draw's seed
	PublicSource []byte        // which public value will be used
	OrdersPart   int32         // partition of the log `orders` whose events this room guards
}

// Kind is KindDefineRoom.
func (*DefineRoom) Kind() Kind { return KindDefineRoom }

func (d *DefineRoom) fields(c *coder) {
	c.u8(&d.Mode)
	c.i64(&d.Opens)
	c.i64(&d.EarlyFrom)
	c.i64(&d.DrawCloses)
	c.i64(&d.Ends)
	c.u32(&d.Cap)
	c.u32(&d.PerMinute)
	c.u32(&d.MarginMille)
	c.i64(&d.Claim)
	c.i64(&d.Grace)
	c.i64(&d.Pass)
	c.i64(&d.Late)
	c.u32(&d.CapNarrow)
	c.u32(&d.CapWide)
	c.u32(&d.CapCarrier)
	for i := range d.Shares {
		c.u16(&d.Shares[i])
	}
	c.hash(&d.Commitment)
	c.bytes(&d.PublicSource)
	c.i32(&d.OrdersPart)
}

// SetRoom orders a state: open, pause, resume (open), end.
type SetRoom struct {
	State RoomState
}

// Kind is KindSetRoom.
func (*SetRoom) Kind() Kind { return KindSetRoom }

func (s *SetRoom) fields(c *coder) { c.u8((*uint8)(&s.State)) }

// SetOutflow changes the rate and the cap.
type SetOutflow struct {
	PerMinute uint32
	Cap       uint32
}

// Kind is KindSetOutflow.
func (*SetOutflow) Kind() Kind { return KindSetOutflow }

func (s *SetOutflow) fields(c *coder) { c.u32(&s.PerMinute); c.u32(&s.Cap) }

// Reveal publishes the draw's seed and the public value, at opening.
type Reveal struct {
	Seed   Hash
	Public []byte
}

// Kind is KindReveal.
func (*Reveal) Kind() Kind { return KindReveal }

func (r *Reveal) fields(c *coder) { c.hash(&r.Seed); c.bytes(&r.Public) }

// Join puts a visitor in line. The record's Ref is the token id; everything here comes from the signed challenge.
type Join struct {
	Instant    int64  // arrival, room time, µs
	Edge       uint32 // that stamped it
	Visitor    ID     // hash of the visitor's secret
	Lane       Lane   // asked for; the machine may say LaneShared
	Carrier    bool   // the address is in a listed carrier range
	Narrow     uint64 // keyed hash of the IPv4 address or IPv6 /56; in the invited lane, the number of the invite code
	Wide       uint64 // keyed hash of the /24 or /48; in the invited lane, how many places the code gives
	Algorithm  uint8  // of the puzzle that was solved; 0 for none
	Difficulty uint32
}

// Kind is KindJoin.
func (*Join) Kind() Kind { return KindJoin }

func (j *Join) fields(c *coder) {
	c.i64(&j.Instant)
	c.u32(&j.Edge)
	c.id(&j.Visitor)
	c.u8((*uint8)(&j.Lane))
	c.flag(&j.Carrier)
	c.u64(&j.Narrow)
	c.u64(&j.Wide)
	c.u8(&j.Algorithm)
	c.u32(&j.Difficulty)
}

// Enlist puts a visitor in line like Join, and by newer rules, which come with the kind of the record: a log that is read
// again gives the same outcomes. Beside what caps count it carries the wide networks that only prices follow. Normal and
// timed places count against the same caps, and above them a timed place is turned down: in the shared lane it would be one
// that cost no work.
type Enlist struct {
	Join
	Broad  uint64 // keyed hash of the IPv6 /32; 0 for none
	Origin uint64 // keyed hash of the autonomous system's number; 0 for not known
}

// Kind is KindEnlist.
func (*Enlist) Kind() Kind { return KindEnlist }

func (e *Enlist) fields(c *coder) { e.Join.fields(c); c.u64(&e.Broad); c.u64(&e.Origin) }

// Ask asks to enter. Ref is the token id; the edge has verified the token and the visitor's secret.
type Ask struct {
	Visitor ID
}

// Kind is KindAsk.
func (*Ask) Kind() Kind { return KindAsk }

func (a *Ask) fields(c *coder) { c.id(&a.Visitor) }

// Leave gives a place up. Ref is the token id.
type Leave struct {
	Visitor ID
}

// Kind is KindLeave.
func (*Leave) Kind() Kind { return KindLeave }

func (l *Leave) fields(c *coder) { c.id(&l.Visitor) }

// Left says that a pass was used up. Written by the bridge, idempotent by (Source, SourceSeq).
type Left struct {
	Pass      ID
	Source    int32  // partition of the log `orders`
	SourceSeq uint64 // sequence number of the outcome that used the pass
}

// Kind is KindLeft.
func (*Left) Kind() Kind { return KindLeft }

func (l *Left) fields(c *coder) { c.id(&l.Pass); c.i32(&l.Source); c.u64(&l.SourceSeq) }

// Signal tells the room what is behind it. Written by the bridge, idempotent by (Source, SourceSeq).
type Signal struct {
	Left      int64 // tickets free over the room's events; -1 unknown
	Coming    int64 // tickets held or on offer, which may come back
	Price     int64 // lowest price of one ticket with fee, minor units; -1 unknown
	Currency  [3]byte
	Headroom  int32 // per mille of the configured rate that what is behind can take; -1 unknown
	Source    int32
	SourceSeq uint64
}

// Kind is KindSignal.
func (*Signal) Kind() Kind { return KindSignal }

func (s *Signal) fields(c *coder) {
	c.i64(&s.Left)
	c.i64(&s.Coming)
	c.i64(&s.Price)
	c.fixed(s.Currency[:])
	c.i32(&s.Headroom)
	c.i32(&s.Source)
	c.u64(&s.SourceSeq)
}
