package crowd

import (
	"context"
	"net/http"
	"time"
)

const (
	// bookingPoll and mostBookingPoll bound the pause between two looks at a booking that is about to change.
	bookingPoll     = 400 * time.Millisecond
	mostBookingPoll = 3 * time.Second
	// returnAfter is how long after the card's answer a fan who closed the payment page comes back to it: by then the
	// provider's webhook should have done its work.
	returnAfter = 8 * time.Second
)

// booking is a booking as the answers tell it.
type booking struct {
	ID        string  `json:"id"`
	Status    string  `json:"status"`
	ExpiresAt *string `json:"expiresAt"`
	Currency  string  `json:"currency"`
	Total     string  `json:"total"`
	Reason    string  `json:"reason"`
	Lines     []struct {
		Quantity int `json:"quantity"`
	} `json:"lines"`
	Payment *struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	} `json:"payment"`
	Tickets []struct {
		Status string `json:"status"`
	} `json:"tickets"`
}

// expires is the instant in µs, 0 where nothing expires.
func (b *booking) expires() int64 {
	if b.ExpiresAt == nil {
		return 0
	}
	return micros(*b.ExpiresAt)
}

// valid says that every ticket of the booking scans.
func (b *booking) valid() bool {
	asked, scan := 0, 0
	for _, l := range b.Lines {
		asked += l.Quantity
	}
	for _, t := range b.Tickets {
		if t.Status == "valid" {
			scan++
		}
	}
	return scan > 0 && scan >= asked
}

// buy is everything from the pass on.
func (f *fan) buy(ctx context.Context) error {
	if f.step != StepBook {
		f.enter(StepBook)
	}
	b, err := f.book(ctx)
	if err != nil {
		return err
	}
	if b.Status == "waitlisted" {
		if b, err = f.waitForOffer(ctx, b); err != nil {
			return err
		}
	} else if err := f.held(&b, EntryHold); err != nil {
		return err
	}
	f.next(StepPay)
	switch f.plan {
	case VanisherHolding:
		return ends(Vanished)
	case Canceller:
		return f.giveBack(ctx, &b, Cancelled)
	case Lapser:
		return f.letLapse(ctx, &b, LetLapse)
	}
	return f.payFor(ctx, &b)
}

func (f *fan) held(b *booking, kind Kind) error {
	e := Entry{Kind: kind, Event: f.crowd.cfg.Event, Booking: b.ID, Status: b.Status}
	if kind == EntryHold {
		e.Total, e.Currency, e.Expires = b.Total, b.Currency, b.expires()
		if b.Status == "held" {
			e.Pass = f.passID
		}
	}
	return f.note(e)
}

// book sends the same booking under the same key until it is decided.
func (f *fan) book(ctx context.Context) (booking, error) {
	body := map[string]any{"userId": f.user, "eventId": f.crowd.cfg.Event}
	if f.plan == Waitlister {
		body["waitlist"] = true
	}
	with := []header{{"Idempotency-Key", "crowd-" + f.user}}
	if f.pass != "" {
		with = append(with, header{"Admission-Pass", f.pass}, header{"Queue-Visitor", f.visitor})
	}
	for {
		r, err := f.send(ctx, http.MethodPost, "/booking", body, with...)
		if err != nil {
			return booking{}, err
		}
		if r.status == http.StatusAccepted {
			f.crowd.tally.saw("pending")
			if r, err = f.decided(ctx, r); err != nil {
				return booking{}, err
			}
			if r.status == http.StatusNotFound && r.kind() == "unknown-command" {
				continue // certainly not taken: the key is still unused
			}
		}
		if r.ok() {
			var b booking
			if err := r.read(&b); err != nil {
				return b, err
			}
			if b.ID == "" {
				return b, &end{Failed, "book: no booking in the answer"}
			}
			return b, nil
		}
		return booking{}, f.refused(r)
	}
}

// refused is the end of a fan who did not get a hold.
func (f *fan) refused(r reply) error {
	switch r.kind() {
	case "sold-out", "not-selling", "event-cancelled":
		f.took(StepBook)
		return ends(SoldOut)
	case "admission-pass-expired", "admission-pass-required":
		return &end{Missed, "book: " + r.kind()}
	}
	return fails(StepBook, r)
}

// decided follows the Location of a 202 until the command is decided one way or the other.
func (f *fan) decided(ctx context.Context, r reply) (reply, error) {
	for r.status == http.StatusAccepted {
		if r.to == "" {
			return r, &end{Failed, "book: 202 without a location"}
		}
		if !pause(ctx, jitter(f.rnd, max(r.retry, bookingPoll))) {
			return r, ctx.Err()
		}
		next, err := f.send(ctx, http.MethodGet, pathOf(r.to), nil)
		if err != nil {
			return r, err
		}
		r = next
	}
	return r, nil
}

