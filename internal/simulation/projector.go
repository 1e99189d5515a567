package simulation

import (
	"context"
	"errors"
	"fmt"

	"fairgate/internal/follow"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/processor"
)

const (
	backoffFirst   = 50 * sale.Millisecond
	backoffLast    = 2 * sale.Second
	projectorStill = 500 * sale.Millisecond
)

// projector is processor.Projector without its goroutine: it carries out what processor.Projecting decides.
type projector struct {
	process
	does   processor.Projecting
	cursor follow.Cursor
	from   int64 // to be fetched next
}

func newProjector(w *world, i int) *projector {
	p := &projector{process: process{w: w, name: fmt.Sprintf("projector%d", i)}}
	p.boot()
	return p
}

func (p *projector) boot() {
	p.alive = true
	p.resume()
}

func (p *projector) crash(length int64) {
	if !p.alive {
		return
	}
	p.w.say("%s is killed", p.name)
	p.die()
	p.w.after(length, p.boot)
}

var positionKey = key{table: tablePosition}

func (pg *postgres) projected() store.Projected {
	at, ok := pg.rows[positionKey].(store.Projected)
	if !ok {
		at.NextSeq = 1
	}
	return at
}

// read asks where the projection stands, until it is told.
func (p *projector) read(wait int64, then func(at store.Projected)) {
	var at store.Projected
	p.w.postgres.call(&p.process, nil, func() { at = p.w.postgres.projected() }, func(err error) {
		if err != nil {
			p.after(wait, func() { p.read(min(2*wait, backoffLast), then) })
			return
		}
		then(at)
	})
}

// resume begins where the database stands.
func (p *projector) resume() {
	p.read(backoffFirst, func(at store.Projected) {
		p.does.Resume(at)
		from := p.does.From()
		p.w.say("%s goes on from outcome %d", p.name, from.Seq)
		p.cursor, p.from = follow.NewCursor(from), from.Offset
		p.follow()
	})
}

func (p *projector) follow() {
	p.w.broker.fetch(&p.process, p.w.broker.outcomes, p.from, p.w.shape.batch, func(f fetched) {
		p.from += int64(len(f.records))
		var batch []wire.Outcome
		for _, r := range f.records {
			o, fresh, err := p.cursor.Accept(r.Offset, r.Value)
			if err != nil {
				p.w.fail("%s cannot go on: %v", p.name, err)
			}
			if fresh {
				batch = append(batch, o)
			}
		}
		if len(batch) == 0 {
			p.follow()
			return
		}
		step, err := p.does.Plan(batch, p.cursor.Position())
		if err != nil {
			p.w.fail("%s: %v", p.name, err)
		}
		p.write(step, backoffFirst)
	})
}

// write makes the step's transaction, again after a failure: the first may have been committed.
func (p *projector) write(step *processor.Step, wait int64) {
	var moved error
	p.w.postgres.call(&p.process, nil, func() { moved = p.transact(step) }, func(err error) {
		switch {
		case err != nil:
			p.after(wait, func() { p.write(step, min(2*wait, backoffLast)) })
		case errors.Is(moved, store.ErrProjectionMoved):
			p.w.say("%s finds the projection moved", p.name)
			p.standBy(0)
		default:
			p.does.Written(step)
			p.follow()
		}
	})
}

// transact is store.Project: all of it or nothing.
func (p *projector) transact(step *processor.Step) error {
	pg := p.w.postgres
	if at := pg.projected(); !at.Stands(step.From) {
		return store.ErrProjectionMoved
	}
	pg.set(positionKey, step.To)
	if err := p.does.Write(context.Background(), step, rows{pg}); err != nil {
		p.w.fail("%s: %v", p.name, err)
	}
	p.w.audit.projected(step.To)
	return nil
}

// standBy waits until nobody else moves the projection.
func (p *projector) standBy(before uint64) {
	p.read(backoffFirst, func(at store.Projected) {
		if at.NextSeq == before {
			p.resume()
			return
		}
		p.after(projectorStill, func() { p.standBy(at.NextSeq) })
	})
}
