package stock

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// model believes nothing but what the outcomes say, and complains when they contradict each other: stock that does not
// add up, a step that a booking cannot take, an answer that somebody's earlier answer forbids.
type model struct {
	t        *rapid.T
	status   map[wire.ID]string
	user     map[wire.ID]wire.ID
	lines    map[wire.ID]map[uint32]uint32 // live tickets by type
	total    map[wire.ID]int64
	due      map[wire.ID]int64 // elapsed
	target   map[uint32]uint32
	held     map[uint32]uint32
	sold     map[uint32]uint32
	attempts map[wire.ID]map[wire.ID]string // by booking: "confirmed" or "refused"
	paid     map[wire.ID]bool
	passes   map[wire.ID]wire.ID
	refunds  map[wire.ID]int64 // given back, by booking
	perUser  uint32
	seq      uint64

	perMethod uint16                       // the limit as it stands; 0 for none
	paidBy    map[wire.ID]map[wire.ID]bool // bookings that a method paid for, since there is a limit
}

func newModel(t *rapid.T, perUser uint16) *model {
	return &model{
		t: t, perUser: uint32(perUser), status: map[wire.ID]string{}, user: map[wire.ID]wire.ID{},
		lines: map[wire.ID]map[uint32]uint32{}, total: map[wire.ID]int64{}, due: map[wire.ID]int64{},
		target: map[uint32]uint32{}, held: map[uint32]uint32{}, sold: map[uint32]uint32{}, attempts: map[wire.ID]map[wire.ID]string{}, paid: map[wire.ID]bool{},
		passes: map[wire.ID]wire.ID{}, refunds: map[wire.ID]int64{}, paidBy: map[wire.ID]map[wire.ID]bool{},
	}
}

// step moves a booking, which must be in one of the states given ("" is unknown).
func (m *model) step(ref wire.ID, to string, from ...string) {
	for _, f := range from {
		if m.status[ref] == f {
			m.status[ref] = to
			return
		}
	}
	m.t.Fatalf("booking %x became %s from %q", ref, to, m.status[ref])
}

// create makes a booking. One that ended unpaid may have been forgotten, so its id may come again.
func (m *model) create(ref wire.ID, as string) {
	m.step(ref, as, "", "cancelled", "closed", "revoked")
	if m.paid[ref] {
		m.t.Fatalf("booking %x was paid and comes again", ref)
	}
	delete(m.attempts, ref)
}

func (m *model) move(ref wire.ID, heldBy, soldBy int32) {
	for kind, n := range m.lines[ref] {
		m.held[kind] += uint32(heldBy) * n
		m.sold[kind] += uint32(soldBy) * n
	}
}

// stock holds the numbers of an outcome against the model's own.
func (m *model) stock(all []wire.Stock) {
	for _, s := range all {
		if s.Held+s.Sold+s.Free != s.Capacity || s.Held != m.held[s.Type] || s.Sold != m.sold[s.Type] ||
			s.Target != m.target[s.Type] || s.Capacity != max(s.Target, s.Held+s.Sold) {
			m.t.Fatalf("%+v, but held %d, sold %d, target %d", s, m.held[s.Type], m.sold[s.Type], m.target[s.Type])
		}
	}
}

func (m *model) reserve(ref wire.ID, r *wire.Reserved) {
	lines, total := map[uint32]uint32{}, int64(0)
	for _, l := range r.Lines {
		lines[l.Type] += uint32(l.Quantity)
		total += l.Total
		if want := sale.LineOf(sale.Price(l.Price), int64(l.Quantity), l.Discount); want.Total != l.Total || want.Tax != l.Tax {
			m.t.Fatalf("line %+v, want %+v", l, want)
		}
	}
	if total != r.Total {
		m.t.Fatalf("total %d, lines sum to %d", r.Total, total)
	}
	m.user[ref], m.lines[ref], m.total[ref], m.due[ref] = r.UserKey, lines, total, r.Deadline
	m.move(ref, 1, 0)
	m.stock(r.Stock)
	live, owned := 0, uint32(0)
	for other, user := range m.user {
		if user != r.UserKey {
			continue
		}
		switch s := m.status[other]; s {
		case "waitlisted", "held", "offered":
			live++
			fallthrough
		case "confirmed", "frozen":
			for _, n := range m.lines[other] {
				owned += n
			}
		}
	}
	if live != 1 {
		m.t.Fatalf("user %x has %d live bookings", r.UserKey, live)
	}
	if m.perUser > 0 && owned > m.perUser {
		m.t.Fatalf("user %x holds and owns %d", r.UserKey, owned)
	}
}

