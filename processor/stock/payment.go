package stock

import (
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// paymentStarted tells a fan's payment how long it has.
func (m *Machine) paymentStarted(p *wire.PaymentStarted) {
	_, b := m.find()
	switch {
	case p.Attempt == (wire.ID{}):
		m.reject(wire.ReasonInvalid)
	case b == nil:
		m.refuse(wire.ReasonUnknownRef)
	case p.UserKey != (wire.ID{}) && p.UserKey != b.user:
		m.refuse(wire.ReasonNotYours)
	case b.status.reserves() || b.status == frozen:
		m.begun = wire.PaymentBegun{Attempt: p.Attempt, Expires: m.wall(b)}
		m.out.Add(&m.begun)
	default:
		m.refuse(notPayable(b))
	}
}

func notPayable(b *booking) wire.Reason {
	if b.status == lapsed || b.status == closed {
		return wire.ReasonLapsed
	}
	return wire.ReasonWrongState
}

// authorised decides whether reserved money buys the booking; method is zero where nobody knows it. A refusal is final: the
// attempt is remembered.
func (m *Machine) authorised(a *wire.Authorised, method wire.ID) {
	if a.Attempt == (wire.ID{}) || a.Amount < 0 || a.Amount > 0 && len(a.Intent) == 0 {
		m.reject(wire.ReasonInvalid)
		return
	}
	at, b := m.find()
	switch {
	case b == nil:
		m.refuseMoney(a, wire.ReasonUnknownRef)
	case m.refusedBefore(b, a.Attempt) != wire.ReasonNone:
		m.refuseMoney(a, m.refusedBefore(b, a.Attempt))
	case b.attempt == a.Attempt:
		m.repeat(wire.KindConfirmed, b.id)
	case b.refused >= MaxRefusals:
		m.refuseMoney(a, wire.ReasonFull)
	default:
		reason := m.mayConfirm(b, a)
		if reason == wire.ReasonNone && m.exhausted(b.event, method) {
			reason = wire.ReasonMethodLimit
		}
		if reason != wire.ReasonNone {
			m.rememberRefusal(b, a.Attempt, reason)
			m.refuseMoney(a, reason)
			return
		}
		m.confirm(at, a)
		m.countFor(at, method)
	}
}

func (m *Machine) mayConfirm(b *booking, a *wire.Authorised) wire.Reason {
	e := &m.events[b.event]
	switch b.status {
	case held, offered, lapsed, frozen:
	case confirmed, refundedWhole:
		return wire.ReasonSecond
	case closed:
		return wire.ReasonLapsed
	case cancelled, revoked:
		return b.reason
	default:
		return wire.ReasonWrongState
	}
	switch {
	case e.cancelled:
		return wire.ReasonEventCancelled
	case a.Currency != e.def.Currency || a.Amount != m.total(b):
		return wire.ReasonAmount
	case b.status == lapsed:
		return m.mayGrantLate(e, b)
	}
	return wire.ReasonNone
}

// mayGrantLate decides a payment that came after its hold lapsed and before it closed.
func (m *Machine) mayGrantLate(e *event, b *booking) wire.Reason {
	w := wantOf(m.linesOf(b))
	switch {
	case !e.selling:
		return wire.ReasonNotSelling
	case m.hasNewer(b):
		return wire.ReasonNewer
	case !m.withinLimits(e, m.newest(b.event, b.user), &w):
		return wire.ReasonUserLimit
	case !e.fits(&w):
		return wire.ReasonSoldOut
	}
	return wire.ReasonNone
}

// hasNewer says whether the user holds or bought something for the event after this booking.
func (m *Machine) hasNewer(b *booking) bool {
	for i := m.newest(b.event, b.user); m.booking(i) != b; i = m.booking(i).older {
		if s := m.booking(i).status; s.reserves() || s.sells() {
			return true
		}
	}
	return false
}

func (m *Machine) confirm(at int32, a *wire.Authorised) {
	b := m.booking(at)
	e := &m.events[b.event]
	for _, l := range m.linesOf(b) {
		t, n := &e.types[l.kind], uint32(l.quantity)
		switch b.status {
		case lapsed:
			t.sold += n
		case held, offered:
			t.held, t.sold = t.held-n, t.sold+n
		}
	}
	late := b.status == lapsed
	m.strike(&m.deadlines, at)
	b.status, b.deadline, b.attempt = confirmed, 0, a.Attempt
	m.confirmed = wire.Confirmed{
		UserKey: b.user, Attempt: a.Attempt, Amount: a.Amount, Late: late, Intent: a.Intent, Stock: m.stockOf(b),
	}
	m.out.Add(&m.confirmed)
}

func (m *Machine) refuseMoney(a *wire.Authorised, reason wire.Reason) {
	m.void = wire.AuthorisationRefused{
		Reason: reason, Attempt: a.Attempt, Amount: a.Amount, Currency: a.Currency, Intent: a.Intent,
	}
	m.out.Add(&m.void)
}

func (m *Machine) refusedBefore(b *booking, attempt wire.ID) wire.Reason {
	for i := b.refusals; i != none; i = m.refusals.At(i).older {
		if r := m.refusals.At(i); r.attempt == attempt {
			return r.reason
		}
	}
	return wire.ReasonNone
}

func (m *Machine) rememberRefusal(b *booking, attempt wire.ID, reason wire.Reason) {
	b.refusals = m.refusals.Put(refusal{attempt: attempt, older: b.refusals, reason: reason})
	b.refused++
}

// captureFailed takes a sold booking's validity until it is paid by another attempt. The failed attempt may not confirm
// again.
func (m *Machine) captureFailed(f *wire.CaptureFailed) {
	at, b := m.find()
	switch {
	case f.Attempt == (wire.ID{}):
		m.reject(wire.ReasonInvalid)
	case b == nil:
		m.refuse(wire.ReasonUnknownRef)
	case b.status == frozen && b.attempt == f.Attempt:
		m.repeat(wire.KindFrozen, b.id)
	case b.status != confirmed || b.attempt != f.Attempt:
		m.refuse(wire.ReasonWrongState)
	default:
		e := &m.events[b.event]
		m.rememberRefusal(b, f.Attempt, wire.ReasonCaptureFailed)
		m.uncount(at)
		b.status = frozen
		m.setDeadline(at, m.clock.Elapsed()+e.def.Frozen)
		m.out.Add(&wire.Frozen{UserKey: b.user, Attempt: f.Attempt, Deadline: b.deadline, Expires: m.wall(b)})
	}
}

// extend moves the deadline of one booking, or of all of an event.
func (m *Machine) extend(x *wire.Extend) {
	most, known := mostBy(x.Cause)
	if !known || x.Scope > 1 || x.By <= 0 || x.Until < 0 {
		m.reject(wire.ReasonInvalid)
		return
	}
	if x.Scope == 1 {
		m.extendAll(x, min(x.By, most))
		return
	}
	at, b := m.find()
	switch {
	case b == nil:
		m.refuse(wire.ReasonUnknownRef)
	case !b.extendable():
		m.refuse(notPayable(b))
	default:
		by := m.allowed(b, x, min(x.By, most))
		if by <= 0 {
			m.refuse(wire.ReasonFull)
			return
		}
		m.push(at, x.Cause, by)
		m.out.Add(&wire.Extended{Scope: 0, Cause: x.Cause, By: by, Until: m.wall(b)})
	}
}

func (b *booking) extendable() bool { return b.status.reserves() || b.status == frozen }

func mostBy(c wire.Cause) (most sale.Micros, known bool) {
	switch c {
	case wire.CausePaymentSlot, wire.CausePaymentDown, wire.CauseAuthenticate:
		return MaxPaymentExtension, true
	case wire.CauseOperator:
		return MaxOperatorExtension, true
	}
	return 0, false
}

// allowed is how much of an extension a booking may still get.
func (m *Machine) allowed(b *booking, x *wire.Extend, by sale.Micros) sale.Micros {
	if x.Cause != wire.CauseOperator {
		by = min(by, MaxPaymentExtension-b.extended)
	}
	if x.Until != 0 {
		by = min(by, x.Until-m.wall(b))
	}
	return max(by, 0)
}

func (m *Machine) push(at int32, c wire.Cause, by sale.Micros) {
	b := m.booking(at)
	if c != wire.CauseOperator {
		b.extended += by
	}
	m.setDeadline(at, b.deadline+by)
}

// extendAll moves all of an event's deadlines by the same length, then says for each booking that its own limit holds
// back where its deadline really is.
func (m *Machine) extendAll(x *wire.Extend, by sale.Micros) {
	e := m.named()
	if e == nil {
		m.refuse(wire.ReasonUnknownObject)
		return
	}
	corrections := 0
	for i := e.first; i != none; i = m.booking(i).next {
		if b := m.booking(i); b.extendable() && m.allowed(b, x, by) < by {
			corrections++
		}
	}
	if corrections > MaxCorrections {
		m.refuse(wire.ReasonFull)
		return
	}
	m.out.Add(&wire.Extended{Scope: 1, Cause: x.Cause, By: by})
	for i := e.first; i != none; i = m.booking(i).next {
		b := m.booking(i)
		if !b.extendable() {
			continue
		}
		got := m.allowed(b, x, by)
		m.push(i, x.Cause, got)
		if got < by {
			m.out.AddFor(e.id, b.id, &wire.Extended{Scope: 0, Cause: x.Cause, By: got, Until: m.wall(b)})
		}
	}
}
