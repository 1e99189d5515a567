package booking

import (
	"strings"
	"testing"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// tell makes outcomes as the log does and lets recent hear them.
type tell struct {
	*recent
	t   *testing.T
	out wire.Outcomes
}

func (l *tell) say(object int64, ref wire.ID, command wire.ID, body wire.Body) {
	l.t.Helper()
	l.out.Reset()
	l.out.Begin(int64(l.out.Seq), 1_000_000, wire.Record{Object: object, Ref: ref, Command: command})
	l.out.Add(body)
	l.out.End()
	o, err := wire.ParseOutcome(l.out.At(0))
	if err != nil {
		l.t.Fatal(err)
	}
	l.hear(0, o)
}

func id(n int) (v wire.ID) {
	v[0], v[1], v[2], v[15] = byte(n), byte(n>>8), byte(n>>16), 1
	return v
}

func heldBy(user string) *wire.Held {
	return &wire.Held{Reserved: wire.Reserved{
		Subject: []byte(user), UserKey: sale.UserKey(user), Deadline: 5, Expires: 2_000_000, Total: 7, Currency: [3]byte{'E', 'U', 'R'},
		Lines: []wire.HeldLine{{Type: 1, Quantity: 2, Total: 7}},
	}}
}

func TestRecent_FollowsABookingThroughItsLife(t *testing.T) {
	l := &tell{recent: newRecent(), t: t}
	l.say(5, id(1), id(100), heldBy("alice"))
	status := func(want string, expires int64) {
		t.Helper()
		b, ok := l.of("alice", 5)
		if !ok || b.Status != want || b.LastSeq != l.out.Seq || (expires == 0) != b.Expires.IsZero() || expires != 0 && b.Expires.UnixMicro() != expires {
			t.Errorf("%+v, want %s until %d", b, want, expires)
		}
	}
	status("held", 2_000_000)
	l.say(5, id(1), wire.ID{}, &wire.Extended{Scope: 0, By: 10, Until: 2_000_010})
	status("held", 2_000_010)
	l.say(0, wire.ID{}, wire.ID{}, &wire.Extended{Scope: 1, By: 90})
	status("held", 2_000_100)
	l.say(5, wire.ID{}, wire.ID{}, &wire.Extended{Scope: 1, By: 1})
	status("held", 2_000_101)
	l.say(5, id(1), wire.ID{}, &wire.Lapsed{UserKey: sale.UserKey("alice")})
	status("lapsed", 0)
	l.say(5, id(1), wire.ID{}, &wire.Confirmed{UserKey: sale.UserKey("alice"), Late: true})
	status("confirmed", 0)
	l.say(5, id(1), wire.ID{}, &wire.Frozen{Expires: 9_000_000})
	status("frozen", 9_000_000)
	l.say(5, id(1), wire.ID{}, &wire.Revoked{Reason: wire.ReasonCaptureFailed})
	status("revoked", 0)
	if b, _ := l.booking(id(1)); b.Reason != wire.ReasonCaptureFailed.String() || b.Offset != 0 || b.Created != time.UnixMicro(1_000_000).UTC() {
		t.Errorf("%+v", b)
	}
}

func TestRecent_OtherEventsAndPartitionsDoNotMove(t *testing.T) {
	l := &tell{recent: newRecent(), t: t}
	l.say(5, id(1), wire.ID{}, heldBy("alice"))
	l.say(6, wire.ID{}, wire.ID{}, &wire.Extended{Scope: 1, By: 90})
	if b, _ := l.booking(id(1)); b.Expires.UnixMicro() != 2_000_000 {
		t.Errorf("moved to %s", b.Expires)
	}
}

func TestRecent_FirstAnswerOfACommandStands(t *testing.T) {
	l := &tell{recent: newRecent(), t: t}
	l.say(5, id(2), id(100), &wire.Refused{Reason: wire.ReasonSoldOut, Lines: []wire.Shortage{{Type: 1, Asked: 2}}})
	l.say(5, id(3), id(100), &wire.Repeated{FirstKind: wire.KindRefused, FirstRef: id(2)})
	if c, ok := l.command(id(100)); !ok || c.refused == nil || c.refused.reason != wire.ReasonSoldOut || c.booking != id(2) {
		t.Errorf("%+v %v", c, ok)
	}
	l.say(5, id(4), id(101), &wire.AlreadyHeld{Booking: id(1)})
	if c, _ := l.command(id(101)); c.booking != id(1) {
		t.Errorf("%+v", c)
	}
}

func TestRecent_OldestGoesWhenItIsFull(t *testing.T) {
	l := &tell{recent: newRecent(), t: t}
	l.order.most, l.asked.most = 3, 3
	for n := range 5 {
		l.say(5, id(n), id(100+n), heldBy("user-"+strings.Repeat("x", n)))
	}
	for n := range 5 {
		_, booking := l.booking(id(n))
		_, command := l.command(id(100 + n))
		_, newest := l.of("user-"+strings.Repeat("x", n), 5)
		if want := n >= 2; booking != want || command != want || newest != want {
			t.Errorf("%d: %v %v %v", n, booking, command, newest)
		}
	}
	if len(l.bookings) != 3 || len(l.newest) != 3 || len(l.commands) != 3 {
		t.Errorf("%d bookings, %d owners, %d commands kept", len(l.bookings), len(l.newest), len(l.commands))
	}
}

func FuzzGuestCookie(f *testing.F) {
	g := newGuests("a guest key of a test", strings.NewReader(strings.Repeat("r", 12)))
	sound, subject, err := g.mint()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{sound, subject, "", ".", subject + ".", sound + ".", "guest-x." + g.sign("guest-y")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		if who, ok := g.read(cookie); ok && cookie != who+"."+g.sign(who) {
			t.Errorf("%q was believed", cookie)
		}
	})
}

func FuzzUserID(f *testing.F) {
	for _, s := range []string{`"alice"`, `42`, `-1`, `1e3`, `01`, `{}`, `null`, `"\u0000"`, ``, `"`, `99999999999999999999999`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var u userID
		if u.UnmarshalJSON(data) == nil && len(u) > len(data)*3 {
			t.Errorf("%q became %q", data, u)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(cursorOf("2027-01-01", "7"))
	f.Add("AAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		first, second, err := query{"cursor": text}.cursor()
		if err == nil && first != "" && cursorOf(first, second) != text && text != "" {
			// Other encodings of the same bytes are harmless; other bytes are not.
			again, rest, err := query{"cursor": cursorOf(first, second)}.cursor()
			if err != nil || again != first || rest != second {
				t.Errorf("%q is %q, %q and then %q, %q", text, first, second, again, rest)
			}
		}
	})
}
