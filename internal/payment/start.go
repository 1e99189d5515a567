package payment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stripe/stripe-go/v76"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

const (
	// createTries and createPause are how long a second call waits for the first one's answer.
	createTries = 5
	createPause = 200 * time.Millisecond
	// behindTries and behindPause are how long a payment waits for its booking's row.
	behindTries = 40
	behindPause = 50 * time.Millisecond
)

// StartRequest is a live hold or offer (or a paid booking) that its owner wants to pay.
type StartRequest struct {
	Booking     sale.UUID
	Event       int64
	User        string
	Amount      int64 // minor units: the booking's total
	Currency    string
	Description string // shown by the provider; no names
}

// Receipt is the payment as the fan may see it.
type Receipt struct {
	Payment        sale.UUID
	Booking        sale.UUID
	Amount         int64
	Currency       string
	Status         State  // of the payment
	Intent         string // the provider's object; empty for a total of zero
	ClientSecret   string // for the payment page; never to be logged or stored
	PublishableKey string
	PayURL         string // where to pay; empty when there is nothing to pay
	Fresh          bool   // this call made the payment
}

// Start begins a booking's payment, or returns the one that is under way: sent again it is the same payment, and after a
// declined card the same PaymentIntent. A total of zero is authorised without the provider.
//
// Errors: ErrAmount, ErrForeign, ErrEnded, ErrUnknownEvent, ErrUnavailable (nothing is lost, ask again), *CallError for
// what the provider refused for good.
func (s *Service) Start(ctx context.Context, r StartRequest) (Receipt, error) {
	// Twice: the intent of the attempt may turn out to be cancelled, and then another attempt takes its place.
	for range 2 {
		p, a, fresh, err := s.planned(ctx, r)
		if err != nil {
			return Receipt{}, err
		}
		out := Receipt{
			Payment: p.ID, Booking: p.Booking, Amount: p.Amount, Currency: p.Currency, Status: State(p.Status),
			PublishableKey: s.stripe.cfg.PublishableKey, Fresh: fresh,
		}
		if p.Amount == 0 {
			return s.startFree(ctx, out, p, a)
		}
		if State(a.Status) == Creating {
			if err := s.begin(ctx, r, p, a); err != nil {
				return Receipt{}, err
			}
		}
		began := s.now()
		i, err := s.intentFor(ctx, r, p, a)
		if err != nil {
			s.keep(p, err)
			return Receipt{}, err
		}
		if s.now().Sub(began) > longWait {
			s.extend(p, wire.CausePaymentSlot, s.cfg.KeepHold)
		}
		if i.Status == IntentCanceled && Live(State(a.Status)) {
			if err := s.resolved(ctx, p, a, i); err != nil {
				return Receipt{}, err
			}
			continue
		}
		return s.receipt(ctx, out, p, a, i)
	}
	return Receipt{}, fmt.Errorf("starting a payment: the provider cancelled it twice: %w", ErrUnavailable)
}

// errBehind: Postgres does not show the booking yet.
var errBehind = fmt.Errorf("%w: the booking is not projected yet", ErrUnavailable)

// planned is plan, waiting a moment for the booking's row.
func (s *Service) planned(ctx context.Context, r StartRequest) (p store.Payment, a store.Attempt, fresh bool, err error) {
	for range behindTries {
		if p, a, fresh, err = s.plan(ctx, r); !errors.Is(err, errBehind) {
			return p, a, fresh, err
		}
		select {
		case <-ctx.Done():
			return p, a, fresh, err
		case <-time.After(behindPause):
		}
	}
	return p, a, fresh, err
}

// plan makes or finds the payment and the attempt by which it is, or was, paid. Crash story: rows without an intent are
// an attempt in creating, which the next call takes up with the same key.
//
// The booking's row is locked before anything is written: either its end is there and nothing begins, or the projector
// finds the payment when it writes the end, and voids it. Without a row of the booking there would be nothing to lock, so
// a payment waits for it.
func (s *Service) plan(ctx context.Context, r StartRequest) (p store.Payment, a store.Attempt, fresh bool, err error) {
	id, err := s.NewID()
	if err != nil {
		return p, a, false, err
	}
	next, err := s.NewID()
	if err != nil {
		return p, a, false, err
	}
	err = s.store.Money(ctx, func(m *store.Money) error {
		payable, err := mayStart(ctx, m, r.Booking)
		if err != nil {
			return err
		}
		known, err := m.AddPayment(ctx, store.Payment{
			ID: id, Booking: r.Booking, Event: r.Event, User: r.User, Amount: r.Amount, Currency: r.Currency, Status: string(Started),
		})
		if err != nil {
			return err
		}
		if !known {
			return ErrUnknownEvent
		}
		p, _, err = m.PaymentOf(ctx, r.Booking)
		if err != nil {
			return err
		}
		fresh = p.ID == id
		switch {
		case p.User != r.User || p.Event != r.Event:
			return ErrForeign
		case p.Amount != r.Amount || p.Currency != r.Currency:
			return ErrAmount
		}
		all, err := m.Attempts(ctx, p.ID)
		if err != nil {
			return err
		}
		a, err = s.pick(ctx, m, p, all, next, payable)
		return err
	})
	return p, a, fresh, err
}

