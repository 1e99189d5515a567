// Package payments does what a payment obliges us to do at the provider: look at an intent, capture, void, refund. It
// may call the provider and write payments, ledger and outbox through internal/payment and internal/store; who hands it
// the obligations, and when again after an error, is not its business.
//
// Every deed is the same three steps: call the provider under the obligation's key, look when the answer leaves doubt,
// write down the effect and close the obligation in one transaction. A crash anywhere repeats the call under the same
// key, which the provider answers as it did before.
package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

// ErrDead: the obligation cannot be met, ever; people must look at it.
var ErrDead = errors.New("cannot be done, for good")

// ErrEarly: something else must be done first; ask again.
var ErrEarly = errors.New("not yet possible")

// ErrAnother: what was done at the provider under this try came undone; ask again under the next one.
var ErrAnother = errors.New("done, and undone since")

// Deps is what the handlers use.
type Deps struct {
	Payments *payment.Service
	Store    *store.DB
	Log      *slog.Logger
	Now      func() time.Time
}

// Handlers carry out payment obligations. Each may be called any number of times for the same one.
type Handlers struct {
	payments *payment.Service
	stripe   *payment.Stripe
	store    *store.DB
	log      *slog.Logger
	now      func() time.Time
}

// New returns handlers. Now and Log may be nil.
func New(d Deps) *Handlers {
	h := &Handlers{payments: d.Payments, stripe: d.Payments.Stripe(), store: d.Store, log: d.Log, now: d.Now}
	if h.now == nil {
		h.now = time.Now
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

// taskOf reads the payload. One that cannot be read will never be readable.
func taskOf(o store.Obligation) (payment.Task, error) {
	var t payment.Task
	if err := json.Unmarshal(o.Payload, &t); err != nil {
		return t, fmt.Errorf("%w: payload: %w", ErrDead, err)
	}
	return t, nil
}

// Capture takes the money of a confirmed attempt, makes its tickets scan and posts it. Money that cannot be taken is
// reported to the log, which freezes the tickets.
func (h *Handlers) Capture(ctx context.Context, o store.Obligation) error {
	t, err := taskOf(o)
	if err != nil {
		return err
	}
	a, p, ok, err := h.store.Attempt(ctx, t.Attempt)
	if err != nil {
		return err
	}
	if !ok {
		if a, p, err = h.restored(ctx, t); err != nil {
			return err
		}
	}
	intent := t.Intent
	if intent == "" {
		intent = a.Intent
	}
	if intent == "" {
		return fmt.Errorf("%w: attempt %s has no intent", ErrDead, t.Attempt)
	}
	if payment.State(a.Status) == payment.Captured {
		return h.store.Money(ctx, func(m *store.Money) error { return m.Done(ctx, o.Kind, o.Cause) })
	}
	amount := t.Amount
	if amount == 0 {
		amount = p.Amount
	}
	if err := h.payments.At(payment.PointAsked); err != nil {
		return err
	}
	i, err := h.stripe.Capture(ctx, intent, payment.ToProvider(amount, p.Currency), payment.Key(o.Kind, o.Cause, o.Try))
	if err != nil {
		if i, err = h.lookAfterCapture(ctx, intent, err); err != nil {
			return err
		}
	}
	if err := h.payments.At(payment.PointDone); err != nil {
		return err
	}
	if i.Status != payment.IntentSucceeded {
		return h.captureFailed(ctx, o, p, a, i)
	}
	a.Intent, a.Charge = i.ID, i.Charge
	return h.store.Money(ctx, func(m *store.Money) error {
		if pending, err := m.Pending(ctx, o.Kind, o.Cause); err != nil || !pending {
			return err
		}
		if err := Captured(ctx, m, p, a, i.Received); err != nil {
			return err
		}
		return m.Done(ctx, o.Kind, o.Cause)
	})
}

// restored brings back the rows of an attempt that the log has confirmed and Postgres has lost.
func (h *Handlers) restored(ctx context.Context, t payment.Task) (a store.Attempt, p store.Payment, err error) {
	if t.Intent == "" {
		return a, p, fmt.Errorf("%w: no attempt %s", ErrDead, t.Attempt)
	}
	i, err := h.stripe.Intent(ctx, t.Intent, payment.ClassCapture)
	if err != nil {
		return a, p, err
	}
	a, p, ok, err := h.payments.Restore(ctx, i, true)
	if err != nil {
		return a, p, err
	}
	if !ok || a.ID != t.Attempt {
		return a, p, fmt.Errorf("%w: no attempt %s, and intent %s does not name it", ErrDead, t.Attempt, i.ID)
	}
	return a, p, nil
}

// lookAfterCapture decides what an error of a capture means. It returns the intent if that settles the matter: taken
// already, or never to be taken. Otherwise the error comes back, and the capture is tried again.
func (h *Handlers) lookAfterCapture(ctx context.Context, intent string, failed error) (payment.Intent, error) {
	fault := payment.FaultOf(failed)
	if fault == payment.FaultBusy || fault == payment.FaultUnknown {
		return payment.Intent{}, failed
	}
	i, err := h.stripe.Intent(ctx, intent, payment.ClassCapture)
	switch {
	case payment.FaultOf(err) == payment.FaultDefinite && err != nil:
		return payment.Intent{ID: intent}, nil // the provider does not know it
	case err != nil:
		return i, fmt.Errorf("looking after %w: %w", failed, err)
	case i.Status == payment.IntentSucceeded:
		return i, nil
	case fault == payment.FaultStored:
		return i, failed // it was not done: another try is another deed
	}
	return i, nil
}

// captureFailed tells the log, and only then our rows: a crash in between tells the log again, which changes nothing.
// What is still authorised is released.
func (h *Handlers) captureFailed(ctx context.Context, o store.Obligation, p store.Payment, a store.Attempt, i payment.Intent) error {
	h.log.WarnContext(ctx, "capture failed for good", "booking", p.Booking.String(), "intent", i.ID, "status", i.Status)
	if err := h.payments.CaptureFailed(ctx, p, a.ID); err != nil {
		return err
	}
	if err := h.payments.At(payment.PointFrozen); err != nil {
		return err
	}
	return h.store.Money(ctx, func(m *store.Money) error {
		if pending, err := m.Pending(ctx, o.Kind, o.Cause); err != nil || !pending {
			return err
		}
		if _, err := m.MoveAttempt(ctx, store.Attempt{ID: a.ID}, payment.AttemptBefore(payment.Failed), string(payment.Failed)); err != nil {
			return err
		}
		// The booking may be paid again by another attempt while its tickets are frozen, and perhaps is already.
		if paid, err := otherPays(ctx, m, p, a); err != nil || paid {
			return errors.Join(err, m.Done(ctx, o.Kind, o.Cause))
		}
		if _, err := m.MovePayment(ctx, p.ID, payment.PaymentBefore(payment.Started), string(payment.Started)); err != nil {
			return err
		}
		if i.Status != "" && i.Status != payment.IntentCanceled {
			task := payment.Task{Event: p.Event, Booking: p.Booking, Attempt: a.ID, Intent: i.ID}
			if _, err := m.Oblige(ctx, payment.KindVoid, "capture-failed/"+i.ID, task); err != nil {
				return err
			}
		}
		return m.Done(ctx, o.Kind, o.Cause)
	})
}

// otherPays says whether another attempt has paid for the booking or is about to.
func otherPays(ctx context.Context, m *store.Money, p store.Payment, a store.Attempt) (bool, error) {
	all, err := m.Attempts(ctx, p.ID)
	for _, other := range all {
		switch payment.State(other.Status) {
		case payment.Authorised, payment.Confirmed, payment.Captured:
			if other.ID != a.ID {
				return true, err
			}
		}
	}
	return false, err
}

// Captured writes down that the money of an attempt is ours: attempt, payment, tickets, ledger, notice. a carries the
// intent and the charge. Doing it again changes nothing.
func Captured(ctx context.Context, m *store.Money, p store.Payment, a store.Attempt, amount int64) error {
	if _, err := m.MoveAttempt(ctx, a, payment.AttemptBefore(payment.Captured), string(payment.Captured)); err != nil {
		return err
	}
	if _, err := m.MovePayment(ctx, p.ID, payment.PaymentBefore(payment.Captured), string(payment.Captured)); err != nil {
		return err
	}
	if err := m.ValidateTickets(ctx, p.Booking); err != nil {
		return err
	}
	if err := PostCapture(ctx, m, p, a.Charge, amount); err != nil {
		return err
	}
	return tell(ctx, m, p, "ticketsReady", payment.FactCapture+a.Charge, map[string]any{
		"amount": sale.Money{Minor: amount, Currency: p.Currency}.String(), "currency": p.Currency,
	})
}

// PostCapture posts money that came in on a charge, and issues the receipt.
func PostCapture(ctx context.Context, m *store.Money, p store.Payment, charge string, amount int64) error {
	fees, tax, err := m.Shares(ctx, p.Booking)
	if err != nil {
		return err
	}
	split := payment.Split{Fees: fees, Tax: tax}
	if amount != p.Amount || fees+tax > amount {
		split = payment.Split{} // not what the lines say: all of it is sales until somebody looks
	}
	posting, err := payment.CapturePosting(charge, p.Currency, amount, split)
	if err != nil {
		return err
	}
	if err := post(ctx, m, p, posting); err != nil {
		return err
	}
	return issueReceipt(ctx, m, p, charge, amount)
}

func post(ctx context.Context, m *store.Money, p store.Payment, posting payment.Posting) error {
	l := store.LedgerPosting{Fact: posting.Fact, Currency: posting.Currency, Merchant: p.Merchant, Event: p.Event, Booking: p.Booking}
	for _, e := range posting.Entries {
		l.Entries = append(l.Entries, store.LedgerEntry{Account: e.Account, Amount: e.Amount})
	}
	_, err := m.Post(ctx, l)
	return err
}

// tell adds a notice and the obligation to mail it.
func tell(ctx context.Context, m *store.Money, p store.Payment, kind, cause string, data map[string]any) error {
	if _, err := m.Notify(ctx, store.Notice{User: p.User, Kind: kind, Event: p.Event, Booking: p.Booking, Cause: cause, Data: data}); err != nil {
		return err
	}
	_, err := m.Oblige(ctx, payment.KindMail, cause, struct{}{})
	return err
}
