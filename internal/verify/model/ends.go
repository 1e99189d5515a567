package model

import "fairgate/internal/wire"

// remember is how long (elapsed) a booking that was never paid is known after its end.
const remember = 600 * second

// tick ends what time ends, in the order of the deadlines; then serves the waitlists and goes on with cancelled events,
// in the order in which the events were defined.
func (o *orders) tick() {
	o.forget()
	for range o.limits.Batch {
		b := o.nextDue(&o.due, func(m moment) bool { return m.b.deadline == m.at && m.b.timed() })
		if b == nil {
			break
		}
		o.expire(b)
	}
	offers, endings := o.limits.Batch, o.limits.Batch
	for _, e := range o.ordered {
		o.serve(e, &offers)
		o.sweepOn(e, &endings)
	}
}

func (b *booking) timed() bool { return b.reserves() || b.state == lapsed || b.state == frozen }

// nextDue takes the next booking whose moment has come, past moments that were moved.
func (o *orders) nextDue(l *line[moment], stands func(moment) bool) *booking {
	for len(l.all) > 0 && l.first().at <= o.clock.Elapsed() {
		if m := l.take(); stands(m) {
			return m.b
		}
	}
	return nil
}

// forget drops used passes that have expired, and bookings that ended long enough ago and were never paid.
func (o *orders) forget() {
	for n := 0; n < o.limits.Batch && len(o.expiring.all) > 0 && o.expiring.first().expires <= o.clock.Now; n++ {
		delete(o.passes, o.expiring.take().passKey)
	}
	for range o.limits.Batch {
		b := o.nextDue(&o.ended, func(moment) bool { return true })
		if b == nil {
			return
		}
		// It stays in its event's list, where nothing can happen to it any more.
		delete(o.bookings, b.id)
		b.event.users[b.user] = without(b.event.users[b.user], b)
	}
}

// expire is what happens to a booking when its deadline has passed.
func (o *orders) expire(b *booking) {
	e := b.event
	switch b.state {
	case held, offered:
		b.giveBack()
		b.state = lapsed
		o.setDeadline(b, plus(o.clock.Elapsed(), e.def.Grace))
		o.say(e.id, b.id, &wire.Lapsed{UserKey: b.user, Stock: b.stock()})
	case lapsed:
		o.finish(b, closed, wire.ReasonLapsed)
		o.say(e.id, b.id, &wire.Closed{UserKey: b.user})
	case frozen:
		o.end(b, revoked, wire.ReasonCaptureFailed, true)
	}
}

// giveBack returns what the booking holds.
func (b *booking) giveBack() {
	for _, l := range b.lines {
		b.event.typ(l.Type).held -= int64(l.Quantity)
	}
	b.event.owe()
}

func (o *orders) finish(b *booking, s state, why wire.Reason) {
	if b.state == waitlisted {
		b.event.stopWaiting(b)
	}
	b.state, b.reason, b.deadline = s, why, 0
	if b.attempt == (wire.ID{}) {
		o.ended.add(moment{plus(o.clock.Elapsed(), remember), b})
	}
}

// end finishes a booking for good and says so. Held stock always becomes free; sold stock if it is given back, else it
// goes on counting as sold.
func (o *orders) end(b *booking, s state, why wire.Reason, giveBack bool) {
	var stock []wire.Stock
	switch {
	case b.reserves():
		b.giveBack()
		stock = b.stock()
	case b.sold():
		if giveBack {
			for t, n := range b.inUse() {
				b.event.typ(t).sold -= n
			}
			b.event.owe()
		}
		stock = b.stock()
	}
	o.finish(b, s, why)
	if s == revoked {
		o.say(b.event.id, b.id, &wire.Revoked{UserKey: b.user, Reason: why, Stock: stock})
		return
	}
	o.say(b.event.id, b.id, &wire.Cancelled{UserKey: b.user, Reason: why, Stock: stock})
}

// find is the booking that a command names, nil if there is none in that event.
func (o *orders) find(r wire.Record) *booking {
	b := o.bookings[r.Ref]
	if b == nil || b.event.id != r.Object {
		return nil
	}
	return b
}

// reasonOr is who ended the booking, where the command does not say why.
func reasonOr(why wire.Reason, shop bool) wire.Reason {
	switch {
	case why != wire.ReasonNone:
		return why
	case shop:
		return wire.ReasonCancelledByShop
	}
	return wire.ReasonCancelledByUser
}

func (o *orders) cancel(r wire.Record, x *wire.Cancel) {
	b, shop := o.find(r), x.UserKey == wire.ID{}
	switch {
	case b == nil:
		o.refuse(r, wire.ReasonUnknownRef)
	case !shop && x.UserKey != b.user:
		o.refuse(r, wire.ReasonNotYours)
	case b.state == cancelled:
		o.again(r, wire.KindCancelled, b.id)
	case !b.live():
		o.refuse(r, wire.ReasonWrongState)
	default:
		o.end(b, cancelled, reasonOr(x.Reason, shop), true)
	}
}

// revoke ends any booking that is not over.
func (o *orders) revoke(r wire.Record, x *wire.Revoke) {
	b := o.find(r)
	switch {
	case b == nil:
		o.refuse(r, wire.ReasonUnknownRef)
	case b.state == revoked:
		o.again(r, wire.KindRevoked, b.id)
	case !b.live() && !b.sold() && b.state != lapsed:
		o.refuse(r, wire.ReasonWrongState)
	default:
		o.end(b, revoked, reasonOr(x.Reason, true), x.Return)
	}
}
