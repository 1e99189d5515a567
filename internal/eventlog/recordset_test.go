package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
)

// theirs is a record set as the client library writes it, and how it reads ours.
func theirs(t testing.TB, base int64, codec compress.Compression, values ...[]byte) []byte {
	t.Helper()
	var records []protocol.Record
	for i, v := range values {
		records = append(records, protocol.Record{
			Key: protocol.NewBytes([]byte("key")), Value: protocol.NewBytes(v),
			Headers: []protocol.Header{{Key: "header", Value: fmt.Append(nil, i)}},
		})
	}
	set := protocol.RecordSet{Version: 2, Attributes: protocol.Attributes(codec), Records: protocol.NewRecordReader(records...)}
	var buf bytes.Buffer
	if _, err := set.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()[4:]
	binary.BigEndian.PutUint64(b, uint64(base)) // as the broker does; the checksum does not cover it
	return b
}

func ours(base int64, values ...[]byte) []byte {
	b := appendRecordSet(nil, values, 1_800_000_000_000)
	binary.BigEndian.PutUint64(b, uint64(base))
	return b
}

// read takes everything out of a set.
func read(set []byte, next int64) (out []Record, err error) {
	s := recordSet{rest: set, next: next}
	for {
		b, ok, err := s.nextBatch()
		if err != nil || !ok {
			return out, err
		}
		if out, err = b.appendFrom(s.next, out); err != nil {
			return nil, err
		}
		s.next = b.last + 1
	}
}

func sizes() (values [][]byte) {
	for _, n := range []int{0, 1, 50, 63, 64, 65, 8_180, 8_192, 100_000} {
		values = append(values, bytes.Repeat([]byte{byte(n)}, n))
	}
	for i := range 300 { // offset deltas of one, two and three bytes
		values = append(values, fmt.Append(nil, i))
	}
	return values
}

func TestRecordSet_TheClientLibraryReadsOurs(t *testing.T) {
	want := sizes()
	set := binary.BigEndian.AppendUint32(nil, 0)
	set = append(set, ours(5, want...)...)
	binary.BigEndian.PutUint32(set, uint32(len(set)-4))
	var got protocol.RecordSet
	if _, err := got.ReadFrom(bytes.NewReader(set)); err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		r, err := got.Records.ReadRecord()
		if err != nil {
			t.Fatal(err)
		}
		value, err := protocol.ReadAll(r.Value)
		if err != nil || !bytes.Equal(value, w) || r.Offset != int64(5+i) || r.Key != nil || len(r.Headers) != 0 || r.Time.UnixMilli() != 1_800_000_000_000 {
			t.Fatalf("record %d: offset %d, key %v, %d headers, %v, %v", i, r.Offset, r.Key, len(r.Headers), r.Time, err)
		}
	}
	if _, err := got.Records.ReadRecord(); !errors.Is(err, io.EOF) {
		t.Fatalf("more than was written: %v", err)
	}
}

func TestRecordSet_ReadsWhatAnyProducerWrote(t *testing.T) {
	want := sizes()
	for _, codec := range []compress.Compression{compress.None, compress.Gzip, compress.Snappy, compress.Lz4, compress.Zstd} {
		got, err := read(append(theirs(t, 7, codec, want...), ours(7+int64(len(want)), want...)...), 7)
		if err != nil || len(got) != 2*len(want) {
			t.Fatalf("%v: %d records, %v", codec, len(got), err)
		}
		for i, r := range got {
			if r.Offset != int64(7+i) || !bytes.Equal(r.Value, want[i%len(want)]) || cap(r.Value) != len(r.Value) {
				t.Fatalf("%v: record %d at %d is not what was written", codec, i, r.Offset)
			}
		}
	}
}

// numbered are n values.
func some(n int) (values [][]byte) {
	for i := range n {
		values = append(values, fmt.Append(nil, i))
	}
	return values
}

