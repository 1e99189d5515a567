package queue

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

func TestRoom_FollowsItsSchedule(t *testing.T) {
	h := start(t)
	d := fast(10)
	d.EarlyFrom, d.Opens, d.Ends = t0+2*sale.Second, t0+4*sale.Second, t0+6*sale.Second
	h.define(d)
	h.refused(h.join(1), wire.ReasonClosed)
	got := map[wire.RoomState]int64{}
	for h.now() < t0+7*sale.Second {
		sets, _ := of[*wire.RoomSet](h.tick(h.now() + 500*sale.Millisecond))
		for _, s := range sets {
			got[s.State] = h.now()
		}
		if h.state() == wire.RoomEarly {
			h.join(int(h.now()))
		}
	}
	if len(got) != 3 || got[wire.RoomEarly] != d.EarlyFrom || got[wire.RoomOpen] != d.Opens || got[wire.RoomEnded] != d.Ends {
		t.Errorf("%v", got)
	}
	h.refused(h.join(2), wire.ReasonClosed)
	h.refused(h.ask(2), wire.ReasonClosed)
	h.refused(h.leave(2), wire.ReasonClosed)
}

func TestRoom_ChangesStateByOrder(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	for _, c := range []struct {
		order wire.RoomState
		want  wire.Reason
	}{
		{wire.RoomEarly, wire.ReasonWrongState},
		{wire.RoomOpen, 0},
		{wire.RoomOpen, wire.ReasonWrongState},
		{wire.RoomPaused, 0},
		{wire.RoomPaused, wire.ReasonWrongState},
		{wire.RoomClosed, wire.ReasonInvalid},
		{wire.RoomSoldOut, wire.ReasonInvalid},
		{99, wire.ReasonInvalid},
		{wire.RoomOpen, 0},
		{wire.RoomEnded, 0},
		{wire.RoomEnded, wire.ReasonWrongState},
		{wire.RoomOpen, wire.ReasonWrongState},
	} {
		if got := h.set(c.order); c.want != 0 {
			h.refused(got, c.want)
		} else if s := answer[*wire.RoomSet](h, got); s.State != c.order || h.state() != c.order {
			t.Errorf("order %v gave %v", c.order, s)
		}
	}
}

func TestRoom_AnOrderBasedOnAnOldViewIsRefused(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	order := func(after uint64, s wire.RoomState) []told {
		r, err := wire.ParseRecord(wire.AppendRecord(nil, wire.Record{Object: hall, After: after}, &wire.SetRoom{State: s}))
		if err != nil {
			t.Fatal(err)
		}
		return h.record(r)
	}
	seen := order(0, wire.RoomOpen)[0].Seq
	paused := order(seen, wire.RoomPaused)
	answer[*wire.RoomSet](h, paused)
	h.refused(order(seen, wire.RoomOpen), wire.ReasonMoved)
	answer[*wire.RoomSet](h, order(paused[0].Seq, wire.RoomOpen))
}

func TestRoom_PausedInvitesAndAdmitsNobody(t *testing.T) {
	h := start(t)
	h.oneInside(3)
	h.ask(2)
	h.set(wire.RoomPaused)
	h.join(4)
	pass := wire.PassID(hall, id(1), 1)
	got := h.apply(hall, wire.ID{}, &wire.Left{Pass: pass, SourceSeq: 1})
	got = append(got, h.ask(3)...)
	got = append(got, h.run(5*sale.Second)...)
	if slots, _ := of[*wire.SlotGiven](got); len(slots) > 0 {
		t.Error("a slot was given in a pause")
	}
	if calls, _ := of[*wire.InvitedUpTo](got); len(calls) > 0 {
		t.Error("somebody was invited in a pause")
	}
	if _, refs := of[*wire.SlotGiven](h.set(wire.RoomOpen)); len(refs) != 1 || refs[0] != id(2) {
		t.Errorf("after the pause the slot went to %x", refs)
	}
}

