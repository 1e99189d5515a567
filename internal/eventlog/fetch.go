package eventlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	// fetchVersion of the Fetch request is the newest that the client library speaks; brokers have it since Kafka 2.3.
	fetchVersion = 11
	// correlation is the id of every request: a connection carries one at a time.
	correlation = 1
	// maxAnswer bounds the answer to a fetch: a broker exceeds MaxBytes by one batch at most.
	maxAnswer = 256 << 20
)

// fetchRequest goes through the client's connections to the partition's leader, and reads the answer itself: the client
// library would take every record apart into objects of its own.
type fetchRequest struct {
	*fetchapi.Request
	client  string
	version int16
}

// Required implements protocol.RawExchanger; versions are what both sides of the connection know.
func (r *fetchRequest) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[protocol.Fetch]
	return true
}

// RawExchange implements protocol.RawExchanger.
func (r *fetchRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if r.version < fetchVersion {
		return nil, fmt.Errorf("the broker speaks version %d of fetch, needed is %d: Kafka 2.8 or newer", r.version, fetchVersion)
	}
	if err := protocol.WriteRequest(rw, fetchVersion, correlation, r.client, r.Request); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxAnswer {
		return nil, fmt.Errorf("fetch answer of %d bytes (at most %d)", size, maxAnswer)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(rw, body); err != nil {
		return nil, err
	}
	return decodeFetch(body)
}

// fetchResponse is what is wanted of the answer about one partition.
type fetchResponse struct {
	code    kafka.Error // 0 is none
	end     int64       // high watermark: the offset after the last record that may be read
	records []byte      // a record set, perhaps cut off
}

// ApiKey implements protocol.Message.
func (*fetchResponse) ApiKey() protocol.ApiKey { return protocol.Fetch }

var errFetch = errors.New("fetch answer cannot be read")

// decodeFetch reads the response header (correlation id) and the answer behind it, which is about one partition.
func decodeFetch(body []byte) (*fetchResponse, error) {
	r := answer{rest: body}
	if id := r.int32(); id != correlation {
		return nil, fmt.Errorf("%w: it answers request %d", errFetch, id)
	}
	r.skip(4) // throttle time
	code := r.int16()
	r.skip(4) // session
	if topics := r.int32(); code == 0 && topics != 1 {
		return nil, fmt.Errorf("%w: %d topics", errFetch, topics)
	} else if code != 0 {
		return &fetchResponse{code: kafka.Error(code)}, r.err
	}
	r.skip(int(r.int16())) // name
	if partitions := r.int32(); partitions != 1 {
		return nil, fmt.Errorf("%w: %d partitions", errFetch, partitions)
	}
	r.skip(4) // partition
	res := &fetchResponse{code: kafka.Error(r.int16()), end: r.int64()}
	r.skip(8 + 8)                       // last stable offset, log start
	r.skip(16 * int(max(0, r.int32()))) // aborted transactions
	r.skip(4)                           // preferred replica
	res.records = r.take(int(max(0, r.int32())))
	return res, r.err
}

// answer walks a response; behind its end everything is zero and err is set.
type answer struct {
	rest []byte
	err  error
}

func (a *answer) take(n int) []byte {
	if n < 0 || n > len(a.rest) {
		a.rest, a.err = nil, errFetch
		return nil
	}
	b := a.rest[:n:n]
	a.rest = a.rest[n:]
	return b
}

func (a *answer) skip(n int) { a.take(n) }

func (a *answer) int16() int16 {
	if b := a.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (a *answer) int32() int32 {
	if b := a.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (a *answer) int64() int64 {
	if b := a.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// fetch makes one call.
func (l *Log) fetch(ctx context.Context, req *fetchRequest) (*fetchResponse, error) {
	res, err := l.transport.RoundTrip(ctx, l.client.Addr, req)
	if err != nil {
		return nil, err
	}
	answer, ok := res.(*fetchResponse)
	if !ok {
		return nil, fmt.Errorf("unexpected answer %T", res)
	}
	return answer, nil
}
