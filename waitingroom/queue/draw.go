package queue

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// willDraw says that a place that arrived at an instant will be ordered by a draw that has not been held yet.
func (rm *room) willDraw(instant int64) bool {
	return rm.def.Mode == wire.ModeDraw && !rm.drawn && instant < rm.def.DrawCloses
}

// drawClosed says that no join can be in the draw any more: its close and the allowance for late joins have passed.
func (rm *room) drawClosed(c *sale.LogClock, o *Outages) bool {
	return c.Now-o.Since(rm.def.DrawCloses) >= rm.def.DrawCloses+rm.def.Late
}

// mayOpen says that nothing but the schedule or an order is missing for opening.
func (rm *room) mayOpen(c *sale.LogClock, o *Outages) bool {
	return rm.def.Mode != wire.ModeDraw || rm.drawn || (rm.revealed && rm.drawClosed(c, o))
}

// schedule moves the room to the state that its definition and its stock say for now. What an operator paused stays so.
func (rm *room) schedule(c *sale.LogClock, o *Outages, out *wire.Outcomes) {
	d := &rm.def
	if rm.state != wire.RoomEnded && d.Ends != 0 && c.Now >= d.Ends {
		rm.enter(c, wire.RoomEnded, out)
		return
	}
	if rm.state == wire.RoomClosed && c.Now >= d.EarlyFrom {
		rm.enter(c, wire.RoomEarly, out)
	}
	if rm.state == wire.RoomEarly && d.Opens != 0 && c.Now >= d.Opens && rm.mayOpen(c, o) {
		rm.enter(c, wire.RoomOpen, out)
	}
	s := &rm.signal
	if rm.state == wire.RoomOpen && s.Left == 0 && s.Coming == 0 {
		rm.enter(c, wire.RoomSoldOut, out)
	}
	if rm.state == wire.RoomSoldOut && s.Left != 0 {
		rm.enter(c, wire.RoomOpen, out)
	}
}

// enter changes the state. A draw is held by the first opening.
func (rm *room) enter(c *sale.LogClock, state wire.RoomState, out *wire.Outcomes) {
	if state == wire.RoomOpen && rm.def.Mode == wire.ModeDraw && !rm.drawn {
		rm.draw()
	}
	if state == wire.RoomEnded {
		rm.ended = c.Now
	}
	rm.state = state
	out.AddFor(rm.id, wire.ID{}, &wire.RoomSet{State: state})
	rm.changed = out.Seq
}

// draw orders those who arrived before the draw closed by HMAC-SHA-256(DrawKey(seed, public), token id), in class 0.
func (rm *room) draw() {
	key := wire.DrawKey(rm.seed, rm.public)
	mac := hmac.New(sha256.New, key[:])
	var sum [sha256.Size]byte
	var order [wire.Lanes][]uint32
	rm.places.drawn = make([]uint64, rm.places.len())
	for i := range rm.places.n {
		p := rm.places.at(i)
		if rm.willDraw(p.instant()) {
			mac.Reset()
			mac.Write(p.token[:])
			p.setClass(classDrawn)
			rm.places.drawn[i] = binary.BigEndian.Uint64(mac.Sum(sum[:0]))
		}
		if p.state() == Waiting {
			order[p.lane()] = append(order[p.lane()], i)
		}
	}
	rm.drawn = true
	for l := range order {
		rm.lanes[l].waiting.build(&rm.places, rm.sorted(order[l]))
	}
}

func (rm *room) sorted(indexes []uint32) []uint32 {
	slices.SortFunc(indexes, func(a, b uint32) int {
		k := rm.places.orderKey(b)
		return rm.places.compare(a, &k)
	})
	return indexes
}
