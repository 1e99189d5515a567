package simulation

import (
	"encoding/binary"
	"fmt"

	"fairgate/internal/answer"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// crowd is everybody outside: fans, operators, and the workers that tell of payments. It remembers what it was told.
type crowd struct {
	w     *world
	count uint64 // of ids drawn so far
	quiet bool   // nobody sends anything new

	made     []offer // bookings that could be paid or cancelled, the newest last
	sold     []offer
	payments map[wire.ID]*payment // that were not answered yet
	order    []*payment
	promises []promise // commands of which somebody was told that they were not taken
	pending  []asked   // commands of which somebody was told to ask again
	lines    lines
	names    [users][]byte
	keys     [users]wire.ID
}

// asked is a command whose fate somebody wants to know.
type asked struct {
	cmd   *command
	until int64
}

// command is what a fan wants.
type command struct {
	head  wire.Record
	body  wire.Body
	life  int64
	tries int
	asked int64 // the newest not-after under which it was looked up
	// denied are the not-afters of requests that were not taken; no other one has the same. A fan tries a few times.
	denied []int64
}

// offer is a booking as somebody outside knows it.
type offer struct {
	event  int64
	ref    wire.ID
	user   wire.ID
	amount int64
	paid   wire.ID
}

// payment is an authorisation that is told again until it was answered.
type payment struct {
	offer
	attempt wire.ID
	value   []byte
	sent    int64
	over    bool
}

// promise is a command that somebody was told was not taken and will not be.
type promise struct {
	command wire.ID
	until   int64
	all     bool // of every request up to until, not of that one alone
}

func (p promise) broken(f first) bool { return f.notAfter == p.until || p.all && f.notAfter < p.until }

const users = 40

var currency = [3]byte{'E', 'U', 'R'}

func newCrowd(w *world) *crowd {
	c := &crowd{w: w, payments: map[wire.ID]*payment{}}
	for i := range c.names {
		c.names[i] = fmt.Appendf(nil, "user-%d", i)
		c.keys[i] = sale.UserKey(string(c.names[i]))
	}
	return c
}

// id draws an id that nobody else has.
func (c *crowd) id(kind byte) (id wire.ID) {
	c.count++
	binary.BigEndian.PutUint64(id[:], c.w.Uint64())
	binary.BigEndian.PutUint32(id[8:], uint32(c.count))
	id[12] = kind
	return id
}

// define is what the operator did before: events with their types. The log may have a longer past than Postgres knows.
func (c *crowd) define() {
	w := c.w
	put := func(h wire.Record, b wire.Body) {
		w.broker.put(w.broker.log, [][]byte{wire.AppendRecord(nil, h, b)}, nil)
	}
	if w.shape.past > 0 {
		put(wire.Record{}, &wire.Epoch{Epoch: w.shape.past, Leader: wire.ID{'o', 'l', 'd'}, Code: w.machine().Code()})
	}
	if w.shape.waiting {
		c.lines.define(c, put)
		return
	}
	for e := int64(1); e <= int64(w.shape.events); e++ {
		put(wire.Record{Object: e}, &wire.DefineEvent{
			Currency: currency, Hold: w.round(12 * sale.Second), Offer: w.round(6 * sale.Second), Grace: w.round(8 * sale.Second),
			Frozen:  w.round(8 * sale.Second),
			PerUser: uint16(w.IntN(3) * 4), NeedsPass: w.IntN(4) == 0,
		})
		if w.shape.cards {
			put(wire.Record{Object: e}, c.limit(1, 2))
		}
		for k := range uint32(2) {
			put(wire.Record{Object: e}, &wire.DefineType{
				Type: k + 1, Capacity: uint32(w.IntN(w.shape.capacity)), PerUser: uint16(3 * k), Default: k == 0,
				Price: wire.Price{Ticket: int64(w.IntN(3)) * 1_000, Fee: int64(w.IntN(2)) * 150, TaxRate: 200_000, Included: k == 1},
			})
		}
	}
}

// round draws a length of at least a second that coarse clocks can meet exactly.
func (w *world) round(most int64) int64 {
	const step = 100 * sale.Millisecond
	return w.between(sale.Second, most) / step * step
}

// start lets fans come and workers tell.
func (c *crowd) start() {
	var next func()
	next = func() {
		if c.quiet {
			return
		}
		if c.w.cfg.Heavy {
			c.flood()
		} else {
			c.come()
		}
		c.w.after(c.w.between(c.w.shape.gap/10, 2*c.w.shape.gap), next)
	}
	next()
	c.w.every(700*sale.Millisecond, c.tellAgain)
}

// door is a gateway that is up, or nil.
func (c *crowd) door() *gateway {
	g := c.w.gateways[c.w.IntN(len(c.w.gateways))]
	if !g.alive {
		return nil
	}
	return g
}

// come is one fan with one wish.
func (c *crowd) come() {
	head, body := c.wish()
	if body == nil {
		return
	}
	if head.Command == (wire.ID{}) {
		c.post(wire.AppendRecord(nil, head, body))
		return
	}
	cmd := &command{head: head, body: body, life: c.w.between(200*sale.Millisecond, 6*sale.Second)}
	c.try(cmd)
	if cmd.head.Flags&wire.FlagKeyed != 0 && c.w.IntN(4) == 0 {
		c.w.after(c.w.between(1, 4*sale.Second), func() { c.try(cmd) }) // a double click, or an impatient browser
	}
}

// flood is many at once, for whose answers nobody waits.
func (c *crowd) flood() {
	g := c.door()
	if g == nil || len(g.queue) > 20_000 {
		return
	}
	now, _ := g.room()
	for range c.w.shape.burst {
		head, body := c.wish()
		if body == nil {
			continue
		}
		k := &call{}
		if head.Command != (wire.ID{}) {
			head.NotAfter = now + 5*sale.Second
			k.notAfter = head.NotAfter
		}
		k.value = wire.AppendRecord(nil, head, body)
		g.queue = append(g.queue, k)
	}
	g.send(backoffFirst / 10)
}

// post sends something for whose answer nobody waits.
func (c *crowd) post(value []byte) {
	if g := c.door(); g != nil && len(g.queue) < queueMost {
		g.enqueue(&call{value: value})
	}
}

func (c *crowd) try(cmd *command) {
	g := c.door()
	if g == nil || g.paused {
		return
	}
	cmd.tries++
	g.ask(cmd)
}

// told is what a gateway says when it has no outcome.
func (c *crowd) told(cmd *command, until int64, fate answer.Fate, looked bool) {
	c.w.say("command %s until %d, try %d: fate %d looked up %t", wire.Hex(cmd.head.Command), until-begin, cmd.tries, fate, looked)
	switch fate {
	case answer.NotTaken:
		if cmd.tries > 1 && !looked {
			return // it speaks of this request alone, and an earlier one may have been taken
		}
		p := promise{cmd.head.Command, until, looked}
		c.promises = append(c.promises, p)
		cmd.denied = append(cmd.denied, until)
		if f, ok := c.w.audit.firsts[p.command]; ok && p.broken(f) {
			c.w.fail("command %s was called not taken after outcome %d had decided it", wire.Hex(p.command), f.seq)
		}
		if cmd.head.Flags&wire.FlagKeyed != 0 && c.w.IntN(2) == 0 && cmd.tries < 4 {
			c.w.after(c.w.between(c.w.shape.grain, 2*sale.Second), func() { c.try(cmd) })
		}
	case answer.Pending:
		c.later(cmd, until)
	default:
		c.w.fail("an error that says nothing of command %s", wire.Hex(cmd.head.Command))
	}
}

// later asks again, as the Location of a 202 says, or sends the same again under the same key.
func (c *crowd) later(cmd *command, until int64) {
	if len(c.pending) < 10_000 && cmd.asked != until {
		c.pending = append(c.pending, asked{cmd, until})
		cmd.asked = until
	}
	if c.quiet {
		return
	}
	c.w.after(c.w.between(20*sale.Millisecond, 3*sale.Second), func() {
		if cmd.head.Flags&wire.FlagKeyed != 0 && !c.quiet && cmd.tries < 4 && c.w.IntN(4) == 0 {
			c.try(cmd)
		} else if g := c.door(); g != nil && !g.paused {
			g.lookUp(cmd, until)
		}
	})
}

// answered is what a gateway heard in the log.
func (c *crowd) answered(cmd *command, until int64, o wire.Outcome) {
	c.w.say("command %s is answered by outcome %d, kind %d", wire.Hex(cmd.head.Command), o.Seq, o.Kind)
	if o.Seq > c.w.audit.seq {
		c.w.fail("somebody was told outcome %d of %d", o.Seq, c.w.audit.seq)
	}
	var r wire.Rejected
	if o.DecodeInto(&r) == nil && r.Reason == wire.ReasonExpired {
		c.told(cmd, until, answer.NotTaken, true)
	}
}

// found is what a gateway found in Postgres.
func (c *crowd) found(cmd *command, until int64, row commandRow) {
	if row.seq > c.w.audit.seq {
		c.w.fail("somebody was told outcome %d of %d", row.seq, c.w.audit.seq)
	}
	if f, ok := c.w.audit.firsts[cmd.head.Command]; ok && row.seq > f.seq && row.outcome != "repeated" {
		c.w.fail("command %s was decided by outcome %d and is answered by %d", wire.Hex(cmd.head.Command), f.seq, row.seq)
	}
	_ = until
}

// acked is a record that the broker has acknowledged: it must be decided.
func (c *crowd) acked(offset int64, k *call) {
	if c.w.trace != nil && k.c != nil {
		c.w.say("command %s is acknowledged at %d", wire.Hex(k.c.head.Command), offset)
	}
}

// tellAgain sends every payment that was not answered once more.
func (c *crowd) tellAgain() {
	keep := c.order[:0]
	for _, p := range c.order {
		if p.over {
			continue
		}
		keep = append(keep, p)
		if c.w.now-p.sent > 3*sale.Second {
			p.sent = c.w.now
			c.post(p.value)
		}
	}
	c.order = keep
}

// hear learns from a new outcome what there is to be paid, cancelled or given back.
func (c *crowd) hear(o wire.Outcome) {
	if c.w.shape.waiting {
		c.lines.hear(o)
		return
	}
	switch o.Kind {
	case wire.KindHeld, wire.KindOffered, wire.KindConfirmed, wire.KindAuthorisationRefused, wire.KindRepeated:
	default:
		return
	}
	body := wire.NewOrderOutcome(o.Kind)
	if o.DecodeInto(body) != nil {
		return
	}
	switch b := body.(type) {
	case *wire.Held:
		c.made = append(c.made, offer{event: o.Object, ref: o.Ref, user: b.UserKey, amount: b.Total})
	case *wire.Offered:
		c.made = append(c.made, offer{event: o.Object, ref: o.Ref, user: b.UserKey, amount: b.Total})
	case *wire.Confirmed:
		c.sold = append(c.sold, offer{event: o.Object, ref: o.Ref, user: b.UserKey, amount: b.Amount, paid: b.Attempt})
		c.settled(b.Attempt)
	case *wire.AuthorisationRefused:
		c.settled(b.Attempt)
	case *wire.Repeated:
		if b.FirstKind == wire.KindConfirmed {
			// It names the booking alone.
			for _, p := range c.order {
				if p.ref == o.Ref && p.event == o.Object {
					c.repeated(p)
				}
			}
		}
	}
	if n := len(c.made); n > 400 {
		c.made = append(c.made[:0], c.made[n-100:]...)
	}
	if n := len(c.sold); n > 400 {
		c.sold = append(c.sold[:0], c.sold[n-100:]...)
	}
}

func (c *crowd) repeated(p *payment) {
	for _, s := range c.sold {
		if s.paid == p.attempt {
			c.settled(p.attempt)
		}
	}
}

func (c *crowd) settled(attempt wire.ID) {
	if p := c.payments[attempt]; p != nil {
		p.over = true
		delete(c.payments, attempt)
	}
}
