package stock

import (
	"testing"

	"fairgate/internal/wire"
)

func TestHold_TakesStockAndFreezesPrices(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 10, 5)
	got := is[*wire.Held](h, h.do(about(1), hold(1, of(2, 1), of(1, 3))))
	if got.Total != 2500+3960 || got.Deadline != h.clock.Elapsed()+300*second || got.Expires != start+300*second {
		t.Errorf("%+v", got)
	}
	if len(got.Lines) != 2 || got.Lines[1].Tax != 660 || got.Lines[0].Tax != 399 || got.Lines[0].Total != 2500 {
		t.Errorf("lines %+v", got.Lines)
	}
	if want := (wire.Stock{Type: 1, Capacity: 10, Target: 10, Held: 3, Free: 7}); len(got.Stock) != 2 || got.Stock[1] != want {
		t.Errorf("stock %+v", got.Stock)
	}
	is[*wire.PriceSet](h, h.do(on(show), &wire.SetPrice{Type: 1, Price: wire.Price{Ticket: 9999}}))
	if c := is[*wire.Confirmed](h, h.do(about(1), h.pay(50, 1))); c.Amount != 6460 {
		t.Errorf("a held booking costs %d after the price changed", c.Amount)
	}
	if got := is[*wire.Held](h, h.do(about(2), hold(2))); got.Total != 9999 || len(got.Lines) != 1 || got.Lines[0].Type != 1 {
		t.Errorf("no lines are one of the default type at its price: %+v", got)
	}
}

func TestHold_AllOrNoneEvenWhenATypeComesTwice(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 10, 2)
	r := wantRefused(h, h.do(about(1), hold(1, of(2, 1), of(1, 1), of(2, 2))), wire.ReasonSoldOut)
	if len(r.Lines) != 2 || r.Lines[0] != (wire.Shortage{Type: 2, Asked: 3, Left: 2}) || r.Lines[1].Left != 10 {
		t.Errorf("%+v", r.Lines)
	}
	if r.UserKey != key(1) || r.Command != wire.KindHold || h.stock(1).Held != 0 {
		t.Errorf("%+v, held %d", r, h.stock(1).Held)
	}
	is[*wire.Held](h, h.do(about(1), hold(1, of(2, 1), of(2, 1))))
}

func TestHold_OneLiveBookingPerUserAndEvent(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 1, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	a := is[*wire.AlreadyHeld](h, h.do(about(2), hold(1, of(1, 1))))
	if a.Booking != id(1) || a.Expires != start+300*second {
		t.Errorf("%+v", a)
	}
	is[*wire.Waitlisted](h, h.do(about(3), waiting(hold(2))))
	if a := is[*wire.AlreadyHeld](h, h.do(about(4), hold(2))); a.Booking != id(3) || a.Expires != 0 {
		t.Errorf("%+v", a)
	}
	if r := is[*wire.Repeated](h, h.do(about(1), hold(1))); r.FirstKind != wire.KindHeld || r.FirstRef != id(1) {
		t.Errorf("%+v", r)
	}
	if r := is[*wire.Repeated](h, h.do(about(3), waiting(hold(2)))); r.FirstKind != wire.KindWaitlisted {
		t.Errorf("%+v", r)
	}
	wantRefused(h, h.do(about(1), hold(3)), wire.ReasonExists)
}

