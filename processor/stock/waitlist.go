package stock

import "fairgate/internal/wire"

// waiter is what a waiting booking needs to be offered stock, and its place in the event's line.
type waiter struct {
	booking int32
	prev    int32
	next    int32
	base    wire.ID // of its tickets
	subject []byte  // the machine's own copy
}

// wait puts a booking at the end of the event's line.
func (m *Machine) wait(e *event, b booking, h *wire.Hold, lines []line, w *want) {
	b.status, b.waited = waitlisted, true
	ahead := uint32(e.waiting)
	at := m.add(b, lines)
	m.enqueue(at, h.Subject, h.TicketBase)
	answer := wire.Waitlisted{Subject: h.Subject, UserKey: h.UserKey, TicketBase: h.TicketBase, Ahead: ahead}
	for _, l := range lines {
		answer.Lines = append(answer.Lines, wire.Line{Type: e.types[l.kind].id, Quantity: uint16(l.quantity)})
	}
	m.out.Add(&answer)
}

func (m *Machine) enqueue(at int32, subject []byte, base wire.ID) {
	b := m.booking(at)
	e := &m.events[b.event]
	v := waiter{booking: at, prev: e.waitLast, next: none, base: base, subject: append([]byte(nil), subject...)}
	i := m.waiters.Put(v)
	if e.waitLast == none {
		e.waitFirst = i
	} else {
		m.waiters.At(e.waitLast).next = i
	}
	e.waitLast = i
	e.waiting++
	b.waiter = i
	for _, l := range m.linesOf(b) {
		e.types[l.kind].waiting += uint32(l.quantity)
	}
}

// unwait takes a booking out of the line.
func (m *Machine) unwait(at int32) {
	b := m.booking(at)
	e := &m.events[b.event]
	v := m.waiters.At(b.waiter)
	if v.prev == none {
		e.waitFirst = v.next
	} else {
		m.waiters.At(v.prev).next = v.next
	}
	if v.next == none {
		e.waitLast = v.prev
	} else {
		m.waiters.At(v.next).prev = v.prev
	}
	e.waiting--
	for _, l := range m.linesOf(b) {
		e.types[l.kind].waiting -= uint32(l.quantity)
	}
	m.waiters.Drop(b.waiter)
	b.waiter = none
}

// owe notes that stock may have become free for the waitlist.
func (m *Machine) owe(e *event) {
	if !e.owed && e.waiting > 0 && !e.cancelled {
		e.owed = true
		m.owed++
	}
}

// serve offers free stock down the event's line: each gets what it asked for if that is free and the user's limits
// allow it. When the budget ends first, the event stays owed: a later record goes on, and nobody overtakes meanwhile.
func (m *Machine) serve(at int32, budget *int) {
	e := &m.events[at]
	if !e.owed || !e.selling {
		return
	}
	for i := e.waitFirst; i != none && e.anyWanted(); {
		v := m.waiters.At(i)
		next := v.next
		b := m.booking(v.booking)
		w := wantOf(m.linesOf(b))
		if e.free(&w) && m.withinLimits(e, m.newest(at, b.user), &w) {
			if *budget == 0 {
				return
			}
			*budget--
			m.offer(e, v.booking, &w)
		}
		i = next
	}
	e.owed = false
	m.owed--
}

func (e *event) free(w *want) bool {
	for i := range w.n {
		if w.quantity[i] > e.types[w.kind[i]].free() {
			return false
		}
	}
	return true
}

// anyWanted says whether some type has both free tickets and somebody waiting for them.
func (e *event) anyWanted() bool {
	for i := range e.types {
		if e.types[i].waiting > 0 && e.types[i].free() > 0 {
			return true
		}
	}
	return false
}

// offer holds stock for a waiting booking, at the prices of now.
func (m *Machine) offer(e *event, at int32, w *want) {
	b := m.booking(at)
	v := *m.waiters.At(b.waiter)
	m.unwait(at)
	lines := m.linesOf(b)
	for i := range lines {
		lines[i].price = e.types[lines[i].kind].price
	}
	for i := range w.n {
		e.types[w.kind[i]].held += w.quantity[i]
	}
	b.status = offered
	m.setDeadline(at, m.clock.Elapsed()+e.def.Offer)
	m.offered.Reserved = m.reserved(b, v.subject, v.base)
	m.out.AddFor(e.id, b.id, &m.offered)
}
