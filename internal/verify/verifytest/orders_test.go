package verifytest

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/engine"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
	"fairgate/processor/stock"
)

// ordersWorld draws commands from small pools, so that they meet.
type ordersWorld struct {
	world
	bookings int
	commands int
	totals   map[wire.ID]total
	paid     map[wire.ID]wire.ID
	sold     []wire.ID
	made     []wire.ID
	events   int
}

// users is how many users there are.
const users = 9

func number(subject []byte) int { return int(subject[len("user-")] - '0') }

type total struct {
	object, amount int64
	user           int
}

func newOrdersWorld(t rapid.TB, draw func(string, int, int) int, counts map[string]int) *ordersWorld {
	w := &ordersWorld{totals: map[wire.ID]total{}, paid: map[wire.ID]wire.ID{}}
	var l stock.Limits
	if draw("limits", 0, 3) == 0 {
		l = stock.Limits{Events: 12, Bookings: draw("bookings", 3, 18), Waiting: draw("waiting", 1, 6), Passes: draw("passes", 1, 6), Batch: draw("batch", 1, 6)}
	}
	w.world = world{t: t, draw: draw, model: model.NewOrders(0, model.Limits(l)), body: wire.NewOrderOutcome, counts: counts}
	w.fresh = func() *engine.Core { return engine.NewCore(stock.New(l), 0) }
	w.core = w.fresh()
	w.heard = func(o wire.Outcome, b wire.Body) {
		switch b := b.(type) {
		case *wire.Held:
			w.made = append(w.made, o.Ref)
			w.totals[o.Ref] = total{o.Object, b.Total, number(b.Subject)}
		case *wire.Waitlisted:
			w.made = append(w.made, o.Ref)
			w.totals[o.Ref] = total{o.Object, 0, number(b.Subject)}
		case *wire.Offered:
			w.totals[o.Ref] = total{o.Object, b.Total, number(b.Subject)}
		case *wire.Confirmed:
			w.paid[o.Ref] = b.Attempt
			w.sold = append(w.sold, o.Ref)
		}
	}
	return w
}

func (w *ordersWorld) header(object int64, ref wire.ID) wire.Record {
	h := wire.Record{Object: object, Ref: ref}
	if w.i("keyed", 0, 9) == 9 {
		w.commands++
		n := w.commands
		if w.i("again", 0, 4) == 0 {
			n = w.i("which", 1, w.commands)
		}
		h.Command, h.NotAfter = id('c', n), max(w.now+int64(w.i("notAfter", -1, 10))*sec, 1)
		if w.i("flag", 0, 9) == 0 {
			h.Flags = wire.FlagKeyed
		}
	}
	return h
}

func (w *ordersWorld) event() int64 { return int64(w.i("event", max(1, w.events-1), w.events)) }

// ref is a booking: one of the newest mostly.
func (w *ordersWorld) ref() wire.ID {
	if len(w.made) == 0 || w.i("unknown", 0, 20) == 0 {
		return id('b', w.i("booking", 1, w.bookings+1))
	}
	from := 0
	if w.i("old", 0, 3) > 0 {
		from = max(0, len(w.made)-12)
	}
	return w.made[w.i("made", from, len(w.made)-1)]
}

func (w *ordersWorld) typ() uint32 { return uint32(w.i("type", 1, 11)%5/2 + 1) }

func (w *ordersWorld) price() wire.Price {
	return wire.Price{Ticket: int64(w.i("ticket", 0, 2000)), Fee: int64(w.i("fee", 0, 99)), TaxRate: uint32(w.i("rate", 0, 250)) * 1000, Included: w.flag("included")}
}

func subject(n int) []byte { return fmt.Appendf(nil, "user-%d", n) }
func key(n int) wire.ID {
	sum := sha256.Sum256(subject(n))
	return wire.ID(sum[:16])
}

func (w *ordersWorld) tick() {
	step := int64(w.i("step", 1, 1500)) * sec / 1000
	switch w.i("jump", 0, 60) {
	case 0:
		step = int64(w.i("outage", 2, 600)) * sec
	}
	w.now += step
	w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
}

