package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

type createRoomBody struct {
	Name         string `json:"name"`
	Mode         string `json:"mode"` // fcfs (the default) or draw
	Zone         string `json:"zone"` // of local times
	EarlyFrom    string `json:"earlyFrom"`
	OpensAt      string `json:"opensAt"`
	EndsAt       string `json:"endsAt"`
	DrawClosesAt string `json:"drawClosesAt"` // of mode draw: who arrived before is drawn
	PublicSource string `json:"publicSource"` // of mode draw: which public value will be used
	Cap          int64  `json:"cap"`
	PerMinute    int64  `json:"perMinute"`
	PassSeconds  int64  `json:"passSeconds"`
	ClaimSeconds int64  `json:"claimSeconds"`
	GraceSeconds int64  `json:"graceSeconds"`
	LateSeconds  int64  `json:"lateSeconds"`
	Partition    string `json:"partition"`
	SharedShare  *int   `json:"sharedShare"` // per mille of the outflow
	InvitedShare *int   `json:"invitedShare"`
	TimedShare   *int   `json:"timedShare"`
}

func (b *createRoomBody) room() (r store.Room, err error) {
	for _, n := range []struct {
		key   string
		value int64
		least int64
		most  int64
	}{{"cap", b.Cap, 1, 1<<31 - 1}, {"perMinute", b.PerMinute, 1, 1<<31 - 1}, {"passSeconds", b.PassSeconds, 0, 86_400},
		{"claimSeconds", b.ClaimSeconds, 0, 86_400}, {"graceSeconds", b.GraceSeconds, 0, 86_400}, {"lateSeconds", b.LateSeconds, 0, 240}} {
		if n.value < n.least || n.value > n.most {
			return r, web.Unprocessable(n.key, fmt.Sprintf("a whole number from %d to %d", n.least, n.most))
		}
	}
	r = store.Room{
		Name: strings.TrimSpace(b.Name), Mode: b.Mode, Cap: int(b.Cap), PerMinute: int(b.PerMinute),
		Pass: time.Duration(b.PassSeconds) * time.Second, Claim: time.Duration(b.ClaimSeconds) * time.Second,
		Grace: time.Duration(b.GraceSeconds) * time.Second, Late: time.Duration(b.LateSeconds) * time.Second,
		Shares: store.Shares{Shared: b.SharedShare, Invited: b.InvitedShare, Timed: b.TimedShare},
	}
	if b.Zone == "" {
		b.Zone = "UTC"
	}
	for _, t := range []struct {
		key, text string
		to        *time.Time
	}{{"earlyFrom", b.EarlyFrom, &r.EarlyFrom}, {"opensAt", b.OpensAt, &r.OpensAt}, {"endsAt", b.EndsAt, &r.EndsAt},
		{"drawClosesAt", b.DrawClosesAt, &r.Draw.Closes}} {
		if *t.to, err = instant(t.key, t.text, b.Zone); err != nil {
			return r, err
		}
	}
	switch {
	case !r.EarlyFrom.IsZero() && !r.OpensAt.IsZero() && r.EarlyFrom.After(r.OpensAt):
		return r, web.Unprocessable("earlyFrom", "an instant not after opensAt")
	case !r.EndsAt.IsZero() && !r.EarlyFrom.IsZero() && !r.EndsAt.After(r.EarlyFrom):
		return r, web.Unprocessable("endsAt", "an instant after earlyFrom")
	}
	if r.Mode != "draw" && (b.DrawClosesAt != "" || b.PublicSource != "") {
		return r, web.Unprocessable("mode", "draw, since a draw is described")
	}
	r.Draw.Source = strings.TrimSpace(b.PublicSource)
	return r, r.Check()
}

func (a *Admin) createRoom(ctx context.Context, c *call) (deed, error) {
	var b createRoomBody
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	r, err := b.room()
	if err != nil {
		return deed{}, err
	}
	others, err := a.deps.Store.Rooms(ctx, 0, 1_000)
	if err != nil {
		return deed{}, err
	}
	used := make([]int32, len(others))
	for i := range others {
		used[i] = others[i].Partition
	}
	if r.Partition, err = partition(b.Partition, a.deps.Partitions, used); err != nil {
		return deed{}, err
	}
	if r.Mode == "draw" {
		if r.Seed, err = a.newSeed(); err != nil {
			return deed{}, err
		}
	}
	r.Organiser = c.who.Organiser
	done, err := a.audited(ctx, c.who, "create-room", "room", b, func() (result, error) {
		id, _, err := a.deps.Store.CreateRoom(ctx, r)
		if err != nil {
			return result{}, err
		}
		return a.published(fmt.Sprintf("room/%d", id), fmt.Sprintf("Waiting room “%s” was created", r.Name), a.publish.DefineRoom(ctx, id)), nil
	})
	done.back = strings.Replace(done.Object, "room/", "/rooms/", 1)
	return done, err
}

