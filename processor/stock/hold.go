package stock

import (
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// want is what a request asks for in all, by type, in the order in which the types were first named.
type want struct {
	n        int
	kind     [sale.MaxLines]uint8
	quantity [sale.MaxLines]uint32
}

func (w *want) add(kind uint8, quantity uint32) {
	for i := range w.n {
		if w.kind[i] == kind {
			w.quantity[i] += quantity
			return
		}
	}
	w.kind[w.n], w.quantity[w.n] = kind, quantity
	w.n++
}

func wantOf(lines []line) (w want) {
	for _, l := range lines {
		w.add(l.kind, uint32(l.quantity))
	}
	return w
}

func (w *want) total() (n uint32) {
	for i := range w.n {
		n += w.quantity[i]
	}
	return n
}

func soundHold(r *wire.Record, h *wire.Hold) bool {
	if r.Ref == (wire.ID{}) || h.PassExpires < 0 || sale.CheckSubject(h.Subject) != nil {
		return false
	}
	for _, l := range h.Lines {
		if l.Quantity == 0 || l.Quantity > sale.MaxQuantity || l.Seat != 0 {
			return false
		}
	}
	return true
}

// hold decides a Hold, in the order that DESIGN.md lists.
func (m *Machine) hold(h *wire.Hold) {
	e := m.named()
	known, exists := m.bookingAt(m.rec.Ref)
	switch {
	case !soundHold(&m.rec, h):
		m.reject(wire.ReasonInvalid)
	case e == nil:
		m.refuse(wire.ReasonUnknownObject)
	case exists:
		m.holdAgain(m.booking(known), h)
	case e.cancelled:
		m.refuse(wire.ReasonEventCancelled)
	default:
		m.holdNew(e, h)
	}
}

// holdAgain answers a Hold whose booking is there.
func (m *Machine) holdAgain(b *booking, h *wire.Hold) {
	switch {
	case b.user != h.UserKey || b.event != m.event:
		m.refuse(wire.ReasonExists)
	case b.waited:
		m.repeat(wire.KindWaitlisted, b.id)
	default:
		m.repeat(wire.KindHeld, b.id)
	}
}

func (m *Machine) holdNew(e *event, h *wire.Hold) {
	at := m.event
	// A live booking is always the newest of its user's, since none is taken while it lives.
	newest := m.newest(at, h.UserKey)
	if newest != none && m.booking(newest).status.live() {
		m.answerHeld(m.booking(newest))
		return
	}
	var buf [sale.MaxLines]line
	lines, ok := e.resolve(h.Lines, buf[:0])
	if !ok {
		m.refuse(wire.ReasonUnknownType)
		return
	}
	w := wantOf(lines)
	if reason := m.mayHold(e, newest, h, &w); reason != wire.ReasonNone {
		m.refuse(reason)
		return
	}
	b := booking{id: m.rec.Ref, user: h.UserKey, order: m.offset, event: at, older: newest}
	switch {
	case m.bookings.Len() >= m.limits.Bookings:
		m.refuse(wire.ReasonFull)
	case e.fits(&w):
		m.grant(e, b, h, lines, &w)
	case !h.Waitlist:
		m.soldOut(e, &w)
	case e.waiting >= m.limits.Waiting:
		m.refuse(wire.ReasonFull)
	default:
		m.wait(e, b, h, lines, &w)
	}
}

// answerHeld tells a user of the live booking.
func (m *Machine) answerHeld(b *booking) {
	m.already = wire.AlreadyHeld{Booking: b.id, UserKey: b.user}
	if b.status.reserves() {
		m.already.Expires = m.wall(b)
	}
	m.out.Add(&m.already)
}

// resolve turns lines of the record into lines of a booking at today's prices; no lines are one of the default type.
func (e *event) resolve(asked []wire.Line, dst []line) ([]line, bool) {
	if len(asked) == 0 {
		at := e.defaultType()
		if at < 0 {
			return nil, false
		}
		return append(dst, line{kind: uint8(at), quantity: 1, price: e.types[at].price}), true
	}
	for _, l := range asked {
		at := e.typeAt(l.Type)
		if at < 0 {
			return nil, false
		}
		dst = append(dst, line{kind: uint8(at), quantity: uint8(l.Quantity), price: e.types[at].price})
	}
	return dst, true
}

// mayHold checks everything but the stock, of a user whose newest booking for the event is given.
func (m *Machine) mayHold(e *event, newest int32, h *wire.Hold, w *want) wire.Reason {
	// Before its first tick the log has no time to count a deadline from.
	if !e.selling || m.clock.Now == 0 {
		return wire.ReasonNotSelling
	}
	if e.def.NeedsPass {
		if h.Pass == (wire.ID{}) || h.PassExpires <= m.clock.Now {
			return wire.ReasonPassMissing
		}
		if h.PassExpires-m.clock.Now > MaxPassLife {
			return wire.ReasonInvalid
		}
		user, used := m.passes.user[passKey{e.id, h.Pass}]
		if used && user != h.UserKey {
			return wire.ReasonPassUsed
		}
		if !used && len(m.passes.heap) >= m.limits.Passes {
			return wire.ReasonFull
		}
	}
	if !m.withinLimits(e, newest, w) {
		return wire.ReasonUserLimit
	}
	return wire.ReasonNone
}

// withinLimits says whether a user may hold or own this much more. The walk is short: limits bound what it counts.
func (m *Machine) withinLimits(e *event, newest int32, w *want) bool {
	if !e.limited() {
		return true
	}
	var all uint32
	var each [MaxTypes]uint32
	for i := newest; i != none; i = m.booking(i).older {
		if b := m.booking(i); b.status.reserves() || b.status.sells() {
			m.eachLive(b, func(kind uint8, n uint32) { all += n; each[kind] += n })
		}
	}
	if most := uint32(e.def.PerUser); most > 0 && all+w.total() > most {
		return false
	}
	for i := range w.n {
		most := uint32(e.types[w.kind[i]].perUser)
		if most > 0 && each[w.kind[i]]+w.quantity[i] > most {
			return false
		}
	}
	return true
}

// eachLive calls f with the tickets of each line that have not been refunded.
func (m *Machine) eachLive(b *booking, f func(kind uint8, n uint32)) {
	ticket := uint16(0)
	for _, l := range m.linesOf(b) {
		n := uint32(l.quantity)
		if b.refund != none {
			for i := range uint16(l.quantity) {
				if m.refunds.At(b.refund).has(ticket + i) {
					n--
				}
			}
		}
		ticket += uint16(l.quantity)
		f(l.kind, n)
	}
}

func (e *event) fits(w *want) bool {
	for i := range w.n {
		if w.quantity[i] > e.spare(&e.types[w.kind[i]]) {
			return false
		}
	}
	return true
}

func (m *Machine) grant(e *event, b booking, h *wire.Hold, lines []line, w *want) {
	b.status = held
	for i := range w.n {
		e.types[w.kind[i]].held += w.quantity[i]
	}
	at := m.add(b, lines)
	m.setDeadline(at, m.clock.Elapsed()+e.def.Hold)
	m.held.Pass = wire.ID{}
	if e.def.NeedsPass {
		if _, used := m.passes.user[passKey{e.id, h.Pass}]; !used {
			m.passes.add(usedPass{h.PassExpires, e.id, h.Pass, h.UserKey})
			m.held.Pass = h.Pass
		}
	}
	m.held.Reserved = m.reserved(m.booking(at), h.Subject, h.TicketBase)
	m.out.Add(&m.held)
}

func (m *Machine) soldOut(e *event, w *want) {
	m.refusal = wire.Refused{
		Reason: wire.ReasonSoldOut, Command: m.rec.Kind, UserKey: m.in.hold.UserKey, Lines: m.refusal.Lines[:0],
	}
	for i := range w.n {
		t := &e.types[w.kind[i]]
		m.refusal.Lines = append(m.refusal.Lines, wire.Shortage{Type: t.id, Asked: uint16(w.quantity[i]), Left: e.spare(t)})
	}
	m.out.Add(&m.refusal)
}

// reserved describes a hold or offer. The slices are the machine's and live until the next outcome.
func (m *Machine) reserved(b *booking, subject []byte, base wire.ID) wire.Reserved {
	e := &m.events[b.event]
	r := wire.Reserved{
		Subject: subject, UserKey: b.user, TicketBase: base, Deadline: b.deadline, Expires: m.wall(b),
		Currency: e.def.Currency, Stock: m.stockOf(b),
	}
	m.lineBuf = m.lineBuf[:0]
	for _, l := range m.linesOf(b) {
		price := e.prices[l.price]
		sum := lineSum(price, l.quantity)
		r.Total += sum.Total
		m.lineBuf = append(m.lineBuf, wire.HeldLine{
			Type: e.types[l.kind].id, Quantity: uint16(l.quantity), Price: price,
			Discount: sum.Discount, Tax: sum.Tax, Total: sum.Total,
		})
	}
	r.Lines = m.lineBuf
	return r
}

func lineSum(p wire.Price, quantity uint8) sale.Line {
	return sale.LineOf(sale.Price(p), int64(quantity), 0)
}

// total is what a booking costs.
func (m *Machine) total(b *booking) (sum int64) {
	prices := m.events[b.event].prices
	for _, l := range m.linesOf(b) {
		sum += lineSum(prices[l.price], l.quantity).Total
	}
	return sum
}

// stockOf gives the numbers of a booking's types, each once. The slice is the machine's.
func (m *Machine) stockOf(b *booking) []wire.Stock {
	w := wantOf(m.linesOf(b))
	m.stockBuf = m.stockBuf[:0]
	for i := range w.n {
		m.stockBuf = append(m.stockBuf, m.events[b.event].types[w.kind[i]].stock())
	}
	return m.stockBuf
}

// giveBack makes held tickets free.
func (m *Machine) giveBack(at int32) {
	b := m.booking(at)
	e := &m.events[b.event]
	for _, l := range m.linesOf(b) {
		e.types[l.kind].held -= uint32(l.quantity)
	}
	m.owe(e)
}

// takeBack ends sold tickets: they become free, or are gone.
func (m *Machine) takeBack(at int32, returns bool) {
	b := m.booking(at)
	e := &m.events[b.event]
	m.eachLive(b, func(kind uint8, n uint32) { e.types[kind].retire(n, returns) })
	if returns {
		m.owe(e)
	}
}

func (t *ticketType) retire(n uint32, returns bool) {
	if returns {
		t.sold -= n
	} else {
		t.gone += n
	}
}
