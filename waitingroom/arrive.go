package waitingroom

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// visitorLife is how long a browser keeps its secret, in µs: as long as a token is good for.
const visitorLife = token.Life

type arriveRequest struct {
	Lane      string `json:"lane"`
	Invite    string `json:"invite"`
	Challenge string `json:"challenge"`
	Visitor   string `json:"visitor"` // the secret of whoever has none yet
}

type puzzleAnswer struct {
	Algorithm  string `json:"algorithm"` // "timed": wait until notBefore instead
	SubPuzzles uint8  `json:"subPuzzles"`
	K          uint32 `json:"k"`
	Difficulty uint32 `json:"difficulty"`
	Seed       string `json:"seed"`
	NotBefore  string `json:"notBefore,omitempty"`
}

type arriveAnswer struct {
	Challenge string       `json:"challenge"`
	Visitor   string       `json:"visitor"`
	Instant   string       `json:"instant"`
	Expires   string       `json:"expires"`
	Puzzle    puzzleAnswer `json:"puzzle"`
	Queue     string       `json:"queue"`
}

// postArrive stamps an arrival. A visitor who has a place gets it back instead, unless they bring an invite code; a challenge
// that ran out is renewed once.
func (e *Edge) postArrive(ctx *fasthttp.RequestCtx) error {
	room, err := e.room(ctx)
	if err != nil {
		return err
	}
	var in arriveRequest
	if err := decode(ctx, &in); err != nil {
		return err
	}
	who, err := e.visitor(ctx)
	if err != nil {
		return err
	}
	if t, err := e.token(ctx, room.ID, who); err == nil && !e.mayMove(ctx, room, &t, in) {
		return e.answerPlace(ctx, room, &t, tokenText(ctx, room.ID), e.recorded(ctx, &t))
	}
	visit, err := e.visit(ctx, room.ID, ActionArrive, who)
	if err != nil {
		return err
	}
	visit.Networks = e.deps.Guard.Networks(visit.Address)
	visit.Places = e.docs.crowded.places(room.ID, visit.Networks)
	within, cancel := web.RequestContext(ctx)
	defer cancel()
	verdict, err := e.judge(ctx, within, visit)
	if err != nil {
		return err
	}
	if in.Challenge != "" {
		return e.renew(ctx, room, who, in.Challenge)
	}
	w, err := e.wanted(ctx, room, in, verdict)
	if err != nil {
		return err
	}
	if err := e.takesJoins(room); err != nil {
		return err
	}
	if !who.known {
		if who, err = e.firstTime(ctx, in); err != nil {
			return err
		}
	}
	return e.challenge(ctx, room, who, visit, w)
}

// wanted is what a place is asked for with.
type wanted struct {
	lane   wire.Lane
	price  token.Price // zero: waiting instead of work
	invite *wire.Invite
}

// wanted is the lane that a visitor may ask for, and its price: with an invite code the invited one; the timed one, which
// costs waiting instead of work; or what the guard says.
func (e *Edge) wanted(ctx *fasthttp.RequestCtx, room Room, in arriveRequest, verdict Verdict) (w wanted, err error) {
	w = wanted{lane: verdict.Lane, price: verdict.Price}
	switch in.Lane {
	case "", wire.LaneNormal.String():
	case wire.LaneTimed.String():
		w.lane, w.price = wire.LaneTimed, token.Price{}
	default:
		return w, web.Unprocessable("lane", `"normal" or "timed"`)
	}
	if w.invite, err = e.inviteOf(ctx, room, in); w.invite != nil {
		w.lane = wire.LaneInvited
	}
	return w, err
}

// takesJoins refuses early what the machine would refuse later; without a document the machine decides.
func (e *Edge) takesJoins(room Room) error {
	d := e.docs.newest(room.ID)
	if d == nil {
		return nil
	}
	switch d.doc.State {
	case wire.RoomClosed.String():
		p := problem(http.StatusConflict, "closed", "Not open yet", "The waiting room is not open yet.")
		if d.doc.EarlyFrom > 0 {
			p = p.With("earlyFrom", instantText(d.doc.EarlyFrom))
		}
		if d.doc.OpensAt > 0 {
			p = p.With("opensAt", instantText(d.doc.OpensAt))
		}
		return p
	case wire.RoomEnded.String():
		return problem(http.StatusConflict, "closed", "Over", "This waiting room has ended.")
	}
	return nil
}

