package booking

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"fairgate/internal/answer"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// load returns a booking as it is now: from memory, which hears the log, else from Postgres; store.ErrNotFound if
// neither knows it.
func (a *API) load(ctx context.Context, id sale.UUID) (store.Booking, error) {
	if b, ok := a.recent.booking(wire.ID(id)); ok {
		return b, nil
	}
	return a.deps.Store.Booking(ctx, id)
}

// decided finds out what became of a command: from memory, else from Postgres. errPending: not known (yet).
func (a *API) decided(ctx context.Context, id wire.ID, event int64) (told, error) {
	t, _, err := a.decidedBy(ctx, id, event)
	return t, err
}

func (a *API) decidedBy(ctx context.Context, id wire.ID, event int64) (t told, logTime int64, err error) {
	if t, ok := a.recent.command(id); ok {
		return t, 0, nil
	}
	c, known, logTime, err := a.deps.Store.Command(ctx, id, event)
	if err != nil {
		return told{}, 0, err
	}
	if !known {
		return told{}, logTime, errPending
	}
	t = told{kind: kindNamed(c.Outcome), event: c.Event, booking: wire.ID(c.Booking)}
	if t.kind == wire.KindRefused || t.kind == wire.KindRejected {
		t.refused = refusalOf(c.Detail)
	}
	return t, logTime, nil
}

// kindNamed is the inverse of outcomeName.
func kindNamed(name string) wire.Kind {
	for _, k := range []wire.Kind{wire.KindHeld, wire.KindWaitlisted, wire.KindAlreadyHeld, wire.KindRefused, wire.KindRejected, wire.KindCancelled} {
		if strings.EqualFold(outcomeName(k), name) {
			return k
		}
	}
	return wire.KindRepeated
}

// refusalOf reads a refusal as the projection keeps it.
func refusalOf(detail json.RawMessage) *refusal {
	var d struct {
		Reason string `json:"reason"`
		Lines  []struct {
			TicketType uint32 `json:"ticketType"`
			Asked      uint16 `json:"asked"`
			Left       uint32 `json:"left"`
		} `json:"lines"`
	}
	// A detail of another version still is a refusal, only without its story.
	_ = json.Unmarshal(detail, &d)
	r := &refusal{reason: reasonNamed(d.Reason)}
	for _, l := range d.Lines {
		r.lines = append(r.lines, wire.Shortage{Type: l.TicketType, Asked: l.Asked, Left: l.Left})
	}
	return r
}

func reasonNamed(name string) wire.Reason {
	for r := wire.ReasonNone; r < 64; r++ {
		if r.String() == name {
			return r
		}
	}
	return wire.ReasonNone
}

// showBooking is GET /booking/{id}: a booking by its id, or by the id of the command that asked for it.
func (a *API) showBooking(ctx *fasthttp.RequestCtx) error { return a.fail(ctx, a.tryShow(ctx)) }

func (a *API) tryShow(ctx *fasthttp.RequestCtx) error {
	text, err := web.PathParam(ctx, "id")
	if err != nil {
		return err
	}
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == 16 {
		return a.showCommand(ctx, request, wire.ID(raw))
	}
	b, err := a.named(ctx, request, text)
	if err != nil {
		return err
	}
	return a.show(ctx, request, b)
}

// aboutBooking answers a request about one booking, which the caller may see. The context ends with the request.
type aboutBooking func(*fasthttp.RequestCtx, context.Context, store.Booking) error

// ofBooking is the handler of a path that names a booking: h is given the booking, or the caller what is wrong.
func (a *API) ofBooking(h aboutBooking) web.Handler {
	return func(ctx *fasthttp.RequestCtx) error { return a.fail(ctx, a.tryOfBooking(ctx, h)) }
}

func (a *API) tryOfBooking(ctx *fasthttp.RequestCtx, h aboutBooking) error {
	text, err := web.PathParam(ctx, "id")
	if err != nil {
		return err
	}
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	b, err := a.named(ctx, request, text)
	if err != nil {
		return err
	}
	return h(ctx, request, b)
}

