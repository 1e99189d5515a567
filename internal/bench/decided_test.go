package bench

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func callers() int { return env("FAIRGATE_BENCH_CALLERS", 8_000) }

func env(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

func BenchmarkKafka_Decided1(b *testing.B) { decided(b, 1) }
func BenchmarkKafka_Decided3(b *testing.B) { decided(b, 3) }

func decided(b *testing.B, brokers int) {
	k := startKafka(b, brokers)
	length := time.Duration(env("FAIRGATE_BENCH_SECONDS", 4)) * time.Second
	b.Logf("warm   %v", k.turn(engineDecides, callers(), 0, time.Duration(env("FAIRGATE_BENCH_WARM", 5))*time.Second))
	for range env("FAIRGATE_BENCH_TURNS", 2) {
		b.Logf("engine %v", k.turn(engineDecides, callers(), time.Second, length))
		b.Logf("relay  %v", k.turn(relayCopies, callers(), time.Second, length))
	}
}
