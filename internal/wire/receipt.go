package wire

import "fmt"

// ReceiptSignature is the length of a receipt's Ed25519 signature in bytes (RFC 8032).
const ReceiptSignature = 64

// MaxTopic is the longest name of a topic, in bytes (Kafka's own limit).
const MaxTopic = 249

// MaxReceipt bounds a receipt with its signature, in bytes.
const MaxReceipt = 2 + 4 + 1 + MaxTopic + 16 + 4 + 8 + 32 + 16 + 8 + 1 + 8 + 8 + ReceiptSignature

// Receipt is what a fan is promised of a booking: which record of which log asked for it, and what the log made of it.
// Layout: version u8, type u8 = 'R', KeyID u32, Topic (length u8, bytes), TopicID [16], Partition i32, Offset i64, Record
// [32], Booking [16], Event i64, Outcome u8, Seq u64, At i64; then the signature over everything before it. It holds
// nothing that depends on when or where it was signed: signed again with the same key it is the same, byte for byte.
type Receipt struct {
	KeyID     uint32
	Topic     []byte // the log's name, prefix included
	TopicID   ID     // its identity: another one once it was deleted and made again; zero where brokers know none
	Partition int32
	Offset    int64 // of the record that asked for the booking
	Record    Hash  // SHA-256 of that record's bytes
	Booking   ID
	Event     int64
	Outcome   Kind   // what came of it: KindHeld or KindWaitlisted
	Seq       uint64 // that outcome's number in the partition
	At        int64  // log time of the outcome, µs
}

func (r *Receipt) fields(c *coder) {
	c.u32(&r.KeyID)
	c.bytes(&r.Topic)
	c.id(&r.TopicID)
	c.i32(&r.Partition)
	c.i64(&r.Offset)
	c.hash(&r.Record)
	c.id(&r.Booking)
	c.i64(&r.Event)
	c.u8((*uint8)(&r.Outcome))
	c.u64(&r.Seq)
	c.i64(&r.At)
}

// Validate says whether the values are such as a receipt has: ErrValue, wrapped, or nil.
func (r *Receipt) Validate() error {
	switch {
	case r.KeyID == 0, len(r.Topic) == 0, len(r.Topic) > MaxTopic, r.Partition < 0, r.Offset < 0, r.Event <= 0, r.Seq == 0, r.At < 0:
		return fmt.Errorf("receipt: %w", ErrValue)
	case r.Outcome != KindHeld && r.Outcome != KindWaitlisted:
		return fmt.Errorf("receipt of outcome kind %d: %w", r.Outcome, ErrValue)
	}
	return nil
}

// AppendReceipt appends the bytes that the signature covers.
func AppendReceipt(dst []byte, r *Receipt) []byte {
	c := coder{buf: append(dst, Version, 'R')}
	r.fields(&c)
	return c.buf
}

// ParseReceipt splits a receipt into its facts, the bytes that the signature covers, and the signature. It checks form
// only: whether the signature is true is asked elsewhere. The errors are ErrShort, ErrLong, ErrVersion, ErrKind and
// ErrValue, wrapped.
func ParseReceipt(b []byte) (r Receipt, signed, signature []byte, err error) {
	switch cut := len(b) - ReceiptSignature; {
	case cut < 2:
		return r, nil, nil, fmt.Errorf("receipt: %w", ErrShort)
	case b[0] != Version:
		return r, nil, nil, fmt.Errorf("receipt: %w", ErrVersion)
	case b[1] != 'R':
		return r, nil, nil, fmt.Errorf("receipt: %w", ErrKind)
	default:
		signed, signature = b[:cut], b[cut:]
	}
	c := coder{buf: signed[2:], decode: true}
	r.fields(&c)
	if err := c.end(); err != nil {
		return Receipt{}, nil, nil, fmt.Errorf("receipt: %w", err)
	}
	if err := r.Validate(); err != nil {
		return Receipt{}, nil, nil, err
	}
	return r, signed, signature, nil
}
