package simulation

import (
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// wish is what somebody wants next, drawn from small pools so that wishes meet. A zero command id is one that is
// idempotent by its state.
func (c *crowd) wish() (wire.Record, wire.Body) {
	w := c.w
	if w.shape.waiting {
		return c.lines.wish()
	}
	head := wire.Record{Object: int64(w.IntN(w.shape.events) + 1), Command: c.id('c')}
	if w.shape.cards && w.cards.IntN(60) == 0 {
		return head, c.limit(0, 3)
	}
	if w.IntN(4) == 0 {
		head.Flags = wire.FlagKeyed
	}
	switch k := w.IntN(100); {
	case k < 55:
		return c.hold(head)
	case k < 64:
		return c.about(head, c.made, func(o offer) wire.Body { return &wire.Cancel{UserKey: o.user} })
	case k < 70:
		return c.about(head, c.made, func(o offer) wire.Body { return &wire.PaymentStarted{UserKey: o.user, Attempt: c.id('a')} })
	case k < 84:
		return c.pay()
	case k < 86:
		return c.about(head, c.made, func(offer) wire.Body {
			return &wire.Extend{Cause: wire.CausePaymentSlot, By: w.between(sale.Second, 20*sale.Second)}
		})
	case k < 87 && !w.cfg.Heavy:
		return head, &wire.Extend{Scope: 1, Cause: wire.CauseOperator, By: w.between(sale.Second, 5*sale.Second)}
	case k >= 87 && k < 89:
		head.Command = wire.ID{}
		return c.about(head, c.sold, func(o offer) wire.Body { return &wire.CaptureFailed{Attempt: o.paid} })
	case k < 92:
		head.Command = wire.ID{}
		return c.about(head, c.sold, func(offer) wire.Body {
			return &wire.Refunded{Refund: c.id('r'), Return: w.IntN(2) == 0, Tickets: []uint16{uint16(w.IntN(2))}}
		})
	case k < 93:
		return c.about(head, c.sold, func(offer) wire.Body { return &wire.Revoke{Return: true} })
	case k < 96:
		return head, &wire.SetCapacity{Type: uint32(w.IntN(2) + 1), Capacity: uint32(w.IntN(2 * w.shape.capacity))}
	case k < 97:
		return head, &wire.SetPrice{Type: uint32(w.IntN(2) + 1), Price: wire.Price{Ticket: int64(w.IntN(4)) * 500}}
	case k < 98:
		return head, &wire.SetSelling{Selling: w.IntN(5) > 0}
	}
	return c.junk(head)
}

// junk is what somebody else's producer might write.
func (c *crowd) junk(head wire.Record) (wire.Record, wire.Body) {
	head.NotAfter = c.w.truth() + 2*sale.Second
	value := wire.AppendRecord(nil, head, &wire.Cancel{})
	switch c.w.IntN(3) {
	case 0:
		value = value[:c.w.IntN(len(value))]
	case 1:
		value[c.w.IntN(len(value))] ^= 1 << c.w.IntN(8)
		if value[1] == byte(wire.KindEpoch) || value[1] == byte(wire.KindTick) {
			value[1] = 255
		}
	default:
		value[1] = byte(3 + c.w.IntN(60))
	}
	c.post(value)
	return wire.Record{}, nil
}

func (c *crowd) hold(head wire.Record) (wire.Record, wire.Body) {
	w := c.w
	user := w.IntN(users)
	h := &wire.Hold{Subject: c.names[user], UserKey: c.keys[user], TicketBase: c.id('t'), Waitlist: w.IntN(3) == 0}
	h.TicketBase[15] = 0
	if w.IntN(10) > 1 {
		h.Pass, h.PassExpires = wire.ID{'p', byte(w.IntN(200)), byte(user)}, w.truth()+w.between(sale.Second, 60*sale.Second)
	}
	for range w.IntN(3) {
		h.Lines = append(h.Lines, wire.Line{Type: uint32(w.IntN(2) + 1), Quantity: uint16(w.IntN(3) + 1)})
	}
	head.Ref = c.id('b')
	return head, h
}

// about picks one of the newest bookings.
func (c *crowd) about(head wire.Record, of []offer, body func(offer) wire.Body) (wire.Record, wire.Body) {
	if len(of) == 0 {
		return head, nil
	}
	o := of[len(of)-1-c.w.IntN(min(len(of), 30))]
	head.Object, head.Ref = o.event, o.ref
	return head, body(o)
}

// limit is an order about how many bookings a method may pay for.
func (c *crowd) limit(least, most int) wire.Body {
	return &wire.SetMethodLimit{PerMethod: uint16(least + c.w.cards.IntN(most-least+1))}
}

// by names what an authorisation comes from, where events ask: one of two cards that everybody shares, or nobody knows.
func (c *crowd) by(o offer, a *wire.Authorised) wire.Body {
	if !c.w.shape.cards {
		return a
	}
	switch n := c.w.cards.IntN(8); n {
	case 0:
		return a
	case 1:
		return &wire.AuthorisedBy{Authorised: *a}
	default:
		return &wire.AuthorisedBy{Method: wire.ID{'m', byte(o.event), byte(n % 2)}, Authorised: *a}
	}
}

// pay is an authorisation, told until it is answered.
func (c *crowd) pay() (wire.Record, wire.Body) {
	var attempt wire.ID
	head, body := c.about(wire.Record{}, c.made, func(o offer) wire.Body {
		a := &wire.Authorised{Attempt: c.id('a'), Amount: o.amount, Currency: currency}
		if o.amount > 0 {
			a.Intent = []byte("pi")
		}
		attempt = a.Attempt
		return c.by(o, a)
	})
	if body == nil || c.w.cfg.Heavy {
		return head, body
	}
	p := &payment{
		offer: offer{event: head.Object, ref: head.Ref}, attempt: attempt,
		value: wire.AppendRecord(nil, head, body), sent: c.w.now,
	}
	c.payments[p.attempt] = p
	c.order = append(c.order, p)
	return head, body
}
