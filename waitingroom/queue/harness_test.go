package queue

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

const (
	t0   = 1_800_000_000 * sale.Second
	hall = 42
)

// told is one decoded outcome.
type told struct {
	wire.Outcome
	body wire.Body
}

func (o told) String() string { return fmt.Sprintf("%T ref %x %+v", o.body, o.Ref[:2], o.body) }

// tb is what the harness needs of *testing.T and *rapid.T.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// harness plays the engine: it keeps the clock, numbers the outcomes and decodes them.
type harness struct {
	t      tb
	c      sale.LogClock
	m      *Machine
	out    wire.Outcomes
	offset int64
	chain  wire.Hash
	after  func(record wire.Body, ref wire.ID, got []told) // when not nil, sees every record
}

func start(t tb) *harness {
	h := &harness{t: t, m: New(Limits{})}
	h.c.StartEpoch(1, Code)
	h.tick(t0)
	return h
}

func (h *harness) now() int64 { return h.c.Now }

// tick moves log time to an instant.
func (h *harness) tick(now int64) []told {
	h.t.Helper()
	outage, ok := h.c.Tick(h.c.Epoch, now, 0)
	if !ok {
		h.t.Fatalf("a tick to %d at %d", now, h.c.Now)
	}
	h.out.Reset()
	h.out.Begin(h.offset, h.c.Now, wire.Record{Kind: wire.KindTick})
	if outage > 0 {
		h.out.Add(&wire.Extended{Scope: 1, Cause: wire.CauseOutage, By: outage})
	}
	h.chain = wire.NextChain(h.chain, h.offset, []byte("tick"))
	h.out.Add(&wire.Ticked{Epoch: h.c.Epoch, Now: now, Outage: h.c.Outage, Chain: h.chain})
	h.m.Tick(&h.c, &h.out)
	return h.end(&wire.Tick{}, wire.ID{})
}

// run ticks ten times a second for a while and collects what is told.
func (h *harness) run(length int64) (all []told) {
	h.t.Helper()
	for end := h.now() + length; h.now() < end; {
		all = append(all, h.tick(min(end, h.now()+100*sale.Millisecond))...)
	}
	return all
}

func (h *harness) record(r wire.Record) []told {
	h.t.Helper()
	h.out.Reset()
	h.out.Begin(h.offset, h.c.Now, r)
	h.m.Apply(&h.c, h.offset, r, &h.out)
	body := wire.NewQueueRecord(r.Kind)
	if body == nil || r.DecodeInto(body) != nil {
		body = nil
	}
	return h.end(body, r.Ref)
}

func (h *harness) apply(roomID int64, ref wire.ID, body wire.Body) []told {
	h.t.Helper()
	r, err := wire.ParseRecord(wire.AppendRecord(nil, wire.Record{Object: roomID, Ref: ref}, body))
	if err != nil {
		h.t.Fatal(err)
	}
	return h.record(r)
}

func (h *harness) end(body wire.Body, ref wire.ID) []told {
	h.t.Helper()
	h.out.End()
	h.offset++
	got := make([]told, 0, h.out.Len())
	for i := range h.out.Len() {
		o, err := wire.ParseOutcome(bytes.Clone(h.out.At(i)))
		if err != nil {
			h.t.Fatal(err)
		}
		b := wire.NewQueueOutcome(o.Kind)
		if b == nil || o.DecodeInto(b) != nil {
			h.t.Fatalf("outcome of kind %d cannot be read", o.Kind)
		}
		got = append(got, told{o, b})
	}
	if h.after != nil {
		h.after(body, ref, got)
	}
	return got
}

// answer is the first outcome of a record, which must have the type asked for.
func answer[T wire.Body](h *harness, got []told) T {
	h.t.Helper()
	b, ok := got[0].body.(T)
	if !ok {
		h.t.Fatalf("got %v, want a %T", got[0], b)
	}
	return b
}

func (h *harness) refused(got []told, want wire.Reason) {
	h.t.Helper()
	if a := answer[*wire.TurnedDown](h, got); a.Reason != want {
		h.t.Fatalf("turned down for %v, want %v", a.Reason, want)
	}
}

// of are the outcomes of one type.
func of[T wire.Body](got []told) (list []T, refs []wire.ID) {
	for _, o := range got {
		if b, ok := o.body.(T); ok {
			list, refs = append(list, b), append(refs, o.Ref)
		}
	}
	return list, refs
}

// id is a made-up token or visitor.
func id(n int) wire.ID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return wire.ID(sum[:16])
}

// fan is the join of fan n: a visitor and networks of their own, arrived now.
func (h *harness) fan(n int) *wire.Join {
	return &wire.Join{Instant: h.now(), Visitor: id(-n), Narrow: uint64(n), Wide: uint64(n)}
}

func (h *harness) join(n int) []told { h.t.Helper(); return h.apply(hall, id(n), h.fan(n)) }
func (h *harness) ask(n int) []told {
	h.t.Helper()
	return h.apply(hall, id(n), &wire.Ask{Visitor: id(-n)})
}
func (h *harness) leave(n int) []told {
	h.t.Helper()
	return h.apply(hall, id(n), &wire.Leave{Visitor: id(-n)})
}
func (h *harness) set(s wire.RoomState) []told {
	h.t.Helper()
	return h.apply(hall, wire.ID{}, &wire.SetRoom{State: s})
}

// define makes the room. Without a schedule it takes joins at once and opens by order.
func (h *harness) define(d wire.DefineRoom) {
	h.t.Helper()
	answer[*wire.RoomDefined](h, h.apply(hall, wire.ID{}, &d))
}

// fast is a room in which invitations are no bottleneck.
func fast(slots uint32) wire.DefineRoom {
	return wire.DefineRoom{Cap: slots, PerMinute: 600_000, Claim: 5 * sale.Second, Grace: 20 * sale.Second, Pass: 60 * sale.Second}
}

func (h *harness) place(n int) Position {
	h.t.Helper()
	p, ok := h.m.Place(hall, id(n))
	if !ok {
		h.t.Fatalf("place %d is not known", n)
	}
	return p
}

func (h *harness) state() wire.RoomState {
	i, ok := h.m.find(hall)
	if !ok {
		h.t.Fatal("no room")
	}
	return h.m.rooms[i].state
}

// inside opens a room of one slot with places from 1 to n joined in order, all invited, and lets the first in.
func (h *harness) oneInside(n int) *wire.Claimed {
	h.t.Helper()
	h.define(fast(1))
	for i := 1; i <= n; i++ {
		answer[*wire.Joined](h, h.join(i))
		h.c.Now++
	}
	h.set(wire.RoomOpen)
	h.inviteAll(n)
	return answer[*wire.Claimed](h, h.ask(1))
}

// inviteAll invites everybody who waits, past the control law.
func (h *harness) inviteAll(n int) {
	h.t.Helper()
	i, _ := h.m.find(hall)
	rm := h.m.rooms[i]
	h.out.Reset()
	h.out.Begin(h.offset, h.c.Now, wire.Record{})
	h.out.Add(&wire.Ticked{Now: h.c.Now, Outage: h.c.Outage})
	for l := range rm.lanes {
		rm.inviteNext(&h.c, wire.Lane(l), int64(rm.lanes[l].waiting.len()), &h.out)
	}
	h.end(&wire.Tick{}, wire.ID{})
	if got := int(rm.invited); got != n {
		h.t.Fatalf("%d invited, want %d", got, n)
	}
}
