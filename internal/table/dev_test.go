package table

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

func cpu() int64 {
	var ts syscall.Timespec
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 3, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

func stat(name string, n int, f func(from, to int)) {
	const part = 1 << 15
	var all []int64
	for from := 0; from+part <= n; from += part {
		t := cpu()
		f(from, from+part)
		all = append(all, (cpu()-t)*10/part)
	}
	slices.Sort(all)
	fmt.Printf("%s min %.1f p25 %.1f p50 %.1f\n", name, float64(all[0])/10, float64(all[len(all)/4])/10, float64(all[len(all)/2])/10)
}

func TestDev(t *testing.T) {
	runtime.LockOSThread()
	r := rand.New(rand.NewPCG(1, 2))
	const n = 1 << 20
	keys := make([]Key, n)
	var x Index
	for i := range keys {
		keys[i] = Key{High: r.Uint64(), Low: r.Uint64()}
		x.Put(keys[i], int32(i))
	}
	ask := make([]Key, n)
	for j, i := range r.Perm(n) {
		ask[j] = keys[i]
	}
	yes := func(int32) bool { return true }
	stat("find", n, func(from, to int) {
		for _, k := range ask[from:to] {
			x.Find(k, yes)
		}
	})
	stat("prefetch 16 before find", n, func(from, to int) {
		for j, k := range ask[from:to] {
			if from+j+16 < n {
				x.Prefetch(ask[from+j+16])
			}
			x.Find(k, yes)
		}
	})
	stat("prefetch only", n, func(from, to int) {
		for _, k := range ask[from:to] {
			x.Prefetch(k)
		}
	})
	stat("hot", n, func(from, to int) {
		for i := range to - from {
			x.Prefetch(ask[i&255])
		}
	})
}
