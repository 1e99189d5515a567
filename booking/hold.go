package booking

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// book is POST /booking: a hold, or a place on the waitlist.
func (a *API) book(ctx *fasthttp.RequestCtx) error { return a.fail(ctx, a.tryBook(ctx)) }

func (a *API) tryBook(ctx *fasthttp.RequestCtx) error {
	if err := a.sameSite(ctx); err != nil {
		return err
	}
	var r bookRequest
	if err := web.Decode(ctx, &r); err != nil {
		return err
	}
	user, err := a.acting(ctx, string(r.UserID))
	if err != nil {
		return err
	}
	lines, err := r.lines(isForm(ctx))
	if err != nil {
		return err
	}
	key, err := idempotencyKey(ctx)
	if err != nil {
		return err
	}
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	if err := a.allow(ctx, request, ActionBooking, user); err != nil {
		return err
	}
	e, err := a.event(request, int64(r.EventID))
	if err != nil {
		return err
	}
	admitted, err := a.admit(ctx, &e)
	if err != nil {
		return err
	}
	c, err := a.holdCommand(&e, user, key, admitted, lines, r.Waitlist)
	if err != nil {
		return err
	}
	o, err := a.send(request, c)
	if errors.Is(err, errPending) {
		return a.pending(ctx, c.id, e.ID, c.until)
	}
	if err != nil {
		return err
	}
	return a.answerHold(ctx, request, c, o)
}

// allow asks the guard.
func (a *API) allow(ctx *fasthttp.RequestCtx, request context.Context, action, user string) error {
	if a.deps.Guard == nil {
		return nil
	}
	peer, _ := netip.AddrFromSlice(ctx.RemoteIP())
	allowed, wait, headers := a.deps.Guard.Allow(request, Call{
		Action: action, Peer: peer.Unmap(), User: user,
		Header: func(name string) string { return string(ctx.Request.Header.Peek(name)) },
	})
	for name, value := range headers {
		ctx.Response.Header.Set(name, value)
	}
	if !allowed {
		return web.TooMany(max(wait, retrySoon))
	}
	return nil
}

func (a *API) holdCommand(e *store.Event, user, key string, admitted admission, lines []wire.Line, waitlist bool) (*command, error) {
	id, err := a.newID()
	if err != nil {
		return nil, err
	}
	base, err := a.ticketBase()
	if err != nil {
		return nil, err
	}
	c := &command{name: "hold", event: e, ref: wire.ID(id)}
	if c.id, c.keyed, err = a.commandID(user, e.ID, key); err != nil {
		return nil, err
	}
	c.body = &wire.Hold{
		Subject: []byte(user), UserKey: sale.UserKey(user), TicketBase: wire.ID(base), Pass: admitted.pass,
		PassExpires: admitted.expires, Waitlist: waitlist, Lines: lines,
	}
	return c, nil
}

// answerHold turns the outcome of a Hold into an answer.
func (a *API) answerHold(ctx *fasthttp.RequestCtx, request context.Context, c *command, o wire.Outcome) error {
	body := wire.NewOrderOutcome(o.Kind)
	if body == nil {
		return errors.New("booking: the log answered with an unknown kind")
	}
	if err := o.DecodeInto(body); err != nil {
		return err
	}
	switch b := body.(type) {
	case *wire.Held:
		return a.showMade(ctx, request, fasthttp.StatusCreated, made{heldBooking(o.Partition, o, "held", &b.Reserved), c.event, nil})
	case *wire.Waitlisted:
		return a.showMade(ctx, request, fasthttp.StatusCreated, made{waitingBooking(o.Partition, o, b), c.event, &b.Ahead})
	case *wire.AlreadyHeld:
		return a.showFirst(ctx, request, c, b.Booking)
	case *wire.Repeated:
		return a.answerRepeated(ctx, request, c, b)
	case *wire.Refused:
		return a.refused(c.event, refusal{b.Reason, b.Lines})
	case *wire.Rejected:
		return a.refused(c.event, refusal{reason: b.Reason})
	}
	return errors.New("booking: the log answered a hold with something else")
}

// made is the booking that a command made or meant. ahead is how many were before it on the waitlist.
type made struct {
	store.Booking
	event *store.Event
	ahead *uint32
}

