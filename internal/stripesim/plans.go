package stripesim

import (
	"container/heap"
	"time"
)

// What a plan does.
const (
	planSecure   = "secure"   // the shopper answers the bank with Reason
	planDispute  = "dispute"  // the bank opens a dispute for Reason; Then is the verdict that follows, if any
	planVerdict  = "verdict"  // the bank decides the charge's dispute: Reason
	planGiveBack = "giveback" // somebody refunds Amount by hand
)

// plans is a heap of plans, the next first.
type plans []*Plan

func (h plans) Len() int           { return len(h) }
func (h plans) Less(i, j int) bool { return h[i].At < h[j].At }
func (h plans) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *plans) Push(v any)        { *h = append(*h, v.(*Plan)) }
func (h *plans) Pop() any {
	old := *h
	v := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return v
}

// plan makes something happen after a while.
func (t *tx) plan(after time.Duration, p Plan) {
	p.ID, p.At = t.id("plan"), t.now.Add(after).UnixMilli()
	t.line.Plans = append(t.line.Plans, &p)
}

// nextPlan carries out one plan that is due and says whether there was one. What it was about may have changed
// meanwhile; then nothing happens.
func (t *tx) nextPlan() bool {
	st := t.sim.state
	for len(st.planned) > 0 && st.planned[0].At <= t.now.UnixMilli() {
		p := heap.Pop(&st.planned).(*Plan)
		if st.plans[p.ID] != p {
			continue
		}
		t.line.Ended = append(t.line.Ended, p.ID)
		t.carryOut(p)
		return true
	}
	return false
}

func (t *tx) carryOut(p *Plan) {
	st := t.sim.state
	switch p.Do {
	case planSecure:
		if pi := st.intents.get(p.Object); pi != nil {
			// A decline is published like any other change; there is nobody to tell.
			_ = t.finishSecure(pi, p.Reason == SecureComplete)
		}
	case planDispute:
		if ch := t.charge(p.Object); ch != nil && ch.Captured && !ch.Disputed {
			t.dispute(ch, p.Reason, 0)
			if p.Then != "" {
				t.plan(p.After, Plan{Do: planVerdict, Object: p.Object, Reason: p.Then})
			}
		}
	case planVerdict:
		for d := range st.disputes.oldestFirst() {
			if d.Charge == p.Object && isOpen(d) {
				t.decide(with(d, func(*Dispute) {}), p.Reason)
				return
			}
		}
	case planGiveBack:
		if ch := t.charge(p.Object); ch != nil && ch.Captured && !ch.Disputed && ch.Amount > ch.AmountRefunded {
			t.refund(ch, min(p.Amount, ch.Amount-ch.AmountRefunded), "requested_by_customer", nil)
		}
	}
}

// afterTaking plans what a fault does to money that was just taken.
func (t *tx) afterTaking(ch *Charge, f Fault) {
	if f.Dispute != "" {
		t.plan(f.Delay, Plan{Do: planDispute, Object: ch.ID, Reason: f.Dispute, Then: f.Verdict, After: f.Delay})
	}
	if f.GiveBack > 0 {
		t.plan(f.Delay, Plan{Do: planGiveBack, Object: ch.ID, Amount: f.GiveBack})
	}
}
