package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/segmentio/kafka-go/compress"
)

// The bytes of a Kafka record batch (magic 2) that this package cares about: base offset i64, length i32 of what follows,
// leader epoch i32, magic i8, CRC-32C u32 of what follows, attributes i16, last offset delta i32, first and last
// timestamp i64, producer id i64, producer epoch i16, base sequence i32, count of records i32, the records.
// kafka.apache.org/documentation/#recordbatch
const (
	batchLength     = 8
	batchMagic      = 16
	batchCRC        = 17
	batchAttributes = 21
	batchLastDelta  = 23
	batchTimes      = 27
	batchProducer   = 43
	batchCount      = 57
	batchHeader     = 61

	magic = 2
	// behindLength is where what batchLength counts begins.
	behindLength = 12
	// minRecord is the shortest record: seven bytes that are each a short varint or an attribute.
	minRecord = 7

	attributeCodec   = 0x07
	attributeControl = 0x20

	// maxInflated bounds what a compressed batch may grow to.
	maxInflated = 64 << 20
)

// errDamaged: the broker's bytes are no record set.
var errDamaged = errors.New("damaged record set")

// checksum is CRC-32C; the table is the library's own, made once.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// appendRecordSet appends one record batch with these values, without keys or headers, all of the time now (Unix
// milliseconds): what a produce call carries.
func appendRecordSet(dst []byte, values [][]byte, now int64) []byte {
	be := binary.BigEndian
	start := len(dst)
	dst = append(dst, make([]byte, batchHeader)...)
	for i, v := range values {
		delta := uint64(i) << 1 // zigzag
		size := 6 + uvarintSize(delta) - 1 + uvarintSize(uint64(len(v))<<1) - 1 + len(v)
		dst = binary.AppendUvarint(dst, uint64(size)<<1)
		dst = append(dst, 0, 0) // attributes, timestamp delta
		dst = binary.AppendUvarint(dst, delta)
		dst = append(dst, 1) // a key of length -1 is none
		dst = binary.AppendUvarint(dst, uint64(len(v))<<1)
		dst = append(dst, v...)
		dst = append(dst, 0) // headers
	}
	b := dst[start:]
	be.PutUint32(b[batchLength:], uint32(len(b)-behindLength))
	be.PutUint32(b[behindLength:], 1<<32-1) // leader epoch: the broker's to say
	b[batchMagic] = magic
	be.PutUint32(b[batchLastDelta:], uint32(len(values)-1))
	be.PutUint64(b[batchTimes:], uint64(now))
	be.PutUint64(b[batchTimes+8:], uint64(now))
	for i := batchProducer; i < batchCount; i++ {
		b[i] = 0xff // no idempotent producer: id, epoch and sequence are -1
	}
	be.PutUint32(b[batchCount:], uint32(len(values)))
	be.PutUint32(b[batchCRC:], checksum(b[batchAttributes:]))
	return dst
}

