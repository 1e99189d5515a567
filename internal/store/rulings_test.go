package store_test

import (
	"slices"
	"testing"
	"time"

	"fairgate/internal/sale"
)

func TestRulings_AlikeOnesAreCountedAndCodesAreFound(t *testing.T) {
	db := eventsDB(t)
	at := time.Date(2027, 1, 1, 20, 59, 58, 0, time.UTC)
	dear := sale.Ruling{Room: 7, Action: "arrive", Outcome: "price", Factor: 2, Score: 40, Reasons: []string{"+40 crowd: many", "score 40: price"}, Times: 5, First: at.UnixMicro(), Last: at.UnixMicro()}
	refused := sale.Ruling{Room: 7, Action: "join", Outcome: "refuse", Factor: 1, Score: 100, Reasons: []string{"+100 failures: guesses"}, AppealCode: "AAAAA-BBBBB", Times: 1, First: at.UnixMicro(), Last: at.UnixMicro()}
	elsewhere := dear
	elsewhere.Room = 8
	later := dear
	later.Times, later.First, later.Last = 3, at.Add(3*time.Second).UnixMicro(), at.Add(time.Minute).UnixMicro() // the next hour
	other := refused
	other.AppealCode = "CCCCC-DDDDD"
	for _, list := range [][]sale.Ruling{{dear, refused, elsewhere}, {later, other}, {dear}} {
		if err := db.NoteRulings(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	// The rows of codes are for looking up: a flood leaves many of them, and sums do not read them.
	if _, err := db.Write.Exec(t.Context(), `UPDATE rulings SET times = 1000 WHERE appeal_code <> ''`); err != nil {
		t.Fatal(err)
	}
	got, err := db.Rulings(t.Context(), 7, at, 10)
	if err != nil || len(got) != 2 {
		t.Fatal(err, got)
	}
	if g := got[0]; g.Times != 13 || g.First != at.UnixMicro() || g.Last != later.Last || !slices.Equal(g.Reasons, dear.Reasons) || g.Factor != 2 {
		t.Errorf("prices: %+v", g)
	}
	if g := got[1]; g.Times != 2 || g.AppealCode != "" || g.Outcome != "refuse" {
		t.Errorf("refusals: %+v", g)
	}
	if got, err = db.RulingsByCode(t.Context(), 7, "AAAAA-BBBBB", 10); err != nil || len(got) != 1 || got[0].Score != 100 || got[0].AppealCode != "AAAAA-BBBBB" {
		t.Errorf("by code: %v %+v", err, got)
	}
	for room, code := range map[int64]string{8: "AAAAA-BBBBB", 7: ""} {
		if got, err = db.RulingsByCode(t.Context(), room, code, 10); err != nil || len(got) != 0 {
			t.Errorf("room %d, code %q: %v %+v", room, code, err, got)
		}
	}
	if err := db.ForgetRulings(t.Context(), at.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, err = db.Rulings(t.Context(), 7, at, 10); err != nil || len(got) != 1 || got[0].Times != 3 {
		t.Errorf("after forgetting: %v %+v", err, got)
	}
}
