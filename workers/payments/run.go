package payments

import (
	"context"
	"crypto/sha256"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

// runBatch is how many bookings of a whole event's refund are ordered between two notes of progress.
const runBatch = 100

// Run orders the refund of every sold booking of an event. A refund's id follows from run and booking, so a batch that was
// cut short is ordered again without harm, and who comes later goes on from the last note.
func (h *Handlers) Run(ctx context.Context, o store.Obligation) error {
	t, err := taskOf(o)
	if err != nil {
		return err
	}
	for {
		r, ok, err := h.store.RefundRun(ctx, t.Run)
		if err != nil {
			return err
		}
		if !ok {
			return h.store.Money(ctx, func(m *store.Money) error { return m.Done(ctx, o.Kind, o.Cause) })
		}
		batch, err := h.store.NextToRefund(ctx, r, runBatch)
		if err != nil {
			return err
		}
		var last sale.UUID
		for _, booking := range batch {
			if err := h.orderRefund(ctx, r, booking); err != nil {
				return err
			}
			last = booking
		}
		if err := h.payments.At(payment.PointDone); err != nil {
			return err
		}
		if err := h.store.RunOrdered(ctx, r.ID, last); err != nil {
			return err
		}
	}
}

func (h *Handlers) orderRefund(ctx context.Context, r store.RefundRun, booking sale.UUID) error {
	live, err := h.store.LiveNumbers(ctx, booking)
	if err != nil || len(live) == 0 {
		return err
	}
	return h.payments.Refund(ctx, payment.RefundRequest{
		Refund: refundID(r.ID, booking), Booking: booking, Tickets: live, Return: r.Return, KeepFees: !r.Fees, Run: r.ID,
	})
}

// refundID is the id of a booking's refund in a run: a UUIDv8 (RFC 9562) of both.
func refundID(run, booking sale.UUID) (id sale.UUID) {
	sum := sha256.Sum256(append(run[:], booking[:]...))
	copy(id[:], sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return id
}
