package stripesim

import (
	"fmt"
	"strings"
)

// OpenDispute opens a dispute over the whole of a captured charge, as a bank would, and returns its id.
func (s *Sim) OpenDispute(charge, reason string) (string, error) {
	return s.OpenDisputeOf(charge, reason, 0)
}

// OpenDisputeOf opens a dispute over part of a captured charge; 0 stands for the whole.
func (s *Sim) OpenDisputeOf(charge, reason string, amount int64) (string, error) {
	var id string
	err := s.act(func(t *tx) error {
		ch := t.charge(charge)
		if ch == nil || !ch.Captured || ch.Disputed {
			return fmt.Errorf("open dispute: charge %s is unknown, not captured or disputed already", charge)
		}
		if amount < 0 || amount > ch.AmountCaptured {
			return fmt.Errorf("open dispute: amount %d is not of what was captured", amount)
		}
		id = t.dispute(ch, reason, amount).ID
		return nil
	})
	return id, err
}

// DecideDispute is the bank's verdict: won or lost.
func (s *Sim) DecideDispute(id, verdict string) error {
	return s.act(func(t *tx) error {
		d := s.state.disputes.get(id)
		if d == nil || !isOpen(d) || verdict != "won" && verdict != "lost" {
			return fmt.Errorf("decide dispute: %s is unknown or closed, or %q is neither won nor lost", id, verdict)
		}
		t.decide(with(d, func(*Dispute) {}), verdict)
		return nil
	})
}

// isOpen says whether a dispute is still to be decided.
func isOpen(d *Dispute) bool { return d.Status == "needs_response" || d.Status == "under_review" }

// disputeIfAsked opens a dispute for the cards made for it.
func (t *tx) disputeIfAsked(ch *Charge, c card) {
	if c.dispute != "" {
		t.dispute(ch, c.dispute, 0)
	}
}

// dispute withdraws the captured amount, or part of it, and a fee until the case is decided.
func (t *tx) dispute(old *Charge, reason string, amount int64) *Dispute {
	if amount == 0 {
		amount = old.AmountCaptured
	}
	d := &Dispute{
		ID: t.id("dp"), Charge: old.ID, Intent: old.Intent, Amount: amount, Currency: old.Currency,
		Reason: reason, Status: "needs_response", DueBy: t.now.Add(evidenceWindow).Unix(), Created: t.second(),
	}
	d.Transactions = []string{
		t.move("adjustment", "dispute", -d.Amount, disputeFeeOf(d.Currency), d.Currency, d.ID, "Chargeback withdrawal").ID,
	}
	t.putDispute(d)
	t.putCharge(with(old, func(v *Charge) { v.Disputed = true }))
	t.emit("charge.dispute.created", Event{Dispute: d})
	t.emit("charge.dispute.funds_withdrawn", Event{Dispute: d})
	return d
}

// updateDispute is POST /v1/disputes/{id}. Submitted evidence decides the case at once: text that contains
// winning_evidence or losing_evidence says how; any other leaves it under review.
func updateDispute(t *tx, r *request) (any, error) {
	old := t.sim.state.disputes.get(r.id)
	if old == nil {
		return nil, missing("id", "No such dispute: '%s'", r.id)
	}
	p := r.params
	evidence := old.Evidence
	if p.has("evidence[uncategorized_text]") {
		evidence = p.text("evidence[uncategorized_text]", 20_000)
	}
	submit := p.choice("submit", "true", "false") != "false"
	metadata := p.metadata(old.Metadata)
	p.accept("evidence")
	if err := p.done(); err != nil {
		return nil, err
	}
	if old.Status != "needs_response" {
		return nil, refused("", "", "This dispute is already closed or under review.")
	}
	d := with(old, func(v *Dispute) { v.Evidence, v.Metadata = evidence, metadata })
	if !submit || evidence == "" {
		t.putDispute(d)
		t.emit("charge.dispute.updated", Event{Dispute: d})
		return d, nil
	}
	d.Submissions++
	switch {
	case strings.Contains(evidence, "winning_evidence"):
		return t.decide(d, "won"), nil
	case strings.Contains(evidence, "losing_evidence"):
		return t.decide(d, "lost"), nil
	}
	d.Status = "under_review"
	t.putDispute(d)
	t.emit("charge.dispute.updated", Event{Dispute: d})
	return d, nil
}

// closeDispute is POST /v1/disputes/{id}/close: the shop accepts that it lost.
func closeDispute(t *tx, r *request) (any, error) {
	old := t.sim.state.disputes.get(r.id)
	if old == nil {
		return nil, missing("id", "No such dispute: '%s'", r.id)
	}
	if err := r.params.done(); err != nil {
		return nil, err
	}
	if old.Status != "needs_response" {
		return nil, refused("", "", "This dispute is already closed or under review.")
	}
	return t.decide(with(old, func(*Dispute) {}), "lost"), nil
}

// decide closes a dispute; a won one gives the amount back, not the fee.
func (t *tx) decide(d *Dispute, status string) *Dispute {
	d.Status = status
	if status == "won" {
		back := t.move("adjustment", "dispute_reversal", d.Amount, 0, d.Currency, d.ID, "Chargeback reversal")
		d.Transactions = append(append([]string(nil), d.Transactions...), back.ID)
		t.putCharge(with(t.charge(d.Charge), func(v *Charge) { v.Disputed = false }))
	}
	t.putDispute(d)
	if status == "won" {
		t.emit("charge.dispute.funds_reinstated", Event{Dispute: d})
	}
	t.emit("charge.dispute.closed", Event{Dispute: d})
	return d
}