func TestRecordSet_AnAnswerMayBeCutOffAnywhere(t *testing.T) {
	set := append(ours(0, some(10)...), ours(10, some(10)...)...)
	for n := range len(set) + 1 {
		got, err := read(set[:n], 0)
		if want := 10 * (2 * n / len(set)); err != nil || len(got) != want {
			t.Fatalf("%d of %d bytes: %d records, %v", n, len(set), len(got), err)
		}
	}
}

func TestRecordSet_DamageIsNoticed(t *testing.T) {
	set := ours(0, some(10)...)
	for i := range set {
		if i < batchMagic {
			continue // base offset, length and leader epoch are the broker's
		}
		set[i] ^= 0x10
		if got, err := read(set, 0); !errors.Is(err, errDamaged) {
			t.Fatalf("byte %d: %d records, %v", i, len(got), err)
		}
		set[i] ^= 0x10
	}
}

// FuzzRecordSet damages a set and puts its checksum right again, so that every decoder behind it is reached.
func FuzzRecordSet(f *testing.F) {
	f.Add(ours(0, some(3)...), int64(0))
	f.Add(ours(5, []byte{}, make([]byte, 200)), int64(6))
	f.Add(theirs(f, 2, compress.None, some(3)...), int64(2))
	f.Add(theirs(f, 2, compress.Lz4, some(3)...), int64(2))
	f.Add(theirs(f, 2, compress.Zstd, some(3)...), int64(2))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, set []byte, next int64) {
		set = bytes.Clone(set)
		mend(set)
		got, err := read(set, next)
		if err != nil && !errors.Is(err, errDamaged) && !errors.Is(err, ErrGap) {
			t.Fatalf("unclassified: %v", err)
		}
		for i, r := range got {
			if r.Offset != next+int64(i) {
				t.Fatalf("record %d has offset %d, asked was from %d", i, r.Offset, next)
			}
		}
	})
}

func mend(set []byte) {
	for len(set) >= batchHeader {
		n := int64(binary.BigEndian.Uint32(set[batchLength:])) + behindLength
		if n < batchHeader || n > int64(len(set)) {
			return
		}
		set[batchMagic] = magic
		binary.BigEndian.PutUint32(set[batchCRC:], checksum(set[batchAttributes:n]))
		set = set[n:]
	}
}

func FuzzDecodeFetch(f *testing.F) {
	f.Add(fetchAnswer(0, 12, ours(0, some(3)...)))
	f.Add(fetchAnswer(1, -1, nil))
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		res, err := decodeFetch(body)
		if err == nil && len(res.records) > len(body) {
			t.Fatal("more records than bytes")
		}
	})
}

// fetchAnswer is a broker's answer, version 11, about one partition.
func fetchAnswer(code int16, end int64, set []byte) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, correlation)
	b = append(b, make([]byte, 4+2+4)...) // throttle, code, session
	b = be.AppendUint32(b, 1)
	b = append(be.AppendUint16(b, 1), 't')
	b = be.AppendUint32(b, 1)
	b = be.AppendUint32(b, 0)
	b = be.AppendUint16(b, uint16(code))
	b = be.AppendUint64(b, uint64(end))
	b = append(b, make([]byte, 8+8)...)
	b = be.AppendUint32(b, 1<<32-1)
	b = be.AppendUint32(b, 1<<32-1)
	return append(be.AppendUint32(b, uint32(len(set))), set...)
}

func TestDecodeFetch_TellsCodeEndAndRecords(t *testing.T) {
	set := ours(3, some(2)...)
	res, err := decodeFetch(fetchAnswer(0, 5, set))
	if err != nil || res.code != 0 || res.end != 5 || !bytes.Equal(res.records, set) {
		t.Fatalf("%+v, %v", res, err)
	}
	whole := fetchAnswer(6, -1, nil)
	if res, err = decodeFetch(whole); err != nil || res.code != 6 || len(res.records) != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	for n := range whole {
		if _, err := decodeFetch(whole[:n]); !errors.Is(err, errFetch) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}
