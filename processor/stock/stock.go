// Package stock is the machine behind the log `orders`: it decides, record by record, who holds, buys and gets back
// which tickets. It imports internal/sale, internal/wire and pure parts of the standard library, and touches nothing: no
// clock, no randomness, no I/O, no goroutines. The same records give the same outcomes and the same snapshot everywhere.
//
// DESIGN.md beside this file lists the rules in the order in which they are checked.
package stock

import (
	"fairgate/internal/sale"
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// Code is the version of this machine's snapshot layout and behaviour.
const Code uint32 = 3

// codeMethods is the version that brought limits per payment method.
const codeMethods uint32 = 3

// since is the version that brought a kind of record; a term whose leader is older knows it not.
func since(k wire.Kind) uint32 {
	if k == wire.KindSetMethodLimit || k == wire.KindAuthorisedBy {
		return codeMethods
	}
	return 0
}

// Limits that are part of the behaviour and cannot be configured.
const (
	// MaxTypes is how many ticket types one event may have.
	MaxTypes = 64
	// MaxTypeNumber is the highest number of a ticket type: Postgres' integer holds it.
	MaxTypeNumber = 1<<31 - 1
	// MaxPrices is how many prices one event may ever have had: each type's first and every change.
	MaxPrices = 4096
	// MaxRefusals is how many refused payment attempts a booking remembers; further ones are refused unread.
	MaxRefusals = 16
	// MaxLength is the longest hold, offer, grace or freeze that an event may define.
	MaxLength = 7 * 24 * sale.Hour
	// MaxPassLife is how far ahead a pass may expire: it bounds how long the machine must remember it.
	MaxPassLife = 24 * sale.Hour
	// MaxPaymentExtension is how much all payment causes together may add to one booking's deadline.
	MaxPaymentExtension = 600 * sale.Second
	// MaxOperatorExtension is how much one operator's record may add.
	MaxOperatorExtension = 24 * sale.Hour
	// MaxCorrections is how many bookings may be held back by their own limit when a whole event is extended.
	MaxCorrections = 10_000
	// Remember is how long (elapsed) a booking that was never paid is still known after its end.
	Remember = 600 * sale.Second
)

// Limits bound the machine's memory and the work of one record. They decide outcomes, so every replica and every model
// of one log must use the same; zero means the default in brackets.
type Limits struct {
	Events   int // known at once [10,000]
	Bookings int // known at once, ended ones included until forgotten [4,000,000]
	Waiting  int // per event [20,000]
	Passes   int // used up and not yet expired [2,000,000]
	Batch    int // deadlines, offers, endings (each) that one record may cause [1,000]
}

func (l Limits) filled() Limits {
	fill := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	fill(&l.Events, 10_000)
	fill(&l.Bookings, 4_000_000)
	fill(&l.Waiting, 20_000)
	fill(&l.Passes, 2_000_000)
	fill(&l.Batch, 1_000)
	return l
}

// Machine is the state of one partition's stock. It belongs to one goroutine.
type Machine struct {
	limits Limits
	state
	turn
	scratch
	foreseen
}

// state is everything that a snapshot holds or that is rebuilt from it.
type state struct {
	events    []event         // in the order of definition
	eventAt   map[int64]int32 // lookup only
	bookings  table.Slab[booking]
	ids       table.Index // of bookings
	owners    table.Index // the newest booking that counts for a user and event
	lines     table.Slab[manyLines]
	waiters   table.Slab[waiter]
	refusals  table.Slab[refusal]
	refunds   table.Slab[refund]
	payers    table.Slab[payer]
	payerAt   table.Index    // by event and method
	deadlines table.Calendar // of held, offered, lapsed and frozen bookings
	ended     table.Calendar // of bookings to be forgotten
	passes    passTable
	owed      int // events whose waitlist has not been served to the end
	sweeping  int // cancelled events whose bookings have not all been ended
}

// turn is the record being applied.
type turn struct {
	clock  *sale.LogClock
	out    *wire.Outcomes
	rec    wire.Record
	offset int64
	event  int32 // that the record names; none if it is unknown
}

// New returns an empty machine.
func New(l Limits) *Machine {
	m := &Machine{limits: l.filled()}
	m.state = newState()
	return m
}

func newState() state {
	return state{eventAt: map[int64]int32{}, passes: passTable{user: map[passKey]wire.ID{}}}
}

// Code is the code version of the snapshots.
func (m *Machine) Code() uint32 { return Code }

// Apply decides one record of kind 16 or above. It adds at least one outcome; the first answers the record, the others
// (offers, endings) follow from it.
func (m *Machine) Apply(c *sale.LogClock, offset int64, r wire.Record, out *wire.Outcomes) {
	m.begin(c, offset, r, out)
	body := m.bodyOf(r.Kind)
	if body == nil || c.Code < since(r.Kind) {
		m.reject(wire.ReasonUnknownKind)
		return
	}
	if r.DecodeInto(body) != nil {
		m.reject(wire.ReasonUndecodable)
		return
	}
	m.decide(body)
	if m.event != none && m.events[m.event].owed {
		budget := m.limits.Batch
		m.serve(m.event, &budget)
	}
}

// begin opens the turn of a record.
func (m *Machine) begin(c *sale.LogClock, offset int64, r wire.Record, out *wire.Outcomes) {
	m.turn = turn{clock: c, out: out, rec: r, offset: offset, event: none}
	if at, ok := m.eventAt[r.Object]; ok {
		m.event = at
	}
}

func (m *Machine) decide(body wire.Body) {
	switch b := body.(type) {
	case *wire.Hold:
		m.hold(b)
	case *wire.Authorised:
		m.authorised(b, wire.ID{})
	case *wire.AuthorisedBy:
		m.authorised(&b.Authorised, b.Method)
	case *wire.PaymentStarted:
		m.paymentStarted(b)
	case *wire.Cancel:
		m.cancel(b)
	case *wire.Extend:
		m.extend(b)
	case *wire.CaptureFailed:
		m.captureFailed(b)
	case *wire.Refunded:
		m.refunded(b)
	case *wire.Revoke:
		m.revoke(b)
	default:
		m.operate(body)
	}
}

// Tick does what the clock's move makes due: deadlines in order, then offers of the stock that came back, then the
// endings of cancelled events, each at most Limits.Batch; what is left waits for the next tick.
func (m *Machine) Tick(c *sale.LogClock, out *wire.Outcomes) {
	m.turn = turn{clock: c, out: out, event: none}
	m.passes.forget(c.Now, m.limits.Batch)
	m.forget()
	for range m.limits.Batch {
		at, ok := m.due(&m.deadlines, c.Elapsed())
		if !ok {
			break
		}
		m.expire(at)
	}
	offers, endings := m.limits.Batch, m.limits.Batch
	for i := range m.events {
		if m.owed == 0 && m.sweeping == 0 {
			break
		}
		m.serve(int32(i), &offers)
		m.sweep(int32(i), &endings)
	}
}

// scratch is memory that lives for one record, kept to spare the allocations.
type scratch struct {
	in struct {
		defineEvent    wire.DefineEvent
		defineType     wire.DefineType
		setCapacity    wire.SetCapacity
		setPrice       wire.SetPrice
		setSelling     wire.SetSelling
		setMethodLimit wire.SetMethodLimit
		cancelEvent    wire.CancelEvent
		hold           wire.Hold
		cancel         wire.Cancel
		paymentStarted wire.PaymentStarted
		extend         wire.Extend
		authorised     wire.Authorised
		authorisedBy   wire.AuthorisedBy
		captureFailed  wire.CaptureFailed
		refunded       wire.Refunded
		revoke         wire.Revoke
	}
	held      wire.Held
	offered   wire.Offered
	confirmed wire.Confirmed
	refusal   wire.Refused
	lapsed    wire.Lapsed
	closed    wire.Closed
	begun     wire.PaymentBegun
	void      wire.AuthorisationRefused
	already   wire.AlreadyHeld
	rejected  wire.Rejected
	repeated  wire.Repeated
	cancelled wire.Cancelled
	revoked   wire.Revoked
	lineBuf   []wire.HeldLine
	stockBuf  []wire.Stock
	dayBuf    []entry
}

func (s *scratch) bodyOf(k wire.Kind) wire.Body {
	switch k {
	case wire.KindDefineEvent:
		return &s.in.defineEvent
	case wire.KindDefineType:
		return &s.in.defineType
	case wire.KindSetCapacity:
		return &s.in.setCapacity
	case wire.KindSetPrice:
		return &s.in.setPrice
	case wire.KindSetSelling:
		return &s.in.setSelling
	case wire.KindSetMethodLimit:
		return &s.in.setMethodLimit
	case wire.KindCancelEvent:
		return &s.in.cancelEvent
	case wire.KindHold:
		return &s.in.hold
	case wire.KindCancel:
		return &s.in.cancel
	case wire.KindPaymentStarted:
		return &s.in.paymentStarted
	case wire.KindExtend:
		return &s.in.extend
	case wire.KindAuthorised:
		return &s.in.authorised
	case wire.KindAuthorisedBy:
		return &s.in.authorisedBy
	case wire.KindCaptureFailed:
		return &s.in.captureFailed
	case wire.KindRefunded:
		return &s.in.refunded
	case wire.KindRevoke:
		return &s.in.revoke
	}
	return nil
}

func (m *Machine) reject(reason wire.Reason) {
	m.rejected.Reason = reason
	m.out.Add(&m.rejected)
}

// refuse answers a command that is understood but may not be done.
func (m *Machine) refuse(reason wire.Reason) {
	m.refusal = wire.Refused{Reason: reason, Command: m.rec.Kind, Lines: m.refusal.Lines[:0]}
	if m.rec.Kind == wire.KindHold {
		m.refusal.UserKey = m.in.hold.UserKey
	}
	m.out.Add(&m.refusal)
}

// repeat answers a command whose effect is there already.
func (m *Machine) repeat(first wire.Kind, ref wire.ID) {
	m.repeated = wire.Repeated{FirstKind: first, FirstRef: ref}
	m.out.Add(&m.repeated)
}
