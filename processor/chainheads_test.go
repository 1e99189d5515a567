package processor

import (
	"errors"
	"testing"

	"fairgate/internal/store"
	"fairgate/internal/wire"
)

func TestProjector_OneChainHeadForEveryTickThatClosesOverABooking(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 2)
	w.wait(4 * second)
	w.project(100)
	w.want("(0)", `SELECT tick_offset FROM chain_heads`) // of a projector that had just begun
	w.exec(`DELETE FROM chain_heads`)
	p := w.projector()
	p.does.open = false
	step := func(do func()) int64 {
		do()
		w.tick(w.clock.Now + second)
		batch, next := w.batch(int(p.does.From().Seq)-1, len(w.all))
		if err := p.write(t.Context(), batch, next); err != nil {
			t.Fatal(err)
		}
		return w.offset - 1
	}
	step(func() {})
	w.want("", `SELECT tick_offset FROM chain_heads`)
	held := step(func() { w.do(about(1), hold(1)) })
	step(func() { w.do(about(9), hold(1)) }) // held already: nothing new
	step(func() { w.do(about(1), &wire.PaymentStarted{Attempt: id(60)}) })
	waits := step(func() { w.do(about(2), waiting(hold(2, of(1, 2)))) })
	h, err := w.db.ChainHead(t.Context(), 0, held-1)
	if err != nil || h.Offset != held || h.Chain != (wire.Hash{byte(held)}) || h.Seq == 0 || h.At == 0 {
		t.Errorf("%+v %v", h, err)
	}
	if h, err = w.db.ChainHead(t.Context(), 0, held); err != nil || h.Offset != waits {
		t.Errorf("%+v %v", h, err)
	}
	if _, err = w.db.ChainHead(t.Context(), 0, waits); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	w.want("(2)", `SELECT count(*) FROM chain_heads`)
}

func TestProjector_ABatchThatEndsBetweenBookingAndTickLosesNoHead(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 2)
	w.do(about(1), hold(1))
	w.project(100) // by a process that dies here
	w.tick(w.clock.Now + second)
	w.project(100)
	if h, err := w.db.ChainHead(t.Context(), 0, w.offset-2); err != nil || h.Offset != w.offset-1 {
		t.Errorf("%+v %v", h, err)
	}
}

func TestBooking_SaysHowItBegan(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 1)
	w.do(about(1), hold(1))
	w.do(about(2), waiting(hold(2)))
	w.do(about(1), &wire.Cancel{})
	w.project(100)
	check := func() {
		t.Helper()
		for n, want := range map[int]wire.Kind{1: wire.KindHeld, 2: wire.KindWaitlisted} {
			if b, err := w.db.Booking(t.Context(), uuid(n)); err != nil || b.FirstKind != want || b.FirstSeq == 0 {
				t.Errorf("booking %d: %+v %v", n, b, err)
			}
		}
	}
	check()
	w.exec(`UPDATE bookings SET first_outcome = ''`) // as a projector of before wrote them
	check()
}
