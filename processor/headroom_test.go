package processor

import (
	"testing"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/wire"
)

func TestHeadroom_NobodyMoreIsLetInThanCouldPayInTime(t *testing.T) {
	const rate = 24 // Stripe's for one endpoint
	all := payRate{}
	for _, c := range []struct {
		people int64
		want   int32
	}{
		{0, 1000}, {rate * 240 * 3 / 4, 1000}, {rate * 240 * 7 / 8, 500}, {rate * 240, 0}, {10 * rate * 240, 0},
	} {
		if got := headroom(c.people, rate, all); got != c.want {
			t.Errorf("%d people who all pay: %d, want %d", c.people, got, c.want)
		}
	}
	if got := headroom(1_000_000, 0, all); got != -1 {
		t.Errorf("a provider that limits nothing leaves %d", got)
	}
	half := payRate{}
	for i := range 4 * payMemory {
		half.saw(i%2 == 0)
	}
	if got := half.permille(); got != 500 {
		t.Errorf("half of the holds are paid, and the share is %d permille", got)
	}
	if got := headroom(rate*240, rate, half); got != 1000 {
		t.Errorf("half of the people pay, and the headroom is %d", got)
	}
}

func TestHeadroom_TheFirstFewWhoDoNotPayProveLittle(t *testing.T) {
	var p payRate
	for range 10 {
		p.saw(false)
	}
	if got := p.permille(); got < 950 {
		t.Errorf("after ten the share is %d permille", got)
	}
}

func TestRooms_AreToldOfHeadroomOnlyWhenItMoves(t *testing.T) {
	r := rooms{events: map[int64]*roomEvent{}, byID: map[int64]*room{}}
	r.define(1, 5, 0, eur)
	rm := r.byID[5]
	for _, c := range []struct {
		to   int32
		told bool
	}{{1000, true}, {1000, false}, {990, false}, {970, true}, {960, false}, {0, true}, {10, false}, {900, true}, {1000, true}} {
		rm.changed = false
		r.press(5, c.to)
		if rm.changed != c.told {
			t.Errorf("headroom %d: told %v, want %v", c.to, rm.changed, c.told)
		}
	}
	r.press(6, 0) // a room of another partition
}

func TestCrowds_OlderDocumentsChangeNothing(t *testing.T) {
	c := NewCrowds()
	for _, doc := range []string{
		`{"version":1,"room":5,"offset":10,"inside":7}`, `{"version":1,"room":5,"offset":9,"inside":3}`, `{"version":99,"room":5,"offset":11,"inside":1}`,
		`{"version":1,"room":-5,"offset":11,"inside":1}`, `nonsense`,
	} {
		c.take([]byte(doc))
	}
	if c.Inside(5) != 7 || c.Inside(6) != 0 {
		t.Errorf("%d inside, and %d in a room that nobody spoke of", c.Inside(5), c.Inside(6))
	}
}

// TestBridge_HoldsRoomsBackWhileTheProviderCannotKeepUp puts more people inside than could pay.
func TestBridge_HoldsRoomsBackWhileTheProviderCannotKeepUp(t *testing.T) {
	w := newWorld(t)
	log := testkafka.Log(t)
	topic := testkafka.Topic(t, log, "queue", 4)
	w.event(wire.DefineEvent{NeedsPass: true}, 3)
	w.do(about(1), passHold(1))
	w.project(1000)
	crowds := NewCrowds()
	b, err := NewBridge(BridgeConfig{QueueTopic: topic, PerSecond: 1}, Deps{Store: w.db, Events: log, Crowds: crowds})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := func(inside string) int32 {
		t.Helper()
		crowds.take([]byte(`{"version":1,"room":5,"offset":` + inside + `,"inside":` + inside + `}`))
		from := int(b.at.NextSeq) - 1
		w.tick(w.clock.Now + second)
		batch, next := w.batch(max(from, 0), len(w.all))
		if err := b.tell(t.Context(), batch, next); err != nil {
			t.Fatal(err)
		}
		_, signals := heard(t, log, topic)
		if len(signals) == 0 {
			t.Fatal("the room was told nothing")
		}
		return signals[len(signals)-1].Headroom
	}
	if got := told("10"); got != 1000 {
		t.Errorf("ten people inside: %d", got)
	}
	if got := told("209"); got != 500 { // with the one who holds 210 of 240
		t.Errorf("209 people inside: %d", got)
	}
	if got := told("239"); got != 0 {
		t.Errorf("239 people inside: %d", got)
	}
}
