package wire

import "fairgate/internal/sale"

// Kinds of records in the log `orders`.
const (
	KindDefineEvent    Kind = 16
	KindDefineType     Kind = 17
	KindSetCapacity    Kind = 18
	KindSetPrice       Kind = 19
	KindSetSelling     Kind = 20
	KindCancelEvent    Kind = 21
	KindSetMethodLimit Kind = 22
	KindHold           Kind = 32
	KindCancel         Kind = 33
	KindPaymentStarted Kind = 34
	KindExtend         Kind = 35
	KindAuthorised     Kind = 36
	KindCaptureFailed  Kind = 37
	KindRefunded       Kind = 38
	KindRevoke         Kind = 39
	KindAuthorisedBy   Kind = 40
)

// NewOrder returns an empty body of a kind of the log `orders`, or nil for an unknown kind.
func NewOrder(k Kind) Body {
	switch k {
	case KindEpoch:
		return new(Epoch)
	case KindTick:
		return new(Tick)
	case KindDefineEvent:
		return new(DefineEvent)
	case KindDefineType:
		return new(DefineType)
	case KindSetCapacity:
		return new(SetCapacity)
	case KindSetPrice:
		return new(SetPrice)
	case KindSetSelling:
		return new(SetSelling)
	case KindCancelEvent:
		return new(CancelEvent)
	case KindSetMethodLimit:
		return new(SetMethodLimit)
	case KindHold:
		return new(Hold)
	case KindCancel:
		return new(Cancel)
	case KindPaymentStarted:
		return new(PaymentStarted)
	case KindExtend:
		return new(Extend)
	case KindAuthorised:
		return new(Authorised)
	case KindCaptureFailed:
		return new(CaptureFailed)
	case KindRefunded:
		return new(Refunded)
	case KindRevoke:
		return new(Revoke)
	case KindAuthorisedBy:
		return new(AuthorisedBy)
	}
	return nil
}

// DefineEvent makes an event known to the stock machine. Lengths of time are µs; zero means the default in brackets.
type DefineEvent struct {
	Currency      [3]byte
	Hold          int64  // how long a hold lasts [300 s]
	Offer         int64  // how long an offer to the waitlist lasts [300 s]
	Grace         int64  // how long after a lapse a payment may still be granted [600 s]
	Frozen        int64  // how long a confirmed booking whose capture failed may be paid again [1800 s]
	PerUser       uint16 // most tickets one user may hold and own; 0 for no limit
	NeedsPass     bool   // a hold needs an admission pass
	Room          int64  // the waiting room in front; 0 for none
	RoomPartition int32  // of the log `queue`, where that room lives
}

// Kind is KindDefineEvent.
func (*DefineEvent) Kind() Kind { return KindDefineEvent }

func (d *DefineEvent) fields(c *coder) {
	c.fixed(d.Currency[:])
	c.i64(&d.Hold)
	c.i64(&d.Offer)
	c.i64(&d.Grace)
	c.i64(&d.Frozen)
	c.u16(&d.PerUser)
	c.flag(&d.NeedsPass)
	c.i64(&d.Room)
	c.i32(&d.RoomPartition)
}

// Price is what one ticket costs (sale.Price on the wire).
type Price struct {
	Ticket   int64
	Fee      int64
	TaxRate  uint32
	Included bool
}

func (p *Price) fields(c *coder) {
	c.i64(&p.Ticket)
	c.i64(&p.Fee)
	c.u32(&p.TaxRate)
	c.flag(&p.Included)
}

// DefineType adds a ticket type to an event.
type DefineType struct {
	Type     uint32
	Capacity uint32
	PerUser  uint16 // most tickets of this type one user may hold and own; 0 for no limit
	Default  bool   // what a booking without items buys
	Price    Price
}

// Kind is KindDefineType.
func (*DefineType) Kind() Kind { return KindDefineType }

func (d *DefineType) fields(c *coder) {
	c.u32(&d.Type)
	c.u32(&d.Capacity)
	c.u16(&d.PerUser)
	c.flag(&d.Default)
	d.Price.fields(c)
}

// SetCapacity changes how many tickets a type has. Below held + sold it shrinks as stock returns.
type SetCapacity struct {
	Type     uint32
	Capacity uint32
}

// Kind is KindSetCapacity.
func (*SetCapacity) Kind() Kind { return KindSetCapacity }

func (s *SetCapacity) fields(c *coder) { c.u32(&s.Type); c.u32(&s.Capacity) }

// SetPrice changes what later holds of a type cost; lines already held keep theirs.
type SetPrice struct {
	Type  uint32
	Price Price
}

// Kind is KindSetPrice.
func (*SetPrice) Kind() Kind { return KindSetPrice }

func (s *SetPrice) fields(c *coder) { c.u32(&s.Type); s.Price.fields(c) }

// SetSelling stops or resumes selling an event. Live holds may still be paid.
type SetSelling struct {
	Selling bool
}

// Kind is KindSetSelling.
func (*SetSelling) Kind() Kind { return KindSetSelling }

func (s *SetSelling) fields(c *coder) { c.flag(&s.Selling) }

// SetMethodLimit changes how many bookings of an event may be paid by one payment method; see AuthorisedBy. What was
// confirmed before an event had a limit does not count.
type SetMethodLimit struct {
	PerMethod uint16 // 0 for no limit
}

