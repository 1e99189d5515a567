package stripesim

import (
	"container/heap"
	"context"
	"time"
)

// sweep lets time pass until ctx ends.
func (s *Sim) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.Tick(); err != nil {
				s.log.Error("stripe simulator: time did not pass", "error", err)
			}
		}
	}
}

// Tick does what has come due by the clock: authorisations seven days old lapse, slow refunds settle, plans happen, keys
// and events past their retention are forgotten. Run calls it four times a second; tests that move the clock call it themselves.
func (s *Sim) Tick() error {
	for {
		more := false
		err := s.act(func(t *tx) error {
			s.state.forget(t.now)
			more = t.passOne()
			return nil
		})
		if err != nil || !more {
			return err
		}
	}
}

// passOne does one thing that has come due and says whether there was one. One a transaction, because two may concern
// the same charge.
func (t *tx) passOne() bool {
	st := t.sim.state
	if len(st.authorised) > 0 && st.authorised[0].at <= t.second() {
		t.lapse(heap.Pop(&st.authorised).(expiry).charge)
		return true
	}
	for id := range st.settling {
		if re := st.refunds.get(id); re.SettleAt <= t.now.UnixMilli() {
			t.settle(re)
			return true
		}
	}
	return t.nextPlan()
}