func TestRoom_SoldOutAndBack(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	h.set(wire.RoomOpen)
	seq := uint64(0)
	signal := func(left, coming int64) []told {
		seq++
		return h.apply(hall, wire.ID{}, &wire.Signal{Left: left, Coming: coming, Price: 100, Currency: [3]byte{'E', 'U', 'R'}, SourceSeq: seq})
	}
	for _, c := range []struct {
		left, coming int64
		want         wire.RoomState
	}{
		{5, 0, wire.RoomOpen}, {0, 3, wire.RoomOpen}, {0, 0, wire.RoomSoldOut}, {0, 2, wire.RoomSoldOut},
		{1, 0, wire.RoomOpen}, {0, 0, wire.RoomSoldOut},
	} {
		answer[*wire.Signalled](h, signal(c.left, c.coming))
		if h.state() != c.want {
			t.Errorf("left %d, coming %d: %v, want %v", c.left, c.coming, h.state(), c.want)
		}
	}
	answer[*wire.Joined](h, h.join(1))
	if calls, _ := of[*wire.InvitedUpTo](h.run(3 * sale.Second)); len(calls) > 0 {
		t.Error("somebody was invited to nothing")
	}
	h.refused(signal(-2, 0), wire.ReasonInvalid)
}

func TestRoom_SignalsAreIdempotentBySource(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	s := &wire.Signal{Left: 5, Source: 3, SourceSeq: 7}
	answer[*wire.Signalled](h, h.apply(hall, wire.ID{}, s))
	answer[*wire.Repeated](h, h.apply(hall, wire.ID{}, s))
	old := *s
	old.SourceSeq = 6
	answer[*wire.Repeated](h, h.apply(hall, wire.ID{}, &old))
	other := *s
	other.Source, other.SourceSeq = 2, 1
	answer[*wire.Signalled](h, h.apply(hall, wire.ID{}, &other))
}

func TestRoom_StandsBeforeEventsOfManyPartitions(t *testing.T) {
	h := start(t)
	h.define(fast(10))
	h.set(wire.RoomOpen)
	seq := uint64(0)
	says := func(source int32, left, coming, price int64, headroom int32) {
		t.Helper()
		seq++
		s := &wire.Signal{Left: left, Coming: coming, Price: price, Currency: [3]byte([]byte("EUR")), Headroom: headroom, Source: source, SourceSeq: seq}
		answer[*wire.Signalled](h, h.apply(hall, wire.ID{}, s))
	}
	is := func(state string, left, coming int64, price string) {
		t.Helper()
		h.run(sale.Second)
		if d, _ := h.document(); d.State != state || d.Left != left || d.Coming != coming || d.Price != price {
			t.Errorf("%s, left %d, coming %d, %q; want %s, %d, %d, %q", d.State, d.Left, d.Coming, d.Price, state, left, coming, price)
		}
	}
	says(1, 5, 2, 4500, -1)
	says(2, 0, 0, 3000, 700)
	is("open", 5, 2, "30.00") // sold out in one partition, not in the other
	says(1, 0, 0, 4500, 900)
	is("soldOut", 0, 0, "30.00")
	says(2, 1, 0, -1, -1)
	is("open", 1, 0, "45.00")
	says(3, -1, 4, -1, -1)
	is("open", -1, 4, "45.00")
	says(3, 1<<63-1, 1<<63-1, -1, -1)
	is("open", 1<<63-1, 1<<63-1, "45.00")
	snapshot := h.m.Snapshot(nil)
	again := New(Limits{})
	if err := again.Restore(snapshot); err != nil || !bytes.Equal(again.Snapshot(nil), snapshot) || again.rooms[0].signal != h.m.rooms[0].signal {
		t.Errorf("restored: %v", err)
	}
}

