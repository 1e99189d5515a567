package queue

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"slices"
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

func (h *harness) document() (d wire.QueueDocument, size int) {
	h.t.Helper()
	n := 0
	h.m.Documents(&h.c, func(id int64, b []byte) {
		n++
		if err := json.Unmarshal(b, &d); err != nil || id != hall {
			h.t.Fatal(err)
		}
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write(b); err != nil || w.Close() != nil {
			h.t.Fatal(err)
		}
		size = z.Len()
	})
	if n != 1 {
		h.t.Fatalf("%d documents", n)
	}
	return d, size
}

func TestDocument_TellsEverybodyTheirPosition(t *testing.T) {
	for _, draw := range []bool{false, true} {
		h := start(t)
		d := fast(20)
		seed := wire.Hash{}
		if draw {
			d, seed = drawn()
			d.Cap = 20
		}
		h.define(d)
		const fans = 5000
		for n := range fans {
			h.c.Now += 3_000 + int64(n*7919%20_000)
			j := h.fan(n)
			j.Instant = min(j.Instant, t0+59*sale.Second)
			answer[*wire.Joined](h, h.apply(hall, id(n), j))
		}
		if draw {
			h.run(t0 + 75*sale.Second - h.now())
			answer[*wire.Revealed](h, h.apply(hall, wire.ID{}, &wire.Reveal{Seed: seed, Public: []byte("x")}))
		} else {
			h.set(wire.RoomOpen)
		}
		h.run(3 * sale.Second)
		doc, size := h.document()
		lane := doc.Lanes[0]
		if lane.InvitedTo == "" || len(lane.Table) < exactRows || lane.Waiting == 0 || lane.Waiting >= fans {
			t.Fatalf("%+v", doc)
		}
		if size > 3000 {
			t.Errorf("draw %v: %d bytes compressed", draw, size)
		}
		t.Logf("draw %v: %d bytes compressed, %d rows", draw, size, len(lane.Table))
		if !slices.IsSortedFunc(lane.Table, func(a, b wire.RankRow) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) }) {
			t.Error("the table is not in order")
		}
		for n := range fans {
			p := h.place(n)
			low, high := lane.Position(p.Key.String())
			want := p.Ahead + 1
			if p.State != Waiting {
				want = 0
			}
			if low > want || high < want || (want < exactRows && low != high) || high-low > want/6 {
				t.Fatalf("draw %v: place %d is number %d, the document says %d to %d", draw, n, want, low, high)
			}
		}
	}
}

func TestDocument_SaysWhatThereIsToSay(t *testing.T) {
	h := start(t)
	h.oneInside(4)
	h.ask(2)
	h.c.Now++
	h.join(5)
	h.apply(hall, wire.ID{}, &wire.Signal{Left: 9, Coming: 2, Price: 1250, Currency: [3]byte{'E', 'U', 'R'}, SourceSeq: 1})
	h.c.Epoch = 3
	h.set(wire.RoomPaused)
	h.tick(h.now() + sale.Second)
	d, _ := h.document()
	if d.Version != wire.Version || d.Room != hall || d.State != "paused" || d.At != h.now() || d.Epoch != 3 ||
		d.Offset != h.offset-1 || len(d.Chain) != 64 || d.Mode != "fcfs" || d.Joined != 5 || d.Waiting != 4 || d.Inside != 1 ||
		d.Cap != 1 || d.Left != 9 || d.Coming != 2 || d.Price != "12.50" || d.Currency != "EUR" || d.NextPoll < 1 ||
		d.Allowance != MaxLate || len(d.Lanes) != wire.Lanes || d.Lanes[0].Waiting != 1 || d.Lanes[1].Lane != "shared" {
		t.Errorf("%+v", d)
	}
	if d.Seed != "" || d.Public != "" || d.Commitment != "" {
		t.Errorf("a draw in a room without one: %+v", d)
	}
}

func TestDocument_PublishesTheDraw(t *testing.T) {
	h := start(t)
	def, seed := drawn()
	h.define(def)
	d, _ := h.document()
	if d.Mode != "draw" || d.DrawCloses != def.DrawCloses || len(d.Commitment) != 64 || d.Source != "lottery of 3 May" || d.Seed != "" {
		t.Errorf("before: %+v", d)
	}
	h.run(71 * sale.Second)
	h.apply(hall, wire.ID{}, &wire.Reveal{Seed: seed, Public: []byte("4 8 15")})
	if d, _ = h.document(); len(d.Seed) != 64 || d.Public != "4 8 15" {
		t.Errorf("after: %+v", d)
	}
}

func TestDocument_NamesAPaceOnceItIsMeasured(t *testing.T) {
	h := start(t)
	d := fast(10_000)
	d.PerMinute, d.Grace = 600, sale.Hour
	h.define(d)
	for n := range 3000 {
		h.c.Now++
		h.join(n)
	}
	h.set(wire.RoomOpen)
	if doc, _ := h.document(); doc.Lanes[0].RateLow != 0 || doc.Lanes[0].RateHigh != 0 {
		t.Errorf("a pace out of nothing: %+v", doc.Lanes[0])
	}
	h.run(2 * sale.Minute)
	doc, _ := h.document()
	lane := doc.Lanes[0]
	// 600 a minute should enter; a fifth more is invited for those who do not come.
	if lane.RateLow < 450_000 || lane.RateLow >= lane.RateHigh || lane.RateHigh > 1_100_000 || lane.RateLow > 750_000 || lane.RateHigh < 750_000 {
		t.Errorf("%d to %d thousandths a minute, want a band around 750,000", lane.RateLow, lane.RateHigh)
	}
}
