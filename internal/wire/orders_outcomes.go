package wire

import "fairgate/internal/sale"

// Kinds of outcomes of the log `orders`.
const (
	KindEventDefined         Kind = 16
	KindTypeDefined          Kind = 17
	KindCapacitySet          Kind = 18
	KindPriceSet             Kind = 19
	KindSellingSet           Kind = 20
	KindEventCancelled       Kind = 21
	KindMethodLimitSet       Kind = 22
	KindHeld                 Kind = 32
	KindRefused              Kind = 33
	KindAlreadyHeld          Kind = 34
	KindWaitlisted           Kind = 35
	KindOffered              Kind = 36
	KindCancelled            Kind = 37
	KindLapsed               Kind = 38
	KindClosed               Kind = 39
	KindPaymentBegun         Kind = 40
	KindConfirmed            Kind = 41
	KindAuthorisationRefused Kind = 42
	KindFrozen               Kind = 43
	KindTicketsRefunded      Kind = 44
	KindRevoked              Kind = 45
)

// NewOrderOutcome returns an empty body of an outcome of the log `orders`, or nil for an unknown kind.
func NewOrderOutcome(k Kind) Body {
	if b := newSharedOutcome(k); b != nil {
		return b
	}
	switch k {
	case KindEventDefined:
		return new(EventDefined)
	case KindTypeDefined:
		return new(TypeDefined)
	case KindCapacitySet:
		return new(CapacitySet)
	case KindPriceSet:
		return new(PriceSet)
	case KindSellingSet:
		return new(SellingSet)
	case KindEventCancelled:
		return new(EventCancelled)
	case KindMethodLimitSet:
		return new(MethodLimitSet)
	case KindHeld:
		return new(Held)
	case KindRefused:
		return new(Refused)
	case KindAlreadyHeld:
		return new(AlreadyHeld)
	case KindWaitlisted:
		return new(Waitlisted)
	case KindOffered:
		return new(Offered)
	case KindCancelled:
		return new(Cancelled)
	case KindLapsed:
		return new(Lapsed)
	case KindClosed:
		return new(Closed)
	case KindPaymentBegun:
		return new(PaymentBegun)
	case KindConfirmed:
		return new(Confirmed)
	case KindAuthorisationRefused:
		return new(AuthorisationRefused)
	case KindFrozen:
		return new(Frozen)
	case KindTicketsRefunded:
		return new(TicketsRefunded)
	case KindRevoked:
		return new(Revoked)
	}
	return nil
}

func newSharedOutcome(k Kind) Body {
	switch k {
	case KindTicked:
		return new(Ticked)
	case KindEpochStarted:
		return new(EpochStarted)
	case KindRejected:
		return new(Rejected)
	case KindRepeated:
		return new(Repeated)
	case KindExtended:
		return new(Extended)
	}
	return nil
}

// Stock is a ticket type's numbers after an outcome: Held + Sold + Free = Capacity. While a lowered capacity is still
// in use, Capacity is what remains in use and Target below it is where it shrinks to.
type Stock struct {
	Type     uint32
	Capacity uint32
	Target   uint32
	Held     uint32
	Sold     uint32
	Free     uint32
}

func stockFields(c *coder, s *Stock) {
	c.u32(&s.Type)
	c.u32(&s.Capacity)
	c.u32(&s.Target)
	c.u32(&s.Held)
	c.u32(&s.Sold)
	c.u32(&s.Free)
}

func stocks(c *coder, v *[]Stock) { list(c, v, sale.MaxLines, stockFields) }

// EventDefined echoes the definition with the defaults filled in.
type EventDefined struct {
	Event DefineEvent
}

// Kind is KindEventDefined.
func (*EventDefined) Kind() Kind { return KindEventDefined }

func (e *EventDefined) fields(c *coder) { e.Event.fields(c) }

// TypeDefined echoes the definition.
type TypeDefined struct {
	Type  DefineType
	Stock Stock
}

// Kind is KindTypeDefined.
func (*TypeDefined) Kind() Kind { return KindTypeDefined }

func (t *TypeDefined) fields(c *coder) { t.Type.fields(c); stockFields(c, &t.Stock) }

// CapacitySet gives the type's numbers after the change.
type CapacitySet struct {
	Stock Stock
}

// Kind is KindCapacitySet.
func (*CapacitySet) Kind() Kind { return KindCapacitySet }

func (s *CapacitySet) fields(c *coder) { stockFields(c, &s.Stock) }

// PriceSet echoes the new price.
type PriceSet struct {
	Type  uint32
	Price Price
}

// Kind is KindPriceSet.
func (*PriceSet) Kind() Kind { return KindPriceSet }

func (s *PriceSet) fields(c *coder) { c.u32(&s.Type); s.Price.fields(c) }

