package model

import (
	"crypto/sha256"
	"math/big"
	"unicode/utf8"

	"fairgate/internal/wire"
)

// state is where a booking is in its life.
type state string

const (
	waitlisted state = "waitlisted"
	held       state = "held"
	offered    state = "offered"
	confirmed  state = "confirmed"
	frozen     state = "frozen"
	cancelled  state = "cancelled"
	lapsed     state = "lapsed"
	closed     state = "closed"
	refundedUp state = "refunded"
	revoked    state = "revoked"
)

// booking is everything about one booking.
type booking struct {
	id       wire.ID
	event    *event
	order    int64 // log order
	state    state
	subject  []byte
	user     wire.ID
	base     wire.ID
	deadline int64 // elapsed; 0 for none
	total    int64
	asked    []wire.Line
	lines    []wire.HeldLine
	extended int64       // by payment causes
	waited   bool        // began on the waitlist
	reason   wire.Reason // of its end

	attempt wire.ID                 // that paid
	paidBy  wire.ID                 // the method that it counts for; zero for none
	refused map[wire.ID]wire.Reason // attempts that were turned away
	refunds map[wire.ID]bool
	gone    map[uint16]bool // tickets refunded
}

func (b *booking) live() bool     { return b.state == held || b.state == offered || b.state == waitlisted }
func (b *booking) reserves() bool { return b.state == held || b.state == offered }
func (b *booking) sold() bool     { return b.state == confirmed || b.state == frozen }

type passKey struct {
	event int64
	id    wire.ID
}

// usedPass is an admission pass that bought and has not expired.
type usedPass struct {
	expires int64
	passKey
}

func (p usedPass) before(o usedPass) bool {
	switch {
	case p.expires != o.expires:
		return p.expires < o.expires
	case p.event != o.event:
		return p.event < o.event
	}
	return string(p.id[:]) < string(o.id[:])
}

// lineOf is the price rule: tax rounded half up once per line, on top of the rest or contained in it.
func lineOf(l wire.Line, p wire.Price) wire.HeldLine {
	base := big.NewInt(int64(l.Quantity))
	base.Mul(base, new(big.Int).Add(big.NewInt(p.Ticket), big.NewInt(p.Fee)))
	million, rate := big.NewInt(1_000_000), big.NewInt(int64(p.TaxRate))
	h := wire.HeldLine{Type: l.Type, Quantity: l.Quantity, Seat: l.Seat, Price: p}
	if p.Included {
		net := halfUp(new(big.Int).Mul(base, million), new(big.Int).Add(million, rate))
		h.Total = base.Int64()
		h.Tax = h.Total - net
		return h
	}
	h.Tax = halfUp(new(big.Int).Mul(base, rate), million)
	h.Total = base.Int64() + h.Tax
	return h
}

// halfUp is a / b rounded to the nearest, halves up, of numbers that are not negative.
func halfUp(a, b *big.Int) int64 {
	twice := new(big.Int).Mul(a, big.NewInt(2))
	return twice.Add(twice, b).Div(twice, new(big.Int).Mul(b, big.NewInt(2))).Int64()
}

func userKey(subject []byte) wire.ID {
	sum := sha256.Sum256(subject)
	return wire.ID(sum[:16])
}

func (o *orders) hold(r wire.Record, h *wire.Hold) {
	no := func(why wire.Reason, lines ...wire.Shortage) {
		o.say(r.Object, r.Ref, &wire.Refused{Reason: why, Command: r.Kind, UserKey: h.UserKey, Lines: lines})
	}
	e, b := o.events[r.Object], o.bookings[r.Ref]
	switch {
	case !validHold(r, h):
		o.reject(r, wire.ReasonInvalid)
	case e == nil:
		no(wire.ReasonUnknownObject)
	case b != nil && (b.user != h.UserKey || b.event != e):
		no(wire.ReasonExists)
	case b != nil && b.waited:
		o.again(r, wire.KindWaitlisted, b.id)
	case b != nil:
		o.again(r, wire.KindHeld, b.id)
	case e.cancelled:
		no(wire.ReasonEventCancelled)
	case o.liveOf(e, h.UserKey) != nil:
		b = o.liveOf(e, h.UserKey)
		a := &wire.AlreadyHeld{Booking: b.id, UserKey: h.UserKey}
		if b.state != waitlisted {
			a.Expires = o.clock.Wall(b.deadline)
		}
		o.say(r.Object, r.Ref, a)
	default:
		lines := e.lines(h.Lines)
		if lines == nil {
			no(wire.ReasonUnknownType)
		} else if why := o.mayHold(e, h, lines); why != wire.ReasonNone {
			no(why)
		} else {
			o.take(r, h, e, lines, no)
		}
	}
}

func validHold(r wire.Record, h *wire.Hold) bool {
	if r.Ref == (wire.ID{}) || h.PassExpires < 0 || !validSubject(h.Subject) {
		return false
	}
	for _, l := range h.Lines {
		if l.Quantity == 0 || l.Quantity > maxQuantity || l.Seat != 0 {
			return false
		}
	}
	return true
}

// validSubject wants 1 to 128 bytes of UTF-8 without spaces and controls.
func validSubject(s []byte) bool {
	if len(s) == 0 || len(s) > 128 || !utf8.Valid(s) {
		return false
	}
	for _, r := range string(s) {
		if r <= ' ' || r == 0x7f || r == utf8.RuneError {
			return false
		}
	}
	return true
}

func (o *orders) liveOf(e *event, user wire.ID) *booking {
	for _, b := range e.users[user] {
		if b.live() {
			return b
		}
	}
	return nil
}