// heard takes what an authorisation by a method caused: it confirms while the method may pay, and is refused for it when it
// may not.
func (m *model) heard(clock *sale.LogClock, a *wire.AuthorisedBy, all []said) {
	method, before := a.Method, m.attempts[all[0].Ref][a.Attempt]
	m.hear(clock, all)
	limited := m.perMethod > 0 && method != (wire.ID{})
	full := limited && len(m.paidBy[method]) >= int(m.perMethod)
	switch o := all[0].Is.(type) {
	case *wire.Confirmed:
		if full {
			m.t.Fatalf("method %x paid for %d bookings, and another", method, len(m.paidBy[method]))
		}
		if limited {
			if m.paidBy[method] == nil {
				m.paidBy[method] = map[wire.ID]bool{}
			}
			m.paidBy[method][all[0].Ref] = true
		}
	case *wire.AuthorisationRefused:
		if o.Reason == wire.ReasonMethodLimit && before == "" && !full {
			m.t.Fatalf("method %x is refused after %d bookings of %d", method, len(m.paidBy[method]), m.perMethod)
		}
	}
}

// hear takes what one record caused.
func (m *model) hear(clock *sale.LogClock, all []said) {
	for i, s := range all {
		if m.seq++; s.Seq != m.seq && i > 0 {
			m.t.Fatalf("sequence number %d after %d", s.Seq, m.seq-1)
		}
		m.seq = s.Seq
		m.one(clock, s.Ref, s.Is)
	}
}

func (m *model) one(clock *sale.LogClock, ref wire.ID, is wire.Body) {
	switch o := is.(type) {
	case *wire.TypeDefined:
		m.target[o.Type.Type] = o.Type.Capacity
		m.stock([]wire.Stock{o.Stock})
	case *wire.CapacitySet:
		m.target[o.Stock.Type] = o.Stock.Target
		m.stock([]wire.Stock{o.Stock})
	case *wire.Held:
		m.create(ref, "held")
		m.reserve(ref, &o.Reserved)
		if o.Pass != (wire.ID{}) {
			if _, used := m.passes[o.Pass]; used {
				m.t.Fatalf("pass %x is used up twice", o.Pass)
			}
			m.passes[o.Pass] = o.UserKey
		}
	case *wire.Waitlisted:
		m.create(ref, "waitlisted")
		m.user[ref] = o.UserKey
	case *wire.Offered:
		m.step(ref, "offered", "waitlisted")
		m.reserve(ref, &o.Reserved)
	case *wire.Lapsed:
		m.step(ref, "lapsed", "held", "offered")
		if m.due[ref] > clock.Elapsed() {
			m.t.Fatalf("lapsed %d µs early", m.due[ref]-clock.Elapsed())
		}
		m.move(ref, -1, 0)
		m.stock(o.Stock)
	case *wire.Closed:
		m.step(ref, "closed", "lapsed")
	case *wire.Cancelled:
		if s := m.status[ref]; s == "held" || s == "offered" {
			m.move(ref, -1, 0)
		}
		m.step(ref, "cancelled", "held", "offered", "waitlisted")
		m.stock(o.Stock)
	case *wire.Extended:
		m.extend(clock, ref, o)
	case *wire.MethodLimitSet:
		m.perMethod = o.PerMethod
	default:
		m.money(ref, is)
	}
}

func (m *model) extend(clock *sale.LogClock, ref wire.ID, o *wire.Extended) {
	if o.Scope == 0 {
		m.due[ref] = o.Until - clock.Outage
		return
	}
	for ref, s := range m.status {
		if s == "held" || s == "offered" || s == "frozen" {
			m.due[ref] += o.By
		}
	}
}