// SellingSet echoes the new state.
type SellingSet struct {
	Selling bool
}

// Kind is KindSellingSet.
func (*SellingSet) Kind() Kind { return KindSellingSet }

func (s *SellingSet) fields(c *coder) { c.flag(&s.Selling) }

// MethodLimitSet echoes the new limit.
type MethodLimitSet struct {
	PerMethod uint16
}

// Kind is KindMethodLimitSet.
func (*MethodLimitSet) Kind() Kind { return KindMethodLimitSet }

func (s *MethodLimitSet) fields(c *coder) { c.u16(&s.PerMethod) }

// EventCancelled is followed by one Cancelled per live hold, offer and waitlist entry, and one Revoked per sold
// booking.
type EventCancelled struct{}

// Kind is KindEventCancelled.
func (*EventCancelled) Kind() Kind { return KindEventCancelled }

func (*EventCancelled) fields(*coder) {}

// HeldLine is a line with its price frozen.
type HeldLine struct {
	Type     uint32
	Quantity uint16
	Seat     uint32
	Price    Price
	Discount int64 // minor units, of the line
	Tax      int64 // minor units, of the line
	Total    int64 // minor units, of the line
}

func heldLineFields(c *coder, l *HeldLine) {
	c.u32(&l.Type)
	c.u16(&l.Quantity)
	c.u32(&l.Seat)
	l.Price.fields(c)
	c.i64(&l.Discount)
	c.i64(&l.Tax)
	c.i64(&l.Total)
}

// Reserved is what a hold, an offer and a booking granted again have in common. The outcome's Ref is the booking.
type Reserved struct {
	Subject    []byte
	UserKey    ID
	TicketBase ID
	Deadline   int64 // elapsed log time, µs: add the partition's outages to get the instant
	Expires    int64 // the instant as it stands now, µs
	Total      int64 // minor units
	Currency   [3]byte
	Lines      []HeldLine
	Stock      []Stock // of each line's type, after
}

func (r *Reserved) fields(c *coder) {
	c.bytes(&r.Subject)
	c.id(&r.UserKey)
	c.id(&r.TicketBase)
	c.i64(&r.Deadline)
	c.i64(&r.Expires)
	c.i64(&r.Total)
	c.fixed(r.Currency[:])
	list(c, &r.Lines, sale.MaxLines, heldLineFields)
	stocks(c, &r.Stock)
}

// Held answers a Hold: the stock is the user's until the deadline.
type Held struct {
	Pass ID // the pass this hold used up; zero for none
	Reserved
}

// Kind is KindHeld.
func (*Held) Kind() Kind { return KindHeld }

func (h *Held) fields(c *coder) { c.id(&h.Pass); h.Reserved.fields(c) }

// Shortage says what a refused line asked for and what was left.
type Shortage struct {
	Type  uint32
	Asked uint16
	Left  uint32
}

// Refused answers a Hold that got nothing, or a command that may not be done. The outcome's Ref is the booking id that
// the command named.
type Refused struct {
	Reason  Reason
	Command Kind // of the record
	UserKey ID   // of a Hold's user
	Lines   []Shortage
}

// Kind is KindRefused.
func (*Refused) Kind() Kind { return KindRefused }

func (r *Refused) fields(c *coder) {
	c.u8((*uint8)(&r.Reason))
	c.u8((*uint8)(&r.Command))
	c.id(&r.UserKey)
	list(c, &r.Lines, sale.MaxLines, func(c *coder, s *Shortage) { c.u32(&s.Type); c.u16(&s.Asked); c.u32(&s.Left) })
}

// AlreadyHeld answers a Hold of a user who has a live hold, offer or waitlist entry for the event: that Booking. The
// outcome's Ref is the id that the command named and that does not exist.
type AlreadyHeld struct {
	Booking ID
	UserKey ID
	Expires int64 // instant, µs; 0 on the waitlist
}

// Kind is KindAlreadyHeld.
func (*AlreadyHeld) Kind() Kind { return KindAlreadyHeld }

func (a *AlreadyHeld) fields(c *coder) { c.id(&a.Booking); c.id(&a.UserKey); c.i64(&a.Expires) }

// Waitlisted answers a Hold that waits. Ahead is how many wait before it for the event.
type Waitlisted struct {
	Subject    []byte
	UserKey    ID
	TicketBase ID
	Ahead      uint32
	Lines      []Line
}

// Kind is KindWaitlisted.
func (*Waitlisted) Kind() Kind { return KindWaitlisted }

func (w *Waitlisted) fields(c *coder) {
	c.bytes(&w.Subject)
	c.id(&w.UserKey)
	c.id(&w.TicketBase)
	c.u32(&w.Ahead)
	list(c, &w.Lines, sale.MaxLines, lineFields)
}

// Offered gives freed stock to the earliest waiting booking that it fits, with a deadline of its own.
type Offered struct {
	Reserved
}

