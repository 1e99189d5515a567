package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"
)

const (
	defaultMaxWait  = 200 * time.Millisecond
	defaultMaxBytes = 4 << 20
	// fetchSlack is how long past MaxWait a broker may take to answer.
	fetchSlack = time.Second
	// identityEvery is how often a Tail makes sure that its topic is still
	// the one it began with.
	identityEvery = 5 * time.Second
)

// Record is one record read back.
type Record struct {
	Offset int64
	Value  []byte
}

// TailConfig shapes a Tail; its zero value works.
type TailConfig struct {
	// MaxWait is how long the broker may hold a fetch that has nothing to
	// answer; default 200 ms.
	MaxWait time.Duration
	// MaxBytes is about the most that one Fetch returns; default 4 MiB.
	MaxBytes int
	// TopicID is the identity that the topic must have, as TopicID returned
	// it when the offset was written down. Zero means whichever it has at the
	// first Fetch.
	TopicID [16]byte
}

// Tail reads one partition from an offset on, every record exactly once and
// in order, or says that it cannot. It belongs to one goroutine.
type Tail struct {
	log       *Log
	topic     string
	partition int32
	cfg       TailConfig

	next    int64
	end     int64 // the broker's end of log when last seen, or -1
	checked time.Time
	wait    time.Duration // backoff after the last failure, 0 if it went well
	trouble error         // the last transient failure
	short   time.Time     // since when brokers say that the log ends before next; zero while they do not
	gather  int           // least bytes that an answer should have
	fatal   error         // what ended the Tail
}

// Tail begins at offset from. It connects at the first Fetch.
func (l *Log) Tail(topic string, partition int32, from int64, cfg TailConfig) *Tail {
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = defaultMaxWait
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	return &Tail{log: l, topic: topic, partition: partition, cfg: cfg, next: from, end: -1, gather: 1}
}

// Next is the offset that the next record must have.
func (t *Tail) Next() int64 { return t.next }

// Gather lets the broker wait until it has that many bytes to answer, for MaxWait at most; 1 at first. It is for readers
// who would rather be asked seldom than told soon.
func (t *Tail) Gather(bytes int) { t.gather = min(max(bytes, 1), t.cfg.MaxBytes) }

// End is the offset after the last record that the broker had when it last
// answered, -1 before it has. Next() == End() means caught up.
func (t *Tail) End() int64 { return t.end }

// TopicID is the identity of the topic being read; zero before the first
// successful Fetch, or if the brokers know of none.
func (t *Tail) TopicID() [16]byte { return t.cfg.TopicID }

// Trouble is the failure that Fetch is trying to get over, nil if the last
// answer was good.
func (t *Tail) Trouble() error { return t.trouble }

// Fetch returns the records at Next and after, at most about MaxBytes of
// them, or none if there are none for MaxWait. Values are the caller's to
// keep. Transient failures are tried again here and in later calls; while
// they last Fetch returns nothing after about MaxWait (plus one second if a
// broker hangs) and Trouble says why. An error is the end of ctx, ErrClosed,
// or final: ErrGap, ErrOutOfRange, ErrRecreated, a refused permission.
func (t *Tail) Fetch(ctx context.Context) ([]Record, error) {
	deadline := time.Now().Add(t.cfg.MaxWait)
	for {
		switch {
		case t.fatal != nil:
			return nil, t.fatal
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case t.log.ctx.Err() != nil:
			return nil, ErrClosed
		}
		if t.wait > 0 && !sleep(ctx, t.wait) {
			return nil, ctx.Err()
		}
		records, err := t.fetchOnce(ctx)
		if err == nil {
			t.recovered()
			return records, nil
		}
		if ctx.Err() == nil {
			t.failed(err)
		}
		if t.fatal == nil && time.Now().After(deadline) {
			return nil, ctx.Err()
		}
	}
}

func (t *Tail) recovered() {
	if t.trouble != nil {
		t.log.log.Info("reading from kafka works again", t.where()...)
	}
	t.trouble, t.wait, t.short = nil, 0, time.Time{}
}

func (t *Tail) failed(err error) {
	t.log.metrics.failures.WithLabelValues(t.topic, "read").Inc()
	for _, end := range []error{ErrGap, ErrOutOfRange, ErrRecreated, kafka.TopicAuthorizationFailed} {
		if errors.Is(err, end) {
			t.fatal = fmt.Errorf("reading %s/%d at offset %d: %w", t.topic, t.partition, t.next, err)
			return
		}
	}
	if t.trouble == nil {
		t.log.log.Warn("reading from kafka fails, trying again", append(t.where(), slog.Any("error", err))...)
	}
	t.trouble = err
	t.checked = time.Time{} // whatever it was, the topic may be another now
	t.wait = min(max(2*t.wait, backoffFirst), backoffLast)
}

