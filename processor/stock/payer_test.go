package stock

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"fairgate/internal/wire"
)

// card is a payment method as an event's log knows it.
func card(n int) wire.ID { return id(9_000_000 + n) }

// payBy is pay with a card.
func (h *house) payBy(attempt, ref, method int) *wire.AuthorisedBy {
	h.t.Helper()
	return &wire.AuthorisedBy{Method: card(method), Authorised: *h.pay(attempt, ref)}
}

// payers recounts every method's bookings from the bookings.
func (h *house) payers() {
	h.t.Helper()
	counted := map[int32]int32{}
	for i := range h.m.events {
		for at := h.m.events[i].first; at != none; at = h.m.booking(at).next {
			b := h.m.booking(at)
			if b.payer == none {
				continue
			}
			if p := h.m.payers.At(b.payer); p.event != b.event || p.method == (wire.ID{}) || b.attempt == (wire.ID{}) || b.status == frozen {
				h.t.Fatalf("%+v counts for %+v", b, p)
			}
			counted[b.payer]++
		}
	}
	for at, n := range counted {
		p := h.m.payers.At(at)
		if p.bookings != n || h.m.payerOf(p.event, p.method) != at {
			h.t.Fatalf("%+v, but %d bookings count for it", p, n)
		}
	}
	if h.m.payerAt.Len() != len(counted) {
		h.t.Fatalf("%d methods are known, bookings count for %d", h.m.payerAt.Len(), len(counted))
	}
}

// limited is event 7 with a limit and bookings 1 to 5 of as many users, all held.
func limited(t *testing.T, most uint16) *house {
	h := newHouse(t, Limits{})
	h.define(wire.DefineEvent{}, 9, 0)
	if s := is[*wire.MethodLimitSet](h, h.do(on(show), &wire.SetMethodLimit{PerMethod: most})); s.PerMethod != most {
		t.Errorf("%+v", s)
	}
	for n := 1; n <= 5; n++ {
		is[*wire.Held](h, h.do(about(n), hold(n)))
	}
	return h
}

func TestMethodLimit_CountsBookingsWhosesoeverTheyAre(t *testing.T) {
	h := limited(t, 2)
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(51, 1, 1)))
	is[*wire.Confirmed](h, h.do(about(2), h.payBy(52, 2, 1)))
	pay := h.payBy(53, 3, 1)
	wantVoid(h, h.do(about(3), pay), wire.ReasonMethodLimit)
	if s := h.stock(1); s.Held != 3 || s.Sold != 2 {
		t.Errorf("the third is no longer held: %+v", s)
	}
	is[*wire.Repeated](h, h.do(about(2), h.payBy(52, 2, 1)))
	is[*wire.Confirmed](h, h.do(about(3), h.payBy(63, 3, 2)))
	is[*wire.Confirmed](h, h.do(about(4), h.payBy(54, 4, 2)))
	wantVoid(h, h.do(about(5), h.payBy(55, 5, 2)), wire.ReasonMethodLimit)
}

func TestMethodLimit_ARefusalIsFinalForItsAttempt(t *testing.T) {
	h := limited(t, 1)
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(51, 1, 1)))
	wantVoid(h, h.do(about(2), h.payBy(52, 2, 1)), wire.ReasonMethodLimit)
	is[*wire.MethodLimitSet](h, h.do(on(show), &wire.SetMethodLimit{PerMethod: 9}))
	wantVoid(h, h.do(about(2), h.payBy(52, 2, 1)), wire.ReasonMethodLimit)
	wantVoid(h, h.do(about(2), h.payBy(52, 2, 7)), wire.ReasonMethodLimit)
	is[*wire.Confirmed](h, h.do(about(2), h.payBy(62, 2, 1)))
}

func TestMethodLimit_UnknownMethodsMeetNone(t *testing.T) {
	h := limited(t, 1)
	for n := 1; n <= 3; n++ {
		is[*wire.Confirmed](h, h.do(about(n), &wire.AuthorisedBy{Authorised: *h.pay(50+n, n)}))
	}
	is[*wire.Confirmed](h, h.do(about(4), h.pay(54, 4)))
	if h.m.payerAt.Len() != 0 {
		t.Error("something unknown was counted")
	}
}