// named loads the booking that a path names, if the caller may see it.
func (a *API) named(ctx *fasthttp.RequestCtx, request context.Context, text string) (store.Booking, error) {
	id, err := sale.ParseUUID(text)
	if err != nil {
		return store.Booking{}, web.BadRequest("id", "the id of a booking (a UUID) or of a command (32 hex digits)")
	}
	c, err := a.who(ctx)
	if err != nil {
		return store.Booking{}, err
	}
	b, err := a.load(request, id)
	if errors.Is(err, store.ErrNotFound) {
		return b, kind(web.NotFound("The address may be mistyped, or the booking is somebody else's."), "unknown-booking", "No such booking")
	}
	if err != nil {
		return b, err
	}
	if !c.may(b.User) {
		return store.Booking{}, web.Forbidden("This booking is another user's.")
	}
	return b, nil
}

func (a *API) show(ctx *fasthttp.RequestCtx, request context.Context, b store.Booking) error {
	e, err := a.events.event(request, b.Event)
	if err != nil {
		e = store.Event{ID: b.Event, Name: "Event " + strconv.FormatInt(b.Event, 10), Currency: b.Currency, Zone: "UTC"}
	}
	view := viewOf(b, &e)
	if b.Status != "waitlisted" {
		s, err := a.deps.Store.Settlement(request, b.ID)
		// What the log told is shown even while Postgres is away.
		if _, heard := a.recent.booking(wire.ID(b.ID)); err != nil && !heard {
			return err
		}
		view.settle(s)
	}
	view.Receipt = a.receiptOf(request, &b)
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	if web.WantsHTML(ctx) {
		return a.bookingPage(ctx, &view, &e, a.headOver(request, &b))
	}
	return web.WriteJSON(ctx, fasthttp.StatusOK, view)
}

// showCommand answers for a command: with its booking, with its refusal, with 202 while it may still be decided, and
// with 404 when it is certain that it had no effect.
func (a *API) showCommand(ctx *fasthttp.RequestCtx, request context.Context, id wire.ID) error {
	q, err := queryOf(ctx, "event", "until")
	if err != nil {
		return err
	}
	event, until, err := a.inFlight(q)
	if err != nil {
		return err
	}
	t, logTime, err := a.decidedBy(request, id, event)
	if errors.Is(err, errPending) {
		if until > 0 && answer.FateAt(until, logTime) == answer.Pending {
			return a.pending(ctx, id, event, until)
		}
		return notTaken()
	}
	if err != nil {
		return err
	}
	if t.refused != nil && t.refused.reason == wire.ReasonExpired {
		return notTaken()
	}
	if t.refused != nil {
		e, err := a.events.event(request, t.event)
		if err != nil {
			return err
		}
		return a.refused(&e, *t.refused)
	}
	b, err := a.named(ctx, request, sale.UUID(t.booking).String())
	if err != nil {
		return err
	}
	ctx.Response.Header.Set("Content-Location", "/booking/"+b.ID.String())
	if web.WantsHTML(ctx) {
		return seeOther(ctx, "/booking/"+b.ID.String())
	}
	return a.show(ctx, request, b)
}

// notTaken: the command had no effect, and never will.
func notTaken() error {
	return kind(web.NotFound("This request was not taken and will not be. Please book again."), "unknown-command", "Not taken")
}

// inFlight reads what the Location of a 202 says: the event, and until when (log time, µs) the command may be decided.
// A caller can lie only to itself, and only about the next moments.
func (a *API) inFlight(q query) (event, until int64, err error) {
	if text := q["event"]; text != "" {
		if event, err = sale.ParseID(text); err != nil {
			return 0, 0, web.BadRequest("event", "the id of an event")
		}
	}
	if text := q["until"]; text != "" {
		until, err = strconv.ParseInt(text, 10, 64)
		if most := a.now().Add(CommandLife).UnixMicro(); err != nil || until < 0 || until > most {
			return 0, 0, web.BadRequest("until", "the instant from a Location header")
		}
	}
	return event, until, nil
}
