package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Kinds of outcomes that both logs share; the engine emits them.
const (
	KindTicked       Kind = 1
	KindEpochStarted Kind = 2
	KindRejected     Kind = 4
	KindRepeated     Kind = 5
	KindExtended     Kind = 6
)

// OutcomeHeaderSize is the length of an outcome's header in bytes.
const OutcomeHeaderSize = 96

// Outcome is the header of every outcome. Layout: version u8, kind u8, index u16, partition i32, Offset i64, Seq u64,
// Hash u64, Object i64, Ref [16], Command [16], At i64, body length u32, flags u32 (bit 0: last of its record), then
// the body. It holds no byte that depends on who emitted it.
type Outcome struct {
	Kind      Kind
	Index     uint16 // among the outcomes of one record, from 0
	Last      bool   // no further outcome of the same record follows
	Partition int32
	Offset    int64  // of the record that caused it
	Seq       uint64 // dense per partition, from 1
	Hash      uint64 // the running hash after this outcome
	Object    int64  // event or room id
	Ref       ID     // booking or token id
	Command   ID     // of the causing command; zero when a tick caused it
	At        int64  // log time, µs
	Body      []byte
}

// ParseOutcome reads a header; Body points into b.
func ParseOutcome(b []byte) (Outcome, error) {
	if len(b) < OutcomeHeaderSize {
		return Outcome{}, fmt.Errorf("outcome header: %w", ErrShort)
	}
	if b[0] != Version {
		return Outcome{}, fmt.Errorf("outcome version %d: %w", b[0], ErrVersion)
	}
	flags := binary.LittleEndian.Uint32(b[92:])
	o := Outcome{
		Kind:      Kind(b[1]),
		Index:     binary.LittleEndian.Uint16(b[2:]),
		Last:      flags&1 == 1,
		Partition: int32(binary.LittleEndian.Uint32(b[4:])),
		Offset:    int64(binary.LittleEndian.Uint64(b[8:])),
		Seq:       binary.LittleEndian.Uint64(b[16:]),
		Hash:      binary.LittleEndian.Uint64(b[24:]),
		Object:    int64(binary.LittleEndian.Uint64(b[32:])),
		Ref:       ID(b[40:56]),
		Command:   ID(b[56:72]),
		At:        int64(binary.LittleEndian.Uint64(b[72:])),
		Body:      b[OutcomeHeaderSize:],
	}
	// Bytes 80..88 are reserved.
	switch n := int(binary.LittleEndian.Uint32(b[88:])); {
	case len(o.Body) < n:
		return Outcome{}, fmt.Errorf("outcome body: %w", ErrShort)
	case len(o.Body) > n:
		return Outcome{}, fmt.Errorf("outcome body: %w", ErrLong)
	}
	if flags&^1 != 0 || binary.LittleEndian.Uint64(b[80:]) != 0 {
		return Outcome{}, fmt.Errorf("outcome header: %w", ErrValue)
	}
	return o, nil
}

// DecodeInto fills body from the outcome's bytes. The kind must be the body's.
func (o *Outcome) DecodeInto(body Body) error {
	if o.Kind != body.Kind() {
		return fmt.Errorf("outcome kind %d: %w", o.Kind, ErrKind)
	}
	if err := decodeBody(body, o.Body); err != nil {
		return fmt.Errorf("outcome kind %d: %w", o.Kind, err)
	}
	return nil
}

// NextHash is the running hash after an outcome: xxHash64 of the hash before it and the outcome's bytes with the hash
// field zero. It is cheap and catches divergence; it does not resist an attacker (the chain does).
func NextHash(before uint64, outcome []byte) uint64 {
	var first [32]byte
	copy(first[:24], outcome[:24])
	binary.LittleEndian.PutUint64(first[24:], before)
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(first[:])
	_, _ = d.Write(outcome[32:])
	return d.Sum64()
}

// seal puts the running hash into an outcome whose hash field is free: NextHash of one that need not stay as it is.
func seal(before uint64, outcome []byte) (after uint64) {
	binary.LittleEndian.PutUint64(outcome[24:], before)
	after = xxhash.Sum64(outcome)
	binary.LittleEndian.PutUint64(outcome[24:], after)
	return after
}

// Outcomes collects the outcomes of records in order and numbers them. The zero value is empty; Begin opens a record,
// Add appends an outcome, End closes the record.
type Outcomes struct {
	Partition int32
	Seq       uint64 // of the last outcome added
	Hash      uint64 // the running hash after it

	buf     []byte
	ends    []int
	offset  int64
	at      int64
	object  int64 // of the open record
	ref     ID
	command ID
	index   uint16
	coder   coder
}

// Reset forgets the collected bytes (their memory is reused) and keeps the numbering.
func (o *Outcomes) Reset() { o.buf, o.ends = o.buf[:0], o.ends[:0] }

// Grow makes room for n more outcomes of size bytes together.
func (o *Outcomes) Grow(n, size int) {
	o.ends, o.buf = slices.Grow(o.ends, n), slices.Grow(o.buf, size)
}

// Room is how many bytes fit without growing.
func (o *Outcomes) Room() int { return cap(o.buf) }

// Size is how many bytes are collected.
func (o *Outcomes) Size() int { return len(o.buf) }

// Len is how many outcomes are collected.
func (o *Outcomes) Len() int { return len(o.ends) }

// At returns the bytes of the i-th collected outcome; they are valid until Reset.
func (o *Outcomes) At(i int) []byte {
	start := 0
	if i > 0 {
		start = o.ends[i-1]
	}
	return o.buf[start:o.ends[i]]
}