func TestHold_UserLimitsCountHeldAndSold(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{PerUser: 4}, 100, 100)
	is[*wire.TypeDefined](h, h.do(on(show), &wire.DefineType{Type: 3, Capacity: 9, PerUser: 2}))
	wantRefused(h, h.do(about(1), hold(1, of(1, 5))), wire.ReasonUserLimit)
	wantRefused(h, h.do(about(1), hold(1, of(3, 1), of(3, 2))), wire.ReasonUserLimit)
	is[*wire.Held](h, h.do(about(1), hold(1, of(1, 2), of(3, 1))))
	is[*wire.Confirmed](h, h.do(about(1), h.pay(50, 1)))
	wantRefused(h, h.do(about(2), hold(1, of(2, 2))), wire.ReasonUserLimit)
	wantRefused(h, h.do(about(2), waiting(hold(1, of(2, 2)))), wire.ReasonUserLimit)
	is[*wire.TicketsRefunded](h, h.do(about(1), &wire.Refunded{Refund: id(70), Tickets: []uint16{0}}))
	is[*wire.Held](h, h.do(about(2), hold(1, of(2, 2))))
}

func TestHold_InvalidRequestsAreRejected(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 10, 10)
	bad := hold(1)
	bad.Subject = []byte("two words")
	wantRejected(h, h.do(about(1), bad), wire.ReasonInvalid)
	wantRejected(h, h.do(on(show), hold(1)), wire.ReasonInvalid)
	for _, l := range []wire.Line{of(1, 0), of(1, 101), {Type: 1, Quantity: 1, Seat: 4}} {
		wantRejected(h, h.do(about(1), hold(1, l)), wire.ReasonInvalid)
	}
	wantRefused(h, h.do(about(1), hold(1, of(9, 1))), wire.ReasonUnknownType)
	wantRefused(h, h.do(wire.Record{Object: 99, Ref: id(1)}, hold(1)), wire.ReasonUnknownObject)
}

func TestHold_BeforeTheFirstTickThereIsNoTime(t *testing.T) {
	h := &house{t: t, m: New(Limits{})}
	h.define(wire.DefineEvent{}, 10, 10)
	wantRefused(h, h.do(about(1), hold(1)), wire.ReasonNotSelling)
}

func withPass(h *wire.Hold, pass int, expires int64) *wire.Hold {
	h.Pass, h.PassExpires = id(pass), expires
	return h
}

func TestPass_IsUsedUpByTheFirstHeldAndBoundToItsUser(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{NeedsPass: true}, 1, 0)
	until := start + 900*second
	wantRefused(h, h.do(about(1), hold(1)), wire.ReasonPassMissing)
	wantRefused(h, h.do(about(1), withPass(hold(1), 80, start)), wire.ReasonPassMissing)
	wantRefused(h, h.do(about(1), withPass(hold(1), 80, start+MaxPassLife+1)), wire.ReasonInvalid)
	wantRefused(h, h.do(about(1), withPass(hold(1, of(1, 2)), 80, until)), wire.ReasonSoldOut)
	if g := is[*wire.Held](h, h.do(about(1), withPass(hold(2), 80, until))); g.Pass != id(80) {
		t.Errorf("sold out used the pass up, or the hold did not: %x", g.Pass)
	}
	wantRefused(h, h.do(about(2), withPass(hold(1), 80, until)), wire.ReasonPassUsed)
	is[*wire.Cancelled](h, h.do(about(1), &wire.Cancel{UserKey: key(2)}))
	wantRefused(h, h.do(about(2), withPass(hold(1), 80, until)), wire.ReasonPassUsed)
	if g := is[*wire.Held](h, h.do(about(3), withPass(hold(2), 80, until))); g.Pass != (wire.ID{}) {
		t.Errorf("a pass is used up once: %x", g.Pass)
	}
	h.wait(901 * second)
	if len(h.m.passes.heap) != 0 || len(h.m.passes.user) != 0 {
		t.Errorf("an expired pass is remembered")
	}
	wantRefused(h, h.do(about(4), withPass(hold(2), 80, until)), wire.ReasonPassMissing)
}

func TestPass_SameInTwoEventsBuysInBoth(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{NeedsPass: true}, 1, 0)
	is[*wire.EventDefined](h, h.do(on(8), &wire.DefineEvent{Currency: eur, NeedsPass: true}))
	is[*wire.TypeDefined](h, h.do(on(8), &wire.DefineType{Type: 1, Capacity: 1, Default: true}))
	is[*wire.Held](h, h.do(about(1), withPass(hold(1), 80, start+second)))
	is[*wire.Held](h, h.do(wire.Record{Object: 8, Ref: id(2)}, withPass(hold(1), 80, start+second)))
}