// Kind is KindSetMethodLimit.
func (*SetMethodLimit) Kind() Kind { return KindSetMethodLimit }

func (s *SetMethodLimit) fields(c *coder) { c.u16(&s.PerMethod) }

// CancelEvent ends an event for good: selling stops, holds and offers end, the waitlist empties.
type CancelEvent struct{}

// Kind is KindCancelEvent.
func (*CancelEvent) Kind() Kind { return KindCancelEvent }

func (*CancelEvent) fields(*coder) {}

// Line asks for a quantity of one ticket type. Seat is reserved: 0.
type Line struct {
	Type     uint32
	Quantity uint16
	Seat     uint32
}

func lineFields(c *coder, l *Line) { c.u32(&l.Type); c.u16(&l.Quantity); c.u32(&l.Seat) }

// Hold asks for stock. The record's Ref is the booking id. No lines means one ticket of the event's default type.
type Hold struct {
	Subject     []byte // the user id; UserKey is its hash
	UserKey     ID
	TicketBase  ID // see sale.TicketID
	Pass        ID // admission pass id; zero for none
	PassExpires int64
	Waitlist    bool // wait in log order when there is not enough
	Lines       []Line
}

// Kind is KindHold.
func (*Hold) Kind() Kind { return KindHold }

func (h *Hold) fields(c *coder) {
	c.bytes(&h.Subject)
	c.id(&h.UserKey)
	c.id(&h.TicketBase)
	c.id(&h.Pass)
	c.i64(&h.PassExpires)
	c.flag(&h.Waitlist)
	list(c, &h.Lines, sale.MaxLines, lineFields)
}

// Cancel gives a hold, an offer or a place on the waitlist back. Ref is the booking id. A zero UserKey is the shop's.
type Cancel struct {
	UserKey ID
	Reason  Reason
}

// Kind is KindCancel.
func (*Cancel) Kind() Kind { return KindCancel }

func (x *Cancel) fields(c *coder) { c.id(&x.UserKey); c.u8((*uint8)(&x.Reason)) }

// PaymentStarted says that a payment attempt for the booking Ref began.
type PaymentStarted struct {
	UserKey ID
	Attempt ID
}

// Kind is KindPaymentStarted.
func (*PaymentStarted) Kind() Kind { return KindPaymentStarted }

func (p *PaymentStarted) fields(c *coder) { c.id(&p.UserKey); c.id(&p.Attempt) }

// Extend moves the deadline of one booking (Scope 0, Ref) or of all of an event's holds (Scope 1) by By, at most up to
// the instant Until when Until is not 0.
type Extend struct {
	Scope uint8
	Cause Cause
	By    int64 // µs
	Until int64 // instant, µs
}

// Kind is KindExtend.
func (*Extend) Kind() Kind { return KindExtend }

func (e *Extend) fields(c *coder) {
	c.u8(&e.Scope)
	c.u8((*uint8)(&e.Cause))
	c.i64(&e.By)
	c.i64(&e.Until)
}

// Authorised says that money for the booking Ref is reserved at the payment provider. Intent is the provider's object
// id (empty for a total of zero).
type Authorised struct {
	Attempt  ID
	Amount   int64
	Currency [3]byte
	Intent   []byte
}

// Kind is KindAuthorised.
func (*Authorised) Kind() Kind { return KindAuthorised }

func (a *Authorised) fields(c *coder) {
	c.id(&a.Attempt)
	c.i64(&a.Amount)
	c.fixed(a.Currency[:])
	c.bytes(&a.Intent)
}

// AuthorisedBy is Authorised with what the money comes from, for events that limit it. Method is a keyed hash of the event
// and the payment method, so that one method is a stranger at every event and to whoever reads the log; zero is unknown
// and meets no limit.
type AuthorisedBy struct {
	Method ID
	Authorised
}

// Kind is KindAuthorisedBy.
func (*AuthorisedBy) Kind() Kind { return KindAuthorisedBy }

func (a *AuthorisedBy) fields(c *coder) { c.id(&a.Method); a.Authorised.fields(c) }

// CaptureFailed says that the money of a confirmed booking cannot be taken, for good.
type CaptureFailed struct {
	Attempt ID
}

// Kind is KindCaptureFailed.
func (*CaptureFailed) Kind() Kind { return KindCaptureFailed }

func (f *CaptureFailed) fields(c *coder) { c.id(&f.Attempt) }

// MaxTickets is how many tickets one booking can have: every line full.
const MaxTickets = sale.MaxLines * sale.MaxQuantity

// Refunded says that the money of named tickets (indexes from 0) of the booking Ref goes back.
type Refunded struct {
	Refund  ID
	Return  bool // the stock becomes free again
	Tickets []uint16
}

// Kind is KindRefunded.
func (*Refunded) Kind() Kind { return KindRefunded }

func (r *Refunded) fields(c *coder) {
	c.id(&r.Refund)
	c.flag(&r.Return)
	list(c, &r.Tickets, MaxTickets, func(c *coder, v *uint16) { c.u16(v) })
}

// Revoke ends the booking Ref by order of the organiser; money follows by its own commands.
type Revoke struct {
	Reason Reason
	Return bool
}

// Kind is KindRevoke.
func (*Revoke) Kind() Kind { return KindRevoke }

func (r *Revoke) fields(c *coder) { c.u8((*uint8)(&r.Reason)); c.flag(&r.Return) }
