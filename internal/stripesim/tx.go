package stripesim

import (
	"time"
)

// tx is one transaction: the versions and events it will publish, all at once or not at all. It lives while Sim.mu is
// held.
type tx struct {
	sim     *Sim
	now     time.Time
	request string // Request-Id; empty when the account itself acts
	key     string // Idempotency-Key
	call    Call   // for the card's fault point
	line    *line
}

// begin starts a transaction. The caller holds s.mu.
func (s *Sim) begin(request, key string) *tx {
	return &tx{sim: s, now: s.clock(), request: request, key: key, line: &line{}}
}

// second is the transaction's time in Stripe's unit.
func (t *tx) second() int64 { return t.now.Unix() }

// id makes an object id of the shape prefix_1…, 24 random characters behind the prefix.
func (t *tx) id(prefix string) string { return prefix + "_3S" + t.random(22) }

// random is a string of n characters of base 62.
func (t *tx) random(n int) string { return t.sim.randomText(n) }

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomText draws n characters. The caller holds s.mu. A random source that ends is a fault of the machine that no
// answer could be right about.
func (s *Sim) randomText(n int) string {
	out := make([]byte, 0, n)
	for len(out) < n {
		b, err := s.random.ReadByte()
		if err != nil {
			panic("stripesim: random source failed: " + err.Error())
		}
		if b < 248 { // 4 × 62: every character equally likely
			out = append(out, base62[b%62])
		}
	}
	return string(out)
}

func (t *tx) putIntent(v *Intent)           { t.line.Intents = append(t.line.Intents, v) }
func (t *tx) putCharge(v *Charge)           { t.line.Charges = append(t.line.Charges, v) }
func (t *tx) putRefund(v *Refund)           { t.line.Refunds = append(t.line.Refunds, v) }
func (t *tx) putTransaction(v *Transaction) { t.line.Transactions = append(t.line.Transactions, v) }
func (t *tx) putDispute(v *Dispute)         { t.line.Disputes = append(t.line.Disputes, v) }

// emit adds an event about exactly one of the objects in e.
func (t *tx) emit(kind string, e Event) {
	e.ID, e.Type, e.Created, e.Request, e.Key = t.id("evt"), kind, t.second(), t.request, t.key
	e.Pending = t.sim.state.hooked
	t.line.Events = append(t.line.Events, &e)
}

func (t *tx) emitIntent(kind string, v *Intent) { t.emit(kind, Event{Intent: v}) }
func (t *tx) emitCharge(kind string, v *Charge) { t.emit(kind, Event{Charge: v}) }

// intent finds one that the path names.
func (t *tx) intent(id string) (*Intent, error) {
	if v := t.sim.state.intents.get(id); v != nil {
		return v, nil
	}
	return nil, missing("intent", "No such payment_intent: '%s'", id)
}

// strike asks the fault policy about a decision that is taken inside the transaction.
func (t *tx) strike(point Point, object string) Fault {
	t.call.Point, t.call.Object = point, object
	return t.sim.faults.At(t.call)
}

// charge finds one by id.
func (t *tx) charge(id string) *Charge { return t.sim.state.charges.get(id) }