func TestLapse_OnceInDeadlineOrderThenLogOrder(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 10, 0)
	for n := range 3 {
		is[*wire.Held](h, h.do(about(n+1), hold(n+1)))
	}
	is[*wire.Extended](h, h.do(about(1), &wire.Extend{Cause: wire.CauseOperator, By: second}))
	if s := h.wait(300*second - 1); len(s) != 0 {
		t.Fatalf("before the deadline: %+v", s)
	}
	wantAll(h, h.tick(h.clock.Now+1), "Lapsed 2, Lapsed 3")
	wantAll(h, h.tick(h.clock.Now+second), "Lapsed 1")
	wantAll(h, h.wait(599*second), "Closed 2, Closed 3")
	wantAll(h, h.wait(second), "Closed 1")
	if s := h.wait(3600 * second); len(s) != 0 || h.m.bookings.Len() != 0 {
		t.Errorf("said %+v; %d bookings are remembered for ever", s, h.m.bookings.Len())
	}
}

func TestLapse_AtMostABatchPerTick(t *testing.T) {
	h := newHouse(t, Limits{Batch: 2})
	h.define(wire.DefineEvent{Hold: second}, 10, 0)
	for n := range 5 {
		is[*wire.Held](h, h.do(about(n+1), hold(n+1)))
	}
	wantAll(h, h.tick(start+second), "Lapsed 1, Lapsed 2")
	wantAll(h, h.tick(start+second), "Lapsed 3, Lapsed 4")
	wantAll(h, h.tick(start+second), "Lapsed 5")
}

func TestLapse_AnOutageBurnsNobodysTime(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 10, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	if s := h.tick(start + 1000*second); len(s) != 0 {
		t.Fatalf("an outage lapsed a hold: %+v", s)
	}
	if a := is[*wire.AlreadyHeld](h, h.do(about(2), hold(1))); a.Expires != start+1300*second {
		t.Errorf("expires %d s after the start", (a.Expires-start)/second)
	}
}

func TestWaitlist_EarliestThatFitsIsOffered(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{Offer: 60 * second}, 2, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	is[*wire.Held](h, h.do(about(2), hold(2)))
	if w := is[*wire.Waitlisted](h, h.do(about(3), waiting(hold(3, of(1, 2))))); w.Ahead != 0 || w.Lines[0] != of(1, 2) {
		t.Errorf("%+v", w)
	}
	if w := is[*wire.Waitlisted](h, h.do(about(4), waiting(hold(4)))); w.Ahead != 1 || string(w.Subject) != name(4) {
		t.Errorf("%+v", w)
	}
	is[*wire.Waitlisted](h, h.do(about(5), waiting(hold(5))))
	is[*wire.PriceSet](h, h.do(on(show), &wire.SetPrice{Type: 1, Price: wire.Price{Ticket: 500}}))
	s := h.do(about(1), &wire.Cancel{UserKey: key(1)})
	wantAll(h, s, "Cancelled 1, Offered 4")
	o := s[1].Is.(*wire.Offered)
	if o.Deadline != h.clock.Elapsed()+60*second || o.Total != 500 || o.TicketBase != id(9999) || string(o.Subject) != name(4) {
		t.Errorf("%+v", o)
	}
	wantAll(h, h.wait(60*second), "Lapsed 4, Offered 5")
	is[*wire.Confirmed](h, h.do(about(5), h.pay(50, 5)))
	wantAll(h, h.do(on(show), &wire.SetCapacity{Type: 1, Capacity: 4}), "CapacitySet 0, Offered 3")
}