// mayStart locks the booking and says whether a new attempt may begin, or only one under way be shown.
func mayStart(ctx context.Context, m *store.Money, booking sale.UUID) (bool, error) {
	status, ok, err := m.LockBooking(ctx, booking)
	switch {
	case err != nil:
		return false, err
	case !ok || status == "waitlisted":
		return false, errBehind
	case status == "held" || status == "offered" || status == "frozen":
		return true, nil
	case status == "confirmed" || status == "refunded":
		return false, nil
	}
	return false, ErrEnded
}

// pick chooses the attempt to go on with: the live one, the one that paid, or a new one.
func (s *Service) pick(ctx context.Context, m *store.Money, p store.Payment, all []store.Attempt, next sale.UUID, payable bool) (store.Attempt, error) {
	for _, a := range all {
		stale := State(a.Status) == Creating && s.now().Sub(a.Created) > KeyLife
		if stale {
			if _, err := m.MoveAttempt(ctx, store.Attempt{ID: a.ID}, AttemptBefore(Failed), string(Failed)); err != nil {
				return a, err
			}
			continue
		}
		if Live(State(a.Status)) || State(a.Status) == Captured {
			return a, nil
		}
	}
	if !payable || State(p.Status) != Started || len(all) >= maxAttempts {
		return store.Attempt{}, ErrEnded
	}
	a := store.Attempt{ID: next, Payment: p.ID, Number: len(all) + 1, Status: string(Creating), Created: s.now()}
	return a, m.AddAttempt(ctx, a)
}

// begin tells the log that a payment starts, and hears for a moment whether the hold is still there. Without an answer
// it goes on: the authorisation is decided in the log anyway, and a lost race is voided.
func (s *Service) begin(ctx context.Context, r StartRequest, p store.Payment, a store.Attempt) error {
	var command wire.ID
	if _, err := io.ReadFull(s.random, command[:]); err != nil {
		return fmt.Errorf("payment: reading randomness: %w", err)
	}
	now, _ := s.roomTime()
	value := wire.AppendRecord(nil, wire.Record{
		Object: p.Event, Ref: p.Booking, Command: command, NotAfter: now + commandLife.Microseconds(),
	}, &wire.PaymentStarted{UserKey: sale.UserKey(r.User), Attempt: a.ID})
	notAfter := s.now().Add(commandLife)
	if s.ask == nil {
		// A full queue loses a courtesy, not a payment.
		_ = s.orders.AppendAsync(p.Partition, value, notAfter, func(int64, error) {})
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.BeginWait)
	defer cancel()
	o, err := s.ask(ctx, func(ctx context.Context) error {
		_, err := s.orders.Append(ctx, p.Partition, value, notAfter)
		return err
	}, command)
	if err != nil || o.Kind != wire.KindRefused {
		return nil
	}
	var refused wire.Refused
	if err := o.DecodeInto(&refused); err != nil {
		return fmt.Errorf("payment: reading the log's answer: %w", err)
	}
	return fmt.Errorf("%w: %s", ErrEnded, refused.Reason)
}

// intentFor returns the attempt's intent at the provider, and makes it if the attempt has none yet.
func (s *Service) intentFor(ctx context.Context, r StartRequest, p store.Payment, a store.Attempt) (Intent, error) {
	if a.Intent != "" {
		return s.stripe.Intent(ctx, a.Intent, ClassCreate)
	}
	return s.Complete(ctx, p, a, r.Description)
}

