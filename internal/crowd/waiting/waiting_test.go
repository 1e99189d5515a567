package waiting

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fairgate/internal/wire"
)

func line(n int) []Place {
	places := make([]Place, n)
	for i := range places {
		places[i].Key = wire.OrderKey{Class: 1, Key: uint64(1000 + i), Token: wire.ID{byte(i), byte(i >> 8)}}
	}
	return places
}

// edge serves documents of a line of which so many are invited.
type edge struct {
	places []Place
	served atomic.Int64
	change func(n int64, d *wire.QueueDocument) // of the n-th answer
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const invited = 3
	n := e.served.Add(1)
	d := wire.QueueDocument{Version: wire.Version, Room: 1, State: "open", At: time.Now().UnixMicro(), Epoch: 1, Offset: n, NextPoll: 1,
		Joined: uint32(len(e.places)), Lanes: []wire.LaneDocument{{
			Lane: "normal", InvitedTo: e.places[invited-1].Key.String(), Waiting: uint32(len(e.places) - invited),
		}}}
	for i := invited; i < len(e.places); i += 1 + i/8 {
		d.Lanes[0].Table = append(d.Lanes[0].Table, wire.RankRow{Key: e.places[i].Key.String(), Before: uint32(i - invited)})
	}
	if e.change != nil {
		e.change(n, &d)
	}
	b, err := json.Marshal(&d)
	if err != nil {
		panic(err)
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%d-%d"`, d.Epoch, d.Offset))
	w.Header().Set("X-Cache", "HIT")
	_, _ = w.Write(b)
}

func run(t *testing.T, fans int, change func(int64, *wire.QueueDocument)) Report {
	t.Helper()
	e := &edge{places: line(fans), change: change}
	s := httptest.NewServer(e)
	defer s.Close()
	r, err := Run(t.Context(), Config{URL: s.URL, Room: 1, Watching: 1000, For: time.Second, Conns: 4}, e.places, func(bool) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRun_EverybodyLooksAndIsToldTheTruth(t *testing.T) {
	t.Parallel()
	r := run(t, 300, nil)
	if r.Wrong != 0 || r.Older != 0 || r.Failed != 0 || r.Unknown != 0 {
		t.Errorf("%+v", r)
	}
	if r.Invited != 3 || r.Checked < 300+297 || r.Looks == 0 || r.Cached != r.Looks || r.Documents < 300 {
		t.Errorf("%+v", r)
	}
}

// TestRun_SeesALie holds that every kind of wrong document is noticed: else the harness proves nothing.
func TestRun_SeesALie(t *testing.T) {
	t.Parallel()
	t.Run("a place too far behind", func(t *testing.T) {
		t.Parallel()
		r := run(t, 300, func(n int64, d *wire.QueueDocument) {
			for i := range d.Lanes[0].Table {
				d.Lanes[0].Table[i].Before += uint32(n % 2)
			}
		})
		if r.Wrong == 0 || r.FirstWrong == "" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("somebody invited too early", func(t *testing.T) {
		t.Parallel()
		places := line(300)
		r := run(t, 300, func(n int64, d *wire.QueueDocument) {
			if n%7 == 0 {
				d.Lanes[0].InvitedTo = places[200].Key.String()
			}
		})
		if r.Invited <= 3 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("an older document", func(t *testing.T) {
		t.Parallel()
		r := run(t, 300, func(n int64, d *wire.QueueDocument) {
			if n > 400 && n%3 == 0 {
				d.Offset = 1
			}
		})
		if r.Older == 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestRun_RefusesWhatCannotWork(t *testing.T) {
	good := Config{URL: "http://127.0.0.1:1", Room: 1}
	swapped := line(3)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	for want, c := range map[string]struct {
		config Config
		places []Place
	}{
		"room":            {Config{URL: good.URL}, line(1)},
		"watching":        {Config{URL: good.URL, Room: 1, Watching: 1001}, line(1)},
		"for":             {Config{URL: good.URL, Room: 1, For: time.Millisecond}, line(1)},
		"1 to 2000000":    {good, nil},
		"does not come":   {good, swapped},
		"conns: expected": {Config{URL: good.URL, Room: 1, Conns: 5000}, line(1)},
	} {
		if _, err := Run(t.Context(), c.config, c.places, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestWheel_EverybodyIsDueOnceAndNotBefore holds for any order of adding and turning.
func TestWheel_EverybodyIsDueOnceAndNotBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const fans = 50
		w := newWheel(fans)
		due := map[int32]time.Duration{}
		now := time.Duration(0)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				fan := rapid.Int32Range(0, fans-1).Draw(t, "fan")
				if _, in := due[fan]; in {
					t.Skip("in it")
				}
				at := now + time.Duration(rapid.Int64Range(-int64(time.Second), int64(400*time.Second)).Draw(t, "in"))
				w.add(fan, at)
				due[fan] = max(at, now) // who is late comes next
			},
			"turn": func(t *rapid.T) {
				now += time.Duration(rapid.Int64Range(0, int64(200*time.Second)).Draw(t, "by"))
				for _, l := range w.advance(now, nil) {
					at, in := due[l.fan]
					if !in || at > now {
						t.Fatalf("fan %d: due at %v (%v), came at %v", l.fan, at, in, now)
					}
					delete(due, l.fan)
				}
				for fan, at := range due {
					if at+2*slot < now {
						t.Fatalf("fan %d was due at %v, it is %v", fan, at, now)
					}
				}
			},
		})
	})
}

func TestPause_IsThePagesRhythm(t *testing.T) {
	d := &wire.QueueDocument{NextPoll: 5}
	for name, c := range map[string]struct {
		rate        int64 // thousandths of people a minute
		position    uint32
		watches     bool
		least, most time.Duration
	}{
		"somebody looks":                  {6_000_000, 400_000, true, 3750 * time.Millisecond, 6250 * time.Millisecond},
		"nobody looks, far behind":        {6_000_000, 400_000, false, 225 * time.Second, 375 * time.Second},
		"nobody looks, soon":              {6_000_000, 100, false, 11250 * time.Millisecond, 18750 * time.Millisecond},
		"nobody looks, a minute":          {6_000_000, 6000, false, 22500 * time.Millisecond, 37500 * time.Millisecond},
		"nobody looks, rate is not known": {0, 100, false, 22500 * time.Millisecond, 37500 * time.Millisecond},
	} {
		rnd := rand.New(rand.NewPCG(1, 1))
		for range 1000 {
			if p := pause(rnd, d, &wire.LaneDocument{RateHigh: c.rate}, c.position, c.watches); p < c.least || p > c.most {
				t.Fatalf("%s: %v, want %v to %v", name, p, c.least, c.most)
			}
		}
	}
}

func TestPlot_IsAPictureOfThePoints(t *testing.T) {
	svg := Plot([]Point{{5000, 210, 2}, {50_000, 2100, 2.5}, {500_000, 11_480, 2}})
	for dec := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{">500 000<", ">11 480<", ">2.5<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %s in the picture", want)
		}
	}
}
