package stock

import "fairgate/internal/wire"

// refunded takes named tickets of a sold booking out of validity. Each goes back once.
func (m *Machine) refunded(r *wire.Refunded) {
	at, b := m.find()
	switch {
	case r.Refund == (wire.ID{}) || len(r.Tickets) == 0:
		m.reject(wire.ReasonInvalid)
	case b == nil:
		m.refuse(wire.ReasonUnknownRef)
	case m.refundKnown(b, r.Refund):
		m.repeat(wire.KindTicketsRefunded, b.id)
	case b.status != confirmed:
		m.refuse(wire.ReasonWrongState)
	default:
		if reason := m.mayRefund(b, r.Tickets); reason != wire.ReasonNone {
			m.refuse(reason)
			return
		}
		m.refundTickets(at, r)
	}
}

func (m *Machine) refundKnown(b *booking, id wire.ID) bool {
	if b.refund == none {
		return false
	}
	for _, known := range m.refunds.At(b.refund).ids {
		if known == id {
			return true
		}
	}
	return false
}

// mayRefund checks that every ticket exists, is named once, and has not been refunded.
func (m *Machine) mayRefund(b *booking, tickets []uint16) wire.Reason {
	var named refund
	count := m.tickets(b)
	for _, t := range tickets {
		if t >= count || named.has(t) {
			return wire.ReasonInvalid
		}
		named.tickets[t/64] |= 1 << (t % 64)
		if b.refund != none && m.refunds.At(b.refund).has(t) {
			return wire.ReasonWrongState
		}
	}
	return wire.ReasonNone
}

func (m *Machine) tickets(b *booking) (n uint16) {
	for _, l := range m.linesOf(b) {
		n += uint16(l.quantity)
	}
	return n
}

func (m *Machine) refundTickets(at int32, r *wire.Refunded) {
	b := m.booking(at)
	if b.refund == none {
		b.refund = m.refunds.Put(refund{})
	}
	e, f := &m.events[b.event], m.refunds.At(b.refund)
	f.ids = append(f.ids, r.Refund)
	var amount int64
	for _, t := range r.Tickets {
		f.tickets[t/64] |= 1 << (t % 64)
		kind, share := m.ticket(b, t)
		amount += share
		e.types[kind].retire(1, r.Return)
	}
	left := uint32(0)
	m.eachLive(b, func(_ uint8, n uint32) { left += n })
	if left == 0 {
		m.disown(at)
		b.status = refundedWhole
	}
	if r.Return {
		m.owe(e)
	}
	m.out.Add(&wire.TicketsRefunded{
		UserKey: b.user, Refund: r.Refund, Amount: amount, Whole: left == 0, Tickets: r.Tickets, Stock: m.stockOf(b),
	})
}

// ticket gives a ticket's type and its share of its line's total: the minor units that do not divide go to the line's
// first tickets, one each.
func (m *Machine) ticket(b *booking, ticket uint16) (kind uint8, share int64) {
	prices := m.events[b.event].prices
	for _, l := range m.linesOf(b) {
		n := uint16(l.quantity)
		if ticket >= n {
			ticket -= n
			continue
		}
		total := lineSum(prices[l.price], l.quantity).Total
		share = total / int64(n)
		if int64(ticket) < total%int64(n) {
			share++
		}
		return l.kind, share
	}
	return 0, 0
}

// revoke ends any booking that is not over, by order of the organiser.
func (m *Machine) revoke(r *wire.Revoke) {
	at, b := m.find()
	switch {
	case b == nil:
		m.refuse(wire.ReasonUnknownRef)
	case b.status == revoked:
		m.repeat(wire.KindRevoked, b.id)
	case !b.status.counts():
		m.refuse(wire.ReasonWrongState)
	default:
		m.end(at, revoked, reasonOr(r.Reason, true), r.Return)
	}
}
