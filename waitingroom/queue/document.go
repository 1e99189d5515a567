package queue

import (
	"encoding/hex"
	"encoding/json"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

const (
	// exactRows is how many of the next places of a lane the table tells apart.
	exactRows = 200
	// spreadPermille is how much farther each row behind them reaches.
	spreadPermille = 1_150
	// restEvery is how often, in seconds, a room that is closed still gets a document.
	restEvery = 10
	// endedFor is how long after its end a room still gets documents.
	endedFor = 10 * sale.Minute
)

// Documents makes the queue document of every room that fans may be looking at, as of the last tick, and beside it, where
// there are any, the list of its crowded networks (wire.Networks). It changes nothing; the leader calls it about once a
// second. The bytes are the callee's to keep.
func (m *Machine) Documents(c *sale.LogClock, each func(room int64, document []byte)) {
	for _, rm := range m.rooms {
		switch {
		case rm.state == wire.RoomClosed && (c.Now/sale.Second+rm.id)%restEvery != 0:
			continue
		case rm.state == wire.RoomEnded && c.Now-rm.ended > endedFor:
			continue
		}
		d := m.document(c, rm)
		// Nothing in the document can fail to encode.
		if b, err := json.Marshal(&d); err == nil {
			each(rm.id, b)
		}
		if list := rm.crowded(); len(list) > 0 && rm.state != wire.RoomEnded {
			each(rm.id, wire.AppendNetworks(nil, &wire.Networks{Room: rm.id, Epoch: c.Epoch, Offset: m.tick.offset, List: list}))
		}
	}
}

func (m *Machine) document(c *sale.LogClock, rm *room) wire.QueueDocument {
	d := wire.QueueDocument{
		Version: wire.Version, Room: rm.id, State: rm.state.String(), At: c.Now, Epoch: c.Epoch, Offset: m.tick.offset,
		Chain: hex.EncodeToString(m.tick.chain[:]), Mode: "fcfs", OpensAt: rm.def.Opens, EndsAt: rm.def.Ends,
		Joined: rm.joined, Admitted: rm.totals.admitted, GivenUp: rm.totals.left, Missed: rm.totals.missed, Inside: rm.inside, Cap: rm.def.Cap, PerMinute: uint32(rm.law.EnteredPerMinute()), ShowUp: rm.law.ShowPermille(),
		Left: rm.signal.Left, Coming: rm.signal.Coming, Allowance: rm.def.Late, NextPoll: rm.nextPoll(c),
		Lanes: make([]wire.LaneDocument, 0, wire.Lanes),
	}
	if rm.state == wire.RoomClosed {
		d.EarlyFrom = rm.def.EarlyFrom
	}
	if rm.def.Mode == wire.ModeDraw {
		d.Mode, d.DrawCloses = "draw", rm.def.DrawCloses
		d.Commitment, d.Source = hex.EncodeToString(rm.def.Commitment[:]), string(rm.def.PublicSource)
	}
	if rm.revealed {
		d.Seed, d.Public, d.Drawn = hex.EncodeToString(rm.seed[:]), string(rm.public), rm.drawn
	}
	if s := &rm.signal; s.Price >= 0 {
		d.Currency = string(s.Currency[:])
		d.Price = sale.Money{Minor: s.Price, Currency: d.Currency}.String()
	}
	if rm.state != wire.RoomEnded {
		d.Waiting = rm.invited + uint32(rm.asking())
	}
	for l := range rm.lanes {
		lane := rm.laneDocument(wire.Lane(l))
		d.Waiting += lane.Waiting
		d.Lanes = append(d.Lanes, lane)
	}
	return d
}

func (rm *room) laneDocument(l wire.Lane) wire.LaneDocument {
	lane := &rm.lanes[l]
	d := wire.LaneDocument{Lane: l.String(), Table: []wire.RankRow{}}
	if lane.begun {
		d.InvitedTo = lane.invitedTo.String()
	}
	if rm.state == wire.RoomEnded {
		return d
	}
	n := lane.waiting.len()
	d.Waiting = uint32(n)
	d.RateLow, d.RateHigh = rm.rates(l, int64(n))
	before := d.InvitedTo
	for i := 0; i < n; i = nextRow(i) {
		if i > 0 {
			before = rm.keyText(lane, i-1)
		}
		d.Table = append(d.Table, wire.RankRow{Key: separator(before, rm.keyText(lane, i)), Before: uint32(i)})
	}
	return d
}

func (rm *room) keyText(l *lane, i int) string { return rm.places.orderKey(l.waiting.at(i)).String() }

// nextRow is the rank of the row after the one of rank i.
func nextRow(i int) int {
	if i < exactRows {
		return i + 1
	}
	return i * spreadPermille / 1000
}

// separator is the shortest beginning of key that sorts after before: as good a row as the whole key, in a fraction of
// the bytes. before sorts before key.
func separator(before, key string) string {
	for i := range key {
		if i == len(before) || before[i] != key[i] {
			return key[:i+1]
		}
	}
	return key
}

// rates turns the measured wait at an eighth of a lane's line into the two paces that a page multiplies out: chance weighs
// more on short waits, and whoever is nearer has the most use of a true one. The lane moves at its share of the whole; both
// are 0 while nothing can be said.
func (rm *room) rates(l wire.Lane, waiting int64) (low, high int64) {
	share := rm.share(l)
	ahead := max(1, waiting/8)
	if share == 0 || rm.state != wire.RoomOpen {
		return 0, 0
	}
	band, ok := rm.law.Wait(ahead * 1000 / share)
	if !ok || band.High <= 0 {
		return 0, 0
	}
	return ahead * 60_000 / band.High, ahead * 60_000 / max(1, band.Low)
}

// share is what a lane gets of the outflow, per mille, while the lanes that wait now do.
func (rm *room) share(l wire.Lane) int64 {
	heir, unused := wire.LaneTimed, int64(0)
	for _, o := range [...]wire.Lane{wire.LaneInvited, wire.LaneShared, wire.LaneNormal} {
		if o == l || rm.lanes[o].waiting.len() > 0 {
			heir = o
		}
	}
	for o := range rm.lanes {
		if wire.Lane(o) != l && rm.lanes[o].waiting.len() == 0 {
			unused += int64(rm.def.Shares[o])
		}
	}
	if heir == l {
		return int64(rm.def.Shares[l]) + unused
	}
	return int64(rm.def.Shares[l])
}

// nextPoll is how many seconds a page should wait before it looks again.
func (rm *room) nextPoll(c *sale.LogClock) int {
	waiting := 0
	for i := range rm.lanes {
		waiting += rm.lanes[i].waiting.len()
	}
	switch rm.state {
	case wire.RoomOpen:
		// A line longer than a few minutes does not change fast for anybody but its head, who know that they are it.
		return min(2+waiting/2000, 5)
	case wire.RoomEarly:
		if d := rm.def.Opens; d != 0 && d-c.Now < sale.Minute {
			return 3
		}
		return 10
	case wire.RoomPaused, wire.RoomSoldOut:
		return 5
	}
	return 15
}
