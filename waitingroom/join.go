package waitingroom

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/answer"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// maxSolution is the longest solution in bytes: 16 nonces of 8.
const maxSolution = 128

type joinRequest struct {
	Challenge string `json:"challenge"`
	Solution  string `json:"solution"`
}

// plainJoin reads a body that is spelled exactly as our page spells it, as nearly all are: in a rush the library's reading
// costs a good part of a join. ok is false for whatever else JSON allows, and for what it does not.
func plainJoin(body []byte) (in joinRequest, ok bool) {
	challenge, rest, found := bytes.Cut(body, []byte(`","solution":"`))
	challenge, begins := bytes.CutPrefix(challenge, []byte(`{"challenge":"`))
	solution, ends := bytes.CutSuffix(rest, []byte(`"}`))
	if !found || !begins || !ends || !unquoted(challenge) || !unquoted(solution) {
		return joinRequest{}, false
	}
	return joinRequest{string(challenge), string(solution)}, true
}

// unquoted says that a text is of the letters of base64url alone.
func unquoted(text []byte) bool {
	for _, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

type placeAnswer struct {
	Token    string `json:"token"`
	Place    string `json:"place"`
	OrderKey string `json:"orderKey"`
	Lane     string `json:"lane"`
	Recorded bool   `json:"recorded"`
	Ahead    uint32 `json:"ahead"`
	Drawn    bool   `json:"drawn"` // the draw will decide the final key
	Queue    string `json:"queue"`
}

// append appends the answer as JSON to dst. Joins come by the ten thousand a second and are all answered in this one form, so
// it is spelled out; a test holds it against the library's. None of the texts needs escaping.
func (p *placeAnswer) append(dst []byte) []byte {
	text := func(name, value string) {
		dst = append(dst, name...)
		dst = append(dst, value...)
	}
	text(`{"token":"`, p.Token)
	text(`","place":"`, p.Place)
	text(`","orderKey":"`, p.OrderKey)
	text(`","lane":"`, p.Lane)
	dst = append(dst, `","recorded":`...)
	dst = strconv.AppendBool(dst, p.Recorded)
	dst = append(dst, `,"ahead":`...)
	dst = strconv.AppendUint(dst, uint64(p.Ahead), 10)
	dst = append(dst, `,"drawn":`...)
	dst = strconv.AppendBool(dst, p.Drawn)
	text(`,"queue":"`, p.Queue)
	return append(dst, `"}`...)
}

// answerUsually is room for most answers, in bytes.
const answerUsually = 512

func (p *placeAnswer) write(ctx *fasthttp.RequestCtx) error {
	var room [answerUsually]byte
	web.WriteEncoded(ctx, http.StatusOK, p.append(room[:0]))
	return nil
}

// postJoin checks in the order of cost: limits, form, signature, expiry, binding, work. Then the token is minted and the join
// recorded. Whoever is above a limit, which wrong solutions bring one to quickly, is refused before their body is parsed.
func (e *Edge) postJoin(ctx *fasthttp.RequestCtx) error {
	room, err := e.room(ctx)
	if err != nil {
		return err
	}
	who, err := e.visitor(ctx)
	if err != nil {
		return err
	}
	visit, err := e.visit(ctx, room.ID, ActionJoin, who)
	if err != nil {
		return err
	}
	// Without a deadline of ours: a flood is refused here, and the guard bounds what it asks of others by itself.
	if _, err := e.judge(ctx, context.Background(), visit); err != nil {
		return err
	}
	signed, solution, err := e.joinInput(ctx, room)
	if err != nil {
		return err
	}
	now := e.now()
	var late int64
	if ch, _, _, err := wire.ParseChallenge(signed); err == nil {
		late = e.heard.outageSince(room.Partition, ch.Instant, now)
	}
	ch, err := e.deps.Keys.VerifyChallenge(signed, room.ID, who.hash, now, late)
	if err != nil {
		e.metrics.refused.WithLabelValues("challenge").Inc()
		if errors.Is(err, token.ErrMAC) || errors.Is(err, token.ErrKey) {
			e.deps.Guard.Failed(visit)
		}
		return tokenProblem(err, "challenge")
	}
	if err := e.work(&ch, solution, visit, now); err != nil {
		return err
	}
	return e.join(ctx, room, &ch, now-late)
}

// joinInput reads challenge and solution by shape and length alone. A page without JavaScript has its challenge in a
// cookie.
func (e *Edge) joinInput(ctx *fasthttp.RequestCtx, room Room) (signed, solution []byte, err error) {
	in, ok := plainJoin(ctx.PostBody())
	if !ok || !web.IsJSON(ctx) {
		if err := decode(ctx, &in); err != nil {
			return nil, nil, err
		}
	}
	if in.Challenge == "" {
		in.Challenge = web.Cookie(ctx, roomCookie(CookieChallenge, room.ID))
	}
	signed, err = token.FromText(in.Challenge, wire.ChallengeSize)
	if err != nil {
		return nil, nil, tokenProblem(err, "challenge")
	}
	size := len(in.Solution) * 3 / 4
	if size > maxSolution || size%8 != 0 {
		return nil, nil, web.BadRequest("solution", "the nonces, 8 bytes each, least significant byte first, in base64url")
	}
	if solution, err = token.FromText(in.Solution, size); err != nil {
		return nil, nil, web.BadRequest("solution", "base64url without padding")
	}
	return signed, solution, nil
}

// work checks that the price was paid.
func (e *Edge) work(ch *wire.Challenge, solution []byte, visit Visit, now int64) error {
	if timed(ch) {
		if wait := e.timedFrom(ch) - now; wait > 0 {
			return tooSoon(wait)
		}
		return nil
	}
	if err := e.deps.Guard.Check(ch.Seed(), priceOf(ch), solution); err != nil {
		e.deps.Guard.Failed(visit)
		e.metrics.refused.WithLabelValues("work").Inc()
		return problem(http.StatusUnprocessableEntity, "not-solved", "Not a solution", "This does not solve the puzzle. Your "+
			"place is saved while the challenge is valid: solve it again and send it once more.").About("solution")
	}
	return nil
}

// join mints the token and records the place. elapsedNow is room time less outages since the instant.
func (e *Edge) join(ctx *fasthttp.RequestCtx, room Room, ch *wire.Challenge, elapsedNow int64) error {
	id := ch.TokenID()
	minted, err := e.deps.Keys.TokenOf(ch, id)
	if err != nil {
		return tokenProblem(err, "challenge")
	}
	began := time.Now()
	outcome, acked, err := e.record(room, ch, id)
	switch {
	case err != nil && !away(err) && !errors.Is(err, context.DeadlineExceeded):
		return err
	case err == nil:
		if p := joinRefused(outcome); p != nil {
			return p
		}
	}
	if err == nil && outcome.Kind == wire.KindPlaceKept {
		return e.placeKept(ctx, room, ch, outcome)
	}
	recorded := err == nil || (acked && elapsedNow <= ch.Instant+token.RecordedWithin)
	fact, ahead := e.joinedAs(room.ID, outcome, id, &ch.Place)
	out := placeAnswer{
		Token: token.Text(minted), Place: wire.Hex(id), OrderKey: fact.key.String(), Lane: fact.lane.String(),
		Recorded: recorded, Ahead: ahead, Drawn: fact.drawn, Queue: queuePath(room.ID),
	}
	if !recorded {
		e.metrics.joins.WithLabelValues("not-recorded").Inc()
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
		if web.WantsHTML(ctx) {
			return problem(http.StatusServiceUnavailable, "not-recorded", "Not recorded yet", "Please try again.")
		}
		return out.write(ctx)
	}
	e.metrics.joins.WithLabelValues("recorded").Inc()
	e.metrics.joinSeconds.Observe(time.Since(began).Seconds())
	e.cookie(ctx, roomCookie(CookieToken, room.ID), out.Token, lives(ch.Instant+token.Life, e.now()))
	if name := roomCookie(CookieChallenge, room.ID); web.Cookie(ctx, name) != "" { // of a page without JavaScript
		e.dropCookie(ctx, name)
	}
	if ch.Lane == wire.LaneInvited {
		e.dropCookie(ctx, roomCookie(CookieInvite, room.ID))
	}
	return out.write(ctx)
}

// record appends the join and waits: for the acknowledgement up to JoinWait, after which the fan sends it again and this record
// is not begun any more; and from then on up to OutcomeWait for the outcome. acked says that the log has it, whatever err says.
func (e *Edge) record(room Room, ch *wire.Challenge, id wire.ID) (o wire.Outcome, acked bool, err error) {
	command, err := e.random128()
	if err != nil {
		return o, false, err
	}
	body := token.Enlist(ch)
	now := e.now()
	notAfter := now + e.config.NotAfter.Microseconds()
	value := wire.AppendRecord(nil, wire.Record{Object: room.ID, Ref: id, Command: command, NotAfter: notAfter}, &body)
	sentBy := time.UnixMicro(min(notAfter, now+e.config.JoinWait.Microseconds()))
	return e.deps.Answers.AskSoon(answer.Patience{Log: e.config.JoinWait, Outcome: e.config.OutcomeWait}, func(done func(int64, error)) error {
		return e.deps.Queue.AppendAsync(room.Partition, value, sentBy, done)
	}, command)
}

// joinRefused is why a join has no effect, nil if it has. A repetition of a join that stands is one that stands.
func joinRefused(o wire.Outcome) *web.Problem {
	if p := refusal(o, retrySoon); p != nil {
		return p
	}
	if o.Kind != wire.KindRepeated {
		return nil
	}
	var r wire.Repeated
	if o.DecodeInto(&r) != nil || r.FirstKind == wire.KindJoined || r.FirstKind == wire.KindPlaceKept {
		return nil
	}
	return turnedDown(wire.ReasonGone, retrySoon)
}

// placeKept answers a join of a visitor whose earlier place stays: with that place if the request carries it.
func (e *Edge) placeKept(ctx *fasthttp.RequestCtx, room Room, ch *wire.Challenge, o wire.Outcome) error {
	var kept wire.PlaceKept
	if err := o.DecodeInto(&kept); err != nil {
		return err
	}
	e.metrics.joins.WithLabelValues("kept").Inc()
	e.dropCookie(ctx, roomCookie(CookieChallenge, room.ID))
	if ch.Lane == wire.LaneInvited {
		e.dropCookie(ctx, roomCookie(CookieInvite, room.ID)) // it is used up, and could only be tried again
	}
	if text := tokenText(ctx, room.ID); text != "" {
		if b, err := token.FromText(text, wire.TokenSize); err == nil {
			t, err := e.deps.Keys.VerifyToken(b, room.ID, ch.Visitor, e.now())
			if err == nil && t.ID == kept.Token {
				return e.answerPlace(ctx, room, &t, text, true)
			}
		}
	}
	return problem(http.StatusConflict, "place-kept", "You have an earlier place",
		"Another tab of this browser joined first, and that place stays yours. Use its token.").With("place", wire.Hex(kept.Token))
}
