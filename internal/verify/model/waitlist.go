package model

import "fairgate/internal/wire"

// spare is what a type has for somebody who is not on the waitlist: while that is not served, nothing that it asks for.
func (e *event) spare(k *ticketType) int64 {
	if !e.owed {
		return k.free()
	}
	return max(0, k.free()-e.wanted(k))
}

// wanted is how many tickets of a type the waitlist asks for.
func (e *event) wanted(k *ticketType) (n int64) {
	for _, b := range e.waiting {
		for _, l := range b.asked {
			if l.Type == k.def.Type {
				n += int64(l.Quantity)
			}
		}
	}
	return n
}

func (e *event) fits(lines []wire.Line) bool {
	types, quantity := asks(lines)
	for _, id := range types {
		if e.spare(e.typ(id)) < quantity[id] {
			return false
		}
	}
	return true
}

// left is what was asked for beside what is left.
func (e *event) left(lines []wire.Line) (out []wire.Shortage) {
	types, quantity := asks(lines)
	for _, id := range types {
		out = append(out, wire.Shortage{Type: id, Asked: uint16(quantity[id]), Left: uint32(e.spare(e.typ(id)))})
	}
	return out
}

// owe notes that stock may have come back for the waitlist.
func (e *event) owe() {
	if len(e.waiting) > 0 && !e.cancelled {
		e.owed = true
	}
}

// serve gives free stock to the earliest who wait and whom it fits, at most budget of them: the rest go on being owed.
func (o *orders) serve(e *event, budget *int) {
	if !e.owed || !e.selling {
		return
	}
	line := e.waiting
	for _, b := range line {
		if e.allTaken() {
			break
		}
		types, quantity := asks(b.asked)
		fits := !overLimit(e, b.user, b.asked)
		for _, id := range types {
			fits = fits && e.typ(id).free() >= quantity[id]
		}
		if !fits {
			continue
		}
		if *budget == 0 {
			return
		}
		*budget--
		e.stopWaiting(b)
		b.state = offered
		o.say(e.id, b.id, &wire.Offered{Reserved: o.reserve(b, e.def.Offer)})
	}
	e.owed = false
}

func (e *event) allTaken() bool {
	for _, k := range e.types {
		if k.free() > 0 {
			return false
		}
	}
	return true
}

func (e *event) stopWaiting(b *booking) { e.waiting = without(e.waiting, b) }

// without is a new list without b.
func without(list []*booking, b *booking) []*booking {
	out := make([]*booking, 0, len(list))
	for _, x := range list {
		if x != b {
			out = append(out, x)
		}
	}
	return out
}
