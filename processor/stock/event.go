package stock

import (
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// event is one event's definition, its types, and the list of its bookings in the order of the log.
type event struct {
	id        int64
	def       wire.DefineEvent
	selling   bool
	cancelled bool
	perMethod uint16 // bookings that one payment method may pay for; 0 for no limit
	owed      bool   // stock is free that the waitlist has not been offered to the end
	changed   uint64 // sequence number of the last operator change
	types     []ticketType
	prices    []wire.Price
	first     int32 // booking
	last      int32
	sweep     int32 // next booking to end after the event's cancellation
	waitFirst int32 // waiter
	waitLast  int32
	waiting   int
}

// ticketType counts one type's tickets. Capacity is not stored: it is the target, or what is in use if that is more.
type ticketType struct {
	id      uint32
	target  uint32
	held    uint32
	sold    uint32
	gone    uint32 // part of sold: refunded or revoked without returning
	waiting uint32 // asked for on the waitlist
	perUser uint16
	price   uint16 // index into event.prices
	isDef   bool
}

func (t *ticketType) used() uint32 { return t.held + t.sold }

func (t *ticketType) capacity() uint32 { return max(t.target, t.used()) }

func (t *ticketType) free() uint32 { return t.capacity() - t.used() }

func (t *ticketType) stock() wire.Stock {
	return wire.Stock{
		Type: t.id, Capacity: t.capacity(), Target: t.target, Held: t.held, Sold: t.sold, Free: t.free(),
	}
}

// spare is what a type has for somebody who is not on the waitlist: while the waitlist is being served, nothing that
// it asks for.
func (e *event) spare(t *ticketType) uint32 {
	free := t.free()
	if e.owed {
		free -= min(free, t.waiting)
	}
	return free
}

func (e *event) typeAt(id uint32) int {
	for i := range e.types {
		if e.types[i].id == id {
			return i
		}
	}
	return -1
}

func (e *event) limited() bool {
	if e.def.PerUser > 0 {
		return true
	}
	for i := range e.types {
		if e.types[i].perUser > 0 {
			return true
		}
	}
	return false
}

// named returns the event that the record names, or nil.
func (m *Machine) named() *event {
	if m.event == none {
		return nil
	}
	return &m.events[m.event]
}

// operate decides what organisers and operators order.
func (m *Machine) operate(body wire.Body) {
	if d, ok := body.(*wire.DefineEvent); ok {
		m.defineEvent(d)
		return
	}
	e := m.named()
	switch {
	case e == nil:
		m.refuse(wire.ReasonUnknownObject)
	case m.rec.After != 0 && m.rec.After != e.changed:
		m.refuse(wire.ReasonMoved)
	case e.cancelled && body.Kind() == wire.KindCancelEvent:
		m.repeat(wire.KindEventCancelled, wire.ID{})
	case e.cancelled:
		m.refuse(wire.ReasonEventCancelled)
	default:
		m.change(e, body)
	}
}

func (m *Machine) change(e *event, body wire.Body) {
	switch b := body.(type) {
	case *wire.DefineType:
		m.defineType(e, b)
	case *wire.SetCapacity:
		m.setCapacity(e, b)
	case *wire.SetPrice:
		m.setPrice(e, b)
	case *wire.SetSelling:
		e.selling = b.Selling
		m.changed(e, &wire.SellingSet{Selling: b.Selling})
		m.owe(e)
	case *wire.SetMethodLimit:
		e.perMethod = b.PerMethod
		m.changed(e, &wire.MethodLimitSet{PerMethod: b.PerMethod})
	case *wire.CancelEvent:
		m.cancelEvent(e)
	}
}

// changed adds the outcome of a change and remembers its number.
func (m *Machine) changed(e *event, outcome wire.Body) {
	m.out.Add(outcome)
	e.changed = m.out.Seq
}

func (m *Machine) defineEvent(d *wire.DefineEvent) {
	def, ok := filledEvent(*d)
	if !ok || m.rec.Object <= 0 {
		m.reject(wire.ReasonInvalid)
		return
	}
	if e := m.named(); e != nil {
		switch {
		case m.rec.After != 0 && m.rec.After != e.changed:
			m.refuse(wire.ReasonMoved)
		case e.def != def:
			m.refuse(wire.ReasonExists)
		default:
			m.repeat(wire.KindEventDefined, wire.ID{})
		}
		return
	}
	if len(m.events) >= m.limits.Events {
		m.refuse(wire.ReasonFull)
		return
	}
	m.event = int32(len(m.events))
	m.eventAt[m.rec.Object] = m.event
	m.events = append(m.events, newEvent(m.rec.Object, def))
	m.changed(&m.events[len(m.events)-1], &wire.EventDefined{Event: def})
}

func newEvent(id int64, def wire.DefineEvent) event {
	return event{
		id: id, def: def, selling: true,
		first: none, last: none, sweep: none, waitFirst: none, waitLast: none,
	}
}

// filledEvent puts the defaults in. ok is false when a value is out of its range.
func filledEvent(d wire.DefineEvent) (wire.DefineEvent, bool) {
	ok := sale.CheckCurrency(string(d.Currency[:])) == nil && d.Room >= 0
	fill := func(v *int64, seconds int64) {
		if *v == 0 {
			*v = seconds * sale.Second
		}
		ok = ok && *v > 0 && *v <= MaxLength
	}
	fill(&d.Hold, 300)
	fill(&d.Offer, 300)
	fill(&d.Grace, 600)
	fill(&d.Frozen, 1800)
	return d, ok
}

func soundPrice(p wire.Price) bool {
	return p.Ticket >= 0 && p.Ticket <= sale.MaxPrice && p.Fee >= 0 && p.Fee <= sale.MaxPrice && p.TaxRate <= sale.MaxTaxRate
}

func (m *Machine) defineType(e *event, d *wire.DefineType) {
	at := e.typeAt(d.Type)
	switch {
	case d.Type > MaxTypeNumber || d.Capacity > sale.MaxCapacity || !soundPrice(d.Price):
		m.reject(wire.ReasonInvalid)
	case at >= 0:
		m.defineAgain(e, &e.types[at], d)
	case d.Default && e.defaultType() >= 0:
		m.refuse(wire.ReasonExists)
	case len(e.types) >= MaxTypes || len(e.prices) >= MaxPrices:
		m.refuse(wire.ReasonFull)
	default:
		e.prices = append(e.prices, d.Price)
		e.types = append(e.types, ticketType{
			id: d.Type, target: d.Capacity, perUser: d.PerUser, isDef: d.Default, price: uint16(len(e.prices) - 1),
		})
		m.changed(e, &wire.TypeDefined{Type: *d, Stock: e.types[len(e.types)-1].stock()})
	}
}

func (m *Machine) defineAgain(e *event, t *ticketType, d *wire.DefineType) {
	same := t.target == d.Capacity && t.perUser == d.PerUser && t.isDef == d.Default && e.prices[t.price] == d.Price
	if !same {
		m.refuse(wire.ReasonExists)
		return
	}
	m.repeat(wire.KindTypeDefined, wire.ID{})
}

func (e *event) defaultType() int {
	for i := range e.types {
		if e.types[i].isDef {
			return i
		}
	}
	return -1
}

func (m *Machine) setCapacity(e *event, s *wire.SetCapacity) {
	at := e.typeAt(s.Type)
	switch {
	case s.Capacity > sale.MaxCapacity:
		m.reject(wire.ReasonInvalid)
	case at < 0:
		m.refuse(wire.ReasonUnknownType)
	default:
		e.types[at].target = s.Capacity
		m.changed(e, &wire.CapacitySet{Stock: e.types[at].stock()})
		m.owe(e)
	}
}

func (m *Machine) setPrice(e *event, s *wire.SetPrice) {
	at := e.typeAt(s.Type)
	switch {
	case !soundPrice(s.Price):
		m.reject(wire.ReasonInvalid)
		return
	case at < 0:
		m.refuse(wire.ReasonUnknownType)
		return
	case e.prices[e.types[at].price] == s.Price:
	case len(e.prices) >= MaxPrices:
		m.refuse(wire.ReasonFull)
		return
	default:
		e.prices = append(e.prices, s.Price)
		e.types[at].price = uint16(len(e.prices) - 1)
	}
	m.changed(e, &wire.PriceSet{Type: s.Type, Price: s.Price})
}

// cancelEvent ends the sale. The bookings follow in the order of the log, as many as one record may end; ticks do the
// rest, and no payment is accepted meanwhile.
func (m *Machine) cancelEvent(e *event) {
	e.cancelled, e.selling, e.sweep = true, false, e.first
	m.changed(e, &wire.EventCancelled{})
	if e.owed {
		e.owed = false
		m.owed--
	}
	if e.sweep != none {
		m.sweeping++
		budget := m.limits.Batch
		m.sweep(m.event, &budget)
	}
}

// sweep ends bookings of a cancelled event. Lapsed ones close by themselves; ended ones are over.
func (m *Machine) sweep(at int32, budget *int) {
	e := &m.events[at]
	if e.sweep == none {
		return
	}
	for e.sweep != none && *budget > 0 {
		i := e.sweep
		b := m.booking(i)
		e.sweep = b.next
		switch {
		case b.status.live():
			*budget--
			m.end(i, cancelled, wire.ReasonEventCancelled, true)
		case b.status.sells():
			*budget--
			m.end(i, revoked, wire.ReasonEventCancelled, true)
		}
	}
	if e.sweep == none {
		m.sweeping--
	}
}
