package eventlog

import (
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// What may be known of a record whose append did not succeed. Every error of
// Append, AppendAsync and AppendBatch is one of the first two by errors.Is.
var (
	// ErrNotAppended: the record is surely not in the log and never will be
	// through this call.
	ErrNotAppended = errors.New("not appended")
	// ErrUnknown: the record may be in the log, or may still get there.
	ErrUnknown = errors.New("may have been appended")

	// ErrExpired: notAfter passed before the record was sent.
	ErrExpired = fmt.Errorf("record expired before it was sent: %w", ErrNotAppended)
	// ErrFull: too much waits for this partition; try again shortly.
	ErrFull = fmt.Errorf("append queue is full: %w", ErrNotAppended)
	// ErrTooLarge: the value or batch exceeds MaxValueBytes, MaxBatchBytes
	// or MaxBatchRecords.
	ErrTooLarge = fmt.Errorf("too large for one produce call: %w", ErrNotAppended)
	// ErrClosed: the log was closed.
	ErrClosed = fmt.Errorf("event log is closed: %w", ErrNotAppended)
)

// What ends a Tail for good.
var (
	// ErrGap: the broker answered an offset that does not follow the last.
	ErrGap = errors.New("gap in the log")
	// ErrOutOfRange: the next offset lies outside what the log still has.
	ErrOutOfRange = errors.New("offset out of range")
	// ErrRecreated: the topic was deleted and made again; its offsets mean
	// other records now.
	ErrRecreated = errors.New("topic was recreated")
)

// ErrTopicMismatch: an existing topic is not safe to use as it is.
var ErrTopicMismatch = errors.New("topic does not fit")

// errSealed aborts an encoding that begins after the caller has been told
// that nothing was sent.
var errSealed = errors.New("request was given up before it was sent")

// fate says what a failed produce call means for its records.
type fate int

const (
	unknown   fate = iota // may be in the log
	unsent                // surely not; trying again may help
	forbidden             // surely not; trying again cannot help
)

// produceFate classifies the broker's answer. NotLeader is deliberately
// unknown: a leader deposed while it waits for its followers answers so
// although the new leader may have the record. A broker that has appended
// but lacks replicas, or timed out waiting for them, is unknown too.
func produceFate(err error) fate {
	var code kafka.Error
	if !errors.As(err, &code) {
		return unknown
	}
	switch code {
	case kafka.NotEnoughReplicas, kafka.ThrottlingQuotaExceeded:
		return unsent
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidMessage, kafka.InvalidMessageSize,
		kafka.InvalidRecord, kafka.InvalidTopic, kafka.InvalidRequiredAcks, kafka.InvalidTimestamp,
		kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.UnsupportedVersion,
		kafka.UnsupportedForMessageFormat, kafka.UnsupportedCompressionType, kafka.PolicyViolation:
		return forbidden
	}
	return unknown
}

// failed wraps the cause of a failed append in what is known of the record.
func failed(f fate, cause error) error {
	if f == unknown {
		return fmt.Errorf("%w: %w", ErrUnknown, cause)
	}
	return fmt.Errorf("%w: %w", ErrNotAppended, cause)
}
