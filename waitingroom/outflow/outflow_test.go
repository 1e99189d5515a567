package outflow

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const tick = 100_000 // microseconds

func TestConfig_ZeroMeansDefaultsAndIsValid(t *testing.T) {
	var c Config
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if d := c.WithDefaults(); d.Cap != DefaultCap || d.RampMicros != DefaultRampMicros || d.ShowPermille != DefaultShowPermille {
		t.Fatalf("got %+v", d)
	}
	if d := (Config{RampMicros: NoRamp}).WithDefaults(); d.WithDefaults().RampMicros != NoRamp {
		t.Fatalf("no ramp became %d", d.RampMicros)
	}
}

func TestConfig_OutOfRangeIsRefusedByName(t *testing.T) {
	for name, c := range map[string]Config{
		"ratePerMinute":  {RatePerMinute: -1},
		"cap":            {Cap: MaxCap + 1},
		"marginPermille": {MarginPermille: MaxPermille + 1},
		"doorPermille":   {DoorPermille: 1_001},
		"showPermille":   {ShowPermille: -5},
		"showMicros":     {ShowMicros: MaxDurationMicros + 1},
		"rampMicros":     {RampMicros: -2},
		"burstMicros":    {BurstMicros: -1},
	} {
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), name+":") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestConfig_DefaultsAreFinal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			RatePerMinute: rapid.Int64().Draw(t, "rate"), Cap: rapid.Int64().Draw(t, "cap"),
			RampMicros: rapid.Int64Range(-3, 1<<62).Draw(t, "ramp"),
		}.WithDefaults()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}

func open(waiting int64) Input {
	return Input{Waiting: waiting, Due: Unknown, StockLeft: Unknown, Headroom: Unknown}
}

// total steps a room for the given time with nothing but time changing, and returns how many were invited.
func total(s *State, c Config, in Input, micros int64) (n int64) {
	for end := in.NowMicros + micros; in.NowMicros < end; in.NowMicros += tick {
		k := s.Step(c, in)
		in.Waiting -= k
		n += k
	}
	return n
}

func TestStep_PausedOrSoldOutOrNoHeadroomInvitesNobody(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"paused":      func(in *Input) { in.Paused = true },
		"sold out":    func(in *Input) { in.StockLeft = 0 },
		"no headroom": func(in *Input) { in.Headroom = 0 },
		"nobody":      func(in *Input) { in.Waiting = 0 },
	} {
		var s State
		in := open(10_000)
		change(&in)
		if n := total(&s, Config{}, in, 60*second); n != 0 {
			t.Errorf("%s: invited %d", name, n)
		}
	}
}

func TestStep_RateIsKeptExactlyOverAMinute(t *testing.T) {
	var s State
	c := Config{RatePerMinute: 90, Cap: MaxCap, ShowPermille: 1_000, RampMicros: NoRamp}
	in := open(10_000)
	s.Step(c, in)
	if n := total(&s, c, in, 60*second+tick); n != 90 {
		t.Fatalf("invited %d in a minute, want 90", n)
	}
}

func TestStep_NoShowsRaiseInvitationsNotEntries(t *testing.T) {
	c := Config{RatePerMinute: 600, Cap: MaxCap, RampMicros: NoRamp}
	var s State
	in := open(1_000_000)
	invited, shows := int64(0), int64(0)
	for in.NowMicros = 0; in.NowMicros < 600*second; in.NowMicros += tick {
		n := s.Step(c, in)
		in.ShowUps, in.NoShows = n/2, n-n/2
		if in.NowMicros >= 300*second {
			invited, shows = invited+n, shows+in.ShowUps
		}
	}
	if shows < 2_500 || shows > 3_050 {
		t.Fatalf("%d came in five minutes at 600 a minute (%d invited)", shows, invited)
	}
}

func TestStep_SlowStartBeginsAtATenth(t *testing.T) {
	c := Config{RatePerMinute: 6_000, Cap: MaxCap, ShowPermille: 1_000, RampMicros: 60 * second}
	var s State
	in := open(1_000_000)
	first := total(&s, c, in, 10*second)
	in.NowMicros = 10 * second
	total(&s, c, in, 60*second)
	in.NowMicros = 70 * second
	later := total(&s, c, in, 10*second)
	if first < 100 || first > 250 || later < 990 || later > 1_010 {
		t.Fatalf("first ten seconds %d, after the start %d", first, later)
	}
}