func uvarintSize(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// recordSet walks the batches of a fetch answer.
type recordSet struct {
	rest []byte
	next int64 // the offset that the next record returned must have
}

// batch is one record batch whose checksum was right.
type batch struct {
	base  int64
	last  int64 // offset of its last record, whether or not it is still there
	count int
	body  []byte // the records, not compressed
	// control says that its records are a transaction's markers, which the broker wrote and which take offsets.
	control bool
}

// nextBatch returns the next batch that holds offset next or later; ok is false at the end. A broker cuts the answer off
// where it is full, so a batch that is not all there is the end.
func (s *recordSet) nextBatch() (b batch, ok bool, err error) {
	be := binary.BigEndian
	for len(s.rest) > batchMagic {
		if s.rest[batchMagic] != magic {
			return b, false, fmt.Errorf("%w: message format %d, want %d", errDamaged, s.rest[batchMagic], magic)
		}
		n := int64(be.Uint32(s.rest[batchLength:])) + behindLength
		if n < batchHeader {
			return b, false, fmt.Errorf("%w: a batch of %d bytes", errDamaged, n)
		}
		if int64(len(s.rest)) < n {
			return b, false, nil
		}
		raw := s.rest[:n]
		s.rest = s.rest[n:]
		b.base = int64(be.Uint64(raw))
		b.last = b.base + int64(be.Uint32(raw[batchLastDelta:]))
		if b.last < s.next {
			continue
		}
		b.count = int(int32(be.Uint32(raw[batchCount:])))
		err = b.open(raw)
		return b, err == nil, err
	}
	return b, false, nil
}

// open checks the batch and inflates its records.
func (b *batch) open(raw []byte) error {
	be := binary.BigEndian
	if sum := checksum(raw[batchAttributes:]); sum != be.Uint32(raw[batchCRC:]) {
		return fmt.Errorf("%w: checksum of the batch at %d does not match", errDamaged, b.base)
	}
	attributes := be.Uint16(raw[batchAttributes:])
	b.control = attributes&attributeControl != 0
	b.body = raw[batchHeader:]
	if codec := compress.Compression(attributes & attributeCodec); codec != compress.None {
		var err error
		if b.body, err = inflate(codec, b.body); err != nil {
			return fmt.Errorf("%w: inflating the batch at %d: %w", errDamaged, b.base, err)
		}
	}
	if b.base < 0 || b.last < b.base || b.count < 0 || b.count > len(b.body)/minRecord {
		return fmt.Errorf("%w: a batch of %d records in %d bytes at %d to %d", errDamaged, b.count, len(b.body), b.base, b.last)
	}
	return nil
}

func inflate(c compress.Compression, body []byte) ([]byte, error) {
	codec := c.Codec()
	if codec == nil {
		return nil, fmt.Errorf("unknown codec %d", c)
	}
	r := codec.NewReader(&sliceReader{body})
	defer r.Close()
	plain, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err == nil && len(plain) > maxInflated {
		err = fmt.Errorf("more than %d bytes", maxInflated)
	}
	return plain, err
}

type sliceReader struct{ rest []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// record takes the next record off a batch's body: its offset delta and its value, which stays where it is.
func record(body []byte) (delta int64, value, rest []byte, err error) {
	size, n := binary.Varint(body)
	if n <= 0 || size < 1 || size > int64(len(body)-n) {
		return 0, nil, nil, errRecord
	}
	rest = body[n+int(size):]
	b := body[n+1 : n+int(size)] // behind the attributes, which mean nothing
	if _, n = binary.Varint(b); n <= 0 {
		return 0, nil, nil, errRecord
	}
	b = b[n:] // the timestamp delta: never a clock
	if delta, n = binary.Varint(b); n <= 0 {
		return 0, nil, nil, errRecord
	}
	if b, _, err = field(b[n:]); err != nil { // the key
		return 0, nil, nil, err
	}
	_, value, err = field(b) // headers, if any, are skipped
	return delta, value, rest, err
}

var errRecord = fmt.Errorf("%w: a record cannot be read", errDamaged)

// field takes bytes behind their length off b; a negative length is none.
func field(b []byte) (rest, value []byte, err error) {
	size, n := binary.Varint(b)
	if n <= 0 || size > int64(len(b)-n) {
		return nil, nil, errRecord
	}
	b = b[n:]
	if size < 0 {
		return b, nil, nil
	}
	return b[size:], b[:size:size], nil
}

// appendFrom appends the batch's records from offset next on. None may be missing: then the topic is not what it was. The
// marker of a stranger's transaction is a record without bytes, so that it takes its offset and means nothing.
func (b *batch) appendFrom(next int64, out []Record) ([]Record, error) {
	gap := func(at int64) error {
		return fmt.Errorf("%w: offset %d follows %d; the topic is compacted or damaged: it needs cleanup.policy=delete", ErrGap, at, next-1)
	}
	rest := b.body
	for range b.count {
		delta, value, behind, err := record(rest)
		if err != nil {
			return nil, fmt.Errorf("reading records of the batch at %d: %w", b.base, err)
		}
		rest = behind
		at := b.base + delta
		if at < next {
			continue
		}
		if at > next {
			return nil, gap(at)
		}
		if b.control {
			value = nil
		}
		out = append(out, Record{Offset: at, Value: value})
		next++
	}
	if next != b.last+1 {
		return nil, gap(b.last + 1)
	}
	return out, nil
}

// likely is how many records to expect behind b, if batches are alike.
func (s *recordSet) likely(b batch) int {
	return b.count * len(s.rest) / (len(b.body) + batchHeader)
}
