package waitingroom

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairgate/internal/wire"
)

// lotteries are rooms that draw lots; who arrives in the first of them has two seconds for it, in each other twice as long.
const (
	lottery   = 8
	lotteries = 6
)

func lotteryRooms(_ *Config, d *Deps) {
	for n := range int64(lotteries) {
		d.Rooms = append(d.Rooms.(list), Room{ID: lottery + n, Name: "Lots", Next: "/events/8"})
	}
}

// homeKey is what a browser computes of its own place: from the document that everybody has and the id of its place.
func homeKey(t *testing.T, d *wire.QueueDocument, place string) string {
	t.Helper()
	seed, err := hex.DecodeString(d.Seed)
	if err != nil || len(seed) != 32 {
		t.Fatalf("seed %q", d.Seed)
	}
	id, err := hex.DecodeString(place)
	if err != nil || len(id) != 16 {
		t.Fatalf("place %q", place)
	}
	key := sha256.Sum256(append(seed, d.Public...))
	mac := hmac.New(sha256.New, key[:])
	mac.Write(id)
	return "00" + hex.EncodeToString(mac.Sum(nil)[:8]) + place
}

// early is who came before the draw closed.
type early struct {
	*fan
	place placeAnswer
	key   string
}

// promise defines a room that draws lots, and returns how to read its document.
func (s *stage) promise(room int64, seed wire.Hash, closes time.Time) func() *wire.QueueDocument {
	s.t.Helper()
	s.order(room, &wire.DefineRoom{Mode: wire.ModeDraw, DrawCloses: closes.UnixMicro(), Late: 1_000_000, Cap: 1, PerMinute: 60_000,
		Commitment: sha256.Sum256(seed[:]), PublicSource: []byte("a beacon")})
	document := func() *wire.QueueDocument {
		if d := s.edge.docs.newest(room); d != nil {
			return &d.doc
		}
		return &wire.QueueDocument{}
	}
	s.until("the promise", func() bool { return document().State == "early" })
	sum := sha256.Sum256(seed[:])
	if d := document(); d.Commitment != hex.EncodeToString(sum[:]) || d.Source != "a beacon" || d.Seed != "" || d.Drawn {
		s.t.Fatalf("promised %+v", d)
	}
	return document
}

// comeEarly has eight fans join a room before its draw closes; false if this machine was too slow for that.
func (s *stage) comeEarly(room string, closes time.Time) (all []early, ok bool) {
	s.t.Helper()
	for n := range 8 {
		f := s.fan()
		f.header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.1", n)) // else the cap of a network splits them over two lanes
		p := f.join(room)
		if time.Now().After(closes) {
			return nil, false
		}
		if !p.Drawn || !strings.HasPrefix(p.OrderKey, "01") {
			s.t.Fatalf("an early arrival was answered %+v", p)
		}
		all = append(all, early{fan: f, place: p})
	}
	return all, true
}

func TestDraw_FromArrivalToAdmission(t *testing.T) {
	s := open(t, lotteryRooms)
	seed := wire.Hash{1, 2, 3}
	var lottery int64 = lottery
	closes := time.Now().Add(2 * time.Second)
	document := s.promise(lottery, seed, closes)
	room := fmt.Sprint(lottery)
	early8, ok := s.comeEarly(room, closes)
	for n := 1; !ok; n++ {
		if n == lotteries {
			t.Fatalf("eight fans took longer to join than %v", time.Second<<n)
		}
		lottery++
		closes = time.Now().Add(2 * time.Second << n)
		document, room = s.promise(lottery, seed, closes), fmt.Sprint(lottery)
		early8, ok = s.comeEarly(room, closes)
	}
	s.untilBy(closes.Add(15*time.Second), "the draw to close", func() bool { return time.Since(closes) > 0 })
	late := s.fan()
	if p := late.join(room); p.Drawn {
		t.Errorf("who arrived after the close was answered %+v", p)
	}

	// Nobody is let in before the draw, and a seed that nobody was promised opens nothing.
	s.order(lottery, &wire.SetRoom{State: wire.RoomOpen})
	s.order(lottery, &wire.Reveal{Seed: wire.Hash{9}, Public: []byte("42")})
	s.until("the allowance to pass", func() bool {
		s.order(lottery, &wire.Reveal{Seed: seed, Public: []byte("42")})
		return document().Seed != ""
	})
	if d := document(); d.State != "early" || d.Public != "42" || d.Drawn {
		t.Fatalf("published %+v", d)
	}
	s.order(lottery, &wire.SetRoom{State: wire.RoomOpen})
	s.until("the draw to be held", func() bool { return document().Drawn })
	for i := range early8 {
		f := &early8[i]
		f.key = homeKey(t, document(), f.place.Place)
		var at standingAnswer
		f.get("/rooms/"+room+"/place").into(t, &at)
		if at.OrderKey != f.key {
			t.Errorf("the edge says %s, at home it is %s", at.OrderKey, f.key)
		}
	}
	slices.SortFunc(early8, func(a, b early) int { return strings.Compare(a.key, b.key) })

	// One slot, and those whose turn it is ask while the room is paused, the last of the draw first: then the first of the
	// draw gets in.
	s.until("invitations", func() bool { return document().Lanes[0].InvitedTo != "" })
	s.order(lottery, &wire.SetRoom{State: wire.RoomPaused})
	s.until("the pause", func() bool { return document().State == "paused" })
	for i := len(early8) - 1; i >= 0; i-- {
		early8[i].post("/rooms/"+room+"/enter", nil)
	}
	s.order(lottery, &wire.SetRoom{State: wire.RoomOpen})
	s.until("somebody to be admitted", func() bool {
		for i := len(early8) - 1; i >= 0; i-- {
			r := early8[i].post("/rooms/"+room+"/enter", nil)
			if r.status == 200 && i > 0 {
				t.Fatalf("number %d of the draw was admitted first", i+1)
			}
			if r.status == 200 {
				return true
			}
		}
		return false
	})
	if r := late.post("/rooms/"+room+"/enter", nil); r.kind(t) != "not-invited" {
		t.Errorf("who came after the close was answered %d %s", r.status, r.body)
	}
}
