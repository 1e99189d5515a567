package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// visitor is one fan at one event. It belongs to one goroutine.
type visitor struct {
	*Fans
	rnd       *rand.Rand
	name      string
	event     int64
	partition int32
	booking   wire.ID
	tickets   int
}

// chance is true so many times out of a hundred.
func (v *visitor) chance(percent int) bool { return v.rnd.IntN(100) < percent }

// visit is one fan's story.
func (v *visitor) visit(ctx context.Context) {
	v.partition = int32(v.rnd.IntN(v.cfg.Sale.Partitions))
	v.event = int64(v.partition)*perPartition + 1 + int64(v.rnd.IntN(perPartition))
	if v.chance(3) {
		v.rubbish(ctx)
		return
	}
	h := newHold(v.name)
	v.booking, v.tickets = h.booking, 1
	if v.chance(50) {
		v.tickets = 1 + v.rnd.IntN(4)
		h.lines = []wire.Line{{Type: 1, Quantity: uint16(v.tickets)}}
	}
	if v.chance(20) {
		h.flags = wire.FlagKeyed
	}
	value := h.record(v.event, v.chance(50))
	a, ok := v.send(ctx, v.partition, h.command, value)
	if v.chance(10) {
		// Sent again, as after a timeout: the first answer, or none, must not change.
		v.send(ctx, v.partition, h.command, value)
	}
	switch {
	case !ok:
	case a.Kind == wire.KindHeld:
		v.own(ctx, a.Total)
	case a.Kind == wire.KindWaitlisted:
		within, cancel := context.WithTimeout(ctx, offerWait)
		offer, ok := v.deps.Watch.Offer(within, v.booking)
		cancel()
		if ok {
			v.own(ctx, offer.Total)
		} else {
			v.cancel(ctx, v.name)
		}
	}
}

// rubbish is what nobody honest sends.
func (v *visitor) rubbish(ctx context.Context) {
	value := make([]byte, v.rnd.IntN(300))
	for i := range value {
		value[i] = byte(v.rnd.Uint32())
	}
	if v.chance(50) {
		// The head of an honest record over a body that is not.
		value = append(wire.AppendRecord(nil, wire.Record{Object: v.event}, &wire.Extend{Scope: 0, By: 1})[:wire.RecordHeaderSize], value...)
	}
	v.send(ctx, v.partition, wire.ID{}, value)
}

// own is what happens to a hold.
func (v *visitor) own(ctx context.Context, total int64) {
	switch n := v.rnd.IntN(100); {
	case n < 50:
		v.pay(ctx, total)
	case n < 70:
		v.cancel(ctx, v.name)
	case n < 75:
		v.cancel(ctx, "somebody else")
	case n < 85:
		pause(ctx, latePayment)
		v.pay(ctx, total)
	}
}

func (v *visitor) cancel(ctx context.Context, user string) {
	command := randomID()
	v.send(ctx, v.partition, command, wire.AppendRecord(nil, wire.Record{
		Object: v.event, Ref: v.booking, Command: command, NotAfter: time.Now().Add(commandLife).UnixMicro(),
	}, &wire.Cancel{UserKey: sale.UserKey(user)}))
}

// insist sends a command that is idempotent by its state until it was answered, as the outbox does.
func (v *visitor) insist(ctx context.Context, body wire.Body) (Answer, bool) {
	value := wire.AppendRecord(nil, wire.Record{Object: v.event, Ref: v.booking}, body)
	for range moneyTries {
		if a, ok := v.send(ctx, v.partition, wire.ID{}, value); ok || ctx.Err() != nil {
			return a, ok
		}
	}
	return Answer{}, false
}

// pay authorises a payment, whose rows are there first. Without the database there is no paying.
func (v *visitor) pay(ctx context.Context, total int64) {
	attempt := newUUID()
	if !v.begin(ctx, sale.UUID(attempt), total) {
		return
	}
	v.insist(ctx, &wire.PaymentStarted{UserKey: sale.UserKey(v.name), Attempt: attempt})
	if v.chance(5) {
		return // the card was declined
	}
	a, ok := v.insist(ctx, &wire.Authorised{
		Attempt: attempt, Amount: total, Currency: [3]byte([]byte("EUR")), Intent: fmt.Appendf(nil, "pi_%s", wire.Hex(attempt)),
	})
	if !ok || a.Kind != wire.KindConfirmed {
		return
	}
	switch n := v.rnd.IntN(100); {
	case n < 15:
		v.insist(ctx, &wire.Refunded{Refund: newUUID(), Return: v.chance(50), Tickets: []uint16{uint16(v.rnd.IntN(v.tickets))}})
	case n < 22:
		v.captureFails(attempt)
	case n < 26:
		v.insist(ctx, &wire.Revoke{Reason: wire.ReasonCancelledByShop, Return: true})
	}
}

// captureFails does what a worker does when money cannot be taken: it tells the log, then the rows, until both know. What
// it has begun it finishes even if the fans are sent home.
func (v *visitor) captureFails(attempt wire.ID) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	a, ok := v.insist(ctx, &wire.CaptureFailed{Attempt: attempt})
	for ok && a.Kind == wire.KindFrozen && ctx.Err() == nil {
		err := v.deps.DB.Money(ctx, func(m *store.Money) error {
			_, err := m.MoveAttempt(ctx, store.Attempt{ID: sale.UUID(attempt)}, []string{"open", "authorised", "confirmed"}, "failed")
			return err
		})
		if err == nil {
			return
		}
		pause(ctx, databaseAgain)
	}
}

// begin makes the rows that a payment has before its authorisation; it is tried again while the database is away.
func (v *visitor) begin(ctx context.Context, attempt sale.UUID, total int64) bool {
	ctx, cancel := context.WithTimeout(ctx, databaseWait)
	defer cancel()
	payment := store.Payment{
		ID: sale.UUID(newUUID()), Booking: sale.UUID(v.booking), Event: v.event, User: v.name, Amount: total, Currency: "EUR", Status: "started",
	}
	for ctx.Err() == nil {
		err := v.deps.DB.Money(ctx, func(m *store.Money) error {
			if ok, err := m.AddPayment(ctx, payment); err != nil || !ok {
				return fmt.Errorf("adding a payment (%t): %w", ok, err)
			}
			return m.AddAttempt(ctx, store.Attempt{ID: attempt, Payment: payment.ID, Number: 1, Status: "open"})
		})
		if err == nil {
			return true
		}
		// A commit whose answer was lost.
		if _, _, there, err := v.deps.DB.Attempt(ctx, attempt); err == nil && there {
			return true
		}
		pause(ctx, databaseAgain)
	}
	return false
}