// lines are what is asked for, one of the default type if nothing is named; nil if there is no such type.
func (e *event) lines(asked []wire.Line) []wire.Line {
	if len(asked) == 0 {
		if k := e.defaultType(); k != nil {
			return []wire.Line{{Type: k.def.Type, Quantity: 1}}
		}
		return nil
	}
	for _, l := range asked {
		if e.typ(l.Type) == nil {
			return nil
		}
	}
	return asked
}

// mayHold checks everything but the stock.
func (o *orders) mayHold(e *event, h *wire.Hold, lines []wire.Line) wire.Reason {
	if !e.selling || o.clock.Now == 0 {
		return wire.ReasonNotSelling
	}
	if e.def.NeedsPass {
		user, used := o.passes[passKey{e.id, h.Pass}]
		switch {
		case h.Pass == (wire.ID{}) || h.PassExpires <= o.clock.Now:
			return wire.ReasonPassMissing
		case h.PassExpires-o.clock.Now > maxPassLife:
			return wire.ReasonInvalid
		case used && user != h.UserKey:
			return wire.ReasonPassUsed
		case !used && len(o.passes) >= o.limits.Passes:
			return wire.ReasonFull
		}
	}
	if overLimit(e, h.UserKey, lines) {
		return wire.ReasonUserLimit
	}
	return wire.ReasonNone
}

// take gives the stock, or a place on the waitlist, or says what is left.
func (o *orders) take(r wire.Record, h *wire.Hold, e *event, lines []wire.Line, no func(wire.Reason, ...wire.Shortage)) {
	b := &booking{id: r.Ref, event: e, order: o.offset, subject: append([]byte(nil), h.Subject...), user: h.UserKey, base: h.TicketBase,
		asked: lines, refused: map[wire.ID]wire.Reason{}, refunds: map[wire.ID]bool{}, gone: map[uint16]bool{}}
	switch {
	case len(o.bookings) >= o.limits.Bookings:
		no(wire.ReasonFull)
		return
	case e.fits(lines):
		b.state = held
		o.add(b)
		o.say(e.id, b.id, &wire.Held{Pass: o.usePass(e, h), Reserved: o.reserve(b, e.def.Hold)})
	case !h.Waitlist:
		no(wire.ReasonSoldOut, e.left(lines)...)
	case len(e.waiting) >= o.limits.Waiting:
		no(wire.ReasonFull)
	default:
		b.state, b.waited = waitlisted, true
		o.add(b)
		o.say(e.id, b.id, &wire.Waitlisted{Subject: b.subject, UserKey: b.user, TicketBase: b.base, Ahead: uint32(len(e.waiting)), Lines: lines})
		e.waiting = append(e.waiting, b)
	}
}

func (o *orders) add(b *booking) {
	o.bookings[b.id] = b
	b.event.bookings = append(b.event.bookings, b)
	b.event.users[b.user] = append(b.event.users[b.user], b)
}

// usePass uses the pass up and returns it, or zero if it was used up before or none is needed.
func (o *orders) usePass(e *event, h *wire.Hold) wire.ID {
	k := passKey{e.id, h.Pass}
	if _, used := o.passes[k]; used || !e.def.NeedsPass {
		return wire.ID{}
	}
	o.passes[k] = h.UserKey
	o.expiring.add(usedPass{h.PassExpires, k})
	return h.Pass
}

// asks sums the lines per ticket type, in the order of their first mention.
func asks(lines []wire.Line) (types []uint32, quantity map[uint32]int64) {
	quantity = map[uint32]int64{}
	for _, l := range lines {
		if _, ok := quantity[l.Type]; !ok {
			types = append(types, l.Type)
		}
		quantity[l.Type] += int64(l.Quantity)
	}
	return types, quantity
}

// overLimit counts what the user holds and owns, of the event and of each type.
func overLimit(e *event, user wire.ID, lines []wire.Line) bool {
	all, per := int64(0), map[uint32]int64{}
	for _, b := range e.users[user] {
		for t, n := range b.inUse() {
			all += n
			per[t] += n
		}
	}
	types, quantity := asks(lines)
	for _, id := range types {
		all += quantity[id]
		if most := int64(e.typ(id).def.PerUser); most != 0 && per[id]+quantity[id] > most {
			return true
		}
	}
	return e.def.PerUser != 0 && all > int64(e.def.PerUser)
}

// inUse is how many tickets per type the booking holds or owns.
func (b *booking) inUse() map[uint32]int64 {
	n := map[uint32]int64{}
	switch b.state {
	case held, offered, confirmed, frozen:
	default:
		return n
	}
	i := uint16(0)
	for _, l := range b.lines {
		for range l.Quantity {
			if !b.gone[i] {
				n[l.Type]++
			}
			i++
		}
	}
	return n
}

// reserve takes the booking's stock at today's prices.
func (o *orders) reserve(b *booking, length int64) wire.Reserved {
	e := b.event
	b.lines, b.total = nil, 0
	for _, l := range b.asked {
		k := e.typ(l.Type)
		k.held += int64(l.Quantity)
		h := lineOf(l, k.def.Price)
		b.lines = append(b.lines, h)
		b.total += h.Total
	}
	o.setDeadline(b, plus(o.clock.Elapsed(), length))
	return wire.Reserved{Subject: b.subject, UserKey: b.user, TicketBase: b.base, Deadline: b.deadline,
		Expires: o.clock.Wall(b.deadline), Total: b.total, Currency: e.def.Currency, Lines: b.lines, Stock: b.stock()}
}

// stock is the numbers of the booking's types, each once.
func (b *booking) stock() []wire.Stock {
	var out []wire.Stock
	types, _ := asks(b.asked)
	for _, id := range types {
		out = append(out, b.event.typ(id).numbers())
	}
	return out
}
