package payment

import (
	"context"
	"errors"
	"fmt"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Types of events, as the provider names them, that decisions here hang on.
const (
	EventDeclined   = "payment_intent.payment_failed"
	EventAuthorised = "payment_intent.amount_capturable_updated"
	EventSucceeded  = "payment_intent.succeeded"
	EventCanceled   = "payment_intent.canceled"
	EventAction     = "payment_intent.requires_action"
)

// Resolution is what looking at an intent found.
type Resolution struct {
	Known   bool // there is a row for it
	Over    bool // its attempt is: what is left of it at the provider is ended by obligation
	Payment sale.UUID
	Booking sale.UUID
	Attempt sale.UUID
	Intent  string
	Status  string // the provider's
}

// Resolve looks at an intent at the provider, whatever an event said of it, and brings us up to what it shows: an
// authorisation goes into the log (and is safe there when Resolve returns), declined cards are counted, cancellations
// noted. It may be called for any intent at any time and any number of times: by a webhook, by the fan's return, by
// reconciliation.
func (s *Service) Resolve(ctx context.Context, intent string) (Resolution, error) {
	i, err := s.stripe.Intent(ctx, intent, ClassResolve)
	if err != nil {
		return Resolution{}, errors.Join(err, s.KeepHold(ctx, intent, err))
	}
	return s.ResolveIntent(ctx, i)
}

// ResolveIntent is Resolve for an intent that was just fetched.
func (s *Service) ResolveIntent(ctx context.Context, i Intent) (Resolution, error) {
	out := Resolution{Intent: i.ID, Status: i.Status}
	a, p, ok, err := s.find(ctx, i)
	if err != nil {
		return out, err
	}
	if !ok {
		if a, p, ok, err = s.Restore(ctx, i, false); err != nil {
			return out, err
		}
	}
	if !ok {
		return out, s.stray(ctx, i)
	}
	out.Known, out.Payment, out.Booking, out.Attempt = true, p.ID, p.Booking, a.ID
	out.Over = State(a.Status) == Voided || State(a.Status) == Failed
	return out, s.resolved(ctx, p, a, i)
}

// Settled reports whether an event of this type about the intent can tell us nothing new, so that no call is spent.
func (s *Service) Settled(ctx context.Context, eventType, intent string) (bool, error) {
	a, _, ok, err := s.store.AttemptByIntent(ctx, intent)
	if err != nil || !ok {
		return false, err
	}
	return settled(eventType, State(a.Status)), nil
}

// settled is the table behind Settled.
func settled(eventType string, attempt State) bool {
	switch eventType {
	case EventAuthorised:
		return attempt == Authorised || attempt == Confirmed || attempt == Captured
	case EventSucceeded:
		return attempt == Captured
	case EventCanceled:
		return attempt == Voided || attempt == Failed
	}
	return false
}

// find looks for the intent's attempt by its id, else by the metadata: the event may be here before the answer to the
// call that made the intent, or that answer was lost in a crash.
func (s *Service) find(ctx context.Context, i Intent) (store.Attempt, store.Payment, bool, error) {
	a, p, ok, err := s.store.AttemptByIntent(ctx, i.ID)
	if err != nil || ok || !i.Ours() {
		return a, p, ok, err
	}
	a, p, ok, err = s.store.Attempt(ctx, i.Attempt)
	if err != nil || !ok || a.Intent != "" || p.Booking != i.Booking {
		return a, p, false, err
	}
	err = s.store.Money(ctx, func(m *store.Money) error {
		_, err := m.AdoptIntent(ctx, a.ID, i.ID)
		return err
	})
	a.Intent = i.ID
	return a, p, true, err
}

// resolved brings an attempt up to its intent.
func (s *Service) resolved(ctx context.Context, p store.Payment, a store.Attempt, i Intent) error {
	if i.Amount != p.Amount || i.Currency != p.Currency {
		// The log decides on amounts: it refuses this one, and its refusal voids it.
		s.odd.WithLabelValues("wrong_amount").Inc()
	}
	a.Intent, a.Charge = i.ID, i.Charge
	if st := State(a.Status); (st == Voided || st == Failed) && i.Status != IntentCanceled {
		// Over on our side and not at the provider, who may have answered its making with a failure: nobody else will end it.
		return s.endStray(ctx, p, i)
	}
	switch i.Status {
	case IntentRequiresCapture, IntentSucceeded:
		return s.paid(ctx, p, a, i)
	case IntentCanceled:
		// A confirmed attempt is left alone: its capture finds out and tells the log.
		return s.store.Money(ctx, func(m *store.Money) error {
			_, err := m.MoveAttempt(ctx, a, []string{string(Creating), string(Open)}, string(Voided))
			return err
		})
	case IntentRequiresAction:
		if Live(State(a.Status)) {
			s.extend(p, wire.CauseAuthenticate, s.cfg.BankWait)
		}
	case IntentRequiresMethod:
		if i.Declined != "" {
			return s.declined(ctx, p, a, i)
		}
	}
	return s.store.Money(ctx, func(m *store.Money) error {
		_, err := m.MoveAttempt(ctx, a, []string{string(Creating)}, string(Open))
		return err
	})
}

// paid reports an authorisation to the log. The row says authorised only once the record is safe there, so that after a
// crash in between it is sent again.
func (s *Service) paid(ctx context.Context, p store.Payment, a store.Attempt, i Intent) error {
	if st := State(a.Status); st != Creating && st != Open {
		return nil
	}
	method, err := s.methodOf(ctx, p, i)
	if err != nil {
		return err
	}
	if err := s.Authorise(ctx, p, a.ID, i, method); err != nil {
		return err
	}
	if err := s.At(PointLogged); err != nil {
		return err
	}
	return s.store.Money(ctx, func(m *store.Money) error { return authorised(ctx, m, p, a) })
}

// declined counts a declined card. Too many end the attempt: the obligation cancels the intent.
func (s *Service) declined(ctx context.Context, p store.Payment, a store.Attempt, i Intent) error {
	return s.store.Money(ctx, func(m *store.Money) error {
		if _, err := m.MoveAttempt(ctx, a, []string{string(Creating)}, string(Open)); err != nil {
			return err
		}
		n, err := m.CountFailures(ctx, a, EventDeclined, i.Declined, 1)
		if err != nil || n < MaxFailures || !Live(State(a.Status)) {
			return err
		}
		_, err = m.Oblige(ctx, KindVoid, "failures/"+i.ID, Task{
			Event: p.Event, Booking: p.Booking, Attempt: a.ID, Intent: i.ID, Exhausted: true,
		})
		return err
	})
}

// stray handles an intent of which we have no row. One that carries our metadata, or holds a fan's money, is voided by
// obligation; money already taken is left for people to look at.
func (s *Service) stray(ctx context.Context, i Intent) error {
	s.odd.WithLabelValues("stray").Inc()
	s.log.WarnContext(ctx, "payment intent without a row", "intent", i.ID, "status", i.Status, "ours", i.Ours())
	if i.Status == IntentCanceled || i.Status == IntentSucceeded || (!i.Ours() && i.Status != IntentRequiresCapture) {
		return nil
	}
	return s.endStray(ctx, store.Payment{Booking: i.Booking}, i)
}

func (s *Service) endStray(ctx context.Context, p store.Payment, i Intent) error {
	err := s.store.Money(ctx, func(m *store.Money) error {
		_, err := m.Oblige(ctx, KindVoid, "stray/"+i.ID, Task{Event: p.Event, Booking: p.Booking, Intent: i.ID})
		return err
	})
	if err != nil {
		return fmt.Errorf("ending a stray intent: %w", err)
	}
	return nil
}