func TestMethodLimit_EachEventCountsForItself(t *testing.T) {
	h := limited(t, 1)
	const other = show + 1
	is[*wire.EventDefined](h, h.do(on(other), &wire.DefineEvent{Currency: eur}))
	is[*wire.TypeDefined](h, h.do(on(other), &wire.DefineType{Type: 1, Capacity: 5, Default: true, Price: wire.Price{Ticket: 100}}))
	is[*wire.MethodLimitSet](h, h.do(on(other), &wire.SetMethodLimit{PerMethod: 1}))
	elsewhere := wire.Record{Object: other, Ref: id(20)}
	is[*wire.Held](h, h.do(elsewhere, hold(1)))
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(51, 1, 1)))
	is[*wire.Confirmed](h, h.do(elsewhere, h.payBy(60, 20, 1)))
	wantVoid(h, h.do(about(2), h.payBy(52, 2, 1)), wire.ReasonMethodLimit)
}

func TestMethodLimit_CountsFromWhenItIsSetAndHoldsWhenLowered(t *testing.T) {
	h := limited(t, 0)
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(51, 1, 1)))
	if h.m.payerAt.Len() != 0 {
		t.Error("an event without a limit remembers methods")
	}
	is[*wire.MethodLimitSet](h, h.do(on(show), &wire.SetMethodLimit{PerMethod: 2}))
	is[*wire.Confirmed](h, h.do(about(2), h.payBy(52, 2, 1)))
	is[*wire.Confirmed](h, h.do(about(3), h.payBy(53, 3, 1)))
	is[*wire.MethodLimitSet](h, h.do(on(show), &wire.SetMethodLimit{PerMethod: 1}))
	wantVoid(h, h.do(about(4), h.payBy(54, 4, 1)), wire.ReasonMethodLimit)
	is[*wire.MethodLimitSet](h, h.do(on(show), &wire.SetMethodLimit{}))
	is[*wire.Confirmed](h, h.do(about(4), h.payBy(64, 4, 1)))
	is[*wire.MethodLimitSet](h, h.do(on(show), &wire.SetMethodLimit{PerMethod: 3}))
	is[*wire.Confirmed](h, h.do(about(5), h.payBy(55, 5, 1)))
}

func TestMethodLimit_RefundedAndRevokedBookingsKeepCounting(t *testing.T) {
	h := limited(t, 2)
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(51, 1, 1)))
	is[*wire.Confirmed](h, h.do(about(2), h.payBy(52, 2, 1)))
	is[*wire.TicketsRefunded](h, h.do(about(1), &wire.Refunded{Refund: id(70), Return: true, Tickets: []uint16{0}}))
	is[*wire.Revoked](h, h.do(about(2), &wire.Revoke{Return: true}))
	wantVoid(h, h.do(about(3), h.payBy(53, 3, 1)), wire.ReasonMethodLimit)
	h.wait(100 * second)
	wantVoid(h, h.do(about(4), h.payBy(54, 4, 1)), wire.ReasonMethodLimit)
}

func TestMethodLimit_AFailedCaptureCountsForNobody(t *testing.T) {
	h := limited(t, 1)
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(51, 1, 1)))
	is[*wire.Frozen](h, h.do(about(1), &wire.CaptureFailed{Attempt: id(51)}))
	is[*wire.Confirmed](h, h.do(about(2), h.payBy(52, 2, 1)))
	wantVoid(h, h.do(about(1), h.payBy(61, 1, 1)), wire.ReasonMethodLimit)
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(71, 1, 2)))
	wantVoid(h, h.do(about(3), h.payBy(53, 3, 2)), wire.ReasonMethodLimit)
}

func TestMethodLimit_ALateBookingIsHeldAgainstItToo(t *testing.T) {
	h := limited(t, 1)
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(51, 1, 1)))
	h.wait(301 * second)
	wantVoid(h, h.do(about(2), h.payBy(52, 2, 1)), wire.ReasonMethodLimit)
	if c := is[*wire.Confirmed](h, h.do(about(2), h.payBy(62, 2, 2))); !c.Late {
		t.Errorf("%+v", c)
	}
}

