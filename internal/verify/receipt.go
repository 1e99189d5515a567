package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/receipt"
	"fairgate/internal/wire"
)

// ReceiptConfig says which receipt to check and how.
type ReceiptConfig struct {
	Document receipt.Document
	Keys     receipt.Keys // public keys of whoever may have signed it
	Prefix   string       // before the names of topics
	Whole    bool         // follow the chain from the log's first record instead of from the tick before the booking
}

// ReceiptResult is what a check found. It is true of the log if Wrong is empty.
type ReceiptResult struct {
	Passed []string `json:"passed"`          // what was checked, in order
	Wrong  string   `json:"wrong,omitempty"` // the first thing that is not as the receipt says
	Story  string   `json:"story,omitempty"` // what the log says of the booking, from its record on
}

// ErrUncheckable: what a check needs is not in the source: deleted, or not copied.
var ErrUncheckable = errors.New("cannot be checked here")

// CheckReceipt checks a receipt: its signature, the record it names, what the log made of it, and the chain that closes
// over it. An error means that something could not be read (ErrUnreachable, ErrUncheckable, ErrDump), not that the
// receipt is wrong.
func CheckReceipt(ctx context.Context, cfg ReceiptConfig, from Source) (ReceiptResult, error) {
	c := &receiptCheck{cfg: cfg, from: from, r: cfg.Document.Receipt}
	c.result.Passed = []string{}
	for _, step := range []func(context.Context) error{c.signature, c.topic, c.record, c.outcome, c.chain, c.story} {
		err := step(ctx)
		var wrong wrongReceipt
		if errors.As(err, &wrong) {
			c.result.Wrong = string(wrong)
			return c.result, nil
		}
		if err != nil {
			return c.result, fmt.Errorf("checking a receipt: %w", err)
		}
	}
	return c.result, nil
}

// wrongReceipt ends a check: the receipt does not hold.
type wrongReceipt string

func (w wrongReceipt) Error() string { return string(w) }

func wrongf(format string, args ...any) error { return wrongReceipt(fmt.Sprintf(format, args...)) }

// receiptCheck is one check, step by step; each step rests on those before it.
type receiptCheck struct {
	cfg    ReceiptConfig
	from   Source
	r      receipt.Signed
	end    int64 // of the log
	value  []byte
	at     int64  // offset in the topic of outcomes of the booking's first outcome
	before anchor // the tick before the booking
	after  anchor // the first tick after it
	result ReceiptResult
}

// anchor is a known head of the chain.
type anchor struct {
	known  bool
	offset int64 // of the record that it closes over last
	chain  wire.Hash
}

func (c *receiptCheck) passed(format string, args ...any) {
	c.result.Passed = append(c.result.Passed, fmt.Sprintf(format, args...))
}

func (c *receiptCheck) log() string { return string(c.r.Topic) }

func (c *receiptCheck) signature(context.Context) error {
	err := c.cfg.Keys.Check(&c.r)
	switch {
	case errors.Is(err, receipt.ErrNoKey):
		return wrongf("signature bad: it names key %d, which is none of the shop's: the receipt is forged, or the key was withdrawn", c.r.KeyID)
	case err != nil:
		return wrongf("signature bad: key %d did not sign these facts: the receipt is forged or was changed", c.r.KeyID)
	}
	c.passed("the signature is that of key %d over these facts", c.r.KeyID)
	return nil
}

// topic checks that the log is the one that the receipt means, and has the record still.
func (c *receiptCheck) topic(ctx context.Context) error {
	if c.log() != c.cfg.Prefix+wire.TopicOrders {
		return wrongf("the receipt is of the log %q, and this is %q", c.log(), c.cfg.Prefix+wire.TopicOrders)
	}
	id, err := c.from.TopicID(ctx, c.log())
	if err != nil {
		return err
	}
	if id != c.r.TopicID && id != (wire.ID{}) && c.r.TopicID != (wire.ID{}) {
		return wrongf("topic recreated: the log %s has the identity %x, the receipt is of %x: the log that it is of was deleted", c.log(), id, c.r.TopicID)
	}
	first, end, err := c.from.Bounds(ctx, c.log(), c.r.Partition)
	switch {
	case err != nil:
		return err
	case c.r.Offset < first:
		return fmt.Errorf("%w: %s/%d begins at record %d, and record %d was deleted or archived", ErrUncheckable, c.log(), c.r.Partition, first, c.r.Offset)
	case c.r.Offset >= end && !c.from.Grows():
		return fmt.Errorf("%w: the dump ends before record %d", ErrUncheckable, c.r.Offset)
	case c.r.Offset >= end:
		return wrongf("record missing: %s/%d ends at record %d, and the receipt is of record %d: records that existed are gone", c.log(), c.r.Partition, end-1, c.r.Offset)
	}
	c.end = end
	return nil
}