func TestStep_ReopeningKeepsThoseInsideAndStartsSlowly(t *testing.T) {
	c := Config{RatePerMinute: MaxRatePerMinute, Cap: 1_000, ShowPermille: 1_000}
	var s State
	in := open(100_000)
	in.Inside, in.Paused = 900, true
	s.Step(c, in)
	in.Paused = false
	in.NowMicros += tick
	if n := s.Step(c, in); n > 900*DefaultDoorPermille/1_000 {
		t.Fatalf("invited %d at once after a pause with 900 inside", n)
	}
	if n := total(&s, c, in, 40*second); n < 100 {
		t.Fatalf("invited only %d while 100 slots are free", n)
	}
}

func TestStep_StockBoundsThoseOnTheirWay(t *testing.T) {
	c := Config{RatePerMinute: MaxRatePerMinute, Cap: 10_000, MarginPermille: 1_500, ShowPermille: 1_000, RampMicros: NoRamp,
		ShowMicros: MaxDurationMicros}
	var s State
	in := open(100_000)
	in.StockLeft, in.Inside, in.Pending = 100, 60, 20
	if n := total(&s, c, in, 5*second); n < 69 || n > 71 {
		t.Fatalf("invited %d, want about 70: 150 for 100 left, less 80 there", n)
	}
}

func TestStep_LastTicketsDoNotWaitForPeopleWhoHaveCome(t *testing.T) {
	c := Config{RatePerMinute: 600, Cap: 100, ShowPermille: 1_000, RampMicros: NoRamp}
	var s State
	in := open(1_000)
	in.StockLeft, in.Due = 1, 0
	first := total(&s, c, in, second)
	if first == 0 {
		t.Fatal("nobody was invited for the last ticket")
	}
	in.NowMicros = s.last
	in.Due = first
	if n := total(&s, c, in, second); n > 1 {
		t.Fatalf("invited %d more while %d are due", n, first)
	}
	in.NowMicros = s.last
	in.Due, in.ShowUps = 0, first // they came, and did not buy
	if n := total(&s, c, in, second); n == 0 {
		t.Fatal("the last ticket waits although nobody is on the way")
	}
}

func TestStep_HeadroomScalesTheRate(t *testing.T) {
	c := Config{RatePerMinute: 600, Cap: MaxCap, ShowPermille: 1_000, RampMicros: NoRamp}
	var s State
	in := open(100_000)
	in.Headroom = 500
	if n := total(&s, c, in, 60*second); n < 298 || n > 302 {
		t.Fatalf("invited %d at half of 600 a minute", n)
	}
}

func drawConfig(t *rapid.T) Config {
	return Config{
		RatePerMinute:  rapid.Int64Range(0, MaxRatePerMinute).Draw(t, "rate"),
		Cap:            rapid.Int64Range(0, MaxCap).Draw(t, "cap"),
		MarginPermille: rapid.Int64Range(0, MaxPermille).Draw(t, "margin"),
		DoorPermille:   rapid.Int64Range(0, 1_000).Draw(t, "door"),
		ShowPermille:   rapid.Int64Range(0, 1_000).Draw(t, "show"),
		ShowMicros:     rapid.Int64Range(0, MaxDurationMicros).Draw(t, "showMicros"),
		RampMicros:     rapid.Int64Range(NoRamp, MaxDurationMicros).Draw(t, "ramp"),
		BurstMicros:    rapid.Int64Range(0, MaxDurationMicros).Draw(t, "burst"),
	}
}

func drawInput(t *rapid.T, now int64) Input {
	people := rapid.OneOf(rapid.Int64Range(-5, 2_000), rapid.Int64())
	return Input{
		NowMicros: now + rapid.OneOf(rapid.Int64Range(-second, 5*second), rapid.Int64()).Draw(t, "step"),
		Waiting:   people.Draw(t, "waiting"), Pending: people.Draw(t, "pending"), Due: people.Draw(t, "due"), Inside: people.Draw(t, "inside"),
		StockLeft: people.Draw(t, "stock"), Headroom: people.Draw(t, "headroom"),
		ShowUps: people.Draw(t, "shows"), NoShows: people.Draw(t, "noShows"), Admitted: people.Draw(t, "admitted"),
		Freed: people.Draw(t, "freed"), Gone: people.Draw(t, "gone"), Paused: rapid.Bool().Draw(t, "paused"),
	}
}

