package stock

import (
	"encoding/binary"
	"slices"

	"fairgate/internal/wire"
)

// layout is the first byte of every snapshot.
const layout = 2

// usualBooking is about how long a booking is there, in bytes.
const usualBooking = 90

// noSweep stands for an event without an ending under way.
const noSweep = ^uint32(0)

// Snapshot appends the whole state: events in the order of definition, each with its bookings in the order of the log,
// then the passes. What can be derived (stock numbers, heaps, chains, indexes) is not in it, so two machines in the same
// state give the same bytes however they got there.
func (m *Machine) Snapshot(dst []byte) []byte {
	w := writer{append(slices.Grow(dst, m.bookings.Len()*usualBooking), layout)}
	w.u32(uint32(len(m.events)))
	for i := range m.events {
		m.writeEvent(&w, &m.events[i])
	}
	w.u32(uint32(len(m.passes.heap)))
	for i := range m.passes.heap {
		p := &m.passes.heap[i]
		w.i64(p.expires)
		w.i64(p.event)
		w.id(p.pass)
		w.id(p.user)
	}
	return w.b
}

func (m *Machine) writeEvent(w *writer, e *event) {
	w.i64(e.id)
	w.definition(&e.def)
	w.flag(e.selling)
	w.flag(e.cancelled)
	w.flag(e.owed)
	w.u16(e.perMethod)
	w.u64(e.changed)
	w.u16(uint16(len(e.prices)))
	for _, p := range e.prices {
		w.i64(p.Ticket)
		w.i64(p.Fee)
		w.u32(p.TaxRate)
		w.flag(p.Included)
	}
	w.u8(uint8(len(e.types)))
	for _, t := range e.types {
		w.u32(t.id)
		w.u32(t.target)
		w.u32(t.gone)
		w.u16(t.perUser)
		w.u16(t.price)
		w.flag(t.isDef)
	}
	count, sweep := uint32(0), noSweep
	for i := e.first; i != none; i = m.booking(i).next {
		if i == e.sweep {
			sweep = count
		}
		count++
	}
	w.u32(count)
	w.u32(sweep)
	for i := e.first; i != none; i = m.booking(i).next {
		m.writeBooking(w, m.booking(i))
	}
}

func (m *Machine) writeBooking(w *writer, b *booking) {
	w.id(b.id)
	w.id(b.user)
	w.id(b.attempt)
	w.i64(b.deadline)
	w.i64(b.order)
	w.i64(b.extended)
	w.u8(uint8(b.status))
	w.u8(uint8(b.reason))
	w.flag(b.waited)
	w.u8(b.count)
	for _, l := range m.linesOf(b) {
		w.u8(l.kind)
		w.u8(l.quantity)
		w.u16(l.price)
	}
	w.u8(b.refused)
	// Written oldest first: as many bytes, filled from the end.
	const size = 17
	start := len(w.b)
	w.b = append(w.b, make([]byte, int(b.refused)*size)...)
	for i, end := b.refusals, len(w.b); i != none && end > start; i, end = m.refusals.At(i).older, end-size {
		r := m.refusals.At(i)
		copy(w.b[end-size:], r.attempt[:])
		w.b[end-1] = uint8(r.reason)
	}
	w.flag(b.refund != none)
	if b.refund != none {
		f := m.refunds.At(b.refund)
		for _, word := range f.tickets {
			w.u64(word)
		}
		w.u16(uint16(len(f.ids)))
		for _, id := range f.ids {
			w.id(id)
		}
	}
	w.flag(b.payer != none)
	if b.payer != none {
		w.id(m.payers.At(b.payer).method)
	}
	if b.status == waitlisted {
		v := m.waiters.At(b.waiter)
		w.id(v.base)
		w.u8(uint8(len(v.subject)))
		w.b = append(w.b, v.subject...)
	}
}

// writer appends little-endian fields.
type writer struct{ b []byte }

func (w *writer) u8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) u16(v uint16) { w.b = binary.LittleEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *writer) u64(v uint64) { w.b = binary.LittleEndian.AppendUint64(w.b, v) }
func (w *writer) i64(v int64)  { w.u64(uint64(v)) }
func (w *writer) id(v wire.ID) { w.b = append(w.b, v[:]...) }

func (w *writer) flag(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

func (w *writer) definition(d *wire.DefineEvent) {
	w.b = append(w.b, d.Currency[:]...)
	w.i64(d.Hold)
	w.i64(d.Offer)
	w.i64(d.Grace)
	w.i64(d.Frozen)
	w.u16(d.PerUser)
	w.flag(d.NeedsPass)
	w.i64(d.Room)
	w.u32(uint32(d.RoomPartition))
}

// reader takes little-endian fields; bad is set by the first that is missing or out of its range, and then everything
// reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u8() uint8      { return r.take(1)[0] }
func (r *reader) u16() uint16    { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32    { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64    { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) i64() int64     { return int64(r.u64()) }
func (r *reader) id() wire.ID    { return wire.ID(r.take(16)) }
func (r *reader) check(ok bool)  { r.bad = r.bad || !ok }
func (r *reader) flag() (v bool) { b := r.u8(); r.check(b <= 1); return b == 1 }

func (r *reader) definition() (d wire.DefineEvent) {
	copy(d.Currency[:], r.take(3))
	d.Hold, d.Offer, d.Grace, d.Frozen = r.i64(), r.i64(), r.i64(), r.i64()
	d.PerUser = r.u16()
	d.NeedsPass = r.flag()
	d.Room = r.i64()
	d.RoomPartition = int32(r.u32())
	return d
}
