package waitingroom

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
	"fairgate/internal/wire"
)

func queuePath(room int64) string { return "/rooms/" + strconv.FormatInt(room, 10) + "/queue" }

// factOf is where a place stands as far as this edge knows: what the log said, if it was heard, else what the token
// says, which is the lane asked for and the arrival instant.
func (e *Edge) factOf(id wire.ID, p *wire.Place) joined {
	fact, ok := e.heard.place(id)
	if !ok {
		fact = joined{key: wire.OrderKey{Class: 1, Key: uint64(p.Instant), Token: id}, lane: p.Lane}
		if d := e.docs.newest(p.Room); d != nil {
			fact.drawn = d.doc.Mode == "draw" && p.Instant < d.doc.DrawCloses
		}
	}
	return e.final(p.Room, id, fact)
}

// final is a fact with the key that the draw gave, once it was held.
func (e *Edge) final(room int64, id wire.ID, fact joined) joined {
	if fact.drawn {
		if key, ok := e.drawnKey(room, id); ok {
			fact.key, fact.drawn = key, false
		}
	}
	return fact
}

// joinedAs is where a place stands and how many people stand before it: what the outcome of its join says, if that is its
// first, else what this edge knows.
func (e *Edge) joinedAs(room int64, o wire.Outcome, id wire.ID, p *wire.Place) (fact joined, ahead uint32) {
	if o.Kind == wire.KindJoined {
		var j wire.Joined
		if o.DecodeInto(&j) == nil {
			return e.final(room, id, joined{key: j.Key, lane: j.Lane, drawn: j.Drawn}), j.Ahead
		}
	}
	fact = e.factOf(id, p)
	return fact, e.aheadOf(room, fact)
}

// drawnKey is a place's final key once the draw was held: the same that every browser computes from the document.
func (e *Edge) drawnKey(room int64, id wire.ID) (wire.OrderKey, bool) {
	d := e.docs.newest(room)
	if d == nil || !d.doc.Drawn {
		return wire.OrderKey{}, false
	}
	var seed wire.Hash
	if n, err := hex.Decode(seed[:], []byte(d.doc.Seed)); err != nil || n != len(seed) {
		return wire.OrderKey{}, false
	}
	key := wire.DrawKey(seed, []byte(d.doc.Public))
	h := hmac.New(sha256.New, key[:])
	h.Write(id[:])
	return wire.OrderKey{Class: 0, Key: binary.BigEndian.Uint64(h.Sum(nil)), Token: id}, true
}

// aheadOf is how many people stand before a place: what the document tells at most.
func (e *Edge) aheadOf(room int64, fact joined) uint32 {
	_, high, _ := e.position(room, fact)
	return max(high, 1) - 1
}

// position is a place's position in its lane by the newest document: 0 for invited, else from 1, between low and high.
// known is false when there is no document or no such lane.
func (e *Edge) position(room int64, fact joined) (low, high uint32, known bool) {
	d := e.docs.newest(room)
	if d == nil {
		return 0, 0, false
	}
	lane := laneOf(&d.doc, fact.lane)
	if lane == nil {
		return 0, 0, false
	}
	key := fact.key.String()
	if to, ok := e.heard.invitedTo(room, fact.lane); ok && !to.Less(fact.key) {
		return 0, 0, true
	}
	low, high = lane.Position(key)
	return low, high, true
}

func laneOf(d *wire.QueueDocument, lane wire.Lane) *wire.LaneDocument {
	for i := range d.Lanes {
		if d.Lanes[i].Lane == lane.String() {
			return &d.Lanes[i]
		}
	}
	return nil
}

type standingAnswer struct {
	Place    string `json:"place"`
	OrderKey string `json:"orderKey"`
	Lane     string `json:"lane"`
	Low      uint32 `json:"low"`  // people before it, at least
	High     uint32 `json:"high"` // and at most
	Invited  bool   `json:"invited"`
	Exact    bool   `json:"exact"` // the queue's leader said so
	About    bool   `json:"about"` // the rank may still grow
	State    string `json:"state,omitempty"`
	Instant  string `json:"instant"`
}

// getPlace tells where the bearer of a token stands.
func (e *Edge) getPlace(ctx *fasthttp.RequestCtx) error {
	room, err := e.room(ctx)
	if err != nil {
		return err
	}
	who, err := e.visitor(ctx)
	if err != nil {
		return err
	}
	t, err := e.token(ctx, room.ID, who)
	if err != nil {
		return err
	}
	out := standingAnswer{Place: wire.Hex(t.ID), Instant: instantText(t.Instant), About: e.about(room, t.Instant)}
	within, cancel := web.RequestContext(ctx)
	defer cancel()
	if e.deps.Places != nil {
		s, err := e.deps.Places.Place(within, room.ID, t.ID)
		if errors.Is(err, ErrNoPlace) {
			return turnedDown(wire.ReasonUnknownRef, retrySoon)
		}
		if err == nil {
			out.OrderKey, out.Lane, out.Invited, out.State = s.Key.String(), s.Lane.String(), s.Invited, s.State
			out.Low, out.High, out.Exact = s.Ahead, s.Ahead, true
			return web.WriteJSON(ctx, http.StatusOK, out)
		}
	}
	// The leader is away, or nobody can ask it: the document is a second old, and good.
	fact := e.factOf(t.ID, &t.Place)
	low, high, known := e.position(room.ID, fact)
	if !known {
		return notYet()
	}
	out.OrderKey, out.Lane, out.Invited = fact.key.String(), fact.lane.String(), high == 0
	out.Low, out.High = max(low, 1)-1, max(high, 1)-1
	return web.WriteJSON(ctx, http.StatusOK, out)
}

// about reports whether a rank may still grow: others who arrived earlier may join within the allowance.
func (e *Edge) about(room Room, instant int64) bool {
	d := e.docs.newest(room.ID)
	now := e.now()
	return d != nil && now-instant-e.heard.outageSince(room.Partition, instant, now) < d.doc.Allowance
}

// recorded says whether a token's place is surely in the log: its cookie is set only then, or the outcome was heard, or
// the leader knows it. A token in a header may come from a join that was never recorded.
func (e *Edge) recorded(ctx *fasthttp.RequestCtx, t *wire.Token) bool {
	if len(ctx.Request.Header.Peek(HeaderToken)) == 0 {
		return true
	}
	if _, ok := e.heard.place(t.ID); ok {
		return true
	}
	if e.deps.Places == nil {
		return false
	}
	within, cancel := web.RequestContext(ctx)
	defer cancel()
	_, err := e.deps.Places.Place(within, t.Room, t.ID)
	return err == nil
}

// answerPlace gives a visitor back the place whose token the request carries.
func (e *Edge) answerPlace(ctx *fasthttp.RequestCtx, room Room, t *wire.Token, text string, recorded bool) error {
	fact := e.factOf(t.ID, &t.Place)
	return web.WriteJSON(ctx, http.StatusOK, placeAnswer{
		Token: text, Place: wire.Hex(t.ID), OrderKey: fact.key.String(), Lane: fact.lane.String(), Recorded: recorded,
		Ahead: e.aheadOf(room.ID, fact), Drawn: fact.drawn, Queue: queuePath(room.ID),
	})
}