// Kind is KindOffered.
func (*Offered) Kind() Kind { return KindOffered }

func (o *Offered) fields(c *coder) { o.Reserved.fields(c) }

// Cancelled ends a hold, an offer or a waitlist entry by a command. Final.
type Cancelled struct {
	UserKey ID
	Reason  Reason
	Stock   []Stock
}

// Kind is KindCancelled.
func (*Cancelled) Kind() Kind { return KindCancelled }

func (x *Cancelled) fields(c *coder) {
	c.id(&x.UserKey)
	c.u8((*uint8)(&x.Reason))
	stocks(c, &x.Stock)
}

// Lapsed ends a hold or an offer by time. A payment may still be granted until Closed.
type Lapsed struct {
	UserKey ID
	Stock   []Stock
}

// Kind is KindLapsed.
func (*Lapsed) Kind() Kind { return KindLapsed }

func (l *Lapsed) fields(c *coder) { c.id(&l.UserKey); stocks(c, &l.Stock) }

// Closed ends a lapsed booking for good: no payment will be granted any more.
type Closed struct {
	UserKey ID
}

// Kind is KindClosed.
func (*Closed) Kind() Kind { return KindClosed }

func (x *Closed) fields(c *coder) { c.id(&x.UserKey) }

// PaymentBegun answers PaymentStarted.
type PaymentBegun struct {
	Attempt ID
	Expires int64 // the hold's instant as it stands, µs
}

// Kind is KindPaymentBegun.
func (*PaymentBegun) Kind() Kind { return KindPaymentBegun }

func (p *PaymentBegun) fields(c *coder) { c.id(&p.Attempt); c.i64(&p.Expires) }

// Confirmed answers Authorised and AuthorisedBy: the tickets are sold to the user and the money may be captured. Late says that
// the hold had lapsed and was granted again.
type Confirmed struct {
	UserKey ID
	Attempt ID
	Amount  int64
	Late    bool
	Intent  []byte
	Stock   []Stock
}

// Kind is KindConfirmed.
func (*Confirmed) Kind() Kind { return KindConfirmed }

func (x *Confirmed) fields(c *coder) {
	c.id(&x.UserKey)
	c.id(&x.Attempt)
	c.i64(&x.Amount)
	c.flag(&x.Late)
	c.bytes(&x.Intent)
	stocks(c, &x.Stock)
}

// AuthorisationRefused answers Authorised and AuthorisedBy: the authorisation must be voided.
type AuthorisationRefused struct {
	Reason   Reason
	Attempt  ID
	Amount   int64
	Currency [3]byte
	Intent   []byte
}

// Kind is KindAuthorisationRefused.
func (*AuthorisationRefused) Kind() Kind { return KindAuthorisationRefused }

func (a *AuthorisationRefused) fields(c *coder) {
	c.u8((*uint8)(&a.Reason))
	c.id(&a.Attempt)
	c.i64(&a.Amount)
	c.fixed(a.Currency[:])
	c.bytes(&a.Intent)
}

// Frozen answers CaptureFailed: the tickets do not scan until paid again before the deadline.
type Frozen struct {
	UserKey  ID
	Attempt  ID
	Deadline int64 // elapsed log time, µs
	Expires  int64 // instant as it stands, µs
}

// Kind is KindFrozen.
func (*Frozen) Kind() Kind { return KindFrozen }

func (f *Frozen) fields(c *coder) {
	c.id(&f.UserKey)
	c.id(&f.Attempt)
	c.i64(&f.Deadline)
	c.i64(&f.Expires)
}

// TicketsRefunded answers Refunded: the named tickets are no longer valid.
type TicketsRefunded struct {
	UserKey ID
	Refund  ID
	Amount  int64 // minor units that the named tickets cost
	Whole   bool  // no live ticket is left in the booking
	Tickets []uint16
	Stock   []Stock
}

// Kind is KindTicketsRefunded.
func (*TicketsRefunded) Kind() Kind { return KindTicketsRefunded }

func (t *TicketsRefunded) fields(c *coder) {
	c.id(&t.UserKey)
	c.id(&t.Refund)
	c.i64(&t.Amount)
	c.flag(&t.Whole)
	list(c, &t.Tickets, MaxTickets, func(c *coder, v *uint16) { c.u16(v) })
	stocks(c, &t.Stock)
}

// Revoked ends a booking by order of the organiser or because its money could not be taken. Final.
type Revoked struct {
	UserKey ID
	Reason  Reason
	Stock   []Stock
}

// Kind is KindRevoked.
func (*Revoked) Kind() Kind { return KindRevoked }

func (r *Revoked) fields(c *coder) {
	c.id(&r.UserKey)
	c.u8((*uint8)(&r.Reason))
	stocks(c, &r.Stock)
}
