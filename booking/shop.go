package booking

import (
	"context"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/receipt"
	"fairgate/internal/store"
	"fairgate/internal/web"
)

// home is GET /: the list of events with its search.
func (a *API) home(ctx *fasthttp.RequestCtx) error {
	views, next, err := a.findEvents(ctx)
	if err != nil {
		return a.fail(ctx, err)
	}
	args := ctx.QueryArgs()
	data := struct {
		Search, From, To, Next string
		Events                 []eventView
	}{Search: string(args.Peek("search")), From: string(args.Peek("start_date")), To: string(args.Peek("end_date")), Events: views}
	if next != "" {
		args.Set("cursor", next)
		data.Next = "/?" + string(args.QueryString())
	}
	return a.render(ctx, fasthttp.StatusOK, "home", "Events", data)
}

// eventPage shows one event and how to get in.
func (a *API) eventPage(ctx *fasthttp.RequestCtx, e *store.Event) error {
	detail := a.eventDetail(e)
	_, err := a.admit(ctx, e)
	return a.render(ctx, fasthttp.StatusOK, "event", e.Name, struct {
		eventDetail
		Admitted bool // a pass is there, or none is needed
		Most     int  // tickets that a form offers per type
	}{detail, err == nil, mostTickets(e)})
}

// mostTickets is how many tickets of a type the page offers.
func mostTickets(e *store.Event) int {
	const most = 8
	if e.PerUser > 0 && e.PerUser < most {
		return e.PerUser
	}
	return most
}

// bookingPage shows a booking, what can be done with it, and its receipt with the head that closes over it, if any yet.
func (a *API) bookingPage(ctx *fasthttp.RequestCtx, v *bookingView, e *store.Event, head *receipt.Head) error {
	live := v.Status == "held" || v.Status == "offered"
	paying := v.Payment != nil && (v.Payment.Status == "authorised" || v.Payment.Status == "confirmed")
	payable := v.open() && !paying
	refund := a.refundOffer(v, e)
	data := struct {
		*bookingView
		Refund   *refundOffer // what the fan may give back; nil for nothing
		Event    *store.Event
		Head     heading
		Paper    *paper // the receipt; nil at this moment
		Payable  bool
		Declined bool // the visitor comes back from a payment that did not go through
		Other    bool // another card is needed: the last one has paid for as many bookings as one may
		Returned bool // the hold can be given back
	}{v, refund, e, headingOf(v, paying), paperOf(v.Receipt, head), payable, payable && ctx.QueryArgs().Has("declined"),
		payable && v.Payment != nil && v.Payment.Refused != "", live || v.Status == "waitlisted"}
	// Without JavaScript the page keeps up by itself.
	switch {
	case v.Status == "waitlisted":
		refresh(ctx, 10)
	case paying && v.open(), v.Status == "confirmed" && unsettled(v):
		refresh(ctx, 2)
	case v.ExpiresAt != nil:
		refresh(ctx, max(2, int(v.ExpiresAt.Sub(a.now()).Seconds())+1))
	}
	return a.render(ctx, fasthttp.StatusOK, "booking", e.Name, data)
}

// refundOffer is until when, and how, tickets may be given back on the page.
type refundOffer struct {
	Until time.Time
	Fees  bool  // booking fees come back too
	Live  []int // numbers of tickets
}

// refundOffer is nil where the event's policy, or the booking, leaves nothing to give back. Without Postgres the page does
// without it.
func (a *API) refundOffer(v *bookingView, e *store.Event) *refundOffer {
	if v.Status != "confirmed" {
		return nil
	}
	var live []int
	for i, t := range v.Tickets {
		if t.Status == "valid" || t.Status == "confirmed" {
			live = append(live, i)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), policyWait)
	defer cancel()
	policy, err := a.deps.Store.RefundPolicy(ctx, e.ID)
	if err != nil || len(live) == 0 || !policy.Allows(a.now()) {
		return nil
	}
	return &refundOffer{policy.StartsAt.Add(-policy.Until), policy.Fees, live}
}

// policyWait bounds how long a page waits to know whether tickets may be given back.
const policyWait = time.Second

// unsettled says whether a confirmed booking's tickets are still on their way.
func unsettled(v *bookingView) bool {
	for _, t := range v.Tickets {
		if t.Status == "confirmed" {
			return true
		}
	}
	return len(v.Tickets) == 0
}

func refresh(ctx *fasthttp.RequestCtx, seconds int) {
	ctx.Response.Header.Set("Refresh", strconv.Itoa(seconds))
}

// heading says in a sentence how a booking stands.
type heading struct{ Tone, Title, Text string }

