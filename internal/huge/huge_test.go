package huge_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"fairgate/internal/huge"
)

func TestMake_IsMake(t *testing.T) {
	type entry struct {
		at int64
		_  [16]byte
	}
	for _, n := range []int{0, 1, 170, 171, 4096, huge.PerExtent[entry](1)} {
		s := huge.Make[entry](n)
		if len(s) != n || cap(s) < n {
			t.Fatalf("%d entries, wanted %d", len(s), n)
		}
		for i := range s {
			if s[i] != (entry{}) {
				t.Fatalf("entry %d of %d is not zero", i, n)
			}
			s[i].at = int64(i)
		}
		for i := range s {
			if s[i].at != int64(i) {
				t.Fatalf("entry %d of %d is %d", i, n, s[i].at)
			}
		}
	}
}

func TestPerExtent_IsWholeLots(t *testing.T) {
	if n := huge.PerExtent[[24]byte](1000); n%1000 != 0 || n*24 > huge.Extent || (n+1000)*24 <= huge.Extent {
		t.Fatal(n)
	}
	if n := huge.PerExtent[[huge.Extent]byte](4); n != 4 {
		t.Fatal(n)
	}
	if n := huge.PerExtent[struct{}](7); n < 7 {
		t.Fatal(n)
	}
}

// BenchmarkRead is what a read at a random place costs, in small pages and in huge ones. Reads do not wait for one
// another, as prefetched ones do not.
func BenchmarkRead(b *testing.B) {
	const n = 1 << 27 // 1 GiB
	// Both are made before, and kept: memory that was used already keeps its small pages.
	small, large := make([]uint64, n), huge.Make[uint64](n)
	for i := range n {
		small[i], large[i] = uint64(i), uint64(i)
	}
	r, sum := rand.New(rand.NewPCG(1, 2)), uint64(0)
	places := make([]uint32, 1<<20)
	for i := range places {
		places[i] = uint32(r.IntN(n))
	}
	read := func(s []uint64) time.Duration {
		began := time.Now()
		for _, p := range places {
			sum += s[p]
		}
		return time.Since(began)
	}
	var inSmall, inHuge time.Duration
	for b.Loop() {
		inSmall += read(small)
		inHuge += read(large)
	}
	if sum == 1 {
		b.Log("unlikely")
	}
	reads := float64(b.N) * float64(len(places))
	b.ReportMetric(float64(inSmall.Nanoseconds())/reads, "small-ns/read")
	b.ReportMetric(float64(inHuge.Nanoseconds())/reads, "huge-ns/read")
	b.ReportMetric(float64(inSmall)/float64(inHuge), "ratio:memory.huge")
}
