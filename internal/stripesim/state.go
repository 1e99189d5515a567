package stripesim

import (
	"container/heap"
	"time"
)

// line is one transaction as the journal keeps it: the versions it published and the answer it saved.
type line struct {
	Intents      []*Intent      `json:"pi,omitempty"`
	Charges      []*Charge      `json:"ch,omitempty"`
	Refunds      []*Refund      `json:"re,omitempty"`
	Transactions []*Transaction `json:"txn,omitempty"`
	Disputes     []*Dispute     `json:"dp,omitempty"`
	Events       []*Event       `json:"evt,omitempty"`
	Plans        []*Plan        `json:"plan,omitempty"`
	Ended        []string       `json:"ended,omitempty"` // plans that have happened
	Answer       *savedAnswer   `json:"key,omitempty"`
	Done         []string       `json:"done,omitempty"`   // events whose webhook needs no more tries
	Hooked       bool           `json:"hooked,omitempty"` // an endpoint is set: later events have a webhook
}

// empty says that the transaction publishes nothing.
func (l *line) empty() bool {
	return len(l.Intents)+len(l.Charges)+len(l.Refunds)+len(l.Transactions)+len(l.Disputes)+len(l.Events)+
		len(l.Plans)+len(l.Ended)+len(l.Done) == 0 && l.Answer == nil && !l.Hooked
}

// state is everything the account knows. Sim.mu guards it.
type state struct {
	intents      *shelf[Intent]
	charges      *shelf[Charge]
	refunds      *shelf[Refund]
	transactions *shelf[Transaction]
	disputes     *shelf[Dispute]
	events       *shelf[Event]
	answers      map[string]*savedAnswer
	answerOrder  []*savedAnswer // by age, for forgetting
	hooked       bool
	due          deliveries      // webhooks to send, by time
	settling     map[string]bool // refunds that will change by themselves
	authorised   expiries        // authorisations by the second they lapse
	plans        map[string]*Plan
	planned      plans // the same by time; what is not in the map any more is skipped
	maxEvents    int
}

func newState(cfg Config) *state {
	return &state{
		intents:      newShelf(func(v *Intent) (string, []string) { return v.ID, nil }),
		charges:      newShelf(func(v *Charge) (string, []string) { return v.ID, []string{v.Intent} }),
		refunds:      newShelf(func(v *Refund) (string, []string) { return v.ID, []string{v.Charge, v.Intent} }),
		transactions: newShelf(func(v *Transaction) (string, []string) { return v.ID, []string{v.Source} }),
		disputes:     newShelf(func(v *Dispute) (string, []string) { return v.ID, []string{v.Charge, v.Intent} }),
		events:       newShelf(func(v *Event) (string, []string) { return v.ID, nil }),
		answers:      map[string]*savedAnswer{},
		settling:     map[string]bool{},
		plans:        map[string]*Plan{},
		maxEvents:    cfg.MaxEvents,
	}
}

// apply publishes a transaction. Applying the same line again changes nothing, which is what makes a journal that
// overlaps its snapshot harmless.
func (st *state) apply(l *line) {
	for _, v := range l.Intents {
		st.intents.put(v)
	}
	for _, v := range l.Charges {
		st.charges.put(v)
		if v.CaptureBefore > 0 && !v.Captured && v.AmountRefunded == 0 {
			heap.Push(&st.authorised, expiry{at: v.CaptureBefore, charge: v.ID})
		}
	}
	for _, v := range l.Refunds {
		st.refunds.put(v)
		if v.SettleAt > 0 {
			st.settling[v.ID] = true
		} else {
			delete(st.settling, v.ID)
		}
	}
	for _, v := range l.Transactions {
		st.transactions.put(v)
	}
	for _, v := range l.Disputes {
		st.disputes.put(v)
	}
	for _, v := range l.Events {
		st.putEvent(v)
	}
	for _, v := range l.Plans {
		if st.plans[v.ID] == nil {
			st.plans[v.ID] = v
			heap.Push(&st.planned, v)
		}
	}
	for _, id := range l.Ended {
		delete(st.plans, id)
	}
	for _, id := range l.Done {
		st.finish(id)
	}
	if l.Answer != nil {
		st.saveAnswer(l.Answer)
	}
	st.hooked = st.hooked || l.Hooked
}