// tellRoom sends an order about a room. Orders to a room carry no number of its last change: it changes by itself (it
// sells out and opens again), and a Pause must never be refused for that.
func (a *Admin) tellRoom(ctx context.Context, c *call, r *store.Room, action string, asked any, body wire.Body, said string) (deed, error) {
	done, err := a.audited(ctx, c.who, action, roomObject(r.ID), asked, func() (result, error) {
		out, err := a.deps.Commands.Room(ctx, r.Partition, r.ID, 0, body)
		return result{seq: out.Seq, said: said}, err
	})
	done.back = fmt.Sprintf("/rooms/%d", r.ID)
	if err == nil && c.form {
		a.awaitDocument(ctx, r.ID)
	}
	return done, err
}

func roomObject(id int64) string { return fmt.Sprintf("room/%d", id) }

// awaitDocument gives the room a moment to publish what it is now: it does about once a second.
func (a *Admin) awaitDocument(ctx context.Context, room int64) {
	ctx, cancel := context.WithTimeout(ctx, 2*projectionWait)
	defer cancel()
	before, known := a.documents.newest(room)
	for {
		after, now := a.documents.newest(room)
		if a.deps.Events == nil || now && (!known || after.Offset > before.Offset) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(40 * time.Millisecond):
		}
	}
}

func (a *Admin) setState(ctx context.Context, c *call) (deed, error) {
	var b struct {
		State   string `json:"state"`   // early, open, paused, ended
		Confirm string `json:"confirm"` // the room's name, to end it
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	r, err := a.room(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	var state wire.RoomState
	var said string
	switch b.State {
	case "early":
		state, said = wire.RoomEarly, "The room takes people in line and invites nobody yet."
	case "open":
		state, said = wire.RoomOpen, "The room is open."
		if p := a.mayNotOpen(&r); p != nil {
			return deed{}, p
		}
	case "paused":
		state, said = wire.RoomPaused, "The room is paused. People keep their places; those inside go on."
	case "ended":
		state, said = wire.RoomEnded, "The room has ended."
		if b.Confirm != r.Name {
			return deed{}, web.Unprocessable("confirm", "the room's name, exactly: a room that ended stays ended")
		}
	default:
		return deed{}, web.Unprocessable("state", "early, open, paused or ended")
	}
	return a.tellRoom(ctx, c, &r, "set-room-"+b.State, b, &wire.SetRoom{State: state}, said)
}

func (a *Admin) setOutflow(ctx context.Context, c *call) (deed, error) {
	var b struct {
		PerMinute     int64 `json:"perMinute"`
		Cap           int64 `json:"cap"`
		SeenPerMinute int64 `json:"seenPerMinute"` // what the operator saw; 0 for any
		SeenCap       int64 `json:"seenCap"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	r, err := a.room(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	if b.PerMinute < 1 || b.PerMinute > 1<<31-1 {
		return deed{}, web.Unprocessable("perMinute", "a positive number of people a minute; to stop, pause the room")
	}
	if b.Cap < 1 || b.Cap > 1<<31-1 {
		return deed{}, web.Unprocessable("cap", "a positive number of people inside at once")
	}
	if b.SeenPerMinute != 0 && b.SeenPerMinute != int64(r.PerMinute) || b.SeenCap != 0 && b.SeenCap != int64(r.Cap) {
		return deed{}, refusalProblem(wire.ReasonMoved).With("now", map[string]int{"perMinute": r.PerMinute, "cap": r.Cap})
	}
	said := fmt.Sprintf("At most %d people enter a minute, at most %d are inside at once.", b.PerMinute, b.Cap)
	done, err := a.tellRoom(ctx, c, &r, "set-outflow", b, &wire.SetOutflow{PerMinute: uint32(b.PerMinute), Cap: uint32(b.Cap)}, said)
	if err != nil {
		return done, err
	}
	return done, a.deps.Store.RoomOutflow(ctx, r.ID, int(b.PerMinute), int(b.Cap))
}
