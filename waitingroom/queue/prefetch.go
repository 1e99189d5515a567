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

	enlistBroad  = 51
	enlistOrigin = 59
	enlistLeast  = 67
)

// Prefetch asks for the memory that records will need before they are applied: at step 0 for where their ids are looked
// up, at step 1 for what is found there. See engine.Prefetcher.
func (m *Machine) Prefetch(step int, first int64, batch []wire.Record) {
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
			if at, ok := rm.prefetchJoin(step, r); ok {
				m.foresee(first+int64(i), at)
			}
		case step == 0:
			rm.tokens.table.prefetch(hashToken(&r.Ref))
		default:
			if i, ok := rm.tokens.table.guess(hashToken(&r.Ref)); ok {
				table.PrefetchUint64(&rm.places.at(i).word)
			}
		}
	}
}

// ring is how many of the last records' networks are kept: more than are under way at once.
const ring = 64

// foreseen is what Prefetch found. It spares looking again and decides nothing: who uses it compares keys.
type foreseen struct{ found [ring]meant }

// meant are the networks that a join seems to come from.
type meant struct {
	after int64 // the record's offset and one
	numbers
}

func (f *foreseen) foresee(offset int64, at numbers) {
	f.found[uint64(offset)%ring] = meant{offset + 1, at}
}

// foresaw are the networks that the join at an offset seems to come from.
func (f *foreseen) foresaw(offset int64) numbers {
	if w := &f.found[uint64(offset)%ring]; w.after == offset+1 {
		return w.numbers
	}
	return numbers{nothing, nothing, nothing, nothing}
}

// prefetchJoin says at step 1 what networks a join seems to come from.
func (rm *room) prefetchJoin(step int, r *wire.Record) (at numbers, ok bool) {
	if len(r.Body) < joinLeast {
		return at, false
	}
	n := &rm.networks
	narrow := binary.LittleEndian.Uint64(r.Body[joinNarrow:])
	wide := binary.LittleEndian.Uint64(r.Body[joinWide:])
	counted := r.Body[joinLane] != byte(wire.LaneInvited)
	if step == 0 {
		visitor := visitorID(r.Body[joinVisitor:])
		rm.tokens.table.prefetch(hashToken(&r.Ref))
		rm.visitors.table.prefetch(hashVisitor(&visitor))
		if counted {
			n.narrow.prefetch(narrow)
			n.wide.prefetch(wide)
		}
		return at, false
	}
	if !counted {
		return at, false
	}
	at = numbers{n.narrow.prefetchEntry(narrow), n.wide.prefetchEntry(wide), nothing, nothing}
	if len(r.Body) >= enlistLeast { // what is wider is few, and mostly in the caches
		at.broad = rm.broad.prefetchEntry(binary.LittleEndian.Uint64(r.Body[enlistBroad:]))
		at.origin = rm.origins.prefetchEntry(binary.LittleEndian.Uint64(r.Body[enlistOrigin:]))
	}
	return at, true
}