func (w *ordersWorld) define() {
	w.send(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: id('l', 1), Code: stock.Code})
	w.now = 1000 * sec
	w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
	w.defineEvent()
	w.defineEvent()
}

func (w *ordersWorld) defineEvent() {
	w.events++
	e := int64(w.events)
	w.send(wire.Record{Object: e}, &wire.DefineEvent{Currency: [3]byte{'E', 'U', 'R'}, Hold: 6 * sec, Offer: 4 * sec, Grace: 5 * sec, Frozen: 7 * sec,
		PerUser: uint16(4 * (e % 2)), NeedsPass: e%3 == 2, Room: e})
	for k := range uint32(2) {
		w.send(wire.Record{Object: e}, &wire.DefineType{Type: k + 1, Capacity: uint32(w.i("capacity", 0, 8)), PerUser: uint16(3 * k), Default: k == 0, Price: w.price()})
	}
}

// step makes one record.
func (w *ordersWorld) step() {
	switch k := w.i("kind", 0, 99); {
	case k < 22:
		w.tick()
	case k < 52:
		w.hold()
	case k < 58:
		event, ref, user, _ := w.about(false)
		if w.flag("shop") {
			user = wire.ID{}
		}
		w.send(w.header(event, ref), &wire.Cancel{UserKey: user, Reason: wire.Reason(w.i("reason", 30, 33)) % 33})
	case k < 61:
		event, ref, user, attempt := w.about(false)
		w.send(w.header(event, ref), &wire.PaymentStarted{UserKey: user, Attempt: attempt})
	case k < 67:
		w.extend()
	case k < 80:
		w.authorise()
	case k < 83:
		event, ref, _, attempt := w.about(true)
		w.send(w.header(event, ref), &wire.CaptureFailed{Attempt: attempt})
	case k < 87:
		event, ref, _, _ := w.about(true)
		x := &wire.Refunded{Refund: id('r', w.i("refund", 1, 6)), Return: w.flag("return")}
		for range w.i("tickets", 0, 3) {
			x.Tickets = append(x.Tickets, uint16(w.i("number", 0, 4)))
		}
		w.send(w.header(event, ref), x)
	case k < 88:
		event, ref, _, _ := w.about(w.flag("sold"))
		w.send(w.header(event, ref), &wire.Revoke{Reason: wire.Reason(w.i("reason", 0, 1)) * wire.ReasonCancelledByShop, Return: w.flag("return")})
	default:
		w.operate(k)
	}
}

// about picks a booking and what belongs to it, now and then something else.
func (w *ordersWorld) about(sold bool) (event int64, ref, user, attempt wire.ID) {
	ref = w.ref()
	if sold && len(w.sold) > 0 {
		ref = w.sold[w.i("sale", 0, len(w.sold)-1)]
	}
	b := w.totals[ref]
	event, user, attempt = b.object, key(b.user), w.paid[ref]
	if attempt == (wire.ID{}) || w.i("another", 0, 5) == 0 {
		attempt = id('a', w.i("attempt", 1, 6))
	}
	if w.i("astray", 0, 15) == 0 {
		event, user = w.event(), key(w.i("user", 1, users))
	}
	return event, ref, user, attempt
}

func (w *ordersWorld) extend() {
	event, ref, _, _ := w.about(false)
	x := &wire.Extend{Scope: uint8(w.i("scope", 0, 1)), Cause: wire.Cause(w.i("cause", 1, 5)), By: int64(w.i("by", -1, 300)) * sec / 10}
	if w.i("long", 0, 3) == 0 {
		x.By = int64(w.i("by", 200, 700)) * sec
	}
	if w.flag("until") {
		x.Until = w.now + int64(w.i("until", 0, 20))*sec
	}
	w.send(w.header(event, ref), x)
}