// look reads the booking.
func (f *fan) look(ctx context.Context, id string) (booking, error) {
	var b booking
	for {
		r, err := f.send(ctx, http.MethodGet, "/booking/"+id, nil)
		if err != nil {
			return b, err
		}
		if r.ok() {
			err := r.read(&b)
			return b, err
		}
		// Acknowledged, and not there: a server that just came back may not have read so far yet. For good, the fan's
		// deadline ends it, and Audit says what is missing.
		f.crowd.tally.saw("bookingAway")
		if !pause(ctx, jitter(f.rnd, mostBookingPoll)) {
			return b, ctx.Err()
		}
	}
}

// watch looks at a booking until what holds, ever more slowly. lap, if not nil, is called between two looks.
func (f *fan) watch(ctx context.Context, id string, lap func() error, done func(*booking) bool) (booking, error) {
	poll := bookingPoll
	for {
		b, err := f.look(ctx, id)
		if err != nil || done(&b) {
			return b, err
		}
		if !pause(ctx, jitter(f.rnd, poll)) {
			return b, ctx.Err()
		}
		poll = min(poll*3/2, mostBookingPoll)
		if lap != nil {
			if err := lap(); err != nil {
				return b, err
			}
		}
	}
}

// over says that nothing will become of a booking that its owner does not pay.
func over(b *booking) bool {
	switch b.Status {
	case "lapsed", "closed", "cancelled", "revoked", "refunded":
		return true
	}
	return false
}

// waitForOffer stays on the waitlist until there is an offer or patience runs out; then the place goes back.
func (f *fan) waitForOffer(ctx context.Context, b booking) (booking, error) {
	if err := f.held(&b, EntryWaitlisted); err != nil {
		return b, err
	}
	until := f.crowd.now().Add(f.crowd.cfg.Stop.Waitlist)
	b, err := f.watch(ctx, b.ID, nil, func(b *booking) bool { return b.Status != "waitlisted" || f.crowd.now().After(until) })
	switch {
	case err != nil:
		return b, err
	case b.Status == "offered" || b.Status == "held":
		f.crowd.tally.saw("offered")
		return b, f.held(&b, EntryHold)
	case b.Status == "waitlisted":
		return b, f.giveBack(ctx, &b, Waitlisted)
	case over(&b):
		return b, f.ended(&b, Waitlisted)
	}
	return b, &end{Failed, "waitlist: " + b.Status}
}

// ended notes how a booking was seen to end and ends the visit.
func (f *fan) ended(b *booking, o Outcome) error {
	err := f.note(Entry{Kind: EntryEnded, Event: f.crowd.cfg.Event, Booking: b.ID, Status: b.Status})
	if err != nil {
		return err
	}
	return ends(o)
}

// giveBack cancels, and notes that it was answered.
func (f *fan) giveBack(ctx context.Context, b *booking, o Outcome) error {
	for {
		r, err := f.send(ctx, http.MethodDelete, "/booking/"+b.ID, nil)
		if err != nil {
			return err
		}
		if r.status == http.StatusAccepted {
			if r, err = f.decided(ctx, r); err != nil {
				return err
			}
			if r.status == http.StatusNotFound && r.kind() == "unknown-command" {
				continue
			}
		}
		if r.ok() {
			var now booking
			if err := r.read(&now); err != nil {
				return err
			}
			if now.Status != "cancelled" {
				continue // the answer is of a moment before the log's
			}
			if err := f.note(Entry{Kind: EntryCancelled, Event: f.crowd.cfg.Event, Booking: b.ID, Status: now.Status}); err != nil {
				return err
			}
			return ends(o)
		}
		now, err := f.look(ctx, b.ID)
		if err != nil {
			return err
		}
		if over(&now) {
			return f.ended(&now, o) // the time ran out before
		}
		if r.status != http.StatusConflict && r.status != http.StatusNotFound {
			return fails(StepPay, r)
		}
		if !pause(ctx, jitter(f.rnd, bookingPoll)) {
			return ctx.Err()
		}
	}
}

// letLapse does nothing until the hold's time is over, and then sees that it is.
func (f *fan) letLapse(ctx context.Context, b *booking, o Outcome) error {
	f.enter(StepSettle)
	if at := b.expires(); at > 0 && !pause(ctx, time.UnixMicro(at).Sub(f.crowd.now())) {
		return ctx.Err()
	}
	now, err := f.watch(ctx, b.ID, nil, over)
	if err != nil {
		return err
	}
	f.took(StepSettle)
	if now.Status == "cancelled" || now.Status == "revoked" {
		o = Cancelled
	}
	return f.ended(&now, o)
}
