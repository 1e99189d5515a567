package botguard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fairgate/botguard/risk"
	"fairgate/internal/sale"
)

func TestGuard_RulingsSayWhatHappenedToWhomARuleHeld(t *testing.T) {
	w := newWall()
	c := refusing()
	c.Risk.Rules = append(c.Risk.Rules, risk.Rule{Name: "tool", Fact: "userAgent", Is: "contains", Value: "curl", Score: 4, Why: "a tool"})
	c.Risk.Steps = []risk.Step{{At: 4, Action: risk.Price, Factor: 2}, {At: 10, Action: risk.Refuse}}
	g := newGuard(t, c, Deps{Clock: w.now})
	plain, tool, bad := arriving("192.0.2.1"), arriving("192.0.2.2"), arriving("192.0.2.3")
	plain.Room, tool.Room, bad.Room = 7, 7, 7
	tool.UserAgent = "curl/8"
	for range 3 {
		g.Failed(bad)
		g.Judge(t.Context(), plain)
		g.Judge(t.Context(), tool)
	}
	tool.Room = 8
	g.Judge(t.Context(), tool)
	v := g.Judge(t.Context(), bad)
	w.advance(time.Microsecond)
	g.Judge(t.Context(), bad)

	list, lost := g.Rulings()
	if len(list) != 3 || lost != 0 {
		t.Fatalf("%d lost, %+v", lost, list)
	}
	find := func(room int64, o risk.Kind) sale.Ruling {
		i := slices.IndexFunc(list, func(r sale.Ruling) bool { return r.Room == room && r.Outcome == string(o) })
		if i < 0 {
			t.Fatalf("no %s in room %d: %+v", o, room, list)
		}
		return list[i]
	}
	if r := find(7, risk.Price); r.Times != 3 || r.Factor != 2 || r.Score != 4 || r.Reasons[0] != "+4 tool: a tool" || r.Action != ActionArrive {
		t.Errorf("dearer: %+v", r)
	}
	if r := find(8, risk.Price); r.Times != 1 {
		t.Errorf("elsewhere: %+v", r)
	}
	if r := find(7, risk.Refuse); r.Times != 2 || r.AppealCode != v.AppealCode || r.Last <= r.First {
		t.Errorf("refused: %+v", r)
	}
	if list, _ := g.Rulings(); len(list) != 0 {
		t.Errorf("taken twice: %+v", list)
	}
}

func TestGuard_AFloodOfRefusalsKeepsAFewCodesAndCountsTheRest(t *testing.T) {
	c := refusing()
	c.Risk.Rules[0].Fact, c.Risk.Rules[0].Is, c.Risk.Rules[0].Value = "userAgent", "contains", "bad"
	w := newWall()
	g := newGuard(t, c, Deps{Clock: w.now})
	const flood, seconds = 3 * MaxRulings, 3
	for i := range flood {
		if i%(flood/seconds) == 0 {
			w.advance(time.Second)
		}
		r := arriving(fmt.Sprintf("10.%d.%d.1", i/250, i%250))
		r.UserAgent, r.Room = "bad", 1+int64(i%2)
		g.Judge(t.Context(), r)
	}
	list, lost := g.Rulings()
	times, codes := lost, 0
	for _, r := range list {
		times += r.Times
		if r.AppealCode != "" {
			codes++
		}
	}
	if codes != MaxCodes || len(list) != codes+2 || times != flood {
		t.Errorf("%d rulings, %d codes, %d of %d times", len(list), codes, times, flood)
	}
	for i := range MaxRulings + 5 {
		r := arriving(fmt.Sprintf("11.%d.%d.1", i/250, i%250))
		r.UserAgent, r.Room = "bad", 1+int64(i)
		g.Judge(t.Context(), r)
	}
	if list, lost = g.Rulings(); len(list) != MaxRulings || lost != 5 {
		t.Errorf("%d rulings, %d lost", len(list), lost)
	}
}
