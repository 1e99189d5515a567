package verify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"fairgate/internal/wire"
)

// ErrNoRoom: no partition of `queue` knows the room.
var ErrNoRoom = errors.New("no such room in the logs")

// Drawn is a draw derived again from what was published: the seed, the public value, and who was recorded in time.
type Drawn struct {
	Room       int64       `json:"room"`
	Closes     int64       `json:"closes"`    // who arrived before is drawn; instant, µs
	Allowance  int64       `json:"allowance"` // how long after that slow phones could join, µs
	Source     string      `json:"publicSource"`
	Commitment string      `json:"commitment"` // hex
	Seed       string      `json:"seed"`       // hex; empty until revealed
	Public     string      `json:"publicValue"`
	Revealed   int64       `json:"revealed"` // log time, µs; 0 until then
	Opened     int64       `json:"opened"`   // when the draw was held; 0 until then
	Places     []DrawPlace `json:"places"`   // by lane and order; empty until revealed
	Invited    int         `json:"invited"`  // drawn places whose turn came, compared one by one with the order above
	Wrong      []string    `json:"wrong"`    // what does not hold, at most maxWrong
}

// DrawPlace is one drawn place.
type DrawPlace struct {
	Lane  string `json:"lane"`
	Rank  int    `json:"rank"`  // from 1, among the drawn of the lane
	Place string `json:"place"` // token id, hex
	Value string `json:"value"` // its draw value: 64 bits, hex
}

// maxWrong bounds what is told.
const maxWrong = 20

// Draw recomputes the draw of a room from its published seed and public value, and holds every invitation of the log
// against the order that follows from them. It reads outcomes alone, from their beginning.
func Draw(ctx context.Context, cfg Config, from Source, room int64) (Drawn, error) {
	for p := range int32(cfg.QueuePartitions) {
		d := &draw{Drawn: Drawn{Room: room, Wrong: []string{}, Places: []DrawPlace{}}, byToken: map[wire.ID]*drawPlace{}}
		known, err := d.read(ctx, from, cfg.Prefix+wire.TopicQueueOutcomes, p)
		if err != nil {
			return Drawn{}, fmt.Errorf("draw of room %d: %w", room, err)
		}
		if known {
			d.list()
			return d.Drawn, nil
		}
	}
	return Drawn{}, fmt.Errorf("room %d: %w", room, ErrNoRoom)
}

// draw follows one room.
type draw struct {
	Drawn
	mode       uint8
	commitment wire.Hash
	joined     bool // somebody relies on what was promised
	key        wire.Hash
	byToken    map[wire.ID]*drawPlace
	lanes      [wire.Lanes]drawLane
}

type drawPlace struct {
	key   wire.OrderKey
	lane  wire.Lane
	drawn bool // takes part in the draw
	waits bool
}

// drawLane holds those who wait, in order, from the opening on.
type drawLane struct {
	waiting []*drawPlace
	begun   bool
	to      wire.OrderKey
}

func (d *draw) read(ctx context.Context, from Source, topic string, p int32) (known bool, err error) {
	r, err := openReader(ctx, from, topic, p, 0)
	if err != nil {
		return false, err
	}
	defer r.close()
	for seq := uint64(0); ; {
		record, ok, err := r.next(ctx)
		if err != nil || !ok {
			return known, err
		}
		o, err := wire.ParseOutcome(record.Value)
		if err != nil {
			return false, fmt.Errorf("%s offset %d: %w", r.name, record.Offset, err)
		}
		if o.Seq <= seq {
			continue // the same batch was sent again
		}
		seq = o.Seq
		if o.Object != d.Room {
			continue
		}
		body := wire.NewQueueOutcome(o.Kind)
		if body == nil {
			continue
		}
		if err := o.DecodeInto(body); err != nil {
			return false, fmt.Errorf("%s offset %d: %w", r.name, record.Offset, err)
		}
		known = true
		d.take(&o, body)
	}
}

func (d *draw) wrong(format string, args ...any) {
	if len(d.Wrong) < maxWrong {
		d.Wrong = append(d.Wrong, fmt.Sprintf(format, args...))
	}
}

func (d *draw) take(o *wire.Outcome, body wire.Body) {
	switch b := body.(type) {
	case *wire.RoomDefined:
		d.define(&b.Room)
	case *wire.Joined:
		d.join(o, b)
	case *wire.PlaceKept:
		// Said of the visitor's place that is given up for another; a place that never was is not known.
		d.leave(o.Ref)
	case *wire.LeftQueue:
		d.leave(o.Ref)
	case *wire.Revealed:
		d.reveal(o, b)
	case *wire.RoomSet:
		if b.State == wire.RoomOpen && d.Opened == 0 {
			d.open(o)
		}
	case *wire.InvitedUpTo:
		d.invite(b)
	}
}

