package waitingroom

import (
	"testing"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// TestArrive_TheGuardIsToldOfAllPlacesOfANetwork follows a count from the joins in the log through the machine and the topic
// beside the documents to the edge's question for a price.
func TestArrive_TheGuardIsToldOfAllPlacesOfANetwork(t *testing.T) {
	s := open(t)
	for range 7 { // four in the normal lane, three in the shared one
		s.fan().join("1")
	}
	var asked Visit
	s.until("the edge to know of the network", func() bool {
		f := s.fan()
		f.arrive("1")
		asked = *s.gate.last.Load()
		return asked.Places.Narrow >= 7
	})
	if asked.Places.Narrow != 7 || asked.Places.Wide != 7 || asked.Room != hall || asked.Networks != s.gate.Networks(asked.Address) {
		t.Errorf("%+v", asked)
	}
	other := s.fan()
	other.header.Set("X-Forwarded-For", "192.0.2.77")
	other.arrive("1")
	if v := s.gate.last.Load(); v.Places != (sale.NetworkPlaces{}) {
		t.Errorf("another network: %+v", v.Places)
	}
	s.fan().arrive("6")
	if v := s.gate.last.Load(); v.Room != small || v.Places != (sale.NetworkPlaces{}) {
		t.Errorf("another room: %+v", v)
	}
}

func TestJoin_WaitingAloneGivesANetworkNoMorePlacesThanItsCap(t *testing.T) {
	s := open(t)
	join := func() reply {
		f := s.fan()
		r := f.post("/rooms/1/arrive", arriveRequest{Lane: "timed"})
		var a arriveAnswer
		r.into(t, &a)
		var last reply
		s.until("the wait to be over", func() bool {
			last = f.post("/rooms/1/join", joinRequest{Challenge: a.Challenge})
			return last.status != 422
		})
		return last
	}
	for n := range 4 {
		if r := join(); r.status != 200 {
			t.Fatalf("place %d: %d %s", n+1, r.status, r.body)
		}
	}
	if r := join(); r.status != 409 || r.kind(t) != "network-full" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestCrowded_AnOlderListNeverReplacesANewerOne(t *testing.T) {
	var c crowded
	at := func(epoch uint64, offset int64, places uint32) {
		t.Helper()
		list := []wire.Network{{Span: wire.SpanWide, Places: 1, Key: 9}, {Span: wire.SpanNarrow, Places: places, Key: 5}}
		if err := c.take(wire.AppendNetworks(nil, &wire.Networks{Room: 1, Epoch: epoch, Offset: offset, List: list})); err != nil {
			t.Fatal(err)
		}
	}
	at(2, 10, 7)
	at(1, 10, 3)
	at(2, 9, 4)
	if got := c.places(1, sale.Networks{Narrow: 5, Wide: 9}); got != (sale.NetworkPlaces{Narrow: 7, Wide: 1}) {
		t.Errorf("%+v", got)
	}
	at(1, 11, 8)
	if got := c.places(1, sale.Networks{Narrow: 5, Wide: 5, Broad: 5}); got != (sale.NetworkPlaces{Narrow: 8}) {
		t.Errorf("%+v", got)
	}
	if c.take([]byte{wire.Version, 'N', 0}) == nil {
		t.Error("junk was taken")
	}
}
