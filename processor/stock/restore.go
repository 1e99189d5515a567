package stock

import (
	"errors"
	"fmt"

	"fairgate/internal/sale"
	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// ErrSnapshot says that bytes are not a snapshot that this code writes.
var ErrSnapshot = errors.New("stock: not a snapshot of this layout")

// Restore replaces the state by what Snapshot wrote. Anything else is ErrSnapshot and changes nothing.
func (m *Machine) Restore(src []byte) error {
	fresh := &Machine{limits: m.limits, state: newState()}
	r := &reader{b: src}
	r.check(r.u8() == layout)
	for n := r.u32(); n > 0 && !r.bad; n-- {
		fresh.readEvent(r)
	}
	fresh.readPasses(r)
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("%w: %d of %d bytes read", ErrSnapshot, len(src)-len(r.b), len(src))
	}
	m.state = fresh.state
	return nil
}

func (m *Machine) readEvent(r *reader) {
	id, def := r.i64(), r.definition()
	filled, ok := filledEvent(def)
	_, known := m.eventAt[id]
	r.check(ok && filled == def && id > 0 && !known)
	e := newEvent(id, def)
	e.selling, e.cancelled, e.owed = r.flag(), r.flag(), r.flag()
	e.perMethod = r.u16()
	e.changed = r.u64()
	r.check(!e.cancelled || !e.selling && !e.owed)
	e.readPrices(r)
	e.readTypes(r)
	count, sweep := r.u32(), r.u32()
	r.check(sweep == noSweep || e.cancelled && sweep < count)
	if r.bad {
		return
	}
	at := int32(len(m.events))
	m.eventAt[id] = at
	m.events = append(m.events, e)
	if e.owed {
		m.owed++
	}
	for i := uint32(0); i < count && !r.bad; i++ {
		b := m.readBooking(r, at)
		if i == sweep && !r.bad {
			m.events[at].sweep = b
			m.sweeping++
		}
	}
	if !r.bad {
		m.enterAll(r, m.events[at].first)
	}
	for _, t := range m.events[at].types {
		r.check(t.used() <= sale.MaxCapacity)
	}
}

func (e *event) readPrices(r *reader) {
	for n := r.u16(); n > 0 && !r.bad; n-- {
		p := wire.Price{Ticket: r.i64(), Fee: r.i64(), TaxRate: r.u32(), Included: r.flag()}
		r.check(soundPrice(p))
		e.prices = append(e.prices, p)
	}
	r.check(len(e.prices) <= MaxPrices)
}

func (e *event) readTypes(r *reader) {
	for n := r.u8(); n > 0 && !r.bad; n-- {
		t := ticketType{id: r.u32(), target: r.u32(), gone: r.u32(), perUser: r.u16(), price: r.u16(), isDef: r.flag()}
		t.sold = t.gone
		r.check(e.typeAt(t.id) < 0 && int(t.price) < len(e.prices) && t.target <= sale.MaxCapacity && t.gone <= sale.MaxCapacity)
		r.check(!t.isDef || e.defaultType() < 0)
		e.types = append(e.types, t)
	}
	r.check(len(e.types) <= MaxTypes)
}

func (m *Machine) readBooking(r *reader, event int32) int32 {
	b := booking{
		id: r.id(), user: r.id(), attempt: r.id(), deadline: r.i64(), order: r.i64(), extended: r.i64(),
		status: status(r.u8()), reason: wire.Reason(r.u8()), waited: r.flag(), event: event, older: none,
	}
	e := &m.events[event]
	lines := readLines(r, e)
	r.check(b.id != (wire.ID{}) && b.sound() && (e.last == none || m.booking(e.last).order < b.order))
	if r.bad {
		return none
	}
	at := m.keep(b, lines)
	m.readRefusals(r, at)
	if r.flag() {
		m.readRefund(r, at)
	}
	if r.flag() {
		m.readPayer(r, at)
	}
	r.check(b.status != refundedWhole || m.booking(at).refund != none)
	if b.status == waitlisted {
		base := r.id()
		subject := r.take(int(r.u8()))
		r.check(sale.CheckSubject(subject) == nil)
		m.enqueue(at, subject, base)
	}
	return at
}

