package processor

import (
	"fmt"
	"slices"

	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// rooms is what a bridge knows of the stock behind each waiting room. It is pure: outcomes in, numbers out.
type rooms struct {
	events map[int64]*roomEvent
	order  []int64 // of the rooms
	byID   map[int64]*room
	rate   payRate // of the holds of these events
}

type room struct {
	id        int64
	partition int32 // of the log `queue`
	events    []*roomEvent
	headroom  int32 // permille; -1 unknown
	changed   bool
	sent      int64 // log time, µs
}

type roomEvent struct {
	room     *room
	currency [3]byte
	selling  bool
	types    []roomType
}

type roomType struct {
	id    uint32
	free  int64
	held  int64
	price int64 // with fee
}

// usedPass is a pass that a hold used up.
type usedPass struct {
	pass      wire.ID
	room      int64
	partition int32
}

// newRooms begins with what the database knows. Every room is told once.
func newRooms(all []store.RoomStock) rooms {
	r := rooms{events: map[int64]*roomEvent{}, byID: map[int64]*room{}}
	for _, s := range all {
		var currency [3]byte
		copy(currency[:], s.Currency)
		e := r.define(s.Event, s.Room, s.RoomPartition, currency)
		e.selling = s.Selling
		e.types = append(e.types, roomType{id: s.Type, free: s.Free, held: s.Held, price: s.Price})
	}
	return r
}

func (r *rooms) define(event, id int64, partition int32, currency [3]byte) *roomEvent {
	if e := r.events[event]; e != nil {
		return e
	}
	rm := r.byID[id]
	if rm == nil {
		rm = &room{id: id, partition: partition, headroom: -1}
		r.byID[id] = rm
		r.order = append(r.order, id)
		slices.Sort(r.order)
	}
	e := &roomEvent{room: rm, currency: currency, selling: true}
	rm.events = append(rm.events, e)
	rm.changed = true
	r.events[event] = e
	return e
}

// fold takes an outcome in. It returns the pass that a Held used up.
func (r *rooms) fold(o *wire.Outcome) (*usedPass, error) {
	if o.Kind == wire.KindEventDefined {
		var d wire.EventDefined
		if err := o.DecodeInto(&d); err != nil {
			return nil, fmt.Errorf("%w: %d: %w", errOutcome, o.Seq, err)
		}
		if d.Event.Room != 0 {
			r.define(o.Object, d.Event.Room, d.Event.RoomPartition, d.Event.Currency)
		}
		return nil, nil
	}
	e := r.events[o.Object]
	body := wire.NewOrderOutcome(o.Kind)
	if e == nil || body == nil {
		return nil, nil
	}
	if err := o.DecodeInto(body); err != nil {
		return nil, fmt.Errorf("%w: %d: %w", errOutcome, o.Seq, err)
	}
	e.change(body)
	switch b := body.(type) {
	case *wire.Confirmed:
		if b.Amount > 0 {
			r.rate.saw(true)
		}
	case *wire.Lapsed, *wire.Cancelled:
		r.rate.saw(false)
	}
	if h, ok := body.(*wire.Held); ok && h.Pass != (wire.ID{}) {
		return &usedPass{h.Pass, e.room.id, e.room.partition}, nil
	}
	return nil, nil
}

func (e *roomEvent) change(body wire.Body) {
	switch b := body.(type) {
	case *wire.TypeDefined:
		e.price(b.Type.Type, b.Type.Price)
		e.stock(b.Stock)
	case *wire.CapacitySet:
		e.stock(b.Stock)
	case *wire.PriceSet:
		e.price(b.Type, b.Price)
	case *wire.SellingSet:
		e.selling, e.room.changed = b.Selling, true
	case *wire.EventCancelled:
		e.selling, e.room.changed = false, true
	case *wire.Held:
		e.stock(b.Stock...)
	case *wire.Offered:
		e.stock(b.Stock...)
	case *wire.Cancelled:
		e.stock(b.Stock...)
	case *wire.Lapsed:
		e.stock(b.Stock...)
	case *wire.Confirmed:
		e.stock(b.Stock...)
	case *wire.TicketsRefunded:
		e.stock(b.Stock...)
	case *wire.Revoked:
		e.stock(b.Stock...)
	}
}

func (e *roomEvent) typeOf(id uint32) *roomType {
	for i := range e.types {
		if e.types[i].id == id {
			return &e.types[i]
		}
	}
	e.types = append(e.types, roomType{id: id})
	return &e.types[len(e.types)-1]
}

func (e *roomEvent) price(id uint32, p wire.Price) {
	e.typeOf(id).price = p.Ticket + p.Fee
	e.room.changed = true
}

func (e *roomEvent) stock(all ...wire.Stock) {
	for _, s := range all {
		t := e.typeOf(s.Type)
		t.free, t.held = int64(s.Free), int64(s.Held)
		e.room.changed = true
	}
}

// press sets a room's headroom. It is told when it has moved by a step, or reached an end.
func (r *rooms) press(id int64, headroom int32) {
	rm := r.byID[id]
	if rm == nil || rm.headroom == headroom {
		return
	}
	moved := headroom - rm.headroom
	if headroom == 0 || headroom == 1000 || rm.headroom < 0 || moved >= headroomStep || moved <= -headroomStep {
		rm.headroom, rm.changed = headroom, true
	}
}

// signals writes a letter to each room that changed and has not been told for a while.
func (r *rooms) signals(out *letters, source int32, seq uint64, now int64) {
	for _, id := range r.order {
		rm := r.byID[id]
		if !rm.changed || rm.sent != 0 && now-rm.sent < signalEvery {
			continue
		}
		rm.changed, rm.sent = false, now
		s := rm.signal()
		s.Source, s.SourceSeq = source, seq
		out.signals++
		out.add(rm.partition, rm.id, &s)
	}
}

// signal sums a room up. What is not for sale now is neither left nor coming. The price is the lowest of what is left,
// or of everything when nothing is, in the currency of the room's first event.
func (rm *room) signal() wire.Signal {
	s := wire.Signal{Left: -1, Coming: -1, Price: -1, Headroom: rm.headroom}
	lowest := int64(-1)
	for i, e := range rm.events {
		if i == 0 {
			s.Currency = e.currency
		}
		for _, t := range e.types {
			s.Left, s.Coming = max(s.Left, 0), max(s.Coming, 0)
			free, held := t.free, t.held
			if !e.selling {
				free, held = 0, 0
			}
			s.Left += free
			s.Coming += held
			if e.currency != s.Currency {
				continue
			}
			if free > 0 && (s.Price < 0 || t.price < s.Price) {
				s.Price = t.price
			}
			if lowest < 0 || t.price < lowest {
				lowest = t.price
			}
		}
	}
	if s.Price < 0 {
		s.Price = lowest
	}
	return s
}
