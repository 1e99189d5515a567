package booking

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// cancelBooking is DELETE /booking/{id}, and the same for forms, which know no DELETE: the hold, offer or place on the
// waitlist is given back. Again is no harm.
func (a *API) cancelBooking(ctx *fasthttp.RequestCtx, request context.Context, b store.Booking) error {
	if err := a.sameSite(ctx); err != nil {
		return err
	}
	e, err := a.event(request, b.Event)
	if err != nil {
		return err
	}
	if b.Status == "cancelled" {
		return a.showMade(ctx, request, fasthttp.StatusOK, made{b, &e, nil})
	}
	c := &command{
		name: "cancel", event: &e, ref: wire.ID(b.ID),
		body: &wire.Cancel{UserKey: sale.UserKey(b.User), Reason: wire.ReasonCancelledByUser},
	}
	if c.id, _, err = a.commandID(b.User, e.ID, ""); err != nil {
		return err
	}
	o, err := a.send(request, c)
	if errors.Is(err, errPending) {
		return a.pending(ctx, c.id, e.ID, c.until)
	}
	if err != nil {
		return err
	}
	return a.answerCancel(ctx, request, c, o, b)
}

func (a *API) answerCancel(ctx *fasthttp.RequestCtx, request context.Context, c *command, o wire.Outcome, b store.Booking) error {
	switch o.Kind {
	case wire.KindCancelled:
		known := remembered{Booking: b}
		known.change(o, &wire.Cancelled{Reason: wire.ReasonCancelledByUser})
		return a.showMade(ctx, request, fasthttp.StatusOK, made{known.Booking, c.event, nil})
	case wire.KindRepeated:
		return a.showFirst(ctx, request, c, wire.ID(b.ID))
	case wire.KindRejected:
		var r wire.Rejected
		if err := o.DecodeInto(&r); err != nil {
			return err
		}
		return a.refused(c.event, refusal{reason: r.Reason})
	}
	var r wire.Refused
	if err := o.DecodeInto(&r); err != nil {
		return err
	}
	// It ended otherwise a moment ago: say how.
	now, err := a.load(request, b.ID)
	if err != nil {
		now = b
	}
	return a.refused(c.event, refusal{reason: r.Reason}).With("status", now.Status)
}
