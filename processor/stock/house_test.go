package stock

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

const (
	second = sale.Second
	start  = int64(1_800_000_000) * second
)

// said is one outcome as a reader of the log sees it.
type said struct {
	wire.Outcome
	Is wire.Body
}

// house drives a machine as the engine does and checks after every record what must always be true.
type house struct {
	t      tester
	m      *Machine
	clock  sale.LogClock
	out    wire.Outcomes
	offset int64
	light  bool
}

func newHouse(t tester, l Limits) *house {
	h := &house{t: t, m: New(l)}
	h.clock.StartEpoch(1, Code)
	h.tick(start)
	return h
}

// tick moves log time to an instant and returns what the machine says.
func (h *house) tick(now int64) []said {
	h.t.Helper()
	h.out.Reset()
	if _, ok := h.clock.Tick(1, now, 0); !ok {
		h.t.Fatalf("the clock refuses %d after %d", now, h.clock.Now)
	}
	h.out.Begin(h.offset, now, wire.Record{})
	h.out.Add(&wire.Ticked{Now: now})
	h.m.Tick(&h.clock, &h.out)
	h.out.End()
	h.offset++
	return h.check()[1:]
}

// wait lets log time pass in steps that are no outages, and returns everything said.
func (h *house) wait(length int64) (all []said) {
	h.t.Helper()
	for end := h.clock.Now + length; h.clock.Now < end; {
		all = append(all, h.tick(min(h.clock.Now+2*second, end))...)
	}
	return all
}

// do applies a record and returns what the machine says.
func (h *house) do(r wire.Record, body wire.Body) []said {
	h.t.Helper()
	raw := wire.AppendRecord(nil, r, body)
	return h.raw(raw)
}

func (h *house) raw(raw []byte) []said {
	h.t.Helper()
	p, err := wire.ParseRecord(raw)
	if err != nil {
		h.t.Fatal(err)
	}
	h.out.Reset()
	h.out.Begin(h.offset, h.clock.Now, p)
	h.m.Apply(&h.clock, h.offset, p, &h.out)
	h.out.End() // panics when nothing was said
	h.offset++
	return h.check()
}

func (h *house) check() []said {
	h.t.Helper()
	all := make([]said, 0, h.out.Len())
	for i := range h.out.Len() {
		o, err := wire.ParseOutcome(bytes.Clone(h.out.At(i)))
		if err != nil {
			h.t.Fatal(err)
		}
		body := wire.NewOrderOutcome(o.Kind)
		if err := o.DecodeInto(body); err != nil {
			h.t.Fatal(err)
		}
		all = append(all, said{o, body})
	}
	h.invariants()
	h.payers()
	if !h.light {
		h.restored()
	}
	return all
}

// invariants recounts every type from the bookings.
func (h *house) invariants() {
	h.t.Helper()
	for i := range h.m.events {
		e := &h.m.events[i]
		var inHold, sold [MaxTypes]uint32
		live := map[wire.ID]int{}
		for at := e.first; at != none; at = h.m.booking(at).next {
			b := h.m.booking(at)
			if b.status.live() {
				live[b.user]++
			}
			h.m.eachLive(b, func(kind uint8, n uint32) {
				if b.status.reserves() {
					inHold[kind] += n
				}
				if b.status.sells() {
					sold[kind] += n
				}
			})
		}
		for user, n := range live {
			if n > 1 {
				h.t.Fatalf("event %d: user %x has %d live bookings", e.id, user, n)
			}
		}
		for k := range e.types {
			s := e.types[k].stock()
			if s.Held+s.Sold+s.Free != s.Capacity || s.Held != inHold[k] || s.Sold != sold[k]+e.types[k].gone {
				h.t.Fatalf("event %d: %+v, but bookings hold %d and own %d", e.id, s, inHold[k], sold[k])
			}
		}
	}
}

// restored replaces the machine by its own snapshot, so that every test is a test of restoring too.
func (h *house) restored() {
	h.t.Helper()
	snap := h.m.Snapshot(nil)
	again := New(h.m.limits)
	if err := again.Restore(snap); err != nil {
		h.t.Fatal(err)
	}
	if got := again.Snapshot(nil); !bytes.Equal(got, snap) {
		h.t.Fatalf("a restored machine has another snapshot:\n%x\n%x", snap, got)
	}
	h.m = again
}

