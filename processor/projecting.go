package processor

import (
	"context"
	"fmt"
	"time"

	"fairgate/internal/follow"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Rows is what one transaction of the projection may write: store.Projection, whose methods say what each does.
type Rows interface {
	EventChanged(f store.Fact, selling, cancelled *bool)
	CardLimit(f store.Fact, most uint16)
	TypeChanged(f store.Fact, kind uint32)
	Price(event int64, kind uint32, price wire.Price)
	Stock(event int64, s wire.Stock)
	Held(f store.Fact, r *wire.Reserved, pass wire.ID)
	Waitlisted(f store.Fact, w *wire.Waitlisted)
	Offered(f store.Fact, r *wire.Reserved)
	Status(f store.Fact, status, reason string)
	Deadline(f store.Fact, deadline, expires int64)
	DeadlinesOfEvent(f store.Fact, by int64)
	Outage(by int64)
	Frozen(f store.Fact, attempt wire.ID, deadline, expires int64)
	Confirmed(f store.Fact, c *wire.Confirmed)
	AttemptRefused(f store.Fact, attempt wire.ID, reason string)
	Capture(f store.Fact, c *wire.Confirmed, intent string)
	TicketsRefunded(f store.Fact, t *wire.TicketsRefunded)
	Revoked(f store.Fact, reason string)
	Oblige(f store.Fact, kind string, payload any) error
	VoidBooking(f store.Fact)
	Notify(f store.Fact, kind string, data any) error
	ChainHead(f store.Fact, chain wire.Hash)
	Answer(f store.Fact, command wire.ID, outcome string, detail any) error
	ForgetAnswers(before time.Time, limit int)
	KnownEvents(ctx context.Context, ids []int64) (map[int64]bool, error)
}

// Projecting decides what the projection of one partition writes, one transaction after the other. It does nothing
// itself: the projector carries out its steps, and so does a simulation of it.
type Projecting struct {
	at      store.Projected
	open    bool // a booking may have been made since the newest chain head
	pruned  int64
	unknown map[int64]bool // events that had no row when they were last looked for
	known   map[int64]bool // have a row
}

// Resume begins, or begins again, where the database stands: what a failover took back is projected once more. What was
// projected before is not known here, so the first tick closes over it again: one chain head too many.
func (p *Projecting) Resume(at store.Projected) {
	*p = Projecting{at: at, open: true, known: map[int64]bool{}, unknown: map[int64]bool{}}
}

// From is where to read the outcomes on.
func (p *Projecting) From() follow.Position {
	return follow.Position{Offset: p.at.NextOffset, Seq: p.at.NextSeq, Hash: p.at.Hash}
}

// Step is one transaction: it moves the projection from one state to the next, and writes what a batch says.
type Step struct {
	From, To store.Projected
	batch    []wire.Outcome
	prune    bool
	open     bool    // after it
	strange  []int64 // events that were found to have no row
	skipped  int     // outcomes about such events
	broken   int     // outcomes in which held + sold + free is not the capacity
	turned   int     // authorisations that the card limit turned away
}

// Plan makes a step of a batch; next is the position after it.
func (p *Projecting) Plan(batch []wire.Outcome, next follow.Position) (*Step, error) {
	to, err := advance(p.at, batch)
	if err != nil {
		return nil, err
	}
	to.NextSeq, to.NextOffset, to.Hash = next.Seq, next.Offset, next.Hash
	return &Step{From: p.at, To: to, batch: batch, prune: to.LogTime-p.pruned >= pruneEvery.Microseconds()}, nil
}

// Write writes a step's rows, within its transaction; it may be called again after a transaction that failed.
func (p *Projecting) Write(ctx context.Context, s *Step, rows Rows) error {
	if err := p.lookUp(ctx, rows, s); err != nil {
		return err
	}
	w := writer{rows: rows, outage: s.From.Outage, open: p.open}
	s.skipped = 0
	for i := range s.batch {
		if !p.mine(&s.batch[i]) {
			s.skipped++
			continue
		}
		if err := w.outcome(&s.batch[i]); err != nil {
			return err
		}
	}
	w.flush()
	s.broken, s.turned, s.open = w.broken, w.turned, w.open
	if s.prune {
		rows.ForgetAnswers(time.UnixMicro(s.To.LogTime).Add(-answersKept), pruneLimit)
	}
	return nil
}

// Written tells that a step's transaction was committed.
func (p *Projecting) Written(s *Step) {
	p.at, p.open = s.To, s.open
	if s.prune {
		p.pruned = s.To.LogTime
	}
}

// advance computes the log time, outage and chain after a batch.
func advance(at store.Projected, batch []wire.Outcome) (store.Projected, error) {
	for i := range batch {
		if batch[i].Kind != wire.KindTicked {
			continue
		}
		var t wire.Ticked
		if err := batch[i].DecodeInto(&t); err != nil {
			return at, fmt.Errorf("outcome %d: %w", batch[i].Seq, err)
		}
		at.LogTime, at.Outage, at.Chain = t.Now, t.Outage, t.Chain[:]
	}
	return at, nil
}

// lookUp learns which of a batch's events have a row. An event is looked for again in every batch until it is found.
func (p *Projecting) lookUp(ctx context.Context, rows Rows, s *Step) error {
	var ask []int64
	for i := range s.batch {
		if id := s.batch[i].Object; id != 0 && !p.known[id] {
			ask = append(ask, id)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	found, err := rows.KnownEvents(ctx, ask)
	if err != nil {
		return err
	}
	if len(p.known) > maxKnown {
		clear(p.known)
	}
	if len(p.unknown) > maxKnown {
		clear(p.unknown)
	}
	for _, id := range ask {
		switch {
		case found[id]:
			p.known[id] = true
		case !p.unknown[id]:
			p.unknown[id] = true
			s.strange = append(s.strange, id)
		}
	}
	return nil
}

// mine says whether an outcome can be written: it is about the whole partition, or its event has a row. The answer to a
// command is kept even if the event is unknown: that is the answer.
func (p *Projecting) mine(o *wire.Outcome) bool {
	return o.Object == 0 || p.known[o.Object] || o.Kind == wire.KindRefused || o.Kind == wire.KindRejected
}
