package stock

import (
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// payer is a payment method and how many bookings of an event it has paid for. Those that end keep counting: what was
// paid was paid, and a card whose payments are charged back shall not begin anew. Only a failed capture takes one away,
// since then the method has paid for nothing. A booking counts for one payer at most, so there are never more of them.
type payer struct {
	method   wire.ID
	event    int32
	bookings int32
}

func payerKey(event int32, method wire.ID) table.Key { return table.KeyIn(event, method) }

func (m *Machine) payerOf(event int32, method wire.ID) int32 {
	return m.payerAt.Find(payerKey(event, method), func(at int32) bool {
		p := m.payers.At(at)
		return p.method == method && p.event == event
	})
}

// exhausted says whether a method has paid for as many bookings of an event as one may. An unknown one meets no limit.
func (m *Machine) exhausted(event int32, method wire.ID) bool {
	most := int32(m.events[event].perMethod)
	if most == 0 || method == (wire.ID{}) {
		return false
	}
	at := m.payerOf(event, method)
	return at != none && m.payers.At(at).bookings >= most
}

// countFor counts a confirmed booking for its method, where the event limits that.
func (m *Machine) countFor(at int32, method wire.ID) {
	if m.events[m.booking(at).event].perMethod == 0 || method == (wire.ID{}) {
		return
	}
	m.assign(at, method)
}

// assign makes a booking one of those that a method has paid for.
func (m *Machine) assign(at int32, method wire.ID) {
	b := m.booking(at)
	b.payer = m.payerOf(b.event, method)
	if b.payer == none {
		b.payer = m.payers.Put(payer{method: method, event: b.event})
		m.payerAt.Put(payerKey(b.event, method), b.payer)
	}
	m.payers.At(b.payer).bookings++
}

// uncount takes back what countFor counted.
func (m *Machine) uncount(at int32) {
	b := m.booking(at)
	if b.payer == none {
		return
	}
	p := m.payers.At(b.payer)
	if p.bookings--; p.bookings == 0 {
		m.payerAt.Remove(payerKey(p.event, p.method), b.payer)
		m.payers.Drop(b.payer)
	}
	b.payer = none
}
