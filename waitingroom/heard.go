package waitingroom

import (
	"sync"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

const (
	// maxOutages is how many outages of a partition are remembered; challenges do not live through more.
	maxOutages = 32
	// maxRecentJoins bounds each of the two generations of remembered joins.
	maxRecentJoins = 1 << 17
)

// heard is what this edge learns by listening to the queue's outcomes: outages, invitations and fresh joins. It is a
// help, never a fact to rely on: an edge that started a moment ago knows nothing.
type heard struct {
	mu         *sync.RWMutex
	partitions map[int32]*logTime
	invited    map[int64]*[wire.Lanes]wire.OrderKey
	joins      [2]map[wire.ID]joined // new and old generation
	moves      map[int64]*moves
}

// logTime is what is known of a partition's time.
type logTime struct {
	now     int64 // of the newest tick; 0 before the first
	outages []outage
}

type outage struct{ at, by int64 } // at: log time after it

// moves counts how a room's line moved since the edge started.
type moves struct{ invited, admitted, left, missed uint64 }

// joined is what the log said of a fresh place.
type joined struct {
	key   wire.OrderKey
	lane  wire.Lane
	drawn bool
}

func newHeard() heard {
	return heard{
		mu: new(sync.RWMutex), partitions: make(map[int32]*logTime), invited: make(map[int64]*[wire.Lanes]wire.OrderKey),
		moves: make(map[int64]*moves),
		joins: [2]map[wire.ID]joined{{}, {}},
	}
}

// listen is called for every outcome, in order within a partition.
func (h *heard) listen(partition int32, o wire.Outcome) {
	switch o.Kind {
	case wire.KindTicked:
		var t wire.Ticked
		if o.DecodeInto(&t) == nil {
			h.mu.Lock()
			h.partition(partition).now = t.Now
			h.mu.Unlock()
		}
	case wire.KindExtended:
		var x wire.Extended
		if o.DecodeInto(&x) == nil && x.Cause == wire.CauseOutage && x.Scope == 1 && o.Object == 0 {
			h.outage(partition, outage{at: o.At, by: x.By})
		}
	case wire.KindJoined:
		var j wire.Joined
		if o.DecodeInto(&j) == nil {
			h.join(o.Ref, joined{key: j.Key, lane: j.Lane, drawn: j.Drawn})
		}
	case wire.KindInvitedUpTo:
		var i wire.InvitedUpTo
		if o.DecodeInto(&i) == nil && i.Lane < wire.Lanes {
			h.invite(o.Object, i)
			h.move(o.Object, moves{invited: uint64(i.Count)})
		}
	case wire.KindClaimed:
		h.move(o.Object, moves{admitted: 1})
	case wire.KindLeftQueue:
		h.move(o.Object, moves{left: 1})
	case wire.KindMissed:
		h.move(o.Object, moves{missed: 1})
	}
}

func (h *heard) partition(p int32) *logTime {
	t := h.partitions[p]
	if t == nil {
		t = new(logTime)
		h.partitions[p] = t
	}
	return t
}

func (h *heard) outage(partition int32, o outage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.partition(partition)
	if len(t.outages) == maxOutages {
		t.outages = append(t.outages[:0], t.outages[1:]...)
	}
	t.outages = append(t.outages, o)
}

func (h *heard) join(id wire.ID, j joined) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.joins[0]) >= maxRecentJoins {
		h.joins[0], h.joins[1] = make(map[wire.ID]joined), h.joins[0]
	}
	h.joins[0][id] = j
}

func (h *heard) invite(room int64, i wire.InvitedUpTo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	lanes := h.invited[room]
	if lanes == nil {
		if len(h.invited) >= MaxRooms {
			return
		}
		lanes = new([wire.Lanes]wire.OrderKey)
		h.invited[room] = lanes
	}
	if lanes[i.Lane].Less(i.Key) {
		lanes[i.Lane] = i.Key
	}
}

func (h *heard) move(room int64, by moves) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.moves[room]
	if m == nil {
		if len(h.moves) >= MaxRooms {
			return
		}
		m = new(moves)
		h.moves[room] = m
	}
	m.invited += by.invited
	m.admitted += by.admitted
	m.left += by.left
	m.missed += by.missed
}

// moved is how a room's line moved since the edge started.
func (h *heard) moved(room int64) moves {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if m := h.moves[room]; m != nil {
		return *m
	}
	return moves{}
}

// place is what was heard of a fresh join.
func (h *heard) place(id wire.ID) (joined, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, generation := range h.joins {
		if j, ok := generation[id]; ok {
			return j, true
		}
	}
	return joined{}, false
}

// invitedTo is the newest invitation heard for a lane, and whether there was one.
func (h *heard) invitedTo(room int64, lane wire.Lane) (wire.OrderKey, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	lanes := h.invited[room]
	if lanes == nil || lanes[lane] == (wire.OrderKey{}) {
		return wire.OrderKey{}, false
	}
	return lanes[lane], true
}

// outageSince is how much of the time from an instant until now is an outage of the partition: recorded ones, and the
// one that seems to be running when no tick was heard for longer than sale.OutageStep.
func (h *heard) outageSince(partition int32, instant, now int64) int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	t := h.partitions[partition]
	if t == nil || t.now == 0 {
		return 0
	}
	var sum int64
	for _, o := range t.outages {
		if o.at > instant {
			sum += min(o.by, o.at-instant)
		}
	}
	if silent := now - t.now; silent > sale.OutageStep {
		sum += min(silent, now-instant, sale.OutageCap)
	}
	return max(sum, 0)
}
