package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"fairgate/internal/table"
	"fairgate/internal/wire"
)

// coreLayout is the version of the bytes before the machine's own.
const coreLayout = 2

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
// machine code u32, partition i32, epoch u64, now, outage, bound i64, code of the leader's machine u32, leader [16], next
// offset i64, seq, hash u64, chain [32], offset of the last tick i64, count of commands u32, the commands by day and sequence number
// (id, ref, until i64, offset i64, seq u64, kind u8), then the machine's bytes.
func (c *Core) Snapshot(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, coreLayout)
	dst = le.AppendUint32(dst, c.machine.Code())
	dst = le.AppendUint32(dst, uint32(c.partition))
	dst = le.AppendUint64(dst, c.clock.Epoch)
	for _, v := range []int64{c.clock.Now, c.clock.Outage, c.clock.Bound} {
		dst = le.AppendUint64(dst, uint64(v))
	}
	dst = le.AppendUint32(dst, c.clock.Code)
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
	c.clock.Code = r.u32()
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
	dst = binary.LittleEndian.AppendUint32(dst, uint32(m.len()))
	dst = slices.Grow(dst, m.len()*commandSize)
	m.each(func(c *command) {
		var b [commandSize]byte
		copy(b[0:], c.id[:])
		copy(b[16:], c.ref[:])
		binary.LittleEndian.PutUint64(b[32:], uint64(c.until))
		binary.LittleEndian.PutUint64(b[40:], uint64(c.offset))
		binary.LittleEndian.PutUint64(b[48:], c.seq)
		b[56] = byte(c.kind)
		dst = append(dst, b[:]...)
	})
	return dst
}

// read fills an empty memory. The order is the one of append, so that the next snapshot has the same bytes wherever it
// is taken.
func (m *commands) read(r *reader) error {
	n := int(r.u32())
	if n > m.most || len(*r) < n*commandSize {
		return fmt.Errorf("%w: %d commands in %d bytes", ErrState, n, len(*r))
	}
	var day int64
	var seq uint64
	for i := range n {
		if far := 2 * ahead * commandSize; len(*r) >= far+16 {
			m.index.Prefetch(table.KeyOf(wire.ID((*r)[far : far+16])))
		}
		c := command{id: wire.ID(r.take(16)), ref: wire.ID(r.take(16)), until: int64(r.u64()), offset: int64(r.u64()), seq: r.u64()}
		c.kind = wire.Kind(r.take(1)[0])
		if d := c.until >> dayBits; i > 0 && (d < day || d == day && c.seq <= seq) {
			return fmt.Errorf("%w: commands out of order", ErrState)
		}
		if m.find(c.id) != nil {
			return fmt.Errorf("%w: a command twice", ErrState)
		}
		day, seq = c.until>>dayBits, c.seq
		m.remember(&c)
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
