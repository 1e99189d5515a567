package stock

import (
	"testing"

	"fairgate/internal/wire"
)

func TestCaps_AnAccountHoldsOnceHoweverOftenItAsks(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 100, 100)
	first := is[*wire.Held](h, h.do(about(1), hold(1, of(1, 2))))
	for n := 2; n <= 30; n++ { // other tickets, other quantities, with and without the waitlist
		ask := hold(1, of(uint32(1+n%2), uint16(1+n%4)))
		if ask.Waitlist = n%3 == 0; n%5 == 0 {
			ask.Pass = id(500 + n) // a pass each: of as many places as the account's owner has browsers
		}
		if a := is[*wire.AlreadyHeld](h, h.do(about(n), ask)); a.Booking != id(1) || a.Expires != first.Expires {
			t.Fatalf("request %d: %+v", n, a)
		}
	}
	if a, b := h.stock(1), h.stock(2); a.Held != 2 || b.Held != 0 {
		t.Errorf("held %d and %d", a.Held, b.Held)
	}
	h.wait(301 * second)
	if s := h.stock(1); s.Held != 0 {
		t.Fatalf("%d held after the lapse", s.Held)
	}
	is[*wire.Held](h, h.do(about(40), hold(1, of(1, 2))))
}

func TestCaps_AnAccountBuysSoManyTicketsOverHoweverManyBookings(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{PerUser: 6}, 100, 100)
	bought := uint32(0)
	for n := 1; n <= 12; n++ { // one after the other, each paid for at once
		got := h.do(about(n), hold(1, of(uint32(1+n%2), uint16(1+n%2))))
		if _, refused := got[0].Is.(*wire.Refused); refused {
			wantRefused(h, got, wire.ReasonUserLimit)
			continue
		}
		is[*wire.Confirmed](h, h.do(about(n), h.pay(100+n, n)))
		bought += uint32(1 + n%2)
	}
	if a, b := h.stock(1), h.stock(2); bought != 6 || a.Sold+b.Sold != 6 || a.Held+b.Held != 0 {
		t.Errorf("%d bought, %d sold", bought, a.Sold+b.Sold)
	}
	is[*wire.Held](h, h.do(about(50), hold(2, of(1, 6)))) // another account's are its own
}
