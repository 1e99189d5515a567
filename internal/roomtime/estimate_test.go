package roomtime

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestEstimate_TheTruthIsNeverOutsideTheBound holds whatever the clock does within its drift and however unequal the ways
// to the source and back are.
func TestEstimate_TheTruthIsNeverOutsideTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const second = 1_000_000
		var e Estimate
		rate := rapid.Int64Range(-maxDrift, maxDrift).Draw(t, "drift in µs a second")
		begin := rapid.Int64Range(-1e12, 1e12).Draw(t, "our clock at the beginning")
		truth, local, rest := int64(0), begin, int64(0)
		pass := func(us int64) {
			truth += us
			rest += us * rate
			local += us + rest/second
			rest %= second
		}
		for range rapid.IntRange(1, 60).Draw(t, "exchanges") {
			sent := local
			pass(rapid.Int64Range(0, 300_000).Draw(t, "there"))
			wrong := rapid.Int64Range(-5_000, 5_000).Draw(t, "the source is off by")
			source := truth + wrong
			pass(rapid.Int64Range(0, 300_000).Draw(t, "back"))
			x := Exchange{At: local, Offset: source - sent - (local-sent)/2, Delay: local - sent + 1, Error: 5_000}
			if !e.Learn(x) {
				t.Fatalf("contradicts what was known: %+v", x)
			}
			for range 3 {
				offset, bound := e.Read(local)
				if is := local + offset - truth; is > bound || is < -bound {
					t.Fatalf("off by %d µs, the bound is %d", is, bound)
				}
				pass(rapid.Int64Range(0, 100*second).Draw(t, "later"))
			}
		}
	})
}

func TestEstimate_GetsBetterWithEachGoodExchangeAndWorseByDriftAlone(t *testing.T) {
	var e Estimate
	if _, bound := e.Read(0); bound != Unbounded {
		t.Fatalf("knows nothing, with a bound of %d", bound)
	}
	e.Learn(Exchange{At: 1_000_000, Offset: 70, Delay: 400_000})
	_, wide := e.Read(1_000_000)
	e.Learn(Exchange{At: 2_000_000, Offset: 50, Delay: 2_000})
	offset, narrow := e.Read(2_000_000)
	if wide < 200_000 || narrow > 1_010 || offset < -1_000 || offset > 1_100 {
		t.Errorf("bounds %d and %d, offset %d", wide, narrow, offset)
	}
	e.Learn(Exchange{At: 3_000_000, Offset: 50, Delay: 600_000}) // a slow answer harms nothing
	_, after := e.Read(3_000_000)
	_, hour := e.Read(3_000_000 + 3600*1_000_000)
	if after > narrow+510 || hour-after < 3600*maxDrift || hour-after > 3600*(maxDrift+2) {
		t.Errorf("bound %d after a slow answer, %d an hour later", after, hour)
	}
}

func TestEstimate_BelievesTheNewestWhereTheOldCannotBeTrue(t *testing.T) {
	var e Estimate
	e.Learn(Exchange{At: 1_000_000, Offset: 0, Delay: 1_000})
	if e.Learn(Exchange{At: 2_000_000, Offset: 9_000_000, Delay: 1_000}) {
		t.Error("a clock that was set by nine seconds contradicts nothing")
	}
	if offset, bound := e.Read(2_000_000); offset < 8_999_000 || offset > 9_001_000 || bound > 1_000 {
		t.Errorf("offset %d ± %d", offset, bound)
	}
}

// ntpServer answers on loopback as a server whose clock is ahead.
func ntpServer(t *testing.T, ahead time.Duration) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = c.Close(); <-done })
	stamp := func(at time.Time) uint64 {
		at = at.Add(ahead)
		return uint64(at.Unix()+2_208_988_800)<<32 | uint64(at.Nanosecond())<<32/1_000_000_000
	}
	go func() {
		defer close(done)
		var b [128]byte
		for {
			n, from, err := c.ReadFrom(b[:])
			if err != nil {
				return
			}
			if n < 48 {
				continue
			}
			var out [48]byte
			out[0], out[1], out[3] = 4<<3|4, 1, 0xec // server of version 4, stratum 1
			copy(out[12:], "TEST")
			copy(out[24:], b[40:48]) // origin
			now := stamp(time.Now())
			binary.BigEndian.PutUint64(out[16:], now)
			binary.BigEndian.PutUint64(out[32:], now)
			binary.BigEndian.PutUint64(out[40:], stamp(time.Now()))
			_, _ = c.WriteTo(out[:], from)
		}
	}()
	return c.LocalAddr().String()
}

func TestSource_IsFollowedByAHostWhoseClockNobodyDisciplines(t *testing.T) {
	const ahead = 7 * time.Second
	s := NewSource(ntpServer(t, ahead), slog.New(slog.DiscardHandler))
	h := New(false)
	h.kernel = func() (int64, string) { return Unbounded, SourceUnsynchronised }
	h.Follow(s)
	if _, bound := h.Now(); bound != Unbounded || h.Source() != SourceAsked {
		t.Fatalf("before the first answer: %d from %s", bound, h.Source())
	}
	x, err := s.ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.learn(x)
	before := time.Now().Add(ahead).UnixMicro()
	now, bound := h.Now()
	after := time.Now().Add(ahead).UnixMicro()
	if bound > askTimeout.Microseconds() || now+bound < before || now-bound > after {
		t.Errorf("%d ± %d between %d and %d", now, bound, before, after)
	}
	h = New(false)
	h.Follow(s)
	h.kernel = func() (int64, string) { return 900, SourceKernel }
	if now, bound := h.Now(); bound != 900 || now > time.Now().UnixMicro() || h.Source() != SourceKernel {
		t.Error("a disciplined clock is not believed first")
	}
}

func TestSource_IsMissedByDriftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSource("", slog.New(slog.DiscardHandler))
		s.local = func() int64 { return time.Now().UnixMicro() }
		var away atomic.Bool
		s.ask = func(context.Context) (Exchange, error) {
			if away.Load() {
				return Exchange{}, errors.New("away")
			}
			return Exchange{At: s.local(), Offset: 123, Delay: 10_000}, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		time.Sleep(time.Minute)
		_, bound := s.Now()
		away.Store(true)
		time.Sleep(5 * time.Minute)
		_, later := s.Now()
		if bound > 9_000 || later < bound+290*maxDrift || later > bound+310*maxDrift || later > DefaultLimit {
			t.Errorf("bound %d, after five minutes alone %d", bound, later)
		}
		time.Sleep(5 * time.Minute)
		if _, later = s.Now(); later < DefaultLimit {
			t.Errorf("after ten minutes alone the bound is %d: an edge would still stamp", later)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