func TestRoom_DefinitionsOutOfRangeAreRefused(t *testing.T) {
	h := start(t)
	for name, change := range map[string]func(d *wire.DefineRoom){
		"mode":           func(d *wire.DefineRoom) { d.Mode = 2 },
		"late":           func(d *wire.DefineRoom) { d.Late = MaxLate + 1 },
		"negative grace": func(d *wire.DefineRoom) { d.Grace = -1 },
		"pass":           func(d *wire.DefineRoom) { d.Pass = 1 << 60 },
		"shares":         func(d *wire.DefineRoom) { d.Shares = [wire.Lanes]uint16{500, 501} },
		"shares wrap":    func(d *wire.DefineRoom) { d.Shares = [wire.Lanes]uint16{65535, 65535, 65535, 65535} },
		"cap":            func(d *wire.DefineRoom) { d.Cap = 1 << 31 },
		"rate":           func(d *wire.DefineRoom) { d.PerMinute = 1 << 31 },
		"early":          func(d *wire.DefineRoom) { d.Opens, d.EarlyFrom = 5, 6 },
		"ends":           func(d *wire.DefineRoom) { d.Opens, d.Ends = 5, 5 },
		"draw":           func(d *wire.DefineRoom) { d.Mode = wire.ModeDraw },
		"source":         func(d *wire.DefineRoom) { d.PublicSource = []byte{0xff} },
	} {
		d := fast(10)
		change(&d)
		t.Log(name)
		h.refused(h.apply(hall, wire.ID{}, &d), wire.ReasonInvalid)
	}
	h.refused(h.apply(0, wire.ID{}, &wire.DefineRoom{}), wire.ReasonInvalid)
	d := answer[*wire.RoomDefined](h, h.apply(hall, wire.ID{}, &wire.DefineRoom{})).Room
	if d.Cap != 1000 || d.PerMinute != 600 || d.Late != MaxLate || d.CapNarrow != 4 || d.CapWide != 16 || d.CapCarrier != 200 ||
		d.Claim != 30*sale.Second || d.Grace != 600*sale.Second || d.Pass != 900*sale.Second || d.MarginMille != 2000 ||
		d.Shares != [wire.Lanes]uint16{750, 100, 100, 50} {
		t.Errorf("defaults %+v", d)
	}
}

// drawn is a draw that closes in a minute, and its seed.
func drawn() (wire.DefineRoom, wire.Hash) {
	d := fast(1000)
	seed := wire.Hash{1, 2, 3}
	d.Mode, d.DrawCloses, d.Commitment = wire.ModeDraw, t0+sale.Minute, sha256.Sum256(seed[:])
	d.Late, d.PublicSource, d.Opens = 10*sale.Second, []byte("lottery of 3 May"), t0+sale.Minute
	return d, seed
}

