package simulation

import (
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// lines are fans in waiting rooms, for worlds whose log is `queue`: the same engine, another machine.
type lines struct {
	c      *crowd
	places []place
	passes []wire.ID
	source uint64
}

// place is a token and its owner.
type place struct {
	room           int64
	token, visitor wire.ID
}

func (l *lines) define(c *crowd, put func(wire.Record, wire.Body)) {
	l.c = c
	for room := int64(1); room <= 2; room++ {
		put(wire.Record{Object: room}, &wire.DefineRoom{
			Cap: uint32(c.w.IntN(6) + 1), PerMinute: 3_000, Claim: 3 * sale.Second, Grace: 8 * sale.Second, Pass: 6 * sale.Second,
		})
		put(wire.Record{Object: room}, &wire.SetRoom{State: wire.RoomOpen})
	}
}

func (l *lines) wish() (wire.Record, wire.Body) {
	w := l.c.w
	now := w.truth()
	switch k := w.IntN(100); {
	case k < 40 || len(l.places) == 0:
		p := place{int64(w.IntN(2) + 1), l.c.id('t'), l.c.id('v')}
		l.places = append(l.places, p)
		if len(l.places) > 400 {
			l.places = append(l.places[:0], l.places[200:]...)
		}
		return wire.Record{Object: p.room, Ref: p.token}, &wire.Join{
			Visitor: p.visitor, Instant: now - w.between(1, 5*sale.Second), Narrow: uint64(w.IntN(60)), Wide: uint64(w.IntN(20)),
		}
	case k < 85:
		p := l.places[len(l.places)-1-w.IntN(min(len(l.places), 60))]
		return wire.Record{Object: p.room, Ref: p.token}, &wire.Ask{Visitor: p.visitor}
	case k < 88:
		p := l.places[w.IntN(len(l.places))]
		return wire.Record{Object: p.room, Ref: p.token}, &wire.Leave{Visitor: p.visitor}
	case k < 94 && len(l.passes) > 0:
		l.source++
		return wire.Record{Object: int64(w.IntN(2) + 1)}, &wire.Left{Pass: l.passes[w.IntN(len(l.passes))], SourceSeq: l.source}
	case k < 98:
		l.source++
		return wire.Record{Object: int64(w.IntN(2) + 1)}, &wire.Signal{
			Left: int64(w.IntN(20)), Coming: int64(w.IntN(5)), Price: -1, Headroom: -1, SourceSeq: l.source,
		}
	}
	state := wire.RoomOpen
	if w.IntN(4) == 0 {
		state = wire.RoomPaused
	}
	return wire.Record{Object: int64(w.IntN(2) + 1)}, &wire.SetRoom{State: state}
}

func (l *lines) hear(o wire.Outcome) {
	if o.Kind != wire.KindClaimed {
		return
	}
	var claimed wire.Claimed
	if o.DecodeInto(&claimed) == nil {
		l.passes = append(l.passes, claimed.Pass)
		if len(l.passes) > 100 {
			l.passes = append(l.passes[:0], l.passes[50:]...)
		}
	}
}
