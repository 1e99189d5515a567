package stock

import (
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

func TestAuthorised_ConfirmsAHoldOnce(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	if p := is[*wire.PaymentBegun](h, h.do(about(1), &wire.PaymentStarted{UserKey: key(1), Attempt: id(50)})); p.Expires != start+300*second {
		t.Errorf("%+v", p)
	}
	wantRefused(h, h.do(about(1), &wire.PaymentStarted{UserKey: key(2), Attempt: id(50)}), wire.ReasonNotYours)
	pay := h.pay(50, 1)
	c := is[*wire.Confirmed](h, h.do(about(1), pay))
	if c.Late || c.UserKey != key(1) || string(c.Intent) != "pi_50" || c.Stock[0].Sold != 1 || c.Stock[0].Held != 0 {
		t.Errorf("%+v", c)
	}
	if r := is[*wire.Repeated](h, h.do(about(1), pay)); r.FirstKind != wire.KindConfirmed {
		t.Errorf("%+v", r)
	}
	wantVoid(h, h.do(about(1), h.pay(51, 1)), wire.ReasonSecond)
	wantRefused(h, h.do(about(1), &wire.PaymentStarted{UserKey: key(1), Attempt: id(52)}), wire.ReasonWrongState)
	wantVoid(h, h.do(about(9), pay), wire.ReasonUnknownRef)
	if s := h.wait(400 * second); len(s) != 0 {
		t.Errorf("a sold booking lapsed: %+v", s)
	}
}

func TestAuthorised_WrongAmountOrCurrencyIsRefusedForGood(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	short := h.pay(50, 1)
	short.Amount--
	wantVoid(h, h.do(about(1), short), wire.ReasonAmount)
	foreign := h.pay(51, 1)
	foreign.Currency = [3]byte{'U', 'S', 'D'}
	wantVoid(h, h.do(about(1), foreign), wire.ReasonAmount)
	wantVoid(h, h.do(about(1), h.pay(50, 1)), wire.ReasonAmount)
	wantVoid(h, h.do(about(1), &wire.Authorised{Attempt: id(52), Currency: eur}), wire.ReasonAmount)
	wantRejected(h, h.do(about(1), &wire.Authorised{Attempt: id(53), Amount: 5, Currency: eur}), wire.ReasonInvalid)
	wantRejected(h, h.do(about(1), &wire.Authorised{Currency: eur}), wire.ReasonInvalid)
	is[*wire.Confirmed](h, h.do(about(1), h.pay(54, 1)))
}

func TestAuthorised_AZeroTotalNeedsNoIntent(t *testing.T) {
	h := newHouse(t, Limits{})
	is[*wire.EventDefined](h, h.do(on(show), &wire.DefineEvent{Currency: eur}))
	is[*wire.TypeDefined](h, h.do(on(show), &wire.DefineType{Type: 1, Capacity: 1, Default: true}))
	is[*wire.Held](h, h.do(about(1), hold(1)))
	is[*wire.Confirmed](h, h.do(about(1), &wire.Authorised{Attempt: id(50), Currency: eur}))
}

func TestAuthorised_TooManyRefusalsRefuseEverything(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	for n := range MaxRefusals {
		short := h.pay(50+n, 1)
		short.Amount--
		wantVoid(h, h.do(about(1), short), wire.ReasonAmount)
	}
	wantVoid(h, h.do(about(1), h.pay(99, 1)), wire.ReasonFull)
}

// lapsedBooking makes event 7 with one ticket that user 1 held and let lapse, as booking 1.
func lapsedBooking(t *testing.T, d wire.DefineEvent) *house {
	h := newHouse(t, Limits{})
	h.define(d, 1, 5)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	wantAll(h, h.wait(300*second), "Lapsed 1")
	return h
}

func TestLate_GrantedAgainWithinGraceWhenStockIsFree(t *testing.T) {
	h := lapsedBooking(t, wire.DefineEvent{})
	wantRefused(h, h.do(about(1), &wire.PaymentStarted{Attempt: id(50)}), wire.ReasonLapsed)
	h.wait(599 * second)
	c := is[*wire.Confirmed](h, h.do(about(1), h.pay(50, 1)))
	if !c.Late || h.stock(1).Sold != 1 {
		t.Errorf("%+v", c)
	}
	if s := h.wait(3600 * second); len(s) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestLate_RefusedAfterTheGrace(t *testing.T) {
	h := lapsedBooking(t, wire.DefineEvent{})
	pay := h.pay(50, 1)
	wantAll(h, h.wait(600*second), "Closed 1")
	wantVoid(h, h.do(about(1), pay), wire.ReasonLapsed)
	h.wait(601 * second)
	wantVoid(h, h.do(about(1), pay), wire.ReasonUnknownRef)
}

func TestLate_StockGoneIsVoidedEvenIfItComesBack(t *testing.T) {
	h := lapsedBooking(t, wire.DefineEvent{})
	is[*wire.Held](h, h.do(about(2), hold(2)))
	pay := h.pay(50, 1)
	wantVoid(h, h.do(about(1), pay), wire.ReasonSoldOut)
	is[*wire.Cancelled](h, h.do(about(2), &wire.Cancel{}))
	wantVoid(h, h.do(about(1), pay), wire.ReasonSoldOut)
	is[*wire.Confirmed](h, h.do(about(1), h.pay(51, 1)))
}

func TestLate_TheWaitlistComesFirst(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 1, 5)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	is[*wire.Waitlisted](h, h.do(about(2), waiting(hold(2))))
	wantAll(h, h.wait(300*second), "Lapsed 1, Offered 2")
	wantVoid(h, h.do(about(1), h.pay(50, 1)), wire.ReasonSoldOut)
}

func TestLate_SomethingNewerWins(t *testing.T) {
	h := lapsedBooking(t, wire.DefineEvent{})
	is[*wire.Held](h, h.do(about(2), hold(1, of(2, 1))))
	wantVoid(h, h.do(about(1), h.pay(50, 1)), wire.ReasonNewer)
	is[*wire.Confirmed](h, h.do(about(2), h.pay(60, 2)))
	wantVoid(h, h.do(about(1), h.pay(51, 1)), wire.ReasonNewer)
}

func TestLate_UserLimitStillHolds(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{PerUser: 1}, 5, 5)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	h.wait(300 * second)
	is[*wire.Held](h, h.do(about(2), hold(1)))
	h.wait(300 * second)
	is[*wire.Confirmed](h, h.do(about(1), h.pay(50, 1)))
	wantVoid(h, h.do(about(2), h.pay(51, 2)), wire.ReasonUserLimit)
}