// record compares the record in the log with what was signed.
func (c *receiptCheck) record(ctx context.Context) error {
	err := eachRecord(ctx, c.from, c.log(), c.r.Partition, c.r.Offset, c.r.Offset+1, func(r eventlog.Record) (bool, error) {
		c.value = r.Value
		return false, nil
	})
	if err != nil {
		return err
	}
	t := newTeller(wire.TopicOrders)
	if got := sha256.Sum256(c.value); got != c.r.Record {
		return wrongf("record differs: record %d has the hash %x, the receipt says %x; the record there says: %s", c.r.Offset, got, c.r.Record, t.record(c.value))
	}
	r, err := wire.ParseRecord(c.value)
	if err != nil || r.Kind != wire.KindHold || r.Ref != c.r.Booking || r.Object != c.r.Event {
		return wrongf("record differs: record %d is not the request of %s: it says: %s", c.r.Offset, bookingName(c.r.Booking), t.record(c.value))
	}
	c.passed("record %d of %s/%d is the one that was signed: %s", c.r.Offset, c.log(), c.r.Partition, t.record(c.value))
	return nil
}

// outcome finds what the log made of the record, and the ticks around it.
func (c *receiptCheck) outcome(ctx context.Context) error {
	topic := c.cfg.Prefix + wire.TopicOutcomes
	_, end, err := c.from.Bounds(ctx, topic, c.r.Partition)
	if err != nil {
		return err
	}
	// Duplicates only move an outcome farther back, so number n is never before offset n-1.
	const window = 4_096
	for back := int64(window); ; back *= 8 {
		begin := max(0, int64(c.r.Seq)-1-back)
		found, err := c.outcomesFrom(ctx, topic, begin, end)
		if err != nil {
			return err
		}
		if found == nil {
			return wrongf("outcome missing: the log says nothing under number %d", c.r.Seq)
		}
		if c.before.known || begin == 0 {
			return c.sameOutcome(*found)
		}
	}
}

// outcomesFrom reads outcomes until the first tick after the booking's, and returns the booking's.
func (c *receiptCheck) outcomesFrom(ctx context.Context, topic string, begin, end int64) (found *wire.Outcome, err error) {
	var newest uint64
	err = eachRecord(ctx, c.from, topic, c.r.Partition, begin, end, func(raw eventlog.Record) (bool, error) {
		o, err := wire.ParseOutcome(raw.Value)
		if err != nil || o.Seq <= newest {
			return true, nil // the whole verification says what is wrong with those
		}
		newest = o.Seq
		if o.Seq == c.r.Seq {
			o.Body = bytes.Clone(o.Body)
			found, c.at = &o, raw.Offset
			return true, nil
		}
		var tick wire.Ticked
		if o.Kind != wire.KindTicked || o.DecodeInto(&tick) != nil {
			return true, nil
		}
		at := anchor{true, o.Offset, tick.Chain}
		if o.Seq < c.r.Seq {
			c.before = at
			return true, nil
		}
		if found != nil {
			c.after = at
		}
		return false, nil
	})
	return found, err
}

