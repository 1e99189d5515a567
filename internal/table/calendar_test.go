package table

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCalendar_GivesTheEarliestDayAndTearsOutEmptyOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Calendar
		want := map[int64][]int32{} // by key, the places in use
		for n := range rapid.IntRange(1, 300).Draw(t, "steps") {
			key := rapid.Int64Range(-5, 20).Draw(t, "key")
			if places := want[key]; len(places) > 0 && rapid.Bool().Draw(t, "strike") {
				i := rapid.IntRange(0, len(places)-1).Draw(t, "which")
				c.Prefetch(key, places[i])
				c.Strike(c.Find(key), places[i])
				if want[key] = slices.Delete(places, i, i+1); len(want[key]) == 0 {
					delete(want, key)
				}
			} else {
				want[key] = append(want[key], c.Open(key).Add(int32(n)))
			}
			keys := c.Keys(nil)
			slices.Sort(keys)
			var all []int64
			for k := range want {
				all = append(all, k)
			}
			slices.Sort(all)
			if !slices.Equal(keys, all) || c.Len() != len(all) {
				t.Fatalf("days %v, want %v", keys, all)
			}
			if d := c.Earliest(); len(all) == 0 && d != nil || len(all) > 0 && (d == nil || d.Key != all[0] || d.Live() != len(want[all[0]])) {
				t.Fatalf("the earliest is %+v, want %v", d, all)
			}
			for k := int64(-5); k <= 20; k++ {
				if (c.Find(k) != nil) != (len(want[k]) > 0) {
					t.Fatalf("day %d: %v, want %v", k, c.Find(k), want[k])
				}
			}
		}
	})
}