// putEvent keeps an event and drops the oldest above the limit, with its webhook if that was still due.
func (st *state) putEvent(v *Event) {
	fresh := st.events.get(v.ID) == nil
	st.events.put(v)
	if fresh && v.Pending {
		heap.Push(&st.due, &delivery{event: v.ID})
	}
	for st.events.len() > st.maxEvents {
		st.events.dropOldest()
	}
}

// finish marks an event's webhook as needing no more tries.
func (st *state) finish(id string) {
	if e := st.events.get(id); e != nil && e.Pending {
		st.events.put(with(e, func(e *Event) { e.Pending = false }))
	}
}

// restored throws away what the journal's later lines made pointless.
func (st *state) restored() {
	kept := st.due[:0]
	for _, d := range st.due {
		if e := st.events.get(d.event); e != nil && e.Pending {
			kept = append(kept, d)
		}
	}
	st.due = kept
	heap.Init(&st.due)
}

// saveAnswer keeps an answer under its key; a key that was forgotten and used again has the newer answer.
func (st *state) saveAnswer(a *savedAnswer) {
	st.answers[a.Key] = a
	st.answerOrder = append(st.answerOrder, a)
}

// forget drops answers and events that are older than Stripe keeps them.
func (st *state) forget(now time.Time) {
	oldest := now.Add(-keyRetention).Unix()
	for len(st.answerOrder) > 0 && st.answerOrder[0].Created <= oldest {
		a := st.answerOrder[0]
		st.answerOrder[0] = nil
		st.answerOrder = st.answerOrder[1:]
		if st.answers[a.Key] == a {
			delete(st.answers, a.Key)
		}
	}
	oldest = now.Add(-eventRetention).Unix()
	for st.events.len() > 0 && st.events.at(0).Created < oldest {
		st.events.dropOldest()
	}
}

// lines is the whole state as transactions that rebuild it, oldest objects first. Objects are shared, not copied.
func (st *state) lines() []*line {
	out := []*line{{Hooked: st.hooked}}
	for v := range st.intents.oldestFirst() {
		out = append(out, &line{Intents: []*Intent{v}})
	}
	for v := range st.charges.oldestFirst() {
		out = append(out, &line{Charges: []*Charge{v}})
	}
	for v := range st.refunds.oldestFirst() {
		out = append(out, &line{Refunds: []*Refund{v}})
	}
	for v := range st.transactions.oldestFirst() {
		out = append(out, &line{Transactions: []*Transaction{v}})
	}
	for v := range st.disputes.oldestFirst() {
		out = append(out, &line{Disputes: []*Dispute{v}})
	}
	for v := range st.events.oldestFirst() {
		out = append(out, &line{Events: []*Event{v}})
	}
	for _, v := range st.planned {
		if st.plans[v.ID] == v {
			out = append(out, &line{Plans: []*Plan{v}})
		}
	}
	for _, a := range st.answerOrder {
		out = append(out, &line{Answer: a})
	}
	return out
}

// expiry is an authorisation that lapses at a unix second.
type expiry struct {
	at     int64
	charge string
}

// expiries is a heap of authorisations, the next to lapse first. Entries whose charge was captured or released
// meanwhile are skipped when they come up.
type expiries []expiry

func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].at < h[j].at }
func (h expiries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiries) Push(v any)        { *h = append(*h, v.(expiry)) }
func (h *expiries) Pop() any {
	old := *h
	v := old[len(old)-1]
	*h = old[:len(old)-1]
	return v
}