func (e *Edge) challenge(ctx *fasthttp.RequestCtx, room Room, who visitor, v Visit, w wanted) error {
	random, err := e.random128()
	if err != nil {
		return err
	}
	place := wire.Place{
		Room: room.ID, Lane: w.lane, Instant: e.instant(), Edge: e.id, Visitor: who.hash,
		Narrow: v.Networks.Narrow, Wide: v.Networks.Wide,
		Carrier: e.deps.Guard.Carrier(v.Address), Random: random,
	}
	if w.invite != nil {
		place.Narrow, place.Wide, place.Carrier = w.invite.Number, uint64(w.invite.Uses), false
	}
	signed, err := e.deps.Keys.MintCounted(place, w.price, token.Wider{Broad: v.Networks.Broad, Origin: v.Networks.Origin})
	if err != nil {
		return fmt.Errorf("minting a challenge: %w", err)
	}
	ch, _, _, err := wire.ParseChallenge(signed)
	if err != nil {
		return fmt.Errorf("reading our own challenge: %w", err)
	}
	e.deps.Guard.Issued(v)
	e.metrics.arrivals.Inc()
	return e.answerChallenge(ctx, room, who, signed, &ch)
}

// renew answers an expired challenge with another one for the same place.
func (e *Edge) renew(ctx *fasthttp.RequestCtx, room Room, who visitor, text string) error {
	old, err := token.FromText(text, wire.ChallengeSize)
	if err != nil {
		return tokenProblem(err, "challenge")
	}
	now := e.now()
	var late int64
	if ch, _, _, err := wire.ParseChallenge(old); err == nil {
		late = e.heard.outageSince(room.Partition, ch.Instant, now)
	}
	signed, ch, err := e.deps.Keys.Renew(old, room.ID, who.hash, now, late)
	if errors.Is(err, token.ErrExpired) {
		err = token.ErrRenewed // past the renewed one's time: only a new arrival helps
	}
	if err != nil {
		return tokenProblem(err, "challenge")
	}
	return e.answerChallenge(ctx, room, who, signed, &ch)
}

func (e *Edge) answerChallenge(ctx *fasthttp.RequestCtx, room Room, who visitor, signed []byte, ch *wire.Challenge) error {
	out := arriveAnswer{
		Challenge: token.Text(signed), Visitor: token.Text(who.secret[:]), Instant: instantText(ch.Instant),
		Expires: instantText(ch.Expires), Queue: fmt.Sprintf("/rooms/%d/queue", room.ID),
		Puzzle: puzzleAnswer{Algorithm: wire.LaneTimed.String()},
	}
	if timed(ch) {
		out.Puzzle.NotBefore = instantText(e.timedFrom(ch))
	} else {
		name, err := e.deps.Guard.Algorithm(priceOf(ch))
		if err != nil {
			return fmt.Errorf("naming the puzzle: %w", err)
		}
		seed := ch.Seed()
		out.Puzzle = puzzleAnswer{
			Algorithm: name, SubPuzzles: ch.Sub, K: ch.K, Difficulty: ch.Difficulty, Seed: hex.EncodeToString(seed[:]),
		}
	}
	now := e.now()
	e.cookie(ctx, CookieVisitor, out.Visitor, lives(now+visitorLife, now))
	if web.WantsHTML(ctx) {
		e.cookie(ctx, roomCookie(CookieChallenge, room.ID), out.Challenge, lives(ch.Instant+token.Allowance, now))
	}
	return web.WriteJSON(ctx, http.StatusOK, out)
}

// priceOf is the price that a challenge names.
func priceOf(ch *wire.Challenge) token.Price {
	return token.Price{Algorithm: ch.Algorithm, SubPuzzles: ch.Sub, K: ch.K, Difficulty: ch.Difficulty}
}

// decode reads a body strictly; an empty one stands for {}.
func decode(ctx *fasthttp.RequestCtx, into any) error {
	if len(ctx.PostBody()) == 0 {
		return nil
	}
	return web.Decode(ctx, into)
}
