package model

import "fairgate/internal/wire"

// operated finds the event of an operator's order, or refuses: unknown, moved, cancelled.
func (o *orders) operated(r wire.Record) *event {
	e := o.events[r.Object]
	switch {
	case e == nil:
		o.refuse(r, wire.ReasonUnknownObject)
	case r.After != 0 && r.After != e.changed:
		o.refuse(r, wire.ReasonMoved)
	case e.cancelled && r.Kind == wire.KindCancelEvent:
		o.again(r, wire.KindEventCancelled, wire.ID{})
	case e.cancelled:
		o.refuse(r, wire.ReasonEventCancelled)
	default:
		return e
	}
	return nil
}

func orDefault(v *int64, usual int64) {
	if *v == 0 {
		*v = usual
	}
}

func (o *orders) defineEvent(r wire.Record, d *wire.DefineEvent) {
	orDefault(&d.Hold, 300*second)
	orDefault(&d.Offer, 300*second)
	orDefault(&d.Grace, 600*second)
	orDefault(&d.Frozen, 1800*second)
	if !validEvent(r, d) {
		o.reject(r, wire.ReasonInvalid)
		return
	}
	e := o.events[r.Object]
	switch {
	case e == nil && len(o.events) >= o.limits.Events:
		o.refuse(r, wire.ReasonFull)
	case e == nil:
		e = &event{id: r.Object, def: *d, selling: true, changed: o.seq, users: map[wire.ID][]*booking{}, paidBy: map[wire.ID]int{}}
		o.events[e.id], o.ordered = e, append(o.ordered, e)
		o.say(r.Object, r.Ref, &wire.EventDefined{Event: *d})
	case r.After != 0 && r.After != e.changed:
		o.refuse(r, wire.ReasonMoved)
	case e.def != *d:
		o.refuse(r, wire.ReasonExists)
	default:
		o.again(r, wire.KindEventDefined, wire.ID{})
	}
}

func validEvent(r wire.Record, d *wire.DefineEvent) bool {
	for _, c := range d.Currency {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	for _, l := range []int64{d.Hold, d.Offer, d.Grace, d.Frozen} {
		if l <= 0 || l > maxLength {
			return false
		}
	}
	return r.Object > 0 && d.Room >= 0
}

func validPrice(p wire.Price) bool {
	return p.Ticket >= 0 && p.Ticket <= maxPrice && p.Fee >= 0 && p.Fee <= maxPrice && p.TaxRate <= maxTaxRate
}

func (o *orders) defineType(r wire.Record, d *wire.DefineType) {
	e := o.operated(r)
	if e == nil {
		return
	}
	k := e.typ(d.Type)
	switch {
	case d.Capacity > maxCapacity || !validPrice(d.Price):
		o.reject(r, wire.ReasonInvalid)
	case k != nil && k.now() == *d:
		o.again(r, wire.KindTypeDefined, wire.ID{})
	case k != nil, d.Default && e.defaultType() != nil:
		o.refuse(r, wire.ReasonExists)
	case len(e.types) >= maxTypes || e.prices >= maxPrices:
		o.refuse(r, wire.ReasonFull)
	default:
		k = &ticketType{def: *d, target: int64(d.Capacity)}
		e.types = append(e.types, k)
		e.prices++
		e.changed = o.seq
		o.say(r.Object, r.Ref, &wire.TypeDefined{Type: *d, Stock: k.numbers()})
	}
}

// now is the definition with what was changed since.
func (t *ticketType) now() wire.DefineType {
	d := t.def
	d.Capacity = uint32(t.target)
	return d
}

func (e *event) defaultType() *ticketType {
	for _, k := range e.types {
		if k.def.Default {
			return k
		}
	}
	return nil
}

func (e *event) typ(id uint32) *ticketType {
	for _, k := range e.types {
		if k.def.Type == id {
			return k
		}
	}
	return nil
}

func (o *orders) setCapacity(r wire.Record, s *wire.SetCapacity) {
	e := o.operated(r)
	if e == nil {
		return
	}
	k := e.typ(s.Type)
	switch {
	case s.Capacity > maxCapacity:
		o.reject(r, wire.ReasonInvalid)
	case k == nil:
		o.refuse(r, wire.ReasonUnknownType)
	default:
		k.target = int64(s.Capacity)
		e.changed = o.seq
		o.say(r.Object, r.Ref, &wire.CapacitySet{Stock: k.numbers()})
		e.owe()
	}
}

func (o *orders) setPrice(r wire.Record, s *wire.SetPrice) {
	e := o.operated(r)
	if e == nil {
		return
	}
	k := e.typ(s.Type)
	switch {
	case !validPrice(s.Price):
		o.reject(r, wire.ReasonInvalid)
		return
	case k == nil:
		o.refuse(r, wire.ReasonUnknownType)
		return
	case k.def.Price == s.Price:
	case e.prices >= maxPrices:
		o.refuse(r, wire.ReasonFull)
		return
	default:
		e.prices++
	}
	k.def.Price, e.changed = s.Price, o.seq
	o.say(r.Object, r.Ref, &wire.PriceSet{Type: s.Type, Price: s.Price})
}

func (o *orders) setSelling(r wire.Record, s *wire.SetSelling) {
	e := o.operated(r)
	if e == nil {
		return
	}
	e.selling, e.changed = s.Selling, o.seq
	o.say(r.Object, r.Ref, &wire.SellingSet{Selling: s.Selling})
	e.owe()
}

func (o *orders) setMethodLimit(r wire.Record, s *wire.SetMethodLimit) {
	e := o.operated(r)
	if e == nil {
		return
	}
	e.perMethod, e.changed = s.PerMethod, o.seq
	o.say(r.Object, r.Ref, &wire.MethodLimitSet{PerMethod: s.PerMethod})
}

// cancelEvent ends the sale; its bookings end in log order, as many as one record may end, the rest in ticks.
func (o *orders) cancelEvent(r wire.Record) {
	e := o.operated(r)
	if e == nil {
		return
	}
	e.cancelled, e.selling, e.changed, e.owed = true, false, o.seq, false
	o.say(r.Object, r.Ref, &wire.EventCancelled{})
	e.sweep = append([]*booking(nil), e.bookings...)
	budget := o.limits.Batch
	o.sweepOn(e, &budget)
}

// sweepOn ends the bookings of a cancelled event. What has lapsed closes by itself.
func (o *orders) sweepOn(e *event, budget *int) {
	for len(e.sweep) > 0 && *budget > 0 {
		b := e.sweep[0]
		e.sweep = e.sweep[1:]
		switch {
		case b.live():
			o.end(b, cancelled, wire.ReasonEventCancelled, true)
			*budget--
		case b.sold():
			o.end(b, revoked, wire.ReasonEventCancelled, true)
			*budget--
		}
	}
}
