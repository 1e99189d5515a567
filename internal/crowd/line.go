package crowd

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fairgate/internal/wire"
)

// errPlaceLost says that only opening the waiting room anew helps.
var errPlaceLost = errors.New("the place is lost")

const (
	// closedPause is how long a fan waits before a room that is not open yet, where the room does not say.
	closedPause = 3 * time.Second
	// maxRefused is how often a fan asks again where it should not have been refused.
	maxRefused = 5
	// invitedPause is how much time people take to notice their turn, at most.
	invitedPause = 500 * time.Millisecond
)

// puzzle is work as the server asks for it.
type puzzle struct {
	Algorithm  string `json:"algorithm"`
	SubPuzzles int    `json:"subPuzzles"`
	K          uint32 `json:"k"`
	Difficulty uint32 `json:"difficulty"`
	Seed       string `json:"seed"`
}

// challenge is the answer to an arrival.
type challenge struct {
	Challenge string `json:"challenge"`
	Visitor   string `json:"visitor"`
	Instant   string `json:"instant"`
	Puzzle    puzzle
}

// maxSubPuzzles bounds what a server can make us solve.
const maxSubPuzzles = 16

// takePlace arrives, solves and joins until the place is recorded. A challenge that ran out meanwhile is renewed, which
// keeps the place.
func (f *fan) takePlace(ctx context.Context) error {
	ch, err := f.arrive(ctx, "")
	for renewed := false; err == nil; renewed = true {
		f.next(StepSolve)
		var solution string
		if solution, err = f.solve(ctx, &ch); err != nil {
			return err
		}
		f.next(StepJoin)
		err = f.join(ctx, &ch, solution)
		if !errors.Is(err, errChallengeOver) {
			return err
		}
		if renewed {
			return errPlaceLost
		}
		f.crowd.tally.saw("renewed")
		f.enter(StepArrive)
		ch, err = f.arrive(ctx, ch.Challenge)
	}
	return err
}

// arrive gets a challenge, or has an old one renewed.
func (f *fan) arrive(ctx context.Context, old string) (challenge, error) {
	body := map[string]string{}
	if old != "" {
		body["challenge"] = old
	}
	for {
		var with []header
		if f.visitor != "" {
			with = []header{{"Queue-Visitor", f.visitor}}
		}
		r, err := f.send(ctx, http.MethodPost, f.room("/arrive"), body, with...)
		if err != nil {
			return challenge{}, err
		}
		switch {
		case r.status == http.StatusOK:
			var ch challenge
			if err := r.read(&ch); err != nil {
				return ch, err
			}
			if ch.Challenge == "" || ch.Visitor == "" {
				return ch, &end{Failed, "arrive: no challenge"}
			}
			f.visitor, f.place.instant = ch.Visitor, micros(ch.Instant)
			return ch, nil
		case r.status == http.StatusGone:
			return challenge{}, errPlaceLost
		case r.status == http.StatusConflict:
			if err := f.closed(ctx, r.retry); err != nil {
				return challenge{}, err
			}
		case r.retry > 0:
			if !pause(ctx, jitter(f.rnd, r.retry)) {
				return challenge{}, ctx.Err()
			}
		default:
			return challenge{}, fails(StepArrive, r)
		}
	}
}

// closed waits before a closed door, unless it is closed for good.
func (f *fan) closed(ctx context.Context, retry time.Duration) error {
	if d := f.crowd.docs.after(ctx, f, nil); d != nil && d.State == wire.RoomEnded.String() {
		return ends(SoldOut)
	}
	if !pause(ctx, jitter(f.rnd, max(retry, closedPause))) {
		return ctx.Err()
	}
	return nil
}

