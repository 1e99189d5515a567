package verifytest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"fairgate/internal/verify"
	"fairgate/internal/wire"
)

const lots = int64(1) // the room that draws

// drawLog is a draw from its definition until everybody was invited: 40 early arrivals, one of whom came twice and one of
// whom left, and 10 who came after its close.
func drawLog(t *testing.T) *made {
	m := &made{}
	w := newQueueWorld(t, unlimited(rolled(3)), map[string]int{})
	w.keep = m.keep
	w.send(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: id('l', 1)})
	w.now = 1000 * sec
	tick := func(by int64) {
		w.now += by
		w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
	}
	tick(0)
	w.send(wire.Record{Object: lots}, &wire.DefineRoom{Mode: wire.ModeDraw, DrawCloses: w.now + 10*sec, Late: 5 * sec, PublicSource: []byte("a beacon"),
		Commitment: sha256.Sum256(seed[:]), Cap: 1000, PerMinute: 600})
	join := func(n, visitor int) {
		j := &wire.Join{Instant: w.now, Visitor: id('v', visitor), Narrow: uint64(n), Wide: uint64(n), Lane: wire.Lane(n % 3)}
		w.send(wire.Record{Object: lots, Ref: id('t', n)}, j)
	}
	for n := range 40 {
		tick(sec / 10)
		join(n, n)
	}
	join(40, 3)                                                                                // the visitor keeps the earlier place
	w.send(wire.Record{Object: lots, Ref: id('t', 5)}, &wire.Leave{Visitor: id('v', 5)})       // gives it up
	w.send(wire.Record{Object: lots}, &wire.Reveal{Seed: seed, Public: []byte("known early")}) // refused
	for w.now <= 1010*sec {
		tick(sec)
	}
	for n := range 10 {
		join(50+n, 50+n)
	}
	for w.now < 1016*sec {
		tick(sec)
	}
	w.send(wire.Record{Object: lots}, &wire.Reveal{Seed: seed, Public: []byte("12345")})
	w.send(wire.Record{Object: lots}, &wire.SetRoom{State: wire.RoomOpen})
	for range 120 {
		tick(sec / 2)
	}
	return m
}

func (k *kafka) draw(m *made, room int64) (verify.Drawn, error) {
	k.t.Helper()
	k.append(wire.TopicQueueOutcomes, m.outcomes)
	return verify.Draw(k.t.Context(), verify.Config{QueuePartitions: 1, Prefix: k.prefix}, verify.Brokers(k.log), room)
}

func TestDraw_OrderFollowsFromSeedAndPublicValue(t *testing.T) {
	k := newKafka(t)
	d, err := k.draw(drawLog(t), lots)
	if err != nil || len(d.Wrong) > 0 {
		t.Fatalf("%+v, %v", d, err)
	}
	if len(d.Places) != 39 || d.Invited != 39 || d.Public != "12345" || d.Source != "a beacon" || d.Opened < d.Revealed {
		t.Errorf("%+v", d)
	}
	// What anybody can compute at home for a place, the winner of the normal lane here.
	key := sha256.Sum256(append(bytes.Clone(seed[:]), "12345"...))
	var values []string
	for n := 0; n < 40; n += 3 {
		token := id('t', n)
		mac := hmac.New(sha256.New, key[:])
		mac.Write(token[:])
		values = append(values, wire.Hex(wire.ID(mac.Sum(nil)[:16]))[:16])
	}
	if d.Places[0].Lane != "normal" || d.Places[0].Rank != 1 || d.Places[0].Value != slices.Min(values) {
		t.Errorf("first is %+v, want the value %s", d.Places[0], slices.Min(values))
	}
	if _, err := verify.Draw(t.Context(), verify.Config{QueuePartitions: 1, Prefix: k.prefix}, verify.Brokers(k.log), 99); !errors.Is(err, verify.ErrNoRoom) {
		t.Errorf("a room that is not there: %v", err)
	}
}

func TestDraw_EveryLieIsNamed(t *testing.T) {
	lies := map[string]struct {
		kind  wire.Kind
		lie   func(wire.Body)
		named string
	}{
		"another seed":             {wire.KindRevealed, func(b wire.Body) { b.(*wire.Revealed).Seed[0]++ }, "hash that was promised"},
		"another public value":     {wire.KindRevealed, func(b wire.Body) { b.(*wire.Revealed).Public = []byte("54321") }, "not who came next"},
		"somebody invited first":   {wire.KindInvitedUpTo, func(b wire.Body) { b.(*wire.InvitedUpTo).Key.Token[3]++ }, "not who came next"},
		"one more invited":         {wire.KindInvitedUpTo, func(b wire.Body) { b.(*wire.InvitedUpTo).Count++ }, "not who came next"},
		"one kept out of the draw": {wire.KindJoined, func(b wire.Body) { b.(*wire.Joined).Drawn = false }, "take part in the draw"},
	}
	for name, lie := range lies {
		m := drawLog(t)
		m.forge(t, lie.kind, lie.lie)
		d, err := newKafka(t).draw(m, lots)
		if err != nil || !strings.Contains(strings.Join(d.Wrong, "\n"), lie.named) {
			t.Errorf("%s: %q, %v", name, d.Wrong, err)
		}
	}
}

// forge has a lie told in the first outcome of a kind, and everything numbered and hashed as if it were true.
func (m *made) forge(t *testing.T, kind wire.Kind, lie func(wire.Body)) {
	t.Helper()
	tape := &tape{body: wire.NewQueueOutcome}
	for i, record := range m.records {
		end := len(m.outcomes)
		if i+1 < len(m.starts) {
			end = m.starts[i+1]
		}
		tape.keep(record, m.outcomes[m.starts[i]:end])
	}
	var out wire.Outcomes
	m.outcomes = nil
	told := false
	for i := range tape.lines {
		for _, s := range tape.lines[i].said {
			if !told && s.body.Kind() == kind {
				lie(s.body)
				told = true
			}
		}
		m.outcomes = append(m.outcomes, tape.lines[i].bytes(&out, int64(i))...)
	}
	if !told {
		t.Fatalf("no outcome of kind %d", kind)
	}
}
