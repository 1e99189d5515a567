package store

import (
	"slices"
	"testing"

	"fairgate/internal/wire"
)

func TestProcessors_AreAliveWhileTheyBeat(t *testing.T) {
	db := open(t)
	one := Processor{ID: wire.ID{1}, Leads: []string{"orders/0", "queue/0"}, Follows: []string{}}
	two := Processor{ID: wire.ID{2}, Follows: []string{"orders/0"}}
	if _, err := db.Beat(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	list, err := db.Beat(t.Context(), one)
	if err != nil || len(list) != 2 || list[0].ID != one.ID || !slices.Equal(list[0].Leads, one.Leads) ||
		len(list[1].Leads) != 0 || !slices.Equal(list[1].Follows, two.Follows) {
		t.Fatalf("%+v: %v", list, err)
	}
	// It changes its mind; and the other has not been heard of for a while.
	one.Leads = nil
	if _, err := db.Write.Exec(t.Context(), `UPDATE processors SET beat_at = beat_at - interval '3 seconds' WHERE id = $1`, two.ID[:]); err != nil {
		t.Fatal(err)
	}
	if list, err = db.Beat(t.Context(), one); err != nil || len(list) != 1 || len(list[0].Leads) != 0 {
		t.Fatalf("%+v: %v", list, err)
	}
	if list, err = db.Beat(t.Context(), two); err != nil || len(list) != 2 {
		t.Fatalf("heard of again: %+v, %v", list, err)
	}
	if err := db.Gone(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	if list, err = db.Processors(t.Context()); err != nil || len(list) != 1 || list[0].ID != two.ID {
		t.Fatalf("%+v: %v", list, err)
	}
}

func TestProcessors_ThoseLongGoneLeaveNoRow(t *testing.T) {
	db := open(t)
	for i := range byte(3) {
		if _, err := db.Beat(t.Context(), Processor{ID: wire.ID{i + 1}}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := db.Write.Exec(t.Context(), `UPDATE processors SET beat_at = beat_at - interval '2 hours' WHERE id <> $1`, []byte(make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Beat(t.Context(), Processor{ID: wire.ID{9}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Gone(t.Context(), wire.ID{9}); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := db.Write.QueryRow(t.Context(), `SELECT count(*) FROM processors`).Scan(&rows); err != nil || rows != 0 {
		t.Fatal(rows, err)
	}
}
