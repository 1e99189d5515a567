package stock

import (
	"bytes"
	"errors"
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// busy is a machine with a booking in every state.
func busy(t testing.TB) *house {
	h := newHouse(t, Limits{})
	h.light = true
	h.define(wire.DefineEvent{NeedsPass: true}, 9, 9)
	for n := 1; n <= 8; n++ {
		h.do(about(n), withPass(hold(n, of(1, 1)), 80+n, start+800*second))
	}
	h.do(on(show), &wire.SetMethodLimit{PerMethod: 2})
	for n := 2; n <= 4; n++ {
		h.do(about(n), h.payBy(50+n, n, 1))
	}
	h.do(about(8), h.payBy(58, 8, 2))
	h.do(about(2), &wire.Refunded{Refund: id(70), Tickets: []uint16{0}})
	h.do(about(3), &wire.CaptureFailed{Attempt: id(53)})
	h.do(about(5), &wire.Cancel{})
	h.do(about(6), &wire.Revoke{})
	h.do(about(7), &wire.Authorised{Attempt: id(57), Amount: 1, Currency: eur, Intent: []byte("pi")})
	h.do(about(1), &wire.Extend{Cause: wire.CauseOperator, By: second * 3000})
	h.wait(301 * second)
	h.do(about(20), waiting(withPass(hold(20, of(1, 9)), 90, h.clock.Now+second)))
	h.do(about(21), withPass(hold(21, of(2, 2), of(1, 1)), 91, h.clock.Now+second))
	return h
}

func TestSnapshot_HoldsEveryState(t *testing.T) {
	h := busy(t)
	seen := map[status]bool{}
	for i := range h.m.events {
		for at := h.m.events[i].first; at != none; at = h.m.booking(at).next {
			seen[h.m.booking(at).status] = true
		}
	}
	for s := waitlisted; s <= lastStatus; s++ {
		if !seen[s] && s != offered && s != closed {
			t.Errorf("no booking in state %d", s)
		}
	}
	h.restored()
}

func TestRestore_RefusesEveryTruncationAndKeepsTheState(t *testing.T) {
	h := busy(t)
	snap := h.m.Snapshot(nil)
	for cut := range snap {
		if err := h.m.Restore(snap[:cut]); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%d of %d bytes: %v", cut, len(snap), err)
		}
	}
	if err := h.m.Restore(append(bytes.Clone(snap), 0)); !errors.Is(err, ErrSnapshot) {
		t.Fatalf("a byte too many: %v", err)
	}
	if !bytes.Equal(h.m.Snapshot(nil), snap) {
		t.Error("a refused snapshot changed the state")
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(New(Limits{}).Snapshot(nil))
	f.Add(busy(f).m.Snapshot(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		m := New(Limits{})
		if m.Restore(src) != nil {
			return
		}
		if again := m.Snapshot(nil); !bytes.Equal(again, src) {
			t.Fatalf("two snapshots of one state:\n%x\n%x", src, again)
		}
		// Whatever was accepted must be safe to go on from.
		h := &house{t: t, m: m, light: true, clock: sale.LogClock{Epoch: 1, Code: Code, Now: start}, offset: 1 << 40}
		h.tick(start + second)
		h.do(about(7), h.anyPay())
		h.do(about(7), &wire.AuthorisedBy{Method: card(1), Authorised: *h.anyPay()})
		h.do(about(20), &wire.Cancel{})
		h.do(about(3), &wire.Revoke{Return: true})
		h.do(on(show), &wire.CancelEvent{})
		h.tick(start + 2*second)
	})
}

func (h *house) anyPay() *wire.Authorised {
	return &wire.Authorised{Attempt: id(5), Amount: 1320, Currency: eur, Intent: []byte("pi")}
}

func FuzzApply(f *testing.F) {
	f.Add(wire.AppendRecord(nil, about(7), hold(7)))
	f.Add(wire.AppendRecord(nil, about(1), &wire.Authorised{Attempt: id(9), Amount: 1320, Currency: eur, Intent: []byte("x")}))
	f.Add(wire.AppendRecord(nil, about(7), &wire.AuthorisedBy{Method: card(1), Authorised: wire.Authorised{Attempt: id(9), Amount: 1320, Currency: eur, Intent: []byte("x")}}))
	f.Add(wire.AppendRecord(nil, on(show), &wire.SetMethodLimit{PerMethod: 1}))
	f.Add(wire.AppendRecord(nil, about(2), &wire.Refunded{Refund: id(71), Tickets: []uint16{0}}))
	f.Add(wire.AppendRecord(nil, on(show), &wire.Extend{Scope: 1, Cause: wire.CauseOperator, By: 1 << 62, Until: 1 << 62}))
	f.Add(wire.AppendRecord(nil, on(show), &wire.DefineType{Type: 77, Capacity: 1}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := wire.ParseRecord(raw); err != nil || p.Kind < 16 {
			return
		}
		h := busy(t)
		h.raw(raw)
		h.raw(raw)
		h.restored()
		h.tick(h.clock.Now + 2*second)
	})
}
