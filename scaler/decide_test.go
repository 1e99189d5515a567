package scaler

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func rule() Rule {
	return Rule{Role: "booking", Query: "load", PerReplica: 100, Min: 2, Max: 20, StepUp: 4, StepDown: 2,
		CooldownUp: 30 * time.Second, CooldownDown: 5 * time.Minute, Tolerance: 0.1}
}

func load100(v float64) Observation { return Observation{Value: v, At: noon, Known: true} }

func TestDecide_FollowsTheLoadWithinBoundsAndSteps(t *testing.T) {
	rested := History{LowerSince: noon.Add(-time.Hour)}
	for name, x := range map[string]struct {
		load    float64
		current int
		want    int
	}{
		"rounds up":             {load: 510, current: 5, want: 5}, // within tolerance
		"beyond tolerance":      {load: 560, current: 5, want: 6},
		"step up":               {load: 1_500, current: 5, want: 9},
		"never above max":       {load: 99_999, current: 18, want: 20},
		"down by a step":        {load: 100, current: 9, want: 7},
		"never below min":       {load: 0, current: 3, want: 2},
		"above max comes down":  {load: 99_999, current: 30, want: 28},
		"from nothing":          {load: 300, current: 0, want: 3},
		"rounding is not load":  {load: 300.00000001, current: 1, want: 3},
		"a huge load saturates": {load: math.MaxFloat64, current: 18, want: 20},
	} {
		d, _ := Decide(rule(), load100(x.load), x.current, noon, rested)
		if d.Replicas != x.want {
			t.Errorf("%s: %d -> %d (%s), want %d", name, x.current, d.Replicas, d.Reason, x.want)
		}
	}
}

func TestDecide_UnknownLoadNeverScalesDown(t *testing.T) {
	for name, o := range map[string]Observation{
		"missing":  {},
		"nan":      load100(math.NaN()),
		"infinite": load100(math.Inf(1)),
		"negative": load100(-1),
	} {
		h := History{LowerSince: noon.Add(-time.Hour)}
		for _, current := range []int{1, 2, 9, 30} {
			d, next := Decide(rule(), o, current, noon, h)
			if want := max(current, 2); d.Replicas != want {
				t.Errorf("%s: %d -> %d", name, current, d.Replicas)
			}
			if !next.LowerSince.IsZero() {
				t.Errorf("%s: unknown load counts as low", name)
			}
		}
	}
}

func TestDecide_FloorIsReachedAtOnceAndOnTime(t *testing.T) {
	r := rule()
	r.Floors = []Floor{{Name: "on-sale", From: noon, Until: noon.Add(time.Hour), Replicas: 15}}
	justUp := History{LastUp: noon.Add(-time.Second)}
	for at, want := range map[time.Duration]int{-time.Nanosecond: 3, 0: 15, time.Hour - 1: 15, time.Hour: 3} {
		h := justUp
		h.LastUp = h.LastUp.Add(at)
		d, _ := Decide(r, load100(300), 3, noon.Add(at), h)
		if d.Replicas != want {
			t.Errorf("at %s: %d (%s), want %d", at, d.Replicas, d.Reason, want)
		}
	}
	if d, _ := Decide(r, Observation{}, 3, noon, History{}); d.Replicas != 15 || !strings.Contains(d.Reason, "on-sale") {
		t.Errorf("without measurement: %d (%s)", d.Replicas, d.Reason)
	}
}

func TestDecide_IncreasesCoolDown(t *testing.T) {
	d, h := Decide(rule(), load100(2_000), 4, noon, History{})
	if d.Replicas != 8 {
		t.Fatalf("first: %d", d.Replicas)
	}
	if d, h = Decide(rule(), load100(2_000), 8, noon.Add(29*time.Second), h); d.Moves() {
		t.Fatalf("during cooldown: %d", d.Replicas)
	}
	if d, _ = Decide(rule(), load100(2_000), 8, noon.Add(30*time.Second), h); d.Replicas != 12 {
		t.Fatalf("after cooldown: %d", d.Replicas)
	}
}

func TestDecide_DecreaseNeedsUninterruptedLowLoad(t *testing.T) {
	var h History
	at, current := noon, 10
	step := func(load float64, after time.Duration) Decision {
		at = at.Add(after)
		var d Decision
		d, h = Decide(rule(), load100(load), current, at, h)
		current = d.Replicas
		return d
	}
	step(100, 0)
	step(1_000, 4*time.Minute) // interrupts
	step(100, time.Second)
	if d := step(100, 4*time.Minute+59*time.Second); d.Moves() {
		t.Fatalf("moved early to %d", d.Replicas)
	}
	if d := step(100, time.Second); d.Replicas != 8 {
		t.Fatalf("after five low minutes: %d (%s)", d.Replicas, d.Reason)
	}
	if d := step(100, time.Minute); d.Moves() {
		t.Fatalf("moved again within the cooldown to %d", d.Replicas)
	}
	if d := step(100, 4*time.Minute); d.Replicas != 6 {
		t.Fatalf("second decrease: %d", d.Replicas)
	}
}

func TestDecide_AlwaysMovesWithinItsRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rule()
		var h History
		now, current := noon, rapid.IntRange(0, 40).Draw(t, "current")
		for range rapid.IntRange(1, 50).Draw(t, "rounds") {
			now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second)
			o := Observation{Value: rapid.Float64().Draw(t, "load"), At: now, Known: rapid.Bool().Draw(t, "known")}
			before := h
			d, next := Decide(r, o, current, now, h)
			switch {
			case d.Replicas > current && d.Replicas > max(r.Min, min(r.Max, current+r.StepUp)):
				t.Fatalf("up %d -> %d", current, d.Replicas)
			case d.Replicas < current && (!o.Known || d.Replicas < max(r.Min, current-r.StepDown)):
				t.Fatalf("down %d -> %d, known %v", current, d.Replicas, o.Known)
			case d.Replicas < current && !before.LastUp.IsZero() && now.Sub(before.LastUp) < r.CooldownDown:
				t.Fatalf("down %s after up", now.Sub(before.LastUp))
			}
			h, current = next, d.Replicas
		}
	})
}
