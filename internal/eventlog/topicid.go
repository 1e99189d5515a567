package eventlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// topicIDVersion of the Metadata request is the first that answers with
	// topic ids (Kafka 2.8, KIP-516); the client library stops at 8.
	topicIDVersion = 10
	// maxMetadataBytes bounds the answer about one topic.
	maxMetadataBytes = 16 << 20
)

// TopicID returns the identity of topic: another one after it was deleted and
// made again, while its name and offsets may look the same. Transient errors
// are tried again until ctx ends.
func (l *Log) TopicID(ctx context.Context, topic string) (id [16]byte, err error) {
	err = l.retry(ctx, func(ctx context.Context) error {
		id, err = l.topicIDOnce(ctx, topic)
		return err
	})
	if err != nil {
		return id, fmt.Errorf("topic id of %s: %w", topic, err)
	}
	return id, nil
}

func (l *Log) topicIDOnce(ctx context.Context, topic string) ([16]byte, error) {
	res, err := l.transport.RoundTrip(ctx, l.client.Addr, &topicIDRequest{client: l.cfg.ClientID, topic: topic})
	if err != nil {
		return [16]byte{}, err
	}
	answer, ok := res.(*topicIDResponse)
	if !ok {
		return [16]byte{}, fmt.Errorf("unexpected answer %T", res)
	}
	return answer.id, nil
}

// topicIDRequest goes through the client's connections (TLS and SASL
// included) but brings its own bytes, as protocol.RawExchanger allows.
type topicIDRequest struct{ client, topic string }

type topicIDResponse struct{ id [16]byte }

func (*topicIDRequest) ApiKey() protocol.ApiKey  { return protocol.Metadata }
func (*topicIDResponse) ApiKey() protocol.ApiKey { return protocol.Metadata }

func (*topicIDRequest) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange implements protocol.RawExchanger.
func (r *topicIDRequest) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if _, err := rw.Write(r.encode()); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMetadataBytes {
		return nil, fmt.Errorf("metadata answer of %d bytes (at most %d)", size, maxMetadataBytes)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(rw, body); err != nil {
		return nil, err
	}
	return decodeTopicID(body, r.topic)
}

func (r *topicIDRequest) encode() []byte {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = topicIDVersion
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(r.topic)
	req.Topics = append(req.Topics, topic)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(r.client)).AppendRequest(nil, req, 1)
}

// decodeTopicID reads the response header (correlation id, tagged fields) and
// the answer behind it.
func decodeTopicID(body []byte, topic string) (*topicIDResponse, error) {
	if len(body) < 5 {
		return nil, errors.New("metadata answer is too short")
	}
	if body[4] != 0 {
		return nil, errors.New("metadata answer has unknown header fields")
	}
	res := kmsg.NewPtrMetadataResponse()
	res.Version = topicIDVersion
	if err := res.ReadFrom(body[5:]); err != nil {
		return nil, fmt.Errorf("decoding metadata answer: %w", err)
	}
	for _, t := range res.Topics {
		if t.Topic == nil || *t.Topic != topic {
			continue
		}
		if t.ErrorCode != 0 && t.ErrorCode != int16(kafka.LeaderNotAvailable) {
			return nil, kafka.Error(t.ErrorCode)
		}
		return &topicIDResponse{id: t.TopicID}, nil
	}
	return nil, kafka.UnknownTopicOrPartition
}