const show = int64(7)

var eur = [3]byte{'E', 'U', 'R'}

// define makes event 7 with types 1 (default, 10.00 + 1.00 fee, 20 % tax on top) and 2 (25.00, tax included).
func (h *house) define(d wire.DefineEvent, capacity1, capacity2 uint32) {
	h.t.Helper()
	if d.Currency == [3]byte{} {
		d.Currency = eur
	}
	is[*wire.EventDefined](h, h.do(on(show), &d))
	is[*wire.TypeDefined](h, h.do(on(show), &wire.DefineType{
		Type: 1, Capacity: capacity1, Default: true, Price: wire.Price{Ticket: 1000, Fee: 100, TaxRate: 200_000},
	}))
	is[*wire.TypeDefined](h, h.do(on(show), &wire.DefineType{
		Type: 2, Capacity: capacity2, Price: wire.Price{Ticket: 2500, TaxRate: 190_000, Included: true},
	}))
}

func on(event int64) wire.Record { return wire.Record{Object: event} }

func about(n int) wire.Record { return wire.Record{Object: show, Ref: id(n)} }

func id(n int) (v wire.ID) {
	binary.BigEndian.PutUint64(v[:], uint64(n))
	v[15] = 1
	return v
}

func name(user int) string { return fmt.Sprintf("user-%d", user) }

func key(user int) wire.ID { return sale.UserKey(name(user)) }

func hold(user int, lines ...wire.Line) *wire.Hold {
	return &wire.Hold{Subject: []byte(name(user)), UserKey: key(user), TicketBase: id(9999), Lines: lines}
}

func waiting(h *wire.Hold) *wire.Hold { h.Waitlist = true; return h }

func of(kind uint32, quantity uint16) wire.Line { return wire.Line{Type: kind, Quantity: quantity} }

// pay is an authorisation of a booking's whole total.
func (h *house) pay(attempt int, ref int) *wire.Authorised {
	h.t.Helper()
	at, ok := h.m.bookingAt(id(ref))
	if !ok {
		h.t.Fatalf("no booking %d", ref)
	}
	a := &wire.Authorised{Attempt: id(attempt), Amount: h.m.total(h.m.booking(at)), Currency: eur}
	if a.Amount > 0 {
		a.Intent = fmt.Appendf(nil, "pi_%d", attempt)
	}
	return a
}

// want returns the first outcome, which must be of a type.
func is[T wire.Body](h *house, s []said) T {
	h.t.Helper()
	if len(s) == 0 {
		h.t.Fatalf("nothing was said")
	}
	v, ok := s[0].Is.(T)
	if !ok {
		h.t.Fatalf("said %T %+v, want %T", s[0].Is, s[0].Is, v)
	}
	return v
}

func wantRefused(h *house, s []said, reason wire.Reason) *wire.Refused {
	h.t.Helper()
	r := is[*wire.Refused](h, s)
	if r.Reason != reason {
		h.t.Fatalf("refused for %v, want %v", r.Reason, reason)
	}
	return r
}

func wantVoid(h *house, s []said, reason wire.Reason) {
	h.t.Helper()
	if r := is[*wire.AuthorisationRefused](h, s); r.Reason != reason {
		h.t.Fatalf("authorisation refused for %v, want %v", r.Reason, reason)
	}
}

func wantRejected(h *house, s []said, reason wire.Reason) {
	h.t.Helper()
	if r := is[*wire.Rejected](h, s); r.Reason != reason {
		h.t.Fatalf("rejected for %v, want %v", r.Reason, reason)
	}
}

// wantAll checks the kinds and refs of everything said: "Cancelled 1, Offered 2".
func wantAll(h *house, s []said, text string) {
	h.t.Helper()
	got := ""
	for i, v := range s {
		if i > 0 {
			got += ", "
		}
		got += fmt.Sprintf("%s %d", fmt.Sprintf("%T", v.Is)[6:], binary.BigEndian.Uint64(v.Ref[:]))
	}
	if got != text {
		h.t.Fatalf("said %q, want %q", got, text)
	}
}

func (h *house) stock(kind uint32) wire.Stock {
	e := h.m.events[h.m.eventAt[show]]
	return e.types[e.typeAt(kind)].stock()
}

// tester is what testing and rapid have in common.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}