// showMade answers with a booking and its receipt, or for a form with the way to its page.
func (a *API) showMade(ctx *fasthttp.RequestCtx, request context.Context, status int, m made) error {
	location := "/booking/" + m.ID.String()
	if isForm(ctx) {
		return seeOther(ctx, location)
	}
	view := viewOf(m.Booking, m.event)
	view.Ahead = m.ahead
	view.Receipt = a.receiptOf(request, &m.Booking)
	ctx.Response.Header.Set(fasthttp.HeaderLocation, location)
	return web.WriteJSON(ctx, status, view)
}

// seeOther sends a browser to another page after a form.
func seeOther(ctx *fasthttp.RequestCtx, location string) error {
	ctx.SetStatusCode(fasthttp.StatusSeeOther)
	ctx.Response.Header.Set(fasthttp.HeaderLocation, location)
	return nil
}

// showFirst answers with a booking that was there before: 200.
func (a *API) showFirst(ctx *fasthttp.RequestCtx, request context.Context, c *command, id wire.ID) error {
	b, err := a.load(request, sale.UUID(id))
	if errors.Is(err, store.ErrNotFound) {
		// Made before this process listened and not projected yet: a moment.
		return a.pending(ctx, c.id, c.event.ID, c.until)
	}
	if err != nil {
		return err
	}
	return a.showMade(ctx, request, fasthttp.StatusOK, made{b, c.event, nil})
}

// answerRepeated answers a command whose id was decided before with that decision.
func (a *API) answerRepeated(ctx *fasthttp.RequestCtx, request context.Context, c *command, first *wire.Repeated) error {
	t, err := a.decided(request, c.id, c.event.ID)
	if errors.Is(err, errPending) {
		// Not projected yet, but the log itself says what it was.
		t, err = told{kind: first.FirstKind, event: c.event.ID, booking: first.FirstRef}, nil
	}
	if err != nil {
		return err
	}
	switch t.kind {
	case wire.KindHeld, wire.KindWaitlisted, wire.KindAlreadyHeld:
	case wire.KindRefused, wire.KindRejected:
		if t.refused == nil {
			return a.pending(ctx, c.id, c.event.ID, c.until)
		}
		return a.refused(c.event, *t.refused)
	default:
		return otherBody()
	}
	b, err := a.load(request, sale.UUID(t.booking))
	if errors.Is(err, store.ErrNotFound) {
		return a.pending(ctx, c.id, c.event.ID, c.until)
	}
	if err != nil {
		return err
	}
	if hold := c.body.(*wire.Hold); t.kind != wire.KindAlreadyHeld && !asks(hold.Lines, b.Lines, c.event) {
		return otherBody()
	}
	return a.showMade(ctx, request, fasthttp.StatusOK, made{b, c.event, nil})
}

func otherBody() error {
	return kind(web.Unprocessable("Idempotency-Key", "the body that was sent with this key before"), "idempotency-key-reused", "Key used before")
}

// asks says whether a request asks for what a booking has.
func asks(asked []wire.Line, has []store.BookingLine, e *store.Event) bool {
	if len(asked) == 0 {
		t, _ := e.Default()
		asked = []wire.Line{{Type: t.Type, Quantity: 1}}
	}
	return slices.EqualFunc(asked, has, func(l wire.Line, b store.BookingLine) bool {
		return l.Type == b.Type && int(l.Quantity) == b.Quantity
	})
}

// pending answers 202: the command may still be decided. The Location names it, with what is needed to tell later
// whether it still may.
func (a *API) pending(ctx *fasthttp.RequestCtx, id wire.ID, event, until int64) error {
	location := "/booking/" + wire.Hex(id) + "?event=" + strconv.FormatInt(event, 10) + "&until=" + strconv.FormatInt(until, 10)
	ctx.Response.Header.Set(fasthttp.HeaderLocation, location)
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	if web.WantsHTML(ctx) {
		if isForm(ctx) {
			return seeOther(ctx, location)
		}
		return a.pendingPage(ctx, location)
	}
	return web.WriteJSON(ctx, fasthttp.StatusAccepted, struct {
		Status   string    `json:"status"`
		Command  string    `json:"command"`
		Location string    `json:"location"`
		Until    time.Time `json:"until"` // when it will be certain that nothing happened, if nothing has
	}{"pending", wire.Hex(id), location, time.UnixMicro(until).UTC()})
}
