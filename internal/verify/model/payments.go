package model

import "fairgate/internal/wire"

const (
	maxPaymentExtension = 600 * second       // by payment causes, per booking, in all
	maxOperatorBy       = 24 * 3600 * second // by one record
	maxCorrections      = 10_000
)

// payable bookings have a deadline that may be extended.
func (b *booking) payable() bool { return b.reserves() || b.state == frozen }

func (b *booking) notPayable() wire.Reason {
	if b.state == lapsed || b.state == closed {
		return wire.ReasonLapsed
	}
	return wire.ReasonWrongState
}

func (o *orders) paymentStarted(r wire.Record, p *wire.PaymentStarted) {
	b := o.find(r)
	switch {
	case p.Attempt == wire.ID{}:
		o.reject(r, wire.ReasonInvalid)
	case b == nil:
		o.refuse(r, wire.ReasonUnknownRef)
	case p.UserKey != (wire.ID{}) && p.UserKey != b.user:
		o.refuse(r, wire.ReasonNotYours)
	case !b.payable():
		o.refuse(r, b.notPayable())
	default:
		o.say(r.Object, r.Ref, &wire.PaymentBegun{Attempt: p.Attempt, Expires: o.clock.Wall(b.deadline)})
	}
}

func (o *orders) extend(r wire.Record, x *wire.Extend) {
	most := maxPaymentExtension
	switch x.Cause {
	case wire.CausePaymentSlot, wire.CausePaymentDown, wire.CauseAuthenticate:
	case wire.CauseOperator:
		most = maxOperatorBy
	default:
		o.reject(r, wire.ReasonInvalid)
		return
	}
	if x.Scope > 1 || x.By <= 0 || x.Until < 0 {
		o.reject(r, wire.ReasonInvalid)
		return
	}
	by := min(x.By, most)
	if x.Scope == 1 {
		o.extendAll(r, x, by)
		return
	}
	b := o.find(r)
	switch {
	case b == nil:
		o.refuse(r, wire.ReasonUnknownRef)
	case !b.payable():
		o.refuse(r, b.notPayable())
	case o.allowed(b, x, by) == 0:
		o.refuse(r, wire.ReasonFull)
	default:
		o.say(r.Object, r.Ref, o.extendOne(b, x, by))
	}
}

// allowed is how much longer a booking may get.
func (o *orders) allowed(b *booking, x *wire.Extend, by int64) int64 {
	if x.Cause != wire.CauseOperator {
		by = min(by, maxPaymentExtension-b.extended)
	}
	if x.Until != 0 {
		by = min(by, x.Until-o.clock.Wall(b.deadline))
	}
	return max(by, 0)
}

func (o *orders) extendOne(b *booking, x *wire.Extend, by int64) *wire.Extended {
	by = o.allowed(b, x, by)
	if x.Cause != wire.CauseOperator {
		b.extended += by
	}
	o.setDeadline(b, b.deadline+by)
	return &wire.Extended{Scope: 0, Cause: x.Cause, By: by, Until: o.clock.Wall(b.deadline)}
}

// extendAll extends every hold of an event; those that get less than the others are named.
func (o *orders) extendAll(r wire.Record, x *wire.Extend, by int64) {
	e := o.events[r.Object]
	if e == nil {
		o.refuse(r, wire.ReasonUnknownObject)
		return
	}
	var all, less []*booking
	for _, b := range e.bookings {
		if !b.payable() {
			continue
		}
		all = append(all, b)
		if o.allowed(b, x, by) < by {
			less = append(less, b)
		}
	}
	if len(less) > maxCorrections {
		o.refuse(r, wire.ReasonFull)
		return
	}
	o.say(r.Object, r.Ref, &wire.Extended{Scope: 1, Cause: x.Cause, By: by})
	for _, b := range all {
		if got := o.extendOne(b, x, by); got.By < by {
			o.say(e.id, b.id, got)
		}
	}
}

// authorised holds the money of a method, zero if nobody knows it, against the booking.
func (o *orders) authorised(r wire.Record, a *wire.Authorised, method wire.ID) {
	if a.Attempt == (wire.ID{}) || a.Amount < 0 || a.Amount > 0 && len(a.Intent) == 0 {
		o.reject(r, wire.ReasonInvalid)
		return
	}
	no := func(why wire.Reason) {
		o.say(r.Object, r.Ref, &wire.AuthorisationRefused{Reason: why, Attempt: a.Attempt, Amount: a.Amount, Currency: a.Currency, Intent: a.Intent})
	}
	b := o.find(r)
	if b == nil {
		no(wire.ReasonUnknownRef)
		return
	}
	if why, before := b.refused[a.Attempt]; before {
		no(why)
		return
	}
	if b.attempt == a.Attempt {
		o.again(r, wire.KindConfirmed, b.id)
		return
	}
	if len(b.refused) >= maxRefusals {
		no(wire.ReasonFull)
		return
	}
	why := b.mayConfirm(a)
	counts := b.event.perMethod > 0 && method != wire.ID{}
	if why == wire.ReasonNone && counts && b.event.paidBy[method] >= int(b.event.perMethod) {
		why = wire.ReasonMethodLimit
	}
	if why != wire.ReasonNone {
		b.refused[a.Attempt] = why
		no(why)
		return
	}
	if counts {
		b.event.paidBy[method]++
		b.paidBy = method
	}
	o.confirm(r, b, a)
}