func TestWaitlist_ServedInBatchesAndNobodyOvertakes(t *testing.T) {
	h := newHouse(t, Limits{Batch: 2})
	h.define(wire.DefineEvent{}, 1, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	for n := 2; n <= 6; n++ {
		is[*wire.Waitlisted](h, h.do(about(n), waiting(hold(n))))
	}
	wantAll(h, h.do(on(show), &wire.SetCapacity{Type: 1, Capacity: 6}), "CapacitySet 0, Offered 2, Offered 3")
	wantAll(h, h.do(about(7), waiting(hold(7))), "Waitlisted 7, Offered 4, Offered 5")
	wantAll(h, h.tick(start+second), "Offered 6")
	if h.stock(1).Free != 0 || h.m.owed != 0 {
		t.Errorf("%+v owed %d", h.stock(1), h.m.owed)
	}
}

func TestWaitlist_NewHoldTakesOnlyWhatTheLineDoesNotWant(t *testing.T) {
	h := newHouse(t, Limits{Batch: 1})
	h.define(wire.DefineEvent{}, 0, 0)
	for n := 1; n <= 3; n++ {
		is[*wire.Waitlisted](h, h.do(about(n), waiting(hold(n))))
	}
	wantAll(h, h.do(on(show), &wire.SetCapacity{Type: 1, Capacity: 4}), "CapacitySet 0, Offered 1")
	// Three are free, two of them owed.
	r := wantRefused(h, h.do(about(4), hold(4, of(1, 2))), wire.ReasonSoldOut)
	if r.Lines[0].Left != 1 {
		t.Errorf("left %d", r.Lines[0].Left)
	}
	wantAll(h, h.do(about(5), hold(5)), "Held 5, Offered 3")
}

func TestWaitlist_NothingIsOfferedWhileNotSelling(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 1, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	is[*wire.Waitlisted](h, h.do(about(2), waiting(hold(2))))
	is[*wire.SellingSet](h, h.do(on(show), &wire.SetSelling{}))
	wantRefused(h, h.do(about(3), hold(3)), wire.ReasonNotSelling)
	wantAll(h, h.do(about(1), &wire.Cancel{}), "Cancelled 1")
	wantAll(h, h.do(on(show), &wire.SetSelling{Selling: true}), "SellingSet 0, Offered 2")
}

func TestWaitlist_FullIsRefused(t *testing.T) {
	h := newHouse(t, Limits{Waiting: 1})
	h.define(wire.DefineEvent{}, 0, 0)
	is[*wire.Waitlisted](h, h.do(about(1), waiting(hold(1))))
	wantRefused(h, h.do(about(2), waiting(hold(2))), wire.ReasonFull)
	is[*wire.Cancelled](h, h.do(about(1), &wire.Cancel{UserKey: key(1)}))
	is[*wire.Waitlisted](h, h.do(about(2), waiting(hold(2))))
}

func TestCancel_ByOwnerOrShopOnly(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	is[*wire.Held](h, h.do(about(2), hold(2)))
	wantRefused(h, h.do(about(1), &wire.Cancel{UserKey: key(2)}), wire.ReasonNotYours)
	wantRefused(h, h.do(wire.Record{Object: 8, Ref: id(1)}, &wire.Cancel{}), wire.ReasonUnknownRef)
	if c := is[*wire.Cancelled](h, h.do(about(1), &wire.Cancel{UserKey: key(1)})); c.Reason != wire.ReasonCancelledByUser || c.Stock[0].Free != 4 {
		t.Errorf("%+v", c)
	}
	if c := is[*wire.Cancelled](h, h.do(about(2), &wire.Cancel{})); c.Reason != wire.ReasonCancelledByShop {
		t.Errorf("%+v", c)
	}
	if r := is[*wire.Repeated](h, h.do(about(1), &wire.Cancel{UserKey: key(1)})); r.FirstKind != wire.KindCancelled {
		t.Errorf("%+v", r)
	}
	is[*wire.Held](h, h.do(about(3), hold(1)))
	is[*wire.Confirmed](h, h.do(about(3), h.pay(50, 3)))
	wantRefused(h, h.do(about(3), &wire.Cancel{UserKey: key(1)}), wire.ReasonWrongState)
}

func TestExtend_PaymentCausesAddUpToTenMinutes(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	x := func(c wire.Cause, by, until int64) []said {
		return h.do(about(1), &wire.Extend{Cause: c, By: by, Until: until})
	}
	if e := is[*wire.Extended](h, x(wire.CausePaymentSlot, 400*second, 0)); e.By != 400*second || e.Until != start+700*second {
		t.Errorf("%+v", e)
	}
	if e := is[*wire.Extended](h, x(wire.CauseAuthenticate, 400*second, 0)); e.By != 200*second {
		t.Errorf("%+v", e)
	}
	wantRefused(h, x(wire.CausePaymentDown, second, 0), wire.ReasonFull)
	if e := is[*wire.Extended](h, x(wire.CauseOperator, 400*second, start+1000*second)); e.By != 100*second {
		t.Errorf("until: %+v", e)
	}
	wantRefused(h, x(wire.CauseOperator, 400*second, start), wire.ReasonFull)
	if e := is[*wire.Extended](h, x(wire.CauseOperator, 1<<62, 0)); e.By != MaxOperatorExtension {
		t.Errorf("%+v", e)
	}
	wantRejected(h, x(wire.CauseOutage, 1, 0), wire.ReasonInvalid)
	wantRejected(h, x(wire.CauseOperator, 0, 0), wire.ReasonInvalid)
	wantRejected(h, x(wire.CauseOperator, 1, -1), wire.ReasonInvalid)
	is[*wire.Cancelled](h, h.do(about(1), &wire.Cancel{}))
	wantRefused(h, x(wire.CauseOperator, 1, 0), wire.ReasonWrongState)
}

func TestExtend_AllMovesEveryDeadlineAndNamesTheHeldBack(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 0)
	for n := 1; n <= 3; n++ {
		is[*wire.Held](h, h.do(about(n), hold(n)))
	}
	is[*wire.Extended](h, h.do(about(2), &wire.Extend{Cause: wire.CausePaymentDown, By: 590 * second}))
	s := h.do(on(show), &wire.Extend{Scope: 1, Cause: wire.CausePaymentDown, By: 100 * second})
	wantAll(h, s, "Extended 0, Extended 2")
	if a, b := s[0].Is.(*wire.Extended), s[1].Is.(*wire.Extended); a.By != 100*second || b.By != 10*second || b.Until != start+900*second {
		t.Errorf("%+v %+v", a, b)
	}
	wantAll(h, h.wait(399*second), "")
	wantAll(h, h.wait(second), "Lapsed 1, Lapsed 3")
	wantRefused(h, h.do(on(99), &wire.Extend{Scope: 1, Cause: wire.CauseOperator, By: 1}), wire.ReasonUnknownObject)
}