func TestLate_NotWhileSellingIsStopped(t *testing.T) {
	h := lapsedBooking(t, wire.DefineEvent{})
	is[*wire.SellingSet](h, h.do(on(show), &wire.SetSelling{}))
	wantVoid(h, h.do(about(1), h.pay(50, 1)), wire.ReasonNotSelling)
}

func TestSelling_StoppedLetsALiveHoldBePaid(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 1, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	is[*wire.SellingSet](h, h.do(on(show), &wire.SetSelling{}))
	is[*wire.Confirmed](h, h.do(about(1), h.pay(50, 1)))
}

func TestCaptureFailed_FreezesThenPaidAgainOrRevoked(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 2, 0)
	for n := 1; n <= 2; n++ {
		is[*wire.Held](h, h.do(about(n), hold(n)))
		is[*wire.Confirmed](h, h.do(about(n), h.pay(50+n, n)))
	}
	f := is[*wire.Frozen](h, h.do(about(1), &wire.CaptureFailed{Attempt: id(51)}))
	if f.Deadline != h.clock.Elapsed()+1800*second || h.stock(1).Sold != 2 {
		t.Errorf("%+v", f)
	}
	is[*wire.Frozen](h, h.do(about(2), &wire.CaptureFailed{Attempt: id(52)}))
	is[*wire.Repeated](h, h.do(about(2), &wire.CaptureFailed{Attempt: id(52)}))
	wantVoid(h, h.do(about(1), h.pay(51, 1)), wire.ReasonCaptureFailed)
	is[*wire.PaymentBegun](h, h.do(about(1), &wire.PaymentStarted{UserKey: key(1), Attempt: id(61)}))
	if c := is[*wire.Confirmed](h, h.do(about(1), h.pay(61, 1))); c.Late {
		t.Errorf("%+v", c)
	}
	wantRefused(h, h.do(about(1), &wire.CaptureFailed{Attempt: id(51)}), wire.ReasonWrongState)
	is[*wire.Waitlisted](h, h.do(about(3), waiting(hold(3))))
	s := h.wait(1800 * second)
	wantAll(h, s, "Revoked 2, Offered 3")
	if r := s[0].Is.(*wire.Revoked); r.Reason != wire.ReasonCaptureFailed || r.Stock[0].Free != 1 {
		t.Errorf("%+v", r)
	}
	wantVoid(h, h.do(about(2), h.pay(62, 2)), wire.ReasonCaptureFailed)
}

func TestRefunded_SharesSumToTheLineExactly(t *testing.T) {
	h := newHouse(t, Limits{})
	is[*wire.EventDefined](h, h.do(on(show), &wire.DefineEvent{Currency: eur}))
	is[*wire.TypeDefined](h, h.do(on(show), &wire.DefineType{
		Type: 1, Capacity: 10, Default: true, Price: wire.Price{Ticket: 333, TaxRate: 70_000},
	}))
	is[*wire.Held](h, h.do(about(1), hold(1, of(1, 3), of(1, 1)))) // 999 + 69.93 → 1069 and 356
	is[*wire.Confirmed](h, h.do(about(1), h.pay(50, 1)))
	var sum int64
	for n, share := range []int64{357, 356, 356, 356} {
		r := is[*wire.TicketsRefunded](h, h.do(about(1), &wire.Refunded{Refund: id(70 + n), Return: n > 0, Tickets: []uint16{uint16(n)}}))
		if sum += r.Amount; r.Amount != share || r.Whole != (n == 3) {
			t.Errorf("ticket %d: %+v", n, r)
		}
	}
	if sum != 1069+356 {
		t.Errorf("shares sum to %d", sum)
	}
	if s := h.stock(1); s.Sold != 1 || s.Free != 9 {
		t.Errorf("one did not return: %+v", s)
	}
}