// Complete makes the intent of an attempt in creating: the first time, or again under the same key after a crash or
// timeout, which yields the same intent. It is ErrEnded if the attempt was ended meanwhile; the intent then exists,
// and whoever ended the attempt cancels it.
func (s *Service) Complete(ctx context.Context, p store.Payment, a store.Attempt, description string) (Intent, error) {
	if err := s.At(PointPlanned); err != nil {
		return Intent{}, err
	}
	i, err := s.create(ctx, IntentSpec{
		Attempt: a.ID, Payment: p.ID, Booking: p.Booking, Event: p.Event, Amount: p.Amount, Currency: p.Currency, Description: description,
	})
	if f := FaultOf(err); err != nil && (f == FaultStored || f == FaultDefinite || f == FaultState) {
		// The key answers the same from now on: this attempt is over, and the next one has a key of its own. An intent
		// that was made all the same has given its secret to nobody, so it cannot be paid.
		moved := s.store.Money(ctx, func(m *store.Money) error {
			_, err := m.MoveAttempt(ctx, store.Attempt{ID: a.ID}, []string{string(Creating)}, string(Failed))
			return err
		})
		return Intent{}, errors.Join(err, moved)
	}
	if err != nil {
		return Intent{}, err
	}
	if err := s.At(PointMade); err != nil {
		return Intent{}, err
	}
	// A crash here leaves the attempt in creating; the next call gets the same intent.
	err = s.store.Money(ctx, func(m *store.Money) error {
		moved, err := m.MoveAttempt(ctx, store.Attempt{ID: a.ID, Intent: i.ID}, []string{string(Creating)}, string(Open))
		if err != nil || moved {
			return err
		}
		// Overtaken by a webhook, or ended by a void: in both cases the row should know its intent.
		_, err = m.AdoptIntent(ctx, a.ID, i.ID)
		return err
	})
	if err != nil {
		return Intent{}, err
	}
	now, _, ok, err := s.store.Attempt(ctx, a.ID)
	if err != nil {
		return Intent{}, err
	}
	switch {
	case !ok || now.Intent != i.ID || State(now.Status) == Voided || State(now.Status) == Failed:
		return Intent{}, ErrEnded
	case State(now.Status) != Open:
		return s.stripe.Intent(ctx, i.ID, ClassCreate) // paid already: what we were told is old
	}
	return i, nil
}

// create asks again for a moment while the key is in use: the fan pressed twice, and the first call is about to answer.
func (s *Service) create(ctx context.Context, spec IntentSpec) (i Intent, err error) {
	for range createTries {
		i, err = s.stripe.CreateIntent(ctx, spec)
		var e *CallError
		if !errors.As(err, &e) || e.Code != string(stripe.ErrorCodeIdempotencyKeyInUse) {
			return i, err
		}
		select {
		case <-ctx.Done():
			return i, err
		case <-time.After(createPause):
		}
	}
	return i, err
}

// receipt completes the answer. An authorisation seen here is reported to the log as a webhook would: the fan is back
// before it, or it was lost.
func (s *Service) receipt(ctx context.Context, out Receipt, p store.Payment, a store.Attempt, i Intent) (Receipt, error) {
	out.Intent, out.ClientSecret = i.ID, i.ClientSecret
	switch i.Status {
	case IntentRequiresCapture, IntentSucceeded:
		if err := s.resolved(ctx, p, a, i); err != nil {
			return Receipt{}, err
		}
		if out.Status == Started {
			out.Status = Authorised
		}
	case IntentCanceled:
	default:
		out.PayURL = s.payURL(p.Booking, i)
	}
	return out, nil
}

// startFree authorises a total of zero. Crash story: until the record is in the log the attempt stays in creating, and
// the next call sends it again.
func (s *Service) startFree(ctx context.Context, out Receipt, p store.Payment, a store.Attempt) (Receipt, error) {
	if State(a.Status) != Creating {
		return out, nil
	}
	if err := s.Authorise(ctx, p, a.ID, Intent{Currency: p.Currency}, wire.ID{}); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := s.At(PointLogged); err != nil {
		return Receipt{}, err
	}
	err := s.store.Money(ctx, func(m *store.Money) error { return authorised(ctx, m, p, a) })
	if out.Status == Started {
		out.Status = Authorised
	}
	return out, err
}

// authorised notes that the log knows of the authorisation. The log's word on it may have been here first and have ended the
// attempt; then the payment is the next attempt's, and stays as it is.
func authorised(ctx context.Context, m *store.Money, p store.Payment, a store.Attempt) error {
	moved, err := m.MoveAttempt(ctx, a, AttemptBefore(Authorised), string(Authorised))
	if err != nil || !moved {
		return err
	}
	_, err = m.MovePayment(ctx, p.ID, PaymentBefore(Authorised), string(Authorised))
	return err
}