// Begin opens the record at an offset, at a log time. The record's object, ref and command are the defaults of Add.
func (o *Outcomes) Begin(offset, at int64, r Record) {
	o.offset, o.at, o.object, o.ref, o.command, o.index = offset, at, r.Object, r.Ref, r.Command, 0
}

// Added is how many outcomes the open record has so far.
func (o *Outcomes) Added() int { return int(o.index) }

// Add appends an outcome of the open record about that record's own object and ref.
func (o *Outcomes) Add(body Body) { o.AddFor(o.object, o.ref, body) }

// AddFor appends an outcome of the open record about another object or ref: a tick that lapses a hold, a cancel that
// makes an offer.
func (o *Outcomes) AddFor(object int64, ref ID, body Body) {
	start := len(o.buf)
	o.Seq++
	h := o.room(OutcomeHeaderSize)
	h[0], h[1] = Version, byte(body.Kind())
	binary.LittleEndian.PutUint16(h[2:], o.index)
	binary.LittleEndian.PutUint32(h[4:], uint32(o.Partition))
	binary.LittleEndian.PutUint64(h[8:], uint64(o.offset))
	binary.LittleEndian.PutUint64(h[16:], o.Seq)
	binary.LittleEndian.PutUint64(h[32:], uint64(object))
	copy(h[40:], ref[:])
	copy(h[56:], o.command[:])
	binary.LittleEndian.PutUint64(h[72:], uint64(o.at))
	binary.LittleEndian.PutUint64(h[80:], 0)
	o.buf = o.coder.append(o.buf, body)
	binary.LittleEndian.PutUint64(o.buf[start+88:], uint64(len(o.buf)-start-OutcomeHeaderSize))
	o.index++
	o.ends = append(o.ends, len(o.buf))
}

// room makes the buffer longer by n bytes, whatever they are.
func (o *Outcomes) room(n int) []byte {
	start := len(o.buf)
	if cap(o.buf)-start < n {
		o.buf = slices.Grow(o.buf, n)
	}
	o.buf = o.buf[:start+n]
	return o.buf[start:]
}

// End closes the open record: it marks its last outcome and fills in the running hashes. Every record has at least one
// outcome; End panics otherwise, because a silent record would break the count that consumers rely on.
func (o *Outcomes) End() {
	if o.index == 0 {
		panic("wire: a record without an outcome")
	}
	first := len(o.ends) - int(o.index)
	for i := first; i < len(o.ends); i++ {
		b := o.At(i)
		if i == len(o.ends)-1 {
			b[92] |= 1
		}
		o.Hash = seal(o.Hash, b)
	}
}

// Ticked is the outcome of a counted tick. Chain closes over every record up to and including the tick.
type Ticked struct {
	Epoch  uint64
	Now    int64
	Bound  int64
	Outage int64 // sum of all outages so far, µs: add it to a deadline in elapsed time
	Chain  Hash
}

// Kind is KindTicked.
func (*Ticked) Kind() Kind { return KindTicked }

func (t *Ticked) fields(c *coder) {
	c.u64(&t.Epoch)
	c.i64(&t.Now)
	c.i64(&t.Bound)
	c.i64(&t.Outage)
	c.hash(&t.Chain)
}

// EpochStarted is the outcome of the first epoch record with a number.
type EpochStarted struct {
	Epoch  uint64
	Leader ID
	Code   uint32
}

// Kind is KindEpochStarted.
func (*EpochStarted) Kind() Kind { return KindEpochStarted }

func (e *EpochStarted) fields(c *coder) { c.u64(&e.Epoch); c.id(&e.Leader); c.u32(&e.Code) }

// Rejected is the outcome of a record that could not be understood or may have no effect.
type Rejected struct {
	Reason Reason
}

// Kind is KindRejected.
func (*Rejected) Kind() Kind { return KindRejected }

func (r *Rejected) fields(c *coder) { c.u8((*uint8)(&r.Reason)) }

// Repeated is the outcome of a command whose id was seen before: it points at the first outcome.
type Repeated struct {
	FirstKind   Kind
	FirstOffset int64
	FirstSeq    uint64
	FirstRef    ID
}

// Kind is KindRepeated.
func (*Repeated) Kind() Kind { return KindRepeated }

func (r *Repeated) fields(c *coder) {
	c.u8((*uint8)(&r.FirstKind))
	c.i64(&r.FirstOffset)
	c.u64(&r.FirstSeq)
	c.id(&r.FirstRef)
}

// Cause says why deadlines moved.
type Cause uint8

// Causes of an extension.
const (
	CauseOutage       Cause = 1 // nothing could be decided
	CausePaymentSlot  Cause = 2 // waiting for a slot at the payment provider
	CausePaymentDown  Cause = 3 // the provider is down
	CauseAuthenticate Cause = 4 // the fan is in 3-D Secure
	CauseOperator     Cause = 5
)

// Extended says that deadlines moved: all of the partition's (Scope 1, Object 0), all of an event's (Scope 1), or one
// booking's (Scope 0). By is how much, Until the new deadline of the one booking.
type Extended struct {
	Scope uint8
	Cause Cause
	By    int64 // µs
	Until int64 // instant, µs; 0 for Scope 1
}

// Kind is KindExtended.
func (*Extended) Kind() Kind { return KindExtended }

func (e *Extended) fields(c *coder) {
	c.u8(&e.Scope)
	c.u8((*uint8)(&e.Cause))
	c.i64(&e.By)
	c.i64(&e.Until)
}