func TestStep_AnyInputKeepsTheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s State
		c := drawConfig(t)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			in := drawInput(t, s.last)
			n := s.Step(c, in)
			switch {
			case n < 0, n > max(in.Waiting, 0):
				t.Fatalf("invited %d of %d", n, in.Waiting)
			case n > 0 && (in.Paused || in.StockLeft == 0 || in.Headroom == 0):
				t.Fatalf("invited %d: %+v", n, in)
			}
			again, err := FromWords(s.Words())
			if err != nil || again != s {
				t.Fatalf("state does not survive its words: %v\n%+v\n%+v", err, s, again)
			}
			if band, known := s.Wait(in.Waiting); known && (band.Low < 0 || band.High < band.Low) {
				t.Fatalf("wait %+v", band)
			}
		}
	})
}

func TestStep_NeverMoreThanTheBucketEarned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s State
		c := drawConfig(t)
		c.RatePerMinute = rapid.Int64Range(1, 100_000).Draw(t, "rate")
		spent := int64(0)
		in := open(1 << 40)
		in.NowMicros = 1_700_000_000 * second
		begin := in.NowMicros
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			in.NowMicros += rapid.Int64Range(0, 3*second).Draw(t, "step")
			in.ShowUps = rapid.Int64Range(0, 50).Draw(t, "shows")
			in.NoShows = rapid.Int64Range(0, 50).Draw(t, "noShows")
			n := s.Step(c, in)
			spent += n * s.show
			earned := c.RatePerMinute * (in.NowMicros - begin) / minuteSeconds
			if spent > earned+bucket(c.WithDefaults()) {
				t.Fatalf("invited for %d micros of people, earned %d", spent, earned)
			}
		}
	})
}

func TestStep_SameRecordsSameWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b State
		c := drawConfig(t)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			in := drawInput(t, a.last)
			b, _ = FromWords(b.Words()) // as after a takeover from a snapshot
			if x, y := a.Step(c, in), b.Step(c, in); x != y || a.Words() != b.Words() {
				t.Fatalf("diverged: %d and %d", x, y)
			}
		}
	})
}

func FuzzFromWords(f *testing.F) {
	f.Add(0, int64(1), int64(10), int64(100))
	f.Add(3, int64(-1), int64(1)<<62, int64(5))
	f.Fuzz(func(t *testing.T, at int, word, now, waiting int64) {
		var s State
		s.Step(Config{}, open(1_000))
		w := s.Words()
		w[uint(at)%StateWords] = word
		s, err := FromWords(w)
		if err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatal(err)
			}
			return
		}
		in := open(waiting)
		in.NowMicros = now
		if n := s.Step(Config{}, in); n < 0 || n > max(waiting, 0) {
			t.Fatalf("invited %d of %d", n, waiting)
		}
	})
}

func TestWords_OutOfRangeIsRefused(t *testing.T) {
	for at, word := range map[int]int64{1: 2, 2: -1, 3: 5, 7: 60, 8: one + 1, 11: -4, 21: 1 << 60, 22: 1} {
		var w [StateWords]int64
		w[at] = word
		if _, err := FromWords(w); !errors.Is(err, ErrState) {
			t.Errorf("word %d = %d: got %v", at, word, err)
		}
	}
}

func TestMulDiv_IsExactAndSaturates(t *testing.T) {
	for _, x := range [][4]int64{{7, 3, 2, 10}, {1 << 62, 4, 8, 1 << 61}, {1 << 62, 1 << 62, 1, 1<<63 - 1}, {0, 5, 3, 0}} {
		if got := mulDiv(x[0], x[1], x[2]); got != x[3] {
			t.Errorf("%d·%d/%d = %d, want %d", x[0], x[1], x[2], got, x[3])
		}
	}
}

func TestRoot_IsTheFloor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<60).Draw(t, "n")
		if r := root(n); r*r > n || (r+1)*(r+1) <= n {
			t.Fatalf("root(%d) = %d", n, r)
		}
	})
}

func BenchmarkStep(b *testing.B) {
	var s State
	in := open(1_000_000)
	for b.Loop() {
		in.NowMicros += tick
		s.Step(Config{}, in)
	}
}
