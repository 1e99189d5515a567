package stock_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"fairgate/internal/wire"
)

var ballast []byte

func cpu() float64 {
	var ts syscall.Timespec
	_, _, _ = syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 3, uintptr(unsafe.Pointer(&ts)), 0)
	return float64(ts.Nano()) / 1e9
}

func BenchmarkDev(b *testing.B) {
	runtime.LockOSThread()
	w := newTraffic(b)
	if os.Getenv("HUGE") != "" {
		ballast = make([]byte, 1<<30)
		fmt.Println(hugeHeap() >> 20)
		ballast = nil
		runtime.GC()
	}
	w.fill(b, 3_000_000)
	if os.Getenv("HUGE") != "" {
		fmt.Println(hugeHeap() >> 20)
	}
	const batch = 1_000
	heads := make([]wire.Hash, batch)
	before := w.made
	b.ReportAllocs()
	b.ResetTimer()
	used := 0.0
	var each []float64
	for b.Loop() {

		w.draw(batch)
		c := cpu()

		w.run(b, heads)
		d := cpu() - c
		each = append(each, d*1e9/batch)
		used += d
	}
	n := float64(w.made - before)
	b.ReportMetric(used*1e9/n, "cpu-ns/cmd")
	b.ReportMetric(n/b.Elapsed().Seconds(), "wall-cmd/s")
	b.ReportMetric(float64(len(w.live)), "live")
	slices.Sort(each)
	b.ReportMetric(each[len(each)/20], "p5-ns")
	b.ReportMetric(each[len(each)/2], "p50-ns")
}