func TestDraw_OrdersEarlyArrivalsByTheRevealedSeed(t *testing.T) {
	h := start(t)
	d, seed := drawn()
	h.define(d)
	for n := 1; n <= 40; n++ {
		j := answer[*wire.Joined](h, h.join(n))
		if !j.Drawn || j.Key.Class != 1 || j.Key.Key != uint64(h.now()) {
			t.Fatalf("before the draw: %+v", j)
		}
		h.c.Now += 1000
	}
	h.leave(7)
	h.run(62 * sale.Second)
	after := answer[*wire.Joined](h, h.join(100)) // after the close: by instant
	late := h.fan(101)
	late.Instant = d.DrawCloses - 1
	if j := answer[*wire.Joined](h, h.apply(hall, id(101), late)); after.Drawn || !j.Drawn {
		t.Errorf("drawn: %v after the close, %v late for one before it", after.Drawn, j.Drawn)
	}
	reveal := &wire.Reveal{Seed: seed, Public: []byte("4 8 15 16 23 42")}
	h.refused(h.apply(hall, wire.ID{}, reveal), wire.ReasonWrongState) // somebody could still join the draw
	h.run(12 * sale.Second)
	wrong := *reveal
	wrong.Seed[0]++
	h.refused(h.apply(hall, wire.ID{}, &wrong), wire.ReasonInvalid)
	if h.state() != wire.RoomEarly {
		t.Fatal("opened without the seed")
	}
	got := h.apply(hall, wire.ID{}, reveal)
	if r := answer[*wire.Revealed](h, got); r.Seed != seed || h.state() != wire.RoomOpen {
		t.Fatalf("%v %v", got, h.state())
	}
	h.refused(h.apply(hall, wire.ID{}, reveal), wire.ReasonWrongState)

	key := sha256.Sum256(append(seed[:], reveal.Public...))
	want := []int{}
	value := map[int]uint64{}
	for n := range 102 {
		if (n >= 1 && n <= 40 && n != 7) || n == 101 {
			mac := hmac.New(sha256.New, key[:])
			token := id(n)
			mac.Write(token[:])
			value[n] = binary.BigEndian.Uint64(mac.Sum(nil))
			want = append(want, n)
		}
	}
	slices.SortFunc(want, func(a, b int) int {
		if value[a] < value[b] {
			return -1
		}
		return 1
	})
	want = append(want, 100)
	for i, n := range want {
		p := h.place(n)
		if int(p.Ahead) != i || p.Drawn || (n != 100 && p.Key != (wire.OrderKey{Class: 0, Key: value[n], Token: id(n)})) {
			t.Errorf("place %d: %+v, want %d ahead", n, p, i)
		}
	}
}

func TestDraw_OutagesPutTheOpeningOff(t *testing.T) {
	h := start(t)
	d, seed := drawn()
	h.define(d)
	h.run(59 * sale.Second)
	h.tick(h.now() + sale.Minute) // across the close
	h.run(8 * sale.Second)
	early := h.fan(1)
	early.Instant = d.DrawCloses - 1
	if j := answer[*wire.Joined](h, h.apply(hall, id(1), early)); !j.Drawn {
		t.Errorf("%+v", j)
	}
	reveal := &wire.Reveal{Seed: seed}
	h.refused(h.apply(hall, wire.ID{}, reveal), wire.ReasonWrongState)
	h.refused(h.set(wire.RoomOpen), wire.ReasonWrongState)
	h.run(3 * sale.Second)
	early = h.fan(2)
	early.Instant = d.DrawCloses - 1
	h.refused(h.apply(hall, id(2), early), wire.ReasonTooLate)
	answer[*wire.Revealed](h, h.apply(hall, wire.ID{}, reveal))
}

func TestDraw_ThePromiseBindsFromTheFirstPlaceOn(t *testing.T) {
	h := start(t)
	d, _ := drawn()
	h.define(d)
	later := d
	later.DrawCloses++
	h.define(later) // nobody is in line
	h.join(1)
	h.refused(h.apply(hall, wire.ID{}, &d), wire.ReasonWrongState)
	other := later
	other.Commitment[0]++
	h.refused(h.apply(hall, wire.ID{}, &other), wire.ReasonWrongState)
	wider := later
	wider.Cap = 9
	h.define(wider)
}

func TestRoom_EndedIsForgottenOnceEverybodyIsOut(t *testing.T) {
	h := start(t)
	h.oneInside(3)
	h.set(wire.RoomEnded)
	h.run(sale.Second)
	if h.m.places != 3 {
		t.Error("forgot a usable pass")
	}
	freed, _ := of[*wire.SlotFreed](h.run(61 * sale.Second))
	if len(freed) != 1 || h.m.places != 0 {
		t.Errorf("freed %v, %d places", freed, h.m.places)
	}
	if h.m.document(&h.c, h.m.rooms[0]).Joined != 3 {
		t.Error("forgot how many came")
	}
	// And the machine goes on.
	again := New(Limits{})
	if err := again.Restore(h.m.Snapshot(nil)); err != nil || !bytes.Equal(again.Snapshot(nil), h.m.Snapshot(nil)) {
		t.Error(err)
	}
}