func TestRefunded_EachTicketAndEachRefundOnce(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 5)
	back := func(refund int, tickets ...uint16) []said {
		return h.do(about(1), &wire.Refunded{Refund: id(refund), Return: true, Tickets: tickets})
	}
	wantRefused(h, back(70, 0), wire.ReasonUnknownRef)
	is[*wire.Held](h, h.do(about(1), hold(1, of(1, 2), of(2, 1))))
	wantRefused(h, back(70, 0), wire.ReasonWrongState)
	is[*wire.Confirmed](h, h.do(about(1), h.pay(50, 1)))
	r := is[*wire.TicketsRefunded](h, back(70, 2, 0))
	if r.Amount != 2500+1320 || len(r.Stock) != 2 || h.stock(1).Sold != 1 || h.stock(2).Sold != 0 {
		t.Errorf("%+v", r)
	}
	is[*wire.Repeated](h, back(70, 2, 0))
	wantRefused(h, back(71, 0), wire.ReasonWrongState)
	wantRefused(h, back(71, 1, 1), wire.ReasonInvalid)
	wantRefused(h, back(71, 3), wire.ReasonInvalid)
	wantRejected(h, back(71), wire.ReasonInvalid)
	if r := is[*wire.TicketsRefunded](h, back(71, 1)); !r.Whole {
		t.Errorf("%+v", r)
	}
	wantVoid(h, h.do(about(1), h.pay(51, 1)), wire.ReasonSecond)
	is[*wire.Repeated](h, h.do(about(1), h.pay(50, 1)))
	is[*wire.Held](h, h.do(about(2), hold(1)))
}

func TestRevoke_EndsWhateverIsNotOver(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 0)
	is[*wire.Held](h, h.do(about(1), hold(1, of(1, 2))))
	if r := is[*wire.Revoked](h, h.do(about(1), &wire.Revoke{})); r.Reason != wire.ReasonCancelledByShop || r.Stock[0].Free != 5 {
		t.Errorf("%+v", r)
	}
	is[*wire.Repeated](h, h.do(about(1), &wire.Revoke{}))
	is[*wire.Held](h, h.do(about(2), hold(1, of(1, 2))))
	is[*wire.Confirmed](h, h.do(about(2), h.pay(50, 2)))
	is[*wire.TicketsRefunded](h, h.do(about(2), &wire.Refunded{Refund: id(70), Return: true, Tickets: []uint16{0}}))
	if r := is[*wire.Revoked](h, h.do(about(2), &wire.Revoke{})); r.Stock[0].Free != 4 || r.Stock[0].Sold != 1 {
		t.Errorf("without return: %+v", r)
	}
	wantRefused(h, h.do(about(2), &wire.Refunded{Refund: id(71), Tickets: []uint16{1}}), wire.ReasonWrongState)
}

func TestCancelEvent_EndsEverythingInLogOrderOverTicks(t *testing.T) {
	h := newHouse(t, Limits{Batch: 2})
	h.define(wire.DefineEvent{}, 4, 0)
	for n := 1; n <= 4; n++ {
		is[*wire.Held](h, h.do(about(n), hold(n)))
	}
	is[*wire.Waitlisted](h, h.do(about(5), waiting(hold(5))))
	is[*wire.Confirmed](h, h.do(about(2), h.pay(50, 2)))
	pay := h.pay(51, 4)
	wantAll(h, h.do(on(show), &wire.CancelEvent{}), "EventCancelled 0, Cancelled 1, Revoked 2")
	wantVoid(h, h.do(about(4), pay), wire.ReasonEventCancelled)
	wantRefused(h, h.do(about(6), hold(6)), wire.ReasonEventCancelled)
	wantRefused(h, h.do(on(show), &wire.SetSelling{Selling: true}), wire.ReasonEventCancelled)
	is[*wire.Repeated](h, h.do(on(show), &wire.CancelEvent{}))
	wantAll(h, h.tick(start+second), "Cancelled 3, Cancelled 4")
	wantAll(h, h.tick(start+second), "Cancelled 5")
	if s := h.stock(1); s.Free != 4 || h.m.sweeping != 0 {
		t.Errorf("%+v, sweeping %d", s, h.m.sweeping)
	}
}

func TestTickets_SharesAlwaysSumToTheTotal(t *testing.T) {
	for quantity := uint8(1); quantity <= sale.MaxQuantity; quantity++ {
		for _, price := range []int64{0, 1, 99, 333, 12_345} {
			m := New(Limits{})
			m.events = []event{{prices: []wire.Price{{Ticket: price, Fee: 7, TaxRate: 77_777}}}}
			b := &booking{line: [1]line{{quantity: quantity}}, count: 1}
			var sum int64
			for n := range uint16(quantity) {
				_, share := m.ticket(b, n)
				sum += share
			}
			if sum != m.total(b) {
				t.Fatalf("%d tickets at %d: shares sum to %d of %d", quantity, price, sum, m.total(b))
			}
		}
	}
}