func (w *ordersWorld) hold() {
	user := w.i("user", 1, users)
	h := &wire.Hold{Subject: subject(user), UserKey: key(user), TicketBase: id('t', int(w.offset)), Waitlist: w.flag("waitlist")}
	if w.i("pass", 0, 9) > 1 {
		h.Pass, h.PassExpires = id('p', w.i("which", 1, 9)), w.now+int64(w.i("left", -1, 40))*sec
	}
	for range w.i("lines", 0, 3) {
		h.Lines = append(h.Lines, wire.Line{Type: w.typ(), Quantity: uint16(w.i("quantity", 1, 3) % (3 + w.i("many", 0, 9)))})
	}
	e := w.event()
	ref := id('b', w.bookings+1)
	if w.i("again", 0, 12) == 0 {
		ref = w.ref()
	} else {
		w.bookings++
	}
	w.send(w.header(e, ref), h)
}

// authorise sends the booking's total if it is found in the story's outcomes, else any amount.
func (w *ordersWorld) authorise() {
	ref := w.ref()
	a := &wire.Authorised{Attempt: id('a', w.i("attempt", 1, 4)), Currency: [3]byte{'E', 'U', 'R'}, Intent: []byte("pi")}
	object := w.event()
	if b, ok := w.totals[ref]; ok && w.i("right", 0, 9) > 0 {
		object, a.Amount = b.object, b.amount
	}
	if w.i("free", 0, 9) == 0 {
		a.Intent = nil
	}
	h := w.header(object, ref)
	if w.flag("plain") {
		h = wire.Record{Object: object, Ref: ref}
	}
	if n := w.i("method", 0, 4); n > 1 { // three methods, one that nobody knows, and the old record
		w.send(h, &wire.AuthorisedBy{Method: id('m', n), Authorised: *a})
	} else if n == 1 {
		w.send(h, &wire.AuthorisedBy{Authorised: *a})
	} else {
		w.send(h, a)
	}
}

func (w *ordersWorld) operate(k int) {
	h := w.header(w.event(), wire.ID{})
	if w.i("after", 0, 9) == 0 {
		h.After = uint64(w.i("seq", 1, 40))
	}
	switch {
	case k < 91:
		w.send(h, &wire.SetCapacity{Type: w.typ(), Capacity: uint32(w.i("capacity", 0, 12))})
	case k < 92:
		w.send(h, &wire.SetMethodLimit{PerMethod: uint16(w.i("perMethod", 0, 3))})
	case k < 93:
		w.send(h, &wire.SetPrice{Type: w.typ(), Price: w.price()})
	case k < 95:
		w.send(h, &wire.SetSelling{Selling: w.i("selling", 0, 5) > 0})
	case k < 96:
		w.send(h, &wire.DefineType{Type: w.typ(), Capacity: uint32(w.i("capacity", 0, 8)), Default: w.flag("default"), Price: w.price()})
	case k < 97:
		h.Object = int64(w.i("event", 0, w.events))
		w.send(h, &wire.DefineEvent{Currency: [3]byte{'E', 'U', 'R'}, Hold: int64(w.i("hold", -1, 6)) * sec})
	case k < 98:
		if w.i("sure", 0, 5) == 0 {
			w.send(h, &wire.CancelEvent{})
		} else {
			w.defineEvent()
		}
	case k < 99:
		w.put(w.junk())
	default:
		b := wire.AppendRecord(nil, h, &wire.Cancel{})
		b[1] = byte(w.i("kind", 0, 60))
		w.story = append(w.story, fmt.Sprintf("%d: kind %d", w.offset, b[1]))
		w.put(b)
	}
}

// TestOrders_MachineAndModelSayTheSame drives both with random commands and compares every byte.
func TestOrders_MachineAndModelSayTheSame(t *testing.T) {
	counts := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newOrdersWorld(t, drawn(t), counts)
		w.define()
		for range w.i("steps", 1, 150) {
			w.step()
		}
	})
	report(t, counts)
}

// TestOrders_LongSalesStayTheSame lets states build up that short runs do not reach.
func TestOrders_LongSalesStayTheSame(t *testing.T) {
	counts := map[string]int{}
	for seed := range seeds() {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newOrdersWorld(t, rolled(seed), counts)
			w.define()
			for range 2_000 {
				w.step()
			}
		})
	}
	report(t, counts)
}
