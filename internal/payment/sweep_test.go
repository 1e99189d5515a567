package payment

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// shelf is a list at the provider, newest first; each page takes a fifth of a second.
type shelf []int64 // unix seconds; the id is the index

func (s shelf) page(_ context.Context, from, to time.Time, after string) (found []int, end cursor, err error) {
	time.Sleep(200 * time.Millisecond)
	first := 0
	if after != "" {
		first = int([]rune(after)[0]) + 1
	}
	for n := first; n < len(s); n++ {
		if s[n] < from.Unix() || s[n] >= to.Unix() {
			continue
		}
		if len(found) == pageSize {
			end.more = true
			break
		}
		found = append(found, n)
		end.id, end.created = string(rune(n)), s[n]
	}
	return found, end, nil
}

func TestSweep_EveryObjectOnceHoweverTheyLieInTime(t *testing.T) {
	const start, window, count = 1_700_000_000, 86_400, 10_000
	for name, at := range map[string]func(n int) int64{
		"evenly":       func(n int) int64 { return start + window - 1 - int64(n)*window/count },
		"in a minute":  func(n int) int64 { return start + 50_000 - int64(n)*60/count },
		"in a second":  func(int) int64 { return start + 7 },
		"at the edges": func(n int) int64 { return start + (window-1)*int64(1-n/(count/2)) },
	} {
		synctest.Test(t, func(t *testing.T) {
			var list shelf
			for n := range count {
				list = append(list, at(n))
			}
			seen := map[int]int{}
			began := time.Now()
			err := sweep(t.Context(), time.Unix(start, 0), time.Unix(start+window, 0), func(page []int) error {
				for _, n := range page {
					seen[n]++
				}
				return nil
			}, list.page)
			for n := range list {
				if seen[n] != 1 {
					t.Fatalf("%s: object %d came %d times", name, n, seen[n])
				}
			}
			if took := time.Since(began); err != nil || name != "in a second" && name != "at the edges" && took > 8*time.Second {
				t.Errorf("%s: %v after %s, one after the other it is 20 s", name, err, took)
			}
		})
	}
}

func TestSweep_StopsAtTheFirstError(t *testing.T) {
	boom := errors.New("boom")
	list := make(shelf, 2000)
	for n := range list {
		list[n] = 2_000_000 - int64(n)*10 - rand.Int64N(10)
	}
	quick := func(ctx context.Context, from, to time.Time, after string) ([]int, cursor, error) {
		found, end, err := list.page(ctx, from, to, after)
		return found, end, errors.Join(err, ctx.Err())
	}
	synctest.Test(t, func(t *testing.T) {
		pages := 0
		err := sweep(t.Context(), time.Unix(0, 0), time.Unix(3_000_000, 0), func([]int) error {
			if pages++; pages == 5 {
				return boom
			}
			return nil
		}, quick)
		if !errors.Is(err, boom) || pages > 5+sweepers {
			t.Errorf("%v after %d pages", err, pages)
		}
	})
}
