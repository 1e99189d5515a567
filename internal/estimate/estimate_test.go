package estimate

import (
	"testing"

	"fairgate/internal/wire"
)

func TestRecord_APauseVoidsPromises(t *testing.T) {
	p := New(1)
	doc := wire.QueueDocument{Room: 7, State: "open", At: 10_000_000, Lanes: []wire.LaneDocument{{
		Lane: "normal", Waiting: 10, RateLow: 30_000, RateHigh: 60_000, Table: []wire.RankRow{{Key: "01a", Before: 0}, {Key: "01b", Before: 9}},
	}}}
	p.Observe(&doc)
	if n := len(p.byRoom[7].open); n != 2 {
		t.Fatalf("%d promises", n)
	}
	doc.At += 12_000_000
	doc.Lanes[0].InvitedTo = "01c"
	kept := p.Of(7)
	p.Observe(&doc)
	if kept = p.Of(7); kept.Within != 2 || kept.Early+kept.Late != 0 {
		t.Errorf("within %d, early %d, late %d", kept.Within, kept.Early, kept.Late)
	}
	doc.State = "paused"
	p.Observe(&doc)
	if n := len(p.byRoom[7].open); n != 0 {
		t.Errorf("%d promises during a pause", n)
	}
	other := doc
	other.Room = 8
	if p.Observe(&other); len(p.byRoom) != 1 {
		t.Errorf("%d rooms, at most one", len(p.byRoom))
	}
}
