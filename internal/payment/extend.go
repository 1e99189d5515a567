package payment

import (
	"context"
	"errors"
	"time"

	"fairgate/internal/store"
	"fairgate/internal/wire"
)

const (
	// mostExtended is what the machine grants in all.
	mostExtended = 10 * time.Minute
	// longWait is how long waiting for a turn may take before the hold is given the time back.
	longWait = time.Second
)

// extend moves a hold's deadline to at least a length from now: while we make the fan wait, the clock does not run against
// them. That the log does not answer costs a courtesy; a payment that comes late is decided by the log anyway.
func (s *Service) extend(p store.Payment, cause wire.Cause, length time.Duration) {
	now, _ := s.roomTime()
	value := wire.AppendRecord(nil, wire.Record{Object: p.Event, Ref: p.Booking}, &wire.Extend{
		Cause: cause, By: mostExtended.Microseconds(), Until: now + length.Microseconds(),
	})
	_ = s.orders.AppendAsync(p.Partition, value, s.now().Add(commandLife), func(int64, error) {})
}

// keep extends the hold of a payment that the provider, or our turn with it, kept from starting.
func (s *Service) keep(p store.Payment, err error) {
	switch {
	case errors.Is(err, ErrBudget) || errors.Is(err, errTurn):
		s.extend(p, wire.CausePaymentSlot, s.cfg.KeepHold)
	case errors.Is(err, ErrUnavailable):
		s.extend(p, wire.CausePaymentDown, s.cfg.KeepHold)
	}
}

// KeepHold extends the hold behind an intent that we know of and cannot look at now: the fan may have paid already.
func (s *Service) KeepHold(ctx context.Context, intent string, why error) error {
	a, p, ok, err := s.store.AttemptByIntent(ctx, intent)
	if err == nil && ok && Live(State(a.Status)) {
		s.keep(p, why)
	}
	return err
}