func (b *booking) mayConfirm(a *wire.Authorised) wire.Reason {
	e := b.event
	switch b.state {
	case confirmed, refundedUp:
		return wire.ReasonSecond
	case closed:
		return wire.ReasonLapsed
	case cancelled, revoked:
		return b.reason
	case waitlisted:
		return wire.ReasonWrongState
	}
	if e.cancelled {
		return wire.ReasonEventCancelled
	}
	if a.Amount != b.total || a.Currency != e.def.Currency {
		return wire.ReasonAmount
	}
	if b.state == lapsed {
		return b.mayReturn()
	}
	return wire.ReasonNone
}

// mayReturn says why a lapsed booking cannot be granted again, if so.
func (b *booking) mayReturn() wire.Reason {
	e := b.event
	if !e.selling {
		return wire.ReasonNotSelling
	}
	for _, other := range e.users[b.user] {
		if other.order > b.order && (other.reserves() || other.sold()) {
			return wire.ReasonNewer
		}
	}
	if overLimit(e, b.user, b.asked) {
		return wire.ReasonUserLimit
	}
	if !e.fits(b.asked) {
		return wire.ReasonSoldOut
	}
	return wire.ReasonNone
}

func (o *orders) confirm(r wire.Record, b *booking, a *wire.Authorised) {
	late := b.state == lapsed
	for _, l := range b.lines {
		k := b.event.typ(l.Type)
		if b.reserves() {
			k.held -= int64(l.Quantity)
		}
		if b.state != frozen {
			k.sold += int64(l.Quantity)
		}
	}
	b.state, b.deadline, b.attempt = confirmed, 0, a.Attempt
	o.say(r.Object, r.Ref, &wire.Confirmed{UserKey: b.user, Attempt: a.Attempt, Amount: a.Amount, Late: late, Intent: a.Intent, Stock: b.stock()})
}

// captureFailed freezes a sold booking. The attempt that failed never confirms again.
func (o *orders) captureFailed(r wire.Record, f *wire.CaptureFailed) {
	b := o.find(r)
	switch {
	case f.Attempt == wire.ID{}:
		o.reject(r, wire.ReasonInvalid)
	case b == nil:
		o.refuse(r, wire.ReasonUnknownRef)
	case b.state == frozen && b.attempt == f.Attempt:
		o.again(r, wire.KindFrozen, b.id)
	case b.state != confirmed || b.attempt != f.Attempt:
		o.refuse(r, wire.ReasonWrongState)
	default:
		if b.paidBy != (wire.ID{}) { // it has paid for nothing
			b.event.paidBy[b.paidBy]--
			b.paidBy = wire.ID{}
		}
		b.state = frozen
		b.refused[f.Attempt] = wire.ReasonCaptureFailed
		o.setDeadline(b, plus(o.clock.Elapsed(), b.event.def.Frozen))
		o.say(r.Object, r.Ref, &wire.Frozen{UserKey: b.user, Attempt: f.Attempt, Deadline: b.deadline, Expires: o.clock.Wall(b.deadline)})
	}
}

// shares is what each ticket of the booking cost: its line's total split evenly, what does not divide going to the first
// tickets of the line.
func (b *booking) shares() (amount []int64, types []uint32) {
	for _, l := range b.lines {
		n := int64(l.Quantity)
		for i := range n {
			share := l.Total / n
			if i < l.Total%n {
				share++
			}
			amount, types = append(amount, share), append(types, l.Type)
		}
	}
	return amount, types
}

func (o *orders) refunded(r wire.Record, x *wire.Refunded) {
	b := o.find(r)
	switch {
	case x.Refund == wire.ID{} || len(x.Tickets) == 0:
		o.reject(r, wire.ReasonInvalid)
	case b == nil:
		o.refuse(r, wire.ReasonUnknownRef)
	case b.refunds[x.Refund]:
		o.again(r, wire.KindTicketsRefunded, b.id)
	case b.state != confirmed:
		o.refuse(r, wire.ReasonWrongState)
	default:
		o.refund(r, b, x)
	}
}

func (o *orders) refund(r wire.Record, b *booking, x *wire.Refunded) {
	amount, types := b.shares()
	named := map[uint16]bool{}
	for _, n := range x.Tickets {
		if int(n) >= len(amount) || named[n] {
			o.refuse(r, wire.ReasonInvalid)
			return
		}
		named[n] = true
		if b.gone[n] {
			o.refuse(r, wire.ReasonWrongState)
			return
		}
	}
	sum := int64(0)
	for _, n := range x.Tickets {
		sum += amount[n]
		b.gone[n] = true
		if x.Return {
			b.event.typ(types[n]).sold--
		}
	}
	b.refunds[x.Refund] = true
	whole := len(b.gone) == len(amount)
	if whole {
		b.state = refundedUp
	}
	if x.Return {
		b.event.owe()
	}
	o.say(r.Object, r.Ref, &wire.TicketsRefunded{UserKey: b.user, Refund: x.Refund, Amount: sum, Whole: whole, Tickets: x.Tickets, Stock: b.stock()})
}
