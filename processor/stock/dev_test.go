package stock_test

import (
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/wire"
)

func cpu() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(1, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func BenchmarkDev(b *testing.B) {
	runtime.LockOSThread()
	w := newTraffic(b)
	w.fill(b, 3_000_000)
	const batch = 10_000
	heads := make([]wire.Hash, batch)
	before := w.made
	b.ReportAllocs()
	b.ResetTimer()
	used := 0.0
	var each []float64
	for b.Loop() {
		b.StopTimer()
		w.draw(batch)
		c := cpu()
		b.StartTimer()
		t := time.Now()
		w.run(b, heads)
		each = append(each, float64(time.Since(t).Nanoseconds())/batch)
		used += cpu() - c
	}
	n := float64(w.made - before)
	b.ReportMetric(used*1e9/n, "cpu-ns/cmd")
	b.ReportMetric(n/b.Elapsed().Seconds(), "wall-cmd/s")
	b.ReportMetric(float64(len(w.live)), "live")
	slices.Sort(each)
	b.ReportMetric(each[len(each)/20], "p5-ns")
	b.ReportMetric(each[len(each)/2], "p50-ns")
}
