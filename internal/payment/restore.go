package payment

import (
	"context"
	"errors"
	"time"

	"fairgate/internal/store"
)

// projectionSlack is how much of the log after an intent's making Postgres must show before a booking that the intent
// names counts as one that does not exist.
const projectionSlack = 5 * time.Second

// errProjection: it cannot be told yet whether the booking exists.
var errProjection = errors.Join(ErrUnavailable, errors.New("payment: the projection is behind the intent"))

// Restore makes the rows of an attempt again that Postgres has lost in a failover, from the metadata that we gave the
// provider; ok is false if there is nothing to restore. confirmed says that the log has sold the booking for this very
// attempt: then others that are open give way. Without it an attempt is only restored where none is under way and none
// has paid: the log decides between those that are authorised, and refuses the others.
//
// An intent of ours that must not pay gets a row all the same, as voided: so it is known, and money taken on it goes back.
func (s *Service) Restore(ctx context.Context, i Intent, confirmed bool) (a store.Attempt, p store.Payment, ok bool, err error) {
	if !i.Ours() || i.Payment.IsZero() || i.Event <= 0 {
		return a, p, false, nil
	}
	err = s.store.Money(ctx, func(m *store.Money) error {
		b, known, err := m.BookingOf(ctx, i.Booking)
		if err != nil || !known {
			return errors.Join(err, s.missing(ctx, m, i))
		}
		if _, err = m.AddPayment(ctx, store.Payment{
			ID: i.Payment, Booking: b.ID, Event: b.Event, User: b.User, Amount: b.Total, Currency: b.Currency, Status: string(Started),
		}); err != nil {
			return err
		}
		if p, ok, err = m.PaymentOf(ctx, b.ID); err != nil || !ok {
			return err
		}
		a, err = s.restoreAttempt(ctx, m, p, b.Status, i, confirmed)
		return err
	})
	return a, p, ok && err == nil, err
}

// missing says whether the booking that an intent names may still appear.
func (s *Service) missing(ctx context.Context, m *store.Money, i Intent) error {
	shown, err := m.ProjectedUntil(ctx, i.Event)
	if err != nil {
		return err
	}
	if now, _ := s.roomTime(); !shown.IsZero() && shown.Before(time.UnixMicro(now).Add(-projectionSlack)) {
		return errProjection
	}
	return nil
}

// restoreAttempt decides what the lost attempt may be, and adds it.
func (s *Service) restoreAttempt(ctx context.Context, m *store.Money, p store.Payment, booking string, i Intent, confirmed bool) (store.Attempt, error) {
	all, err := m.Attempts(ctx, p.ID)
	if err != nil {
		return store.Attempt{}, err
	}
	status := Open
	if confirmed {
		status = Confirmed
	}
	for _, other := range all {
		if other.ID == i.Attempt {
			return other, nil // somebody else was quicker
		}
		switch st := State(other.Status); {
		case st == Captured || st == Confirmed || st == Authorised && !confirmed || Live(st) && !confirmed:
			status = Voided
		case Live(st):
			if err := s.giveWay(ctx, m, p, other); err != nil {
				return store.Attempt{}, err
			}
		}
	}
	if over(booking) {
		status = Voided
	}
	a := store.Attempt{
		ID: i.Attempt, Payment: p.ID, Number: len(all) + 1, Intent: i.ID, Charge: i.Charge, Status: string(status), Created: i.Created,
	}
	if err := m.AddAttempt(ctx, a); err != nil {
		return a, err
	}
	if _, err := m.AdoptIntent(ctx, a.ID, i.ID); err != nil {
		return a, err
	}
	s.odd.WithLabelValues("restored").Inc()
	if status != Confirmed {
		return a, nil
	}
	_, err = m.MovePayment(ctx, p.ID, PaymentBefore(Confirmed), string(Confirmed))
	return a, err
}

// giveWay ends an attempt that began after the log had sold the booking for a lost one.
func (s *Service) giveWay(ctx context.Context, m *store.Money, p store.Payment, other store.Attempt) error {
	if _, err := m.MoveAttempt(ctx, store.Attempt{ID: other.ID}, AttemptBefore(Voided), string(Voided)); err != nil {
		return err
	}
	_, err := m.Oblige(ctx, KindVoid, "second/"+other.ID.String(), Task{Event: p.Event, Booking: p.Booking, Attempt: other.ID, Intent: other.Intent})
	return err
}

// over says that a booking in this status takes no payment any more, and that nothing in the log will void one.
func over(booking string) bool {
	return booking == "cancelled" || booking == "closed" || booking == "revoked"
}
