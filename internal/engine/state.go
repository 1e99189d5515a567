package engine

import (
	"encoding/binary"
	"errors"
	"fmt"

	"fairgate/internal/wire"
)

// coreLayout is the version of the bytes before the machine's own.
const coreLayout = 1

const (
	coreHeaderSize = 1 + 4 + 4 + 4*8 + 4 + 16 + 3*8 + 32 + 8 + 4
	commandSize    = 16 + 16 + 8 + 8 + 8 + 1
)

// Errors of Restore.
var (
	// ErrCode: the snapshot was written by another version of the machine.
	ErrCode = errors.New("snapshot is of another code version")
	// ErrState: the bytes are no snapshot of this partition.
	ErrState = errors.New("snapshot does not make sense")
)

// Snapshot appends the whole state to dst: the same state always gives the same bytes. Layout, little-endian: layout u8,
// machine code u32, partition i32, epoch u64, now, outage, bound i64, behaviour u32, leader [16], next offset i64, seq,
// hash u64, chain [32], offset of the last tick i64, count of commands u32, the commands in the order of their
// heap (id, ref, until i64, offset i64, seq u64, kind u8), then the machine's bytes.
func (c *Core) Snapshot(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, coreLayout)
	dst = le.AppendUint32(dst, c.machine.Code())
	dst = le.AppendUint32(dst, uint32(c.partition))
	dst = le.AppendUint64(dst, c.clock.Epoch)
	for _, v := range []int64{c.clock.Now, c.clock.Outage, c.clock.Bound} {
		dst = le.AppendUint64(dst, uint64(v))
	}
	dst = le.AppendUint32(dst, c.clock.Behaviour)
	dst = append(dst, c.leader[:]...)
	for _, v := range []uint64{uint64(c.next), c.seq, c.hash} {
		dst = le.AppendUint64(dst, v)
	}
	dst = append(dst, c.chain[:]...)
	dst = le.AppendUint64(dst, uint64(c.tickAt))
	dst = c.commands.append(dst)
	return c.machine.Snapshot(dst)
}

// Restore replaces the state of a new Core by a snapshot's. Errors are ErrCode and ErrState, or the machine's; after one
// the Core is not used any more.
func (c *Core) Restore(src []byte) error {
	if len(src) < coreHeaderSize {
		return fmt.Errorf("%w: %d bytes", ErrState, len(src))
	}
	if src[0] != coreLayout {
		return fmt.Errorf("%w: layout %d, this program reads %d", ErrCode, src[0], coreLayout)
	}
	r := reader(src[1:])
	if code := r.u32(); code != c.machine.Code() {
		return fmt.Errorf("%w: %d, this program's is %d", ErrCode, code, c.machine.Code())
	}
	if p := int32(r.u32()); p != c.partition {
		return fmt.Errorf("%w: of partition %d, wanted %d", ErrState, p, c.partition)
	}
	c.clock.Epoch = r.u64()
	c.clock.Now, c.clock.Outage, c.clock.Bound = int64(r.u64()), int64(r.u64()), int64(r.u64())
	c.clock.Behaviour = r.u32()
	copy(c.leader[:], r.take(16))
	c.next, c.seq, c.hash = int64(r.u64()), r.u64(), r.u64()
	copy(c.chain[:], r.take(32))
	c.tickAt = int64(r.u64())
	if c.next < 0 || c.tickAt < -1 || c.tickAt >= c.next || c.seq < uint64(c.next) || c.clock.Now < 0 {
		return fmt.Errorf("%w: offset %d, sequence number %d, time %d", ErrState, c.next, c.seq, c.clock.Now)
	}
	if err := c.commands.read(&r); err != nil {
		return err
	}
	if err := c.machine.Restore(r); err != nil {
		return fmt.Errorf("restoring the machine: %w", err)
	}
	return nil
}

func (m *commands) append(dst []byte) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, uint32(len(m.heap)))
	for _, i := range m.heap {
		s := &m.slots[i]
		dst = append(dst, s.id[:]...)
		dst = append(dst, s.ref[:]...)
		dst = le.AppendUint64(dst, uint64(s.until))
		dst = le.AppendUint64(dst, uint64(s.offset))
		dst = le.AppendUint64(dst, s.seq)
		dst = append(dst, byte(s.kind))
	}
	return dst
}

// read fills an empty memory. The order of the heap is kept, so that the next snapshot has the same bytes wherever it is
// taken.
func (m *commands) read(r *reader) error {
	n := int(r.u32())
	if n > m.most || len(*r) < n*commandSize {
		return fmt.Errorf("%w: %d commands in %d bytes", ErrState, n, len(*r))
	}
	m.index = make(map[wire.ID]int32, n)
	m.slots, m.heap, m.spare = make([]command, n), make([]int32, n), nil
	for i := range m.slots {
		s := &m.slots[i]
		copy(s.id[:], r.take(16))
		copy(s.ref[:], r.take(16))
		s.until, s.offset, s.seq = int64(r.u64()), int64(r.u64()), r.u64()
		s.kind = wire.Kind(r.take(1)[0])
		m.heap[i] = int32(i)
		m.index[s.id] = int32(i)
		if i > 0 && !m.less((i-1)/2, i) {
			return fmt.Errorf("%w: commands out of order", ErrState)
		}
	}
	if len(m.index) != n {
		return fmt.Errorf("%w: a command twice", ErrState)
	}
	return nil
}

// reader walks bytes whose length was checked before.
type reader []byte

func (r *reader) take(n int) []byte {
	b := (*r)[:n]
	*r = (*r)[n:]
	return b
}

func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }
