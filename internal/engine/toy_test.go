package engine

import (
	"encoding/binary"
	"errors"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// toy counts records and remembers the sum of their objects; at every tenth tick it also tells the sum. It stands for
// any machine.
type toy struct {
	count, sum, ticks uint64
	code              uint32
}

func (m *toy) Code() uint32 { return m.code + 1 }

func (m *toy) Apply(_ *sale.LogClock, _ int64, r wire.Record, out *wire.Outcomes) {
	var leave wire.Leave
	if err := r.DecodeInto(&leave); err != nil {
		out.Add(&wire.Rejected{Reason: wire.ReasonUnknownKind})
		return
	}
	m.count++
	m.sum += uint64(r.Object)
	out.Add(&wire.Extended{By: int64(m.count)})
	for range r.Object % 3 {
		out.AddFor(r.Object, wire.ID{9}, &wire.Extended{By: int64(m.sum)})
	}
}

func (m *toy) Tick(_ *sale.LogClock, out *wire.Outcomes) {
	m.ticks++
	if m.ticks%10 == 0 {
		out.Add(&wire.Extended{By: int64(m.sum)})
	}
}

func (m *toy) Documents(c *sale.LogClock, each func(object int64, json []byte)) {
	each(1, binary.AppendUvarint([]byte{'{', '}'}, uint64(c.Now)))
}

func (m *toy) Snapshot(dst []byte) []byte {
	for _, v := range []uint64{m.count, m.sum, m.ticks} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	return dst
}

func (m *toy) Restore(src []byte) error {
	if len(src) != 24 {
		return errors.New("toy: not 24 bytes")
	}
	m.count = binary.LittleEndian.Uint64(src)
	m.sum = binary.LittleEndian.Uint64(src[8:])
	m.ticks = binary.LittleEndian.Uint64(src[16:])
	return nil
}

func newToy() *Core { return NewCore(&toy{}, 0) }

func record(h wire.Record, body wire.Body) []byte { return wire.AppendRecord(nil, h, body) }

func order(n byte, object, notAfter int64, flags uint16) []byte {
	return record(wire.Record{Object: object, Ref: wire.ID{1, n}, Command: wire.ID{2, n}, NotAfter: notAfter, Flags: flags}, &wire.Leave{})
}

func epoch(n uint64, leader byte) []byte {
	return record(wire.Record{}, &wire.Epoch{Epoch: n, Leader: wire.ID{leader}})
}

func tickAt(epoch uint64, now int64) []byte {
	return record(wire.Record{}, &wire.Tick{Epoch: epoch, Now: now})
}

// outcomesOf applies one record and returns what it gave.
func outcomesOf(c *Core, value []byte) []wire.Outcome {
	var out wire.Outcomes
	if err := c.Apply(c.Next(), value, &out); err != nil {
		panic(err)
	}
	list := make([]wire.Outcome, out.Len())
	for i := range list {
		o, err := wire.ParseOutcome(out.At(i))
		if err != nil {
			panic(err)
		}
		list[i] = o
	}
	return list
}
