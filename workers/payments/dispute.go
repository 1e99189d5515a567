package payments

import (
	"context"
	"fmt"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

// ResolveDispute looks at a dispute at the provider and brings us up to what it shows.
func (h *Handlers) ResolveDispute(ctx context.Context, id string) error {
	c, err := h.stripe.Complaint(ctx, id)
	if err != nil {
		return err
	}
	return h.dispute(ctx, c)
}

// AdoptDisputes looks at all disputes of an intent.
func (h *Handlers) AdoptDisputes(ctx context.Context, intent string) error {
	all, err := h.stripe.Complaints(ctx, intent)
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := h.dispute(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// dispute brings us up to what a dispute shows: while it is open the tickets that the money paid for do not scan and nothing
// is refunded; won, all is as before; lost, the tickets end and nothing more goes back. A mere inquiry, for which the bank
// took no money, is only shown.
func (h *Handlers) dispute(ctx context.Context, c payment.Complaint) error {
	a, p, known, err := h.store.AttemptByIntent(ctx, c.Intent)
	if err != nil || !known {
		return err // not of our making: reconciliation reports it
	}
	if payment.State(a.Status) == payment.Confirmed {
		return fmt.Errorf("%w: dispute %s of money whose capture is not written down yet", ErrEarly, c.ID)
	}
	return h.store.Money(ctx, func(m *store.Money) error {
		// Outcomes and payments lock the booking first.
		if _, _, err := m.LockBooking(ctx, p.Booking); err != nil {
			return err
		}
		if _, _, err := m.Payment(ctx, p.ID); err != nil {
			return err
		}
		d, ok, err := m.Dispute(ctx, c.ID)
		if err != nil || ok && d.Status != "open" {
			return err
		}
		if !ok {
			d = store.Dispute{
				ID: c.ID, Payment: p.ID, Attempt: a.ID, Booking: p.Booking, Event: p.Event, Currency: c.Currency, Reason: c.Reason, Status: "open",
			}
		}
		d.Provider, d.DueBy = c.Status, c.DueBy
		if c.Withdrawn && d.Amount == 0 {
			if err := h.openDispute(ctx, m, p, a, &d, c); err != nil {
				return err
			}
		}
		return h.closeDispute(ctx, m, p, d)
	})
}

// openDispute freezes what the withdrawn money paid for, posts it, and tells fan and organiser.
func (h *Handlers) openDispute(ctx context.Context, m *store.Money, p store.Payment, a store.Attempt, d *store.Dispute, c payment.Complaint) error {
	all, err := m.Attempts(ctx, p.ID)
	if err != nil {
		return err
	}
	var value int64
	if payer(all).ID == a.ID {
		frozen, err := m.FreezeDisputed(ctx, p.Booking)
		if err != nil {
			return err
		}
		withheld, err := m.WithholdRefunds(ctx, p.ID)
		if err != nil {
			return err
		}
		value = frozen + withheld
	}
	d.Amount, d.Covered = c.Amount, min(c.Amount, value)
	posting, err := payment.DisputePosting(d.ID, d.Currency, d.Amount, d.Covered)
	if err != nil {
		return err
	}
	if err := post(ctx, m, p, posting); err != nil {
		return err
	}
	data := map[string]any{
		"amount": sale.Money{Minor: d.Amount, Currency: d.Currency}.String(), "currency": d.Currency, "reason": d.Reason,
		"dispute": d.ID, "evidenceDueBy": d.DueBy,
	}
	if err := h.tellOrganiser(ctx, m, p, "disputeOpened", payment.FactDispute+d.ID+"/organiser", data); err != nil {
		return err
	}
	return tell(ctx, m, p, "disputed", payment.FactDispute+d.ID, map[string]any{"amount": data["amount"], "currency": d.Currency})
}

// closeDispute writes the dispute down and, if the bank has decided, what follows.
func (h *Handlers) closeDispute(ctx context.Context, m *store.Money, p store.Payment, d store.Dispute) error {
	switch d.Provider {
	case "won", "warning_closed":
		d.Status = "won"
	case "lost":
		d.Status = "lost"
	}
	if err := m.PutDispute(ctx, d); err != nil || d.Status == "open" {
		return err
	}
	if d.Amount > 0 {
		if err := h.decided(ctx, m, p, d); err != nil {
			return err
		}
	}
	return h.tellOrganiser(ctx, m, p, "disputeClosed", "dispute-closed:"+d.ID, map[string]any{"dispute": d.ID, "result": d.Status})
}

// decided undoes a dispute that was won, and ends the tickets of one that was lost.
func (h *Handlers) decided(ctx context.Context, m *store.Money, p store.Payment, d store.Dispute) error {
	if d.Status == "lost" {
		to := "cancelled" // the bank has given the fan what these would have
		if d.Covered == 0 {
			to = "due"
		}
		if err := m.ReleaseRefunds(ctx, p.ID, to); err != nil {
			return err
		}
		_, err := m.Oblige(ctx, payment.KindEnd, "dispute/"+d.ID, payment.Task{Event: p.Event, Booking: p.Booking})
		return err
	}
	entries, err := m.Entries(ctx, payment.FactDispute+d.ID)
	if err != nil {
		return err
	}
	opened := make([]payment.Entry, len(entries))
	for i, e := range entries {
		opened[i] = payment.Entry{Account: e.Account, Amount: e.Amount}
	}
	back, err := payment.DisputeWonPosting(d.ID, d.Currency, opened)
	if err != nil {
		return err
	}
	if err := post(ctx, m, p, back); err != nil {
		return err
	}
	if still, err := m.OpenDispute(ctx, p.ID); err != nil || still {
		return err
	}
	if err := m.ThawDisputed(ctx, p.Booking); err != nil {
		return err
	}
	return m.ReleaseRefunds(ctx, p.ID, "due")
}

// uncover corrects a dispute when a refund that it withheld had been accepted all the same: what went back is no longer the
// fan's, so that much more is lost.
func uncover(ctx context.Context, m *store.Money, p store.Payment, r store.Refund, refund string) error {
	d, ok, err := m.DisputeOf(ctx, p.ID)
	if err != nil || !ok {
		return err
	}
	part := min(d.Covered, r.Amount+r.Retained)
	if part == 0 {
		return nil
	}
	posting, err := payment.UncoverPosting(d.ID, refund, d.Currency, part)
	if err != nil {
		return err
	}
	if err := post(ctx, m, p, posting); err != nil {
		return err
	}
	d.Covered -= part
	return m.PutDispute(ctx, d)
}

// tellOrganiser puts a notice into the inbox of the event's organiser.
func (h *Handlers) tellOrganiser(ctx context.Context, m *store.Money, p store.Payment, kind, cause string, data map[string]any) error {
	user, err := m.OrganiserOf(ctx, p.Event)
	if err != nil {
		return err
	}
	p.User = user
	return tell(ctx, m, p, kind, cause, data)
}