func TestMethodLimit_IsAnOperatorsOrder(t *testing.T) {
	h := newHouse(t, Limits{})
	wantRefused(h, h.do(on(show), &wire.SetMethodLimit{PerMethod: 1}), wire.ReasonUnknownObject)
	h.define(wire.DefineEvent{}, 1, 0)
	moved := on(show)
	moved.After = 1
	wantRefused(h, h.do(moved, &wire.SetMethodLimit{PerMethod: 1}), wire.ReasonMoved)
	s := h.do(on(show), &wire.SetMethodLimit{PerMethod: 1})
	moved.After = s[0].Seq
	is[*wire.MethodLimitSet](h, h.do(moved, &wire.SetMethodLimit{PerMethod: 2}))
	h.do(on(show), &wire.CancelEvent{})
	wantRefused(h, h.do(on(show), &wire.SetMethodLimit{PerMethod: 1}), wire.ReasonEventCancelled)
}

func TestMethodLimit_TheOldRecordDecidesAsItAlwaysDid(t *testing.T) {
	a, b := limited(t, 0), limited(t, 0)
	a.do(about(1), a.pay(51, 1))
	b.do(about(1), b.payBy(51, 1, 1))
	x, y := a.m.Snapshot(nil), b.m.Snapshot(nil)
	if !bytes.Equal(x, y) {
		t.Error("without a limit a method leaves a trace")
	}
}

func TestRestore_RefusesTheFormerLayout(t *testing.T) {
	snap := New(Limits{}).Snapshot(nil)
	snap[0] = 1
	if err := New(Limits{}).Restore(snap); !errors.Is(err, ErrSnapshot) {
		t.Error(err)
	}
}

func TestMethodLimit_ManyMethodsTakeNoMoreEntriesThanBookings(t *testing.T) {
	h := newHouse(t, Limits{})
	h.light = true
	h.define(wire.DefineEvent{}, 500, 0)
	h.do(on(show), &wire.SetMethodLimit{PerMethod: 3})
	for n := 1; n <= 300; n++ {
		h.do(about(n), hold(n))
		is[*wire.Confirmed](h, h.do(about(n), h.payBy(1000+n, n, n/2)))
		if n%3 == 0 {
			is[*wire.Frozen](h, h.do(about(n), &wire.CaptureFailed{Attempt: id(1000 + n)}))
		}
	}
	if n := h.m.payerAt.Len(); n > 200 {
		t.Error(fmt.Sprint(n, " methods for 200 bookings that count"))
	}
	h.restored()
	h.payers()
}

// TestMethodLimit_TermsOfOlderLeadersKnowNone: while a leader of the version before is at work, everybody must read the log as it
// does, and whoever reads it later too.
func TestMethodLimit_TermsOfOlderLeadersKnowNone(t *testing.T) {
	h := newHouse(t, Limits{})
	h.clock.StartEpoch(2, codeMethods-1)
	h.define(wire.DefineEvent{}, 9, 0)
	is[*wire.Held](h, h.do(about(1), hold(1)))
	unknown := func(head wire.Record, b wire.Body) {
		t.Helper()
		if r := is[*wire.Rejected](h, h.do(head, b)); r.Reason != wire.ReasonUnknownKind {
			t.Errorf("%T is rejected because of %s", b, r.Reason)
		}
	}
	unknown(on(show), &wire.SetMethodLimit{PerMethod: 1})
	unknown(about(1), h.payBy(51, 1, 1))
	h.clock.StartEpoch(3, Code)
	is[*wire.MethodLimitSet](h, h.do(on(show), &wire.SetMethodLimit{PerMethod: 1}))
	is[*wire.Confirmed](h, h.do(about(1), h.payBy(51, 1, 1)))
	h.clock.StartEpoch(4, codeMethods-1)
	unknown(on(show), &wire.SetMethodLimit{})
}
