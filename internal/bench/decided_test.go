package bench

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func callers() int {
	if n, err := strconv.Atoi(os.Getenv("FAIRGATE_BENCH_CALLERS")); err == nil {
		return n
	}
	return 8_000
}

func BenchmarkKafka_Decided1(b *testing.B) { decided(b, 1) }
func BenchmarkKafka_Decided3(b *testing.B) { decided(b, 3) }

func decided(b *testing.B, brokers int) {
	k := startKafka(b, brokers)
	k.turn(byEngine, callers(), 0, 4*time.Second)
	for range 2 {
		b.Logf("engine %v", k.turn(byEngine, callers(), time.Second, 4*time.Second))
		b.Logf("relay  %v", k.turn(byRelay, callers(), time.Second, 4*time.Second))
	}
}