func (m *model) money(ref wire.ID, is wire.Body) {
	switch o := is.(type) {
	case *wire.Confirmed:
		if o.Amount != m.total[ref] || m.attempts[ref][o.Attempt] != "" || o.Late != (m.status[ref] == "lapsed") {
			m.t.Fatalf("%+v of %q, total %d, attempt %q", o, m.status[ref], m.total[ref], m.attempts[ref][o.Attempt])
		}
		m.attempt(ref, o.Attempt, "confirmed")
		m.paid[ref] = true
		switch m.status[ref] {
		case "held", "offered":
			m.move(ref, -1, 1)
		case "lapsed":
			m.move(ref, 0, 1)
		}
		m.step(ref, "confirmed", "held", "offered", "lapsed", "frozen")
		m.stock(o.Stock)
	case *wire.AuthorisationRefused:
		if o.Reason == wire.ReasonUnknownRef {
			return
		}
		if m.attempts[ref][o.Attempt] == "confirmed" && o.Reason != wire.ReasonCaptureFailed {
			m.t.Fatalf("a confirmed attempt is refused for %v", o.Reason)
		}
		m.attempt(ref, o.Attempt, "refused")
	case *wire.Frozen:
		m.step(ref, "frozen", "confirmed")
		for _, paid := range m.paidBy {
			delete(paid, ref)
		}
		m.due[ref] = o.Deadline
	case *wire.TicketsRefunded:
		m.step(ref, "confirmed", "confirmed")
		if m.refunds[ref] += o.Amount; m.refunds[ref] > m.total[ref] || o.Whole && m.refunds[ref] != m.total[ref] {
			m.t.Fatalf("%d of %d given back, whole: %v", m.refunds[ref], m.total[ref], o.Whole)
		}
		for _, s := range o.Stock {
			m.lines[ref][s.Type] -= m.sold[s.Type] - s.Sold
			m.sold[s.Type] = s.Sold
		}
		if o.Whole {
			m.status[ref] = "refunded"
		}
		m.stock(o.Stock)
	case *wire.Revoked:
		switch s := m.status[ref]; s {
		case "held", "offered":
			m.move(ref, -1, 0)
		case "confirmed", "frozen":
			m.move(ref, 0, -1)
		}
		m.step(ref, "revoked", "held", "offered", "waitlisted", "lapsed", "confirmed", "frozen")
		m.stock(o.Stock)
	}
}

func (m *model) attempt(ref, attempt wire.ID, is string) {
	if m.attempts[ref] == nil {
		m.attempts[ref] = map[wire.ID]string{}
	}
	m.attempts[ref][attempt] = is
}

// command draws any command about a few users, bookings and attempts, so that they meet often.
func command(t *rapid.T, h *house) (wire.Record, wire.Body) {
	user := rapid.IntRange(1, 5).Draw(t, "user")
	ref := rapid.IntRange(1, 40).Draw(t, "ref")
	attempt := id(100 + ref*3 + rapid.IntRange(0, 2).Draw(t, "attempt"))
	switch rapid.IntRange(0, 16).Draw(t, "command") {
	case 0, 1, 2, 3, 4:
		b := hold(user, rapid.SliceOfN(rapid.Custom(func(t *rapid.T) wire.Line {
			return of(uint32(rapid.IntRange(1, 3).Draw(t, "type")), uint16(rapid.IntRange(1, 3).Draw(t, "quantity")))
		}), 0, 3).Draw(t, "lines")...)
		b.Waitlist = rapid.Bool().Draw(t, "waitlist")
		b.Pass, b.PassExpires = id(1000+rapid.IntRange(0, 30).Draw(t, "pass")), h.clock.Now+3600*second
		return about(ref), b
	case 5:
		return about(ref), &wire.Cancel{UserKey: key(user)}
	case 6, 7, 8:
		a := &wire.Authorised{Attempt: attempt, Amount: 1320, Currency: eur, Intent: []byte("pi")}
		if at, ok := h.m.bookingAt(id(ref)); ok && rapid.IntRange(0, 9).Draw(t, "wrong") > 0 {
			a.Amount = h.m.total(h.m.booking(at))
		}
		if n := rapid.IntRange(0, 3).Draw(t, "method"); n > 0 {
			return about(ref), &wire.AuthorisedBy{Method: card(n), Authorised: *a}
		}
		return about(ref), a
	case 9:
		return about(ref), &wire.Cancel{}
	case 10:
		return about(ref), &wire.CaptureFailed{Attempt: attempt}
	case 11:
		n := uint16(rapid.IntRange(0, 6).Draw(t, "ticket"))
		// Always returned: the model counts sold tickets, not those withdrawn.
		return about(ref), &wire.Refunded{Refund: id(5000 + ref*8 + int(n)), Return: true, Tickets: []uint16{n}}
	case 12:
		return about(ref), &wire.Revoke{Return: true}
	case 13:
		scope := uint8(rapid.IntRange(0, 1).Draw(t, "scope"))
		cause := wire.Cause(rapid.IntRange(2, 5).Draw(t, "cause"))
		return about(ref), &wire.Extend{Scope: scope, Cause: cause, By: int64(rapid.IntRange(1, 400).Draw(t, "by")) * second}
	case 14:
		kind := uint32(rapid.IntRange(1, 3).Draw(t, "type"))
		return on(show), &wire.SetCapacity{Type: kind, Capacity: uint32(rapid.IntRange(0, 12).Draw(t, "capacity"))}
	case 15:
		return on(show), &wire.SetMethodLimit{PerMethod: uint16(rapid.IntRange(0, 3).Draw(t, "perMethod"))}
	}
	return on(show), &wire.SetSelling{Selling: rapid.IntRange(0, 4).Draw(t, "selling") > 0}
}

