package admin

import (
	"context"
	"fmt"
	"io"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// newSeed draws the secret of a room's draw. From here it goes into the store and, when nobody can join the draw any
// more, into the log; never into an answer, an audit or a log line.
func (a *Admin) newSeed() (conf.Secret, error) {
	b := make([]byte, store.SeedSize)
	if _, err := io.ReadFull(a.deps.Random, b); err != nil {
		return "", fmt.Errorf("drawing a seed: %w", err)
	}
	return conf.Secret(b), nil
}

// reveal takes the public value of a draw and publishes it with the seed. The value is kept first: what a crash or an
// outage holds up, the next sweep does.
func (a *Admin) reveal(ctx context.Context, c *call) (deed, error) {
	var b struct {
		PublicValue string `json:"publicValue"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	r, err := a.room(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	if p := a.mayNotReveal(&r); p != nil {
		return deed{}, p
	}
	done, err := a.audited(ctx, c.who, "reveal-draw", roomObject(r.ID), b, func() (result, error) {
		given, err := a.deps.Store.GiveDrawPublic(ctx, r.ID, b.PublicValue)
		if err != nil {
			return result{}, err
		}
		if !given {
			return result{}, alreadyRevealed()
		}
		r.Draw.Public = b.PublicValue
		seq, err := a.publish.Reveal(ctx, &r)
		if err == nil && seq == 0 {
			return result{said: "The public value is kept. Seed and value are published as soon as nobody can join the draw any more."}, nil
		}
		return result{seq: seq, said: "The draw's seed and public value were published."}, err
	})
	done.back = fmt.Sprintf("/rooms/%d", r.ID)
	if err == nil && c.form {
		a.awaitDocument(ctx, r.ID)
	}
	return done, err
}

func alreadyRevealed() *web.Problem {
	return kind(web.Conflict("The seed and the public value of this draw are published, for good."), "revealed", "Published already")
}

// mayNotReveal says why a public value cannot be given. One that exists while somebody could still join the draw would
// let who knows the seed choose a winner, so it is not even kept.
func (a *Admin) mayNotReveal(r *store.Room) *web.Problem {
	if r.Mode != "draw" {
		return kind(web.Conflict("This room serves first come, first served: it has nothing to reveal."), "no-draw", "No draw")
	}
	doc, known := a.documents.newest(r.ID)
	switch {
	case r.Draw.Revealed, known && doc.Seed != "":
		return alreadyRevealed()
	case known && doc.State == wire.RoomEnded.String():
		return kind(web.Conflict("The room has ended: nothing is drawn any more."), "ended", "Over")
	}
	now, _ := a.deps.Commands.RoomTime()
	if from := r.Draw.Opens(r.Late); time.UnixMicro(now).Before(from) {
		return kind(web.Conflict("Somebody could still join the draw. Its public value must not exist before "+
			from.UTC().Format(time.RFC3339)+"."), "draw-open", "The draw is not closed yet").With("from", from.UTC())
	}
	return nil
}

// mayNotOpen says what an order to open lacks: a draw is held by opening, so its seed and public value must be known.
func (a *Admin) mayNotOpen(r *store.Room) *web.Problem {
	doc, known := a.documents.newest(r.ID)
	if r.Mode != "draw" || r.Draw.Revealed || !known || doc.Seed != "" {
		return nil
	}
	return kind(web.Conflict("This room draws lots among early arrivals. Give the draw's public value first: then it can open."),
		"not-revealed", "The draw is not revealed yet")
}

// Reveal publishes the seed of a room's draw with the public value that was given, and notes that the log has them. It
// returns the number of the outcome, 0 if the log does not take them yet: then the sweep tries again.
func (p *Publisher) Reveal(ctx context.Context, r *store.Room) (uint64, error) {
	seed, err := p.Store.DrawSeed(ctx, r.ID)
	if err != nil {
		return 0, err
	}
	body := &wire.Reveal{Seed: wire.Hash([]byte(seed.Reveal())), Public: []byte(r.Draw.Public)}
	out, err := p.Commands.Room(ctx, r.Partition, r.ID, 0, body)
	switch {
	case Refused(err, wire.ReasonWrongState):
		// Too early, since outages prolong the draw; or a crash came between the log and the row.
		return 0, p.noteRevealed(ctx, r)
	case err != nil:
		return 0, fmt.Errorf("revealing the draw of room %d: %w", r.ID, err)
	}
	return out.Seq, p.Store.DrawRevealed(ctx, r.ID, r.Draw.Public)
}

// noteRevealed takes over what the room itself says it was told.
func (p *Publisher) noteRevealed(ctx context.Context, r *store.Room) error {
	if p.Newest == nil {
		return nil
	}
	doc, ok := p.Newest(r.ID)
	if !ok || doc.Seed == "" {
		return nil
	}
	return p.Store.DrawRevealed(ctx, r.ID, doc.Public)
}
