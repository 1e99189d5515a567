package queue

import (
	"runtime"
	"strconv"
	"testing"

	"fairgate/internal/engine"
	"fairgate/internal/wire"
)

// TestRoom_OfAnySizeIsSmall: what a room takes grows with it, without a jump where a table is divided.
func TestRoom_OfAnySizeIsSmall(t *testing.T) {
	for places, most := range map[int]int64{1_100: 140, 5_000: 175, 20_000: 100, 34_000: 100} {
		t.Run(strconv.Itoa(places), func(t *testing.T) {
			l := stampeding(places)
			held := func() int64 {
				var stats runtime.MemStats
				runtime.GC()
				runtime.GC() // what was kept for a while the first time
				runtime.ReadMemStats(&stats)
				return int64(stats.HeapAlloc)
			}
			before := held()
			m := New(Limits{})
			play(t, engine.NewCore(m, 0), l, unchained(), &wire.Outcomes{}) // whose memory of command ids is not the room's
			if n := (held() - before) / int64(places); n > most || m.places != places {
				t.Errorf("%d bytes a place, at most %d", n, most)
			} else {
				t.Logf("%d bytes a place", n)
			}
			runtime.KeepAlive(m)
			runtime.KeepAlive(l)
		})
	}
}