func TestMachine_OutcomesNeverContradictEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perUser := uint16(rapid.IntRange(0, 4).Draw(t, "perUser"))
		h := &house{t: t, m: New(Limits{Batch: 3}), light: true}
		m := newModel(t, perUser)
		h.clock.StartEpoch(1, Code)
		h.tick(start)
		define := wire.DefineEvent{Currency: eur, PerUser: perUser, NeedsPass: rapid.Bool().Draw(t, "needsPass")}
		define.Hold, define.Offer, define.Grace, define.Frozen = 20*second, 10*second, 30*second, 60*second
		m.hear(&h.clock, h.do(on(show), &define))
		for kind := uint32(1); kind <= 3; kind++ {
			m.hear(&h.clock, h.do(on(show), &wire.DefineType{
				Type: kind, Capacity: uint32(rapid.IntRange(0, 6).Draw(t, "capacity")), Default: kind == 1,
				Price: wire.Price{Ticket: 333 * int64(kind), Fee: 10, TaxRate: 70_000, Included: kind == 2},
			}))
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			if rapid.IntRange(0, 5).Draw(t, "what") == 0 {
				for range rapid.IntRange(1, 20).Draw(t, "ticks") {
					m.hear(&h.clock, h.tick(h.clock.Now+2*second))
				}
				continue
			}
			r, body := command(t, h)
			if by, ok := body.(*wire.AuthorisedBy); ok {
				m.heard(&h.clock, by, h.do(r, body))
			} else {
				m.hear(&h.clock, h.do(r, body))
			}
		}
	})
}

func TestMachine_AnyPrefixRestoredGoesOnAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &house{t: t, m: New(Limits{Batch: 3}), light: true}
		a.clock.StartEpoch(1, Code)
		a.tick(start)
		a.define(wire.DefineEvent{
			NeedsPass: rapid.Bool().Draw(t, "needsPass"), Hold: 20 * second, Offer: 10 * second, Grace: 30 * second, Frozen: 60 * second,
		}, 5, 3)
		b := *a
		b.m = New(a.m.limits)
		if err := b.m.Restore(a.m.Snapshot(nil)); err != nil {
			t.Fatal(err)
		}
		b.out = wire.Outcomes{Seq: a.out.Seq, Hash: a.out.Hash}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				now := a.clock.Now + int64(rapid.IntRange(0, 2).Draw(t, "time"))*second
				for range 20 {
					a.tick(now)
					b.tick(now)
					now += 2 * second
				}
			} else {
				r, body := command(t, a)
				a.do(r, body)
				b.do(r, body)
			}
			if rapid.IntRange(0, 4).Draw(t, "restore") == 0 {
				b.restored()
			}
			if a.out.Hash != b.out.Hash || !bytes.Equal(a.m.Snapshot(nil), b.m.Snapshot(nil)) {
				t.Fatal("a restored machine goes on differently")
			}
		}
	})
}