func TestOperator_LateLookIsRefused(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 5, 0)
	changed := h.out.Seq
	r := on(show)
	r.After = changed
	is[*wire.CapacitySet](h, h.do(r, &wire.SetCapacity{Type: 1, Capacity: 7}))
	wantRefused(h, h.do(r, &wire.SetCapacity{Type: 1, Capacity: 8}), wire.ReasonMoved)
	wantRefused(h, h.do(r, &wire.SetPrice{Type: 1}), wire.ReasonMoved)
	wantRefused(h, h.do(r, &wire.SetSelling{}), wire.ReasonMoved)
	wantRefused(h, h.do(r, &wire.CancelEvent{}), wire.ReasonMoved)
	is[*wire.SellingSet](h, h.do(on(show), &wire.SetSelling{Selling: true}))
}

func TestOperator_DefinitionsRepeatOrRefuse(t *testing.T) {
	h := newHouse(t, Limits{Events: 1})
	h.define(wire.DefineEvent{PerUser: 3}, 5, 0)
	is[*wire.Repeated](h, h.do(on(show), &wire.DefineEvent{Currency: eur, PerUser: 3, Hold: 300 * second}))
	wantRefused(h, h.do(on(show), &wire.DefineEvent{Currency: eur}), wire.ReasonExists)
	wantRefused(h, h.do(on(8), &wire.DefineEvent{Currency: eur}), wire.ReasonFull)
	wantRejected(h, h.do(on(8), &wire.DefineEvent{Currency: [3]byte{'e', 'u', 'r'}}), wire.ReasonInvalid)
	wantRejected(h, h.do(on(8), &wire.DefineEvent{Currency: eur, Hold: -1}), wire.ReasonInvalid)
	same := wire.DefineType{Type: 2, Capacity: 0, Price: wire.Price{Ticket: 2500, TaxRate: 190_000, Included: true}}
	is[*wire.Repeated](h, h.do(on(show), &same))
	same.Capacity = 4
	wantRefused(h, h.do(on(show), &same), wire.ReasonExists)
	wantRefused(h, h.do(on(show), &wire.DefineType{Type: 3, Default: true}), wire.ReasonExists)
	wantRejected(h, h.do(on(show), &wire.DefineType{Type: 3, Price: wire.Price{Ticket: -1}}), wire.ReasonInvalid)
	wantRejected(h, h.do(on(show), &wire.DefineType{Type: 1 << 31}), wire.ReasonInvalid)
	for n := uint32(3); n <= MaxTypes; n++ {
		is[*wire.TypeDefined](h, h.do(on(show), &wire.DefineType{Type: n}))
	}
	wantRefused(h, h.do(on(show), &wire.DefineType{Type: 99}), wire.ReasonFull)
	wantRefused(h, h.do(on(show), &wire.SetCapacity{Type: 999}), wire.ReasonUnknownType)
	wantRefused(h, h.do(on(99), &wire.SetCapacity{Type: 1}), wire.ReasonUnknownObject)
}

