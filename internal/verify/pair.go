package verify

import (
	"context"
	"errors"
	"fmt"

	"fairgate/internal/eventlog"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

// reader reads one partition from an offset to the end that it had when it was opened, or for ever.
type reader struct {
	name    string
	records Records
	at      int64 // offset after the newest in the buffer
	end     int64
	buffer  []eventlog.Record
	lasting bool // there is no end: what is not there yet is waited for, brokers that are away too
}

func openReader(ctx context.Context, from Source, topic string, p int32, offset int64) (*reader, error) {
	first, end, err := from.Bounds(ctx, topic, p)
	if err != nil {
		return nil, fmt.Errorf("looking at %s/%d: %w", topic, p, err)
	}
	if first > offset {
		return nil, fmt.Errorf("%s/%d begins at offset %d: what came before was deleted, and without it nothing can be derived again; "+
			"what follows a snapshot can be checked with --from-snapshot", topic, p, first)
	}
	return &reader{name: fmt.Sprintf("%s/%d", topic, p), records: from.Open(topic, p, offset), at: offset, end: end}, nil
}

func (r *reader) close() { r.records.Close() }

// next is the next record; ok is false at the end.
func (r *reader) next(ctx context.Context) (record eventlog.Record, ok bool, err error) {
	for len(r.buffer) == 0 {
		if r.at >= r.end && !r.lasting {
			return record, false, nil
		}
		r.buffer, err = r.records.Fetch(ctx)
		if err != nil && !(r.lasting && errors.Is(err, ErrUnreachable)) {
			return record, false, fmt.Errorf("reading %s: %w", r.name, err)
		}
		r.at += int64(len(r.buffer))
	}
	record, r.buffer = r.buffer[0], r.buffer[1:]
	return record, r.lasting || record.Offset < r.end, nil
}

// pair reads a log and its outcomes in lockstep. Its memory is bounded by two fetches, one record's outcomes and the
// hashes of the newest outcomes.
type pair struct {
	records  *reader
	outcomes *reader
	waiting  []byte // an outcome of a later record
	seq      uint64
	hashes   []uint64 // of the newest outcomes, a ring by sequence number
}

// maxHashes is how far back a duplicate of an outcome is compared with the first.
const maxHashes = 1 << 16

// step is one record with all its outcomes.
type step struct {
	record   eventlog.Record
	outcomes [][]byte
	findings []model.Finding // about the topic of outcomes itself
	done     bool            // there is no further record with all its outcomes
}

// start is where a pair begins to read: at the first record, or, after a known outcome, at the record that follows.
type start struct {
	record  int64  // offset of the first record
	outcome int64  // offset in the topic of outcomes, at or before that record's first
	seq     uint64 // of the last outcome before that record
}

func openPair(ctx context.Context, from Source, log, outcomes string, p int32, at start) (*pair, error) {
	// The end of the outcomes is looked up first: each of them then has its record.
	o, err := openReader(ctx, from, outcomes, p, at.outcome)
	if err != nil {
		return nil, err
	}
	r, err := openReader(ctx, from, log, p, at.record)
	if err != nil {
		o.close()
		return nil, err
	}
	return &pair{records: r, outcomes: o, seq: at.seq, hashes: make([]uint64, maxHashes)}, nil
}

func (p *pair) close() {
	p.records.close()
	p.outcomes.close()
}

// forever makes next wait for what is not there yet, from now on.
func (p *pair) forever() { p.records.lasting, p.outcomes.lasting = true, true }

// next reads the next record and its outcomes. A record at the end whose outcomes are not all there yet is not returned.
func (p *pair) next(ctx context.Context) (s step, err error) {
	record, ok, err := p.records.next(ctx)
	if err != nil {
		return s, err
	}
	if !ok {
		return p.rest(ctx)
	}
	s.record = record
	for {
		b, err := p.outcome(ctx, &s)
		if err != nil {
			return s, err
		}
		if b == nil {
			s.done = true
			return s, nil
		}
		o, err := wire.ParseOutcome(b)
		if err == nil && o.Offset > record.Offset {
			// This record's are missing or incomplete; the checker says so.
			p.waiting = b
			return s, nil
		}
		s.outcomes = append(s.outcomes, b)
		if err == nil && o.Last || len(s.outcomes) > maxOutcomes {
			return s, nil
		}
	}
}

// maxOutcomes is more than a record may have.
const maxOutcomes = 70_000

// rest looks at what follows the outcomes of the last record: nothing may.
func (p *pair) rest(ctx context.Context) (s step, err error) {
	s.done = true
	b, err := p.outcome(ctx, &s)
	if err == nil && b != nil {
		s.findings = append(s.findings, model.Finding{Invariant: 3, Explain: fmt.Sprintf("outcome number %d has no record", p.seq)})
	}
	return s, err
}

// outcome is the next outcome that was not read before, nil at the end. A batch that a leader sent twice is dropped, if
// it says the same.
func (p *pair) outcome(ctx context.Context, s *step) ([]byte, error) {
	if b := p.waiting; b != nil {
		p.waiting = nil
		return b, nil
	}
	for {
		r, ok, err := p.outcomes.next(ctx)
		if err != nil || !ok {
			return nil, err
		}
		o, err := wire.ParseOutcome(r.Value)
		if err != nil {
			s.findings = append(s.findings, model.Finding{Invariant: 5, Explain: fmt.Sprintf("offset %d cannot be read: %v", r.Offset, err)})
			continue
		}
		if o.Seq > p.seq {
			p.seq = o.Seq
			p.hashes[o.Seq%maxHashes] = o.Hash
			return r.Value, nil
		}
		if known := p.hashes[o.Seq%maxHashes]; p.seq-o.Seq < maxHashes && known != 0 && known != o.Hash {
			s.findings = append(s.findings, model.Finding{Invariant: 5, Explain: fmt.Sprintf(
				"offset %d: outcome number %d was emitted again and says something else: two leaders decided differently", r.Offset, o.Seq)})
		}
	}
}
