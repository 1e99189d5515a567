package waitingroom

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// fields are where a challenge or token keeps what it says, by the layouts in internal/wire: name and end, in order.
var (
	challengeFields = []struct {
		name string
		end  int
	}{
		{"version", 1}, {"type", 2}, {"key", 6}, {"room", 14}, {"lane", 15}, {"instant", 23}, {"edge", 27}, {"visitor", 43}, {"narrow", 51},
		{"wide", 59}, {"carrier", 60}, {"random", 76}, {"expires", 84}, {"renewed", 85}, {"algorithm", 86}, {"sub", 87}, {"k", 91},
		{"difficulty", 95}, {"reserved", wire.ChallengeSize - wire.MACSize}, {"mac", wire.ChallengeSize},
	}
	tokenFields = []struct {
		name string
		end  int
	}{
		{"version", 1}, {"type", 2}, {"key", 6}, {"room", 14}, {"lane", 15}, {"instant", 23}, {"edge", 27}, {"visitor", 43}, {"narrow", 51},
		{"wide", 59}, {"carrier", 60}, {"random", 76}, {"id", 92}, {"expires", 100}, {"reserved", wire.TokenSize - wire.MACSize}, {"mac", wire.TokenSize},
	}
)

// spliced gives text with one field after the other of another text in its place, where the two differ.
func spliced(t *testing.T, text, other string, fields []struct {
	name string
	end  int
}, each func(field, text string)) {
	t.Helper()
	a, err := base64.RawURLEncoding.DecodeString(text)
	b, err2 := base64.RawURLEncoding.DecodeString(other)
	if err != nil || err2 != nil || len(a) != len(b) || fields[len(fields)-1].end != len(a) {
		t.Fatal(err, err2, len(a), len(b))
	}
	from := 0
	for _, f := range fields {
		mixed := append(append(append([]byte(nil), a[:from]...), b[from:f.end]...), a[f.end:]...)
		if from = f.end; string(mixed) != string(a) {
			each(f.name, token.Text(mixed))
		}
	}
}

func TestJoin_AChallengesFieldsSwappedWithAnothersAreRefused(t *testing.T) {
	s := open(t)
	f := s.fan()
	mine := f.arrive("2")
	solution := solved(t, mine.Puzzle)
	for whose, other := range map[string]string{"another visitor's": s.fan().arrive("2").Challenge, "another room's": s.fan().arrive("1").Challenge,
		"an earlier one of mine": f.arrive("2").Challenge} {
		spliced(t, mine.Challenge, other, challengeFields, func(field, text string) {
			refused(t, fmt.Sprintf("%s %s", whose, field), f.post("/rooms/2/join", joinRequest{text, solution}))
		})
	}
	if s.joined.Load() != 0 {
		t.Error("somebody joined")
	}
}

func TestEnter_ATokensFieldsSwappedWithAnothersAreRefused(t *testing.T) {
	s := open(t)
	f := s.fan()
	mine := f.join("2")
	for whose, other := range map[string]string{"another visitor's": s.fan().join("2").Token, "another room's": s.fan().join("1").Token} {
		spliced(t, mine.Token, other, tokenFields, func(field, text string) {
			f.header.Set(HeaderToken, text)
			r := f.post("/rooms/2/enter", nil)
			refused(t, fmt.Sprintf("%s %s", whose, field), r)
			if r.kind(t) == "not-invited" {
				t.Errorf("%s %s: taken for a place", whose, field)
			}
		})
	}
}

func TestEnter_ATruncatedOrProlongedTokenIsRefused(t *testing.T) {
	s := open(t)
	f := s.fan()
	p := f.join("2")
	for _, text := range []string{p.Token[:1], p.Token[:len(p.Token)/2], p.Token[:len(p.Token)-1], p.Token + "A", p.Token + "AAAA", p.Token + "=", " " + p.Token[1:],
		strings.ReplaceAll(p.Token, "_", "/"), strings.ToUpper(p.Token)} {
		if text == p.Token {
			continue
		}
		f.header.Set(HeaderToken, text)
		refused(t, text, f.post("/rooms/2/enter", nil))
	}
}

func TestEnter_WithSomebodyElsesCookieIsRefused(t *testing.T) {
	s := open(t)
	theirs := s.fan().join("1")
	thief := s.fan()
	visitor := thief.arrive("1").Visitor
	thief.header.Set("Cookie", fmt.Sprintf("%s=%s; %s=%s", CookieVisitor, visitor, roomCookie(CookieToken, hall), theirs.Token))
	r := thief.post("/rooms/1/enter", nil)
	if kind := r.kind(t); r.status != 403 || kind != "other-visitor" {
		t.Errorf("%d %s", r.status, r.body)
	}
	// Nor does it help to have no secret at all.
	thief = s.fan()
	thief.header.Set("Cookie", fmt.Sprintf("%s=%s", roomCookie(CookieToken, hall), theirs.Token))
	if r := thief.post("/rooms/1/enter", nil); r.status != 403 || r.kind(t) != "other-visitor" {
		t.Errorf("without a secret: %d %s", r.status, r.body)
	}
}

func TestJoin_OutOfOrderKeepsTheOrderOfArrival(t *testing.T) {
	s := open(t)
	var fans [5]*fan
	var challenges [5]arriveAnswer
	for i := range fans {
		fans[i] = s.fan()
		challenges[i] = fans[i].arrive("2")
	}
	var keys [5]string
	for i := len(fans) - 1; i >= 0; i-- {
		var p placeAnswer
		r := fans[i].post("/rooms/2/join", joinRequest{challenges[i].Challenge, solved(t, challenges[i].Puzzle)})
		if r.into(t, &p); !p.Recorded {
			t.Fatalf("%d %s", r.status, r.body)
		}
		keys[i] = p.OrderKey
	}
	for i := 1; i < len(keys); i++ {
		if keys[i-1] >= keys[i] {
			t.Errorf("number %d, who joined later, stands behind number %d", i, i+1)
		}
	}
}

func TestJoin_AfterTheRoomsAllowanceIsTooLate(t *testing.T) {
	s := open(t, lotteryRooms)
	s.order(lottery, &wire.DefineRoom{Cap: 10, PerMinute: 60, Late: 300_000})
	s.until("the room", func() bool { return s.edge.docs.newest(lottery) != nil })
	f := s.fan()
	a := f.arrive("8")
	time.Sleep(600 * time.Millisecond) // the allowance itself; nothing says when it has passed
	r := f.post("/rooms/8/join", joinRequest{a.Challenge, solved(t, a.Puzzle)})
	if kind := r.kind(t); r.status != 410 || kind != "too-late" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if p := f.join("8"); !p.Recorded {
		t.Errorf("arriving again: %+v", p)
	}
}