func TestCapacity_BelowWhatIsInUseShrinksAsStockReturns(t *testing.T) {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 10, 0)
	is[*wire.Held](h, h.do(about(1), hold(1, of(1, 3))))
	is[*wire.Held](h, h.do(about(2), hold(2, of(1, 4))))
	is[*wire.Confirmed](h, h.do(about(2), h.pay(50, 2)))
	got := is[*wire.CapacitySet](h, h.do(on(show), &wire.SetCapacity{Type: 1, Capacity: 5}))
	if got.Stock != (wire.Stock{Type: 1, Capacity: 7, Target: 5, Held: 3, Sold: 4}) {
		t.Errorf("%+v", got.Stock)
	}
	c := is[*wire.Cancelled](h, h.do(about(1), &wire.Cancel{}))
	if c.Stock[0] != (wire.Stock{Type: 1, Capacity: 5, Target: 5, Sold: 4, Free: 1}) {
		t.Errorf("%+v", c.Stock)
	}
}

func TestBookings_FullIsRefused(t *testing.T) {
	h := newHouse(t, Limits{Bookings: 1})
	h.define(wire.DefineEvent{}, 5, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	wantRefused(h, h.do(about(2), hold(2)), wire.ReasonFull)
}

func TestApply_UnknownAndUndecodableRecordsAreAnswered(t *testing.T) {
	h := newHouse(t, Limits{})
	raw := wire.AppendRecord(nil, about(1), hold(1))
	raw[1] = 200
	wantRejected(h, h.raw(raw), wire.ReasonUnknownKind)
	raw[1] = byte(wire.KindRefunded)
	wantRejected(h, h.raw(raw), wire.ReasonUndecodable)
}
