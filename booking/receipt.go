package booking

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"fairgate/internal/eventlog"
	"fairgate/internal/receipt"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Limits of receipts.
const (
	maxHashes     = 32_768          // records whose hash is remembered
	maxLogReads   = 16              // records read from the log at once
	logReadWithin = 2 * time.Second // and how long one may take, the wait for its turn included
	logReadBytes  = 64 << 10        // asked of the broker; it gives at least the batch that holds the record
	identityEvery = 30 * time.Second
)

// errNoReceipt: there is no receipt at this moment; the booking stands nevertheless.
var errNoReceipt = errors.New("booking: no receipt at this moment")

// errOtherRecord: the record at a booking's place did not ask for it, so its receipt would be a lie.
var errOtherRecord = errors.New("booking: the log has another record there")

// receipts makes them: from the bytes that this process appended, else from the record in the log.
type receipts struct {
	events *eventlog.Log
	topic  string
	signer *receipt.Signer
	turns  chan struct{} // one for each reader of the log

	mu      sync.Mutex
	topicID wire.ID
	known   bool // topicID was asked for
	hashes  map[place]wire.Hash
	oldest  ring[place]
}

// place is where a record is.
type place struct {
	partition int32
	offset    int64
}

func newReceipts(events *eventlog.Log, topic string, signer *receipt.Signer) *receipts {
	return &receipts{
		events: events, topic: topic, signer: signer, turns: make(chan struct{}, maxLogReads), hashes: make(map[place]wire.Hash),
		oldest: ring[place]{most: maxHashes},
	}
}

// run learns which topic the log is, and stops the process when it has become another: what receipts say of offsets would
// not be true of it.
func (r *receipts) run(ctx context.Context) error {
	for {
		id, err := r.events.TopicID(ctx, r.topic)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("learning the identity of %s: %w", r.topic, err)
		}
		r.mu.Lock()
		was, known := r.topicID, r.known
		r.topicID, r.known = id, true
		r.mu.Unlock()
		if known && was != id {
			return fmt.Errorf("%s: %w: it had id %x and has %x; restore the topic's data, or start over", r.topic, eventlog.ErrRecreated, was, id)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(identityEvery):
		}
	}
}

// ready says whether a receipt could be signed.
func (r *receipts) ready() error {
	if _, ok := r.identity(); !ok {
		return errors.New("the identity of the log was not learnt yet")
	}
	return nil
}

func (r *receipts) identity() (wire.ID, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.topicID, r.known
}

// appended remembers the bytes of a record that this process appended, once its outcome has said where it is.
func (r *receipts) appended(partition int32, offset int64, value []byte) {
	r.remember(place{partition, offset}, sha256.Sum256(value))
}

func (r *receipts) remember(at place, h wire.Hash) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, again := r.hashes[at]; again {
		return
	}
	if gone, full := r.oldest.push(at); full {
		delete(r.hashes, gone)
	}
	r.hashes[at] = h
}

// of signs the receipt of a booking. It is the same whoever signs it and however often. errNoReceipt, wrapped, if the
// log cannot be read in time.
func (r *receipts) of(ctx context.Context, b *store.Booking) (receipt.Signed, error) {
	id, ok := r.identity()
	if !ok {
		return receipt.Signed{}, errNoReceipt
	}
	h, err := r.hash(ctx, b, id)
	if err != nil {
		return receipt.Signed{}, err
	}
	signed, err := r.signer.Sign(wire.Receipt{
		Topic: []byte(r.topic), TopicID: id, Partition: b.Partition, Offset: b.Offset, Record: h, Booking: b.ID, Event: b.Event,
		Outcome: b.FirstKind, Seq: b.FirstSeq, At: b.Created.UnixMicro(),
	})
	if err != nil {
		return signed, fmt.Errorf("%w: %w", errNoReceipt, err)
	}
	return signed, nil
}

func (r *receipts) hash(ctx context.Context, b *store.Booking, topic wire.ID) (wire.Hash, error) {
	at := place{b.Partition, b.Offset}
	r.mu.Lock()
	h, ok := r.hashes[at]
	r.mu.Unlock()
	if ok {
		return h, nil
	}
	value, err := r.read(ctx, at, topic)
	if err != nil {
		return h, fmt.Errorf("%w: %w", errNoReceipt, err)
	}
	record, err := wire.ParseRecord(value)
	if err != nil || record.Kind != wire.KindHold || sale.UUID(record.Ref) != b.ID || record.Object != b.Event {
		return h, fmt.Errorf("%w: %s/%d offset %d", errOtherRecord, r.topic, at.partition, at.offset)
	}
	h = sha256.Sum256(value)
	r.remember(at, h)
	return h, nil
}

// read reads one record of the log.
func (r *receipts) read(ctx context.Context, at place, topic wire.ID) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, logReadWithin)
	defer cancel()
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	tail := r.events.Tail(r.topic, at.partition, at.offset, eventlog.TailConfig{MaxBytes: logReadBytes, TopicID: topic})
	for {
		records, err := tail.Fetch(ctx)
		if err != nil {
			return nil, err
		}
		if len(records) > 0 {
			return records[0].Value, nil
		}
	}
}