func (t *Tail) where() []any {
	return []any{slog.String("topic", t.topic), slog.Int("partition", int(t.partition)), slog.Int64("offset", t.next)}
}

func (t *Tail) fetchOnce(ctx context.Context) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.MaxWait+fetchSlack)
	defer cancel()
	if err := t.identify(ctx); err != nil {
		return nil, err
	}
	res, err := t.log.fetch(ctx, t.request())
	if err != nil {
		return nil, err
	}
	if res.code == kafka.OffsetOutOfRange {
		return nil, t.outOfRange(ctx)
	}
	if res.code != 0 {
		return nil, res.code
	}
	t.end = res.end
	return t.drain(res.records)
}

func (t *Tail) request() *fetchRequest {
	most := int32(t.cfg.MaxBytes)
	return &fetchRequest{client: t.log.cfg.ClientID, Request: &fetchapi.Request{
		ReplicaID: -1, MaxWaitTime: int32(t.cfg.MaxWait.Milliseconds()), MinBytes: int32(t.gather), MaxBytes: most,
		SessionID: 0, SessionEpoch: -1, // no session: every request says all
		Topics: []fetchapi.RequestTopic{{Topic: t.topic, Partitions: []fetchapi.RequestPartition{{
			Partition: t.partition, CurrentLeaderEpoch: -1, FetchOffset: t.next, LogStartOffset: -1, PartitionMaxBytes: most,
		}}}},
	}}
}

// identify learns which topic this is, and later that it still is.
func (t *Tail) identify(ctx context.Context) error {
	if time.Since(t.checked) < identityEvery {
		return nil
	}
	id, err := t.log.topicIDOnce(ctx, t.topic)
	if err != nil {
		return err
	}
	if t.cfg.TopicID == ([16]byte{}) {
		t.cfg.TopicID = id
	}
	if id != t.cfg.TopicID {
		return fmt.Errorf("%w: it had id %x and has %x; offsets of the old topic mean nothing here: "+
			"restore the topic's data or start over from an empty state", ErrRecreated, t.cfg.TopicID, id)
	}
	t.checked = time.Now()
	return nil
}

// errShort is ErrOutOfRange while it may be a deposed leader that says so.
var errShort = errors.New("the log ends before the next offset, asking again: a broker that was away may not know yet that it leads no longer")

// outOfRange says which side of the log the offset fell off. Where a log begins only ever rises, so any broker is believed
// about it; where it ends is believed only after LossPatience.
func (t *Tail) outOfRange(ctx context.Context) error {
	t.checked = time.Time{}
	if err := t.identify(ctx); err != nil {
		return err
	}
	first, next, err := t.log.boundsOnce(ctx, t.topic, t.partition)
	switch {
	case err != nil:
		return err
	case t.next < first:
		return fmt.Errorf("%w: the log begins at %d, records before it were deleted: "+
			"start from a snapshot at or after %d, and set retention.ms=-1 on the topic", ErrOutOfRange, first, first)
	case t.next > next && t.unsure():
		return errShort
	case t.next > next:
		return fmt.Errorf("%w: the log ends at %d, so %d records that existed are gone (unclean leader election, "+
			"or a disk restored from an older copy): restore them, or discard every state built on them",
			ErrOutOfRange, next, t.next-next)
	}
	// In between again: a leader that lagged behind its own followers.
	t.short = time.Time{}
	return kafka.OffsetNotAvailable
}

// unsure reports whether brokers have said for less than LossPatience that the log is too short.
func (t *Tail) unsure() bool {
	if t.short.IsZero() {
		t.short = time.Now()
	}
	return time.Since(t.short) < t.log.cfg.LossPatience
}

// drain takes the records out of a fetch answer, whose bytes the values keep, and checks that the offsets are dense. The
// broker may begin before the offset asked for, at the start of the batch that holds it.
func (t *Tail) drain(answer []byte) ([]Record, error) {
	var out []Record
	set := recordSet{rest: answer, next: t.next}
	for {
		b, ok, err := set.nextBatch()
		if err != nil {
			return nil, fmt.Errorf("reading records: %w", err)
		}
		if !ok {
			break
		}
		if out == nil {
			out = make([]Record, 0, b.count+set.likely(b))
		}
		if out, err = b.appendFrom(set.next, out); err != nil {
			return nil, err
		}
		set.next = b.last + 1
	}
	if out == nil && len(set.rest) > 0 {
		return nil, fmt.Errorf("%w: the batch at %d is not all there", errDamaged, set.next)
	}
	size := 0
	for i := range out {
		size += len(out[i].Value)
	}
	t.next = set.next
	t.end = max(t.end, t.next)
	if len(out) > 0 {
		t.log.metrics.read(t.topic, len(out), size)
	}
	return out, nil
}