func (d *draw) define(r *wire.DefineRoom) {
	same := d.mode == r.Mode && d.Closes == r.DrawCloses && d.commitment == r.Commitment && d.Source == string(r.PublicSource) && d.Allowance == r.Late
	if d.joined && !same {
		d.wrong("what was promised of the draw changed after people had joined")
	}
	d.mode, d.Closes, d.Allowance, d.Source = r.Mode, r.DrawCloses, r.Late, string(r.PublicSource)
	d.commitment, d.Commitment = r.Commitment, hex.EncodeToString(r.Commitment[:])
}

func (d *draw) join(o *wire.Outcome, j *wire.Joined) {
	d.joined = true
	p := &drawPlace{key: j.Key, lane: j.Lane, waits: true}
	p.drawn = d.mode == wire.ModeDraw && d.Opened == 0 && j.Instant < d.Closes
	if p.drawn != j.Drawn {
		d.wrong("place %s arrived at %s and is said to take part in the draw: %v", wire.Hex(o.Ref), when(j.Instant), j.Drawn)
	}
	d.byToken[o.Ref] = p
	l := &d.lanes[j.Lane]
	if p.waits = !l.begun || l.to.Less(p.key); p.waits && d.Opened != 0 {
		at, _ := slices.BinarySearchFunc(l.waiting, p, compareDrawn)
		l.waiting = slices.Insert(l.waiting, at, p)
	}
}

func compareDrawn(a, b *drawPlace) int {
	switch {
	case a.key.Less(b.key):
		return -1
	case b.key.Less(a.key):
		return 1
	}
	return 0
}

func (d *draw) leave(token wire.ID) {
	p := d.byToken[token]
	if p == nil || !p.waits {
		return
	}
	p.waits = false
	if d.Opened == 0 {
		p.drawn = false
		return
	}
	l := &d.lanes[p.lane]
	if at, ok := slices.BinarySearchFunc(l.waiting, p, compareDrawn); ok {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
}

func (d *draw) reveal(o *wire.Outcome, r *wire.Revealed) {
	if sha256.Sum256(r.Seed[:]) != d.commitment {
		d.wrong("the seed does not have the hash that was promised")
	}
	if o.At < d.Closes+d.Allowance {
		d.wrong("seed and public value were published at %s, when somebody could still join the draw", when(o.At))
	}
	d.Seed, d.Public, d.Revealed = hex.EncodeToString(r.Seed[:]), string(r.Public), o.At
	d.key = sha256.Sum256(append(bytes.Clone(r.Seed[:]), r.Public...))
}

// keyOf is where the draw puts a place: HMAC-SHA-256(SHA-256(seed ‖ public value), token id), its first 64 bits.
func (d *draw) keyOf(token wire.ID) wire.OrderKey {
	mac := hmac.New(sha256.New, d.key[:])
	mac.Write(token[:])
	k := wire.OrderKey{Token: token}
	for _, b := range mac.Sum(nil)[:8] {
		k.Key = k.Key<<8 | uint64(b)
	}
	return k
}

func (d *draw) open(o *wire.Outcome) {
	d.Opened = o.At
	if d.mode == wire.ModeDraw && d.Revealed == 0 {
		d.wrong("the room opened at %s without a revealed seed", when(o.At))
	}
	for token, p := range d.byToken {
		if p.drawn {
			p.key = d.keyOf(token)
		}
		if p.waits {
			d.lanes[p.lane].waiting = append(d.lanes[p.lane].waiting, p)
		}
	}
	for i := range d.lanes {
		slices.SortFunc(d.lanes[i].waiting, compareDrawn)
	}
}

// invite holds an invitation against the order: the next so many of the lane, up to this one.
func (d *draw) invite(i *wire.InvitedUpTo) {
	if i.Lane >= wire.Lanes {
		return
	}
	l := &d.lanes[i.Lane]
	n := min(int(i.Count), len(l.waiting))
	if n == 0 || n < int(i.Count) || l.waiting[n-1].key != i.Key {
		d.wrong("lane %s: %d places were invited up to %s, which is not who came next", i.Lane, i.Count, wire.Hex(i.Key.Token))
		n, _ = slices.BinarySearchFunc(l.waiting, &drawPlace{key: i.Key}, compareDrawn)
	}
	for _, p := range l.waiting[:n] {
		p.waits = false
		if p.drawn {
			d.Invited++
		}
	}
	l.waiting, l.begun, l.to = l.waiting[n:], true, i.Key
}

// list writes the order down, once it is known.
func (d *draw) list() {
	if d.mode != wire.ModeDraw {
		d.wrong("this room draws no lots: it serves first come, first served")
	}
	if d.Revealed == 0 {
		return
	}
	var lanes [wire.Lanes][]*drawPlace
	for token, p := range d.byToken {
		if p.drawn {
			p.key = d.keyOf(token)
			lanes[p.lane] = append(lanes[p.lane], p)
		}
	}
	for lane, places := range lanes {
		slices.SortFunc(places, compareDrawn)
		for i, p := range places {
			d.Places = append(d.Places, DrawPlace{wire.Lane(lane).String(), i + 1, wire.Hex(p.key.Token), fmt.Sprintf("%016x", p.key.Key)})
		}
	}
}