// solve works on the puzzle, sub-puzzle by sub-puzzle, while a solver is free.
func (f *fan) solve(ctx context.Context, ch *challenge) (string, error) {
	p := &ch.Puzzle
	var seed [32]byte
	if n, err := hex.Decode(seed[:], []byte(p.Seed)); err != nil || n != len(seed) || len(p.Seed) != 64 || p.SubPuzzles < 1 ||
		p.SubPuzzles > maxSubPuzzles {
		return "", &end{Failed, "solve: not a puzzle"}
	}
	if !enterSlot(ctx, f.crowd.solvers) {
		return "", ctx.Err()
	}
	defer func() { <-f.crowd.solvers }()
	var solution []byte
	for sub := range p.SubPuzzles {
		nonce, err := f.crowd.deps.Solve(p.Algorithm, seed, sub, p.K, p.Difficulty)
		if err != nil {
			return "", fmt.Errorf("solving a puzzle: %w", err)
		}
		solution = append(solution, nonce...)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	return base64.RawURLEncoding.EncodeToString(solution), nil
}

// errChallengeOver says that the challenge must be renewed.
var errChallengeOver = errors.New("the challenge has expired")

// join sends the same solution until the place is recorded, and notes it.
func (f *fan) join(ctx context.Context, ch *challenge, solution string) error {
	body := map[string]string{"challenge": ch.Challenge, "solution": solution}
	for {
		r, err := f.send(ctx, http.MethodPost, f.room("/join"), body, header{"Queue-Visitor", f.visitor})
		if err != nil {
			return err
		}
		switch {
		case r.status == http.StatusOK:
			p := place{instant: f.place.instant}
			if err := r.read(&p); err != nil {
				return err
			}
			if p.Recorded {
				return f.recorded(p)
			}
			f.crowd.tally.saw("notRecorded")
			if !pause(ctx, jitter(f.rnd, max(r.retry, firstBackoff))) {
				return ctx.Err()
			}
		case r.status == http.StatusGone && r.kind() == "expired":
			return errChallengeOver
		case r.status == http.StatusGone:
			return errPlaceLost
		case r.status == http.StatusConflict && r.kind() == "closed":
			if err := f.closed(ctx, r.retry); err != nil {
				return err
			}
		case r.retry > 0:
			if !pause(ctx, jitter(f.rnd, r.retry)) {
				return ctx.Err()
			}
		default:
			return fails(StepJoin, r)
		}
	}
}

func (f *fan) recorded(p place) error {
	f.place = p
	err := f.note(Entry{
		Kind: EntryPlace, Room: f.crowd.cfg.Room, Place: p.Place, OrderKey: p.OrderKey, Lane: p.Lane, Instant: p.instant, Drawn: p.Drawn,
	})
	f.next(StepWait)
	return err
}

// wait looks at the queue document until the place is invited.
func (f *fan) wait(ctx context.Context) error {
	var d *seenDocument
	for first := true; ; first = false {
		if d = f.crowd.docs.after(ctx, f, d); d == nil {
			return ctx.Err()
		}
		if first || f.place.Drawn && d.Seed != "" {
			// The lane is fixed in the log, the key by the draw: the page asks for them once.
			if err := f.lookUp(ctx); err != nil {
				return err
			}
		}
		if lane := d.lane(f.place.Lane); lane != nil && !f.place.Drawn {
			if _, high := lane.Position(f.place.OrderKey); high == 0 {
				f.next(StepEnter)
				if !pause(ctx, time.Duration(f.rnd.Int64N(int64(invitedPause)))) {
					return ctx.Err()
				}
				return nil
			}
		}
		if err := f.givenUp(d); err != nil {
			return err
		}
	}
}

// givenUp ends the wait of a fan to whom the room says that there is nothing more to wait for.
func (f *fan) givenUp(d *seenDocument) error {
	switch {
	case d.State == wire.RoomEnded.String(),
		d.State == wire.RoomSoldOut.String() && f.crowd.now().Sub(d.since) >= f.crowd.cfg.Stop.SoldOut:
		f.took(StepWait)
		return ends(SoldOut)
	}
	return nil
}

// lookUp learns lane and key. No answer worth having changes nothing: the document will do.
func (f *fan) lookUp(ctx context.Context) error {
	r, err := f.send(ctx, http.MethodGet, f.room("/place"), nil, header{"Queue-Visitor", f.visitor}, header{"Queue-Token", f.place.Token})
	if err != nil {
		return err
	}
	var p place
	if r.status == http.StatusOK && r.read(&p) == nil && p.OrderKey != "" {
		f.place.OrderKey, f.place.Lane = p.OrderKey, p.Lane
		// A key of class 0 was drawn already.
		f.place.Drawn = f.place.Drawn && !strings.HasPrefix(p.OrderKey, "00")
	}
	return nil
}

// askToEnter asks until there is a pass, and notes it.
func (f *fan) askToEnter(ctx context.Context) error {
	with := []header{{"Queue-Visitor", f.visitor}, {"Queue-Token", f.place.Token}}
	var d *seenDocument
	body := map[string]any{}
	for refused := 0; ; {
		r, err := f.send(ctx, http.MethodPost, f.room("/enter"), body, with...)
		if err != nil {
			return err
		}
		wait := max(r.retry, firstBackoff)
		switch {
		case r.status == http.StatusOK:
			return f.admitted(r)
		case r.status == http.StatusAccepted:
			f.crowd.tally.saw("asked")
			wait = askedPause(r)
		case r.status == http.StatusPreconditionRequired && r.kind() == "presence":
			if body, err = f.prove(ctx, &r); err != nil {
				return err
			}
			continue
		case r.status == http.StatusForbidden && r.kind() == "not-invited":
			f.crowd.tally.saw("notInvited")
		case r.status == http.StatusGone:
			return &end{Missed, "enter: " + r.kind()}
		case r.status == http.StatusConflict && r.kind() == "closed":
			wait = max(r.retry, closedPause)
		default:
			// Unknown to a server that just came back, perhaps; for good is a failure.
			if refused++; refused >= maxRefused {
				return fails(StepEnter, r)
			}
			wait = mostBackoff
		}
		if f.crowd.cfg.SharedDocument || r.status != http.StatusAccepted {
			if d = f.crowd.docs.after(ctx, f, nil); d != nil && f.givenUp(d) != nil {
				return ends(SoldOut)
			}
		}
		if !pause(ctx, jitter(f.rnd, wait)) {
			return ctx.Err()
		}
	}
}

// prove solves the little that entering takes, and returns the body to ask with.
func (f *fan) prove(ctx context.Context, r *reply) (map[string]any, error) {
	var asked struct {
		Puzzle struct {
			puzzle
			Document string `json:"document"`
		} `json:"puzzle"`
	}
	if err := json.Unmarshal(r.body, &asked); err != nil {
		return nil, &end{Failed, "enter: not a puzzle"}
	}
	solution, err := f.solve(ctx, &challenge{Puzzle: asked.Puzzle.puzzle})
	if err != nil {
		return nil, err
	}
	return map[string]any{"presence": map[string]string{"document": asked.Puzzle.Document, "solution": solution}}, nil
}

// askedPause is when to ask again, by the answer's body.
func askedPause(r reply) time.Duration {
	var asked struct {
		RetryAfter int `json:"retryAfter"`
	}
	if r.read(&asked) != nil || asked.RetryAfter <= 0 {
		return max(r.retry, time.Second)
	}
	return min(time.Duration(asked.RetryAfter)*time.Second, mostRetryAfter)
}

func (f *fan) admitted(r reply) error {
	var in struct {
		Pass    string `json:"pass"`
		Expires string `json:"expires"`
	}
	if err := r.read(&in); err != nil {
		return err
	}
	id, expires, err := passClaims(in.Pass)
	if err != nil {
		return &end{Failed, "enter: " + err.Error()}
	}
	f.pass, f.passID = in.Pass, id
	err = f.note(Entry{
		Kind: EntryPass, Room: f.crowd.cfg.Room, Place: f.place.Place, OrderKey: f.place.OrderKey, Lane: f.place.Lane, Pass: id, Expires: expires,
	})
	f.crowd.tally.admitted(f.place.Lane, f.place.OrderKey)
	f.next(StepBook)
	return err
}