// enterAll lets an event's bookings be found and counts them, once all have been read: their numbers follow each other,
// so that the memory which looking them up needs can be asked for ahead.
func (m *Machine) enterAll(r *reader, first int32) {
	end := int32(m.bookings.Len())
	for at := first; at != none && at < end && !r.bad; at++ {
		if i := at + far; i < end {
			b := m.booking(i)
			m.ids.Prefetch(table.KeyOf(b.id))
			m.owners.Prefetch(owner(b.event, b.user))
		}
		b := m.booking(at)
		_, known := m.bookingAt(b.id)
		r.check(!known)
		if b.status.counts() {
			b.older = m.newest(b.event, b.user)
		}
		m.enter(at)
		r.check(b.older == none || !m.booking(b.older).status.live())
		m.count(at)
	}
}

func readLines(r *reader, e *event) (lines []line) {
	n := r.u8()
	r.check(n >= 1 && n <= sale.MaxLines)
	for ; n > 0 && !r.bad; n-- {
		l := line{kind: r.u8(), quantity: r.u8(), price: r.u16()}
		r.check(int(l.kind) < len(e.types) && l.quantity >= 1 && l.quantity <= sale.MaxQuantity && int(l.price) < len(e.prices))
		lines = append(lines, l)
	}
	return lines
}

// sound says whether a booking's fields fit its status.
func (b *booking) sound() bool {
	paid := b.attempt != (wire.ID{})
	ok := b.status >= waitlisted && b.status <= lastStatus && b.extended >= 0 && b.extended <= MaxPaymentExtension
	switch b.status {
	case waitlisted:
		ok = ok && b.waited
	case confirmed, frozen, refundedWhole:
		ok = ok && paid
	}
	if b.status != revoked && !b.status.sells() && b.status != refundedWhole {
		ok = ok && !paid
	}
	hasDeadline := b.status.timed() || !b.status.counts() && !paid
	return ok && (hasDeadline || b.deadline == 0)
}

func (m *Machine) readRefusals(r *reader, at int32) {
	b := m.booking(at)
	n := r.u8()
	r.check(n <= MaxRefusals+1)
	newest := none
	for ; n > 0 && !r.bad; n-- {
		v := refusal{attempt: r.id(), reason: wire.Reason(r.u8()), older: newest}
		r.check(v.reason != wire.ReasonNone)
		newest = m.refusals.Put(v)
		b.refused++
	}
	b.refusals = newest
}

func (m *Machine) readRefund(r *reader, at int32) {
	b := m.booking(at)
	var f refund
	named, count := 0, m.tickets(b)
	for i := range f.tickets {
		f.tickets[i] = r.u64()
	}
	for t := range uint16(len(f.tickets) * 64) {
		if f.has(t) {
			named++
			r.check(t < count)
		}
	}
	n := int(r.u16())
	r.check(n >= 1 && n <= named)
	whole := named == int(count)
	r.check(b.attempt != (wire.ID{}) && whole == (b.status == refundedWhole))
	for ; n > 0 && !r.bad; n-- {
		f.ids = append(f.ids, r.id())
	}
	b.refund = m.refunds.Put(f)
}

// readPayer counts a booking for the method that paid for it.
func (m *Machine) readPayer(r *reader, at int32) {
	b, method := m.booking(at), r.id()
	r.check(method != (wire.ID{}) && b.attempt != (wire.ID{}) && b.status != frozen)
	if !r.bad {
		m.assign(at, method)
	}
}

// count puts a restored booking into the stock numbers and heaps.
func (m *Machine) count(at int32) {
	b := m.booking(at)
	e := &m.events[b.event]
	switch {
	case b.status.reserves():
		for _, l := range m.linesOf(b) {
			e.types[l.kind].held += uint32(l.quantity)
		}
	case b.status.sells():
		m.eachLive(b, func(kind uint8, n uint32) { e.types[kind].sold += n })
	}
	switch {
	case b.status.timed():
		m.note(&m.deadlines, at)
	case !b.status.counts() && b.attempt == (wire.ID{}):
		m.note(&m.ended, at)
	}
}

func (m *Machine) readPasses(r *reader) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		p := usedPass{expires: r.i64(), event: r.i64(), pass: r.id(), user: r.id()}
		_, known := m.passes.user[passKey{p.event, p.pass}]
		at := len(m.passes.heap)
		r.check(!known && (at == 0 || !p.before(&m.passes.heap[(at-1)/2])))
		m.passes.user[passKey{p.event, p.pass}] = p.user
		m.passes.heap = append(m.passes.heap, p)
	}
}