func (c *receiptCheck) sameOutcome(o wire.Outcome) error {
	text := newTeller(wire.TopicOrders).outcome(o)
	switch {
	case o.Offset != c.r.Offset, o.Ref != c.r.Booking, o.Object != c.r.Event:
		return wrongf("outcome differs: number %d is about another request (record %d): %s", o.Seq, o.Offset, text)
	case o.Kind != c.r.Outcome:
		return wrongf("outcome differs: the receipt says %s, the log says: %s", receipt.Outcome(c.r.Outcome), text)
	case o.At != c.r.At:
		return wrongf("outcome differs: the receipt dates it %s, the log %s", when(c.r.At), when(o.At))
	}
	c.passed("outcome %d says what the receipt says: %s", o.Seq, text)
	return nil
}

// chain follows the chain from a known head to the tick that closes over the booking, and to the receipt's own head.
func (c *receiptCheck) chain(ctx context.Context) error {
	from := c.before
	if c.cfg.Whole || !from.known {
		from = anchor{offset: -1} // 32 zero bytes before the first record
	}
	own := c.cfg.Document.Chain
	until := c.after.offset
	if own != nil {
		if own.Offset <= c.r.Offset {
			return wrongf("chain differs: the receipt's head is at record %d, which does not close over record %d", own.Offset, c.r.Offset)
		}
		until = max(until, own.Offset)
	}
	switch {
	case own != nil && own.Offset >= c.end && !c.from.Grows():
		return fmt.Errorf("%w: the dump ends before record %d, where the receipt's head is", ErrUncheckable, own.Offset)
	case own != nil && own.Offset >= c.end:
		return wrongf("record missing: the log ends at record %d, and the receipt's head is at record %d", c.end-1, own.Offset)
	case until == 0:
		c.passed("no tick has closed over it yet: ask again in a second")
		return nil
	}
	head := from.chain
	err := eachRecord(ctx, c.from, c.log(), c.r.Partition, from.offset+1, until+1, func(r eventlog.Record) (bool, error) {
		head = wire.NextChain(head, r.Offset, r.Value)
		return true, c.heads(r.Offset, head, from.offset)
	})
	return err
}

// heads compares the chain after a record with the heads that are known there.
func (c *receiptCheck) heads(offset int64, head wire.Hash, from int64) error {
	since := fmt.Sprintf("from the tick at record %d", from)
	if from < 0 {
		since = "from the log's first record"
	}
	if c.before.known && offset == c.before.offset && head != c.before.chain {
		return wrongf("chain differs: the records up to the tick at %d give %x, the log published %x", offset, head, c.before.chain)
	}
	if c.after.known && offset == c.after.offset {
		if head != c.after.chain {
			return wrongf("chain differs: the records %s to the tick at %d give %x, the log published %x: a record was changed", since, offset, head, c.after.chain)
		}
		c.passed("the chain %s to the tick at record %d is unbroken: %x…", since, offset, head[:8])
	}
	if own := c.cfg.Document.Chain; own != nil && offset == own.Offset {
		if head != own.Chain {
			return wrongf("chain differs: the log gives %x at record %d, the receipt's head is %x: the log was rewritten after the receipt was given", head, offset, own.Chain)
		}
		c.passed("the head on the receipt is the log's: %x… at record %d", head[:8], offset)
	}
	return nil
}

// story tells what the log says of the booking from its record on.
func (c *receiptCheck) story(ctx context.Context) error {
	var b bytes.Buffer
	s := Story{
		Log: wire.TopicOrders, Prefix: c.cfg.Prefix, Partition: c.r.Partition, Ref: c.r.Booking,
		from: start{record: c.r.Offset, outcome: c.at, seq: c.r.Seq - 1},
	}
	_, err := Replay(ctx, c.from, s, &b)
	c.result.Story = b.String()
	return err
}

// eachRecord calls do for the records from one offset to before another, until do says false or fails.
func eachRecord(ctx context.Context, from Source, topic string, partition int32, begin, end int64, do func(eventlog.Record) (bool, error)) error {
	records := from.Open(topic, partition, begin)
	defer records.Close()
	for at := begin; at < end; {
		batch, err := records.Fetch(ctx)
		if err != nil {
			return fmt.Errorf("reading %s/%d: %w", topic, partition, err)
		}
		for _, r := range batch {
			if at = r.Offset + 1; r.Offset >= end {
				return nil
			}
			if more, err := do(r); err != nil || !more {
				return err
			}
		}
	}
	return nil
}