func headingOf(v *bookingView, paying bool) heading {
	switch v.Status {
	case "held":
		if paying {
			return heading{"wait", "Payment received", "We are confirming your tickets. This page follows by itself."}
		}
		if zero(v.Total) {
			return heading{"act", "Held for you", "Nothing to pay. Confirm before the time is up, and the tickets are yours."}
		}
		return heading{"act", "Held for you", "Pay before the time is up, and the tickets are yours."}
	case "offered":
		if paying {
			return heading{"wait", "Payment received", "We are confirming your tickets. This page follows by itself."}
		}
		return heading{"act", "Tickets came back for you", "You were next on the waitlist. Pay before the time is up."}
	case "waitlisted":
		return heading{"wait", "On the waitlist", "If tickets come back, we hold them for you and tell you. Nothing to pay now."}
	case "confirmed":
		if unsettled(v) {
			return heading{"good", "Confirmed", "The tickets are yours. They will be valid at the gate in a moment."}
		}
		return heading{"good", "Your tickets are ready", "Show them at the gate."}
	case "frozen":
		return heading{"act", "The payment did not go through", "Your tickets are kept for a while: please pay again before the time is up."}
	case "lapsed":
		return heading{"over", "The time ran out", "The tickets went back on sale. A payment already on its way may still count for a few minutes."}
	case "closed":
		return heading{"over", "The time ran out", "The tickets went back on sale. Nothing was charged."}
	case "cancelled":
		return heading{"over", "Cancelled", "The tickets were given back. Nothing was charged."}
	case "refunded":
		return heading{"over", "Refunded", "The money is on its way back to you."}
	case "revoked":
		return heading{"over", "No longer valid", "These tickets were taken back. What you paid is returned."}
	}
	return heading{"over", v.Status, ""}
}

// pendingPage asks a browser to look again in a moment.
func (a *API) pendingPage(ctx *fasthttp.RequestCtx, location string) error {
	refresh(ctx, 2)
	return a.render(ctx, fasthttp.StatusAccepted, "pending", "One moment", struct{ Location string }{location})
}

// me is GET /me: a visitor's bookings and notifications.
func (a *API) me(ctx *fasthttp.RequestCtx) error {
	c, err := a.visitor(ctx)
	if err != nil {
		return err
	}
	if c.subject == "" {
		return a.fail(ctx, web.Unauthorized("Sign in to see your tickets."))
	}
	bookings, _, err := a.bookingsOf(ctx, c.subject, query{})
	if err != nil {
		return a.fail(ctx, err)
	}
	notes, _, err := a.notificationsOf(ctx, c.subject, query{})
	if err != nil {
		return a.fail(ctx, err)
	}
	type row struct {
		bookingView
		Name, Zone, Word string
		StartsAt         time.Time
	}
	rows := make([]row, len(bookings))
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	for i, b := range bookings {
		e, err := a.events.event(request, b.EventID)
		if err != nil {
			return err
		}
		rows[i] = row{b, e.Name, e.Zone, word(b.Status), e.StartsAt}
	}
	type note struct {
		notificationView
		Text, Name, Zone string
	}
	told := make([]note, len(notes))
	for i, n := range notes {
		told[i] = note{n, word(n.Kind), "", "UTC"}
		if n.EventID == 0 {
			continue
		}
		e, err := a.events.event(request, n.EventID)
		if err != nil {
			return err
		}
		told[i].Name, told[i].Zone = e.Name, e.Zone
	}
	return a.render(ctx, fasthttp.StatusOK, "me", "My tickets", struct {
		Bookings      []row
		Notifications []note
	}{rows, told})
}

// word is a status or a kind of notification for people.
func word(kind string) string {
	switch kind {
	case "held":
		return "Held for you"
	case "offered":
		return "Offered to you"
	case "waitlisted":
		return "On the waitlist"
	case "confirmed":
		return "Confirmed"
	case "ticketsReady":
		return "Tickets ready"
	case "frozen":
		return "Payment failed"
	case "cardLimit":
		return "Another card is needed"
	case "lapsed", "closed":
		return "Time ran out"
	case "cancelled":
		return "Cancelled"
	case "refunded", "ticketsRefunded":
		return "Refunded"
	case "revoked":
		return "Taken back"
	}
	return kind
}

// ticketWord is a ticket's status for people.
func ticketWord(status string) string {
	switch status {
	case "confirmed":
		return "valid in a moment"
	case "frozen":
		return "payment failed"
	}
	return status
}

// payPage is GET /booking/{id}/pay: the provider's payment form within the shop, where no hosted page is configured.
func (a *API) payPage(ctx *fasthttp.RequestCtx, request context.Context, b store.Booking) error {
	if !canPay(b.Status) || b.Status == "confirmed" {
		return seeOther(ctx, "/booking/"+b.ID.String())
	}
	e, err := a.event(request, b.Event)
	if err != nil {
		return err
	}
	view := viewOf(b, &e)
	return a.render(ctx, fasthttp.StatusOK, "pay", e.Name, struct {
		*bookingView
		Event *store.Event
	}{&view, &e})
}
