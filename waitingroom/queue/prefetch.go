package queue

import (
	"encoding/binary"

	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// Where the body of a Join, and of an Enlist, that is not decoded yet keeps what is looked up, in bytes; and how long it is at least.
const (
	joinVisitor = 12
	joinLane    = 28
	joinNarrow  = 30
	joinWide    = 38
	joinLeast   = 46
)

// Prefetch asks for the memory that records will need before they are applied: at step 0 for where their ids are looked
// up, at step 1 for what is found there. See engine.Prefetcher.
func (m *Machine) Prefetch(step int, _ int64, batch []wire.Record) {
	if step > 1 {
		return
	}
	for i := range batch {
		r := &batch[i]
		joins := r.Kind == wire.KindJoin || r.Kind == wire.KindEnlist
		if !joins && r.Kind != wire.KindAsk && r.Kind != wire.KindLeave {
			continue
		}
		at, ok := m.find(r.Object)
		if !ok {
			continue
		}
		rm := m.rooms[at]
		switch {
		case joins:
			rm.prefetchJoin(step, r)
		case step == 0:
			rm.tokens.table.prefetch(hashToken(&r.Ref))
		default:
			if i, ok := rm.tokens.table.guess(hashToken(&r.Ref)); ok {
				table.PrefetchUint64(&rm.places.at(i).word)
			}
		}
	}
}

func (rm *room) prefetchJoin(step int, r *wire.Record) {
	if len(r.Body) < joinLeast {
		return
	}
	n := &rm.networks
	narrow := binary.LittleEndian.Uint64(r.Body[joinNarrow:])
	wide := binary.LittleEndian.Uint64(r.Body[joinWide:])
	normal := r.Body[joinLane] == byte(wire.LaneNormal) || r.Body[joinLane] == byte(wire.LaneTimed)
	if step == 0 {
		visitor := visitorID(r.Body[joinVisitor:])
		rm.tokens.table.prefetch(hashToken(&r.Ref))
		rm.visitors.table.prefetch(hashVisitor(&visitor))
		if normal {
			n.narrow.prefetch(narrow)
			n.wide.prefetch(wide)
		}
		return
	}
	if normal {
		n.narrow.prefetchEntry(narrow)
		n.wide.prefetchEntry(wide)
	}
}
