package wire

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Kinds of records that both logs share; the engine handles them.
const (
	KindEpoch Kind = 1
	KindTick  Kind = 2
)

// RecordHeaderSize is the length of a record's header in bytes.
const RecordHeaderSize = 72

// bodyUsually is room for the bodies that fans' commands mostly have.
const bodyUsually = 88

// MaxRecord is the longest record either log accepts, in bytes.
const MaxRecord = 4096

// FlagKeyed marks a command whose id derives from a caller's Idempotency-Key: it is remembered for KeyedMemory after
// its not-after instead of being forgotten then.
const FlagKeyed uint16 = 1

// KeyedMemory is how long, in microseconds of log time, a keyed command's first outcome is remembered (24 h).
const KeyedMemory int64 = 24 * 3600 * 1_000_000

// Record is the header of every log record. Layout: version u8, kind u8, flags u16, body length u32, Object i64, Ref
// [16], Command [16], NotAfter i64, After u64, reserved u64 = 0, then the body.
type Record struct {
	Kind     Kind
	Flags    uint16
	Object   int64  // event id in orders, room id in queue; 0 for the whole partition
	Ref      ID     // booking id in orders, token id in queue; zero where there is none
	Command  ID     // the command's id; zero for ticks, epochs and commands that are idempotent by state
	NotAfter int64  // log time, µs, after which the command has no effect; 0 for none
	After    uint64 // operator commands: sequence number of the object's last change; refused if it moved; 0 for any
	Body     []byte
}

// AppendRecord appends the record with this header and body to dst; h.Kind and h.Body are taken from body.
func AppendRecord(dst []byte, h Record, body Body) []byte {
	start := len(dst)
	dst = slices.Grow(dst, RecordHeaderSize+bodyUsually)
	dst = append(dst, Version, byte(body.Kind()))
	dst = binary.LittleEndian.AppendUint16(dst, h.Flags)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Object))
	dst = append(dst, h.Ref[:]...)
	dst = append(dst, h.Command[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.NotAfter))
	dst = binary.LittleEndian.AppendUint64(dst, h.After)
	dst = binary.LittleEndian.AppendUint64(dst, 0)
	dst = appendBody(dst, body)
	binary.LittleEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-RecordHeaderSize))
	return dst
}

// ParseRecord reads a header; Body points into b. It returns ErrShort, ErrLong, ErrVersion or ErrValue, wrapped.
func ParseRecord(b []byte) (Record, error) {
	var r Record
	err := r.Parse(b)
	return r, err
}

// Parse is ParseRecord into memory that the caller has. After an error the record is zero.
func (r *Record) Parse(b []byte) error {
	if err := r.parse(b); err != nil {
		*r = Record{}
		return err
	}
	return nil
}

func (r *Record) parse(b []byte) error {
	if len(b) < RecordHeaderSize {
		return fmt.Errorf("record header: %w", ErrShort)
	}
	if b[0] != Version {
		return fmt.Errorf("record version %d: %w", b[0], ErrVersion)
	}
	r.Kind = Kind(b[1])
	r.Flags = binary.LittleEndian.Uint16(b[2:])
	r.Object = int64(binary.LittleEndian.Uint64(b[8:]))
	r.Ref, r.Command = ID(b[16:32]), ID(b[32:48])
	r.NotAfter = int64(binary.LittleEndian.Uint64(b[48:]))
	r.After = binary.LittleEndian.Uint64(b[56:])
	r.Body = b[RecordHeaderSize:]
	switch n := int(binary.LittleEndian.Uint32(b[4:])); {
	case len(r.Body) < n:
		return fmt.Errorf("record body: %w", ErrShort)
	case len(r.Body) > n || len(b) > MaxRecord:
		return fmt.Errorf("record body: %w", ErrLong)
	}
	if r.Flags&^FlagKeyed != 0 || binary.LittleEndian.Uint64(b[64:]) != 0 || r.NotAfter < 0 || r.Object < 0 {
		return fmt.Errorf("record header: %w", ErrValue)
	}
	return nil
}

// DecodeInto fills body from the record's bytes. The kind must be the body's.
func (r *Record) DecodeInto(body Body) error {
	if r.Kind != body.Kind() {
		return fmt.Errorf("record kind %d: %w", r.Kind, ErrKind)
	}
	if err := decodeBody(body, r.Body); err != nil {
		return fmt.Errorf("record kind %d: %w", r.Kind, err)
	}
	return nil
}

// Epoch opens a leader's term. The first epoch record with a number decides whose term it is: its Leader id.
type Epoch struct {
	Epoch  uint64
	Leader ID     // random, of the process that appended it
	Code   uint32 // version of the leader's machine, whose rules count from here on
}

// Kind is KindEpoch.
func (*Epoch) Kind() Kind { return KindEpoch }

func (e *Epoch) fields(c *coder) { c.u64(&e.Epoch); c.id(&e.Leader); c.u32(&e.Code) }

// Tick moves log time. Only ticks of the current epoch count.
type Tick struct {
	Epoch uint64
	Now   int64 // the leader's room time, µs
	Bound int64 // its published error bound, µs
}

// Kind is KindTick.
func (*Tick) Kind() Kind { return KindTick }

func (t *Tick) fields(c *coder) { c.u64(&t.Epoch); c.i64(&t.Now); c.i64(&t.Bound) }
