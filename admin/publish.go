package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Publisher tells the log about rows: an event or a room exists for the machines once its definition is in the log. All
// of it is idempotent: a crash after the row and before the definition is mended by the next Sweep.
type Publisher struct {
	Store    *store.DB
	Commands *Commander
	Log      *slog.Logger
	Newest   func(room int64) (wire.QueueDocument, bool) // what a room published last; nil if documents are not read
}

// sweepLimit is how many undefined rows of each kind one sweep takes.
const sweepLimit = 100

// Sweep defines what has a row and is not known to the log. One row that cannot be defined keeps none of the others from
// it; the error joins them all.
func (p *Publisher) Sweep(ctx context.Context) error {
	var errs []error
	rooms, err := p.Store.UndefinedRooms(ctx, sweepLimit)
	errs = append(errs, err)
	for _, r := range rooms {
		errs = append(errs, p.Room(ctx, r))
	}
	draws, err := p.Store.UnrevealedDraws(ctx, sweepLimit)
	errs = append(errs, err)
	for i := range draws {
		_, err := p.Reveal(ctx, &draws[i])
		errs = append(errs, err)
	}
	events, err := p.Store.UndefinedEvents(ctx, sweepLimit)
	errs = append(errs, err)
	for i := range events {
		errs = append(errs, p.Event(ctx, &events[i]))
	}
	events, err = p.Store.EventsPartlyDefined(ctx, sweepLimit)
	errs = append(errs, err)
	for i := range events {
		errs = append(errs, p.parts(ctx, &events[i]))
	}
	return errors.Join(errs...)
}

// Define publishes an event by its id.
func (p *Publisher) Define(ctx context.Context, event int64) error {
	e, err := p.Store.LatestEvent(ctx, event)
	if err != nil {
		return err
	}
	return p.Event(ctx, &e)
}

// DefineRoom publishes a room by its id.
func (p *Publisher) DefineRoom(ctx context.Context, room int64) error {
	r, err := p.Store.LatestRoom(ctx, room)
	if err != nil {
		return err
	}
	return p.Room(ctx, r)
}

// Event defines an event and its ticket types.
func (p *Publisher) Event(ctx context.Context, e *store.Event) error {
	// A definition that differs from the row means the log went on by operators' commands: the log is right.
	out, err := p.Commands.Event(ctx, e.Partition, e.ID, 0, eventBody(e))
	if err == nil && out.Kind == wire.KindEventDefined {
		e.ChangedSeq = out.Seq
	}
	if err != nil && !Refused(err, wire.ReasonExists) && !Refused(err, wire.ReasonEventCancelled) {
		return fmt.Errorf("defining event %d: %w", e.ID, err)
	}
	return p.parts(ctx, e)
}

// parts defines what of an event the projection has not seen come back: the limit per card, then ticket types. Without its
// limit nothing goes on sale, since what could be bought before it would not count.
func (p *Publisher) parts(ctx context.Context, e *store.Event) error {
	if known, err := p.cardLimit(ctx, e); err != nil || !known {
		return err
	}
	for _, t := range e.Types {
		if t.ChangedSeq != 0 {
			continue
		}
		if err := p.Type(ctx, e, t); err != nil {
			return err
		}
	}
	return nil
}

// cardLimit tells the log how many bookings one card may pay for, as long as it knows of no such limit. Somebody may have
// changed the event meanwhile, perhaps this very limit: then known is false, and the next sweep reads what came of it.
func (p *Publisher) cardLimit(ctx context.Context, e *store.Event) (known bool, err error) {
	if e.PerCard == 0 || e.PerCardSeq != 0 {
		return true, nil
	}
	_, err = p.Commands.Event(ctx, e.Partition, e.ID, e.ChangedSeq, &wire.SetMethodLimit{PerMethod: uint16(e.PerCard)})
	if Refused(err, wire.ReasonMoved) || Refused(err, wire.ReasonEventCancelled) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("limiting the cards of event %d: %w", e.ID, err)
	}
	return true, nil
}

// Type defines one ticket type of an event that the log knows.
func (p *Publisher) Type(ctx context.Context, e *store.Event, t store.TicketType) error {
	_, err := p.Commands.Event(ctx, e.Partition, e.ID, 0, &wire.DefineType{
		Type: t.Type, Capacity: uint32(t.Capacity), PerUser: uint16(t.PerUser), Default: t.Default, Price: wire.Price(t.Price),
	})
	if err != nil && !Refused(err, wire.ReasonExists) && !Refused(err, wire.ReasonEventCancelled) {
		return fmt.Errorf("defining ticket type %d of event %d: %w", t.Type, e.ID, err)
	}
	return nil
}

func eventBody(e *store.Event) *wire.DefineEvent {
	return &wire.DefineEvent{
		Currency: [3]byte([]byte(e.Currency)), Hold: e.Hold.Microseconds(), Offer: e.Offer.Microseconds(),
		Grace: e.Grace.Microseconds(), Frozen: e.Frozen.Microseconds(), PerUser: uint16(e.PerUser),
		NeedsPass: e.Room != 0, Room: e.Room, RoomPartition: e.RoomPartition,
	}
}

// Room defines a room and notes that the log knows it.
func (p *Publisher) Room(ctx context.Context, r store.Room) error {
	if r.Mode == "draw" && r.Draw.Commitment == [32]byte{} {
		return fmt.Errorf("defining room %d: a draw without a seed", r.ID)
	}
	events, err := p.Store.RoomEvents(ctx, r.ID)
	if err != nil {
		return err
	}
	body := roomBody(&r)
	if len(events) > 0 {
		body.OrdersPart = events[0].Partition
	}
	if _, err := p.Commands.Room(ctx, r.Partition, r.ID, 0, body); err != nil {
		return fmt.Errorf("defining room %d: %w", r.ID, err)
	}
	return p.Store.RoomDefined(ctx, r.ID)
}

func roomBody(r *store.Room) *wire.DefineRoom {
	d := &wire.DefineRoom{
		Opens: micros(r.OpensAt), EarlyFrom: micros(r.EarlyFrom), Ends: micros(r.EndsAt),
		Cap: uint32(r.Cap), PerMinute: uint32(r.PerMinute), Claim: r.Claim.Microseconds(), Grace: r.Grace.Microseconds(),
		Pass: r.Pass.Microseconds(), Late: r.Late.Microseconds(),
	}
	shared, invited, timed := *r.Shares.Shared, *r.Shares.Invited, *r.Shares.Timed
	d.Shares = [wire.Lanes]uint16{
		wire.LaneNormal: uint16(1000 - shared - invited - timed), wire.LaneShared: uint16(shared), wire.LaneInvited: uint16(invited),
		wire.LaneTimed: uint16(timed),
	}
	if r.Mode == "draw" {
		d.Mode, d.DrawCloses, d.Commitment, d.PublicSource = wire.ModeDraw, micros(r.Draw.Closes), r.Draw.Commitment, []byte(r.Draw.Source)
	}
	return d
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
