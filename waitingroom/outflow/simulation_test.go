package outflow

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
)

// crowd is a model of the room around the law: invited fans come late or never, wait at the door for a slot, stay a
// while and go. It admits as the queue machine does: in order, and only while fewer than cap are inside.
type crowd struct {
	c       Config
	law     State
	rng     *rand.Rand
	abandon func(now int64) float64
	stay    func() int64 // microseconds a slot is kept
	waiting int64
	door    int64
	inside  int64
	due     events
	in      Input

	breaches int
	used     float64 // slot-microseconds after warm-up
	offered  float64
	maxDoor  int64
	inBand   int
	banded   int
	marks    []mark
}

// mark is one fan's promised wait, checked when the line reaches them.
type mark struct {
	place, at int64
	band      Band
}

type kind int

const (
	shows kind = iota
	lapses
	leaves
)

type event struct {
	at   int64
	what kind
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (w *crowd) happen(now int64) {
	for len(w.due) > 0 && w.due[0].at <= now {
		switch heap.Pop(&w.due).(event).what {
		case shows:
			w.door++
			w.in.ShowUps++
		case lapses:
			w.in.NoShows++
		case leaves:
			w.inside--
			w.in.Freed++
		}
	}
}

func (w *crowd) admit(now int64) {
	for w.door > 0 && w.inside < w.c.Cap {
		w.door--
		w.inside++
		w.in.Admitted++
		heap.Push(&w.due, event{now + w.stay(), leaves})
	}
	if w.inside > w.c.Cap {
		w.breaches++
	}
}

func (w *crowd) invite(now, n int64) {
	for range n {
		if w.rng.Float64() < w.abandon(now) {
			heap.Push(&w.due, event{now + 60*second, lapses})
		} else {
			heap.Push(&w.due, event{now + second + w.rng.Int64N(29*second), shows})
		}
	}
	w.waiting -= n
}

func (w *crowd) run(step, until, warm int64) {
	for now := int64(0); now < until; now += step {
		w.happen(now)
		w.admit(now)
		w.in.NowMicros, w.in.Waiting, w.in.Pending, w.in.Inside = now, w.waiting, w.door, w.inside
		n := w.law.Step(w.c, w.in)
		w.in = Input{Due: Unknown, StockLeft: Unknown, Headroom: Unknown}
		w.invite(now, n)
		if now < warm {
			continue
		}
		w.offered += float64(w.c.Cap * step)
		w.used += float64(w.inside * step)
		w.maxDoor = max(w.maxDoor, w.door)
		w.promise(now, step)
	}
}

// promise asks every five seconds for the wait of somebody in line, and checks those who are reached.
func (w *crowd) promise(now, step int64) {
	for len(w.marks) > 0 && w.marks[0].place < w.law.Invited() {
		m := w.marks[0]
		w.marks = w.marks[1:]
		waited := (now - m.at) / second
		w.banded++
		if waited >= m.band.Low && waited <= m.band.High {
			w.inBand++
		}
	}
	if now%(5*second) >= step {
		return
	}
	before := w.c.Cap // far enough that the places promised are in the order of asking
	if band, known := w.law.Wait(before); known {
		w.marks = append(w.marks, mark{w.law.Invited() + before, now, band})
	}
}

func newCrowd(seed uint64, c Config, abandon func(int64) float64) *crowd {
	rng := rand.New(rand.NewPCG(seed, 1))
	return &crowd{
		c: c, rng: rng, abandon: abandon, waiting: 1 << 30,
		stay: func() int64 { return 60*second + rng.Int64N(240*second) },
		in:   Input{Due: Unknown, StockLeft: Unknown, Headroom: Unknown},
	}
}

func always(share float64) func(int64) float64 { return func(int64) float64 { return share } }

func TestOutflow_NoBreachAndSlotsUsedWhateverTheAbandonment(t *testing.T) {
	t.Log("abandon  cap    tick   used   breaches  most at door  in band")
	for percent := 0; percent <= 60; percent += 10 {
		for _, size := range []int64{50, 500, 2_000} {
			for _, step := range []int64{tick, second} {
				c := Config{RatePerMinute: MaxRatePerMinute, Cap: size}
				w := newCrowd(uint64(percent+1), c, always(float64(percent)/100))
				w.run(step, 1_800*second, 300*second)
				used := w.used / w.offered
				t.Logf("%5d %%  %5d  %4.1fs  %5.1f%%  %8d  %12d  %5.1f%%", percent, size, float64(step)/second,
					used*100, w.breaches, w.maxDoor, 100*float64(w.inBand)/float64(max(1, w.banded)))
				if w.breaches > 0 || used < 0.95 {
					t.Errorf("abandonment %d %%, cap %d: %d breaches, %.1f %% used", percent, size, w.breaches, used*100)
				}
				if w.maxDoor > size/10+15 {
					t.Errorf("abandonment %d %%, cap %d: %d at the door", percent, size, w.maxDoor)
				}
				if w.banded < 100 || float64(w.inBand) < 0.8*float64(w.banded) {
					t.Errorf("abandonment %d %%, cap %d: %d of %d waits inside their band", percent, size, w.inBand, w.banded)
				}
			}
		}
	}
}

func TestOutflow_FollowsAbandonmentThatChanges(t *testing.T) {
	abandon := func(now int64) float64 {
		if now > 900*second {
			return 0.6
		}
		return 0
	}
	w := newCrowd(7, Config{RatePerMinute: MaxRatePerMinute, Cap: 500}, abandon)
	w.run(tick, 1_800*second, 300*second)
	if used := w.used / w.offered; w.breaches > 0 || used < 0.95 {
		t.Fatalf("%d breaches, %.1f %% used", w.breaches, used*100)
	}
}

func TestOutflow_RateHoldsWhenItIsTheLimit(t *testing.T) {
	for _, percent := range []int{0, 30, 60} {
		w := newCrowd(3, Config{RatePerMinute: 300, Cap: 100_000}, always(float64(percent)/100))
		w.run(tick, 900*second, 0)
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			if got := w.law.EnteredPerMinute(); got < 270 || got > 330 {
				t.Fatalf("%d enter per minute, want about 300", got)
			}
		})
	}
}
